"""Free-form answers rated by a language model beside a reference: 1 to 5 on four criteria and overall.

MMAU-Pro (AAAI 2026, arXiv 2508.13992) asks Qwen2.5-7B-Instruct for labelled lines ("CORRECTNESS: 4 - ..."),
at temperature 0.1, and divides the mean overall score by 5. Its script reads those lines in its own way
(`read_release`) and writes 3 for every score that it does not find, so a judge that says nothing gives 60 %.
Here a missing score is missing; `missing="official_release"` does as the script does, for comparison. One run
with form="lines" gives both. The release's prompt has no licence: ours has its parts in its order, in other
words; who has it gives it as `prompt`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from core.language.client import Chat, Message, Options, Reply, ReplyError, in_parallel
from core.language.prompts import Prompt, read_prompt
from core.language.structured import complete_json
from core.language.thoughts import after_thoughts

CRITERIA = ("correctness", "relevance", "completeness", "clarity", "overall")
LOWEST, HIGHEST = 1, 5
GOOD, POOR = 4.0, 2.0  # overall from GOOD on is good, up to POOR poor
RELEASE_MISSING = 3.0  # what the released script writes for a score that it does not find

Form: TypeAlias = Literal["json", "lines"]
Missing: TypeAlias = Literal["excluded", "official_release"]
# The release's decoding. Sampling needs a seed to be repeatable.
RELEASE_OPTIONS = Options(temperature=0.1, max_tokens=512, seed=0)

_PROMPTS: Mapping[Form, str] = {"json": "open_judge.txt", "lines": "open_judge_lines.txt"}
_NUMBER = r"[\s*_\[(]*(\d+(?:\.\d+)?)(?!\d)"


class OpenJudgeError(ValueError):
    """Verdicts that cannot be summed up."""


@dataclass(frozen=True, kw_only=True)
class OpenCase:
    """One answer to rate beside the reference."""

    id: str
    question: str
    reference: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class OpenVerdict:
    """scores: by criterion; those that the judge did not give are absent, and `error` says why.

    unanswered: the answer was blank; it has the lowest score throughout. lines: what a judge that was asked
    for lines wrote, also about a blank answer, "" where it refused; None where it was not asked for lines.
    """

    id: str
    scores: Mapping[str, float]
    error: str = ""
    unanswered: bool = False
    lines: str | None = None
    replies: tuple[Reply, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class OpenRatings:
    """Means over the `n` of `items` answers that have an overall score.

    means: by criterion, over those that have it, 1 to 5. share: mean overall / 5, the category's score.
    good, poor: how many of the n have an overall score of 4 and more, of 2 and less.
    overall: (N,) float64, NaN where missing. errors: how many lack a score, by reason.
    """

    means: Mapping[str, float]
    share: float
    good: int
    poor: int
    n: int
    items: int
    unanswered: int
    errors: Mapping[str, int]
    overall: np.ndarray


def default_prompt(form: Form = "json") -> Prompt:
    """The prompt that stands beside this module; `form` is that of the answer it asks for."""
    return read_prompt(Path(__file__).parent / "prompts" / _PROMPTS[form])


def judge_open(
    chat: Chat,
    cases: Iterable[OpenCase],
    *,
    form: Form = "json",
    prompt: Prompt | None = None,
    options: Options | None = None,
    concurrency: int = 8,
) -> list[OpenVerdict]:
    """Rate every case, in order.

    form: "json" holds the judge to a schema and asks once more where it does not fit; a blank answer is not
    shown, and values are put in as JSON strings, so that an answer cannot pose as part of the prompt. "lines"
    asks as the release does: for labelled lines, once, about blank answers too, with values as they are.
    options: greedy for "json", RELEASE_OPTIONS for "lines" when None. prompt names question, reference and
    answer. Raises EndpointError when the judge cannot be reached.
    """
    shown = prompt or default_prompt(form)
    decode = options or (RELEASE_OPTIONS if form == "lines" else Options())

    def rate(case: OpenCase) -> OpenVerdict:
        values = {name: getattr(case, name) for name in ("question", "reference", "answer")}
        if form == "lines":
            return _asked_for_lines(chat, case, shown.messages(**values), options=decode)
        if not case.answer.strip():
            return OpenVerdict(id=case.id, scores=_lowest(), unanswered=True)
        quoted = {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}
        done = complete_json(chat, shown.messages(**quoted), schema=verdict_schema(), options=decode)
        scores = {} if done.error else {name: float(done.value[name]) for name in CRITERIA}
        return OpenVerdict(id=case.id, scores=scores, error=done.error, replies=done.replies)

    return list(in_parallel(rate, cases, concurrency=concurrency))


def _asked_for_lines(
    chat: Chat, case: OpenCase, messages: Sequence[Message], *, options: Options
) -> OpenVerdict:
    blank = not case.answer.strip()
    try:
        reply = chat.complete(messages, options=options)
    except ReplyError as refused:
        error = "" if blank else f"refused: {refused}"
        return OpenVerdict(
            id=case.id, scores=_lowest() if blank else {}, error=error, unanswered=blank, lines=""
        )
    scores = _lowest() if blank else read_lines(reply.text)
    absent = [name for name in CRITERIA if name not in scores]
    error = f"without a score: {', '.join(absent)}" if absent else ""
    return OpenVerdict(
        id=case.id, scores=scores, error=error, unanswered=blank, lines=reply.text, replies=(reply,)
    )


def _lowest() -> dict[str, float]:
    return dict.fromkeys(CRITERIA, float(LOWEST))


def verdict_schema() -> dict[str, Any]:
    """The JSON schema of a verdict: whole numbers from 1 to 5, overall perhaps a fraction."""
    whole = {"type": "integer", "minimum": LOWEST, "maximum": HIGHEST}
    overall = {**whole, "type": "number"}
    return {
        "type": "object",
        "properties": {
            **{name: overall if name == "overall" else whole for name in CRITERIA},
            "reason": {"type": "string"},
        },
        "required": list(CRITERIA),
    }


def read_lines(text: str) -> dict[str, float]:
    """Scores from lines such as "**CLARITY:** 4 - ...", the first of each label behind any thoughts; what is
    not from 1 to 5 is no score."""
    scores: dict[str, float] = {}
    text = after_thoughts(text)
    for name in CRITERIA:
        found = re.search(rf"\b{name}\b[*_]*\s*:{_NUMBER}", text, re.IGNORECASE)
        if found and LOWEST <= float(found[1]) <= HIGHEST:
            scores[name] = float(found[1])
    return scores


def read_release(text: str) -> dict[str, float]:
    """All five scores as the released script takes them out of a judge's lines.

    The first "NAME: digits" counts, in any case, anywhere, also inside a thought or another word. The colon
    must touch the name, and nothing but white space stand before the digits; only OVERALL may have decimals
    ("3.5" of another is 3). No score is out of range. A score that is not found is 3. An OVERALL of exactly
    3, found or not, becomes the mean of the four others.
    """
    scores: dict[str, float] = {}
    for name in CRITERIA:
        digits = r"\d+(?:\.\d+)?" if name == "overall" else r"\d+"
        found = re.search(rf"{name}:\s*({digits})", text, re.IGNORECASE)
        scores[name] = float(found[1]) if found else RELEASE_MISSING
    if scores["overall"] == RELEASE_MISSING:
        scores["overall"] = float(np.mean([scores[name] for name in CRITERIA[:-1]]))
    return scores


def summarise(verdicts: Sequence[OpenVerdict], *, missing: Missing = "excluded") -> OpenRatings:
    """Means, and how many answers they leave out.

    missing: "excluded" leaves out what the judge did not give. "official_release" reads the judge's lines
    again with `read_release`, blank answers included; of verdicts in another form it writes 3 for what is
    missing, and takes the mean of the four criteria for an overall score of exactly 3.
    Raises OpenJudgeError where no answer has an overall score.
    """
    release = missing == "official_release"
    scores = [
        read_release(verdict.lines) if release and verdict.lines is not None else verdict.scores
        for verdict in verdicts
    ]
    rows = [[given.get(name, np.nan) for name in CRITERIA] for given in scores]
    table = np.array(rows, dtype=np.float64).reshape(len(verdicts), len(CRITERIA))
    errors = Counter(verdict.error.partition(":")[0] for verdict in verdicts if verdict.error)
    if release:
        table = np.where(np.isnan(table), RELEASE_MISSING, table)
        table[:, -1] = np.where(table[:, -1] == RELEASE_MISSING, table[:, :-1].mean(axis=1), table[:, -1])
    elif missing != "excluded":
        raise OpenJudgeError(f"missing {missing!r} is neither excluded nor official_release")
    overall = table[:, -1]
    given = ~np.isnan(overall)
    if not given.any():
        said = next((verdict.error for verdict in verdicts if verdict.error), "there are no answers")
        raise OpenJudgeError(
            f"none of {len(verdicts)} answers has an overall score ({said}); look at the judge's replies"
        )
    return OpenRatings(
        means={
            name: float(np.nanmean(column))
            for name, column in zip(CRITERIA, table.T)
            if not np.isnan(column).all()
        },
        share=float(overall[given].mean()) / HIGHEST,
        good=int((overall[given] >= GOOD).sum()),
        poor=int((overall[given] <= POOR).sum()),
        n=int(given.sum()),
        items=len(verdicts),
        unanswered=sum(verdict.unanswered for verdict in verdicts),
        errors=dict(errors),
        overall=overall,
    )

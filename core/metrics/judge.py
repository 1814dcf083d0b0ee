"""Free-form answers rated by a language model: 1 to 5 for clarity, correctness and engagement.

GAMA (EMNLP 2024), CompA-R-test: a text-only model sees event list, caption, question, expert answer and the
answer to rate. Criteria with a column in the paper's table are the default; its prompt also asks for
helpfulness and depth. A verdict that cannot be read is asked for once more and then missing: it is counted,
and never replaced by a number.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.language.client import Chat, Options, Reply, in_parallel
from core.language.prompts import Prompt
from core.language.structured import complete_json

CRITERIA = ("clarity", "correctness", "engagement")
LOWEST, HIGHEST = 1, 5


class JudgeError(ValueError):
    """Verdicts that cannot be summed up."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One answer to rate. events: the list as text, with times; reference: the expert's answer."""

    id: str
    question: str
    answer: str
    reference: str
    caption: str
    events: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """scores: by criterion, empty where there is no verdict, and then `error` says why.

    unanswered: the answer was blank. It was not shown to the judge and has the lowest score throughout.
    """

    id: str
    scores: Mapping[str, int]
    reason: str = ""
    error: str = ""
    unanswered: bool = False
    replies: tuple[Reply, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class Ratings:
    """Means over the `n` items that have a verdict; overall is the mean of the criteria's means.

    items: (N, C) float64, a row an item in the order given and a column a criterion, NaN without verdict.
    errors: how many items are missing, by reason.
    """

    means: Mapping[str, float]
    overall: float
    n: int
    failed: int
    unanswered: int
    errors: Mapping[str, int]
    items: np.ndarray


def judge(
    chat: Chat,
    cases: Iterable[Case],
    *,
    prompt: Prompt,
    criteria: Sequence[str] = CRITERIA,
    options: Options | None = None,
    concurrency: int = 8,
) -> list[Verdict]:
    """Rate every case, in order. `prompt` names events, caption, question, reference and answer.

    Values are put into the prompt as JSON strings, so that an answer cannot pose as part of the prompt.
    Raises EndpointError when the judge cannot be reached.
    """
    schema = verdict_schema(criteria)

    def rate(case: Case) -> Verdict:
        if not case.answer.strip():
            return Verdict(id=case.id, scores=dict.fromkeys(criteria, LOWEST), unanswered=True)
        values = {
            name: json.dumps(getattr(case, name), ensure_ascii=False)
            for name in ("events", "caption", "question", "reference", "answer")
        }
        done = complete_json(chat, prompt.messages(**values), schema=schema, options=options)
        if done.error:
            return Verdict(id=case.id, scores={}, error=done.error, replies=done.replies)
        scores = {name: int(done.value[name]) for name in criteria}
        return Verdict(id=case.id, scores=scores, reason=done.value.get("reason", ""), replies=done.replies)

    return list(in_parallel(rate, cases, concurrency=concurrency))


def verdict_schema(criteria: Sequence[str] = CRITERIA) -> dict[str, Any]:
    """The JSON schema of a verdict: a whole number from 1 to 5 for each criterion, and perhaps a reason."""
    score = {"type": "integer", "minimum": LOWEST, "maximum": HIGHEST}
    return {
        "type": "object",
        "properties": {**dict.fromkeys(criteria, score), "reason": {"type": "string"}},
        "required": list(criteria),
    }


def summarise(verdicts: Sequence[Verdict], *, criteria: Sequence[str] = CRITERIA) -> Ratings:
    """Means, and how many items they leave out. Raises JudgeError where no item has a verdict."""
    rows = [[verdict.scores.get(name, np.nan) for name in criteria] for verdict in verdicts]
    items = np.array(rows, dtype=np.float64).reshape(len(verdicts), len(criteria))
    given = ~np.isnan(items).any(axis=1)
    errors = Counter(verdict.error.partition(":")[0] for verdict in verdicts if verdict.error)
    if not given.any():
        said = next((verdict.error for verdict in verdicts if verdict.error), "there are no answers")
        raise JudgeError(
            f"none of {len(verdicts)} answers has a verdict ({said}); look at the judge's replies"
        )
    means = items[given].mean(axis=0)
    return Ratings(
        means={name: float(value) for name, value in zip(criteria, means)},
        overall=float(means.mean()),
        n=int(given.sum()),
        failed=int((~given).sum()),
        unanswered=sum(verdict.unanswered for verdict in verdicts),
        errors=dict(errors),
        items=items,
    )

"""Scores of MMAU-Pro from rows and predictions: closed, open and instruction-following questions.

MMAU-Pro: AAAI 2026, arXiv 2508.13992. Protocols stand side by side, with the same outputs:

    ours      closed: nearest option by embedding, a blank is wrong, several orders vote; open: what the judge
              did not rate is left out, and counted; instructions: the strict reading
    release   as the released script: the first output alone, a blank gets an option; a rating that is missing
              is 3; its own reading of the instructions
    <rule>    the rules of MMAU's multiple choice (core.metrics.choice), on the closed questions alone

Overall is the mean of the categories weighted by how many of their items are scored, so the mean over scored
items. Closed questions without options, which the release drops, are named. A blank answer to an open
question rates 1; under release it has what a judge that was asked for lines says of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from core.metrics.bootstrap import Interval, dataset_seed, mean_interval
from core.metrics.choice import RULES, score_votes, vote
from core.metrics.closed_match import match
from core.metrics.instruction_following import Ruled, check_all, read_kwargs
from core.metrics.label_mapping import Encode
from core.metrics.open_judge import HIGHEST, OpenCase, OpenVerdict, summarise
from core.report.scoring import PredictionError, units_of
from projects.mmau.pro_outputs import Output, Row

Kind: TypeAlias = Literal["closed", "open", "instructions"]

KINDS: Mapping[str, Kind] = {"open": "open", "instruction following": "instructions"}  # the rest is closed
OURS, RELEASE = "ours", "release"
WITHOUT_CHOICES = "fewer than two options"
NO_OUTPUT = "no prediction"
EXAM = "mmau_pro"
SEED = dataset_seed(EXAM)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One category under one protocol.

    scores: (n,) float64 in 0..1, of the items `ids`. units: what each is about and is resampled, empty where
    each item stands for itself (core.report.scoring.units_of). items: how many the category has. unscored:
    the ids left out, by reason. unanswered: scored items to which the model said nothing.
    """

    category: str
    kind: Kind
    protocol: str
    ids: tuple[str, ...]
    scores: np.ndarray
    items: int
    unscored: Mapping[str, tuple[str, ...]]
    unanswered: int
    units: tuple[str, ...] = ()

    @property
    def interval(self) -> Interval | None:
        """Mean and 95 % interval; None where nothing is scored."""
        if not len(self.scores):
            return None
        return mean_interval([self.scores], seed=SEED, units=self.units or None)


@dataclass(frozen=True, kw_only=True)
class Overall:
    """The mean over `n` scored of `items` items with its 95 % interval; None where nothing is scored."""

    protocol: str
    value: Interval | None
    n: int
    items: int
    unscored: Mapping[str, int]


def kind_of(category: str) -> Kind:
    """How a category is scored."""
    return KINDS.get(category, "closed")


def open_cases(rows: Sequence[Row], outputs: Sequence[Output]) -> list[OpenCase]:
    """What a judge rates: the open questions that have a prediction, in order."""
    return [
        OpenCase(
            id=str(row["id"]), question=row["question"], reference=row["answer"] or "", answer=output.texts[0]
        )
        for row, output in zip(rows, outputs, strict=True)
        if kind_of(row["category"]) == "open" and output.texts
    ]


def score(
    rows: Sequence[Row],
    outputs: Sequence[Output],
    *,
    encode: Encode | None,
    verdicts: Sequence[OpenVerdict] | None,
    sentences: Callable[[str], int] | None = None,
) -> list[Part]:
    """Every category under every protocol it has; categories in the order of the rows.

    Args:
        rows: of the data set, all of them or a sample; never a prefix, since rows stand by category.
        outputs: one a row.
        encode: texts to embeddings for the closed questions; None leaves those unscored, and says so.
        verdicts: of `open_cases(rows, outputs)`; None leaves the open questions unscored, and says so.
        sentences: counts sentences for the instructions; None takes what is installed.
    """
    if not rows:
        raise PredictionError("no rows to score")
    groups: dict[str, list[tuple[Row, Output]]] = {}
    for row, output in zip(rows, outputs, strict=True):
        groups.setdefault(row["category"], []).append((row, output))
    closed = [pair for name, group in groups.items() if kind_of(name) == "closed" for pair in group]
    marks = _closed_marks(closed, encode)
    open_ids = {str(row["id"]) for row in rows if kind_of(row["category"]) == "open"}
    if strange := [verdict.id for verdict in verdicts or () if verdict.id not in open_ids]:
        raise PredictionError(f"{len(strange)} verdicts are of no open question (first: {strange[0]})")
    parts: list[Part] = []
    for name, group in groups.items():
        kind = kind_of(name)
        if kind == "closed":
            by_protocol = {protocol: (found, "no embedding model") for protocol, found in marks.items()}
        elif kind == "open":
            by_protocol = {
                p: (_ratings(verdicts, release=p == RELEASE), "no verdict") for p in (OURS, RELEASE)
            }
        else:
            by_protocol = {p: (_obeyed(group, p == RELEASE, sentences), "") for p in (OURS, RELEASE)}
        parts += [_part(name, kind, p, group, scores, else_) for p, (scores, else_) in by_protocol.items()]
    return parts


def overall(parts: Sequence[Part], *, protocol: str = OURS) -> Overall:
    """The mean over the scored items of all categories under one protocol, each category weighted by how many
    it has."""
    chosen = [part for part in parts if part.protocol == protocol]
    if not chosen:
        raise PredictionError(f"nothing is scored under {protocol!r}")
    scores = np.concatenate([part.scores for part in chosen])
    unscored: Counter[str] = Counter()
    for part in chosen:
        unscored.update({reason: len(ids) for reason, ids in part.unscored.items()})
    return Overall(
        protocol=protocol,
        value=mean_interval([scores], seed=SEED, units=units_of_parts(chosen)) if len(scores) else None,
        n=len(scores),
        items=sum(part.items for part in chosen),
        unscored=dict(unscored),
    )


def units_of_parts(parts: Sequence[Part]) -> tuple[str, ...]:
    """The unit of each scored item of all parts; an item without one stands for itself."""
    return tuple(
        unit for part in parts for unit in (part.units or tuple(f"{EXAM}:{name}" for name in part.ids))
    )


def table(parts: Sequence[Part]) -> str:
    """Categories, then overall, with ours beside the release, in %; what is left out stands below."""
    release = {part.category: part for part in parts if part.protocol == RELEASE}
    lines = [f"{'category':24}{'n of N':>14}{'ours':>8}{'95 % interval':>18}{'release':>9}{'blank':>7}"]
    for part in (part for part in parts if part.protocol == OURS):
        other = release[part.category].interval
        lines.append(_line(part.category, len(part.ids), part.items, part.interval, other, part.unanswered))
    ours, theirs = overall(parts), overall(parts, protocol=RELEASE)
    blank = sum(part.unanswered for part in parts if part.protocol == OURS)
    lines.append(_line("overall", ours.n, ours.items, ours.value, theirs.value, blank))
    lines += [f"left out: {n} items, {reason}" for reason, n in ours.unscored.items()]
    return "\n".join(lines)


Scores: TypeAlias = Mapping[str, float]  # by id; an item that is not there is unscored


def _closed_marks(pairs: Sequence[tuple[Row, Output]], encode: Encode | None) -> dict[str, Scores]:
    """Scores of closed items under each protocol; without an encoder none under ours and the release's."""
    pairs = [(row, output) for row, output in pairs if len(row["choices"] or ()) > 1 and output.texts]
    ids = [str(row["id"]) for row, _ in pairs]
    answers = [row["answer"] or "" for row, _ in pairs]
    choices = [list(row["choices"]) for row, _ in pairs]
    found: dict[str, Scores] = {OURS: {}, RELEASE: {}}
    if encode is not None:
        said = [(text, place) for place, (_, output) in enumerate(pairs) for text in output.texts]
        options = iter(
            match([text for text, _ in said], [choices[place] for _, place in said], encode=encode)
        )
        matched = [[next(options) for _ in output.texts] for _, output in pairs]
        right = [
            [options_[at] == answer for at in places]
            for places, options_, answer in zip(matched, choices, answers)
        ]
        found[RELEASE] = {id: float(first[0]) for id, first in zip(ids, right)}
        ours = {}
        for id, (_, output), places, options_, answer in zip(ids, pairs, matched, choices, answers):
            # options with the same text are one candidate, the first of them
            votes = [
                options_.index(options_[at]) if text.strip() else None
                for text, at in zip(output.texts, places)
            ]
            voted = vote(votes)
            ours[id] = float(voted is not None and options_[voted] == answer)
        found[OURS] = ours
    by_rule = score_votes(
        [output.texts for _, output in pairs],
        [output.orders for _, output in pairs],
        answers,
        choices,
        rules=RULES,
    )
    for rule, marks in by_rule.items():
        found[rule] = dict(zip(ids, marks.correct.astype(float).tolist()))
    return found


def _ratings(verdicts: Sequence[OpenVerdict] | None, *, release: bool) -> Scores:
    """Overall ratings / 5 by id."""
    if not verdicts or not (release or any("overall" in verdict.scores for verdict in verdicts)):
        return {}
    overall_ = summarise(verdicts, missing="official_release" if release else "excluded").overall
    return {v.id: float(value) / HIGHEST for v, value in zip(verdicts, overall_) if not np.isnan(value)}


def _obeyed(
    group: Sequence[tuple[Row, Output]], release: bool, sentences: Callable[[str], int] | None
) -> Scores:
    """1 where an instruction is obeyed, 0 where not."""
    pairs = [(row, output) for row, output in group if output.texts]
    rules = [
        Ruled(
            id=str(row["id"]),
            task=row["task_identifier"] or "",
            kwargs=read_kwargs(row["kwargs"], id=str(row["id"])),
            prompt=row["question"],
        )
        for row, _ in pairs
    ]
    done = check_all(
        [output.texts[0] for _, output in pairs],
        rules,
        reading="release" if release else "strict",
        sentences=sentences,
    )
    return {one.id: float(one.passed) for one in done}


def _part(
    category: str,
    kind: Kind,
    protocol: str,
    group: Sequence[tuple[Row, Output]],
    scores: Scores,
    otherwise: str,
) -> Part:
    """The category's items that have a score, and why the others have none."""
    unscored: dict[str, list[str]] = {}
    ids: list[str] = []
    about: list[Row] = []
    blank = 0
    for row, output in group:
        id = str(row["id"])
        if id in scores:
            ids.append(id)
            about.append(row)
            blank += not any(text.strip() for text in output.texts)
        elif not output.texts:
            unscored.setdefault(NO_OUTPUT, []).append(id)
        elif kind == "closed" and len(row["choices"] or ()) < 2:
            unscored.setdefault(WITHOUT_CHOICES, []).append(id)
        else:
            unscored.setdefault(otherwise, []).append(id)
    return Part(
        category=category,
        kind=kind,
        protocol=protocol,
        ids=tuple(ids),
        scores=np.array([scores[id] for id in ids], dtype=np.float64),
        items=len(group),
        unscored={reason: tuple(which) for reason, which in unscored.items()},
        unanswered=blank,
        units=units_of(about, exam=EXAM),
    )


def _line(name: str, n: int, items: int, ours: Interval | None, release: Interval | None, blank: int) -> str:
    value = f"{100 * ours.value:8.1f}" if ours else f"{'-':>8}"
    bounds = f"{100 * ours.low:.1f} to {100 * ours.high:.1f}" if ours else "-"
    theirs = f"{100 * release.value:9.1f}" if release else f"{'-':>9}"
    return f"{name:24}{f'{n} of {items}':>14}{value}{bounds:>18}{theirs}{blank:7d}"

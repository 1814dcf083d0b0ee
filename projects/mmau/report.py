"""Scores of predictions as a table: rules beside each other, by task, difficulty and skill, with coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.answering.records import Record
from core.data.choices import DIFFICULTIES, SKILLS, TASKS, ChoiceItem
from core.metrics.bootstrap import Interval, dataset_seed, mean_interval
from core.metrics.choice import RULES, Coverage, Marks, Rule, coverage, score_votes

DATASET = "mmau"


class ReportError(ValueError):
    """Predictions and questions that do not belong together, or questions whose answers are withheld."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Accuracy of a group of items under each rule, 0 to 1 with its 95 % interval. group "" is all."""

    group: str
    name: str
    n: int
    accuracy: Mapping[Rule, Interval]


@dataclass(frozen=True, kw_only=True)
class Report:
    """n items were scored of total; missing have no audio. orders: the most in which an item was asked.

    failed, cut: items with an output that failed, and with one that ended at the limit of new tokens.
    """

    n: int
    total: int
    orders: int
    failed: int
    cut: int
    rows: tuple[Row, ...]
    coverage: Mapping[Rule, Coverage]


def report(items: Sequence[ChoiceItem], records: Sequence[Record]) -> Report:
    """Score the records; items without one are counted in `total` only. Raises ReportError."""
    by_id = {record.id: record for record in records}
    if foreign := sorted(set(by_id) - {item.id for item in items}):
        raise ReportError(
            f"{len(foreign)} predictions are of items that the data lacks ({', '.join(foreign[:3])}, ...): "
            "give the data set that they were made on"
        )
    scored = [item for item in items if item.id in by_id]
    if not scored:
        raise ReportError("there is no prediction for any item of the data: run the evaluation first")
    if withheld := [item.id for item in scored if not item.answer]:
        raise ReportError(
            f"{len(withheld)} of {len(scored)} answers are withheld ({withheld[0]}, ...): there is nothing "
            "to score here; make the server's file with `python -m projects.mmau.submit`"
        )
    kept = [by_id[item.id] for item in scored]
    for item, record in zip(scored, kept):
        if any(sorted(order) != list(range(len(item.choices))) for order in record.orders):
            raise ReportError(
                f"{item.id}: its options have changed since it was asked: run the evaluation again"
            )
    marks = score_votes(
        [record.outputs for record in kept],
        [record.orders for record in kept],
        [item.answer for item in scored],
        [item.choices for item in scored],
        rules=RULES,
    )
    return Report(
        n=len(scored),
        total=len(items),
        orders=max(len(record.orders) for record in kept),
        failed=sum(any(record.errors) for record in kept),
        cut=sum(bool(record.cut) for record in kept),
        rows=tuple(_rows(scored, marks)),
        coverage={rule: coverage(marks[rule]) for rule in RULES},
    )


def table(made: Report) -> str:
    """The report as text: percentages with 95 % intervals of n items, then how many outputs could be read."""
    counted = f"{made.n} of {made.total} items" if made.n < made.total else f"{made.n} items"
    asked = "" if made.orders == 1 else f", up to {made.orders} orders of the options each, by majority"
    lines = [f"accuracy in % [95 % interval], {counted}{asked}", ""]
    width = max(len(row.name) for row in made.rows) + 2
    head = f"{'':{width}}{'n':>6}" + "".join(f"{rule:>24}" for rule in RULES)
    group = None
    for row in made.rows:
        if row.group != group:
            lines += [head] if group is None else ["", row.group]
            group = row.group
        cells = "".join(f"{_cell(row.accuracy[rule]):>24}" for rule in RULES)
        lines.append(f"{row.name:{width}}{row.n:>6}{cells}")
    lines += ["", f"{'coverage':{width}}{'':>6}" + "".join(f"{rule:>24}" for rule in RULES)]
    for name in ("answered", "unparsed", "ambiguous", "said_nothing"):
        counts = "".join(f"{getattr(made.coverage[rule], name):>24}" for rule in RULES)
        lines.append(f"{name.replace('_', ' '):{width}}{'':>6}{counts}")
    if made.failed:
        lines += ["", f"{made.failed} items have an output that failed; their errors are in the predictions"]
    if made.cut:
        said = (
            f"{made.cut} items have an output that was cut off at --max-new-tokens, perhaps before its answer"
        )
        lines += ["", f"{said}: raise it and ask again"]
    return "\n".join(lines)


def as_json(made: Report) -> dict[str, Any]:
    """The report as JSON."""
    return asdict(made)


def _rows(items: Sequence[ChoiceItem], marks: Mapping[Rule, Marks]) -> list[Row]:
    named = [("", "total", np.ones(len(items), bool))]
    # Questions about one audio are one unit.
    heard = ["+".join(filter(None, item.audio_names)) or item.id for item in items]
    for group, names, values in (
        ("task", TASKS, [item.task for item in items]),
        ("difficulty", DIFFICULTIES, [item.difficulty for item in items]),
        ("skill", tuple(SKILLS), [item.sub_category for item in items]),
    ):
        order = [*names, *sorted(set(values) - set(names))]  # names that the paper does not know come last
        named += [(group, name, np.array([value == name for value in values])) for name in order]
    return [
        Row(
            group=group,
            name=name,
            n=int(chosen.sum()),
            accuracy={
                rule: mean_interval(
                    [marks[rule].correct[chosen].astype(float)],
                    seed=dataset_seed(DATASET),
                    units=[unit for unit, there in zip(heard, chosen) if there],
                )
                for rule in RULES
            },
        )
        for group, name, chosen in named
        if chosen.any()
    ]


def _cell(interval: Interval) -> str:
    return f"{100 * interval.value:.2f} [{100 * interval.low:5.1f}, {100 * interval.high:5.1f}]"

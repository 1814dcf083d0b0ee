"""Averages and differences of cells: every unit's contribution to them, paired by name, and their spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.metrics.bootstrap import unit_sums
from core.metrics.jackknife import Spread, spread
from core.report.cells import Cell, Items

BOUNDS = {"%": (0.0, 100.0)}


@dataclass(frozen=True, kw_only=True)
class Term:
    """`weight` times a cell; `items` None for a constant, which has no spread."""

    weight: float
    cell: Cell
    items: Items | None


def bounds_of(unit: str) -> tuple[float, float] | None:
    """The ends of a unit's scale, "%" or such as "1-5"; None where the unit does not say."""
    if unit in BOUNDS:
        return BOUNDS[unit]
    low, dash, high = unit.partition("-")
    try:
        return (float(low), float(high)) if dash else None
    except ValueError:
        return None


def spread_of(terms: Sequence[Term]) -> Spread | None:
    """The spread of a weighted sum of cells; None without item scores, or with fewer than two units in a set.

    A unit that stands behind several cells (a clip that both rows were asked about, answers that both columns
    judge) contributes to all of them at once: what the cells share is neither counted twice nor lost. Cells
    that share no unit are of independent sets.
    """
    sets: list[dict[str, float]] = []
    for term in terms:
        if term.items is None:
            continue
        scores = np.mean(np.stack(term.items.scores), axis=0)
        units = term.items.resampled
        sums, _ = unit_sums(scores - scores.mean(), units)
        factor = term.weight * (100.0 if term.cell.unit == "%" else 1.0) / len(scores)
        joined = dict(zip(dict.fromkeys(units), (factor * sums).tolist()))
        apart = []
        for other in sets:
            if other.keys().isdisjoint(joined):
                apart.append(other)
            else:
                for unit, share in other.items():
                    joined[unit] = joined.get(unit, 0.0) + share
        sets = [*apart, joined]
    if not sets or any(len(chosen) < 2 for chosen in sets):
        return None
    ends = bounds_of(terms[0].cell.unit)
    weight = max(abs(term.weight) for term in terms)
    return spread(
        [len(chosen) * np.array(list(chosen.values())) for chosen in sets],
        scale=weight * (ends[1] - ends[0]) if ends else 0.0,
    )


def common_items(left: Items, right: Items) -> tuple[Items, Items]:
    """Both restricted to the ids that both have, in one order. Empty where they share none."""
    shared = set(left.ids) & set(right.ids)
    return _chosen(left, shared), _chosen(right, shared)


def _chosen(items: Items, ids: set[str]) -> Items:
    places = sorted((i for i, name in enumerate(items.ids) if name in ids), key=lambda i: items.ids[i])
    return Items(
        row=items.row,
        column=items.column,
        dataset=items.dataset,
        kind=items.kind,
        ids=tuple(items.ids[i] for i in places),
        units=tuple(items.units[i] for i in places) if items.units else (),
        scores=tuple(s[places] for s in items.scores),
    )

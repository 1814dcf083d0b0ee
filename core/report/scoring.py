"""From predictions to cells: what the score stages of all papers do alike.

Every cell comes with what a paired test needs of it; see `core.report.cells`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.metrics.bootstrap import dataset_seed, mean_interval, unit_sums
from core.metrics.classification import macro_ap_left_out, macro_average_precision
from core.metrics.jackknife import contributions, interval
from core.report.cells import Cell, Items
from core.report.pairing import bounds_of
from core.run import jsonl

Result = tuple[Cell, Items]


class PredictionError(ValueError):
    """A file of predictions that cannot be scored."""


def read_lines(path: Path, *, writer: str = "stage") -> list[dict[str, Any]]:
    """The lines of a file of predictions; `writer` names what writes it in messages.

    Raises PredictionError for a missing, empty or cut file, and for an id that occurs twice.
    """
    try:
        lines = jsonl.read_lines(path)
        ids = [line["id"] for line in lines]
    except FileNotFoundError:
        raise PredictionError(f"{path} is missing: run its {writer} again") from None
    except jsonl.LineError as error:
        raise PredictionError(f"{error}: run its {writer} again") from None
    except KeyError:
        raise PredictionError(f"{path} has a line without id: run its {writer} again") from None
    if not lines or len(set(ids)) < len(ids):
        raise PredictionError(
            f"{path} holds {len(lines)} items of {len(set(ids))} ids: run its {writer} again"
        )
    return lines


def ids_of(lines: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The items' ids."""
    return tuple(str(line["id"]) for line in lines)


def units_of(lines: Sequence[Mapping[str, Any]], *, exam: str) -> tuple[str, ...]:
    """What is resampled: the recording or else the audio that each line is about.

    A line of `exam` that names neither is a unit of its own; empty where all are.
    """
    if not any(line.get("recording") or line.get("audio") for line in lines):
        return ()
    return tuple(str(line.get("recording") or line.get("audio") or f"{exam}:{line['id']}") for line in lines)


def count_units(lines: Sequence[Mapping[str, Any]], *, exam: str) -> int:
    """How many units the lines are: the n of a cell."""
    return len(set(units_of(lines, exam=exam) or ids_of(lines)))


def mean_cell(
    row: str,
    column: str,
    dataset: str,
    scores: Sequence[np.ndarray],
    ids: Sequence[str],
    *,
    scale: str,
    protocol: str,
    unit: str = "%",
    units: Sequence[str] = (),
    items: str = "items",
    clusters: str = "clips",
    bounds: tuple[float, float] | None = None,
) -> Result:
    """A cell that is the mean of item scores (n,) of each seed, times 100 for %.

    The interval resamples items, seeds averaged; items of one of `units` together. `items` and `clusters`
    are their names in the protocol. bounds: of a score, where the unit does not say ("%": 0 to 1).
    """
    factor = 100.0 if unit == "%" else 1.0
    ends = bounds_of(unit)
    given = bounds or (tuple(end / factor for end in ends) if ends else (0.0, 1.0))
    interval_ = mean_interval(
        scores, seed=dataset_seed(dataset), units=units or None, bounds=(given[0], given[1])
    )
    return _made(
        Cell(
            row=row,
            column=column,
            value=factor * interval_.value,
            low=factor * interval_.low,
            high=factor * interval_.high,
            n=interval_.n,
            seeds=tuple(factor * value for value in interval_.seeds),
            scale=scale,
            protocol=f"{protocol}; {resampled(len(ids), interval_.n, items=items, clusters=clusters)}",
            unit=unit,
        ),
        Items(
            row=row,
            column=column,
            dataset=dataset,
            scores=tuple(np.asarray(one, dtype=np.float64) for one in scores),
            ids=tuple(ids),
            units=tuple(units),
        ),
    )


def statistic_cell(
    row: str,
    column: str,
    dataset: str,
    values: Sequence[float],
    left_out: Sequence[np.ndarray],
    ids: Sequence[str],
    *,
    scale: str,
    protocol: str,
    units: Sequence[str] = (),
    clusters: str = "clips",
) -> Result:
    """A cell in % of a metric in [0, 1] that is no mean of its n items.

    values: the metric of each seed; left_out: (n,) of each seed, the metric without each item in turn. The
    interval is the jackknife's (core.metrics.jackknife), seeds averaged. Items of one of `units` are
    resampled together: their contributions are summed.
    """
    made = [contributions(value, one) for value, one in zip(values, left_out, strict=True)]
    if units and len(set(units)) < len(units):
        made = [_by_unit(value, one, units) for value, one in zip(values, made, strict=True)]
        ids = units = tuple(dict.fromkeys(units))
    low, high = interval(np.mean(made, axis=0), bounds=(0.0, 1.0))
    seeds = tuple(100 * value for value in values)
    return _made(
        Cell(
            row=row,
            column=column,
            value=float(np.mean(seeds)),
            low=100 * low,
            high=100 * high,
            n=len(made[0]),
            seeds=seeds,
            scale=scale,
            protocol=f"{protocol}; {resampled(len(left_out[0]), len(made[0]), clusters=clusters)}",
        ),
        Items(
            row=row,
            column=column,
            dataset=dataset,
            scores=tuple(made),
            ids=tuple(ids),
            units=tuple(units),
            kind="contributions",
        ),
    )


def map_cell(
    row: str,
    column: str,
    dataset: str,
    scores: Sequence[np.ndarray],
    labels: np.ndarray,
    ids: Sequence[str],
    *,
    scale: str,
    protocol: str,
    units: Sequence[str] = (),
    clusters: str = "clips",
) -> Result:
    """Macro mAP of class scores (n, C) of each seed, over the classes present in `labels` (n, C) bool."""
    values = [macro_average_precision(one, labels).value for one in scores]
    left_out = [macro_ap_left_out(one, labels) for one in scores]
    return statistic_cell(
        row,
        column,
        dataset,
        values,
        left_out,
        ids,
        scale=scale,
        protocol=protocol,
        units=units,
        clusters=clusters,
    )


def resampled(count: int, units: int, *, items: str = "items", clusters: str = "clips") -> str:
    """The protocol's words for what is resampled: "resampled: 150 clips with 450 questions"."""
    return f"resampled: {items if units == count else f'{units} {clusters} with {count} {items}'}"


def _by_unit(value: float, made: np.ndarray, units: Sequence[str]) -> np.ndarray:
    """Contributions (U,) of units from those of their items (n,), to first order, of the same mean."""
    sums, _ = unit_sums(made - value, units)
    return value + sums * (len(sums) / len(made))


def _made(cell: Cell, items: Items) -> Result:
    return cell, items

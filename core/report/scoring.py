"""From predictions to cells: what the score stages of all papers do alike.

Every cell comes with what a paired test needs of it; see `core.report.cells`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.metrics.bootstrap import bootstrap_statistic, dataset_seed, mean_interval, percentile_interval
from core.metrics.classification import macro_ap_replicates, macro_average_precision
from core.report.cells import Cell, Items
from core.run import jsonl

REPLICATES = 2000  # of metrics that are no mean: each needs a pass over the items

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


def mean_cell(
    row: str,
    column: str,
    dataset: str,
    scores: Sequence[np.ndarray],
    *,
    scale: str,
    protocol: str,
    unit: str = "%",
) -> Result:
    """A cell that is the mean of item scores (n,) of each seed, times 100 for %.

    The interval resamples items, seeds averaged.
    """
    interval = mean_interval(scores, seed=dataset_seed(dataset))
    factor = 100.0 if unit == "%" else 1.0
    cell = Cell(
        row=row,
        column=column,
        value=factor * interval.value,
        low=factor * interval.low,
        high=factor * interval.high,
        n=interval.n,
        seeds=tuple(factor * value for value in interval.seeds),
        scale=scale,
        protocol=protocol,
        unit=unit,
    )
    return cell, Items(row=row, column=column, dataset=dataset, scores=tuple(scores))


def statistic_cell(
    row: str,
    column: str,
    dataset: str,
    values: Sequence[float],
    statistics: Sequence[Callable[[np.ndarray], np.ndarray]],
    *,
    n: int,
    scale: str,
    protocol: str,
) -> Result:
    """A cell in % of a metric that is no mean of its n items.

    values: the metric of each seed, in [0, 1]; statistics: of each seed, resampling counts (R, n) -> the
    metric (R,). The interval resamples items, seeds averaged.
    """
    seed = dataset_seed(dataset)
    drawn = [100 * bootstrap_statistic(one, n, seed=seed, replicates=REPLICATES) for one in statistics]
    low, high = percentile_interval(np.mean(drawn, axis=0))
    seeds = tuple(100 * value for value in values)
    cell = Cell(
        row=row,
        column=column,
        value=float(np.mean(seeds)),
        low=low,
        high=high,
        n=n,
        seeds=seeds,
        scale=scale,
        protocol=protocol,
    )
    return cell, Items(row=row, column=column, dataset=dataset, scores=tuple(drawn), kind="replicates")


def map_cell(
    row: str,
    column: str,
    dataset: str,
    scores: Sequence[np.ndarray],
    labels: np.ndarray,
    *,
    scale: str,
    protocol: str,
) -> Result:
    """Macro mAP of class scores (n, C) of each seed, over the classes present in `labels` (n, C) bool."""
    values = [macro_average_precision(one, labels).value for one in scores]
    statistics = [functools.partial(macro_ap_replicates, one, labels) for one in scores]
    return statistic_cell(
        row, column, dataset, values, statistics, n=len(labels), scale=scale, protocol=protocol
    )

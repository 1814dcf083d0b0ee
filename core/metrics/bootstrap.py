"""Intervals of means by resampling: the bootstrap, vectorised as counts @ scores; Wilson's interval."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

REPLICATES = 2000
_CHUNK = 4_000_000  # drawn items held at a time


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with its interval, in the unit of the scores; `seeds` holds the estimate of each seed."""

    value: float
    low: float
    high: float
    n: int
    seeds: tuple[float, ...]


def dataset_seed(dataset: str) -> int:
    """The resampling seed of everything that is scored on `dataset`."""
    return zlib.crc32(dataset.encode())


def resample_counts(n: int, *, seed: int, replicates: int = REPLICATES) -> Iterator[np.ndarray]:
    """Yield blocks (r, n) float32 of how often each of `n` items is drawn; the blocks hold `replicates` rows
    in all.

    The rows depend on n, seed and replicates only.
    """
    if n < 1 or replicates < 1:
        raise ValueError(f"cannot resample {n} items {replicates} times; both must be at least 1")
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // n)
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        drawn = rng.integers(0, n, size=(rows, n), dtype=np.int64)
        drawn += np.arange(rows)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float32)


def bootstrap_means(scores: np.ndarray, *, seed: int, replicates: int = REPLICATES) -> np.ndarray:
    """Means of resampled items: scores (n,) -> (R,), or (n, M) -> (R, M) with the same draws per column."""
    scores = np.asarray(scores, dtype=np.float32)
    blocks = resample_counts(len(scores), seed=seed, replicates=replicates)
    return np.concatenate([counts @ scores for counts in blocks]).astype(np.float64) / len(scores)


def percentile_interval(replicates: np.ndarray, *, level: float = 0.95) -> tuple[float, float]:
    """The central `level` of the replicates. Raises ValueError where one is not finite."""
    if not np.isfinite(replicates).all():
        raise ValueError(
            f"{int((~np.isfinite(replicates)).sum())} replicates are not finite; the data set is too small"
        )
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_interval(
    scores: Sequence[np.ndarray],
    *,
    seed: int,
    units: Sequence[str] | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    level: float = 0.95,
    replicates: int = REPLICATES,
    method: Literal["bootstrap", "wilson"] = "bootstrap",
) -> Interval:
    """Mean and interval over items; `scores` holds one (n,) array per training seed, averaged item by item
    first.

    The interval is about other test items, not other training seeds: `seeds` shows those. Items of one unit
    (three questions about a clip; `units` names that of each item) are drawn together, and `n` counts units.
    Where all items score the same the bootstrap has no spread to show and Wilson's interval on the scale
    `bounds` is given (0 hits of 400 is not 0 +- 0). `method="wilson"` is for 0/1 scores; it takes the mean
    over seeds as the proportion of n units.
    """
    table = _by_seed(scores)
    items = table.mean(axis=0)
    sums, sizes = unit_sums(items, units)
    value, n = float(items.mean()), len(sums)
    if method == "wilson" or np.ptp(sums / sizes) < 1e-9:
        low_end, high_end = bounds
        share = min(max((value - low_end) / (high_end - low_end), 0.0), 1.0)
        ends = wilson_interval(share * n, n, level=level)
        low, high = (low_end + (high_end - low_end) * end for end in ends)
    elif n == len(items):
        low, high = percentile_interval(_resample(items, seed=seed, replicates=replicates), level=level)
    else:
        drawn = [
            (counts @ sums) / (counts @ sizes)
            for counts in resample_counts(n, seed=seed, replicates=replicates)
        ]
        low, high = percentile_interval(np.concatenate(drawn), level=level)
    return Interval(
        value=value,
        low=min(low, value),  # by rounding alone
        high=max(high, value),
        n=n,
        seeds=tuple(float(v) for v in table.mean(axis=1)),
    )


def unit_sums(items: np.ndarray, units: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """(U,) sums and numbers of the items (n,) of each unit, in the units' order of appearance."""
    if units is None:
        return items, np.ones(len(items))
    if len(units) != len(items):
        raise ValueError(f"{len(units)} units are named for {len(items)} items")
    places = {unit: place for place, unit in enumerate(dict.fromkeys(units))}
    at = np.array([places[unit] for unit in units])
    return np.bincount(at, weights=items), np.bincount(at).astype(np.float64)


def wilson_interval(successes: float, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion; never empty, also at 0 and n successes."""
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} is no proportion")
    z = NormalDist().inv_cdf((1 + level) / 2)
    p, z2 = successes / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _resample(items: np.ndarray, *, seed: int, replicates: int) -> np.ndarray:
    """Means (R,) of resampled items (n,), for one array that need not share its draws with another.

    Scores take few values (0/1, or thirds over three seeds), and drawing n items with replacement is a
    multinomial draw over the values: the same distribution at a cost that does not grow with n.
    """
    values, counts = np.unique(items, return_counts=True)
    if len(values) > 64:
        return bootstrap_means(items, seed=seed, replicates=replicates)
    drawn = np.random.default_rng(seed).multinomial(len(items), counts / len(items), size=replicates)
    return drawn @ values / len(items)


def _by_seed(scores: Sequence[np.ndarray]) -> np.ndarray:
    """(S, n) float64; raises ValueError for none, unequal lengths or scores that are not finite."""
    if (
        len(scores) == 0
        or len({np.shape(s) for s in scores}) != 1
        or np.ndim(scores[0]) != 1
        or not len(scores[0])
    ):
        raise ValueError("scores must be a sequence with one (n,) array per seed, all of one length n > 0")
    table = np.asarray(scores, dtype=np.float64)
    if not np.isfinite(table).all():
        raise ValueError(f"item {int(np.argwhere(~np.isfinite(table))[0][1])} has a score that is not finite")
    return table

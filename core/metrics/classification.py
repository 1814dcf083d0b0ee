"""Zero-shot classification: accuracy, and mean average precision over classes for multi-label data sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class MacroAP:
    """`value` in [0, 1] is the mean of `per_class` (C,) over classes with positives; NaN marks the others."""

    value: float
    per_class: np.ndarray
    classes_without_positives: int


def topk_hits(scores: np.ndarray, target: np.ndarray, *, k: int = 1) -> np.ndarray:
    """(N,) bool: the right class is among the k best of `scores` (N, C). A class tied with it counts as
    better.

    Raises ValueError for shapes that do not fit, labels out of range and scores that are not finite.
    """
    scores, target = _scores(scores), np.asarray(target)
    n, classes = scores.shape
    if target.shape != (n,) or not np.issubdtype(target.dtype, np.integer):
        raise ValueError(
            f"target is {target.dtype} of shape {target.shape}; it must be class indices of shape ({n},)"
        )
    if n and (target.min() < 0 or target.max() >= classes):
        raise ValueError(
            f"target names class {int(target.max())} or below 0; there are classes 0..{classes - 1}"
        )
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1")
    own = scores[np.arange(n), target]
    return np.count_nonzero(scores >= own[:, None], axis=1) <= k


def macro_average_precision(scores: np.ndarray, labels: np.ndarray) -> MacroAP:
    """Macro mAP of `scores` (N, C) against `labels` (N, C) bool: area under the precision-recall steps per
    class.

    AP = sum_t (R_t - R_{t-1}) P_t over distinct thresholds t, as scikit-learn's `average_precision_score`, so
    tied items share one threshold. Classes without a positive have no AP: they are left out of the mean and
    counted.
    """
    per_class = _average_precision(*_sorted(scores, labels))
    empty = int(np.isnan(per_class).sum())
    return MacroAP(value=float(np.nanmean(per_class)), per_class=per_class, classes_without_positives=empty)


def macro_ap_left_out(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) macro mAP without each item in turn, exactly, in one pass over each class.

    A class that loses its only positive leaves the mean; NaN where no class has a positive any more.
    """
    order, hits, last = _sorted(scores, labels)
    n, classes = order.shape
    positives = hits.sum(axis=0)
    rank = last + 1.0  # of the end of an item's tie
    found = np.take_along_axis(np.cumsum(hits, axis=0), last, axis=0)  # positives down to there
    # Without an item in its tie or above, a positive's rank falls by one, its count too if that was positive.
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = np.where(hits, found / rank, 0.0)
        less_rank = np.where(hits, found / (rank - 1), 0.0)
        less_both = np.where(hits, (found - 1) / (rank - 1), 0.0)
    first = np.concatenate([np.zeros((1, classes), dtype=bool), last[1:] != last[:-1]])
    first = np.maximum.accumulate(np.where(first, np.arange(n)[:, None], 0), axis=0)  # where the tie begins
    # Positives in the tie or below it move; those above do not.
    above = np.take_along_axis(_before(whole), first, axis=0)
    own_less_rank, own_less_both = (np.where(hits & (rank > 1), each, 0.0) for each in (less_rank, less_both))
    moved_rank = own_less_rank.sum(axis=0) - np.take_along_axis(_before(own_less_rank), first, axis=0)
    moved_both = own_less_both.sum(axis=0) - np.take_along_axis(_before(own_less_both), first, axis=0)
    total = above + np.where(hits, moved_both - own_less_both, moved_rank)
    with np.errstate(invalid="ignore", divide="ignore"):
        ranked = total / (positives - hits)
    per_item = np.empty_like(ranked)
    np.put_along_axis(per_item, order, ranked, axis=0)
    defined = np.isfinite(per_item)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(defined, per_item, 0.0).sum(axis=1) / defined.sum(axis=1)


def _before(values: np.ndarray) -> np.ndarray:
    """Sums over the rows above each row."""
    return np.cumsum(values, axis=0) - values


def _sorted(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per class: items by falling score, which are positives, and where the tie of each ends; all (N, C)."""
    scores, labels = _scores(scores), np.asarray(labels)
    if labels.shape != scores.shape or labels.dtype != np.bool_:
        raise ValueError(
            f"labels is {labels.dtype} of shape {labels.shape}; it must be bool of shape {scores.shape}"
        )
    if not labels.any():
        raise ValueError("no class has a positive; mean average precision is undefined")
    order = np.argsort(-scores, axis=0, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=0)
    n = len(scores)
    ends = np.concatenate([ranked[1:] != ranked[:-1], np.ones((1, scores.shape[1]), dtype=bool)])
    last = np.where(ends, np.arange(n)[:, None], n)
    last = np.minimum.accumulate(last[::-1], axis=0)[::-1]
    return order, np.take_along_axis(labels, order, axis=0), last


def _average_precision(order: np.ndarray, hits: np.ndarray, last: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.cumsum(hits, axis=0) / (np.arange(len(order))[:, None] + 1.0)
        precision = np.take_along_axis(precision, last, axis=0)
        return np.where(hits, precision, 0.0).sum(axis=0) / hits.sum(axis=0)


def _scores(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores)
    if scores.ndim != 2:
        raise ValueError(f"scores has shape {scores.shape}; it must be (N items, C classes)")
    bad = ~np.isfinite(scores).all(axis=1)
    if bad.any():
        raise ValueError(
            f"item {int(np.argmax(bad))} has a score that is not finite; look for NaN in its embedding"
        )
    return scores

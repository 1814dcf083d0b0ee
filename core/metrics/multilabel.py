"""Micro-averaged F1 of multi-label data sets, with the counts per item that give its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class MicroF1:
    """F1, precision and recall in [0, 1] of all decisions pooled.

    `counts` (N, 3) int: true positives, false positives and false negatives of each item.
    """

    value: float
    precision: float
    recall: float
    counts: np.ndarray


def one_hot_argmax(scores: np.ndarray) -> np.ndarray:
    """(N, C) float: 1 at the best class of each item, as LTU scores DCASE 2017 (one label an item).

    Where several classes tie for the best, the item has not decided: each of k gets 1 / k, and `micro_f1`
    counts that as one wrong decision. Raises ValueError for scores that are not finite.
    """
    scores = _scores(scores)
    best = scores == scores.max(axis=1, keepdims=True)
    return best / best.sum(axis=1, keepdims=True)


def above_threshold(scores: np.ndarray, threshold: float | np.ndarray) -> np.ndarray:
    """(N, C) float: 1 where a score is at least the threshold, one number or one a class (C,)."""
    scores, threshold = _scores(scores), np.asarray(threshold, dtype=np.float64)
    if threshold.shape not in ((), (scores.shape[1],)) or np.isnan(threshold).any():
        raise ValueError(
            f"threshold has shape {threshold.shape}; it must be one number or {scores.shape[1]} of them"
        )
    return (scores >= threshold).astype(np.float64)


def micro_f1(predicted: np.ndarray, labels: np.ndarray) -> MicroF1:
    """2 TP / (2 TP + FP + FN) over all items and classes; equals scikit-learn's f1_score(average="micro").

    Args:
        predicted: (N, C), 1 or True for a class that is predicted; what is between 0 and 1 is an undecided
        item's (see `one_hot_argmax`).
        labels: (N, C) bool.

    Raises:
        ValueError: shapes that do not fit, or neither a label nor a prediction anywhere.
    """
    predicted, labels = np.asarray(predicted, dtype=np.float64), np.asarray(labels)
    if predicted.ndim != 2 or labels.shape != predicted.shape or labels.dtype != np.bool_:
        raise ValueError(
            f"labels is {labels.dtype} of shape {labels.shape}, predictions have shape {predicted.shape}; "
            "they must be (N items, C classes), labels bool"
        )
    if not ((predicted >= 0) & (predicted <= 1)).all():
        raise ValueError("predictions must lie in [0, 1]; decide with one_hot_argmax or above_threshold")
    chosen = predicted == 1
    undecided = ((predicted > 0) & ~chosen).any(axis=1)
    counts = np.stack(
        [
            (chosen & labels).sum(axis=1),
            (chosen & ~labels).sum(axis=1) + undecided,
            (~chosen & labels).sum(axis=1),
        ],
        axis=1,
    )
    tp, fp, fn = counts.sum(axis=0)
    if not tp + fp + fn:
        raise ValueError("no item has a label or a prediction; F1 is undefined")
    return MicroF1(
        value=float(2 * tp / (2 * tp + fp + fn)),
        precision=float(tp / (tp + fp)) if tp + fp else 0.0,
        recall=float(tp / (tp + fn)) if tp + fn else 0.0,
        counts=counts,
    )


def micro_f1_left_out(counts: np.ndarray) -> np.ndarray:
    """(N,) micro-F1 without each item in turn, from `counts` (N, 3); NaN where nothing is left."""
    tp, fp, fn = (counts.sum(axis=0) - counts).T.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return 2 * tp / (2 * tp + fp + fn)


def _scores(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores)
    if scores.ndim != 2 or not scores.shape[1]:
        raise ValueError(f"scores has shape {scores.shape}; it must be (N items, C classes)")
    bad = ~np.isfinite(scores).all(axis=1)
    if bad.any():
        raise ValueError(
            f"item {int(np.argmax(bad))} has a score that is not finite; look for NaN in its embedding"
        )
    return scores

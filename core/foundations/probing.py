"""Linear probes: what a straight line reads out of frozen features."""

from __future__ import annotations

import numpy as np

from core.metrics.jackknife import contributions, interval

PENALTY = 1.0  # of squared weights, for standardised features


def probe(features: np.ndarray, targets: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Ridge regression of targets (N, K) on features (N, D): its values (M, K) for `new` features (M, D)."""
    mean, std = features.mean(axis=0), features.std(axis=0) + 1e-6
    known, unknown = ((each - mean) / std for each in (features, new))
    middle = targets.mean(axis=0)
    weights = np.linalg.solve(
        known.T @ known + PENALTY * np.eye(known.shape[1]), known.T @ (targets - middle)
    )
    return np.asarray(unknown @ weights + middle)


def explained(targets: np.ndarray, guesses: np.ndarray) -> tuple[float, float, float]:
    """R² of guesses (N,), and its 95 % interval over other items; 0 is a guess of the mean."""
    missed, spread = np.square(targets - guesses), np.square(targets - targets.mean())
    value = 1 - float(missed.sum() / spread.sum())
    left_out = 1 - (missed.sum() - missed) / (spread.sum() - spread)
    low, high = interval(contributions(value, left_out), bounds=(-1.0, 1.0))
    return value, low, high

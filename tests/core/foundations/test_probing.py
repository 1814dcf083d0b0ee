"""What a linear probe reads, and what it cannot."""

from __future__ import annotations

import numpy as np

from core.foundations.probing import explained, probe


def test_a_probe_reads_what_is_linear() -> None:
    rng = np.random.default_rng(0)
    features, new = rng.normal(size=(200, 5)), rng.normal(size=(100, 5))
    weights = rng.normal(size=(5, 1))
    guesses = probe(features, features @ weights + 3, new)
    value, low, high = explained((new @ weights + 3)[:, 0], guesses[:, 0])
    assert value > 0.99
    assert low <= value <= high


def test_a_probe_of_noise_explains_nothing() -> None:
    rng = np.random.default_rng(0)
    features, new = rng.normal(size=(200, 5)), rng.normal(size=(100, 5))
    guesses = probe(features, rng.normal(size=(200, 1)), new)
    value, low, _ = explained(rng.normal(size=100), guesses[:, 0])
    assert low < value < 0.1

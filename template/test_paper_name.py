"""projects/paper_name: the parts that its numbers rest on."""

from __future__ import annotations

import numpy as np
import pytest

from projects.paper_name.predict import Config, make_pairs, zero_crossings
from projects.paper_name.score import scores_of


def test_zero_crossings_follow_the_frequency() -> None:
    time = np.arange(16000) / 16000
    for frequency in (100, 440):
        waveform = np.sin(2 * np.pi * frequency * time + 0.1)
        assert abs(zero_crossings(waveform) - 2 * frequency) <= 1


def test_items_do_not_change_between_calls() -> None:
    one, two = (make_pairs(items=3, noise_db=-6, sample_rate=8000) for _ in range(2))
    assert all(np.array_equal(a[0], b[0]) and a[2] == b[2] for a, b in zip(one, two))
    assert one[0][0].dtype == np.float32
    assert one[0][0].shape == (2000,)


def test_clean_tones_are_told_apart() -> None:
    pairs = make_pairs(items=50, noise_db=-100, sample_rate=16000, seconds=1.0)
    assert all((zero_crossings(first) > zero_crossings(second)) == truth for first, second, truth in pairs)


def test_scores_are_one_where_the_answer_is_true() -> None:
    rows = [(True, True), (False, True), (False, False)]
    lines = [{"first_is_higher": answer, "truth": truth} for answer, truth in rows]
    assert scores_of(lines).tolist() == [1.0, 0.0, 1.0]


def test_no_item_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Config(method="guess", items=0, noise_db=0.0, sample_rate=8000, seeds=(0,))

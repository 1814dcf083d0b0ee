"""Resampling: counts, coverage, pairing, and the cases where a bootstrap has nothing to show."""

from __future__ import annotations

import numpy as np
import pytest

from core.metrics import bootstrap
from core.metrics.bootstrap import (
    bootstrap_means,
    dataset_seed,
    mean_interval,
    percentile_interval,
    resample_counts,
    unit_sums,
    wilson_interval,
)


def test_counts_are_resamples_and_depend_on_the_seed_alone(monkeypatch):
    whole = np.concatenate(list(resample_counts(30, seed=5, replicates=50)))
    assert whole.shape == (50, 30)
    assert (whole.sum(axis=1) == 30).all()
    monkeypatch.setattr(bootstrap, "_CHUNK", 100)  # other blocks, same rows
    blocks = list(resample_counts(30, seed=5, replicates=50))
    assert len(blocks) > 1
    assert (np.concatenate(blocks) == whole).all()
    assert (np.concatenate(list(resample_counts(30, seed=6, replicates=50))) != whole).any()


def test_means_equal_a_loop_over_resamples():
    scores = np.random.default_rng(0).random((40, 3))
    counts = np.concatenate(list(resample_counts(40, seed=1, replicates=25)))
    loop = [np.repeat(scores, row.astype(int), axis=0).mean(axis=0) for row in counts]
    np.testing.assert_allclose(bootstrap_means(scores, seed=1, replicates=25), loop, atol=1e-6)
    np.testing.assert_allclose(
        bootstrap_means(scores[:, 1], seed=1, replicates=25), np.array(loop)[:, 1], atol=1e-6
    )


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    inside = 0
    for trial in range(200):
        interval = mean_interval([rng.random(100) < 0.3], seed=trial, replicates=400)
        inside += interval.low <= 0.3 <= interval.high
    assert 0.88 <= inside / 200 <= 0.99


def test_interval_has_the_width_of_theory():
    hits = np.arange(400) % 4 == 0
    interval = mean_interval([hits], seed=0)
    assert interval.value == 0.25
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * (0.25 * 0.75 / 400) ** 0.5, rel=0.1)


def test_seeds_are_averaged_item_by_item():
    first, second = np.array([1.0, 0.0, 1.0, 0.0]), np.array([1.0, 1.0, 1.0, 0.0])
    interval = mean_interval([first, second], seed=0)
    assert interval.seeds == (0.5, 0.75)
    assert interval.value == 0.625
    assert interval.n == 4
    twice = mean_interval([first, first], seed=0)
    assert (twice.low, twice.high) == (
        mean_interval([first], seed=0).low,
        mean_interval([first], seed=0).high,
    )


def test_no_hit_at_all_is_not_certainty():
    interval = mean_interval([np.zeros(400)], seed=0)
    assert (interval.value, interval.low) == (0.0, 0.0)
    assert interval.high == pytest.approx(0.0095, abs=1e-4)
    assert mean_interval([np.ones(400)], seed=0).low == pytest.approx(1 - 0.0095, abs=1e-4)


def test_wilson_equals_scipy():
    from scipy.stats import binomtest

    for hits, n in [(0, 10), (3, 10), (10, 10), (135, 400)]:
        expected = binomtest(hits, n).proportion_ci(method="wilson")
        assert wilson_interval(hits, n) == pytest.approx((expected.low, expected.high))
    scores = np.arange(400) < 135
    wilson = mean_interval([scores], seed=0, method="wilson")
    assert (wilson.low, wilson.high) == pytest.approx(wilson_interval(135, 400))
    with pytest.raises(ValueError, match="no proportion"):
        wilson_interval(5, 4)


def test_a_constant_score_keeps_to_its_scale():
    for constant, ends in [(1.0, (1.0, 2.11)), (5.0, (3.89, 5.0)), (3.0, (1.95, 4.05))]:
        interval = mean_interval([np.full(10, constant)], seed=0, bounds=(1.0, 5.0))
        assert (interval.low, interval.high) == pytest.approx(ends, abs=0.02)
    drop = mean_interval([np.zeros(100)], seed=0, bounds=(-1.0, 1.0))
    assert drop.low < 0 < drop.high


def test_questions_about_one_clip_are_drawn_together():
    # Three questions about a clip have one answer: they say no more than one question does.
    once = (np.random.default_rng(8).random(150) < 0.4).astype(float)
    thrice = np.repeat(once, 3)
    units = [f"set:{i}" for i in range(150) for _ in range(3)]
    alone = mean_interval([once], seed=0)
    together = mean_interval([thrice], seed=0, units=units)
    apart = mean_interval([thrice], seed=0)
    assert (together.n, apart.n) == (150, 450)
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.06)
    assert apart.high - apart.low == pytest.approx((alone.high - alone.low) / 3**0.5, rel=0.06)


def test_units_keep_their_items_whatever_their_order():
    sums, sizes = unit_sums(np.array([1.0, 2.0, 4.0]), ["set:b", "set:a", "set:b"])
    assert (sums.tolist(), sizes.tolist()) == ([5.0, 2.0], [2.0, 1.0])
    with pytest.raises(ValueError, match="2 units are named for 3 items"):
        unit_sums(np.zeros(3), ["set:a", "set:b"])


def test_units_that_all_score_the_same_are_no_certainty():
    units = [f"set:{i}" for i in range(20) for _ in range(2)]
    interval = mean_interval([np.tile([0.0, 1.0], 20)], seed=0, units=units)
    assert interval.low < 0.5 < interval.high


def test_a_data_set_has_one_resampling_seed():
    assert dataset_seed("compa_order") == dataset_seed("compa_order") != dataset_seed("compa_attribute")


def test_bad_input_says_what_is_wrong():
    with pytest.raises(ValueError, match="all of one length"):
        mean_interval([np.zeros(3), np.zeros(4)], seed=0)
    with pytest.raises(ValueError, match="all of one length"):
        mean_interval([], seed=0)
    with pytest.raises(ValueError, match="item 2 has a score that is not finite"):
        mean_interval([np.array([0.0, 1.0, np.nan])], seed=0)
    with pytest.raises(ValueError, match="too small"):
        percentile_interval(np.array([0.1, np.nan]))
    with pytest.raises(ValueError, match="at least 1"):
        next(resample_counts(0, seed=0))


def test_drawing_values_equals_drawing_items_in_distribution():
    # Thirds, as three seeds of a 0/1 score give: the fast path draws values, bootstrap_means draws items.
    items = np.random.default_rng(7).integers(0, 4, size=200) / 3
    fast = mean_interval([items], seed=0, replicates=20_000)
    slow = percentile_interval(bootstrap_means(items, seed=0, replicates=20_000))
    assert (fast.low, fast.high) == pytest.approx(slow, abs=0.002)

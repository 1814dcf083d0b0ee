"""Resampling: counts, coverage, pairing, and the cases where a bootstrap has nothing to show."""

from __future__ import annotations

import numpy as np
import pytest

from core.metrics import bootstrap
from core.metrics.bootstrap import (
    bootstrap_means,
    bootstrap_statistic,
    dataset_seed,
    mean_interval,
    paired_bootstrap,
    percentile_interval,
    resample_counts,
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


def test_a_statistic_that_is_a_mean_equals_the_mean():
    scores = np.random.default_rng(1).random(50)
    replicates = bootstrap_statistic(lambda counts: counts @ scores / 50, 50, seed=2, replicates=30)
    np.testing.assert_allclose(replicates, bootstrap_means(scores, seed=2, replicates=30), atol=1e-6)


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


def test_pairing_sees_what_two_intervals_cannot():
    rng = np.random.default_rng(4)
    difficulty = rng.normal(size=300) * 10
    left, right = difficulty + 0.5 + 0.1 * rng.normal(size=300), difficulty
    effect = paired_bootstrap([left], [right], seed=0)
    assert effect.effect == pytest.approx(float(np.mean(left - right)))
    assert 0 < effect.low < 0.5 < effect.high
    assert effect.p < 0.01
    assert mean_interval([left], seed=0).low < mean_interval([right], seed=0).high  # they overlap widely
    back = paired_bootstrap([right], [left], seed=0)
    assert (back.effect, back.low, back.p) == pytest.approx((-effect.effect, -effect.high, effect.p))


def test_no_difference_has_p_one_and_a_constant_is_a_one_sample_test():
    scores = np.random.default_rng(5).random(100)
    same = paired_bootstrap([scores, scores], [scores], seed=0)
    assert (same.effect, same.p) == (0.0, 1.0)
    against = paired_bootstrap([scores], 0.1, seed=0)
    assert against.effect == pytest.approx(scores.mean() - 0.1)
    assert against.p == pytest.approx(2 / 2001)


def test_p_is_uniform_where_nothing_is_going_on():
    rng = np.random.default_rng(6)
    p = [
        paired_bootstrap([rng.normal(size=80)], [rng.normal(size=80)], seed=i, replicates=300).p
        for i in range(200)
    ]
    assert 0.01 <= np.mean(np.array(p) < 0.05) <= 0.11


def test_a_data_set_has_one_resampling_seed():
    assert dataset_seed("compa_order") == dataset_seed("compa_order") != dataset_seed("compa_attribute")


def test_bad_input_says_what_is_wrong():
    with pytest.raises(ValueError, match="left has 3 items and right 4"):
        paired_bootstrap([np.zeros(3)], [np.zeros(4)], seed=0)
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

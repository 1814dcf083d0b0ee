"""Contributions of units, and Student's t over them: of a mean, of rare events, of several sets."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from core.metrics.jackknife import contributions, interval, spread


def test_contributions_of_a_mean_are_its_scores():
    scores = np.random.default_rng(0).random(30)
    left_out = (scores.sum() - scores) / 29
    np.testing.assert_allclose(contributions(scores.mean(), left_out), scores)


def test_contributions_average_to_the_metric_itself():
    scores = np.random.default_rng(1).random(30)
    squared = scores.mean() ** 2  # a metric that is no mean, and whose jackknife has a bias
    left_out = ((scores.sum() - scores) / 29) ** 2
    assert contributions(squared, left_out).mean() == pytest.approx(squared)
    with pytest.raises(ValueError, match="undefined without 1 of them"):
        contributions(0.5, np.array([0.5, np.nan]))
    with pytest.raises(ValueError, match="of 1 units"):
        contributions(0.5, np.array([0.5]))


def test_many_units_have_students_interval():
    values = np.random.default_rng(2).normal(size=400)
    half = student.ppf(0.975, 399) * values.std(ddof=1) / 20
    assert spread([values], scale=1.0).half_width == pytest.approx(half, rel=0.01)
    assert spread([values], scale=1.0).half_width > half


def test_two_sets_add_up_and_a_small_one_costs_degrees_of_freedom():
    rng = np.random.default_rng(3)
    large, small = rng.normal(size=500), rng.normal(size=6)
    both = spread([large, small], scale=1.0)
    alone = large.var(ddof=1) / 500
    assert both.variance == pytest.approx(alone + spread([small], scale=1.0).variance)
    assert 5 < both.freedom < 7
    assert both.n == 6


@pytest.mark.parametrize("n", [10, 40, 400])
def test_no_event_in_n_units_is_no_proof_that_there_is_none(n):
    half = spread([np.zeros(n)], scale=1.0).half_width
    assert 3.6 / n < half < 5.0 / n  # an exact 97.5 % bound on the rate is 3.7 / n
    one = np.zeros(n)
    one[0] = 1.0  # the most frequent value is no event, wherever it lies
    assert spread([one], scale=9.0).variance == pytest.approx(spread([one - 7], scale=9.0).variance)
    assert spread([one], scale=9.0).half_width > half


def test_p_is_small_far_from_the_null_value_and_one_upon_it():
    tested = spread([np.random.default_rng(4).normal(size=100)], scale=1.0)
    assert tested.p(0.0) == 1.0
    assert tested.p(tested.half_width) == pytest.approx(0.05)
    assert tested.p(-tested.half_width) == pytest.approx(0.05)


def test_an_interval_ends_where_the_metric_does():
    values = np.ones(20)
    values[3] = 0.8
    low, high = interval(values, bounds=(0.0, 1.0))
    assert high == 1.0
    assert 0.9 < low < values.mean()
    assert interval(np.ones(20), bounds=(0.0, 1.0))[0] < 1.0
    with pytest.raises(ValueError, match="1 units has no spread"):
        spread([np.zeros(1)], scale=1.0)

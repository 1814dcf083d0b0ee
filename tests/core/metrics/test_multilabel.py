"""Micro-F1 against scikit-learn and against resampled items."""

from __future__ import annotations

import numpy as np
import pytest

from core.metrics.multilabel import above_threshold, micro_f1, micro_f1_left_out, one_hot_argmax


def drawn(n: int = 80, classes: int = 17) -> tuple[np.ndarray, np.ndarray]:
    """Scores that know something of the labels, one to three an item."""
    rng = np.random.default_rng(0)
    labels = rng.random((n, classes)) < 0.1
    labels[np.arange(n), rng.integers(classes, size=n)] = True
    return rng.normal(size=(n, classes)) + 1.5 * labels, labels


@pytest.mark.parametrize("decide", [one_hot_argmax, lambda scores: above_threshold(scores, 1.0)])
def test_micro_f1_equals_scikit_learn(decide):
    from sklearn.metrics import precision_recall_fscore_support

    scores, labels = drawn()
    ours = micro_f1(decide(scores), labels)
    precision, recall, f1, _ = precision_recall_fscore_support(labels, decide(scores), average="micro")
    assert (ours.value, ours.precision, ours.recall) == pytest.approx((f1, precision, recall))
    assert 0.2 < ours.value < 0.9


def test_counts_by_hand():
    scores = np.array([[0.9, 0.1, 0.2], [0.1, 0.2, 0.8], [0.3, 0.9, 0.1]])
    labels = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0]], dtype=bool)
    ours = micro_f1(one_hot_argmax(scores), labels)
    assert ours.counts.tolist() == [[1, 0, 1], [0, 1, 1], [1, 0, 0]]
    assert ours.value == pytest.approx(2 * 2 / (2 * 2 + 1 + 2))
    assert (ours.precision, ours.recall) == pytest.approx((2 / 3, 2 / 4))


def test_a_tie_for_the_best_is_one_wrong_decision():
    labels = np.array([[True, False, False], [False, True, False]])
    scores = np.array([[-1.0, -1.0, -1.0], [0.5, 0.5, 0.1]])
    assert micro_f1(one_hot_argmax(scores), labels).counts.tolist() == [[0, 1, 1], [0, 1, 1]]


def test_thresholds_may_differ_by_class():
    scores = np.array([[0.4, 0.6], [0.6, 0.4]])
    assert above_threshold(scores, 0.6).tolist() == [[0, 1], [1, 0]]
    assert above_threshold(scores, np.array([0.4, 0.9])).tolist() == [[1, 0], [1, 0]]


def test_leaving_an_item_out_equals_the_metric_of_the_others():
    scores, labels = drawn(40)
    predicted = one_hot_argmax(scores)
    expected = [
        micro_f1(np.delete(predicted, i, axis=0), np.delete(labels, i, axis=0)).value for i in range(40)
    ]
    np.testing.assert_allclose(micro_f1_left_out(micro_f1(predicted, labels).counts), expected)


def test_bad_input_says_what_is_wrong():
    good = np.zeros((2, 3))
    with pytest.raises(ValueError, match="F1 is undefined"):
        micro_f1(good, good.astype(bool))
    with pytest.raises(ValueError, match="labels bool"):
        micro_f1(good, good)
    with pytest.raises(ValueError, match="labels bool"):
        micro_f1(good, np.zeros((2, 4), dtype=bool))
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        micro_f1(good - 0.5, good.astype(bool))
    with pytest.raises(ValueError, match="item 1 has a score"):
        one_hot_argmax(np.array([[0.0, 1.0], [np.nan, 0.0]]))
    with pytest.raises(ValueError, match="3 of them"):
        above_threshold(good, np.zeros(2))

"""Accuracy and macro mAP against loops and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from core.metrics.classification import macro_ap_left_out, macro_average_precision, topk_hits


def test_top_k_equals_a_sort():
    rng = np.random.default_rng(0)
    scores, target = rng.normal(size=(100, 8)), rng.integers(0, 8, size=100)
    for k in (1, 3, 8):
        expected = [target[n] in np.argsort(-scores[n])[:k] for n in range(100)]
        assert topk_hits(scores, target, k=k).tolist() == expected


def test_a_tie_is_no_hit():
    assert topk_hits(np.zeros((2, 4)), np.array([0, 3])).tolist() == [False, False]
    assert topk_hits(np.array([[1.0, 1.0, 0.0]]), np.array([0]), k=2).tolist() == [True]


@pytest.mark.parametrize("levels", [3, 1000])  # three levels: nearly everything is tied
def test_average_precision_equals_scikit_learn(levels):
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(1)
    scores = rng.integers(0, levels, size=(200, 12)) / levels
    labels = rng.random((200, 12)) < 0.1
    ours = macro_average_precision(scores, labels)
    expected = [average_precision_score(labels[:, c], scores[:, c]) for c in range(12)]
    np.testing.assert_allclose(ours.per_class, expected, atol=1e-12)
    assert ours.value == pytest.approx(average_precision_score(labels, scores, average="macro"))
    assert ours.classes_without_positives == 0


def test_classes_without_positives_are_left_out_and_counted():
    rng = np.random.default_rng(2)
    scores, labels = rng.normal(size=(50, 4)), rng.random((50, 4)) < 0.3
    labels[:, 1] = False
    ours = macro_average_precision(scores, labels)
    assert ours.classes_without_positives == 1
    assert np.isnan(ours.per_class).tolist() == [False, True, False, False]
    assert ours.value == pytest.approx(
        macro_average_precision(scores[:, [0, 2, 3]], labels[:, [0, 2, 3]]).value
    )


@pytest.mark.parametrize("steps", [3, 20, 10**9])  # many ties, some, none
def test_leaving_an_item_out_equals_the_metric_of_the_others(steps):
    rng = np.random.default_rng(steps)
    for share in (0.04, 0.2, 0.6):
        scores, labels = rng.integers(0, steps, size=(40, 5)) / steps, rng.random((40, 5)) < share
        labels[:3, 0] = True  # at least one class keeps its positives
        expected = [
            macro_average_precision(np.delete(scores, i, axis=0), np.delete(labels, i, axis=0)).value
            for i in range(40)
        ]
        np.testing.assert_allclose(macro_ap_left_out(scores, labels), expected, atol=1e-12)


def test_a_class_that_loses_its_only_positive_leaves_the_mean():
    scores, labels = np.array([[3.0, 1.0], [2.0, 3.0], [1.0, 2.0]]), np.zeros((3, 2), dtype=bool)
    labels[1, 0] = labels[0, 1] = labels[2, 1] = True
    # class 0: AP 1/2, 1 without the item above, none without its positive; class 1: 1/2 * (1/2 + 2/3)
    assert macro_ap_left_out(scores, labels)[1] == pytest.approx(1.0)
    alone = macro_ap_left_out(scores[:, :1], labels[:, :1])
    assert alone[0] == pytest.approx(1.0)
    assert np.isnan(alone[1])


def test_bad_input_says_what_is_wrong():
    good = np.zeros((3, 4))
    with pytest.raises(ValueError, match="class indices"):
        topk_hits(good, np.zeros(3))
    with pytest.raises(ValueError, match=r"classes 0\.\.3"):
        topk_hits(good, np.array([0, 1, 4]))
    with pytest.raises(ValueError, match="k is 0"):
        topk_hits(good, np.array([0, 1, 2]), k=0)
    with pytest.raises(ValueError, match="item 1 has a score that is not finite"):
        topk_hits(np.array([[0.0, 1.0], [np.nan, 0.0]]), np.array([0, 1]))
    with pytest.raises(ValueError, match="no class has a positive"):
        macro_average_precision(good, np.zeros((3, 4), dtype=bool))
    with pytest.raises(ValueError, match="must be bool"):
        macro_average_precision(good, np.zeros((3, 4)))

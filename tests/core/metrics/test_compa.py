"""CompA scores against loops over pairs, and the random baselines against enumeration and simulation."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from core.metrics.compa import SCORES, compa_scores, random_baseline


def loop_scores(similarity: np.ndarray, pairs: int) -> tuple[bool, bool, bool]:
    text = audio = True
    for i in range(pairs):
        for j in range(pairs):
            if i != j:
                text = text and similarity[j, j] > similarity[i, j]
                audio = audio and similarity[i, i] > similarity[i, j]
    return text, audio, text and audio


@pytest.mark.parametrize("triplets", ["paper", "pairs_only"])
def test_equals_a_loop(triplets):
    rng = np.random.default_rng(0)
    similarity = rng.integers(0, 4, size=(400, 3, 3)).astype(np.float32)  # coarse, so that ties are common
    similarity[:, range(3), range(3)] += 2
    has_triplet = rng.random(400) < 0.4
    scores = compa_scores(similarity, has_triplet, triplets=triplets)
    for n in range(400):
        pairs = 3 if has_triplet[n] and triplets == "paper" else 2
        assert tuple(scores[k][n] for k in SCORES) == loop_scores(similarity[n], pairs)
    assert 0 < scores["group"].sum() < scores["text"].sum() < 400


def test_equals_the_formulas_of_the_paper_for_pairs():
    s = np.random.default_rng(1).normal(size=(200, 3, 3))
    scores = compa_scores(s, np.zeros(200, dtype=bool))
    f = (s[:, 0, 0] > s[:, 1, 0]) & (s[:, 1, 1] > s[:, 0, 1])
    g = (s[:, 0, 0] > s[:, 0, 1]) & (s[:, 1, 1] > s[:, 1, 0])
    assert (scores["text"] == f).all()
    assert (scores["audio"] == g).all()
    assert (scores["group"] == (f & g)).all()


def test_a_tie_loses():
    tied = np.ones((1, 3, 3))
    assert not any(compa_scores(tied, np.array([True]))[k][0] for k in SCORES)
    clear = np.eye(3)[None]
    assert all(compa_scores(clear, np.array([True]))[k][0] for k in SCORES)
    clear[0, 2, 0], clear[0, 2, 2] = 1.0, 2.0  # captions 0 and 2 tie for audio 0; caption 2 prefers its own
    assert [bool(compa_scores(clear, np.array([True]))[k][0]) for k in SCORES] == [False, True, False]


def test_the_third_pair_counts_only_for_triplets_in_paper_mode():
    bad_third = np.eye(3)
    bad_third[2, 2] = -1.0
    similarity = np.stack([bad_third, bad_third])
    has_triplet = np.array([True, False])
    assert compa_scores(similarity, has_triplet)["group"].tolist() == [False, True]
    assert compa_scores(similarity, has_triplet, triplets="pairs_only")["group"].tolist() == [True, True]


def test_absent_third_pairs_may_hold_nan_and_needed_ones_may_not():
    similarity = np.stack([np.eye(3), np.eye(3)])
    similarity[1, 2, :] = similarity[1, :, 2] = np.nan
    assert compa_scores(similarity, np.array([True, False]))["group"].tolist() == [True, True]
    with pytest.raises(ValueError, match=r"1 of 2 instances .* first at index 1"):
        compa_scores(similarity, np.array([True, True]))


@pytest.mark.parametrize(
    ("similarity", "has_triplet", "message"),
    [
        (np.zeros((4, 2, 2)), np.zeros(4, dtype=bool), r"\(N, 3, 3\)"),
        (np.zeros((0, 3, 3)), np.zeros(0, dtype=bool), "N > 0"),
        (np.zeros((4, 3, 3)), np.zeros(3, dtype=bool), r"shape \(4,\)"),
        (np.zeros((4, 3, 3)), np.zeros(4), "must be bool"),
    ],
)
def test_wrong_shapes_say_so(similarity, has_triplet, message):
    with pytest.raises(ValueError, match=message):
        compa_scores(similarity, has_triplet)


def test_unknown_mode_says_so():
    with pytest.raises(ValueError, match="pairs_only"):
        random_baseline(1, 1, triplets="all")  # type: ignore[arg-type]


def test_baseline_of_compa_order_and_where_the_paper_differs():
    order = random_baseline(300, 100)
    percent = {name: round(100 * float(p), 2) for name, p in order.items()}
    assert percent == {"text": 19.68, "audio": 19.68, "group": 12.92}
    # The paper prints 16.67 for group on order too: the value of pairs alone.
    pairs = random_baseline(300, 100, triplets="pairs_only")
    assert [round(100 * float(pairs[k]), 2) for k in SCORES] == [25.0, 25.0, 16.67]


@pytest.mark.parametrize("k", [2, 3])
def test_group_chance_equals_enumeration_of_all_orderings(k):
    # Every ordering of the k x k similarities is equally likely: 4! and 9! of them.
    orders = np.fromiter(permutations(range(k * k)), dtype=np.dtype((np.int8, k * k)))
    similarity = np.zeros((len(orders), 3, 3), dtype=np.int8)
    similarity[:, :k, :k] = orders.reshape(-1, k, k)
    scores = compa_scores(similarity, np.full(len(orders), k == 3))
    exact = random_baseline(k == 2, k == 3)
    for name in SCORES:
        assert int(scores[name].sum()) == exact[name] * len(orders)


def test_baseline_equals_simulation():
    n = 40_000
    similarity = np.random.default_rng(2).normal(size=(n, 3, 3))
    has_triplet = np.arange(n) % 4 == 0
    scores = compa_scores(similarity, has_triplet)
    for name, p in random_baseline(3, 1).items():
        assert abs(scores[name].mean() - float(p)) < 4 * (float(p) * (1 - float(p)) / n) ** 0.5

"""Retrieval ranks and scores against a sort per query."""

from __future__ import annotations

import numpy as np
import pytest

from core.metrics.retrieval import retrieval_ranks, retrieval_scores, similarity_ranks


def loop_scores(similarity: np.ndarray, owner: np.ndarray, ties: str) -> dict[str, float]:
    """The five-caption rules, query by query; similarity (Q, N)."""
    queries, clips = similarity.shape

    def order(values: np.ndarray, friends: np.ndarray) -> list[int]:
        last = friends if ties == "pessimistic" else np.zeros(len(values), dtype=bool)
        return sorted(range(len(values)), key=lambda i: (-values[i], last[i], i))

    out: dict[str, list[float]] = {}
    for q in range(queries):
        rank = order(similarity[q], np.arange(clips) == owner[q]).index(owner[q])
        for k in (1, 5, 10):
            out.setdefault(f"t2a_r{k}", []).append(rank < k)
        out.setdefault("t2a_map10", []).append(1 / (rank + 1) if rank < 10 else 0)
    for n in range(clips):
        ranking = order(similarity[:, n], owner == n)
        ranks = [place for place, q in enumerate(ranking) if owner[q] == n]
        for k in (1, 5, 10):
            out.setdefault(f"a2t_r{k}", []).append(min(ranks) < k)
        hits = [r for r in ranks if r < 10]
        out.setdefault("a2t_map10", []).append(
            sum((i + 1) / (r + 1) for i, r in enumerate(hits)) / len(ranks)
        )
    return {name: float(np.mean(values)) for name, values in out.items()}


@pytest.mark.parametrize("ties", ["pessimistic", "index"])
@pytest.mark.parametrize("captions", ["five", "ragged"])
@pytest.mark.parametrize("block", [7, 512])
def test_equals_a_sort_per_query(ties, captions, block):
    rng = np.random.default_rng(0)
    clips = 40
    owner = np.repeat(np.arange(clips), 5 if captions == "five" else rng.integers(1, 7, size=clips))
    rng.shuffle(owner)
    similarity = rng.integers(0, 12, size=(len(owner), clips)).astype(np.float32)  # many ties
    similarity[np.arange(len(owner)), owner] += 3
    scores = retrieval_scores(similarity_ranks(similarity, owner, ties=ties, block=block))
    expected = loop_scores(similarity, owner, ties)
    assert set(scores) == set(expected)
    for name, value in expected.items():
        assert scores[name].shape == (clips,)
        assert scores[name].mean() == pytest.approx(value, abs=1e-12), name


def test_embeddings_and_their_similarity_agree():
    rng = np.random.default_rng(1)
    audio, owner = rng.normal(size=(30, 8)), np.repeat(np.arange(30), 2)
    text = audio[owner] + rng.normal(size=(60, 8))
    ours = retrieval_ranks(text, audio, owner, block=11)
    theirs = similarity_ranks(text @ audio.T, owner)
    assert (ours.text_to_audio == theirs.text_to_audio).all()
    assert (ours.audio_to_text == theirs.audio_to_text).all()


def test_the_best_of_a_clips_captions_decides():
    # Caption 0 of clip 0 is the worst of all four for it, caption 1 the best.
    similarity = np.array([[0.0, 1.0], [0.9, 0.0], [0.5, 0.8], [0.4, 0.7]])
    ranks = similarity_ranks(similarity, np.array([0, 0, 1, 1]))
    assert ranks.audio_to_text.tolist() == [3, 0, 1, 2]
    assert ranks.text_to_audio.tolist() == [1, 0, 0, 0]
    scores = retrieval_scores(ranks)
    assert scores["a2t_r1"].tolist() == [1.0, 0.0]
    assert scores["t2a_r1"].tolist() == [0.5, 1.0]
    assert scores["a2t_map10"].tolist() == [(1 / 1 + 2 / 4) / 2, (1 / 2 + 2 / 3) / 2]


def test_a_model_that_says_the_same_of_everything_retrieves_nothing():
    ranks = similarity_ranks(np.ones((50, 10)), np.repeat(np.arange(10), 5))
    scores = retrieval_scores(ranks)
    assert scores["t2a_r1"].max() == scores["a2t_r5"].max() == 0.0
    # By index the same constant scores would count as hits: why pessimistic is the default.
    lucky = retrieval_scores(similarity_ranks(np.ones((50, 10)), np.repeat(np.arange(10), 5), ties="index"))
    assert lucky["a2t_r1"].mean() == 0.1


@pytest.mark.parametrize(
    ("owner", "message"),
    [
        (np.array([0, 0, 1]), "clip 2 has no caption"),
        (np.array([0, 1, 3]), "clips 0..2"),
        (np.array([0, 1]), r"shape \(3,\)"),
        (np.array([0.0, 1.0, 2.0]), "integers"),
    ],
)
def test_owners_that_do_not_fit_say_so(owner, message):
    with pytest.raises(ValueError, match=message):
        similarity_ranks(np.zeros((3, 3)), owner)


def test_nan_is_named():
    text, audio = np.ones((3, 4)), np.ones((3, 4))
    text[1, 2] = np.nan
    with pytest.raises(ValueError, match="caption 1 has a similarity that is not finite"):
        retrieval_ranks(text, audio, np.arange(3))
    with pytest.raises(ValueError, match=r"\(Q, D\)"):
        retrieval_ranks(text, np.ones((3, 5)), np.arange(3))
    with pytest.raises(ValueError, match="pessimistic"):
        similarity_ranks(np.zeros((3, 3)), np.arange(3), ties="optimistic")  # type: ignore[arg-type]


def test_audio_to_text_map_is_at_most_one_whatever_the_order_of_captions() -> None:
    """Captions at ranks 5, 4, 3, 2, 1: all found, so 1; in the order of the file they would give 1.74."""
    similarity = np.array([[0.1], [0.2], [0.3], [0.4], [0.5]])
    ranks = similarity_ranks(similarity, np.zeros(5, dtype=np.int64))
    assert ranks.audio_to_text.tolist() == [4, 3, 2, 1, 0]
    assert retrieval_scores(ranks)["a2t_map10"].tolist() == [1.0]

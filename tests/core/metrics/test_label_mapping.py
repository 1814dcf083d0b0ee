"""Scores over labels, against an encoder whose cosines are known."""

from __future__ import annotations

import numpy as np
import pytest

from core.metrics.classification import topk_hits
from core.metrics.label_mapping import UNANSWERED, LabelMappingError, map_to_labels

LABELS = ["dog bark", "rain", "Church bell"]


class Words:
    """Each distinct word is a direction, so a cosine is shared words / sqrt(product of lengths)."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.places: dict[str, int] = {}

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.calls.append(texts)
        out = np.zeros((len(texts), 64))
        for row, text in zip(out, texts):
            for word in text.split():
                row[self.places.setdefault(word, len(self.places))] = 3.0
        return out


def cosine(a: str, b: str) -> float:
    one, other = set(a.split()), set(b.split())
    return len(one & other) / np.sqrt(len(one) * len(other))


def test_scores_are_cosines_of_the_prefixed_lower_case_texts():
    answers = ["A Dog Bark.", "church bell", "falling rain"]
    scores = map_to_labels(answers, LABELS, encode=Words())
    expected = [
        [cosine("sound of " + a, "sound of " + b) for b in ("dog bark", "rain", "church bell")]
        for a in ("a dog bark", "church bell", "falling rain")
    ]
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert scores.dtype == np.float32
    assert topk_hits(scores, np.array([0, 2, 1])).all()


def test_without_prefix_unrelated_texts_share_nothing():
    assert map_to_labels(["thunder"], LABELS, encode=Words(), prefix="").tolist() == [[0.0, 0.0, 0.0]]


def test_distinct_texts_are_encoded_once_in_one_call():
    encode = Words()
    map_to_labels(["Rain", "rain.", " rain ", "hail"] * 5, LABELS, encode=encode)
    assert encode.calls == [["sound of rain", "sound of hail", "sound of dog bark", "sound of church bell"]]


def test_listed_labels_are_summed_or_maxed():
    answers = ["Dog bark; rain; rain.", "rain"]
    single = map_to_labels(["dog bark", "rain"], LABELS, encode=Words())
    summed = map_to_labels(answers, LABELS, encode=Words(), split="sum")
    np.testing.assert_allclose(summed, [single[0] + single[1], single[1]], atol=1e-6)  # rain counts once
    largest = map_to_labels(answers, LABELS, encode=Words(), split="max")
    np.testing.assert_allclose(largest, [np.maximum(single[0], single[1]), single[1]], atol=1e-6)
    whole = map_to_labels(answers, LABELS, encode=Words())
    assert not np.allclose(whole[0], summed[0])


def test_commas_do_not_split():
    labels = ["child speech, kid speaking", "rain"]
    scores = map_to_labels(["Child speech, kid speaking; rain"], labels, encode=Words(), split="max")
    np.testing.assert_allclose(scores, [[1.0, 1.0]], atol=1e-6)


def test_only_what_follows_the_marker_counts():
    answers = ["Labels: thunder. Audio caption: rain", "rain"]
    scores = map_to_labels(answers, LABELS, encode=Words(), after="audio caption:")
    np.testing.assert_allclose(scores[0], scores[1])
    assert scores[0, 1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    "behind", [": rain", ' - "rain"', "**: rain", "：rain", "\nrain", " rain", ' : "Rain."']
)
def test_what_stands_between_marker_and_label_is_no_label(behind):
    encoded: list[str] = []

    def encode(texts: list[str]) -> np.ndarray:
        encoded.extend(texts)
        return np.eye(len(texts), 8)

    map_to_labels([f"Labels: thunder. Audio caption{behind}"], ["rain"], encode=encode, after="audio caption")
    assert encoded == ["sound of rain"]


@pytest.mark.parametrize("split", [None, "sum", "max"])
def test_an_answer_without_words_is_wrong_whatever_the_label(split):
    answers = ["", "rain", " . ", "dog bark; rain"]
    scores = map_to_labels(answers, LABELS, encode=Words(), split=split)
    assert (scores[[0, 2]] == UNANSWERED).all()
    assert scores[1, 1] == pytest.approx(1.0)
    for target in range(3):
        assert not topk_hits(scores[[0, 2]], np.full(2, target)).any()
    assert (map_to_labels([""], LABELS, encode=Words(), split=split) == UNANSWERED).all()
    assert map_to_labels([], LABELS, encode=Words(), split=split).shape == (0, 3)


def test_bad_labels_and_embeddings_are_named():
    with pytest.raises(LabelMappingError, match="same text: rain"):
        map_to_labels(["x"], ["rain", "hail", "Rain."], encode=Words())
    with pytest.raises(LabelMappingError, match="label 1 is empty"):
        map_to_labels(["x"], ["rain", " "], encode=Words())
    with pytest.raises(LabelMappingError, match="no labels"):
        map_to_labels(["x"], [], encode=Words())
    with pytest.raises(LabelMappingError, match=r"shape \(4,\) for 4 texts"):
        map_to_labels(["x"], LABELS, encode=lambda texts: np.ones(len(texts)))
    with pytest.raises(LabelMappingError, match="1 of 4 texts, the first 'sound of x'"):
        map_to_labels(["x"], LABELS, encode=lambda texts: np.eye(len(texts)) * [[0], [1], [1], [1]])
    with pytest.raises(LabelMappingError, match="not finite"):
        map_to_labels(["x"], LABELS, encode=lambda texts: np.full((len(texts), 2), np.nan))

"""Free-form answers to scores over labels: the label whose text is nearest to the answer's wins.

The protocol of LTU (ICLR 2024, src/ltu/eval), which GAMA (EMNLP 2024) takes over with Sentence-BERT: both
texts are lower-cased and prefixed "sound of ", and compared by the cosine of their embeddings.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias

import numpy as np

Encode: TypeAlias = Callable[[list[str]], np.ndarray]  # M texts -> (M, D), any length of vector
Split: TypeAlias = Literal["sum", "max"]

SEPARATORS = re.compile(r"[;\n]")  # between labels of an answer; names of AudioSet hold commas themselves
_QUOTES = "\"'“”‘’ "
_BEHIND_MARKER = _QUOTES + ":：-–—*\n\t"
UNANSWERED = -1.0  # the least cosine, for every label: a tie, which scores as wrong


class LabelMappingError(ValueError):
    """Labels or embeddings from which no score can be computed."""


def map_to_labels(
    answers: Sequence[str],
    labels: Sequence[str],
    *,
    encode: Encode,
    prefix: str = "sound of ",
    split: Split | None = None,
    after: str | None = None,
) -> np.ndarray:
    """Cosine of each answer with each label, (N, C) float32.

    Texts are lower-cased, and lose white space and full stops at their ends; each distinct one is encoded
    once, in one call. An answer without a word gets UNANSWERED for all labels.

    Args:
        answers: what the model said, one text an item.
        labels: C class names, in words.
        encode: texts -> (M, D) embeddings, which need not be normalised.
        prefix: put before every text.
        split: an answer may list several labels ("Dog barking; rain."): its parts are scored one by one, each
            distinct part once, and summed or maxed over. None takes the answer as one text.
        after: score only what follows the last occurrence of this text, such as ":" or "audio caption" (any
            case), without the colon, dash or quotes behind it; the whole answer where it does not occur. LTU
            cuts two characters there, whatever they are.

    Raises:
        LabelMappingError: labels are none, empty or the same twice; embeddings of a wrong shape, not finite
        or zero.
    """
    names = [_plain(label) for label in labels]
    _check_labels(names)
    parts = [_parts(answer, split=split, after=after) for answer in answers]
    said = _distinct(part for each in parts for part in each)
    texts = _distinct([*said, *names])
    place = {text: index for index, text in enumerate(texts)}
    vectors = _normalised(encode, [prefix + text for text in texts])
    cosine = vectors[: len(said)] @ vectors[[place[name] for name in names]].T

    scores = np.full((len(parts), len(names)), UNANSWERED, dtype=np.float32)
    answered = np.flatnonzero([len(each) > 0 for each in parts])
    if not answered.size:
        return scores
    rows = np.array([place[part] for each in parts for part in each])
    if len(rows) == len(answered):
        scores[answered] = cosine[rows]
    else:
        lengths = np.array([len(parts[index]) for index in answered])
        join = np.add if split == "sum" else np.maximum
        scores[answered] = join.reduceat(cosine[rows], np.cumsum(lengths) - lengths, axis=0)
    return scores


def _parts(answer: str, *, split: Split | None, after: str | None) -> list[str]:
    """The texts of an answer that are compared; none where it says nothing."""
    text = answer.lower()
    if after:
        _, found, behind = text.rpartition(after.lower())
        text = behind.lstrip(_BEHIND_MARKER).rstrip(_QUOTES) if found else text
    texts = SEPARATORS.split(text) if split else [text]
    return _distinct(plain for part in texts if (plain := _plain(part)))


def _plain(text: str) -> str:
    return text.lower().strip().rstrip(".").strip()


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _check_labels(names: Sequence[str]) -> None:
    if not names:
        raise LabelMappingError("no labels: nothing to map answers to")
    if not all(names):
        raise LabelMappingError(f"label {names.index('')} is empty; give every class a name in words")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise LabelMappingError(
            f"labels that are the same text: {', '.join(twice)}; an answer could never choose between them, "
            "so reword one or leave it out"
        )


def _normalised(encode: Encode, texts: list[str]) -> np.ndarray:
    """Embeddings of the texts at length 1, (M, D) float32."""
    vectors = np.asarray(encode(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise LabelMappingError(
            f"the encoder gave shape {vectors.shape} for {len(texts)} texts; it must be ({len(texts)}, D)"
        )
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    usable = np.isfinite(length[:, 0]) & (length[:, 0] > 0)
    if not usable.all():
        broken = texts[int(np.argmin(usable))]
        raise LabelMappingError(
            f"the encoder gave no direction for {int((~usable).sum())} of {len(texts)} texts, the first "
            f"{broken[:80]!r}: its embedding is zero or not finite"
        )
    return vectors / length

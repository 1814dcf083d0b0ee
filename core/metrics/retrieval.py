"""Text-audio retrieval: ranks, recall at k and mAP at 10 under the five-caption rules of LAION-CLAP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Ties = Literal["pessimistic", "index"]
_Block = Callable[[slice], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Ranks from 0 (best). Q captions, N clips; `owner[q]` is the clip that caption q describes.

    text_to_audio: (Q,) rank of the caption's clip among all N clips;
    audio_to_text: (Q,) rank of the caption among all Q captions when its own clip is the query.
    """

    owner: np.ndarray
    text_to_audio: np.ndarray
    audio_to_text: np.ndarray


def retrieval_ranks(
    text: np.ndarray, audio: np.ndarray, owner: np.ndarray, *, ties: Ties = "pessimistic", block: int = 512
) -> Ranks:
    """Rank by dot product of `text` (Q, D) and `audio` (N, D), L2-normalised by the caller; owner (Q,) int.

    Only `block` x max(Q, N) similarities exist at a time. `ties` "pessimistic" puts every tied stranger
    ahead;
    "index" puts the tied entry with the lower index ahead, as a stable argsort does (LAION's script uses
    argsort).
    Raises ValueError for shapes that do not fit, clips without a caption and similarities that are not
    finite.
    """
    text, audio = np.asarray(text), np.asarray(audio)
    if text.ndim != 2 or audio.ndim != 2 or text.shape[1] != audio.shape[1]:
        raise ValueError(f"text {text.shape} and audio {audio.shape} must be (Q, D) and (N, D)")
    rows, columns = (lambda s: text[s] @ audio.T), (lambda s: audio[s] @ text.T)
    return _ranks(rows, columns, (len(text), len(audio)), owner, ties=ties, block=block)


def similarity_ranks(
    similarity: np.ndarray, owner: np.ndarray, *, ties: Ties = "pessimistic", block: int = 512
) -> Ranks:
    """The same from a finished similarity matrix (Q captions, N clips)."""
    similarity = np.asarray(similarity)
    if similarity.ndim != 2:
        raise ValueError(f"similarity has shape {similarity.shape}; it must be (Q captions, N clips)")
    rows, columns = (lambda s: similarity[s]), (lambda s: similarity[:, s].T)
    return _ranks(rows, columns, similarity.shape, owner, ties=ties, block=block)


def retrieval_scores(ranks: Ranks, *, ks: Sequence[int] = (1, 5, 10)) -> dict[str, np.ndarray]:
    """Per-clip scores (N,) whose means, times 100, are the metrics: t2a_r{k}, a2t_r{k}, t2a_map10, a2t_map10.

    text->audio: each caption is a query, recall is over all Q captions (a clip's score is its share of that
    mean); audio->text: a clip counts if the best of its captions ranks below k; mAP@10: precision at the
    ranks of the right answers among the first ten, summed and divided by their number (five captions: by 5,
    also when fewer are found). Clips, not captions, are the independent items. No score is above 1: a clip's
    captions are counted in the order of their ranks. LAION's script counts them in the order of the file, so
    that its audio->text mAP can exceed 1 (five captions at ranks 5, 4, 3, 2, 1 give 1.74).
    """
    owner, clips = ranks.owner, int(ranks.owner.max()) + 1
    captions = np.bincount(owner, minlength=clips)
    share = clips / len(owner)
    best = np.full(clips, len(owner))
    np.minimum.at(best, owner, ranks.audio_to_text)
    out: dict[str, np.ndarray] = {}
    for k in ks:
        out[f"t2a_r{k}"] = share * np.bincount(owner, weights=ranks.text_to_audio < k, minlength=clips)
        out[f"a2t_r{k}"] = (best < k).astype(np.float64)
    precision = np.where(ranks.text_to_audio < 10, 1.0 / (ranks.text_to_audio + 1), 0.0)
    out["t2a_map10"] = share * np.bincount(owner, weights=precision, minlength=clips)
    order = np.lexsort((ranks.audio_to_text, owner))
    first = np.cumsum(captions) - captions
    found = np.empty(len(owner))  # how many of the clip's captions rank at or above this one
    found[order] = np.arange(len(owner)) - np.repeat(first, captions) + 1
    precision = np.where(ranks.audio_to_text < 10, found / (ranks.audio_to_text + 1), 0.0)
    out["a2t_map10"] = np.bincount(owner, weights=precision, minlength=clips) / captions
    return out


def _ranks(
    rows: _Block, columns: _Block, shape: tuple[int, ...], owner: np.ndarray, *, ties: str, block: int
) -> Ranks:
    n_text, n_audio = shape
    owner = np.asarray(owner)
    if owner.shape != (n_text,) or not np.issubdtype(owner.dtype, np.integer):
        raise ValueError(
            f"owner is {owner.dtype} of shape {owner.shape}; it must be integers of shape ({n_text},)"
        )
    if n_text == 0 or owner.min() < 0 or owner.max() >= n_audio:
        raise ValueError(f"owner must name clips 0..{n_audio - 1} for at least one caption")
    captions = np.bincount(owner, minlength=n_audio)
    if not captions.all():
        raise ValueError(f"clip {int(np.argmin(captions))} has no caption: leave it out or give it one")
    if ties not in ("pessimistic", "index"):
        raise ValueError(f"ties is {ties!r}; it must be 'pessimistic' or 'index'")
    lower_index_first = ties == "index"

    text_to_audio = np.empty(n_text, dtype=np.int64)
    for start in range(0, n_text, block):
        s = slice(start, min(start + block, n_text))
        similarity = _finite(rows(s), "caption", start)
        text_to_audio[s] = _count_ahead(similarity, owner[s], lower_index_first)

    # Each clip's captions, padded to the clip with most: a caption's rank is the strangers ahead of it plus
    # its place among its siblings, so that ties between captions of one clip never count against it.
    by_clip = np.argsort(owner, kind="stable")
    first = np.cumsum(captions) - captions
    audio_to_text = np.empty(n_text, dtype=np.int64)
    for start in range(0, n_audio, block):
        s = slice(start, min(start + block, n_audio))
        similarity = _finite(columns(s), "clip", start)
        local = np.arange(s.stop - s.start)
        own = by_clip[first[start] : first[start] + captions[s].sum()]
        clip = owner[own] - start
        value = similarity[clip, own]
        order = np.lexsort((own, -value, clip))
        place = np.empty(len(own), dtype=np.int64)
        place[order] = np.arange(len(own)) - (first[s] - first[start])[clip[order]]
        strangers = np.array(similarity, copy=True)
        strangers[clip, own] = -np.inf
        for k in range(int(captions[s].max())):
            rows_k = local[captions[s] > k]
            caption = by_clip[first[s][rows_k] + k]
            threshold = similarity[rows_k, caption]
            rivals = strangers if len(rows_k) == len(local) else strangers[rows_k]
            if lower_index_first:
                ahead = _ahead_by_index(rivals, threshold, caption)
            else:
                ahead = np.count_nonzero(rivals >= threshold[:, None], axis=1)
            audio_to_text[caption] = ahead
        audio_to_text[own] += place
    return Ranks(owner=owner, text_to_audio=text_to_audio, audio_to_text=audio_to_text)


def _count_ahead(similarity: np.ndarray, target: np.ndarray, lower_index_first: bool) -> np.ndarray:
    value = similarity[np.arange(len(target)), target]
    if lower_index_first:
        return _ahead_by_index(similarity, value, target)
    return np.count_nonzero(similarity >= value[:, None], axis=1) - 1  # the target itself


def _ahead_by_index(similarity: np.ndarray, value: np.ndarray, target: np.ndarray) -> np.ndarray:
    ahead = similarity > value[:, None]
    ahead |= (similarity == value[:, None]) & (np.arange(similarity.shape[1]) < target[:, None])
    return np.count_nonzero(ahead, axis=1)


def _finite(similarity: np.ndarray, what: str, start: int) -> np.ndarray:
    bad = ~np.isfinite(similarity).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{what} {start + int(np.argmax(bad))} has a similarity that is not finite; "
            "look for NaN in its embedding"
        )
    return similarity

"""Deterministic crops and windows: the same seed and item give the same samples in every run and process."""

from __future__ import annotations

import hashlib
from typing import TypeVar

import numpy as np
import torch

Waveform = TypeVar("Waveform", np.ndarray, torch.Tensor)


def position(count: int, *, seed: int, item: str) -> int:
    """One of `count` positions, chosen by a hash of seed and item.

    It does not depend on the order in which items are read, on the batch or on the worker, as the state of a
    random generator would.
    """
    if count < 1:
        raise ValueError(
            f"cannot choose one of {count} positions for item {item!r}: count must be at least 1"
        )
    digest = hashlib.blake2b(f"{seed}\0{item}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % count


def crop(waveform: Waveform, samples: int, *, seed: int, item: str) -> Waveform:
    """`samples` consecutive samples of a waveform (..., N); the whole waveform where N <= samples."""
    if samples < 1:
        raise ValueError(f"a crop of {samples} samples is empty (item {item!r}): ask for at least 1")
    total = waveform.shape[-1]
    if total <= samples:
        return waveform
    start = position(total - samples + 1, seed=seed, item=item)
    return waveform[..., start : start + samples]


def windows(n_samples: int, window: int, hop: int) -> list[tuple[int, int]]:
    """(start, stop) pairs that cover `n_samples` without a gap, all `window` long, the last flush to the end.

    Audio no longer than the window is one pair (0, n_samples). A hop above the window would skip samples: a
    ValueError.
    """
    if n_samples < 1:
        raise ValueError("there are no samples to cut into windows: read the audio first")
    if not 1 <= hop <= window:
        raise ValueError(f"hop {hop} must lie between 1 and the window {window}, else samples are skipped")
    if n_samples <= window:
        return [(0, n_samples)]
    starts = [*range(0, n_samples - window, hop), n_samples - window]
    return [(start, start + window) for start in starts]

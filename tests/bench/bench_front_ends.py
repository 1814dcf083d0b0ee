"""Clips per second of the mel front ends against the `transformers` extractors, batch 32, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import ASTFeatureExtractor, ClapFeatureExtractor, WhisperFeatureExtractor

from core.audio.mel import ClapMel, KaldiFbank, WhisperMel

BATCH = 32
ROUNDS = 4


def best_seconds(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """The shortest of several rounds of each, in turn, so that a busy moment of the machine meets both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for call, taken in ((ours, times[0]), (theirs, times[1])):
            started = time.perf_counter()
            call()
            taken.append(time.perf_counter() - started)
    return min(times[0]), min(times[1])


def clips(seconds: float, rate: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(0.1 * rng.standard_normal(round(seconds * rate))).astype(np.float32) for _ in range(BATCH)]


CASES = {
    "front end CLAP, 10 s": (48_000, ">= 4", ClapMel(), ClapFeatureExtractor(frequency_min=50)),
    "front end AST, 10 s": (16_000, ">= 8", KaldiFbank(), ASTFeatureExtractor()),
    "front end Whisper 80, 10 s": (16_000, ">= 1", WhisperMel(), WhisperFeatureExtractor()),
    "front end Whisper 80, 30 s": (16_000, ">= 1", WhisperMel(), WhisperFeatureExtractor()),
    "front end Whisper 128, 30 s": (
        16_000,
        ">= 1",
        WhisperMel(n_mels=128),
        WhisperFeatureExtractor(feature_size=128),
    ),
}


@pytest.mark.bench
@pytest.mark.parametrize("name", CASES)
def test_front_end(name: str, record: Callable[..., None]) -> None:
    rate, target, front, extractor = CASES[name]
    waves = clips(30 if "30 s" in name else 10, rate)

    def theirs() -> torch.Tensor:
        out = extractor(waves, sampling_rate=rate, return_tensors="pt")
        return out["input_values"] if "input_values" in out else out["input_features"]

    def ours() -> torch.Tensor:
        out = front(waves)
        return out if isinstance(out, torch.Tensor) else out.input_features

    torch.testing.assert_close(
        ours(), theirs(), atol=1e-4, rtol=0
    )  # the same work is measured; and a warm-up
    mine, peer = best_seconds(ours, theirs)
    record(name, peer / mine, BATCH / mine, BATCH / peer, "clips/s", target=target)

"""Fresh 5.12-second scenes per second at 16 kHz: drawn and mixed, or (for training) composed as mels."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from core.audio.mel import ClapMel
from core.scenes.compose import clip_mels, compose_mels, render_many
from core.scenes.draw import SceneSource
from core.scenes.timeline import Scene
from shared_data.world.sounds.procedural import make_bank

BATCH, STEPS, RATE, HOP = 64, 4, 16_000, 160
TARGET = 300.0


def scenes_per_second(batch: Callable[[int], object]) -> float:
    batch(0)
    started = time.perf_counter()
    for step in range(1, STEPS + 1):
        batch(step)
    return BATCH * STEPS / (time.perf_counter() - started)


@pytest.mark.bench
def test_composer(record: Callable[..., None]) -> None:
    torch.set_num_threads(1)
    bank = make_bank(sample_rate=RATE, clips_per_class={"train": 2})
    source = SceneSource(bank=bank, seed=0, twins=True)
    front_end = ClapMel(sample_rate=RATE, n_fft=512, hop=HOP, fmax=8000, max_seconds=5.12)
    mels = clip_mels(
        bank, lambda waves: front_end.power_mel(waves, margin="zero"), seconds_per_frame=HOP / RATE
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def drawn(step: int) -> list[Scene]:
        return [scene for scene, _ in source.draw(step, BATCH)]

    def mixed(step: int) -> list[np.ndarray]:
        return render_many(drawn(step), bank, threads=cores)

    mixing = scenes_per_second(mixed)
    analysed = scenes_per_second(lambda step: front_end.power_mel(mixed(step)))
    composing = scenes_per_second(lambda step: compose_mels(drawn(step), mels, frames=512))
    record("composer: scenes drawn and mixed", mixing / TARGET, mixing, TARGET, "scenes/s", target=">= 1")
    record(
        "composer: mels composed against mixed and analysed",
        composing / analysed,
        composing,
        analysed,
        "scenes/s",
    )

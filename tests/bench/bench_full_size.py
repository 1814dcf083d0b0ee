"""One optimisation step of CompA at full width: HTS-AT tiny with fusion, Flan-T5-large, random weights."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.bench

BATCH, NEGATIVES = 2, 3


def test_step_at_full_width(record: Callable[..., None]) -> None:
    import torch

    from core.encoders.clap import AudioTower, TextTower, build_clap
    from projects.compa.objectives import compa_loss

    free = 0
    with open("/proc/meminfo") as lines:
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) // 2**20
    if free < 12:
        pytest.skip(f"needs 12 GiB of free memory, {free} GiB are there")
    torch.manual_seed(0)
    model = build_clap(audio=AudioTower(), text=TextTower())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    rows = BATCH * (1 + NEGATIVES)
    batch = {
        "features": torch.randn(BATCH, 4, 1001, 64),
        "is_longer": torch.zeros(BATCH, 1, dtype=torch.bool),
        "input_ids": torch.randint(3, 32000, (rows, 77)),
        "attention_mask": torch.ones(rows, 77, dtype=torch.int64),
        "positives": torch.empty(BATCH, 0, dtype=torch.int64),
        "negatives": torch.arange(BATCH, rows).reshape(BATCH, NEGATIVES),
    }
    losses, seconds = [], []
    for _ in range(2):
        began = time.perf_counter()
        loss = compa_loss(model, batch, objective="hard_negatives")["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - began)
    assert losses[1] < losses[0], losses
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    name = (
        f"full-size step, {millions:.0f} M parameters, batch {BATCH}, peak {peak:.1f} GiB (peer: first step)"
    )
    record(name, seconds[0] / seconds[1], seconds[1], seconds[0], "s")

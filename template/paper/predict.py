"""Answer which of two tones is higher. Reads nothing; writes predictions/<profile>/<variant>/seed*.jsonl.

Replace it by the paper's own stages: prepare, train, predict. Each is one module like this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.run.jsonl import write_lines
from core.run.progress import progress
from core.run.stage import Context

DATA_SEED = 1  # the items are the same whatever the seed of a run


@dataclass(frozen=True)
class Config:
    """noise_db: level of the noise against the tones; seeds: one run each."""

    method: Literal["guess", "zero_crossings"]
    items: int
    noise_db: float
    sample_rate: int
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.items < 1 or not self.seeds:
            raise ValueError("items must be at least 1, and there must be at least one seed")


def predict(config: Config, *, context: Context) -> None:
    """Write one JSON line an item, one file a seed."""
    pairs = make_pairs(items=config.items, noise_db=config.noise_db, sample_rate=config.sample_rate)
    for seed in progress(config.seeds, desc=f"predict {config.method}", unit="seed"):
        rng = np.random.default_rng(seed)
        with context.tracker.child(f"seed {seed}", params={"seed": seed}) as run:
            lines, right = [], 0
            for number, (first, second, truth) in enumerate(pairs):
                if config.method == "guess":
                    answer = bool(rng.integers(2))
                else:
                    answer = zero_crossings(first) > zero_crossings(second)
                right += answer == truth
                lines.append({"id": f"pair{number}", "first_is_higher": answer, "truth": truth})
            path = context.path("predictions", str(context.variant), f"seed{seed}.jsonl")
            write_lines(path, lines)
            run.log_metrics({"accuracy": right / len(pairs)})


def make_pairs(
    *, items: int, noise_db: float, sample_rate: int, seconds: float = 0.25
) -> list[tuple[np.ndarray, np.ndarray, bool]]:
    """Return `items` triples: two noisy tones, float32 (samples,), and whether the first is the higher."""
    rng = np.random.default_rng(DATA_SEED)
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    pairs = []
    for _ in range(items):
        low = rng.uniform(200, 800)
        high = low * 2 ** (rng.uniform(0.5, 4) / 12)  # half a semitone to four
        first_is_higher = bool(rng.integers(2))
        tones = []
        for frequency in (high, low) if first_is_higher else (low, high):
            tone = np.sin(2 * np.pi * frequency * time + rng.uniform(0, 2 * np.pi))
            noise = rng.normal(size=len(time)) * 10 ** (noise_db / 20) * np.sqrt(0.5)
            tones.append((0.25 * (tone + noise)).astype(np.float32))
        pairs.append((tones[0], tones[1], first_is_higher))
    return pairs


def zero_crossings(waveform: np.ndarray) -> int:
    """Return how often the sign changes in a waveform (samples,)."""
    return int(np.count_nonzero(np.diff(np.signbit(waveform))))


if __name__ == "__main__":
    from core.run.stage import run

    run(predict, Config)

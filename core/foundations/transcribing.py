"""Utterances to learn reading from: batches over scenes or noise, and what a CTC head hears in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.foundations.hearing import Grid, Hearing, augmented, source
from core.scenes.bank import PEAK, Bank
from core.scenes.compose import ClipMels, compose_mels

BLANK = 0  # of CTC: unit i is class i + 1
PAUSE = (0.1, 0.5)  # seconds between two utterances of a window


class TranscribingError(ValueError):
    """Utterances, vocabulary and window that do not fit each other."""


@dataclass(frozen=True)
class Utterance:
    """float32 (samples,), and its units of each kind in order: {"words": ("my", "train"), ...}."""

    waveform: np.ndarray
    units: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Speaking:
    """Windows with speech that a network learns reading from.

    batch_size: windows a step; a window holds one utterance, or as many as fit with probability `several`;
    over: share of windows over a scene of the bank, the rest are over noise; below_db: how far that is below
    the speech; gain_db: of the window. weights: of the CTC loss of a kind of units, 1 where none is given.
    """

    batch_size: int = 16
    several: float = 0.5
    over: float = 0.3
    below_db: tuple[float, float] = (5.0, 40.0)
    gain_db: tuple[float, float] = (-8.0, 4.0)
    weights: dict[str, float] = field(default_factory=dict)


def vocabularies(utterances: Sequence[Utterance]) -> dict[str, tuple[str, ...]]:
    """The units of each kind that occur, sorted."""
    kinds = utterances[0].units
    return {kind: tuple(sorted({unit for one in utterances for unit in one.units[kind]})) for kind in kinds}


def speech_batches(
    bank: Bank,
    mels: ClipMels,
    utterances: Sequence[Utterance],
    spoken: Sequence[np.ndarray],
    *,
    speaking: Speaking,
    hearing: Hearing,
    grid: Grid,
    units: Mapping[str, Sequence[str]],
    features: Callable[[Tensor], Tensor],
    seed: int,
) -> Callable[[int], Iterator[dict[str, Any]]]:
    """`batches(step)`: features (B, ...), and per kind targets (B, N) long, filled up with BLANK, and counts.

    spoken: the power mels (T_i, F) of each utterance at peak `PEAK`; `mels`: those of the bank's clips.
    Raises TranscribingError for an utterance longer than the window.
    """
    numbers = {kind: {unit: at + 1 for at, unit in enumerate(names)} for kind, names in units.items()}
    if long := [at for at, rows in enumerate(spoken) if len(rows) > grid.frames]:
        raise TranscribingError(f"{len(long)} utterances are longer than the window, the first is {long[0]}")
    powers = np.array([float(rows.mean()) for rows in spoken])

    def window(rng: np.random.Generator, scene: np.ndarray) -> tuple[np.ndarray, list[int]]:
        """Power (T, F) over the given one, and which utterances it holds."""
        chosen = [int(rng.integers(len(spoken)))]
        free = grid.frames - len(spoken[chosen[0]])
        gaps = [0]
        while rng.random() < speaking.several:
            other = int(rng.integers(len(spoken)))
            gap = int(rng.uniform(*PAUSE) / mels.seconds_per_frame)
            if free < gap + len(spoken[other]):
                break
            chosen.append(other)
            gaps.append(gap)
            free -= gap + len(spoken[other])
        below = powers[chosen].mean() * 10 ** (-rng.uniform(*speaking.below_db) / 10)
        out = scene * np.float32(below / max(float(scene.mean()), 1e-20))
        at = int(rng.integers(free + 1))
        for one, gap in zip(chosen, gaps):
            at += gap
            out[at : at + len(spoken[one])] += spoken[one]
            at += len(spoken[one])
        return out * np.float32(10 ** (rng.uniform(*speaking.gain_db) / 10)), chosen

    def batches(step: int) -> Iterator[dict[str, Any]]:
        from accelerate import PartialState

        state = PartialState()
        rank, world = state.process_index, state.num_processes
        drawer = source(bank, hearing, seed=seed, rank=rank, world=world)
        share = speaking.batch_size // world
        while True:
            scenes = compose_mels(
                [s for s, _ in drawer.draw(step, speaking.batch_size)], mels, frames=grid.frames
            )
            made, said = [], []
            for place, scene in enumerate(scenes, start=rank * share):
                rng = np.random.default_rng((seed, step, place, 2))
                if rng.random() >= speaking.over:
                    tape = mels.noise[int(rng.integers(len(mels.noise)))]
                    at = int(rng.integers(max(1, len(tape) - grid.frames)))
                    scene = np.resize(tape[at:], (grid.frames, tape.shape[1]))
                power, chosen = window(rng, scene)
                made.append(power)
                said.append(chosen)
            rng = np.random.default_rng((seed, step, 0, 3))
            power = augmented(np.stack(made), hearing, total=speaking.batch_size, first=rank * share, rng=rng)
            batch: dict[str, Any] = {"features": features(torch.from_numpy(power))}
            for kind, names in numbers.items():
                rows = [
                    [names[unit] for one in chosen for unit in utterances[one].units[kind]] for chosen in said
                ]
                counts = torch.tensor([len(row) for row in rows])
                targets = torch.full((len(rows), int(counts.max())), BLANK)
                for row, target in zip(rows, targets):
                    target[: len(row)] = torch.tensor(row)
                batch[kind], batch[f"{kind}_counts"] = targets, counts
            yield batch
            step += 1

    return batches


def ctc(logits: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
    """Mean over rows of the CTC loss per unit; logits (B, T', V), targets (B, N), counts (B,)."""
    lengths = torch.full((len(logits),), logits.shape[1])
    return F.ctc_loss(
        logits.float().log_softmax(-1).transpose(0, 1),
        targets.cpu(),
        lengths,
        counts.cpu(),
        blank=BLANK,
        zero_infinity=True,
    )


def read(logits: Tensor, units: Sequence[str]) -> list[list[str]]:
    """Greedy transcripts of logits (B, T', V): the best class of each step, without repeats and blanks."""
    found = []
    for row in logits.argmax(-1):
        merged = torch.unique_consecutive(row)
        found.append([units[int(at) - 1] for at in merged if at != BLANK])
    return found


def errors(reference: Sequence[str], heard: Sequence[str]) -> int:
    """How many units must be put in, left out or replaced to make `heard` of `reference`."""
    row = list(range(len(heard) + 1))
    for place, unit in enumerate(reference, start=1):
        diagonal, row[0] = row[0], place
        for at, other in enumerate(heard, start=1):
            diagonal, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, diagonal + (unit != other))
    return row[-1]


def at_peak(waveform: np.ndarray) -> np.ndarray:
    """The waveform with the peak of all scenes."""
    return (waveform * (PEAK / max(float(np.abs(waveform).max()), 1e-9))).astype(np.float32)

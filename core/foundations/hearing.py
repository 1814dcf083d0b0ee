"""Scenes to learn hearing from: batches of power spectrograms, and which label sounds when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.metrics.classification import macro_ap_left_out, macro_average_precision
from core.metrics.jackknife import contributions, interval
from core.scenes.bank import Bank
from core.scenes.compose import ClipMels, compose_mels, render
from core.scenes.draw import SceneSource
from core.scenes.timeline import Scene


class HearingError(ValueError):
    """Scenes, labels and network that do not fit each other."""


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """Scenes that a network learns hearing from.

    duration: seconds; singles: share of scenes of one event; sizes: shares of scenes of 2, 3, 4 events;
    sequence_share: of the operators; attribute_share: of the scenes in which two voices could swap agents;
    noise_db: background; colour_db: spread of a random tilt and bend of the spectrum, which stands for other
    microphones and rooms; warp: spread of a random stretch of the bands' axis, which stands for sources of
    other sizes; least: share of a frame that an event must fill to be present in it; batch_size: scenes a
    step; valid: scenes of held-out clips that are scored.
    """

    duration: float = 5.0
    singles: float = 0.2
    sizes: tuple[float, ...] = (0.5, 0.35, 0.15)
    sequence_share: float = 0.5
    attribute_share: float = 0.0
    noise_db: tuple[float, float] = (-35.0, -10.0)
    colour_db: float = 0.0
    warp: float = 0.0
    least: float = 0.3
    batch_size: int = 16
    valid: int = 300


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Frames of the spectrogram, and the `tokens` of `seconds` each that the network answers for."""

    frames: int
    tokens: int
    seconds: float


def source(bank: Bank, options: Hearing, *, seed: int, rank: int = 0, world: int = 1) -> SceneSource:
    """The drawer of scenes that `options` describes."""
    return SceneSource(
        bank=bank,
        seed=seed,
        duration=options.duration,
        sizes=options.sizes,
        singles=options.singles,
        sequence_share=options.sequence_share,
        noise_db=options.noise_db,
        attribute_share=options.attribute_share,
        rank=rank,
        world=world,
    )


def scene_batches(
    bank: Bank,
    mels: ClipMels,
    options: Hearing,
    *,
    grid: Grid,
    skip: int,
    features: Callable[[Tensor], Tensor],
    seed: int,
    shared: bool = True,
) -> Callable[[int], Iterator[dict[str, Any]]]:
    """`batches(step)` for `core.train.loop.fit`: ids, features (B, T, F), present (B, T', C) float32.

    `features` turns power mels (B, T, F) into what the network takes; the first `skip` frames are left off.
    shared: a process gets its share of a batch, else the whole, which all processes may look at before `fit`.
    """
    labels = bank.labels()

    def batches(step: int) -> Iterator[dict[str, Any]]:
        from accelerate import PartialState

        rank, world = 0, 1
        if shared:
            state = PartialState()
            rank, world = state.process_index, state.num_processes
        drawer = source(bank, options, seed=seed, rank=rank, world=world)
        while True:
            scenes = [scene for scene, _ in drawer.draw(step, options.batch_size)]
            powers = compose_mels(scenes, mels, frames=grid.frames + skip)[:, skip:]
            rng = np.random.default_rng((seed, step, 0, 1))
            powers = augmented(powers, options, total=options.batch_size, first=rank * len(scenes), rng=rng)
            yield {
                "ids": [scene.id for scene in scenes],
                "features": features(torch.from_numpy(powers)),
                "present": torch.from_numpy(presence(scenes, labels, grid=grid, least=options.least)),
            }
            step += 1

    return batches


def augmented(
    powers: np.ndarray, options: Hearing, *, total: int, first: int, rng: np.random.Generator
) -> np.ndarray:
    """Power mels (B, T, F), rows `first` and on of a batch of `total`, stretched and coloured as asked."""
    bands, rows = powers.shape[2], slice(first, first + len(powers))
    if options.warp > 0:
        powers = powers @ warping(bands, total, spread=options.warp, rng=rng)[rows]
    if options.colour_db > 0:
        powers = powers * colouring(bands, total, spread_db=options.colour_db, rng=rng)[rows]
    return powers


def warping(bands: int, n: int, *, spread: float, rng: np.random.Generator) -> np.ndarray:
    """Matrices (n, bands, bands), float32, that give band b what was at b * exp(w); w: normal, `spread`."""
    at = np.minimum(np.arange(bands) * np.exp(rng.normal(0.0, spread, (n, 1))), bands - 1)
    return np.maximum(0.0, 1.0 - np.abs(np.arange(bands)[:, None] - at[:, None, :])).astype(np.float32)


def colouring(bands: int, n: int, *, spread_db: float, rng: np.random.Generator) -> np.ndarray:
    """Gains of power (n, 1, bands), float32: a random tilt and bend over the bands, `spread_db` each."""
    place = np.linspace(-1.0, 1.0, bands)
    curves = np.stack([place, 1.5 * np.square(place) - 0.5])
    gain_db = rng.normal(0.0, spread_db, (n, 2)) @ curves
    return (10 ** (gain_db / 10)).astype(np.float32)[:, None]


def presence(scenes: Sequence[Scene], labels: Sequence[str], *, grid: Grid, least: float) -> np.ndarray:
    """Which label sounds for at least `least` of which token: float32 (B, T', C) of 0 and 1.

    An event shorter than that is present in the token that holds its middle. Raises HearingError for a
    scene with a label that is not among `labels`.
    """
    place = {label: number for number, label in enumerate(labels)}
    out = np.zeros((len(scenes), grid.tokens, len(labels)), np.float32)
    edges = np.arange(grid.tokens + 1) * grid.seconds
    for row, scene in zip(out, scenes):
        for event in scene.events:
            if event.label not in place:
                raise HearingError(f"scene {scene.id!r}: {event.label!r} is not among {len(labels)} labels")
            inside = np.minimum(event.end, edges[1:]) - np.maximum(event.start, edges[:-1])
            row[inside >= least * grid.seconds, place[event.label]] = 1.0
            middle = int((event.start + event.end) / 2 / grid.seconds)
            row[min(middle, grid.tokens - 1), place[event.label]] = 1.0
    return out


def validation(
    bank: Bank, options: Hearing, *, labels: Sequence[str], seed: int
) -> tuple[list[Scene], list[np.ndarray]]:
    """Scenes of the bank's clips and their waveforms, mixed as evaluation mixes them."""
    if strange := sorted(set(bank.labels()) - set(labels)):
        raise HearingError(f"validation clips of classes without training clips: {', '.join(strange)}")
    scenes = [scene for scene, _ in source(bank, options, seed=seed).draw(0, options.valid)]
    return scenes, [render(scene, bank) for scene in scenes]


def average_precision(logits: np.ndarray, there: np.ndarray) -> tuple[float, float, float]:
    """Macro mAP of logits (N, C) against `there` (N, C) bool, and its 95 % interval over other scenes.

    Labels without a positive are left out.
    """
    some = there.any(axis=0)
    logits, there = logits[:, some], there[:, some]
    value = macro_average_precision(logits, there).value
    low, high = interval(contributions(value, macro_ap_left_out(logits, there)), bounds=(0.0, 1.0))
    return value, low, high


def anywhere(scenes: Sequence[Scene], labels: Sequence[str]) -> np.ndarray:
    """Which label sounds in which scene: bool (B, C)."""
    whole = max(scene.duration for scene in scenes)
    return presence(scenes, labels, grid=Grid(frames=1, tokens=1, seconds=whole), least=0.0)[:, 0] > 0


def share(parts: np.ndarray, wholes: np.ndarray) -> tuple[float, float, float]:
    """sum(parts) / sum(wholes) over units (n,), and its 95 % interval over other units."""
    value = float(parts.sum() / wholes.sum())
    left_out = (parts.sum() - parts) / (wholes.sum() - wholes)
    low, high = interval(contributions(value, left_out), bounds=(0.0, 1.0))
    return value, low, high

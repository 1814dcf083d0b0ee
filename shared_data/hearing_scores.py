"""Scores of what hears: mean average precision on scenes of held-out clips, recorded otherwise too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from core.foundations.hearing import Hearing, anywhere, average_precision, validation
from core.scenes.bank import Bank
from core.scenes.timeline import Scene
from shared_data.foundation import Score
from shared_data.world.sounds.conditions import CONDITIONS, HELD_OUT, apply

GOAL = 0.85  # of macro mAP
SINGLES = 0.4  # share of the scored scenes that are one event
TRAINED = tuple(name for name in CONDITIONS if name not in HELD_OUT)

Listen = Callable[[list[np.ndarray]], np.ndarray]  # waveforms -> logits of the clips (B, C)


def kinds_of(bank: Bank) -> dict[str, tuple[str, ...]]:
    """The labels of sounds, of voices and of music, where there are any."""
    found: dict[str, set[str]] = {"sounds": set(), "voices": set(), "music": set()}
    for clip in bank.clips:
        voice = clip.agent is not None or clip.domain == "speech"
        found["music" if clip.domain == "music" else "voices" if voice else "sounds"].add(clip.label)
    return {kind: tuple(sorted(labels)) for kind, labels in found.items() if labels}


def recorded(bank: Bank, names: Sequence[str], *, seed: int) -> Bank:
    """The bank with each clip under one of the recording conditions `names`, drawn by the seed."""
    drawn = np.random.default_rng(seed).integers(len(names), size=len(bank.clips))
    waveforms = tuple(
        apply(waveform, [names[at]], sample_rate=bank.sample_rate, seed=seed + place)
        for place, (waveform, at) in enumerate(zip(bank.waveforms, drawn))
    )
    return replace(bank, waveforms=waveforms)


def map_scores(
    bank: Bank, listen: Listen, hearing: Hearing, *, labels: Sequence[str], seed: int
) -> tuple[list[Score], list[Scene], np.ndarray]:
    """Macro mAP over all labels and by kind of sound; the scenes of the first score, and their logits.

    Clips are heard as the bank has them, under conditions of training, and under those it lacked.
    """
    sets = {
        "": (bank, "mixed scenes of held-out clips"),
        ", recorded": (
            recorded(bank, TRAINED, seed=seed),
            "the same, every clip under a recording condition of training",
        ),
        ", recorded otherwise": (
            recorded(bank, HELD_OUT, seed=seed),
            "the same, every clip under a recording condition that training lacked",
        ),
    }
    scores: list[Score] = []
    first: tuple[list[Scene], np.ndarray] | None = None
    for name, (clips, on) in sets.items():
        scenes, waveforms = validation(clips, replace(hearing, singles=SINGLES), labels=labels, seed=seed)
        logits, there = listen(waveforms), anywhere(scenes, labels)
        parts = {"": tuple(labels), **(kinds_of(bank) if not name else {})}
        for kind, chosen in parts.items():
            columns = [labels.index(label) for label in chosen]
            value, low, high = average_precision(logits[:, columns], there[:, columns])
            scores.append(
                Score(
                    name=f"mAP{', ' + kind if kind else ''}{name}",
                    value=value,
                    low=low,
                    high=high,
                    n=len(scenes),
                    on=on,
                    goal=GOAL if not kind and name in ("", ", recorded") else None,
                )
            )
        first = first or (scenes, logits)
    assert first is not None
    return scores, *first

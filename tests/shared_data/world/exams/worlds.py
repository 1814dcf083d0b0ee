"""Worlds for tests: all labels of the mini bank with their phrases, but every clip is noise."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

import numpy as np

from core.scenes.bank import Bank, Clip
from shared_data.world.exams.item import Split, World
from shared_data.world.music.melodies import INSTRUMENTS, music_phrases
from shared_data.world.sounds.procedural import SOUNDS
from shared_data.world.sounds.voices import voice_labels, voice_phrases

RATE = 8000


@lru_cache
def make_world(split: Split, *, labels: Collection[str] | None = None, clips: int = 3) -> World:
    """A world of `clips` noises of 0.4 to 2.5 s a label, 8 kHz; `labels` (hashable) keeps some."""
    phrases = {label: sound.phrases for label, sound in SOUNDS.items()}
    phrases |= {label: voice_phrases(*label.split("_")) for label in voice_labels()}
    phrases |= {label: music_phrases(label) for label in INSTRUMENTS}
    rng = np.random.default_rng(0)
    found, waves = [], []
    for label in phrases if labels is None else labels:
        agent, action = label.split("_") if label in voice_labels() else (None, None)
        for number in range(clips):
            wave = rng.standard_normal(round(RATE * rng.uniform(0.4, 2.5))).astype(np.float32)
            waves.append(0.5 * wave / np.abs(wave).max())
            name = f"{label}/{split}/{number}"
            found.append(
                Clip(
                    id=name,
                    label=label,
                    phrases=phrases[label],
                    domain="music" if label in INSTRUMENTS else "speech" if agent else "sound",
                    agent=agent,
                    action=action,
                    instrument=label if label in INSTRUMENTS else None,
                    source="noise",
                    group=name,
                    license="CC0-1.0",
                    split=split,
                )
            )
    return World(Bank(tuple(found), tuple(waves), RATE), split)

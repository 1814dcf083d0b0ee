"""Clips of percussion and of genres for a bank: strokes on one instrument, short pieces by an ensemble.

`shared_data.world.music.notes` plays them. Percussion keys, programs, tonics and tempi of tests are in no
training clip (validation has the training programs with the tonics and tempi of tests).
"""

from __future__ import annotations

import numpy as np

from core.scenes.bank import BankError, Clip, prepare_clip
from core.scenes.places import GENRES, genre_label
from shared_data.world.music import notes
from shared_data.world.music.melodies import music_clip
from shared_data.world.sounds.procedural import clip_seed
from shared_data.world.sounds.signals import record

STRUCK: dict[str, tuple[str, ...]] = {
    "wood_block": (
        "a wood block clicking",
        "the clicking of a wood block",
        "a wood block clicks",
        "a clicking wood block",
    ),
    "cymbals": ("cymbals crashing", "the crashing of cymbals", "cymbals crash", "crashing cymbals"),
    "cowbell": ("a cowbell clanking", "the clanking of a cowbell", "a cowbell clanks", "a clanking cowbell"),
    "hand_drum": (
        "a hand drum thumping",
        "the thumping of a hand drum",
        "a hand drum thumps",
        "a thumping hand drum",
    ),
}
GENRE_OF = {genre_label(genre): genre for genre in GENRES}
LABELS = (*STRUCK, *GENRE_OF)


def piece_phrases(label: str) -> tuple[str, ...]:
    """Phrases of a percussion class or genre, "jazz music playing" first."""
    if label in STRUCK:
        return STRUCK[label]
    music = label.replace("_", " ")
    return f"{music} playing", f"the sound of {music}", f"{music} plays", f"a piece of {music}"


def draw(label: str, split: str, index: int, *, seed: int, sample_rate: int) -> tuple[Clip, np.ndarray]:
    """One clip of LABELS and what is known of it; BankError for an unknown label."""
    if label not in LABELS:
        raise BankError(f"no percussion or genre {label!r}; there are {list(LABELS)}")
    rng = np.random.default_rng(clip_seed(label, split, index, seed=seed))
    if label in STRUCK:
        name, seconds = label.replace("_", " "), rng.uniform(1.2, 2.4)
        sound = notes.strokes(name, rng, sample_rate, seconds=seconds, split=split)
    else:
        seconds = rng.uniform(1.8, 2.4)
        sound = notes.ensemble(GENRE_OF[label], rng, sample_rate, seconds=seconds, split=split)
    wave = prepare_clip(record(sound, rng, sample_rate), sample_rate=sample_rate)
    return music_clip(label, split, index, phrases=piece_phrases(label)), wave

"""Mini versions of the data sets of music, in the official schemas: percussion, notes, solos, genres.

They are played (`shared_data.world.music.notes`), not drawn from a bank, of which only sample rate and split
count; programs, keys and tempi of tests are in no training clip of a bank. The same name and seed give the
same rows, and fewer rows are the first of more. Classes are balanced.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from core.audio.read import write_flac
from core.scenes.bank import Bank
from core.scenes.comparisons import Row
from core.scenes.places import GENRES
from shared_data.world.datasets.listening import classified_row, one_split, row_rng
from shared_data.world.music import notes
from shared_data.world.sounds.conditions import apply


def beijing_opera(
    bank: Bank, *, n: int, seed: int, name: str = "beijing_opera", duration: float = 5.12
) -> Iterator[Row]:
    """Beijing Opera Percussion: strokes on one of four instruments, in a room."""
    labels, split = list(notes.PERCUSSION), one_split(bank).clips[0].split
    for index in range(n):
        rng, label = row_rng(name, seed, index), labels[index % len(labels)]
        sound = notes.strokes(label, rng, bank.sample_rate, seconds=duration, split=split)
        yield _played(f"{name}-{index:05d}", sound, label, ("reverb",), bank.sample_rate)


def gtzan(bank: Bank, *, n: int, seed: int, name: str = "gtzan", duration: float = 5.12) -> Iterator[Row]:
    """GTZAN: a short piece by the ensemble of one of GENRES; `label` is the genre's name, "jazz"."""
    genres, split = list(GENRES), one_split(bank).clips[0].split
    for index in range(n):
        rng, genre = row_rng(name, seed, index), genres[index % len(genres)]
        sound = notes.ensemble(genre, rng, bank.sample_rate, seconds=duration, split=split)
        yield _played(f"{name}-{index:05d}", sound, GENRES[genre].name, (), bank.sample_rate)


def medley_solos(
    bank: Bank, *, n: int, seed: int, name: str = "medley_solos", duration: float = 5.12
) -> Iterator[Row]:
    """Medley-solos-DB: a phrase on one of eight instruments, in a room."""
    split = one_split(bank).clips[0].split
    for index in range(n):
        rng, label = row_rng(name, seed, index), notes.SOLOISTS[index % len(notes.SOLOISTS)]
        sound = notes.solo(label, rng, bank.sample_rate, seconds=duration, split=split)
        yield _played(f"{name}-{index:05d}", sound, label, ("reverb",), bank.sample_rate)


def nsynth(bank: Bank, *, n: int, seed: int, name: str = "nsynth", duration: float = 4.0) -> Iterator[Row]:
    """NSynth: one note, its family of instruments and its kind of source.

    The bank's split decides the programs: those of "train" are in no other split.
    """
    split = one_split(bank).clips[0].split
    for index in range(n):
        rng, patch = row_rng(name, seed, index), notes.PATCHES[index % len(notes.PATCHES)]
        sound, played = notes.note(patch, split, rng, bank.sample_rate, seconds=duration)
        id = f"{name}-{index:05d}"
        yield {
            "id": id,
            "audio": {"bytes": write_flac(sound, bank.sample_rate), "path": f"{id}.flac"},
            "instrument": patch.instrument,
            "source": patch.source,
            "clips": [f"note/{played}"],
        }


def _played(id: str, sound: np.ndarray, label: str, chain: Sequence[str], sample_rate: int) -> Row:
    if chain:
        sound = apply(sound, chain, sample_rate=sample_rate, seed=zlib.crc32(id.encode()))
    audio = {"bytes": write_flac(sound, sample_rate), "path": f"{id}.flac"}
    return classified_row(id, audio, label, [f"played/{id}"])

"""Music clips: short seeded melodies and patterns, played from the General-MIDI font of `pretty_midi`.

`symusic` renders the sampled instruments of TimGM6mb.sf2 (GPL-2). A class is a family of programs, so
that its clips differ in instrument, register, tempo, touch and figure.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.scenes.bank import Bank, BankError, Clip, prepare_clip
from core.scenes.procedural import clip_seed
from core.scenes.signals import Rng, record, spread

FONT = "TimGM6mb.sf2"
FONT_SHA256 = "82475b91a76de15cb28a104707d3247ba932e228bada3f47bba63c6b31aaf7a1"
LICENSE = "GPL-2 (TimGM6mb samples)"
TICKS = 480  # per quarter note
MAJOR, MINOR, PENTATONIC = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9)
KICK, SNARE, CLOSED_HAT, OPEN_HAT, CRASH, TOM = 36, 38, 42, 46, 49, 45


class FontMissingError(FileNotFoundError):
    """The sound font is not installed."""


@dataclass(frozen=True)
class Instrument:
    """General-MIDI programs (from 0), range in MIDI notes, and whether it plays chords."""

    name: str
    programs: tuple[int, ...]
    low: int
    high: int
    chords: bool = False
    article: str = "a"


# Programs 56, 65 and 67 are left out: `symusic` reads past the end of their samples at some pitches, and what
# it finds there differs from run to run.
INSTRUMENTS: dict[str, Instrument] = {
    "piano": Instrument("piano", (0, 1, 2, 3), 45, 84, chords=True),
    "organ": Instrument("church organ", (19, 20), 43, 79, chords=True),
    "accordion": Instrument("accordion", (21, 23), 52, 79, chords=True, article="an"),
    "guitar": Instrument("guitar", (24, 25, 26, 27), 40, 72, chords=True),
    "violin": Instrument("violin", (40, 41), 57, 91),
    "trumpet": Instrument("trumpet", (59,), 54, 80),
    "saxophone": Instrument("saxophone", (64, 66), 46, 78),
    "flute": Instrument("flute", (72, 73, 75), 62, 93),
    "marimba": Instrument("marimba", (12, 13), 50, 84),
    "drums": Instrument("drum kit", (), 0, 0),
}


def music_phrases(label: str) -> tuple[str, ...]:
    """Phrases of one instrument, "a violin playing" first."""
    instrument = INSTRUMENTS[label]
    who = f"{instrument.article} {instrument.name}"
    return f"{who} playing", f"the sound of {who}", f"{who} plays", f"{instrument.name} music"


def find_font() -> Path:
    """The path of the sound font inside `pretty_midi`, which is not imported. Raises FontMissingError."""
    spec = importlib.util.find_spec("pretty_midi")
    for folder in spec.submodule_search_locations or () if spec else ():
        if (path := Path(folder) / FONT).is_file():
            if not _is_font(path):
                raise FontMissingError(
                    f"{path} is cut, or not the font of pretty_midi 0.2.11, which the worlds are made with: "
                    "`pip install --force-reinstall --no-deps pretty_midi==0.2.11`"
                )
            return path
    raise FontMissingError(
        f"no {FONT}: it comes with pretty_midi 0.2.11; `pip install -c constraints.txt pretty_midi symusic`"
    )


@functools.cache
def _is_font(path: Path) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == FONT_SHA256


def play(label: str, rng: Rng, sample_rate: int) -> np.ndarray:
    """One clip of an instrument: float32 (samples,), see `prepare_clip`. BankError for an unknown label."""
    from symusic import Note, Score, Tempo, Track

    if label not in INSTRUMENTS:
        raise BankError(f"no instrument {label!r}; there are {list(INSTRUMENTS)}")
    instrument = INSTRUMENTS[label]
    score = Score(TICKS)
    tempo = spread(rng, 90, 190)
    score.tempos.append(Tempo(0, tempo))
    last = spread(rng, 0.9, 2.3) * tempo / 60  # in quarters, like the notes
    program = int(rng.choice(instrument.programs)) if instrument.programs else 0
    track = Track(instrument.name, program, not instrument.programs)
    notes = _melody(instrument, rng) if instrument.programs else _beat(rng)
    for start, length, pitch, velocity in notes:
        if start >= last:
            break
        length = min(length, last - start)
        track.notes.append(Note(round(start * TICKS), max(1, round(length * TICKS)), pitch, velocity))
    score.tracks.append(track)
    sound = np.asarray(_synthesizer(sample_rate).render(score, stereo=False))[0]
    return prepare_clip(record(sound, rng, sample_rate), sample_rate=sample_rate)


def make_music(
    *,
    sample_rate: int,
    clips_per_class: Mapping[str, int],
    labels: Iterable[str] | None = None,
    seed: int = 0,
) -> Bank:
    """A bank of music: `clips_per_class` ({"train": 24, "test": 8}) clips of every instrument."""
    clips, waveforms = [], []
    for label in INSTRUMENTS if labels is None else labels:
        for split, count in clips_per_class.items():
            for index in range(count):
                name = f"{label}/{split}/{index}"
                rng = np.random.default_rng(clip_seed(label, split, index, seed=seed))
                waveforms.append(play(label, rng, sample_rate))
                clips.append(
                    Clip(
                        id=f"music/{name}",
                        label=label,
                        phrases=music_phrases(label),
                        domain="music",
                        instrument=label,
                        source="TimGM6mb",
                        group=name,
                        license=LICENSE,
                        split=split,
                    )
                )
    return Bank(tuple(clips), tuple(waveforms), sample_rate)


def _melody(instrument: Instrument, rng: Rng) -> list[tuple[float, float, int, int]]:
    """A walk through a scale as (start, length in quarters, pitch, velocity), with chords where they fit."""
    scale = (MAJOR, MINOR, PENTATONIC)[int(rng.integers(3))]
    key = int(rng.integers(12))
    ladder = [p for p in range(instrument.low, instrument.high + 1) if (p - key) % 12 in scale]
    at = int(rng.integers(len(ladder) // 4, 3 * len(ladder) // 4))
    touch = rng.uniform(0.4, 1.05)  # staccato to legato
    rhythm = [(0.5,), (1.0,), (0.5, 0.5, 1.0), (0.75, 0.25), (1.5, 0.5), (0.25, 0.25, 0.5)][
        int(rng.integers(6))
    ]
    chordal = instrument.chords and rng.uniform() < 0.5
    loud = int(rng.integers(60, 110))
    notes, start = [], 0.0
    for number in range(32):
        length = rhythm[number % len(rhythm)]
        at = int(np.clip(at + rng.integers(-3, 4), 0, len(ladder) - 5))
        for step in (0, 2, 4) if chordal else (0,):
            notes.append((start, length * touch, ladder[at + step], loud + int(rng.integers(-12, 13))))
        start += length
    return notes


def _beat(rng: Rng) -> list[tuple[float, float, int, int]]:
    """Two bars of drums in eighths: kick and snare where they were drawn, a hat or ride over them."""
    kick = rng.uniform(size=8) < np.array([1.0, 0.1, 0.25, 0.4, 0.6, 0.2, 0.3, 0.3])
    snare = rng.uniform(size=8) < np.array([0.0, 0.1, 0.85, 0.1, 0.05, 0.15, 0.85, 0.25])
    hats = rng.uniform(size=8) < rng.uniform(0.4, 1.0)
    hat = int(rng.choice([CLOSED_HAT, CLOSED_HAT, OPEN_HAT, 51]))
    notes = [(0.0, 0.5, CRASH, 90)] if rng.uniform() < 0.3 else []
    for eighth in range(16):
        for hit, pitch in ((kick, KICK), (snare, SNARE), (hats, hat)):
            if hit[eighth % 8]:
                notes.append((eighth / 2, 0.4, pitch, int(rng.integers(70, 115))))
        if eighth >= 12 and rng.uniform() < 0.3:
            notes.append((eighth / 2, 0.4, TOM + int(rng.integers(-2, 4)), 100))
    return notes


@functools.cache
def _synthesizer(sample_rate: int) -> Any:
    from symusic import Synthesizer

    return Synthesizer(sf_path=str(find_font()), sample_rate=sample_rate)

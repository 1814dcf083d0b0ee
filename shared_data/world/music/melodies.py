"""Music clips: short seeded melodies and patterns, played from the General-MIDI font of `pretty_midi`.

TimGM6mb.sf2 (GPL-2) holds sampled instruments. A class is a family of programs, so that its clips differ in
instrument, register, tempo, touch and figure. Splits differ in programs where the font has enough that are
called the same, and always in the keys (tonics) that melodies are in.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from core.scenes.bank import Bank, BankError, Clip, prepare_clip
from shared_data.world.music.soundfont import FONT_RATE, play_part
from shared_data.world.sounds.procedural import clip_seed
from shared_data.world.sounds.signals import Rng, record, spread

FONT = "TimGM6mb.sf2"
FONT_SHA256 = "82475b91a76de15cb28a104707d3247ba932e228bada3f47bba63c6b31aaf7a1"
LICENSE = "GPL-2 (TimGM6mb samples)"
MAJOR, MINOR, PENTATONIC = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9)
# (start, length in quarters, MIDI pitch, velocity)
Line = list[tuple[float, float, int, int]]
# (program, or kit, notes, whether it is a kit)
Track = tuple[int, Line, bool]
KICK, SNARE, CLOSED_HAT, OPEN_HAT, CRASH, TOM = 36, 38, 42, 46, 49, 45


class FontMissingError(FileNotFoundError):
    """The sound font is not installed."""


@dataclass(frozen=True)
class Instrument:
    """General-MIDI programs (from 0; of drums: kits) of training and of test, range in MIDI notes.

    Validation has those of training. `chords`: it plays them. `doing`: gerund and third person.
    """

    name: str
    train: tuple[int, ...]
    test: tuple[int, ...]
    low: int
    high: int
    chords: bool = False
    article: str = "a"
    doing: tuple[str, str] = ("playing", "plays")

    def programs(self, split: str) -> tuple[int, ...]:
        """Those of a split."""
        return self.test if split == "test" else self.train


# No program of `notes.PATCHES` or of `notation.PLAYERS` for tests is for training here. The only church organ
# of the font is 19 (20 has the accordion's samples), its only open trumpet 56: their splits differ in keys.
INSTRUMENTS: dict[str, Instrument] = {
    "piano": Instrument("piano", (0, 1, 3, 4), (2,), 45, 84, chords=True),
    "organ": Instrument("church organ", (19,), (19,), 43, 79, chords=True),
    "accordion": Instrument("accordion", (21,), (23,), 52, 79, chords=True, article="an"),
    "guitar": Instrument("guitar", (24, 26, 28, 30), (25, 27), 40, 72, chords=True),
    "violin": Instrument("violin", (40,), (41, 110), 57, 91),
    "trumpet": Instrument("trumpet", (56,), (56,), 54, 80),
    "saxophone": Instrument("saxophone", (64, 65, 67), (66,), 46, 78),
    "flute": Instrument("flute", (73, 75, 77, 79), (72, 74), 62, 93),
    "marimba": Instrument("marimba", (12,), (13,), 50, 84),
    "drums": Instrument("drum kit", (0, 8, 25, 32, 40), (16, 24), 0, 0),
    "bass": Instrument("bass", (32, 33, 34, 36, 38), (35, 37), 28, 52),
    "synthesizer": Instrument("synthesizer", (62, 80, 82, 83, 84, 86, 90), (81, 87), 48, 84, chords=True),
    "choir": Instrument("choir", (52, 54, 91), (53,), 50, 80, chords=True, doing=("singing", "sings")),
}


def music_phrases(label: str) -> tuple[str, ...]:
    """Phrases of one instrument, "a violin playing" first."""
    instrument = INSTRUMENTS[label]
    who = f"{instrument.article} {instrument.name}"
    gerund, verb = instrument.doing
    return f"{who} {gerund}", f"the sound of {who}", f"{who} {verb}", f"{instrument.name} music"


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
        f"no {FONT}: it comes with pretty_midi 0.2.11; `pip install -c constraints.txt pretty_midi`"
    )


@functools.cache
def _is_font(path: Path) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == FONT_SHA256


def key_of(rng: Rng, split: str) -> int:
    """A tonic, 0 to 11: two thirds of them are for training, the others for validation and test."""
    return int(rng.choice([key for key in range(12) if (key % 3 == 2) == (split != "train")]))


def play(label: str, rng: Rng, sample_rate: int, *, split: str = "train") -> np.ndarray:
    """One clip of an instrument: float32 (samples,), see `prepare_clip`. BankError for an unknown label."""
    if label not in INSTRUMENTS:
        raise BankError(f"no instrument {label!r}; there are {list(INSTRUMENTS)}")
    instrument = INSTRUMENTS[label]
    tempo = spread(rng, 90, 190)
    last = spread(rng, 0.9, 2.3) * tempo / 60  # in quarters, like the notes
    program = int(rng.choice(instrument.programs(split)))
    drums = label == "drums"
    line = _beat(rng) if drums else _melody(instrument, rng, key_of(rng, split))
    notes = [(at, min(length, last - at), pitch, loud) for at, length, pitch, loud in line if at < last]
    sound = perform([(program, notes, drums)], tempo, sample_rate, last * 60 / tempo + 0.3)
    return prepare_clip(record(sound, rng, sample_rate), sample_rate=sample_rate)


def perform(
    tracks: Sequence[Track], tempo: float, sample_rate: int, seconds: float, *, bend: float = 0.0
) -> np.ndarray:
    """Tracks at `tempo` quarters a minute, `bend` semitones higher: float64 (samples,), `seconds` long."""
    length = round(seconds * FONT_RATE)
    sound = np.zeros(length)
    for program, line, drums in tracks:
        notes = [
            (60 / tempo * start, 60 / tempo * quarters, pitch, min(velocity, 127))
            for start, quarters, pitch, velocity in line
            if 60 / tempo * start < seconds
        ]
        sound += play_part(find_font(), program, notes, drums=drums, length=length, bend=bend)
    if sample_rate != FONT_RATE:
        sound = soxr.resample(sound, FONT_RATE, sample_rate)
    whole = np.zeros(round(seconds * sample_rate))
    whole[: min(len(whole), len(sound))] = sound[: len(whole)]
    return whole


def draw(label: str, split: str, index: int, *, seed: int, sample_rate: int) -> tuple[Clip, np.ndarray]:
    """One clip of the bank and what is known of it; BankError for an unknown label."""
    rng = np.random.default_rng(clip_seed(label, split, index, seed=seed))
    wave = play(label, rng, sample_rate, split=split)
    return music_clip(label, split, index, phrases=music_phrases(label)), wave


def music_clip(label: str, split: str, index: int, *, phrases: tuple[str, ...]) -> Clip:
    """What is known of a clip that the font plays."""
    name = f"{label}/{split}/{index}"
    return Clip(
        id=f"music/{name}",
        label=label,
        phrases=phrases,
        domain="music",
        instrument=label,
        source="TimGM6mb",
        group=name,
        license=LICENSE,
        split=split,
    )


def make_music(
    *,
    sample_rate: int,
    clips_per_class: Mapping[str, int],
    labels: Iterable[str] | None = None,
    seed: int = 0,
) -> Bank:
    """A bank of music: `clips_per_class` ({"train": 24, "test": 8}) clips of every instrument."""
    made = [
        draw(label, split, index, seed=seed, sample_rate=sample_rate)
        for label in (INSTRUMENTS if labels is None else labels)
        for split, count in clips_per_class.items()
        for index in range(count)
    ]
    return Bank(tuple(clip for clip, _ in made), tuple(wave for _, wave in made), sample_rate)


def _melody(instrument: Instrument, rng: Rng, key: int) -> Line:
    """A walk through a scale on a key (tonic), with chords where they fit."""
    scale = (MAJOR, MINOR, PENTATONIC)[int(rng.integers(3))]
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


def _beat(rng: Rng) -> Line:
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

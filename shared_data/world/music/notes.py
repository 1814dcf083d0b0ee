"""Music for listening tests: single notes, percussion strokes, solo phrases and small ensembles.

They come from the General-MIDI font of `shared_data.world.music.melodies`. Splits differ in programs, keys
and tempi: what listening tests play was never in training, though a bank has clips of the same classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.scenes.bank import PEAK, SilentClipError
from core.scenes.places import GENRES
from shared_data.world.music.melodies import (
    CLOSED_HAT,
    INSTRUMENTS,
    KICK,
    MAJOR,
    MINOR,
    PENTATONIC,
    SNARE,
    Line,
    Track,
    key_of,
    perform,
)
from shared_data.world.sounds.signals import Rng, fall, spread, swell


class NotesError(ValueError):
    """An instrument, a percussion class or a genre that does not exist."""


@dataclass(frozen=True)
class Patch:
    """A family of instruments from one kind of source: General-MIDI programs (from 0) per split, range."""

    instrument: str
    source: str
    train: tuple[int, ...]
    test: tuple[int, ...]
    low: int
    high: int


# NSynth's eleven families and three sources, as far as General MIDI has two programs of both. No program is
# in both splits, as no instrument is in NSynth's.
PATCHES: tuple[Patch, ...] = (
    Patch("bass", "electronic", (33, 34, 36), (35, 37), 28, 52),
    Patch("bass", "synthetic", (38,), (39,), 28, 52),
    Patch("brass", "acoustic", (57, 60), (58, 59, 61), 46, 76),
    Patch("brass", "synthetic", (62,), (63,), 46, 76),
    Patch("flute", "acoustic", (73, 75, 79), (72, 74), 62, 92),
    Patch("guitar", "acoustic", (24,), (25,), 40, 76),
    Patch("guitar", "electronic", (26, 28, 30), (27, 29), 40, 76),
    Patch("keyboard", "acoustic", (0, 1, 3), (2,), 36, 88),
    Patch("keyboard", "electronic", (4,), (5,), 36, 88),
    Patch("mallet", "acoustic", (9, 11, 12), (8, 13), 55, 88),
    Patch("organ", "acoustic", (19,), (20,), 40, 84),
    Patch("organ", "electronic", (16, 18), (17,), 40, 84),
    Patch("reed", "acoustic", (64, 65, 68, 71), (66, 69, 70), 50, 80),
    Patch("string", "acoustic", (40, 42), (41, 43), 40, 84),
    Patch("string", "synthetic", (50,), (51,), 40, 84),
    Patch("synth lead", "synthetic", (80, 83, 86), (81, 87), 48, 84),
    Patch("vocal", "acoustic", (52,), (53,), 50, 80),
    Patch("vocal", "synthetic", (54,), (85,), 50, 80),
)
VELOCITIES: Mapping[str, tuple[int, ...]] = {"train": (50, 75, 100, 127), "test": (60, 85, 110)}

# Four classes, as Beijing Opera's four percussion instruments: keys of the General-MIDI percussion map for
# training (and validation, which has other seeds) and test. The font has few samples of each, and two keys
# often play one sample at two pitches: so in training each clip is of a body of another size (BEND).
PERCUSSION: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "wood block": ((75, 76), (77,)),
    "cymbals": ((49, 52), (55, 57)),
    "cowbell": ((56, 67), (68,)),
    "hand drum": ((60, 62, 64), (61, 63)),
}
BEND = 5.0  # semitones up or down
# Medley-solos-DB has eight instruments.
SOLOISTS = ("accordion", "flute", "guitar", "organ", "piano", "saxophone", "trumpet", "violin")

PROGRESSIONS = ((0, 5, 3, 4), (0, 3, 4, 0), (0, 4, 5, 3), (1, 4, 0, 0), (0, 3, 0, 4))  # degrees, a bar each


@dataclass(frozen=True)
class Feel:
    """When chords and drums sound in a bar of four quarters; `swing` places off-beats in their quarter."""

    chords: tuple[float, ...] = (0, 1, 2, 3)
    kick: tuple[float, ...] = (0, 2)
    snare: tuple[float, ...] = (1, 3)
    swing: float = 0.5


FEELS: Mapping[str, Feel] = {
    "classical": Feel(chords=(0, 2)),
    "jazz": Feel(chords=(0, 1.5, 3.5), kick=(0, 2.5), snare=(1.5, 3), swing=0.66),
    "rock": Feel(chords=(0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5), kick=(0, 2, 2.5)),
    "folk": Feel(chords=(0.5, 1.5, 2.5, 3.5)),
    "gospel": Feel(chords=(0, 2.5), swing=0.66),
    "latin": Feel(chords=(0, 1.5, 3), kick=(0, 1.5, 3)),
}


def note(patch: Patch, split: str, rng: Rng, sample_rate: int, *, seconds: float) -> tuple[np.ndarray, str]:
    """One note, float32 (samples,), and its name; held for three quarters of `seconds`, as NSynth's are.

    Splits other than "train" have the test programs; they also differ in pitches (even against odd) and
    velocities.
    """
    training = split == "train"
    program = int(rng.choice(patch.train if training else patch.test))
    pitches = [pitch for pitch in range(patch.low, patch.high + 1) if pitch % 2 == (0 if training else 1)]
    pitch = int(rng.choice(pitches))
    velocity = int(rng.choice(VELOCITIES["train" if training else "test"]))
    sound = perform([(program, [(0.0, 2 * seconds, pitch, velocity)], False)], 120.0, sample_rate, seconds)
    held = round(0.75 * seconds * sample_rate)
    sound[held:] *= fall(len(sound) - held, sample_rate, 0.5)  # released, the font's notes stop dead
    return _level(sound, f"program {program}, pitch {pitch}"), f"{program:03d}-{pitch:03d}-{velocity:03d}"


def strokes(label: str, rng: Rng, sample_rate: int, *, seconds: float, split: str = "test") -> np.ndarray:
    """One to six strokes on one percussion instrument: float32 (samples,)."""
    keys = _known(PERCUSSION, label, "percussion class")[split == "test"]
    key, count = int(rng.choice(keys)), int(rng.integers(1, 7))
    gap = rng.uniform(0.25, 0.9) * min(1.0, seconds / 3)
    bend = 0.0 if split == "test" else round(float(rng.uniform(-BEND, BEND)), 1)
    ring = spread(rng, 0.3, 1.5) if label == "cymbals" else spread(rng, 0.15, 0.5)
    sound = np.zeros(round(seconds * sample_rate))
    at = rng.uniform(0, max(0.0, seconds - count * gap - 0.3))
    for _ in range(count):
        length = min(2.5 * ring, seconds - at)
        if length < 0.1:
            break
        line: Line = [(0.0, 2 * length, key, int(rng.integers(70, 118)))]
        hit = perform([(0, line, True)], 120.0, sample_rate, length, bend=bend)
        begin = round(at * sample_rate)
        end = min(len(sound), begin + len(hit))
        # some samples loop for ever: a struck body does not
        sound[begin:end] += (hit * fall(len(hit), sample_rate, 2 * ring))[: end - begin]
        at += gap * rng.uniform(0.8, 1.2)
    return _level(sound, label)


def solo(label: str, rng: Rng, sample_rate: int, *, seconds: float, split: str = "test") -> np.ndarray:
    """A phrase on one of SOLOISTS, a walk through a scale with rests: float32 (samples,)."""
    instrument = _known({name: INSTRUMENTS[name] for name in SOLOISTS}, label, "soloist")
    tempo = spread(rng, 70, 160)
    scale = (MAJOR, MINOR, PENTATONIC)[int(rng.integers(3))]
    ladder = _ladder(instrument.low, instrument.high, key_of(rng, split), scale)
    line = _walk(ladder, rng, quarters=seconds * tempo / 60, rests=0.12)
    program = int(rng.choice(instrument.programs(split)))
    return _level(perform([(program, line, False)], tempo, sample_rate, seconds), label)


def ensemble(genre: str, rng: Rng, sample_rate: int, *, seconds: float, split: str = "test") -> np.ndarray:
    """A short piece by all instruments of a genre (a key of GENRES) over one progression: float32 (samples,).

    The first instrument that is not the drums leads; those that can play chords accompany, others play roots.
    """
    style = _known(GENRES, genre, "genre")
    feel = FEELS.get(genre, Feel())
    tempo = _tempo(style.tempo, rng, split)
    quarters = seconds * tempo / 60
    scale, key = MINOR if style.minor else MAJOR, key_of(rng, split)
    degrees = PROGRESSIONS[int(rng.integers(len(PROGRESSIONS)))]
    tracks: list[Track] = []
    leader = next(name for name in style.instruments if name != "drums")
    for name in style.instruments:
        instrument = INSTRUMENTS[name]
        program = int(rng.choice(instrument.programs(split)))
        ladder = _ladder(instrument.low, instrument.high, key, scale)
        if name == "drums":
            line = _drums(feel, rng, quarters)
        elif name == leader:
            line = _walk(ladder[len(ladder) // 3 :], rng, quarters=quarters, rests=0.08, swing=feel.swing)
        else:
            line = _chords(ladder, key, scale, degrees, feel, quarters, chord=instrument.chords, rng=rng)
        tracks.append((program, line, name == "drums"))
    return _level(perform(tracks, tempo, sample_rate, seconds), genre)


def _tempo(between: tuple[float, float], rng: Rng, split: str) -> float:
    """A tempo; the range has twelve bands, of which every third is for validation and test."""
    low, high = between
    return low * (high / low) ** ((key_of(rng, split) + float(rng.random())) / 12)


def _ladder(low: int, high: int, key: int, scale: Sequence[int]) -> list[int]:
    return [pitch for pitch in range(low, high + 1) if (pitch - key) % 12 in scale]


def _walk(ladder: Sequence[int], rng: Rng, *, quarters: float, rests: float, swing: float = 0.5) -> Line:
    """A melody of eighths, quarters and longer notes that moves by small steps; off-beats lie at `swing`."""
    at, beat, loud = len(ladder) // 2, 0.0, int(rng.integers(80, 108))
    line: Line = []
    while beat < quarters:
        length = float(rng.choice([0.5, 0.5, 1.0, 1.0, 1.5, 2.0]))
        at = int(np.clip(at + rng.integers(-3, 4), 0, len(ladder) - 1))
        if not line or rng.random() >= rests:
            start = int(beat) + (swing if beat % 1 else 0.0)
            line.append((start, 0.9 * length, ladder[at], loud + int(rng.integers(-12, 13))))
        beat += length
    return line


def _chords(
    ladder: Sequence[int],
    key: int,
    scale: Sequence[int],
    degrees: Sequence[int],
    feel: Feel,
    quarters: float,
    *,
    chord: bool,
    rng: Rng,
) -> Line:
    """The progression, a bar each: triads where the instrument can, else their roots."""
    line: Line = []
    middle = len(ladder) // 3
    for bar in range(int(quarters / 4) + 1):
        degree = degrees[bar % len(degrees)]
        root = (key + scale[degree % len(scale)]) % 12
        place = next(index for index in range(middle, len(ladder)) if ladder[index] % 12 == root)
        steps = [step for step in ((0, 2, 4) if chord else (0,)) if place + step < len(ladder)]
        for number, onset in enumerate(feel.chords):
            until = feel.chords[number + 1] if number + 1 < len(feel.chords) else 4
            start = 4 * bar + int(onset) + (feel.swing if onset % 1 else 0.0)
            loud = int(rng.integers(58, 80))
            line += [(start, 0.85 * (until - onset), ladder[place + step], loud) for step in steps]
    return line


def _drums(feel: Feel, rng: Rng, quarters: float) -> Line:
    """Kick, snare and a hat on every beat and most off-beats."""
    line: Line = []
    for bar in range(int(quarters / 4) + 1):
        for key, onsets in ((KICK, feel.kick), (SNARE, feel.snare)):
            line += [(4 * bar + onset, 0.4, key, int(rng.integers(80, 112))) for onset in onsets]
        for beat in range(4):
            line.append((4 * bar + beat, 0.3, CLOSED_HAT, int(rng.integers(55, 80))))
            if rng.random() < 0.7:
                line.append((4 * bar + beat + feel.swing, 0.3, CLOSED_HAT, int(rng.integers(45, 70))))
    return line


def _level(sound: np.ndarray, what: str) -> np.ndarray:
    """Peak 0.5, the last hundredth faded, float32. Raises SilentClipError where the font gives no sound."""
    peak = float(np.abs(sound).max()) if sound.size else 0.0
    if not 1e-4 < peak < 1e3:  # false for NaN too: a filter of the font may be unstable at low sample rates
        raise SilentClipError(f"the sound font gives no sound (peak {peak:g}) for {what} at this sample rate")
    sound = sound * swell(len(sound), len(sound), attack=0.0, release=0.01)
    return (sound * (PEAK / np.abs(sound).max())).astype(np.float32)


def _known(table: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in table:
        raise NotesError(f"no {what} {name!r}; there are {', '.join(table)}")
    return table[name]

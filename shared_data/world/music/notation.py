"""A small score and its sound: parts of notes in quarters, played by the font of
`shared_data.world.music.melodies`.

Every part is brought to its own level before the parts are mixed, so that each is heard however loud the font
is. No program and no drum kit is in both splits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import soxr

from shared_data.world.exams.item import Rng, Split, pick
from shared_data.world.music.melodies import find_font
from shared_data.world.music.soundfont import FONT_RATE, play_part

Role = Literal["lead", "chords", "bass", "drone", "drums"]

LOWEST, HIGHEST = 28, 84
TAIL = 0.3  # seconds that ring after the last quarter
GAINS: Mapping[Role, float] = {"lead": 1.0, "chords": 0.5, "bass": 0.7, "drone": 0.45, "drums": 0.8}


class ScoreError(ValueError):
    """A score that cannot be played: pitch, program, tempo, length, or an unknown instrument."""


@dataclass(frozen=True)
class Player:
    """A family of instruments: what it is called in each split, its General-MIDI programs (from 0) there."""

    train: tuple[int, ...]
    test: tuple[int, ...]
    low: int
    high: int
    called: tuple[str, str] = ("", "")  # in train and test, where not the key of PLAYERS

    def programs(self, split: Split) -> tuple[int, ...]:
        """Those of one split."""
        return self.train if split == "train" else self.test


# Programs 0 and 1 hold the same samples in this font; kits 0 and 8 share some, kits 16 and 24 others.
PLAYERS: dict[str, Player] = {
    "piano": Player((0, 3), (2,), 48, 81),
    "organ": Player((16, 18, 19), (17, 20), 48, 79),
    "accordion": Player((21,), (23,), 52, 81),
    "guitar": Player((24,), (25,), 45, 76),
    "violin": Player((40,), (41, 110), 55, 84),
    "choir": Player((52,), (53,), 52, 77),
    "brass": Player((57, 60), (58, 61), 48, 74),
    "saxophone": Player((64,), (66,), 50, 77),
    "flute": Player((73, 75), (72, 74), 60, 84),
    "marimba": Player((12,), (13,), 52, 84),
    "bells": Player((10, 14), (8, 11), 60, 84),
    "synthesizer": Player((80, 83), (81, 87), 48, 84),
    "electric guitar": Player((30,), (29,), 40, 72),
    "strings": Player((48, 50), (49, 51), 48, 79),
    "bass": Player((32, 33), (35, 37), 28, 52),
    "koto": Player((107,), (106,), 52, 79, ("koto", "shamisen")),
    "sitar": Player((104,), (111,), 52, 79, ("sitar", "shehnai")),
    "drums": Player((0, 8), (16, 24), 0, 127),
}
# those that are asked about: told apart by ear, none a kind of another
LEADS = (
    *("piano", "organ", "accordion", "guitar", "violin", "choir"),
    *("brass", "saxophone", "flute", "marimba", "bells"),
)
DRUMS: Mapping[str, int] = {
    "kick": 36,
    "rim": 37,
    "snare": 38,
    "clap": 39,
    "tom": 41,
    "hat": 42,
    "ride": 51,
    "cowbell": 56,
    "conga": 63,
    "clave": 75,
}


@dataclass(frozen=True)
class Note:
    """Start and length in quarters, MIDI pitch (of drums: key of the percussion map), velocity 1 to 127."""

    start: float
    length: float
    pitch: int
    velocity: int = 90


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one instrument (a key of PLAYERS) plays, on one of its programs; of drums, the kit."""

    instrument: str
    program: int
    notes: tuple[Note, ...]
    role: Role = "lead"
    split: Split = "train"

    @property
    def called(self) -> str:
        """What a listener calls the instrument."""
        return PLAYERS[self.instrument].called[self.split != "train"] or self.instrument


@dataclass(frozen=True, kw_only=True)
class Score:
    """A piece of `quarters`: tempos as (from quarter, quarters a minute), quarters a bar, tonic 0 to 11.

    later: joined pieces after the first, each as (from quarter, quarters a bar, tonic).

    Raises ScoreError when it cannot be played.
    """

    parts: tuple[Part, ...]
    quarters: float
    tempos: tuple[tuple[float, float], ...]
    bar: float = 4
    tonic: int = 0
    later: tuple[tuple[float, float, int], ...] = ()

    def __post_init__(self) -> None:
        """Check that every note is within the font's good range, and that none sounds after the end."""
        if not self.parts or not all(part.notes for part in self.parts):
            raise ScoreError("a score needs parts, and every part needs notes")
        if self.tempos[0][0] != 0 or any(not 20 <= bpm <= 400 for _, bpm in self.tempos):
            raise ScoreError(f"tempos {self.tempos}: the first at quarter 0, all of 20 to 400 a minute")
        for part in self.parts:
            for note in part.notes:
                if part.role != "drums" and not LOWEST <= note.pitch <= HIGHEST:
                    raise ScoreError(
                        f"{part.instrument}: pitch {note.pitch}, {LOWEST} to {HIGHEST} are allowed"
                    )
                if note.start < 0 or note.length <= 0 or note.start + note.length > self.quarters + 1e-6:
                    raise ScoreError(f"{part.instrument}: {note} is not within {self.quarters:g} quarters")


def part(rng: Rng, instrument: str, notes: Iterable[Note], *, split: Split, role: Role | None = None) -> Part:
    """A part on one of the instrument's programs of this split. Raises ScoreError if there is none."""
    if instrument not in PLAYERS:
        raise ScoreError(f"no instrument {instrument!r}; there are {', '.join(PLAYERS)}")
    program = pick(rng, PLAYERS[instrument].programs(split))
    role = role or ("drums" if instrument == "drums" else "lead")
    return Part(instrument=instrument, program=program, notes=tuple(notes), role=role, split=split)


def seconds_at(score: Score, quarter: float) -> float:
    """When a place of the score sounds, in seconds."""
    seconds = 0.0
    for index, (start, bpm) in enumerate(score.tempos):
        stop = score.tempos[index + 1][0] if index + 1 < len(score.tempos) else float("inf")
        seconds += max(0.0, min(quarter, stop) - start) * 60 / bpm
    return seconds


def duration(score: Score) -> float:
    """Seconds of its sound."""
    return seconds_at(score, score.quarters) + TAIL


def join(first: Score, second: Score) -> Score:
    """One piece after the other; `sections` takes them apart again."""
    later = tuple(replace(each, notes=shifted(each.notes, first.quarters)) for each in second.parts)
    return replace(
        first,
        parts=first.parts + later,
        quarters=first.quarters + second.quarters,
        tempos=first.tempos + tuple((at + first.quarters, bpm) for at, bpm in second.tempos),
        later=(*first.later, (first.quarters, second.bar, second.tonic)),
    )


def sections(score: Score) -> list[Score]:
    """The pieces that were joined, each as a score of its own; the score itself if none were."""
    starts = ((0.0, score.bar, score.tonic), *score.later)
    stops = (*(start for start, _, _ in score.later), score.quarters)
    return [
        _cut(score, start, stop, bar, tonic) for (start, bar, tonic), stop in zip(starts, stops, strict=True)
    ]


def _cut(score: Score, start: float, stop: float, bar: float, tonic: int) -> Score:
    parts = []
    for each in score.parts:
        kept = [note for note in each.notes if start - 1e-6 <= note.start < stop - 1e-6]
        if kept:
            parts.append(replace(each, notes=shifted(kept, -start)))
    tempo = [bpm for at, bpm in score.tempos if at <= start + 1e-6][-1]
    later = tuple((at - start, bpm) for at, bpm in score.tempos if start + 1e-6 < at < stop - 1e-6)
    return Score(
        parts=tuple(parts), quarters=stop - start, tempos=((0.0, tempo), *later), bar=bar, tonic=tonic
    )


def shifted(notes: Iterable[Note], quarters: float, *, pitch: int = 0) -> tuple[Note, ...]:
    """The notes later, and higher by `pitch` semitones."""
    return tuple(
        replace(note, start=max(0.0, note.start + quarters), pitch=note.pitch + pitch) for note in notes
    )


def clips(score: Score) -> tuple[str, ...]:
    """Where the sound comes from: "note/<program>", "note/kit-<program>"."""
    names = {f"note/{'kit-' if each.role == 'drums' else ''}{each.program:03d}" for each in score.parts}
    return tuple(sorted(names))


def of_role(score: Score, *roles: Role) -> list[Note]:
    """All notes of parts with these roles, by start and pitch."""
    notes = [note for each in score.parts if each.role in roles for note in each.notes]
    return sorted(notes, key=lambda note: (note.start, note.pitch))


def spans(score: Score) -> dict[str, tuple[float, float]]:
    """When each instrument first starts and last stops, in seconds, by name as heard."""
    found: dict[str, tuple[float, float]] = {}
    for each in score.parts:
        start = seconds_at(score, min(note.start for note in each.notes))
        stop = seconds_at(score, max(note.start + note.length for note in each.notes))
        before = found.get(each.called, (start, stop))
        found[each.called] = (min(start, before[0]), max(stop, before[1]))
    return found


def render(score: Score, sample_rate: int) -> np.ndarray:
    """The score as sound: float32 (samples,), peak 0.5 (velocity 40) to 0.95 (velocity 120); always the same.

    Raises ScoreError when the font gives no sound for a part.
    """
    mix = np.zeros(round(duration(score) * FONT_RATE))
    for each in score.parts:
        played = _play(score, each, len(mix))
        peak = float(np.abs(played).max())
        if not peak > 1e-4:  # NaN too
            raise ScoreError(f"no sound (peak {peak:g}) of {each.instrument}, program {each.program}")
        # notes are levelled where they sound, or an instrument that rests a lot would be played too loud
        loud = np.sqrt(np.mean(played[np.abs(played) > 0.02 * peak] ** 2))
        mix += GAINS[each.role] / loud * played
    fade = round(TAIL * FONT_RATE)
    mix[-fade:] *= np.cos(np.linspace(0, np.pi / 2, fade)) ** 2
    if sample_rate != FONT_RATE:
        mix = soxr.resample(mix, FONT_RATE, sample_rate)
    velocity = np.mean([note.velocity for each in score.parts for note in each.notes])
    level = 0.5 + 0.45 * float(np.clip((velocity - 40) / 80, 0, 1))
    return np.asarray(mix * (level / np.abs(mix).max()), dtype=np.float32)


def _play(score: Score, each: Part, length: int) -> np.ndarray:
    """One part alone at FONT_RATE: float64 (length,)."""
    notes = []
    for note in each.notes:
        start, stop = (seconds_at(score, at) for at in (note.start, note.start + note.length))
        notes.append((start, stop - start, note.pitch, note.velocity))
    return play_part(find_font(), each.program, notes, drums=each.role == "drums", length=length)


def levels(notes: Sequence[Note], velocities: Sequence[float]) -> tuple[Note, ...]:
    """The notes with these velocities, one a note."""
    return tuple(replace(note, velocity=round(v)) for note, v in zip(notes, velocities, strict=True))

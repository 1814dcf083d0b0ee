"""Texture: how lines lie together and how many there are, with its truth read back from the notes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.scenes.phrasings import KEYS
from shared_data.world.exams.item import Difficulty, Rng, Split, draw_options, permuted, pick
from shared_data.world.music.arranging import chord, ladder, pace, play, spaced, walk
from shared_data.world.music.notation import Note, Part, Role, Score, part, shifted
from shared_data.world.music.plan import Plan
from shared_data.world.music.styles import MAJOR

TEXTURES = (
    "a single melody without accompaniment",
    "a melody over chords",
    "a melody over a held drone",
    "two independent melodies at once",
    "a round, each voice imitating the first",
    "block chords moving together",
    "two voices taking turns",
    "the same melody doubled in octaves",
)
LAYERS = (
    "instruments join one by one",
    "instruments drop out one by one",
    "all instruments play throughout",
    "one instrument takes over from another",
)
VOICES = ("piano", "organ", "guitar", "marimba", "accordion")
CONTRASTS = (("piano", "flute"), ("guitar", "violin"), ("organ", "marimba"), ("accordion", "bells"))


def texture(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    """Easy: two timbres, slow. Medium: faster, or layers that change. Hard: one instrument plays all."""
    if difficulty == "medium" and rng.random() < 0.5:
        return _layers(rng, split)
    options = draw_options(rng, TEXTURES)
    questions = (
        "What is the texture of this music?",
        "How do the lines of this music lie together?",
        "Which texture is heard?",
    )

    def write(gold: int, rng: Rng) -> Score:
        names = (pick(rng, VOICES),) * 2 if difficulty == "hard" else permuted(rng, pick(rng, CONTRASTS))
        bpm = rng.uniform(84, 100) if difficulty == "easy" else rng.uniform(104, 132)
        return _woven(rng, TEXTURES.index(options[gold]), names, bpm, split)

    return Plan(
        question=pick(rng, questions),
        options=options,
        write=write,
        holds=lambda place, score: woven(score) == options[place],
        tell=lambda score: f"{play(score)} {woven(score)} in {KEYS[score.tonic]} major {pace(score)}.",
    )


def _woven(rng: Rng, kind: int, names: Sequence[str], bpm: float, split: Split) -> Score:
    """Twelve quarters in one of TEXTURES."""
    end, tonic = 12, int(rng.integers(12))
    split_beats = {int(beat) for beat in rng.permutation(end)[:5]}
    starts = [at + shift for at in range(end) for shift in ((0.0, 0.5) if at in split_beats else (0.0,))]
    high = spaced(walk(rng, ladder(69, 81, tonic, MAJOR), len(starts)), starts, end, touch=0.95, loud=95)

    def line(name: str, notes: Sequence[Note], role: Role = "lead") -> Part:
        return part(rng, name, notes, split=split, role=role)

    low_root = chord(tonic, MAJOR, 0, low=50)[0]
    if kind == 0:
        parts = [line(names[0], high)]
    elif kind == 1:
        degrees = (0, 3, 4)
        triads = [
            Note(4 * bar, 3.8, p, 80) for bar in range(3) for p in chord(tonic, MAJOR, degrees[bar], low=50)
        ]
        parts = [line(names[0], high), line(names[1], triads, "chords")]
    elif kind == 2:
        parts = [line(names[0], high), line(_holding(names[1]), [Note(0, end, low_root, 85)], "drone")]
        if names[0] == names[1]:
            parts[0] = line(_holding(names[0]), high)
    elif kind == 3:
        # The lower voice moves where the upper one rests on a note, and the other way round.
        other = sorted(
            {0.0, *(at + 0.5 for at in range(end) if at + 0.5 not in starts), *map(float, range(1, end, 3))}
        )
        low = spaced(walk(rng, ladder(50, 62, tonic, MAJOR), len(other)), other, end, touch=0.95, loud=95)
        parts = [line(names[0], high), line(names[1], low)]
    elif kind == 4:
        theme = [note for note in high if note.start < end - 2]
        parts = [line(names[0], theme), line(names[1], shifted(theme, 2, pitch=-12))]
    elif kind == 5:
        at = [float(beat) for beat in range(end)]
        roots = walk(rng, range(6), end)
        triads = [
            Note(a, 0.95, p, 90)
            for a, root in zip(at, roots, strict=True)
            for p in chord(tonic, MAJOR, root, low=55)
        ]
        parts = [line(names[0], triads, "chords")]
    elif kind == 6:
        turns = [[note for note in high if int(note.start) // 2 % 2 == turn] for turn in (0, 1)]
        parts = [line(names[0], turns[0]), line(names[1], shifted(turns[1], 0, pitch=-12))]
    else:
        parts = [line(names[0], high), line(names[1], shifted(high, 0, pitch=-12))]
    return Score(parts=tuple(parts), quarters=end, tempos=((0.0, bpm),), tonic=tonic)


def _holding(name: str) -> str:
    """An instrument whose notes do not die away."""
    return name if name in ("organ", "accordion", "violin", "flute") else "organ"


def woven(score: Score) -> str:
    """Which of TEXTURES the notes have; "another texture" for none."""
    lines = [sorted(each.notes, key=lambda note: (note.start, note.pitch)) for each in score.parts]
    stacked = [len({note.start for note in line}) < len(line) for line in lines]
    if len(lines) == 1:
        return TEXTURES[5] if stacked[0] else TEXTURES[0]
    one, two = lines
    starts, others = [note.start for note in one], [note.start for note in two]
    intervals = {a.pitch - b.pitch for a, b in zip(one, two, strict=False)}
    if stacked[1]:
        return TEXTURES[1]
    if len(two) == 1 and two[0].length >= 0.8 * score.quarters:
        return TEXTURES[2]
    if starts == others and intervals == {12}:
        return TEXTURES[7]
    if (
        len(one) == len(two)
        and intervals == {12}
        and len({b - a for a, b in zip(starts, others, strict=True)}) == 1
    ):
        return TEXTURES[4]
    busy = [{int(at) // 2 for at in line} for line in (starts, others)]
    if not busy[0] & busy[1]:
        return TEXTURES[6]
    if len(set(starts) & set(others)) <= 0.6 * min(len(starts), len(others)):
        return TEXTURES[3]
    return "another texture"


def _layers(rng: Rng, split: Split) -> Plan:
    options = permuted(rng, LAYERS)
    questions = (
        "How does the number of instruments change?",
        "What happens to the texture over time?",
        "How do the instruments enter or leave?",
    )

    def write(gold: int, rng: Rng) -> Score:
        names = permuted(rng, ("piano", "flute", "violin", "organ", "marimba", "brass"))[:3]
        tonic, end, kind = int(rng.integers(12)), 12.0, LAYERS.index(options[gold])
        times = (
            [(0.0, end), (4.0, end), (8.0, end)],
            [(0.0, end), (0.0, 8.0), (0.0, 4.0)],
            [(0.0, end)] * 3,
            [(0.0, 4.0), (4.0, 8.0), (8.0, end)],
        )[kind]
        parts = []
        for (start, stop), name, (low, high) in zip(
            permuted(rng, times), names, ((52, 60), (62, 69), (71, 79)), strict=True
        ):
            if (name in ("flute", "violin", "marimba") and low < 60) or (name == "brass" and high > 74):
                low, high = 62, 70
            at = [float(beat) for beat in np.arange(start, stop)]
            pitches = walk(rng, ladder(low, high, tonic, MAJOR), len(at))
            parts.append(part(rng, name, spaced(pitches, at, stop, touch=0.95, loud=90), split=split))
        return Score(parts=tuple(parts), quarters=end, tempos=((0.0, rng.uniform(96, 120)),), tonic=tonic)

    return Plan(
        question=pick(rng, questions),
        options=options,
        write=write,
        holds=lambda place, score: layered(score) == options[place],
        tell=lambda score: f"{play(score)} in {KEYS[score.tonic]} major {pace(score)}; {layered(score)}.",
    )


def layered(score: Score) -> str:
    """Which of LAYERS, by how many play in each third."""
    third = score.quarters / 3
    counts = [
        sum(any(at * third <= note.start < (at + 1) * third for note in each.notes) for each in score.parts)
        for at in range(3)
    ]
    order = {(1, 2, 3): 0, (3, 2, 1): 1, (3, 3, 3): 2, (1, 1, 1): 3}.get((counts[0], counts[1], counts[2]))
    return "another course" if order is None else LAYERS[order]

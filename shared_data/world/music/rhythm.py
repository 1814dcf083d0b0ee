"""Rhythm and tempo: the beat, its metre and its changes, with their truth read back from the notes."""

from __future__ import annotations

import math

import numpy as np

from core.scenes.phrasings import HOW_MANY
from shared_data.world.exams.item import Difficulty, Rng, Split, draw_options, permuted, pick
from shared_data.world.music.arranging import chord, ladder, pace, play, spaced, walk
from shared_data.world.music.notation import DRUMS, Note, Part, Score, of_role, part, seconds_at
from shared_data.world.music.plan import Plan
from shared_data.world.music.styles import MAJOR, MINOR

CHANGES = (
    "it stays steady",
    "it gets gradually faster",
    "it gets gradually slower",
    "it jumps to a faster tempo",
    "it drops to a slower tempo",
)


def rhythm(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    """Tempo, metre, change of tempo, strokes, notes a beat; closer numbers and more parts when harder."""
    return pick(rng, (_tempo, _metre, _change, _strokes, _division))(rng, difficulty, split)


def pulse(score: Score) -> list[float]:
    """When the beat is played, in seconds: by the bass, else by the kick or tom."""
    beats = of_role(score, "bass") or [
        hit for hit in of_role(score, "drums") if hit.pitch in (DRUMS["kick"], DRUMS["tom"])
    ]
    return [seconds_at(score, start) for start in sorted({note.start for note in beats})]


def _beat(rng: Rng, difficulty: Difficulty, split: Split, quarters: int) -> list[Part]:
    """A beat on every quarter: drums; bass, chords and hat; bass, chords and a syncopated melody."""
    tonic, scale = int(rng.integers(12)), pick(rng, (MAJOR, MINOR))
    if difficulty == "easy":
        hits = [Note(at, 0.2, DRUMS[name], 100) for at in range(quarters) for name in ("kick", "hat")]
        return [part(rng, "drums", hits, split=split)]
    triads = [chord(tonic, scale, (0, 3, 4, 0)[at // 4 % 4], low=55) for at in range(quarters)]
    root = chord(tonic, scale, 0, low=31)[0]
    parts = [
        part(rng, "bass", [Note(at, 0.8, root, 100) for at in range(quarters)], split=split, role="bass"),
        part(
            rng,
            pick(rng, ("piano", "guitar", "organ")),
            [Note(at, 0.9, pitch, 80) for at in range(0, quarters, 2) for pitch in triads[at]],
            split=split,
            role="chords",
        ),
    ]
    if difficulty == "medium":
        hits = [Note(at, 0.2, DRUMS["hat"], 85) for at in range(quarters)]
        return [*parts, part(rng, "drums", hits, split=split)]
    starts = [at + shift for at in range(quarters) for shift in ((0, 0.5) if rng.random() < 0.5 else (0.5,))]
    pitches = walk(rng, ladder(64, 81, tonic, scale), len(starts))
    tune = spaced(pitches, starts, quarters, touch=0.9, loud=95)
    return [*parts, part(rng, pick(rng, ("flute", "violin", "saxophone")), tune, split=split)]


def _tempo(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    ratio = {"easy": 1.5, "medium": 1.32, "hard": 1.2}[difficulty]  # no two options are an octave apart
    base = rng.uniform(*{"easy": (48, 62), "medium": (58, 76), "hard": (68, 92)}[difficulty])
    speeds = permuted(rng, [round(base * ratio**power) for power in range(4)])
    questions = (
        "How fast is the beat?",
        "What is the tempo of this music?",
        "Which tempo fits this recording best?",
    )

    def write(gold: int, rng: Rng) -> Score:
        bpm = speeds[gold] * rng.uniform(0.985, 1.015)
        quarters = max(6, math.ceil(rng.uniform(4.5, 6.5) * bpm / 60))
        return Score(
            parts=tuple(_beat(rng, difficulty, split, quarters)), quarters=quarters, tempos=((0.0, bpm),)
        )

    def holds(place: int, score: Score) -> bool:
        heard = 60 / float(np.median(np.diff(pulse(score))))
        return abs(math.log(heard / speeds[place])) < 0.04

    return Plan(
        question=pick(rng, questions),
        options=tuple(f"about {speed} beats per minute" for speed in speeds),
        write=write,
        holds=holds,
        tell=lambda score: f"{play(score)} a steady beat at about {nearest(score, speeds)} beats per minute.",
    )


def nearest(score: Score, speeds: tuple[int, ...]) -> int:
    """The tempo of the beat as a listener would round it: the nearest of `speeds`."""
    return min(speeds, key=lambda speed: abs(math.log(score.tempos[0][1] / speed)))


def _metre(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    numbers = permuted(rng, (3, 4, 5, 7))
    questions = (
        "How many beats does each bar have?",
        "After how many beats does the strong beat return?",
        "What is the metre of this music?",
    )

    def write(gold: int, rng: Rng) -> Score:
        bpm = rng.uniform(*{"easy": (166, 180), "medium": (176, 196), "hard": (190, 215)}[difficulty])
        beats = numbers[gold]
        bars = max(2, int(8.2 * bpm / 60 / beats))
        end = beats * bars
        strong = [float(at) for at in range(0, end, beats)]
        weak = [float(at) for at in range(end) if at % beats]
        if difficulty == "easy":
            hits = [Note(at, 0.2, DRUMS["kick"], 120) for at in strong]
            hits += [Note(at, 0.2, DRUMS["hat"], 70) for at in weak]
            parts = [part(rng, "drums", sorted(hits, key=lambda hit: hit.start), split=split)]
        else:
            tonic = int(rng.integers(12))
            low = [Note(at, 0.9, chord(tonic, MAJOR, 0, low=36)[0], 115) for at in strong]
            high = [Note(at, 0.5, p, 65) for at in weak for p in chord(tonic, MAJOR, 0, low=58)]
            # hard: one instrument plays both
            bass, top = ("bass", "piano") if difficulty == "medium" else (pick(rng, ("guitar", "piano")),) * 2
            parts = [
                part(rng, bass, low, split=split, role="bass"),
                part(rng, top, high, split=split, role="chords"),
            ]
        return Score(parts=tuple(parts), quarters=end, tempos=((0.0, bpm),), bar=beats)

    def holds(place: int, score: Score) -> bool:
        gaps = np.diff(pulse(score)) * score.tempos[0][1] / 60
        return bool(np.allclose(gaps, numbers[place]))

    return Plan(
        question=pick(rng, questions),
        options=tuple(f"{HOW_MANY[number]} beats to a bar" for number in numbers),
        write=write,
        holds=holds,
        tell=lambda score: (
            f"{play(score)} {HOW_MANY[int(score.bar)]} beats to a bar {pace(score)}, the first beat strong."
        ),
    )


def _change(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    options = draw_options(rng, CHANGES)
    factor = {"easy": 1.9, "medium": 1.6, "hard": 1.35}[difficulty]
    questions = (
        "How does the tempo change?",
        "What happens to the speed of the music?",
        "Which statement about the tempo is true?",
    )

    def write(gold: int, rng: Rng) -> Score:
        quarters, middle = 12, rng.uniform(100, 125)
        change = options[gold]
        size = factor if "faster" in change else 1 / factor if "slower" in change else 1.0
        if "gradually" in change:
            tempos = [(float(at), middle * size ** (at / (quarters - 1) - 0.5)) for at in range(quarters)]
        else:
            tempos = [(0.0, middle * size**-0.5), (quarters / 2, middle * size**0.5)]
        return Score(
            parts=tuple(_beat(rng, difficulty, split, quarters)), quarters=quarters, tempos=tuple(tempos)
        )

    return Plan(
        question=pick(rng, questions),
        options=options,
        write=write,
        holds=lambda place, score: changed(score) == options[place],
        tell=lambda score: (
            f"{play(score)} in four, at first at about {score.tempos[0][1]:.0f} "
            f"beats per minute; the tempo: {changed(score)}."
        ),
    )


def changed(score: Score) -> str:
    """Which of CHANGES happens to the time between beats."""
    steps = -np.diff(np.log(np.diff(pulse(score))))  # above 0 where it gets faster
    total = float(steps.sum())
    if abs(total) < 0.1:
        return CHANGES[0]
    sudden = float(np.abs(steps).max()) > 0.8 * abs(total)
    return CHANGES[(3 if sudden else 1) + (total < 0)]


def _strokes(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    first = int(rng.integers(2, 4) if difficulty == "easy" else rng.integers(3, 7))
    numbers = permuted(rng, [first + (2 if difficulty == "easy" else 1) * step for step in range(4)])
    questions = (
        "How many times is the drum struck?",
        "How many drum strokes are heard?",
        "Count the strokes on the drum: how many are there?",
    )

    def write(gold: int, rng: Rng) -> Score:
        bpm = rng.uniform(80, 120) if difficulty == "easy" else rng.uniform(105, 140)
        gaps = [1.0 if difficulty != "hard" or rng.random() < 0.5 else 0.5 for _ in range(numbers[gold])]
        starts = [float(at) for at in np.cumsum([0, *gaps[:-1]]) + rng.uniform(0.3, 1.0)]
        end = max(starts[-1] + 1, 3 * bpm / 60)
        hits = [Note(at, 0.2, DRUMS["tom"], 110) for at in starts]
        parts = [part(rng, "drums", hits, split=split)]
        if difficulty != "easy":
            triad = chord(int(rng.integers(12)), MINOR, 0, low=50)
            parts.append(
                part(rng, "strings", [Note(0, end, p, 70) for p in triad], split=split, role="drone")
            )
        return Score(parts=tuple(parts), quarters=end, tempos=((0.0, bpm),))

    return Plan(
        question=pick(rng, questions),
        options=tuple(f"{HOW_MANY[number]} times" for number in numbers),
        write=write,
        holds=lambda place, score: len(of_role(score, "drums")) == numbers[place],
        tell=lambda score: (
            f"A drum is struck {HOW_MANY[len(of_role(score, 'drums'))]} times, "
            f"{pace(score)}{', over a held chord' if len(score.parts) > 1 else ''}."
        ),
    )


def _division(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    numbers = permuted(rng, (1, 2, 3, 4))
    questions = (
        "How many melody notes fall on each drum beat?",
        "Into how many notes does the melody divide each beat?",
        "How many notes does the melody play per beat?",
    )

    def write(gold: int, rng: Rng) -> Score:
        quarters, tonic = 9, int(rng.integers(12))
        bpm = rng.uniform(*{"easy": (72, 84), "medium": (86, 100), "hard": (104, 120)}[difficulty])
        starts = [at / numbers[gold] for at in range(quarters * numbers[gold])]
        pitches = walk(rng, ladder(60, 79, tonic, MAJOR), len(starts))
        line = spaced(pitches, starts, quarters, touch=0.9, loud=90)
        parts = [
            part(rng, pick(rng, ("piano", "marimba", "guitar")), line, split=split),
            part(rng, "drums", [Note(at, 0.2, DRUMS["kick"], 110) for at in range(quarters)], split=split),
        ]
        if difficulty == "hard":
            triad = chord(tonic, MAJOR, 0, low=48)
            parts.append(
                part(rng, "organ", [Note(0, quarters, p, 70) for p in triad], split=split, role="chords")
            )
        return Score(parts=tuple(parts), quarters=quarters, tempos=((0.0, bpm),))

    def each(score: Score) -> int:
        counts = {sum(int(note.start) == at for note in of_role(score, "lead")) for at in range(9)}
        return counts.pop() if len(counts) == 1 else 0

    return Plan(
        question=pick(rng, questions),
        options=tuple(f"{HOW_MANY[number]} per beat" for number in numbers),
        write=write,
        holds=lambda place, score: each(score) == numbers[place],
        tell=lambda score: (
            f"{play(score)}; the drum beats {score.tempos[0][1]:.0f} times a minute, and the "
            f"{score.parts[0].called} plays {HOW_MANY[each(score)]} notes per beat."
        ),
    )

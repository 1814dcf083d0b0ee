"""Instrumentation: which instruments play, which has the melody, which plays lowest or not at all."""

from __future__ import annotations

import numpy as np

from core.scenes.phrasings import HOW_MANY, KEYS, listed
from shared_data.world.exams.item import Difficulty, Rng, Split, draw_options, permuted, pick
from shared_data.world.music.arranging import chord, ladder, pace, play, spaced, walk
from shared_data.world.music.notation import LEADS, Note, Part, Role, Score, part
from shared_data.world.music.plan import Plan
from shared_data.world.music.styles import MAJOR

# instruments that can all play any of the registers of `roles`
WIDE = ("piano", "organ", "accordion", "guitar", "choir", "brass", "saxophone", "marimba")
REGISTERS = {"lowest": (52, 58), "middle": (60, 66), "second": (64, 69), "highest": (70, 74)}


def instruments(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    """Easy: a solo. Medium: the tune over another option, or how many. Hard: all options or three sound."""
    if difficulty == "easy":
        return _solo(rng, split)
    if difficulty == "medium":
        return pick(rng, (_melody, _number))(rng, split)
    return pick(rng, (_register, _absent))(rng, split)


def tune(
    rng: Rng, name: str, split: Split, *, low: int, high: int, quarters: int, tonic: int, role: Role = "lead"
) -> Part:
    """A tune of eighths and quarters within a range, in major."""
    starts = [at + shift for at in range(quarters) for shift in ((0, 0.5) if rng.random() < 0.45 else (0,))]
    pitches = walk(rng, ladder(low, high, tonic, MAJOR), len(starts))
    return part(rng, name, spaced(pitches, starts, quarters, touch=0.9, loud=92), split=split, role=role)


def _solo(rng: Rng, split: Split) -> Plan:
    options = draw_options(rng, LEADS)
    questions = (
        "Which instrument is playing?",
        "What instrument is heard?",
        "Which instrument plays this music?",
    )

    def write(gold: int, rng: Rng) -> Score:
        tonic = int(rng.integers(12))
        each = tune(rng, options[gold], split, low=62, high=74, quarters=9, tonic=tonic)
        return Score(parts=(each,), quarters=9, tempos=((0.0, rng.uniform(90, 130)),), tonic=tonic)

    return Plan(
        question=pick(rng, questions),
        options=options,
        write=write,
        holds=lambda place, score: options[place] in heard(score),
        tell=lambda score: f"{play(score)} a tune alone in {KEYS[score.tonic]} major {pace(score)}.",
    )


def heard(score: Score) -> set[str]:
    """The instruments by name."""
    return {each.called for each in score.parts}


def _melody(rng: Rng, split: Split) -> Plan:
    options = draw_options(rng, WIDE)
    questions = (
        "Which instrument plays the melody?",
        "What plays the main tune?",
        "Which instrument carries the tune over the chords?",
    )
    other = int(rng.integers(1, 4))

    def write(gold: int, rng: Rng) -> Score:
        tonic = int(rng.integers(12))
        triads = [chord(tonic, MAJOR, degree, low=50) for degree in (0, 3, 4)]
        chords = [Note(4 * bar, 3.8, pitch, 75) for bar, triad in enumerate(triads) for pitch in triad]
        parts = (
            tune(rng, options[gold], split, low=65, high=74, quarters=12, tonic=tonic),
            part(rng, options[(gold + other) % 4], chords, split=split, role="chords"),
        )
        return Score(parts=parts, quarters=12, tempos=((0.0, rng.uniform(96, 130)),), tonic=tonic)

    return Plan(
        question=pick(rng, questions),
        options=options,
        write=write,
        holds=lambda place, score: (
            options[place] in {each.called for each in score.parts if each.role == "lead"}
        ),
        tell=lambda score: (
            f"The {score.parts[0].called} plays the melody over chords of the "
            f"{score.parts[1].called} in {KEYS[score.tonic]} major {pace(score)}."
        ),
    )


def _number(rng: Rng, split: Split) -> Plan:
    numbers = permuted(rng, (1, 2, 3, 4))
    questions = (
        "How many different instruments are playing?",
        "How many kinds of instrument are heard?",
        "Count the different instruments: how many are there?",
    )

    def write(gold: int, rng: Rng) -> Score:
        tonic, names = int(rng.integers(12)), permuted(rng, WIDE)[: numbers[gold]]
        parts = tuple(
            tune(rng, name, split, low=low, high=high, quarters=9, tonic=tonic)
            for name, (low, high) in zip(names, permuted(rng, list(REGISTERS.values())), strict=False)
        )
        return Score(parts=parts, quarters=9, tempos=((0.0, rng.uniform(84, 116)),), tonic=tonic)

    return Plan(
        question=pick(rng, questions),
        options=tuple(HOW_MANY[number] for number in numbers),
        write=write,
        holds=lambda place, score: len(heard(score)) == numbers[place],
        tell=lambda score: (
            f"{play(score)} at once, {HOW_MANY[len(heard(score))]} instrument"
            f"{'s' if len(heard(score)) > 1 else ''}, in {KEYS[score.tonic]} major {pace(score)}."
        ),
    )


def _register(rng: Rng, split: Split) -> Plan:
    options = draw_options(rng, WIDE)
    asked = pick(rng, ("lowest", "highest"))
    questions = (
        f"Which instrument plays the {asked} notes?",
        f"What plays the {asked} line?",
        f"Which of the instruments has the {asked} part?",
    )

    def write(gold: int, rng: Rng) -> Score:
        tonic = int(rng.integers(12))
        others = iter(permuted(rng, [register for register in REGISTERS if register != asked]))
        parts = tuple(
            tune(
                rng,
                name,
                split,
                low=REGISTERS[register][0],
                high=REGISTERS[register][1],
                quarters=9,
                tonic=tonic,
            )
            for name, register in [
                (name, asked if place == gold else next(others)) for place, name in enumerate(options)
            ]
        )
        return Score(parts=parts, quarters=9, tempos=((0.0, rng.uniform(84, 116)),), tonic=tonic)

    def holds(place: int, score: Score) -> bool:
        pitches = {each.called: [note.pitch for note in each.notes] for each in score.parts}
        own = pitches.pop(options[place])
        rest = [pitch for others in pitches.values() for pitch in others]
        return max(own) < min(rest) if asked == "lowest" else min(own) > max(rest)

    def tell(score: Score) -> str:
        order = sorted(score.parts, key=lambda each: np.mean([note.pitch for note in each.notes]))
        names = [each.called for each in order]
        return (
            f"Four instruments play at once in {KEYS[score.tonic]} major: the {names[0]} plays the "
            f"lowest notes, then the {names[1]}, the {names[2]}, and the {names[3]} plays the highest."
        )

    return Plan(question=pick(rng, questions), options=options, write=write, holds=holds, tell=tell)


def _absent(rng: Rng, split: Split) -> Plan:
    options = draw_options(rng, WIDE)
    questions = (
        "Which instrument is not heard?",
        "Which of these instruments does not play?",
        "Which instrument is missing from this music?",
    )

    def write(gold: int, rng: Rng) -> Score:
        tonic = int(rng.integers(12))
        parts = tuple(
            tune(rng, name, split, low=low, high=high, quarters=10, tonic=tonic)
            for name, (low, high) in zip(
                [name for place, name in enumerate(options) if place != gold],
                permuted(rng, list(REGISTERS.values())),
                strict=False,
            )
        )
        return Score(parts=parts, quarters=10, tempos=((0.0, rng.uniform(84, 116)),), tonic=tonic)

    return Plan(
        question=pick(rng, questions),
        options=options,
        write=write,
        holds=lambda place, score: options[place] not in heard(score),
        tell=lambda score: (
            f"Only {listed(sorted(heard(score)))} play, all at once, in {KEYS[score.tonic]} major at "
            f"about {score.tempos[0][1]:.0f} beats per minute."
        ),
    )

"""Harmony: kinds and number of chords, cadences, progressions, with their truth read back from the notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.scenes.phrasings import HOW_MANY, KEYS
from shared_data.world.exams.item import Difficulty, Rng, Split, draw_options, permuted, pick
from shared_data.world.music.arranging import chord, ladder, pace, play, spaced, walk
from shared_data.world.music.notation import Note, Part, Score, of_role, part
from shared_data.world.music.plan import Plan
from shared_data.world.music.styles import MAJOR

TRIADS = {"major": (0, 4, 7), "minor": (0, 3, 7), "diminished": (0, 3, 6), "augmented": (0, 4, 8)}
SEVENTHS = {
    "major seventh": (0, 4, 7, 11),
    "minor seventh": (0, 3, 7, 10),
    "dominant seventh": (0, 4, 7, 10),
    "diminished seventh": (0, 3, 6, 9),
}
NUMERALS = ("I", "ii", "iii", "IV", "V", "vi")
CADENCES = {
    "a perfect cadence": (4, 0),
    "a plagal cadence": (3, 0),
    "a half cadence": (1, 4),
    "a deceptive cadence": (4, 5),
}
PROGRESSIONS = (
    *((0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 1, 4), (0, 2, 3, 4), (0, 3, 0, 3), (0, 4, 0, 4)),
    *((0, 2, 5, 3), (0, 5, 0, 5), (0, 1, 4, 0), (0, 2, 0, 2), (0, 1, 3, 0), (0, 5, 3, 0)),
)
PLAYED = ("piano", "organ", "guitar", "strings", "accordion")


def harmony(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    """Easy: block chords. Medium: broken chords with bass. Hard: broken, faster, under a melody; sevenths."""
    kinds = {
        "easy": (_kind, _count, _progression),
        "medium": (_kind, _cadence, _progression, _count),
        "hard": (_kind, _cadence, _progression),
    }
    return pick(rng, kinds[difficulty])(rng, difficulty, split)


def _chords(
    rng: Rng, triads: Sequence[Sequence[int]], difficulty: Difficulty, split: Split
) -> tuple[Part, ...]:
    """Each chord for three quarters in a bar of its own."""
    name = pick(rng, PLAYED)
    notes: list[Note] = []
    for bar, triad in enumerate(triads):
        if difficulty == "easy":
            notes += [Note(3 * bar, 2.9, pitch, 85) for pitch in triad]
        else:
            order = [*triad, *triad][: 6 if len(triad) == 3 else 8]
            step = 3 / len(order)
            notes += [
                Note(3 * bar + at * step, 2 * step if at < len(order) - 1 else step, p, 85)
                for at, p in enumerate(order)
            ]
    parts = [part(rng, name, notes, split=split, role="chords")]
    if difficulty != "easy":
        # the bass says the root, or an inversion could be heard as another chord
        low = [Note(3 * bar, 2.9, 28 + (triad[0] - 28) % 12, 90) for bar, triad in enumerate(triads)]
        parts.append(part(rng, "bass", low, split=split, role="bass"))
    if difficulty == "hard":
        top: list[Note] = []
        for bar, triad in enumerate(triads):
            above = ladder(67, 82, 0, [pitch % 12 for pitch in triad])
            at = [3.0 * bar, 3.0 * bar + 1, 3.0 * bar + 2]
            top += spaced(walk(rng, above, 3), at, 3.0 * bar + 3, touch=0.9, loud=95)
        parts.append(part(rng, pick(rng, ("flute", "violin", "saxophone")), top, split=split))
    return tuple(parts)


def _triads(tonic: int, degrees: Sequence[int]) -> list[list[int]]:
    return [chord(tonic, MAJOR, degree, low=50) for degree in degrees]


def _speed(difficulty: Difficulty) -> tuple[float, float]:
    return {"easy": (92, 112), "medium": (100, 124), "hard": (116, 140)}[difficulty]


def degrees(score: Score) -> list[int]:
    """The degree of each bar's chord in the score's major key; -1 for a chord that is none of its triads."""
    found = []
    for bar in range(round(score.quarters / 3)):
        classes = {
            note.pitch % 12
            for note in of_role(score, "chords", "bass", "lead")
            if 3 * bar <= note.start < 3 * bar + 3
        }
        fitting = [d for d in range(7) if {p % 12 for p in chord(score.tonic, MAJOR, d, low=50)} == classes]
        found.append(fitting[0] if len(fitting) == 1 else -1)
    return found


def numerals(found: Sequence[int]) -> str:
    """ "I-V-vi-IV"; "?" for a chord that has none."""
    return "-".join(NUMERALS[degree] if 0 <= degree < len(NUMERALS) else "?" for degree in found)


def _told(score: Score) -> str:
    found = degrees(score)
    ends = next((f", ending with {name}" for name, pair in CADENCES.items() if list(pair) == found[-2:]), "")
    count = len(set(found))
    return (
        f"{play(score)} the chords {numerals(found)} in {KEYS[score.tonic]} major{ends}: "
        f"{HOW_MANY[count]} different chord{'s' if count > 1 else ''}, {pace(score)}."
    )


def _kind(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    kinds = SEVENTHS if difficulty == "hard" else TRIADS
    options = permuted(rng, tuple(kinds))
    questions = (
        "What kind of chord is heard?",
        "Which type of chord is played?",
        "What is the quality of the chord?",
    )

    def write(gold: int, rng: Rng) -> Score:
        root = int(rng.integers(12))
        pitches = [52 + (root - 52) % 12 + step for step in kinds[options[gold]]]
        parts = _chords(rng, [pitches] * 2, difficulty, split)[:2]  # a melody would only hide it
        return Score(parts=parts, quarters=6, tempos=((0.0, rng.uniform(*_speed(difficulty))),), tonic=root)

    def read(score: Score) -> str:
        classes = {(note.pitch - score.tonic) % 12 for note in of_role(score, "chords", "bass")}
        return next((name for name, steps in kinds.items() if set(steps) == classes), "other")

    return Plan(
        question=pick(rng, questions),
        options=options,
        write=write,
        holds=lambda place, score: read(score) == options[place],
        tell=lambda score: (
            f"{play(score)} {'broken' if len(score.parts) > 1 else 'held'} {read(score)} chords on "
            f"{KEYS[score.tonic]} {pace(score)}."
        ),
    )


def _plan(
    rng: Rng,
    difficulty: Difficulty,
    split: Split,
    questions: Sequence[str],
    options: Sequence[str],
    choose: Callable[[str, Rng], list[int]],
    true: Callable[[str, list[int]], bool],
) -> Plan:
    """choose: (gold option, rng) -> degrees; true: (option, degrees) -> bool."""

    def write(gold: int, rng: Rng) -> Score:
        tonic, found = int(rng.integers(12)), choose(options[gold], rng)
        parts = _chords(rng, _triads(tonic, found), difficulty, split)
        tempo = rng.uniform(*_speed(difficulty))
        return Score(parts=parts, quarters=3.0 * len(found), tempos=((0.0, tempo),), bar=3, tonic=tonic)

    return Plan(
        question=pick(rng, questions),
        options=tuple(options),
        write=write,
        holds=lambda place, score: true(options[place], degrees(score)),
        tell=_told,
    )


def _cadence(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    questions = (
        "With which cadence does the phrase end?",
        "What cadence closes this music?",
        "How do the last two chords end the phrase?",
    )

    def choose(option: str, rng: Rng) -> list[int]:
        return [0, int(rng.choice([5, 3, 1])), *CADENCES[option]]

    return _plan(
        rng, difficulty, split, questions, permuted(rng, tuple(CADENCES)), choose,
        lambda option, found: tuple(found[-2:]) == CADENCES[option],
    )  # fmt: skip


def _progression(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    questions = (
        "Which chord progression is played?",
        "What is the chord progression?",
        "Which sequence of chords is heard?",
    )
    options = draw_options(rng, [numerals(found) for found in PROGRESSIONS])
    known = {numerals(found): list(found) for found in PROGRESSIONS}
    return _plan(
        rng, difficulty, split, questions, options, lambda option, rng: known[option],
        lambda option, found: numerals(found) == option,
    )  # fmt: skip


def _count(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    questions = (
        "How many different chords are heard?",
        "How many different chords does this music use?",
        "Count the different chords: how many are there?",
    )
    options = permuted(rng, HOW_MANY[1:5])

    def choose(option: str, rng: Rng) -> list[int]:
        number = HOW_MANY.index(option)
        used = [int(degree) for degree in rng.permutation(6)[:number]]
        return [*used, *(int(rng.choice(used)) for _ in range(4 - number))]

    return _plan(
        rng, difficulty, split, questions, options, choose,
        lambda option, found: -1 not in found and len(set(found)) == HOW_MANY.index(option),
    )  # fmt: skip

"""Melody: the shape, motion, scale and form of one line, with their truth read back from the notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from core.scenes.phrasings import KEYS
from shared_data.world.exams.item import Difficulty, Rng, Split, draw_options, permuted, pick
from shared_data.world.music.arranging import chord, ladder, pace, play, spaced, walk
from shared_data.world.music.notation import Note, Score, of_role, part, shifted
from shared_data.world.music.plan import Plan
from shared_data.world.music.styles import MAJOR, MINOR, PENTATONIC, WHOLE

CONTOURS = (
    "it rises steadily",
    "it falls steadily",
    "it rises to a middle peak",
    "it dips to a middle low point",
    "it stays on one note",
)
MOTIONS = ("small steps", "wide leaps", "repeated notes", "broken chords")
FORMS = ("AABA", "ABAB", "AAAB", "ABBA", "AABB", "ABAC", "ABCA", "AAAA")
RELATIONS = (
    "exactly the same",
    "the same tune moved higher",
    "the same tune moved lower",
    "the tune turned upside down",
    "the tune played backwards",
)
SCALES = {
    "a major scale": MAJOR,
    "a natural minor scale": MINOR,
    "a pentatonic scale": PENTATONIC,
    "a whole-tone scale": WHOLE,
    "a chromatic scale": tuple(range(12)),
}
LINES = ("piano", "violin", "flute", "guitar", "saxophone", "marimba", "accordion")
OTHER = "something else"  # no option


def melody(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    """Easy: contour, motion. Medium: over a chord, or a scale. Hard: form, or how a phrase is repeated."""
    kinds = {"easy": (_contour, _motion), "medium": (_contour, _motion, _scale), "hard": (_form, _relation)}
    return pick(rng, kinds[difficulty])(rng, difficulty, split)


def _plan(
    rng: Rng,
    split: Split,
    *,
    questions: Sequence[str],
    options: tuple[str, ...],
    notes: Callable[[str, int, Rng], list[Note]],
    read: Callable[[Score], str],
    told: str,
    bpm: tuple[float, float],
    held: bool = False,
) -> Plan:
    """A plan of one line. notes: (option, tonic, rng) -> its notes; `held`: over a quiet chord."""

    def write(gold: int, rng: Rng) -> Score:
        tonic = int(rng.integers(12))
        line = notes(options[gold], tonic, rng)
        end = float(np.ceil(max(note.start + note.length for note in line)))
        parts = [part(rng, pick(rng, LINES), line, split=split)]
        if held:
            triad = chord(tonic, MAJOR, 0, low=48)
            parts.append(
                part(rng, "strings", [Note(0, end, p, 70) for p in triad], split=split, role="chords")
            )
        return Score(parts=tuple(parts), quarters=end, tempos=((0.0, rng.uniform(*bpm)),), tonic=tonic)

    return Plan(
        question=pick(rng, questions),
        options=options,
        write=write,
        holds=lambda place, score: read(score) == options[place],
        tell=lambda score: (
            f"{play(score)} a melody on {KEYS[score.tonic]} "
            f"{pace(score)}{', the strings a held chord' if held else ''}; {told}{read(score)}."
        ),
    )


def pitches(score: Score) -> list[int]:
    """The melody's pitches in order."""
    return [note.pitch for note in of_role(score, "lead")]


def _contour(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    easy = difficulty == "easy"

    def notes(option: str, tonic: int, rng: Rng) -> list[Note]:
        rungs = ladder(57, 81, tonic, MAJOR)
        up = list(range(12)) if easy else [0, 2, 1, 3, 2, 4, 6, 5, 7, 9, 8, 10]
        arch = [0, 1, 3, 4, 6, 7, 7, 6, 4, 3, 1, 0] if easy else [0, 2, 1, 4, 3, 7, 5, 7, 4, 5, 2, 1]
        shapes = (up, up[::-1], arch, [8 - at for at in arch], [int(rng.integers(12))] * 12)
        shape = shapes[CONTOURS.index(option)]
        starts = [float(at) for at in range(12)]
        return spaced([rungs[at] for at in shape], starts, 12, touch=0.9, loud=92)

    return _plan(
        rng,
        split,
        questions=(
            "What is the shape of the melody?",
            "How does the pitch of the melody move overall?",
            "Which describes the melody's contour?",
        ),
        options=draw_options(rng, CONTOURS),
        notes=notes,
        read=contour,
        told="",
        bpm=(100, 124) if easy else (124, 156),
        held=not easy,
    )


def contour(score: Score) -> str:
    """Which of CONTOURS the mean pitches of the quarters of a melody make."""
    line = pitches(score)
    if len(set(line)) == 1:
        return CONTOURS[4]
    first, second, third, last = (float(np.mean(group)) for group in np.array_split(line, 4))
    if first < second < third < last:
        return CONTOURS[0]
    if first > second > third > last:
        return CONTOURS[1]
    if min(second, third) > max(first, last):
        return CONTOURS[2]
    return CONTOURS[3] if max(second, third) < min(first, last) else OTHER


def _motion(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    def notes(option: str, tonic: int, rng: Rng) -> list[Note]:
        rungs = ladder(55, 80, tonic, MAJOR)
        if option == MOTIONS[0]:
            line = walk(rng, rungs, 16, leap=1)
        elif option == MOTIONS[1]:
            line = [rungs[int(rng.integers(0, 4)) + (8 if at % 2 else 0)] for at in range(16)]
        elif option == MOTIONS[2]:
            line = [pitch for pitch in walk(rng, rungs, 4) for _ in range(4)]
        else:
            triad = chord(tonic, MAJOR, 0, low=55)
            line = [(*triad, triad[0] + 12)[at] for at in (0, 1, 2, 3, 2, 1) * 3][:16]
        starts = [float(at) for at in range(16)]
        return spaced(line, starts, 16, touch=0.85, loud=92)

    easy = difficulty == "easy"
    return _plan(
        rng,
        split,
        questions=(
            "How does the melody move?",
            "What kind of motion does the melody have?",
            "The melody moves mostly in what way?",
        ),
        options=permuted(rng, MOTIONS),
        notes=notes,
        read=motion,
        told="it moves mostly in ",
        bpm=(150, 180) if easy else (200, 250),
        held=not easy,
    )


def motion(score: Score) -> str:
    """Which of MOTIONS at least seven of ten intervals are."""
    steps = np.abs(np.diff(pitches(score)))
    kinds = ((steps >= 1) & (steps <= 2), steps >= 7, steps == 0, (steps >= 3) & (steps <= 5))
    shares = [float(kind.mean()) for kind in kinds]
    return MOTIONS[int(np.argmax(shares))] if max(shares) >= 0.7 else OTHER


def _scale(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    def notes(option: str, tonic: int, rng: Rng) -> list[Note]:
        up = [55 + (tonic - 55) % 12 + step for step in (*SCALES[option], 12)]
        line = [*up, *up[-2::-1]] if rng.random() < 0.5 else [*up[::-1], *up[1:]]
        starts = [float(at) for at in range(len(line))]
        return spaced(line, starts, len(line), touch=0.9, loud=92)

    return _plan(
        rng,
        split,
        questions=("Which scale is played?", "What kind of scale is heard?", "The run uses which scale?"),
        options=draw_options(rng, tuple(SCALES)),
        notes=notes,
        read=scale,
        told="it runs up and down ",
        bpm=(190, 230),
    )


def scale(score: Score) -> str:
    """The key of SCALES whose pitches are those of the melody, all of them."""
    classes = {(pitch - score.tonic) % 12 for pitch in pitches(score)}
    return next((name for name, steps in SCALES.items() if classes == set(steps)), OTHER)


def _form(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    def notes(option: str, tonic: int, rng: Rng) -> list[Note]:
        rhythms = permuted(rng, ((0.0, 0.5, 1.0), (0.0, 1.0, 1.5), (0.0, 0.5, 1.0, 1.5)))
        places = permuted(rng, ((55, 64), (64, 72), (72, 81)))
        phrases = {
            letter: spaced(walk(rng, ladder(*place, tonic, MAJOR), len(at)), at, 2.5, touch=0.9, loud=92)
            for letter, at, place in zip("ABC", rhythms, places, strict=True)
        }
        return [note for number, letter in enumerate(option) for note in shifted(phrases[letter], 3 * number)]

    return _plan(
        rng,
        split,
        questions=(
            "What is the form of the four phrases?",
            "Which letters describe the order of the four phrases?",
            "How are the four phrases of the melody arranged?",
        ),
        options=draw_options(rng, FORMS),
        notes=notes,
        read=form,
        told="four phrases in the form ",
        bpm=(96, 116),
    )


def form(score: Score) -> str:
    """The four phrases of three quarters as letters, in the order of their first appearance."""
    letters: dict[tuple[tuple[float, int], ...], str] = {}
    text = ""
    for number in range(4):
        own = [note for note in of_role(score, "lead") if 3 * number <= note.start < 3 * number + 3]
        key = tuple((round(note.start - 3 * number, 2), note.pitch) for note in own)
        text += letters.setdefault(key, "ABCD"[len(letters)])
    return text


def _relation(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    def notes(option: str, tonic: int, rng: Rng) -> list[Note]:
        rungs = ladder(63, 75, tonic, MAJOR)
        while True:
            line = walk(rng, rungs, 6)
            answers = _answers(line)
            if len({tuple(answer) for answer in answers}) == len(answers):
                break
        both = [*line, *answers[RELATIONS.index(option)]]
        starts = [at + shift for shift in (0.0, 7.0) for at in range(6)]
        return [Note(at, 0.9, pitch, 92) for at, pitch in zip(starts, both, strict=True)]

    return _plan(
        rng,
        split,
        questions=(
            "Compared with the first phrase, what is the second phrase?",
            "What does the second phrase do with the first?",
            "How is the first phrase brought back?",
        ),
        options=draw_options(rng, RELATIONS),
        notes=notes,
        read=relation,
        told="two phrases, the second is ",
        bpm=(124, 150),
    )


def _answers(line: Sequence[int]) -> tuple[list[int], ...]:
    """What RELATIONS make of a phrase."""
    return (
        list(line),
        [pitch + 7 for pitch in line],
        [pitch - 7 for pitch in line],
        [2 * line[0] - pitch for pitch in line],
        list(line[::-1]),
    )


def relation(score: Score) -> str:
    """Which of RELATIONS the second half has to the first."""
    line = pitches(score)
    half = len(line) // 2
    found = [
        name for name, answer in zip(RELATIONS, _answers(line[:half]), strict=True) if answer == line[half:]
    ]
    return found[0] if len(found) == 1 else OTHER

"""Temporal reasoning: which instrument plays when and how long, how a piece ends, read from the notes."""

from __future__ import annotations

import numpy as np

from core.scenes.phrasings import KEYS, listed
from shared_data.world.exams.item import Difficulty, Rng, Split, draw_options, permuted, pick
from shared_data.world.music.arranging import chord, ladder, pace, spaced, walk
from shared_data.world.music.notation import (
    DRUMS,
    LEADS,
    Note,
    Part,
    Score,
    levels,
    of_role,
    part,
    seconds_at,
    shifted,
    spans,
)
from shared_data.world.music.plan import Plan
from shared_data.world.music.styles import MAJOR

ORDINALS = ("first", "second", "third", "fourth")
ENDINGS = ("it fades out", "it slows down", "it gets louder", "it ends on one long chord")
WAITS = (
    "at the very start",
    "after about two seconds",
    "after about four seconds",
    "after about six seconds",
)


def temporal(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    """Easy: first or last of two. Medium: of three, when one enters, how it ends. Hard: all options heard."""
    if difficulty == "easy":
        return _order(rng, split, heard=2)
    if difficulty == "medium":
        return pick(
            rng, (lambda: _order(rng, split, heard=3), lambda: _when(rng, split), lambda: _ending(rng, split))
        )()
    return pick(
        rng, (lambda: _order(rng, split, heard=4), lambda: _after(rng, split), lambda: _longest(rng, split))
    )()


def _turn(rng: Rng, name: str, split: Split, start: float, stop: float, tonic: int) -> Part:
    """One instrument's tune from quarter `start` to `stop`."""
    at = [float(beat) for beat in np.arange(start, stop, 0.5) if beat == start or rng.random() < 0.75]
    pitches = walk(rng, ladder(62, 74, tonic, MAJOR), len(at))
    return part(rng, name, spaced(pitches, at, stop, touch=0.9, loud=92), split=split)


def _in_turn(
    rng: Rng, names: list[str], split: Split, *, quarters: float, overlap: float, bpm: float
) -> Score:
    tonic = int(rng.integers(12))
    turns = [(number * quarters, (number + 1) * quarters + overlap) for number in range(len(names))]
    parts = [
        _turn(rng, name, split, start, stop, tonic) for name, (start, stop) in zip(names, turns, strict=True)
    ]
    return Score(parts=tuple(parts), quarters=turns[-1][1], tempos=((0.0, bpm),), tonic=tonic)


def entries(score: Score) -> list[str]:
    """The instruments in the order in which they start."""
    times = spans(score)
    return sorted(times, key=lambda name: times[name][0])


def _told(score: Score) -> str:
    names = entries(score)
    turns = ", then ".join(listed([name]) for name in names)
    return f"Instruments play one after another: {turns}, in {KEYS[score.tonic]} major {pace(score)}."


def _order(rng: Rng, split: Split, *, heard: int) -> Plan:
    options = draw_options(rng, LEADS)
    place = int(rng.integers(heard))
    word = "last" if place == heard - 1 else ORDINALS[place]
    others = [int(other) for other in rng.permutation(3)][: heard - 1]
    questions = (
        f"Which instrument plays {word}?",
        f"Which instrument is the {word} to enter?",
        f"What is heard {word}?",
    )

    def write(gold: int, rng: Rng) -> Score:
        rest = [option for option in options if option != options[gold]]
        names = [rest[other] for other in others]
        names.insert(place, options[gold])
        quarters, bpm = {2: 6.0, 3: 4.0, 4: 4.0}[heard], rng.uniform(120, 136)
        return _in_turn(rng, names, split, quarters=quarters, overlap=1.0 if heard == 4 else 0.0, bpm=bpm)

    return Plan(
        question=pick(rng, questions),
        options=options,
        write=write,
        holds=lambda option, score: entries(score)[place] == options[option],
        tell=_told,
    )


def _after(rng: Rng, split: Split) -> Plan:
    asked, *rest = permuted(rng, LEADS)[:5]
    options = tuple(rest)
    place = int(rng.integers(4))
    questions = (
        f"Which instrument plays right after the {asked}?",
        f"What is heard directly after the {asked}?",
        f"Which instrument follows the {asked}?",
    )

    def write(gold: int, rng: Rng) -> Score:
        names = [option for option in permuted(rng, options) if option != options[gold]]
        names[place:place] = [asked, options[gold]]
        return _in_turn(rng, names, split, quarters=3.0, overlap=0.0, bpm=rng.uniform(112, 130))

    def holds(option: int, score: Score) -> bool:
        order = entries(score)
        return order[order.index(asked) + 1 :][:1] == [options[option]]

    return Plan(question=pick(rng, questions), options=options, write=write, holds=holds, tell=_told)


def _longest(rng: Rng, split: Split) -> Plan:
    options = draw_options(rng, LEADS)
    asked = pick(rng, ("longest", "shortest"))
    questions = (
        f"Which instrument plays for the {asked} time?",
        f"Which instrument is heard {asked} in total?",
        f"What plays the {asked}?",
    )

    def write(gold: int, rng: Rng) -> Score:
        own, rest = (9, (3, 4, 5)) if asked == "longest" else (2, (6, 7, 8, 9))
        tonic, parts = int(rng.integers(12)), []
        for place, name in enumerate(options):
            length = own if place == gold else pick(rng, rest)
            start = float(rng.integers(0, 13 - length))
            parts.append(_turn(rng, name, split, start, start + length, tonic))
        first = min(note.start for each in parts for note in each.notes)
        parts = [part(rng, each.instrument, shifted(each.notes, -first), split=split) for each in parts]
        end = max(note.start + note.length for each in parts for note in each.notes)
        return Score(parts=tuple(parts), quarters=end, tempos=((0.0, rng.uniform(96, 120)),), tonic=tonic)

    def holds(place: int, score: Score) -> bool:
        lengths = {name: stop - start for name, (start, stop) in spans(score).items()}
        own = lengths.pop(options[place])
        return own > 1.3 * max(lengths.values()) if asked == "longest" else 1.3 * own < min(lengths.values())

    def tell(score: Score) -> str:
        times = spans(score)
        said = ", ".join(
            f"{listed([name])} from {times[name][0]:.1f} to {times[name][1]:.1f} s" for name in entries(score)
        )
        lengths = sorted(times, key=lambda name: times[name][1] - times[name][0])
        return f"Overlapping: {said}. The {lengths[-1]} plays longest, the {lengths[0]} shortest."

    return Plan(question=pick(rng, questions), options=options, write=write, holds=holds, tell=tell)


def _bed(rng: Rng, split: Split, *, quarters: int, tonic: int) -> list[Note]:
    """Chords on every second quarter."""
    triads = [chord(tonic, MAJOR, degree, low=52) for degree in (0, 3, 4, 0)]
    return [Note(at, 1.8, pitch, 80) for at in range(0, quarters, 2) for pitch in triads[at // 4 % 4]]


def _when(rng: Rng, split: Split) -> Plan:
    options = permuted(rng, WAITS)
    name = pick(rng, ("drums", "flute", "violin", "saxophone"))
    does = ("do", "enter", "play") if name == "drums" else ("does", "enter", "play")
    questions = (
        f"When {does[0]} the {name} enter?",
        f"When {does[0]} the {name} begin to play?",
        f"At what point {does[0]} the {name} come in?",
    )

    def write(gold: int, rng: Rng) -> Score:
        bpm, tonic = rng.uniform(112, 128), int(rng.integers(12))
        quarters = 16
        start = round(2 * WAITS.index(options[gold]) * bpm / 60)
        if name == "drums":
            hits = [Note(at, 0.2, DRUMS["snare" if at % 2 else "kick"], 105) for at in range(start, quarters)]
            entering = part(rng, name, hits, split=split)
        else:
            entering = _turn(rng, name, split, start, quarters, tonic)
        bed = part(
            rng,
            pick(rng, ("piano", "guitar")),
            _bed(rng, split, quarters=quarters, tonic=tonic),
            split=split,
            role="chords",
        )
        return Score(parts=(bed, entering), quarters=quarters, tempos=((0.0, bpm),), tonic=tonic)

    return Plan(
        question=pick(rng, questions),
        options=options,
        write=write,
        holds=lambda place, score: abs(spans(score)[name][0] - 2 * WAITS.index(options[place])) < 0.5,
        tell=lambda score: (
            f"The {score.parts[0].called} plays chords in {KEYS[score.tonic]} major "
            f"{pace(score)}; {name} enter{'' if name == 'drums' else 's'} "
            f"{WAITS[round(spans(score)[name][0] / 2)]}."
        ),
    )


def _ending(rng: Rng, split: Split) -> Plan:
    options = permuted(rng, ENDINGS)
    questions = (
        "How does the piece end?",
        "What happens at the end of the music?",
        "Which describes the ending?",
    )

    def write(gold: int, rng: Rng) -> Score:
        bpm, tonic, quarters = rng.uniform(120, 136), int(rng.integers(12)), 14
        kind = ENDINGS.index(options[gold])
        chords = _bed(rng, split, quarters=quarters, tonic=tonic)
        tune = list(_turn(rng, pick(rng, ("flute", "violin")), split, 0, quarters, tonic).notes)
        tempos = [(0.0, bpm)]
        if kind == 1:
            tempos += [(at, bpm * 0.5 ** ((at - 7) / 7)) for at in np.arange(8.0, quarters)]
        if kind == 3:
            chords = [note for note in chords if note.start < 10]
            tune = [note for note in tune if note.start + note.length <= 10]
            chords += [Note(10, 4, pitch, 80) for pitch in chord(tonic, MAJOR, 0, low=52)]
        if kind in (0, 2):
            last = 18 if kind == 0 else 126  # of the velocity, from the middle on

            def faded(notes: list[Note]) -> list[Note]:
                share = [max(0.0, (note.start - 6) / (quarters - 6)) for note in notes]
                first = 92 if kind == 0 else 52
                return list(levels(notes, [first + (last - first) * part for part in share]))

            chords, tune = faded(chords), faded(tune)
        parts = (
            part(rng, pick(rng, ("piano", "guitar", "organ")), chords, split=split, role="chords"),
            part(rng, pick(rng, ("flute", "violin", "saxophone")), tune, split=split),
        )
        return Score(parts=parts, quarters=quarters, tempos=tuple(tempos), tonic=tonic)

    return Plan(
        question=pick(rng, questions),
        options=options,
        write=write,
        holds=lambda place, score: ended(score) == options[place],
        tell=lambda score: (
            f"The {score.parts[1].called} plays a tune over chords of the {score.parts[0].called} in "
            f"{KEYS[score.tonic]} major {pace(score)}; at the end {ended(score)}."
        ),
    )


def ended(score: Score) -> str:
    """Which of ENDINGS: by loudness, tempo and the length of the last chord."""
    notes = of_role(score, "lead", "chords")
    early = float(np.mean([note.velocity for note in notes if note.start < 5]))
    late = float(np.mean([note.velocity for note in notes if note.start > notes[-1].start - 3]))
    beats = np.diff([seconds_at(score, at) for at in range(round(score.quarters) + 1)])
    last = max(note.length for note in notes if note.start == max(note.start for note in notes))
    signs = (late < 0.6 * early, bool(beats[-1] > 1.5 * beats[0]), late > 1.4 * early, last >= 3)
    return ENDINGS[signs.index(True)] if sum(signs) == 1 else "it ends in another way"

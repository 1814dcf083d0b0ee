"""Speech put into words: a plain transcript, or who says what and how, with a recogniser made for it.

The plain one is of pocketsphinx's general model. The other is learnt from a training split alone: its spoken
texts give vocabulary and word pairs, its recordings adapt the acoustic model and tell what sounds like a man
or a woman, calm or angry. Nothing but the audio of an item that is asked about is read; all of it is a guess.
"""

from __future__ import annotations

import functools
import multiprocessing
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from core.scenes.phrasings import ADVERBS, ORDINALS
from projects.mmau.adapt import Aligner, Statistics, add, gather, write_adapted
from projects.mmau.recognise import RATE, Model, Recogniser, Word, learn_language, sentences, spoken
from projects.mmau.voices import Turn, measure, stressed, track, turns

T = TypeVar("T")
R = TypeVar("R")

AROUND = 0.1  # seconds of sound around a turn that are recognised with it
SAME_SPEAKER = 2.5  # semitones: calm turns of one kind of voice that are nearer are one speaker's
MOST_STRESSED = 5  # words of a turn; more are melody rather than stress
FEELINGS = {adverb: feeling for feeling, adverb in ADVERBS.items()}
LINE = re.compile(
    r"\b(?:(?P<name>(?:A|The)(?: \w+)? (?P<kind>man|woman))|(?P<again>He|She)) (?:says|adds)"
    r'(?: (?P<how>\w+ly))?[^:"]*: "(?P<text>[^"]*)"'
)


class TalkError(ValueError):
    """A training split from which voices cannot be learnt."""


@dataclass(frozen=True)
class Recording:
    """An item's sound, float32 (samples,) at RATE; of a training item also what is true of it."""

    name: str
    sound: np.ndarray
    facts: str = ""


@dataclass(frozen=True)
class Said:
    """What the facts of a training item tell of a turn."""

    speaker: str
    kind: str
    feeling: str


@dataclass(frozen=True)
class Lesson:
    """What one recording teaches: frames of the Gaussians; measures of turns and what is true of them."""

    sums: Statistics | None
    measures: tuple[np.ndarray, ...]
    said: tuple[Said, ...]


@dataclass(frozen=True)
class HeardTurn:
    """A turn as heard: measures of its voice, its words, and after which of them there is a pause."""

    measures: np.ndarray
    words: tuple[str, ...]
    pauses: tuple[int, ...]
    stressed: tuple[str, ...]


@dataclass(frozen=True)
class Heard:
    """A recording as heard."""

    turns: tuple[HeardTurn, ...]
    noisy: bool


@dataclass(frozen=True)
class Ear:
    """A recogniser and two classifiers of measures: kind of voice, feeling. notes: counts of the learning."""

    model: Model
    kind: Any
    feeling: Any
    notes: dict[str, int]


def in_workers(function: Callable[[T], R], tasks: Sequence[T], *, workers: int) -> Iterator[R]:
    """`function` of every task, in their order, by that many processes; by this one where that is one."""
    if workers <= 1 or len(tasks) <= 1:
        yield from map(function, tasks)
        return
    # spawned: threads of the parent would not survive a fork
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(function, tasks, chunksize=max(1, min(8, len(tasks) // (2 * workers))))


def transcribe(recording: Recording) -> str:
    """The plain transcript by the general model, as a sentence. Raises RecogniserError."""
    words = _recogniser(Model()).words(recording.sound, name=recording.name)
    return _quoted("Someone says", " ".join(word.text for word in words))


def learn(
    recordings: Sequence[Recording], texts: Sequence[str], *, folder: Path, common_words: int, workers: int
) -> Ear:
    """An ear made from a training split's recordings (with facts) and spoken texts; files lie in `folder`.

    common_words: of the general model that are known beside those of the texts. Raises TalkError,
    RecogniserError, RecogniserMissingError.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model, unknown = learn_language(folder, texts, common=common_words)
    lessons = list(in_workers(study, recordings, workers=workers))
    measures = [one for lesson in lessons for one in lesson.measures]
    said = [one for lesson in lessons for one in lesson.said]
    if len({one.kind for one in said}) < 2 or len({one.feeling for one in said}) < 2:
        raise TalkError(
            f"{len(said)} turns of {len(recordings)} training recordings have one kind of voice or feeling: "
            "learn from more recordings"
        )
    aligned = [lesson.sums for lesson in lessons if lesson.sums is not None]
    means, variances = write_adapted(folder, add(aligned))

    def fitted(truth: list[str]) -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)).fit(measures, truth)

    return Ear(
        model=replace(model, means=str(means), variances=str(variances)),
        kind=fitted([one.kind for one in said]),
        feeling=fitted([one.feeling for one in said]),
        notes={"unknown words": unknown, "aligned": len(aligned), "turns learnt": len(said)},
    )


def study(recording: Recording) -> Lesson:
    """What a training recording teaches; turns that do not come out as its facts have them teach nothing."""
    words = [word for text in spoken(recording.facts) for part in sentences(text) for word in part]
    found = _aligner().align(recording.sound, words, name=recording.name)
    said, voice = told(recording.facts), track(recording.sound)
    heard = turns(voice)
    if len(heard) != len(said):
        heard, said = [], []
    return Lesson(
        sums=gather(found) if found is not None else None,
        measures=tuple(measure(recording.sound, voice, turn) for turn in heard),
        said=tuple(said),
    )


def told(facts: str) -> list[Said]:
    """Who says something how, one after the other, in a training item's facts; equal neighbours are one."""
    found: list[Said] = []
    for match in LINE.finditer(facts):
        feeling = FEELINGS.get(match["how"] or "", "calm")
        if match["name"]:
            said = Said(match["name"].split(" ", 1)[1], match["kind"], feeling)
        elif found:
            said = replace(found[-1], feeling=feeling)
        else:
            continue
        if not found or said != found[-1]:
            found.append(said)
    return found


def hear(task: tuple[Model, Recording]) -> Heard:
    """Turns, words and measures of a recording. Raises RecogniserError."""
    model, recording = task
    sound, voice = recording.sound, track(recording.sound)
    heard = []
    for turn in turns(voice) or [Turn(((0.0, len(sound) / RATE),))]:
        first = max(0.0, turn.start - AROUND)
        part = sound[round(first * RATE) : round((turn.stop + AROUND) * RATE)]
        found = _recogniser(model).words(part, name=recording.name) if len(part) > 0.1 * RATE else []
        words = [Word(word.text, word.start + first, word.stop + first) for word in found]
        heard.append(
            HeardTurn(
                measures=measure(sound, voice, turn),
                words=tuple(word.text for word in words),
                pauses=_pauses(turn, words),
                stressed=tuple(stressed(voice, words)),
            )
        )
    return Heard(tuple(heard), voice.noisy)


def describe(heard: Heard, ear: Ear) -> str:
    """Who says what and how, in the words of `shared_data.world.speech.scripts.describe`."""
    measures = [turn.measures for turn in heard.turns]
    kinds, feelings = list(ear.kind.predict(measures)), list(ear.feeling.predict(measures))
    speakers = _speakers(kinds, feelings, [float(one[0]) for one in measures])
    names = _names(kinds, speakers)
    sentences: list[str] = []
    for place, turn in enumerate(heard.turns):
        speaker, again = speakers[place], place > 0 and speakers[place - 1] == speakers[place]
        known = speaker in speakers[:place]
        who = names[speaker]
        who = (
            {"man": "He", "woman": "She"}[kinds[place]]
            if again
            else f"{'The' if known or ' ' in who else 'A'} {who}"
        )
        does = f"{who} {'adds' if again else 'says'} {ADVERBS[feelings[place]]}"
        if turn.stressed and len(turn.stressed) <= min(MOST_STRESSED, len(turn.words) // 2):
            does += f", stressing {' and '.join(turn.stressed)}"
        sentences.append(_quoted(does, _written(turn)))
    return " ".join([*sentences, *(["There is background noise."] if heard.noisy else [])])


def _pauses(turn: Turn, words: Sequence[Word]) -> tuple[int, ...]:
    """The places of words after which one of the turn's stretches ends."""
    places = []
    for _, stop in turn.spans[:-1]:
        before = [place for place, word in enumerate(words) if (word.start + word.stop) / 2 < stop]
        if before and before[-1] < len(words) - 1:
            places.append(before[-1])
    return tuple(dict.fromkeys(places))


def _written(turn: HeardTurn) -> str:
    """The words with punctuation: a list where most pauses are after single words, else sentences."""
    edges = [0, *(place + 1 for place in turn.pauses), len(turn.words)]
    parts = [" ".join(turn.words[a:b]) for a, b in pairwise(edges) if b > a]
    if len(parts) > 2 and len(turn.words) <= 2 * len(parts):
        return ", ".join(parts)
    return ". ".join(part[0].upper() + part[1:] for part in parts)


def _speakers(kinds: Sequence[str], feelings: Sequence[str], pitches: Sequence[float]) -> list[int]:
    """A number for each turn's speaker. Feelings move the pitch: with them, each kind is one speaker."""
    calm = set(feelings) == {"calm"}
    found: list[tuple[str, float]] = []
    numbers = []
    for kind, pitch in zip(kinds, pitches):
        same = [
            n for n, (k, p) in enumerate(found) if k == kind and (not calm or abs(p - pitch) < SAME_SPEAKER)
        ]
        if not same:
            found.append((kind, pitch))
        numbers.append(same[0] if same else len(found) - 1)
    return numbers


def _names(kinds: Sequence[str], speakers: Sequence[int]) -> dict[int, str]:
    """ "man" for the only one, else "first man", "second man"."""
    of = dict(zip(speakers, kinds))
    names: dict[int, str] = {}
    for kind in ("man", "woman"):
        same = [speaker for speaker in dict.fromkeys(speakers) if of[speaker] == kind]
        for place, speaker in enumerate(same):
            names[speaker] = kind if len(same) == 1 else f"{ORDINALS[min(place, 5)]} {kind}"
    return names


def _quoted(who: str, text: str) -> str:
    if not text:
        return f"{who.replace(' says', ' speaks').replace(' adds', ' speaks on')}."
    return f'{who}: "{text[0].upper()}{text[1:]}."' if ", " not in text else f'{who}: "{text}."'


@functools.cache
def _recogniser(model: Model) -> Recogniser:
    """One of each model in every process."""
    return Recogniser(model)


@functools.cache
def _aligner() -> Aligner:
    return Aligner()

"""Mini versions of the data sets that ask about sound: ClothoAQA, OpenAQA, CompA-R.

Scenes of one split of a bank, with questions that `core.scenes.questions` verifies on the timeline. A scene
that allows too few questions is passed over. The same bank, name and seed give the same rows, and fewer rows
are the first of more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeAlias

from core.scenes.bank import Bank
from core.scenes.captions import phrase_book
from core.scenes.comparisons import BenchmarkError, Decibels, Row
from core.scenes.draw import voice_attributes
from core.scenes.phrasings import NO, YES
from core.scenes.questions import OPEN_TASKS, Question, ask
from core.scenes.questions import compa_r as reason
from core.scenes.timeline import Scene
from shared_data.world.datasets.listening import balanced_scenes, heard, one_split, row_rng, sources
from shared_data.world.sounds.signals import Rng

Book: TypeAlias = Mapping[str, Sequence[str]]

BINARY = ("presence", "order", "overlap")
SINGLE = ("first", "last", "who", "count", "longer")  # questions that a word or a phrase answers
ANNOTATORS = 3
TRIES = 200  # scenes that are looked at for one row
WORDINGS = 3


def clothoaqa(
    bank: Bank,
    *,
    n: int,
    seed: int,
    name: str = "clothoaqa",
    sizes: Sequence[float] = (0.2, 0.45, 0.35),
    duration: float = 5.12,
    noise_db: Decibels = (-30.0, -10.0),
    dissent: float = 0.15,
) -> Iterator[Row]:
    """ClothoAQA: of six questions two are answered yes, two no and two by a phrase, each by three annotators.

    The annotators of a phrase differ in their words ("a dog barking", "dog bark"). In a share `dissent` of
    the rows one of them is wrong. Raises BenchmarkError where no scene allows the questions.
    """
    scenes = _many(bank, seed=seed, name=name, sizes=sizes, duration=duration, noise_db=noise_db)
    book, voices = phrase_book(bank), voice_attributes(bank)
    for index in range(n):
        rng = row_rng(name, seed, index, 1)
        slot, turn = index % 6, index // 6
        tasks, wanted = (BINARY, (YES, NO)[slot % 2]) if slot < 4 else (SINGLE, None)
        for attempt, scene in enumerate(islice(scenes, TRIES)):
            task = tasks[(turn + slot // 5 + attempt // 40) % len(tasks)]  # another one where none fits
            asked = ask(
                scene,
                task=task,
                book=book,
                rng=rng,
                voices=voices,
                sizes=sizes,
                wording=int(rng.integers(WORDINGS)),
            )
            if asked is not None and wanted in (None, asked.key):
                break
        else:
            raise BenchmarkError(f"{name}: no question for row {index} of {n}: {', '.join(tasks)}, {wanted}")
        yield {
            "id": f"{name}-{index:05d}",
            "audio": heard(scene, bank),
            "question": asked.instruction,
            "answers": _annotated(asked, book, rng, dissent),
            "clips": sources(scene, bank),
        }


def openaqa(
    bank: Bank,
    *,
    n: int,
    seed: int,
    name: str = "openaqa",
    questions: int = 2,
    sizes: Sequence[float] = (0.15, 0.45, 0.3, 0.1),
    duration: float = 5.12,
    noise_db: Decibels = (-35.0, -15.0),
) -> Iterator[Row]:
    """OpenAQA: open questions of different tasks about each audio."""
    book, voices = phrase_book(bank), voice_attributes(bank)

    def asked(scene: Scene, rng: Rng) -> list[Question]:
        tasks = [OPEN_TASKS[place] for place in rng.permutation(len(OPEN_TASKS))]
        found = (ask(scene, task=task, book=book, rng=rng, voices=voices) for task in tasks)
        return [question for question in found if question is not None][:questions]

    scenes = _many(bank, seed=seed, name=name, sizes=sizes, duration=duration, noise_db=noise_db)
    yield from _instructed(scenes, asked, bank, book, n=n, seed=seed, name=name, questions=questions)


def compa_r(
    bank: Bank,
    *,
    n: int,
    seed: int,
    name: str = "compa_r",
    questions: int = 3,
    sizes: Sequence[float] = (0.0, 0.4, 0.4, 0.2),
    duration: float = 5.12,
    noise_db: Decibels = (-35.0, -15.0),
) -> Iterator[Row]:
    """CompA-R: questions of several steps about each audio, of different tasks, answered with the reason."""
    book, voices = phrase_book(bank), voice_attributes(bank)

    def asked(scene: Scene, rng: Rng) -> list[Question]:
        return reason(scene, book=book, rng=rng, n=questions, voices=voices)

    scenes = _many(bank, seed=seed, name=name, sizes=sizes, duration=duration, noise_db=noise_db)
    yield from _instructed(scenes, asked, bank, book, n=n, seed=seed, name=name, questions=questions)


def _instructed(
    scenes: Iterator[Scene],
    asked: Callable[[Scene, Rng], list[Question]],
    bank: Bank,
    book: Book,
    *,
    n: int,
    seed: int,
    name: str,
    questions: int,
) -> Iterator[Row]:
    """Rows of scenes that have a plain caption and allow so many questions."""
    for index in range(n):
        rng = row_rng(name, seed, index, 1)
        for scene in islice(scenes, TRIES):
            caption = ask(scene, task="caption", book=book, rng=rng, wording=0)
            if caption is not None and len(found := asked(scene, rng)) == questions:
                break
        else:
            raise BenchmarkError(
                f"{name}: none of {TRIES} scenes allows {questions} questions for row {index} of {n}; "
                "ask for fewer or use more labels"
            )
        yield {
            "id": f"{name}-{index:05d}",
            "audio": heard(scene, bank),
            "caption": caption.output,
            "events": [
                {"label": event.label.replace("_", " "), "onset": event.start, "offset": event.end}
                for event in scene.events
            ],
            "questions": [
                {
                    "instruction": question.instruction,
                    "output": question.output,
                    "task": question.task,
                    "key": question.key if question.options else "",
                    "options": list(question.options),
                }
                for question in found
            ],
            "clips": sources(scene, bank),
        }


def _many(
    bank: Bank, *, seed: int, name: str, sizes: Sequence[float], duration: float, noise_db: Decibels
) -> Iterator[Scene]:
    return balanced_scenes(
        one_split(bank),
        n=None,
        seed=seed,
        name=name,
        labels=bank.labels(),
        sizes=sizes,
        duration=duration,
        noise_db=noise_db,
    )


def _annotated(asked: Question, book: Book, rng: Rng, dissent: float) -> list[str]:
    """What three annotators write: yes or no, or two of them the phrase and one the class in words."""
    said = asked.output.rstrip(".")
    answers = [said] * ANNOTATORS
    if asked.key not in (YES, NO):
        answers[int(rng.integers(ANNOTATORS))] = asked.key.replace("_", " ")
    others = [option for option in asked.options if option != asked.key]
    if others and rng.random() < dissent:
        wrong = others[int(rng.integers(len(others)))]
        answers[int(rng.integers(ANNOTATORS))] = book[wrong][0] if wrong in book else wrong
    return answers

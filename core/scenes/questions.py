"""Questions about a scene and their answers, all from its timeline: closed ones, open ones, multi-hop ones.

A question is asked only where the timeline settles the answer clearly (`core.scenes.facts`), and its text
alone does not give the answer: yes and no are equally likely, and of several keys none is preferred. Answers
are short, lower-case, and made of the book's plain phrases and a fixed vocabulary. `core.metrics.stated`
reads from a free answer which key it states. Sources: OpenAQA's tasks (LTU, ICLR 2024), CompA-R (GAMA).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.scenes.algebra import Attributes
from core.scenes.answers import CLOSED_MAKERS, OPEN_MAKERS, World
from core.scenes.bank import Bank
from core.scenes.draw import voice_attributes
from core.scenes.facts import facts
from core.scenes.phrasings import ABSENT, CLOSED, NO, NUMBERS, YES
from core.scenes.places import PLACES
from core.scenes.reasoning import REASONING_MAKERS
from core.scenes.timeline import Scene

CLOSED_TASKS = tuple(CLOSED_MAKERS)
OPEN_TASKS = tuple(OPEN_MAKERS)
COMPA_R_TASKS = tuple(REASONING_MAKERS)
CLOSED_SHARE = 0.5  # of closed questions say so (LTU's final mix)
MAX_WORDS = 30  # an answer of CompA-R has fewer


class QuestionError(ValueError):
    """A task that does not exist, or a book that the questions cannot be written with."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """An instruction and the true answer.

    key: what a right answer states: a label ("dog_bark"), a place of PLACES, an agent, a number word, "yes",
    "no" or "not heard". options: all keys that the question leaves open. Where there are none, as for
    classification, caption, describe, key lists the labels, "; " between them: other metrics score those.
    """

    instruction: str
    output: str
    task: str
    key: str
    options: tuple[str, ...] = ()
    closed: bool


def ask(
    scene: Scene,
    *,
    task: str,
    book: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
    labels: Sequence[str] | None = None,
    bank: Bank | None = None,
    voices: Attributes | None = None,
    sizes: Sequence[float] | None = None,
    wording: int | None = None,
) -> Question | None:
    """A question of `task`, of CLOSED_TASKS or OPEN_TASKS; None where the timeline does not allow one.

    `labels` (None: the book's) may be asked about though absent. Agents are known from `voices`, or, slower,
    from the clips of `bank`; without either nobody is asked "who". `sizes`, the shares of scenes of 1, 2, 3,
    4 sounds, thins "count" so that all numbers are equally likely; without it they come as in the scenes.
    `wording` picks a phrasing (0: evaluation's); else one is drawn, half of the closed ones behind CLOSED.
    Raises QuestionError for an unknown task or a label without phrases.
    """
    closed = task in CLOSED_MAKERS
    maker = CLOSED_MAKERS.get(task) or OPEN_MAKERS.get(task)
    if maker is None:
        raise QuestionError(f"no task {task!r}; there are {', '.join((*CLOSED_TASKS, *OPEN_TASKS))}")
    made = maker(_world(scene, book, labels, bank, voices, sizes, rng, wording))
    if made is None:
        return None
    instruction, output, key, options = made
    if closed and wording is None and not instruction.startswith(CLOSED) and rng.random() < CLOSED_SHARE:
        instruction = CLOSED + instruction
    return Question(
        instruction=instruction, output=output, task=task, key=key, options=options, closed=closed
    )


def compa_r(
    scene: Scene,
    *,
    book: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
    n: int = 3,
    labels: Sequence[str] | None = None,
    bank: Bank | None = None,
    voices: Attributes | None = None,
    wording: int | None = None,
) -> list[Question]:
    """Up to `n` multi-hop questions of different tasks (COMPA_R_TASKS), with the reason in the answer.

    Fewer where the timeline does not allow n, none for a single sound. Arguments as for `ask`. Raises
    QuestionError where an answer has MAX_WORDS words or more: the phrases are far longer than plain ones are.
    """
    world = _world(scene, book, labels, bank, voices, None, rng, wording)
    found: list[Question] = []
    for place in rng.permutation(len(COMPA_R_TASKS)):
        if len(found) >= n:
            break
        task = COMPA_R_TASKS[place]
        made = REASONING_MAKERS[task](world)
        if made is None:
            continue
        instruction, output, key, options = made
        if len(output.split()) >= MAX_WORDS:
            raise QuestionError(
                f"scene {scene.id!r}: the answer {output!r} has {MAX_WORDS} words or more; "
                "give the labels shorter plain phrases"
            )
        found.append(
            Question(
                instruction=instruction, output=output, task=task, key=key, options=options, closed=False
            )
        )
    return found


def aliases(
    book: Mapping[str, Sequence[str]], voices: Attributes | None = None
) -> dict[str, tuple[str, ...]]:
    """key -> the ways to say it, for `core.metrics.stated`: of all labels, places, agents and fixed keys.

    A label may also be named by a word of its name that no other label has ("dog", but not "car").
    """
    words = Counter(word for label in book for word in set(label.split("_")))
    found = {
        label: (label.replace("_", " "), *phrases, *(w for w in label.split("_") if words[w] == 1))
        for label, phrases in book.items()
    }
    found |= {name: (name, place.name, place.phrase) for name, place in PLACES.items()}
    found |= {agent: (agent,) for agent, _ in (voices or {}).values()}
    found |= {number: (number, str(digit)) for digit, number in enumerate(NUMBERS, 1)}
    found[YES], found[NO] = (YES,), (NO, "not", "cannot", "can't", "isn't", "doesn't", "don't", "never")
    found[ABSENT] = (ABSENT, "no sound of", "there is no", "absent", "not present", "cannot be heard")
    return found


def _world(
    scene: Scene,
    book: Mapping[str, Sequence[str]],
    labels: Sequence[str] | None,
    bank: Bank | None,
    voices: Attributes | None,
    sizes: Sequence[float] | None,
    rng: np.random.Generator,
    wording: int | None,
) -> World:
    names = tuple(book if labels is None else labels)
    known = facts(scene)
    if missing := [label for label in (*known.spans, *names) if not book.get(label)]:
        raise QuestionError(
            f"scene {scene.id!r}: no phrase for {', '.join(missing[:5])}; give the book of the whole bank"
        )
    if voices is None:
        voices = {} if bank is None else voice_attributes(bank)
    return World(known, book, names, voices, sizes, rng, wording)

"""Questions with options: a question of a scene becomes multiple choice, answered in words or by a letter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from core.answering.question import make_prompt
from core.scenes.answers import a_, pick
from core.scenes.phrasings import ABSENT
from core.scenes.places import PLACES
from core.scenes.questions import Question
from shared_data.world.datasets.text import Book

Form: TypeAlias = Literal["words", "letters"]
MOST = 4  # options


def choose(
    made: Question, *, form: Form, labels: Sequence[str], book: Book, rng: np.random.Generator
) -> tuple[str, str] | None:
    """Instruction with options and the answer, None for a question whose answer is no single key.

    Options are the question's own, cut to four, or filled up with other labels of the bank. The answer is an
    option's text or "(B)".
    """
    if not made.options:
        return None
    others = [key for key in made.options if key != made.key]
    if made.key in book or made.key == ABSENT:  # what was not heard is an option too
        while len(others) < MOST - 1 and len(others) + 1 < len(labels):
            if (label := pick(labels, rng)) not in (made.key, *others):
                others.append(label)
    kept = [others[place] for place in rng.permutation(len(others))[: MOST - 1]]
    keys = [made.key, *kept]
    shown = [_said(keys[place], book) for place in rng.permutation(len(keys))]
    right = _said(made.key, book)
    if form == "letters":
        return make_prompt(made.instruction, shown, style="letters"), f"({chr(65 + shown.index(right))})"
    return make_prompt(made.instruction, shown, style=pick(("public", "plain"), rng)), right


def _said(key: str, book: Book) -> str:
    """How an option says a key: a label by its phrase, a place with its preposition, an agent with "a"."""
    if key in book:
        return book[key][0]
    if key in PLACES:
        return PLACES[key].phrase
    return key if key in FIXED else a_(key)


FIXED = ("yes", "no", ABSENT, "one", "two", "three", "four")

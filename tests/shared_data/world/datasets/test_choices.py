"""Options: the right one is among them once, and is named in words or by its letter."""

from __future__ import annotations

import re

import numpy as np
import pytest

from core.scenes.questions import Question
from shared_data.world.datasets.choices import Form, choose

BOOK = {"dog_bark": ("a dog barking",), "rain": ("rain falling",), "siren": ("a siren wailing",)}
BOOK |= {"bell": ("a bell ringing",), "owl": ("an owl hooting",)}


def asked(key: str, options: tuple[str, ...]) -> Question:
    return Question(instruction="Which?", output="-", task="-", key=key, options=options, closed=False)


@pytest.mark.parametrize(
    ("key", "options", "text", "size"),
    [
        ("rain", ("rain", "dog_bark"), "rain falling", 4),
        ("yes", ("yes", "no"), "yes", 2),
        ("farm", ("farm", "pond", "office", "beach", "forest"), "on a farm", 4),
        ("man", ("man", "adult"), "a man", 2),
        ("two", ("one", "two", "three", "four"), "two", 4),
        ("not heard", ("rain", "not heard"), "not heard", 4),
    ],
)
@pytest.mark.parametrize("form", ["words", "letters"])
def test_the_right_option_is_there_once(
    key: str, options: tuple[str, ...], text: str, size: int, form: Form
) -> None:
    places = set()
    for seed in range(12):
        made = choose(
            asked(key, options), form=form, labels=tuple(BOOK), book=BOOK, rng=np.random.default_rng(seed)
        )
        assert made is not None
        instruction, answer = made
        if form == "letters":
            shown = re.findall(r"\(([A-D])\) ([^,]+?)(?:,|\.$)", instruction)
            assert [said for _, said in shown].count(text) == 1
            assert dict(shown)[answer.strip("()")] == text
            places.add(answer)
        else:
            assert answer == text
            listed = re.split(r"options: ", instruction, flags=re.IGNORECASE)[1]
            shown = re.split(r" \| |, ", listed.rstrip("."))
            assert shown.count(text) == 1
        assert len(shown) == size
    assert len(places) > 1 or form == "words"


def test_a_question_without_a_key_has_no_options() -> None:
    rng = np.random.default_rng(0)
    assert choose(asked("rain; owl", ()), form="words", labels=tuple(BOOK), book=BOOK, rng=rng) is None

"""Every instruction can be obeyed, as it is told, and an answer that ignores it fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.metrics.instruction_following import READINGS, RULES, Ruled, check
from core.metrics.sentences import count_sentences
from shared_data.world.exams.pro_instructions import TASKS, Instruction, draw_instruction

IGNORES = (
    'A "Sound, loud, quiet": distance, background NOISE in a MOMENT, clearly. A LISTENER SEES a scene! It '
    "ends; it goes on, and on. Then it is over. No more of IT."
)


def obey(task: str, kwargs: dict[str, Any], question: str) -> str:
    """An answer that does just what is asked."""
    n, low = kwargs.get("N", 0), kwargs.get("N1", 0)
    return {
        "Include Keywords": lambda: f"I note {kwargs['keywords']}.",
        "Keyword Frequency": lambda: " and ".join([kwargs["keyword"]] * n),
        "Forbidden Words": lambda: "A dog barks.",
        "Number Paragraphs": lambda: "\n***\n".join(["A dog barks."] * n),
        "Number Words (at least)": lambda: "bark " * n,
        "Number Words (at most)": lambda: "bark " * n,
        "Number Words (range)": lambda: "bark " * low,
        "Number Sentences (at least)": lambda: "A dog barks. " * n,
        "Number Sentences (at most)": lambda: "A dog barks. " * n,
        "Number Sentences (range)": lambda: "A dog barks. " * low,
        "Postscript": lambda: f"A dog barks.\n{kwargs['postscript_marker']} It is loud.",
        "Number Placeholder": lambda: "[dog] " * n,
        "Number Bullets": lambda: "* a dog\n" * n,
        "Title": lambda: "<<A dog>>\nIt barks.",
        "Minimum Number Highlighted Section": lambda: "a *dog* and " * n,
        "Multiple Sections": lambda: f"{kwargs['section_splitter']} a dog barks\n" * n,
        "Repeat Prompt": lambda: f"{question} A dog barks.",
        "Two Responses": lambda: "A dog.\n******\nA barking dog.",
        "All Uppercase": lambda: "A DOG BARKS.",
        "All Lowercase": lambda: "a dog barks.",
        "All-capital Words (at least)": lambda: "DOG " * n,
        "All-capital Words (at most)": lambda: "DOG " * n + "barks",
        "All-capital Words (range)": lambda: "DOG " * low,
        "Start Checker": lambda: f"{kwargs['start_phrase']}: a dog barks.",
        "End Checker": lambda: f"A dog barks. {kwargs['end_phrase']}",
        "Quotation": lambda: '"A dog barks."',
        "No Commas": lambda: "A dog barks.",
    }[task]()


def drawn(task: str, seed: int) -> tuple[Instruction, Ruled]:
    told = draw_instruction(np.random.default_rng(seed), task)
    return told, Ruled(id="x", task=told.task, kwargs=told.kwargs, prompt=told.question)


def test_all_rules_are_there() -> None:
    assert set(TASKS) == set(RULES)


@pytest.mark.parametrize("task", TASKS)
def test_obeyed_and_ignored(task: str) -> None:
    for seed in range(20):
        told, ruled = drawn(task, seed)
        assert told.task == task
        good = obey(task, dict(told.kwargs), told.question)
        for reading in READINGS:
            assert check(good, ruled, reading=reading, sentences=count_sentences).passed, (told, good)
        lazy = {
            "Number Words (at most)": IGNORES,
            "Number Sentences (at least)": "A dog.",
            "All-capital Words (range)": "A dog barks.".lower(),
            "All-capital Words (at least)": "a dog barks.",
            "Number Words (at least)": "A dog.",
            "Include Keywords": "A dog.",
            "Number Sentences (range)": "A dog.",
            "Number Words (range)": "A dog.",
        }.get(task, IGNORES)
        if task == "Forbidden Words":
            lazy = f"{IGNORES} sound loud quiet distance background noise moment clearly listener scene"
        assert not check(lazy, ruled, sentences=count_sentences).passed, (told, lazy)


@pytest.mark.parametrize("task", TASKS)
def test_the_words_say_the_numbers(task: str) -> None:
    for seed in range(20):
        told, _ = drawn(task, seed)
        for value in told.kwargs.values():
            assert str(value) in told.question


def test_deterministic_and_varied() -> None:
    assert drawn("Number Bullets", 1) == drawn("Number Bullets", 1)
    assert len({drawn("Number Bullets", seed)[0].question for seed in range(30)}) > 3

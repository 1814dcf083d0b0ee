"""Data sets that ask: schema, balance, annotators, and answers that their timelines bear out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

from core.data.schema import SCHEMAS
from core.metrics.clotho_aqa import clotho_aqa_scores, normalise
from core.metrics.stated import correct
from core.scenes.bank import Bank
from core.scenes.captions import phrase_book
from core.scenes.comparisons import BenchmarkError
from core.scenes.draw import voice_attributes
from core.scenes.questions import COMPA_R_TASKS, OPEN_TASKS, aliases
from shared_data.world.datasets import questioned as asked

Row = dict[str, Any]
MAKERS: dict[str, Callable[..., Iterator[Row]]] = {
    "clothoaqa": asked.clothoaqa,
    "openaqa": asked.openaqa,
    "compa_r": asked.compa_r,
}


@pytest.mark.parametrize("name", MAKERS)
def test_rows_have_the_official_schema_and_repeat_exactly(noise_bank: Bank, name: str) -> None:
    rows = list(MAKERS[name](noise_bank, n=7, seed=3))
    assert all(set(row) == set(SCHEMAS[name]) for row in rows)
    assert [row["id"] for row in rows] == [f"{name}-{index:05d}" for index in range(7)]
    assert rows == list(MAKERS[name](noise_bank, n=7, seed=3))
    assert rows[:4] == list(MAKERS[name](noise_bank, n=4, seed=3))
    assert rows != list(MAKERS[name](noise_bank, n=7, seed=4))
    pa.Table.from_pylist(rows, schema=SCHEMAS[name].arrow_schema)
    for row in rows:
        assert row["audio"]["bytes"]
        known = {clip.id: clip.label.replace("_", " ") for clip in noise_bank.clips}
        assert all(clip in known for clip in row["clips"])
        if "events" in row:
            assert {event["label"] for event in row["events"]} == {known[clip] for clip in row["clips"]}
            assert all(0 <= event["onset"] < event["offset"] <= 5.12 for event in row["events"])


@pytest.mark.parametrize("name", MAKERS)
def test_rows_come_from_one_split(noise_bank_of_splits: Bank, name: str) -> None:
    with pytest.raises(BenchmarkError, match="one split"):
        next(MAKERS[name](noise_bank_of_splits, n=5, seed=0))


def test_annotators_agree_but_for_some(noise_bank: Bank) -> None:
    rows = list(asked.clothoaqa(noise_bank, n=120, seed=0, dissent=0.0))
    first = [row["answers"][0] for row in rows]
    assert Counter(text for text in first if text in ("yes", "no")) == {"yes": 40, "no": 40}
    scores = clotho_aqa_scores(first, [row["answers"] for row in rows])
    assert scores.unanimous.sum() == scores.binary.sum() == 80
    assert all(len(row["answers"]) == 3 for row in rows)
    kinds = [len(set(row["answers"])) for row in rows if row["answers"][0] not in ("yes", "no")]
    assert 2 in kinds  # one annotator uses other words
    torn = list(asked.clothoaqa(noise_bank, n=120, seed=0, dissent=0.5))
    scores = clotho_aqa_scores(first, [row["answers"] for row in torn])
    assert 0.3 < 1 - scores.unanimous.sum() / 80 < 0.7
    assert [row["question"] for row in torn][:1] == [row["question"] for row in rows][:1]


def test_a_wrong_annotator_is_outvoted(noise_bank: Bank) -> None:
    ways = aliases(phrase_book(noise_bank), voice_attributes(noise_bank))
    said = {normalise(way): key for key, texts in ways.items() for way in texts}
    for row in asked.clothoaqa(noise_bank, n=60, seed=1, dissent=1.0):
        keys = Counter(said[normalise(text)] for text in row["answers"])
        assert sorted(keys.values()) == [1, 2], row["answers"]


@pytest.mark.parametrize(("name", "tasks", "n"), [("openaqa", OPEN_TASKS, 2), ("compa_r", COMPA_R_TASKS, 3)])
def test_questions_of_an_audio_differ_in_task_and_state_their_key(
    noise_bank: Bank, name: str, tasks: tuple[str, ...], n: int
) -> None:
    book, voices = phrase_book(noise_bank), voice_attributes(noise_bank)
    ways = aliases(book, voices)
    seen: Counter[str] = Counter()
    for row in MAKERS[name](noise_bank, n=30, seed=0, questions=n):
        assert len(row["questions"]) == len({question["task"] for question in row["questions"]}) == n
        assert row["caption"]
        for question in row["questions"]:
            seen[question["task"]] += 1
            assert bool(question["key"]) == bool(question["options"])
            if question["options"]:
                assert question["key"] in question["options"]
                assert correct(question["output"], question["key"], question["options"], ways), question
    assert set(seen) == set(tasks)


def test_a_bank_that_allows_no_question_is_refused(noise_bank: Bank) -> None:
    lone = noise_bank.only(["rain"])
    with pytest.raises(BenchmarkError, match=r"clothoaqa: no question for row 1 of 4: presence"):
        list(asked.clothoaqa(lone, n=4, seed=0))
    with pytest.raises(BenchmarkError, match=r"compa_r: none of 200 scenes allows 3 questions for row 0"):
        next(asked.compa_r(lone, n=1, seed=0))

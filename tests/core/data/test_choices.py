from __future__ import annotations

from typing import Any

import pytest

from core.data.choices import (
    SKILLS,
    checked,
    mmau_doubts,
    mmau_pro_doubts,
    mmau_pro_problems,
    mmau_problems,
    option_defects,
    spread,
    stored_split,
)
from core.data.problems import DatasetError
from core.data.schema import EXAMS

ROW: dict[str, Any] = {
    "id": "a",
    "question": "Who speaks?",
    "choices": ["Man", "Woman"],
    "answer": "Man",
    "dataset": "synthetic",
    "task": "sound",
    "split": "train",
    "category": "Reasoning",
    "sub-category": "Acoustic Source Inference",
    "difficulty": "easy",
}
PRO: dict[str, Any] = {
    "id": "a",
    "question": "Which?",
    "category": "multi",
    "length_type": "long",
    "audios": [{"bytes": b"-", "path": None}],
    "choices": ["one", "two"],
    "answer": "two",
    "task_identifier": "",
    "kwargs": "{}",
}


def test_the_27_skills_by_domain_and_type() -> None:
    assert len(SKILLS) == 27
    found = {(s.domain, s.type): 0 for s in SKILLS.values()}
    for skill in SKILLS.values():
        found[skill.domain, skill.type] += 1
    assert found == {
        ("sound", "Information Extraction"): 2,
        ("music", "Information Extraction"): 5,
        ("speech", "Information Extraction"): 1,
        ("sound", "Reasoning"): 5,
        ("music", "Reasoning"): 5,
        ("speech", "Reasoning"): 9,
    }
    assert {"Emotion State summarisation", "Key highlight Extraction"} <= set(SKILLS)


def test_the_columns_keep_the_official_names() -> None:
    assert "sub-category" in EXAMS["mmau"]
    assert "sub-cat" in EXAMS["mmau_pro"]
    assert not EXAMS["mmau"]["audio"].decode


def test_a_good_row_has_no_problems() -> None:
    assert mmau_problems(ROW) + mmau_doubts(ROW) == []
    assert mmau_pro_problems(PRO) + mmau_pro_doubts(PRO) == []


@pytest.mark.parametrize(
    ("change", "problem", "doubt"),
    [
        ({"question": " "}, ["no question"], []),
        ({"id": ""}, ["no id"], []),
        ({"task": "noise"}, ["task is not sound, music or speech"], ["skill of another task"]),
        ({"split": "dev"}, ["split is not test-mini, test or train"], []),
        ({"difficulty": ""}, ["difficulty is not easy, medium or hard"], []),
        ({"answer": ""}, ["no answer"], []),
        ({"answer": "", "split": "test"}, [], []),
        ({"sub-category": "Emotion State Summarisation"}, [], ["unknown skill"]),
        ({"category": "Information Extraction"}, [], ["category is not that of the skill"]),
        ({"choices": ["Man", ""]}, [], ["an empty choice"]),
        ({"answer": "man"}, [], ["answer not among choices"]),
        ({"choices": ["Man"]}, [], ["fewer than two options"]),
    ],
)
def test_each_rule_of_a_row(change: dict[str, Any], problem: list[str], doubt: list[str]) -> None:
    row = {**ROW, **change}
    assert (mmau_problems(row), mmau_doubts(row)) == (problem, doubt)


@pytest.mark.parametrize(
    ("change", "problem", "doubt"),
    [
        ({"audios": []}, ["no audio bytes"], []),
        ({"audios": [PRO["audios"][0], {"bytes": b"", "path": "x"}]}, ["no audio bytes"], []),
        ({"length_type": "huge"}, ["length_type is not short, medium, long or ultra-long"], []),
        ({"kwargs": "[1]"}, ["kwargs is not a JSON mapping"], []),
        ({"kwargs": None}, ["kwargs is not a JSON mapping"], []),
        ({"category": ""}, ["no category"], []),
        ({"choices": ["one", " "], "answer": "one"}, [], ["an empty choice"]),
        ({"answer": "three"}, [], ["answer not among choices"]),
        ({"choices": [], "answer": "three"}, [], []),
        ({"choices": [], "answer": None}, [], ["neither answer nor task_identifier"]),
        ({"choices": [], "answer": None, "task_identifier": "No Commas"}, [], []),
    ],
)
def test_each_rule_of_a_pro_row(change: dict[str, Any], problem: list[str], doubt: list[str]) -> None:
    row = {**PRO, **change}
    assert (mmau_pro_problems(row), mmau_pro_doubts(row)) == (problem, doubt)


def test_a_withheld_answer_is_no_defect() -> None:
    assert option_defects(["a", "b"], "") == []
    assert option_defects(["a", "b", "a"], "") == ["duplicate options"]
    assert option_defects(["a", "b", "a"], "a") == ["gold duplicated", "duplicate options"]
    assert option_defects([], "") == ["fewer than two options"]


def test_checked_counts_everything_and_names_it() -> None:
    rows = [ROW, {**ROW, "task": "noise"}, {**ROW, "id": "b", "answer": ""}]
    assert list(checked(rows[:1], problems=mmau_problems, where="mini")) == rows[:1]
    seen = []
    with pytest.raises(
        DatasetError, match=r"mini: 1 x task is not .* \(a\); 1 x no answer \(b\); 1 x duplicated id"
    ):
        seen.extend(checked(rows, problems=mmau_problems, where="mini"))
    assert seen == rows


def test_a_limit_is_never_a_prefix() -> None:
    assert spread(5, None) == spread(5, 9) == [0, 1, 2, 3, 4]
    drawn = spread(1000, 20, seed=3)
    assert drawn == spread(1000, 20, seed=3) == sorted(set(drawn))
    assert drawn[-1] > 500
    assert drawn != spread(1000, 20, seed=4)


def test_the_name_of_a_split_in_parquet() -> None:
    assert [stored_split(name) for name in ("test-mini", "test_mini", "test")] == [
        "testmini",
        "testmini",
        "test",
    ]

"""Predictions on disk: what is written comes back, short; what is no prediction is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from core.report.predictions import (
    Prediction,
    by_seed,
    line_of,
    prediction_of,
    read_predictions,
    short,
    write_predictions,
)
from core.report.scoring import PredictionError


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    said = [
        Prediction(id="a", answers=("a dog", ""), orders=((0, 1), (1, 0)), errors=("", "late"), hash="0f"),
        Prediction(id="b", answers=("a cat",), orders=((),), errors=("",)),
    ]
    write_predictions(tmp_path / "x" / "said.jsonl", said)
    assert read_predictions(tmp_path / "x" / "said.jsonl") == said
    lines = (tmp_path / "x" / "said.jsonl").read_text().split("\n")
    assert lines[1:] == ['{"id": "b", "answers": ["a cat"]}', ""]
    assert by_seed([said[0], said[0]]) == [["a dog", "a dog"], ["", ""]]


def test_scores_are_as_short_as_their_digits(tmp_path: Path) -> None:
    values = np.array([[0.493, 1 / 3], [2 / 3, 1.0]], np.float32)
    one = Prediction(id="a", scores=tuple(short(values, 3)))
    assert line_of(one) == b'{"id":"a","scores":[[0.493,0.333],[0.667,1.0]]}\n'
    # which rounding in the array's own float32 does not give
    assert len(json.dumps(values.round(3).tolist())) > 2 * len(json.dumps(short(values, 3)))
    assert prediction_of(json.loads(line_of(one))).scores == ([0.493, 0.333], [0.667, 1.0])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"id": 3, "answers": ["x"]}, "3 is no text"),
        ({"id": "a", "answers": ["x", 3]}, "3 is no text"),
        ({"id": "a"}, "a: a prediction has either answers or scores"),
        ({"id": "a", "answers": ["x"], "scores": [1]}, "either answers or scores"),
        ({"id": "a", "answers": ["x", "y"], "orders": [[0, 1]]}, "a: 2 answers with 1 orders, 0 errors"),
        ({"id": "a", "answers": ["x"], "cut": [1]}, r"cut \(1,\)"),
        ({"id": "a", "answers": ["x"], "orders": [[-1]]}, "-1 is no place"),
        ({"id": "a", "answers": ["x"], "errors": ["", ""]}, "a: 1 answers with 0 orders, 2 errors"),
    ],
)
def test_what_is_no_prediction_is_named_with_its_line(tmp_path: Path, line: object, message: str) -> None:
    path = tmp_path / "said.jsonl"
    path.write_text('{"id": "z", "answers": ["x"]}\n' + json.dumps(line) + "\n")
    with pytest.raises(PredictionError, match=message):
        read_predictions(path)


def test_answers_to_other_questions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "said.jsonl"
    write_predictions(path, [Prediction(id=id, answers=("x",)) for id in "ab"])
    assert [one.id for one in read_predictions(path, ids=["a", "b"])] == ["a", "b"]
    for ids in (["b", "a"], ["a"], ["a", "b", "c"]):
        with pytest.raises(PredictionError, match="answers other questions than were asked: run its predict"):
            read_predictions(path, ids=ids, writer="predict")
    write_predictions(path, [Prediction(id="a", answers=("x",)), Prediction(id="b", answers=("x", "y"))])
    with pytest.raises(PredictionError, match=r"items with \[1, 2\] answers"):
        read_predictions(path, ids=["a", "b"])


def test_half_a_surrogate_pair_is_written(tmp_path: Path) -> None:
    assert b'"answers": ["?"]' in line_of(Prediction(id="a", answers=("\ud800",)))

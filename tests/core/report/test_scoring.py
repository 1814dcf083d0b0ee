"""Cells made of predictions: values by hand, items that belong to them, files that cannot be scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from core.report.cells import read_cells, read_items, write_cells
from core.report.scoring import PredictionError, map_cell, mean_cell, read_lines
from core.run.jsonl import write_lines


def test_a_mean_of_items_in_per_cent_or_in_its_own_unit(tmp_path: Path) -> None:
    scores = [np.array([1.0, 0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0])]
    share = mean_cell("a", "hits", "set", scores, scale="mini", protocol="p")
    rating = mean_cell("a", "rating", "set", [4 * scores[0]], scale="mini", protocol="p", unit="1-5")
    assert (share[0].value, share[0].seeds, share[0].n) == (62.5, (75.0, 50.0), 4)
    assert (rating[0].value, rating[0].unit) == (3.0, "1-5")
    assert share[0].low < 62.5 < share[0].high
    write_cells(
        tmp_path, "table", [share[0], rating[0]], [share[1], rating[1]]
    )  # which checks that they agree
    assert set(read_cells(tmp_path, "table")) == set(read_items(tmp_path, "table"))


def test_macro_map_is_that_of_the_classes_with_a_positive() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(40, 5)), rng.random((40, 5)) < 0.3
    labels[:, 4] = False
    cell, items = map_cell("a", "map", "set", [scores], labels, scale="mini", protocol="p")
    wanted = np.mean([average_precision_score(labels[:, c], scores[:, c]) for c in range(4)])
    assert cell.value == pytest.approx(100 * wanted)
    assert (cell.n, items.kind) == (40, "replicates")
    assert cell.low < cell.value < cell.high


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is missing"),
        ("", "holds 0 items"),
        ('{"id": "a"}\n{"id": "a"}\n', "holds 2 items of 1 ids"),
        ('{"id": "a"}\n{"id', "line 2 is cut or damaged"),
        ('{"id": "a"}\n{"said": "b"}\n', "a line without id"),
        ('{"id": "a", "score": NaN}\n', "line 1 is no JSON"),
    ],
)
def test_what_cannot_be_scored_is_named_with_its_writer(
    tmp_path: Path, content: str | None, said: str
) -> None:
    path = tmp_path / "esc50.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PredictionError, match=rf"esc50.jsonl.*{said}.*run its predict stage again"):
        read_lines(path, writer="predict stage")


def test_an_answer_may_hold_what_python_takes_for_the_end_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "esc50.jsonl"
    said = [f"a dog{mark}barks" for mark in "\u2028\u2029\x85\x0b"]
    lines = [{"id": str(n), "answers": [text]} for n, text in enumerate(said)]
    write_lines(path, lines)
    assert read_lines(path) == lines

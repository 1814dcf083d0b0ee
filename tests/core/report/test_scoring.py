"""Cells made of predictions: values by hand, items that belong to them, files that cannot be scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from core.metrics.multilabel import micro_f1, micro_f1_left_out
from core.report.cells import read_cells, read_items, write_cells
from core.report.scoring import (
    PredictionError,
    count_units,
    map_cell,
    mean_cell,
    read_lines,
    statistic_cell,
    units_of,
)
from core.run.jsonl import write_lines

IDS = [f"i{i}" for i in range(40)]


def test_a_mean_of_items_in_per_cent_or_in_its_own_unit(tmp_path: Path) -> None:
    scores = [np.array([1.0, 0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0])]
    share = mean_cell("a", "hits", "set", scores, "pqrs", scale="mini", protocol="p")
    rating = mean_cell(
        "a", "rating", "set", [4 * scores[0] + 1], "pqrs", scale="mini", protocol="p", unit="1-5"
    )
    assert (share[0].value, share[0].seeds, share[0].n) == (62.5, (75.0, 50.0), 4)
    assert (rating[0].value, rating[0].unit) == (4.0, "1-5")
    assert share[0].low < 62.5 < share[0].high
    write_cells(
        tmp_path, "table", [share[0], rating[0]], [share[1], rating[1]]
    )  # which checks that they agree
    assert set(read_cells(tmp_path, "table")) == set(read_items(tmp_path, "table"))


def test_macro_map_is_that_of_the_classes_with_a_positive() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(40, 5)), rng.random((40, 5)) < 0.3
    labels[:, 4] = False
    cell, items = map_cell("a", "map", "set", [scores], labels, IDS, scale="mini", protocol="p")
    wanted = np.mean([average_precision_score(labels[:, c], scores[:, c]) for c in range(4)])
    assert cell.value == pytest.approx(100 * wanted)
    assert (cell.n, items.kind) == (40, "contributions")
    assert cell.low < cell.value < cell.high
    assert 100 * items.scores[0].mean() == pytest.approx(cell.value)


def test_what_is_resampled_is_said(tmp_path: Path) -> None:
    hits = [np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])]
    units = ["s:a", "s:a", "s:a", "s:b", "s:b", "s:c"]
    how = {"scale": "mini", "protocol": "p", "items": "questions"}
    cell, items = mean_cell("a", "x", "set", hits, "pqrstu", units=units, **how)
    assert (cell.n, cell.value) == (3, 50.0)
    assert cell.protocol == "p; resampled: 3 clips with 6 questions"
    assert mean_cell("a", "x", "set", hits, "pqrstu", **how)[0].protocol == "p; resampled: questions"
    write_cells(tmp_path, "table", [cell], [items])
    assert read_items(tmp_path, "table")["a", "x"].resampled == tuple(units)


def test_segments_of_a_recording_contribute_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    labels = rng.random((60, 4)) < 0.4
    predicted = (labels ^ (rng.random((60, 4)) < 0.3)).astype(float)
    made = micro_f1(predicted, labels)
    left_out = [micro_f1_left_out(made.counts)]
    ids, units = [f"i{i}" for i in range(60)], [f"set:{i // 3}" for i in range(60)]
    how = {"scale": "mini", "protocol": "p"}
    cell, items = statistic_cell("a", "f1", "set", [made.value], left_out, ids, units=units, **how)
    assert (cell.n, len(items.ids)) == (20, 20)
    assert cell.protocol.endswith("resampled: 20 clips with 60 items")
    assert 100 * items.scores[0].mean() == pytest.approx(cell.value)
    write_cells(tmp_path, "table", [cell], [items])
    # to first order what leaving out whole recordings gives
    whole = [
        micro_f1(np.delete(predicted, g, axis=0), np.delete(labels, g, axis=0)).value
        for g in (slice(i, i + 3) for i in range(0, 60, 3))
    ]
    spread = (19 / 20 * np.sum((whole - np.mean(whole)) ** 2)) ** 0.5
    assert items.scores[0].std(ddof=1) / 20**0.5 == pytest.approx(spread, rel=0.05)


def test_a_line_names_what_it_is_about() -> None:
    assert units_of([{"id": "a"}], exam="e") == ()
    lines = [
        {"id": "a", "audio": "s:x"},
        {"id": "b", "audio": "s:y", "recording": "r:1"},
        {"id": "c"},
        {"id": "d", "recording": "r:1"},
    ]
    assert units_of(lines, exam="e") == ("s:x", "r:1", "e:c", "r:1")
    assert (count_units(lines, exam="e"), count_units([{"id": "a"}], exam="e")) == (3, 1)


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

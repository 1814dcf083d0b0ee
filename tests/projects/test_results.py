"""The committed results of all papers: every number lies in its interval and belongs to its items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.report.cells import outside, read_cells, read_items

PROJECTS = Path(__file__).parents[2] / "projects"
TABLES = sorted(path for path in PROJECTS.glob("*/results/*/*.json") if not path.name.endswith(".items.json"))
TABLES = [path for path in TABLES if path.with_name(f"{path.stem}.items.json").is_file()]


@pytest.mark.parametrize("path", TABLES, ids=lambda p: "/".join((p.parts[-4], p.parts[-2], p.stem)))
def test_a_committed_number_lies_in_its_interval_and_is_its_items_mean(path: Path) -> None:
    cells = read_cells(path.parent, path.stem)
    assert [f"{c.row}/{c.column}: {c.value} in {c.low}..{c.high}" for c in cells.values() if outside(c)] == []
    for key, items in read_items(path.parent, path.stem).items():
        factor = 100 if cells[key].unit == "%" else 1
        mean = factor * float(np.mean([one.mean() for one in items.scores]))
        assert mean == pytest.approx(cells[key].value, abs=0.02), key
        assert len(set(items.resampled)) == cells[key].n, key


def test_some_results_are_committed() -> None:
    assert len(TABLES) > 10

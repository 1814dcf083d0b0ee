"""What README shows is what the committed tables and measurements hold: numbers enter it from files only."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def quoted(marker: str) -> list[str]:
    """The table lines of README between `<!-- marker -->` and `<!-- end -->`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"<!-- {marker} -->" in text, f"README has no block {marker}"
    block = text.split(f"<!-- {marker} -->", 1)[1].split("<!-- end -->", 1)[0]
    return [line for line in block.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("file", ["gama/claims.md", "compa/benchmark.md", "compa/claims.md"])
def test_tables_are_those_of_paper_tables(file: str) -> None:
    lines = (ROOT / "paper_tables" / file).read_text(encoding="utf-8").splitlines()
    shown = quoted(file)
    assert len(shown) > 4
    assert [line for line in shown if line not in lines] == []


def test_speed_is_that_of_the_last_measurement() -> None:
    with open(ROOT / "tests" / "bench" / "results.csv", newline="", encoding="utf-8") as file:
        measured = {row["benchmark"]: row for row in csv.DictReader(file)}
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in quoted("results.csv")[2:]]
    assert shown
    for name, ours, peer, ratio, target in shown:
        row = measured[name]
        assert [ours, peer, ratio, target] == [row["ours"], row["peer"], row["ratio"], row["target"]]

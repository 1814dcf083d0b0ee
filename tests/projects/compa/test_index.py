"""The committed tables are what the committed results give."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.report.tables import age_note, write_index, write_paper_tables

ROOT = Path(__file__).resolve().parents[3]
INDEX = ROOT / "paper_tables" / "README.md"
TABLES = ROOT / "paper_tables" / "compa"
RESULTS = sorted((ROOT / "projects" / "compa" / "results").glob("*/*.json"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that tables are made of: papers, their numbers, claims and results."""
    for pattern in ("paper.yaml", "reported.csv", "claims.yaml", "results/*/*.json"):
        for path in (ROOT / "projects").glob(f"*/{pattern}"):
            target = tmp_path / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return tmp_path


def test_the_index_is_up_to_date(copy: Path) -> None:
    if not INDEX.is_file():
        pytest.skip("no paper_tables/README.md yet: `python -m core.report.tables --index` writes it")
    assert write_index(copy).read_text(encoding="utf-8") == INDEX.read_text(encoding="utf-8")


def test_the_tables_are_up_to_date(copy: Path) -> None:
    if not RESULTS or not TABLES.is_dir():
        pytest.skip("no results or tables of compa yet: `dvc repro` makes them")
    made = {
        path.name: path.read_bytes() for path in write_paper_tables(copy, "compa", note=age_note("compa"))
    }
    there = {path.name: path.read_bytes() for path in TABLES.iterdir() if path.name[0] != "."}
    assert sorted(made) == sorted(there)
    assert [name for name, content in made.items() if content != there[name]] == []


def test_tables_are_made_of_copied_files_alone(copy: Path) -> None:
    """A table per table of paper.yaml in three formats, and the claims, whether or not there are results."""
    names = {path.name for path in write_paper_tables(copy, "compa")}
    assert {"claims.md", "claims.csv"} <= names
    for table in ("benchmark", "retrieval", "zero_shot", "shuffle"):
        assert {f"{table}.md", f"{table}.csv", f"{table}.tex"} <= names
    text = write_index(copy).read_text(encoding="utf-8")
    papers = [path.parent.name for path in sorted((ROOT / "projects").glob("*/paper.yaml"))]
    assert len(papers) > 1
    assert text.startswith("# Tables\n")

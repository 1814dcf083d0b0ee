"""What pages quote is what the committed tables and measurements hold: numbers enter them from files only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.report.quote import pages, quoted

ROOT = Path(__file__).resolve().parents[2]
PAGES = pages(ROOT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_quoted_numbers_are_those_of_the_tables(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert quoted(text, root=ROOT) == text, "run `python -m core.report.quote`"


def test_every_built_paper_quotes_its_tables() -> None:
    built = {path.parent.name for path in (ROOT / "paper_tables").glob("*/claims.md")}
    quoting = {page.parent.name for page in PAGES if page.parent.parent.name == "projects"}
    assert built <= quoting


@pytest.mark.parametrize(
    "page",
    sorted(
        {*PAGES, *ROOT.glob("*.md"), *ROOT.glob("projects/*/README.md"), ROOT / "shared_data" / "README.md"}
    ),
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    gone = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert gone == []


def test_the_readme_is_one_screen() -> None:
    shown = re.sub(r"<!--.*?-->", "", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(shown.split()) <= 700

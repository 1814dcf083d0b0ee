"""Marked places of pages are written from the tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.report.quote import QuoteError, main, minutes, quoted

PAGE = """# T

## Profile `mini`

### Sounds

| Model | A (%), paper | A (%), ours |
| --- | --- | ---: |
| one \\| two | 1 | 2.0 [1.0, 3.0] |
| n |  | 10 |

### Averages

| Model | Average, ours |
| --- | ---: |
| three | 5.0 |
| one \\| two | 4.0 |

## Profile `recorded`

| Model | A (%), ours |
| --- | ---: |
| one | 9.0 |
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "paper_tables" / "demo").mkdir(parents=True)
    (tmp_path / "paper_tables" / "demo" / "main.md").write_text(PAGE)
    (tmp_path / "bench.csv").write_text("name,ours,unit\nloop,3,s\n")
    return tmp_path


def block(marker: str, root: Path) -> list[str]:
    text = quoted(f"before\n\n<!-- {marker} -->\nold\n<!-- end -->\nafter", root=root)
    assert text.startswith(f"before\n\n<!-- {marker} -->\n")
    assert text.endswith("<!-- end -->\nafter")
    assert quoted(text, root=root) == text
    return text.splitlines()[3:-2]


def test_a_whole_page_gives_its_tables_of_mini(root: Path) -> None:
    lines = block("demo/main.md", root)
    assert [line for line in lines if line] == [line for line in PAGE.splitlines() if line.startswith("|")][
        :8
    ]


def test_columns_of_several_tables_stand_side_by_side(root: Path) -> None:
    assert block("demo/main.md: columns=Average, ours | A (%), ours; rows=three | n", root) == [
        "| Model | Average, ours | A (%), ours |",
        "| --- | ---: | ---: |",
        "| three | 5.0 | – |",
        "| n | – | 10 |",
    ]


def test_a_column_may_be_named_by_its_label_alone(root: Path) -> None:
    assert block("demo/main.md: columns=A; rows=n", root)[0] == "| Model | A (%), paper | A (%), ours |"


def test_another_profile_and_a_csv(root: Path) -> None:
    assert block("demo/main.md: profile=recorded", root)[2] == "| one | 9.0 |"
    assert block("bench.csv: columns=unit", root) == ["| name | unit |", "| --- | ---: |", "| loop | s |"]


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("demo/main.md: rows=thre", "no row 'thre'.*three"),
        ("demo/main.md: columns=Averag", "no column 'Averag'.*Average"),
        ("demo/main.md: row=three", "'row' is no option.*rows"),
        ("demo/main.md: profile=paper", "no profile 'paper'"),
        ("demo/main.md: rows=three | n", "rows of different tables"),
        ("demo/claims.md", "claims.md is not there"),
    ],
)
def test_a_marker_that_names_nothing_is_told(marker: str, message: str, root: Path) -> None:
    with pytest.raises(QuoteError, match=message):
        block(marker, root)


def test_minutes_wait_for_a_measurement(root: Path) -> None:
    page = "takes <!-- seconds: demo -->many hours<!-- end --> on <!-- seconds: machine -->it<!-- end -->."
    assert quoted(page, root=root) == page
    (root / "paper_tables" / "seconds.json").write_text(json.dumps({"demo": 1234.5, "machine": "2 cores"}))
    written = quoted(page, root=root)
    assert written == page.replace("many hours", "21 minutes").replace(">it<", ">2 cores<")
    with pytest.raises(QuoteError, match=r"no 'demi'.*demo"):
        quoted("<!-- seconds: demi --><!-- end -->", root=root)


def test_a_marker_in_code_is_only_shown(root: Path) -> None:
    page = "write `<!-- demo/main.md: rows=... -->` and `<!-- end -->`"
    assert quoted(page, root=root) == page


def test_minutes_in_words() -> None:
    said = [minutes(seconds) for seconds in (40.2, 59.4, 61, 1000)]
    assert said == ["40 seconds", "59 seconds", "1 minute", "17 minutes"]


def test_the_command_writes_or_checks(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = root / "README.md"
    page.write_text("<!-- demo/main.md: rows=three -->\n<!-- end -->\n")
    assert main(["--check", "--root", str(root)]) == 1
    assert main(["--root", str(root)]) == 0
    assert "| three | 5.0 |" in page.read_text()
    assert main(["--check", "--root", str(root)]) == 0
    page.write_text("<!-- demo/main.md: rows=there -->\n<!-- end -->\n")
    assert main(["--root", str(root)]) == 2
    assert "no row 'there'" in capsys.readouterr().err

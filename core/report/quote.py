"""Numbers on pages: what a README quotes is written by this command, from the generated tables.

    python -m core.report.quote [--check] [PAGE ...]      by default every README that quotes something

A page marks the place, and the text up to `<!-- end -->` is replaced:

    <!-- gama/claims.md -->                a page of paper_tables: all its tables of profile mini
    <!-- gama/claims.md: profile=recorded; rows=A | B; columns=Verdict | n -->     what of it to keep
    <!-- tests/bench/results.csv: columns=ours | unit -->                          a CSV of the repository
    takes <!-- seconds: gama --><!-- end --> on <!-- seconds: machine --><!-- end -->

Rows are named by their first cell, columns by their head, as the page shows them; the order is the marker's.
A head may lack its unit and end: "A" stands for "A (%), paper" and "A (%), ours".
paper_tables/seconds.json holds seconds by name, and the `machine`. While it is absent, its places stay.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.report.typeset import markdown_table
from core.run.code import REPOSITORY
from core.run.files import write_text_atomic
from core.run.strict_yaml import nearest

TABLES, SECONDS, MACHINE = "paper_tables", "seconds.json", "machine"
PAGES = ("*.md", "projects/*/README.md", "shared_data/README.md", "tests/bench/README.md")
_BLOCK = re.compile(
    r"(?<!`)(<!-- ((?:seconds|[\w/]+\.(?:md|csv))\b[^>]*?) -->)(.*?)(<!-- end -->)", re.DOTALL
)
_CELLS = re.compile(r"(?<!\\)\|")


class QuoteError(ValueError):
    """A marker that names a file, a profile, a row or a column that is not there."""


@dataclass(frozen=True)
class Grid:
    """A table as its page shows it: cells are text, the first of a row is its name; `left` are flush left."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1


def quoted(text: str, *, root: Path) -> str:
    """A page's text with every marked place written anew. Raises QuoteError."""

    def write(block: re.Match[str]) -> str:
        start, marker, held, end = block.groups()
        name, _, options = marker.partition(":")
        if name == "seconds":
            return start + (_seconds(options.strip(), root / TABLES / SECONDS) or held) + end
        return f"{start}\n{_tables(name, _options(options, marker), root)}{end}"

    return _BLOCK.sub(write, text)


def pages(root: Path) -> list[Path]:
    """The pages that quote something."""
    found = [path for pattern in PAGES for path in sorted(root.glob(pattern))]
    return [path for path in found if _BLOCK.search(path.read_text(encoding="utf-8"))]


def minutes(seconds: float) -> str:
    """'12 minutes', '1 minute', '40 seconds'."""
    number, unit = (round(seconds / 60), "minute") if seconds >= 60 else (round(seconds), "second")
    return f"{number} {unit}" + ("" if number == 1 else "s")


def _seconds(name: str, path: Path) -> str:
    """How long something took, in words; "" where nothing was measured yet."""
    if not path.is_file():
        return ""
    held = json.loads(path.read_text(encoding="utf-8"))
    if name not in held:
        raise QuoteError(f"{path}: no {name!r}{nearest(name, held)}")
    return str(held[name]) if name == MACHINE else minutes(held[name])


def _options(text: str, marker: str) -> dict[str, str]:
    """profile, rows and columns of a marker."""
    options = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        key, _, value = part.partition("=")
        if key not in (known := ("profile", "rows", "columns")):
            raise QuoteError(f"<!-- {marker} -->: {key!r} is no option{nearest(key, known)}")
        options[key] = value
    return options


def _tables(name: str, options: dict[str, str], root: Path) -> str:
    """The tables of a file as Markdown, or one of the rows and columns that are asked for."""
    path = root / name if name.endswith(".csv") else root / TABLES / name
    if not path.is_file():
        raise QuoteError(f"{path} is not there; write the tables first (python -m core.report.tables PAPER)")
    text = path.read_text(encoding="utf-8")
    grids = [_csv_grid(text)] if path.suffix == ".csv" else _grids(text, options.get("profile", "mini"), path)
    if "columns" in options:
        grids = [_joined(grids, _names(options["columns"]), path)]
    if "rows" in options:
        grids = [_with_rows(grids, _names(options["rows"]), path)]
    return "\n".join(markdown_table(grid.header, grid.rows, left=grid.left) for grid in grids)


def _grids(text: str, profile: str, path: Path) -> list[Grid]:
    """The tables below a page's heading of a profile; of the whole page where it has no such headings."""
    heading = f"## Profile `{profile}`\n"
    if heading in text:
        text = re.split(r"^## ", text.split(heading, 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    elif "## Profile `" in text:
        raise QuoteError(f"{path}: no profile {profile!r}")
    found: list[list[tuple[str, ...]]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            cells = (cell.strip() for cell in _CELLS.split(line.strip())[1:-1])
            found[-1].append(tuple(cell.replace("\\|", "|").replace("&lt;", "<") for cell in cells))
        elif found[-1]:
            found.append([])
    return [Grid(rows[0], tuple(rows[2:]), rows[1].count("---")) for rows in found if len(rows) > 2]


def _csv_grid(text: str) -> Grid:
    rows = [tuple(row) for row in csv.reader(text.splitlines())]
    return Grid(rows[0], tuple(rows[1:]))


def _joined(grids: Sequence[Grid], columns: Sequence[str], path: Path) -> Grid:
    """One table of the columns asked for, each from the first table that has it, rows by name."""
    known = {head: grid for grid in reversed(grids) for head in grid.header[1:]}
    heads = []
    for name in columns:
        if not (found := [head for grid in grids for head in grid.header[1:] if _is_called(head, name)]):
            raise QuoteError(f"{path}: no column {name!r}{nearest(name, known)}")
        heads += [head for head in dict.fromkeys(found) if head not in heads]
    at = {head: known[head].header.index(head) for head in heads}
    cells = {head: {row[0]: row[at[head]] for row in known[head].rows} for head in heads}
    rows = dict.fromkeys(row[0] for grid in grids for row in grid.rows)
    made = ((row, *(cells[head].get(row, "–") for head in heads)) for row in rows)
    return Grid((grids[0].header[0], *heads), tuple(made))


def _is_called(head: str, name: str) -> bool:
    """Whether a column's head is `name`, or `name` with its unit and whose number it is."""
    return head == name or re.fullmatch(re.escape(name) + r"( \([^)]*\))?(, (paper|ours))?", head) is not None


def _with_rows(grids: Sequence[Grid], names: Sequence[str], path: Path) -> Grid:
    """The rows asked for, of the first table that has them."""
    known = {row[0]: (grid, row) for grid in reversed(grids) for row in grid.rows}
    for name in names:
        if name not in known:
            raise QuoteError(f"{path}: no row {name!r}{nearest(name, known)}")
    grid = known[names[0]][0]
    if any(known[name][0] is not grid for name in names):
        raise QuoteError(f"{path}: rows of different tables; name the columns too")
    return Grid(grid.header, tuple(known[name][1] for name in names), grid.left)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split("|")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: 0; 1 where --check finds a page that quotes what is not so; 2 for a wrong marker."""
    parser = argparse.ArgumentParser(
        prog="python -m core.report.quote", description="Write the numbers that pages quote."
    )
    parser.add_argument("pages", nargs="*", type=Path, help="by default every README that quotes something")
    parser.add_argument("--check", action="store_true", help="write nothing; say which pages are out of date")
    parser.add_argument("--root", type=Path, default=REPOSITORY, help="the repository (default: this one)")
    options = parser.parse_args(arguments)
    old = []
    for path in options.pages or pages(options.root):
        try:
            text = path.read_text(encoding="utf-8")
            new = quoted(text, root=options.root)
        except (QuoteError, OSError) as error:
            print(f"error: {path}: {error}", file=sys.stderr)
            return 2
        if new != text:
            old.append(path)
            if not options.check:
                write_text_atomic(path, new)
    for path in old:
        print(f"{path}: {'quotes other numbers than the tables hold' if options.check else 'written'}")
    return 1 if options.check and old else 0


if __name__ == "__main__":
    sys.exit(main())

"""Reading official lists that are no plain CSV with a header: tab-separated, commented, or JSON."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.data.imports.layout import SHEET_ERRORS, refuse_spreadsheet_errors
from core.data.official_json import JsonTextError, parse_json
from core.data.schema import DatasetError, some


def read_list(
    path: Path, *, columns: Sequence[str], delimiter: str = "\t", optional: int = 0, comment: str = ""
) -> list[dict[str, str]]:
    """The lines of a list without header as {column: text}, stripped; the last `optional` columns may lack.

    Blank lines are left out, and lines that begin with `comment` above the first row, or with it and a space.
    With a comma, fields may be quoted after a space. Raises DatasetError naming the file, the lines with too
    few or too many fields, and cells that a spreadsheet put in the place of an id.
    """
    if not path.is_file():
        raise DatasetError(f"{path} is missing; unpack the official files so that it is there")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        kept = _rows(text, comment)
        reader = csv.reader(
            io.StringIO("\n".join(kept), newline=""),
            delimiter=delimiter,
            quoting=csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL,
            skipinitialspace=True,
        )
        lines = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} does not read as a utf-8-sig list ({error}); unpack it again") from error
    if not lines:
        raise DatasetError(f"{path} is empty; unpack it again")
    fewest = len(columns) - optional
    if ragged := [i for i, line in enumerate(lines, 1) if not fewest <= len(line) <= len(columns)]:
        wanted = f"{fewest} to {len(columns)}" if optional else str(len(columns))
        raise DatasetError(
            f"{path}: {len(ragged)} rows do not have {wanted} fields (row {some(ragged)}); unpack it again"
        )
    refuse_spreadsheet_errors(lines, where=path)
    return [dict(zip(columns, (cell.strip() for cell in line), strict=False)) for line in lines]


def read_json(path: Path) -> Any:
    """The content of an official JSON file; of JSON lines, as `datasets` writes them, the list of all.

    Raises DatasetError where it is missing or is neither.
    """
    if not path.is_file():
        raise DatasetError(f"{path} is missing; unpack the official files so that it is there")
    try:
        return parse_json(path.read_bytes())
    except JsonTextError as error:
        raise DatasetError(f"{path} does not read as JSON ({error}); unpack it again") from error


def _rows(text: str, comment: str) -> list[str]:
    rows: list[str] = []
    for line in re.split(r"\r\n|\r|\n", text):
        plain = line.lstrip('"')  # a spreadsheet quotes a comment with commas
        is_comment = comment and plain.startswith(comment) and (plain[1:2] in ("", " ") or not rows)
        if line.strip() and (not is_comment or plain.split(",")[0].strip().strip('"') in SHEET_ERRORS):
            rows.append(line)
    return rows


def one_of(split: str, splits: Sequence[str], *, name: str) -> None:
    """Raise DatasetError for a split that the data set does not have."""
    if split not in splits:
        raise DatasetError(f"{name} has the splits {', '.join(splits)}, not {split!r}")

"""Reading official lists that are no plain CSV with a header: tab-separated, commented, or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.data.problems import DatasetError, some


def read_list(
    path: Path, *, columns: Sequence[str], delimiter: str = "\t", optional: int = 0, comment: str = ""
) -> list[dict[str, str]]:
    """The lines of a list without header as {column: text}, stripped; the last `optional` columns may lack.

    Blank lines and those that begin with `comment` are left out; with a comma, fields may be quoted after a
    space. Raises DatasetError naming the file and the lines with too few or too many fields.
    """
    if not path.is_file():
        raise DatasetError(f"{path} is missing; unpack the official files so that it is there")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        kept = [
            line for line in text.splitlines() if line.strip() and not (comment and line.startswith(comment))
        ]
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
    return [dict(zip(columns, (cell.strip() for cell in line), strict=False)) for line in lines]


def read_json(path: Path) -> Any:
    """The content of an official JSON file. Raises DatasetError where it is missing or is not JSON."""
    if not path.is_file():
        raise DatasetError(f"{path} is missing; unpack the official files so that it is there")
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DatasetError(f"{path} does not read as JSON ({error}); unpack it again") from error


def one_of(split: str, splits: Sequence[str], *, name: str) -> None:
    """Raise DatasetError for a split that the data set does not have."""
    if split not in splits:
        raise DatasetError(f"{name} has the splits {', '.join(splits)}, not {split!r}")

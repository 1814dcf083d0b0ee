"""A paper as data: its tables with rows and columns (paper.yaml), every number it printed (reported.csv)."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from core.run.strict_yaml import ConfigError, check, is_key, nearest, read

T = TypeVar("T")
Status = Literal["built", "planned"]
REPORTED_HEADER = ("table", "row", "column", "value", "source", "std")


class PaperError(ConfigError):
    """paper.yaml, claims.yaml or reported.csv is wrong; the message names the file and the key or line."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table; `average_of` names columns beside it: its cells are computed, never quoted.

    `group` is the heading under which pages print it: one table a group. `average_of` may be the name of
    one of the table's `groups` in paper.yaml.
    """

    label: str
    unit: str = "%"
    higher_is_better: bool = True
    decimals: int = 1
    average_of: tuple[str, ...] = ()
    not_run: str | None = None  # the reason printed where a row that ran has no number in this column
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table and where its numbers come from here.

    `model` names the model of rows.yaml that it shows and `condition` what that is asked under ("" where
    models are asked in one way); `derived` says how it is computed without a model, `not_run` is the reason
    printed wherever a profile has no number for it. `size` is that of the paper's model ("7B"): it is shown
    beside the paper's numbers alone, since ours may be of another.
    """

    label: str
    group: str = ""
    model: str | None = None
    condition: str = ""
    derived: str | None = None
    not_run: str | None = None
    size: str = ""

    @property
    def sized_label(self) -> str:
        """The label with the size of the paper's model."""
        return f"{self.label} ({self.size})" if self.size else self.label


@dataclass(frozen=True, kw_only=True)
class Table:
    title: str
    columns: Mapping[str, Column]
    rows: Mapping[str, Row]
    note: str = ""
    cells_from: str | None = None
    """Another table of the paper whose results fill this one too (the same numbers printed twice)."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Named lists of columns, for `average_of` and for claims."""

    def __post_init__(self) -> None:
        if not self.columns or not self.rows:
            raise ValueError("a table needs at least one row and one column")
        _check_names("columns", self.columns)
        _check_names("rows", self.rows)
        for name, members in self.groups.items():
            if not members or len(set(members)) < len(members):
                raise ValueError(f"groups.{name}: expected a list of columns, at least one, none twice")
            for member in members:
                if member not in self.columns:
                    raise ValueError(f"groups.{name}: no column '{member}'{nearest(member, self.columns)}")
            if name in self.columns:
                raise ValueError(f"groups.{name}: a column has that name too; give the group another")
        plain = [name for name, column in self.columns.items() if not column.average_of]
        for name, column in self.columns.items():
            for part in column.average_of:
                if part not in plain:
                    raise ValueError(
                        f"columns.{name}: average_of names '{part}', which is no column with numbers "
                        f"of its own{nearest(part, plain)}"
                    )


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What paper.yaml says."""

    title: str
    name: str
    venue: str
    year: int
    url: str
    licence: str
    status: Status
    tables: Mapping[str, Table]
    data: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        _check_names("tables", self.tables)
        for name, table in self.tables.items():
            of = table.cells_from
            if of is not None and (of not in self.tables or of == name):
                others = [other for other in self.tables if other != name]
                raise ValueError(
                    f"tables.{name}: cells_from is '{of}', not another table{nearest(of, others)}"
                )
            for key, row in table.rows.items():
                if self.status == "built" and row.model is row.derived is row.not_run is None:
                    raise ValueError(
                        f"tables.{name}.rows.{key} says neither `model`, `derived` nor `not_run`: "
                        "name the model that it shows, or give the reason why nothing does"
                    )


@dataclass(frozen=True, kw_only=True)
class Paper(Sheet):
    """A paper.yaml and the name of the folder that it stands in, `key`."""

    key: str


@dataclass(frozen=True, kw_only=True)
class Reported:
    """One number as printed: `value`, its digits `text`, and `std`, the paper's own ± where it has one."""

    table: str
    row: str
    column: str
    value: float
    text: str
    source: str
    std: float | None = None


def read_paper(folder: Path) -> Paper:
    """Read and check `folder`/paper.yaml. Raises FileNotFoundError or PaperError."""
    path = folder / "paper.yaml"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: a paper folder needs a paper.yaml that names its tables "
            "(`nox -s new_project -- NAME` writes one)"
        )
    return parse_paper(load_yaml(path), key=folder.name, where=str(path))


def parse_paper(raw: object, *, key: str, where: str) -> Paper:
    """Build a Paper from parsed YAML; `where` starts error messages. Raises PaperError."""
    return Paper(key=key, **vars(checked(Sheet, _with_groups(raw, where=where), where=where)))


def models_of(paper: Paper, *tables: str) -> dict[str, str]:
    """Row -> "model" or "model/condition", of the tables named (default: all), for the rows that show a
    model.

    Raises PaperError where a row of one name shows another model in another table.
    """
    found: dict[str, str] = {}
    for name in tables or tuple(paper.tables):
        for key, row in paper.tables[name].rows.items():
            if row.model is not None:
                place = f"{row.model}/{row.condition}" if row.condition else row.model
                if found.setdefault(key, place) != place:
                    raise PaperError(f"tables.{name}.rows.{key} shows {place}, in another table {found[key]}")
    return found


def read_reported(folder: Path, *, paper: Paper) -> tuple[Reported, ...]:
    """Read `folder`/reported.csv (table,row,column,value,source[,std]) and check it against `paper`.

    Raises FileNotFoundError, or PaperError naming the line of an unknown table, row or column, a value that
    is not a finite number, an empty source, or a number given twice.
    """
    path = folder / "reported.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: give it the header {','.join(REPORTED_HEADER)}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # a spreadsheet marks the bytes
            return _reported_rows(csv.DictReader(file, strict=True), paper=paper, path=path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise PaperError(f"{path} does not read as CSV in UTF-8; save it as that ({error})") from error


def load_yaml(path: Path) -> object:
    """Parse YAML as `core.run.strict_yaml.read` does. Raises PaperError."""
    try:
        return read(path)
    except ConfigError as error:
        raise PaperError(str(error)) from error


def checked(schema: type[T], raw: object, *, where: str) -> T:
    """Fill a dataclass as `core.run.strict_yaml.check` does. Raises PaperError, which lists every mistake."""
    try:
        return check(schema, raw, where=where)
    except ConfigError as error:
        raise PaperError(str(error)) from error


def named_columns(raw: object, groups: Mapping[str, Sequence[str]], *, where: str) -> object:
    """The columns of a named group where `raw` is a name; anything else as it is. Raises PaperError."""
    if not isinstance(raw, str):
        return raw
    if raw not in groups:
        raise PaperError(
            f"{where}: expected a list of strings or the name of a group of columns, found {raw!r}"
            f"{nearest(raw, groups)}"
        )
    return list(groups[raw])


def _with_rows(table: Any, tables: Mapping[str, Any], *, where: str) -> Any:
    """A table as parsed, with the rows that `rows_from` takes from another: all that show a model."""
    if not isinstance(table, Mapping) or "rows_from" not in table:
        return table
    of = tables.get(str(table["rows_from"]))
    rows = of.get("rows") if isinstance(of, Mapping) else None
    if not isinstance(rows, Mapping) or "rows" in table:
        why = (
            "it has rows of its own"
            if "rows" in table
            else f"no table with rows{nearest(str(table['rows_from']), tables)}"
        )
        raise PaperError(f"{where}.rows_from: {why}")
    kept = {key: row for key, row in rows.items() if isinstance(row, Mapping) and "model" in row}
    return {**{key: value for key, value in table.items() if key != "rows_from"}, "rows": kept}


def _with_groups(raw: Any, *, where: str) -> Any:
    """paper.yaml as parsed, with the groups of columns that `average_of` names written out. Raises
    PaperError."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("tables"), Mapping):
        return raw  # `checked` says what is wrong
    tables: dict[str, object] = {}
    for key, table in raw["tables"].items():
        table = _with_rows(table, raw["tables"], where=f"{where}: tables.{key}")
        tables[key] = table
        columns = table.get("columns") if isinstance(table, Mapping) else None
        groups = table.get("groups", {}) if isinstance(table, Mapping) else None
        if isinstance(columns, Mapping) and isinstance(groups, Mapping):
            at = f"{where}: tables.{key}"
            written = {
                name: {
                    **one,
                    "average_of": named_columns(
                        one["average_of"], groups, where=f"{at}.columns.{name}.average_of"
                    ),
                }
                if isinstance(one, dict) and "average_of" in one
                else one
                for name, one in columns.items()
            }
            tables[key] = {**dict(table), "columns": written}
    return {**raw, "tables": tables}


def _reported_rows(reader: csv.DictReader[str], *, paper: Paper, path: Path) -> tuple[Reported, ...]:
    header = tuple(reader.fieldnames or ())
    if header not in (REPORTED_HEADER, REPORTED_HEADER[:-1]):
        raise PaperError(
            f"{path}, line 1: header is {','.join(header)}; it must be {','.join(REPORTED_HEADER)}"
        )
    seen: dict[tuple[str, str, str], int] = {}
    out: list[Reported] = []
    for record in reader:
        line = f"{path}, line {reader.line_num}"
        if None in record or None in record.values():
            raise PaperError(f"{line}: expected {len(header)} fields; quote a source that holds a comma")
        item = _reported(record, paper=paper, line=line)
        cell = (item.table, item.row, item.column)
        if cell in seen:
            raise PaperError(f"{line}: {'/'.join(cell)} was already given on line {seen[cell]}; keep one")
        seen[cell] = reader.line_num
        out.append(item)
    return tuple(out)


def _reported(record: Mapping[str, str], *, paper: Paper, line: str) -> Reported:
    table_key, row, column = record["table"], record["row"], record["column"]
    if table_key not in paper.tables:
        raise PaperError(f"{line}: unknown table {table_key!r}{nearest(table_key, paper.tables)}")
    table = paper.tables[table_key]
    if row not in table.rows:
        raise PaperError(f"{line}: table {table_key} has no row {row!r}{nearest(row, table.rows)}")
    if column not in table.columns:
        raise PaperError(
            f"{line}: table {table_key} has no column {column!r}{nearest(column, table.columns)}"
        )
    if not record["source"].strip():
        raise PaperError(f"{line}: the source is empty; say where the number is printed")
    std = record.get("std", "")
    return Reported(
        table=table_key,
        row=row,
        column=column,
        value=_number(record["value"], f"{line}: value"),
        text=record["value"].strip(),
        source=record["source"].strip(),
        std=_number(std, f"{line}: std") if std else None,
    )


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise PaperError(f"{where} {text!r} is not a number; leave out a cell that the paper leaves empty")
    return value


def _check_names(what: str, names: Iterable[str]) -> None:
    for name in names:
        if not is_key(name):
            raise ValueError(f"{what}: '{name}' cannot be a key; use lower-case letters, digits and _")

"""A paper as data: its tables with rows and columns (paper.yaml), every number it printed (reported.csv)."""

from __future__ import annotations

import csv
import difflib
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

Status = Literal["built", "planned"]
REPORTED_HEADER = ("table", "row", "column", "value", "source", "std")
_KEY = re.compile(r"[a-z][a-z0-9_]*")


class PaperError(ValueError):
    """paper.yaml or reported.csv is wrong; the message names the file and the key or the line."""


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

    `variant` names the variant of our stages that fills it, `derived` says how it is computed without a
    model, `not_run` is the reason printed wherever a profile has no number for it. `size` is that of the
    paper's model ("7B"): it is shown beside the paper's numbers alone, since ours may be of another.
    """

    label: str
    group: str = ""
    variant: str | None = None
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


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What paper.yaml says; `key` is the name of the paper's folder."""

    key: str
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
    """Build a Paper from parsed YAML; `where` starts error messages. Unknown and missing keys are errors."""
    values = check_keys(raw, Paper, where=where, leave_out=("key",))
    tables = _mapping(values.pop("tables"), f"{where}: tables")
    paper = Paper(
        key=key,
        tables={_key(name, where): _table(t, where=f"{where}: tables.{name}") for name, t in tables.items()},
        **values,
    )
    for name, table in paper.tables.items():
        if table.cells_from is not None and (
            table.cells_from not in paper.tables or table.cells_from == name
        ):
            raise PaperError(
                f"{where}: tables.{name}: cells_from is {table.cells_from!r}, not another table"
                f"{nearest(table.cells_from, paper.tables)}"
            )
        if paper.status == "built":
            for row_key, row in table.rows.items():
                if row.variant is None and row.derived is None and row.not_run is None:
                    raise PaperError(
                        f"{where}: tables.{name}.rows.{row_key} says neither `variant`, `derived` nor "
                        "`not_run`: name the variant that fills it, or give the reason why nothing does"
                    )
    return paper


def read_reported(folder: Path, *, paper: Paper) -> tuple[Reported, ...]:
    """Read `folder`/reported.csv (table,row,column,value,source[,std]) and check it against `paper`.

    Raises FileNotFoundError, or PaperError naming the line of an unknown table, row or column, a value that
    is not a finite number, an empty source, or a number given twice.
    """
    path = folder / "reported.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: give it the header {','.join(REPORTED_HEADER)}")
    seen: dict[tuple[str, str, str], int] = {}
    out: list[Reported] = []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        header = tuple(reader.fieldnames or ())
        if header not in (REPORTED_HEADER, REPORTED_HEADER[:-1]):
            raise PaperError(
                f"{path}, line 1: header is {','.join(header)}; it must be {','.join(REPORTED_HEADER)}"
            )
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


def load_yaml(path: Path) -> object:
    """Parse YAML; a key given twice is an error (PyYAML would silently keep the last one)."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise PaperError(f"{path} is not valid YAML: {error}") from error


def check_keys(
    raw: object, schema: type[Any], *, where: str, leave_out: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Check a YAML mapping against a dataclass: unknown, missing and mistyped keys are PaperErrors.

    Checks scalars, optional scalars, literals and lists of strings (which come back as tuples); mappings and
    nested dataclasses are left to the caller.
    """
    given = _mapping(raw, where)
    known = {f.name: f for f in fields(schema) if f.name not in leave_out}
    hints = get_type_hints(schema)
    for name in given:
        if name not in known:
            raise PaperError(f"{where}: unknown key {name!r}{nearest(str(name), known)}")
    values = dict(given)
    for name, spec in known.items():
        if name not in values:
            if spec.default is MISSING and spec.default_factory is MISSING:
                raise PaperError(f"{where}: key {name!r} is missing")
            continue
        values[name] = _typed(values[name], hints[name], where=f"{where}: {name}")
    return values


def nearest(word: str, known: Mapping[str, Any]) -> str:
    """The end of an error message: the closest known word, or all of them."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known) or 'none'}"


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


def _with_groups(raw: object, *, where: str) -> object:
    """A table's raw mapping with the groups that `average_of` names written out. Raises PaperError."""
    if not isinstance(raw, Mapping):
        return raw
    columns = _mapping(raw.get("columns", {}), f"{where}.columns")
    groups = _mapping(raw.get("groups", {}), f"{where}.groups")
    for name, members in groups.items():
        at = f"{where}.groups.{_key(name, where)}"
        if not isinstance(members, list) or not members or len(set(map(str, members))) < len(members):
            raise PaperError(f"{at}: expected a list of columns, at least one, none twice, found {members!r}")
        for member in members:
            if member not in columns:
                raise PaperError(f"{at}: no column {member!r}{nearest(str(member), columns)}")
        if name in columns:
            raise PaperError(f"{at}: a column has that name too; give the group another")
    written = {
        key: {
            **column,
            "average_of": named_columns(
                column["average_of"], groups, where=f"{where}.columns.{key}: average_of"
            ),
        }
        if isinstance(column, Mapping) and "average_of" in column
        else column
        for key, column in columns.items()
    }
    return {**raw, "columns": written, "groups": {name: tuple(members) for name, members in groups.items()}}


def _table(raw: object, *, where: str) -> Table:
    values = check_keys(_with_groups(raw, where=where), Table, where=where)
    columns = {
        _key(k, where): Column(**check_keys(c, Column, where=f"{where}.columns.{k}"))
        for k, c in _mapping(values.pop("columns"), f"{where}.columns").items()
    }
    rows = {
        _key(k, where): Row(**check_keys(r, Row, where=f"{where}.rows.{k}"))
        for k, r in _mapping(values.pop("rows"), f"{where}.rows").items()
    }
    if not columns or not rows:
        raise PaperError(f"{where}: a table needs at least one row and one column")
    for name, column in columns.items():
        for part in column.average_of:
            if part not in columns or columns[part].average_of:
                plain = {k: c for k, c in columns.items() if not c.average_of}
                raise PaperError(
                    f"{where}.columns.{name}: average_of names {part!r}, which is no column with numbers "
                    f"of its own{nearest(part, plain)}"
                )
    return Table(columns=columns, rows=rows, **values)


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


def _mapping(raw: object, where: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        raise PaperError(f"{where}: expected a mapping, found {type(raw).__name__}")
    return raw


def _key(name: object, where: str) -> str:
    if not isinstance(name, str) or not _KEY.fullmatch(name):
        raise PaperError(f"{where}: {name!r} cannot be a key; use lower-case letters, digits and _")
    return name


def _typed(value: Any, hint: Any, *, where: str) -> Any:
    """`value` as the field's type, or PaperError; mappings and nested dataclasses are left to the caller."""
    if get_origin(hint) is UnionType:
        if value is None:
            return None
        hint = get_args(hint)[0]
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise PaperError(f"{where} is {value!r}; it must be one of {', '.join(get_args(hint))}")
        return value
    if hint == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise PaperError(
                f"{where}: expected a list of strings, found {value!r}; quote numbers and yes/no"
            )
        return tuple(value)
    if hint not in (str, int, float, bool):
        return value
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:  # not isinstance: True is no number
        raise PaperError(
            f"{where}: expected {hint.__name__}, found {value!r}; quote text that looks like something else"
        )
    return value


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

"""Cells: the numbers that score stages write to results/<profile>/<table>.json, item scores beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.run.files import write_text_atomic

PROFILES = ("mini", "recorded", "paper")
SCALES = ("mini", "recorded", "wheels", "paper")  # with the optional one, shown only where it was run
_BINARY_DIGITS = {0.0: "0", 1.0: "1"}


class CellError(ValueError):
    """A results file, or a cell about to be written, is not what the contract says; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number of ours. `low` and `high` bound its 95 % interval, `seeds` holds the value of each seed.

    `n` counts the independent units behind it (instances, clips); `protocol` says how it was measured.
    """

    row: str
    column: str
    value: float
    low: float
    high: float
    n: int
    seeds: tuple[float, ...]
    scale: str
    protocol: str
    unit: str = "%"


@dataclass(frozen=True, kw_only=True)
class Items:
    """What averages and paired tests need of one cell: what each item scored, and which item it is.

    scores: one (n,) array per seed. Kind "items": scores whose mean (times 100 for %) is the cell. Kind
    "contributions": the same of a metric that is no mean (see core.metrics.jackknife), one a unit.
    ids: (n,) of the items, distinct; rows are paired by them.
    units: (n,) what is independent of each other and resampled: the clip that three questions are about,
    under one name ("<set>:<clip>") in all cells that it is behind. Empty where every item is its own unit.
    dataset: what was scored. "mmau/easy" and "mmau/hard" are parts of one exam: they can be compared.
    """

    row: str
    column: str
    dataset: str
    scores: tuple[np.ndarray, ...]
    ids: tuple[str, ...]
    units: tuple[str, ...] = ()
    kind: Literal["items", "contributions"] = "items"

    @property
    def exam(self) -> str:
        """The data set without its part."""
        return self.dataset.partition("/")[0]

    @property
    def resampled(self) -> tuple[str, ...]:
        """(n,) the unit of each item."""
        return self.units or tuple(f"{self.exam}:{name}" for name in self.ids)


def write_cells(folder: Path, table: str, cells: Iterable[Cell], items: Iterable[Items] = ()) -> None:
    """Write `folder`/`table`.json and `folder`/`table`.items.json, each replaced in one step.

    Raises CellError for a duplicate, a number that is not finite, a value outside its own interval, an
    unknown scale, or items that do not belong to their cell (unknown cell, other count, other mean), and
    writes nothing then.
    """
    known: dict[tuple[str, str], Cell] = {}
    for cell in cells:
        _check_cell(cell, where=f"{table}/{cell.row}/{cell.column}")
        if outside(cell):
            raise CellError(
                f"{table}/{cell.row}/{cell.column}: {cell.value} lies outside its own interval "
                f"{cell.low}..{cell.high}; the interval is biased, use one of core.report.scoring's"
            )
        if (cell.row, cell.column) in known:
            raise CellError(f"{table}/{cell.row}/{cell.column} is given twice")
        known[cell.row, cell.column] = cell
    scored: set[tuple[str, str]] = set()
    sets: dict[tuple[tuple[str, ...], tuple[str, ...]], int] = {}
    item_rows: list[dict[str, Any]] = []
    for item in items:
        where = f"{table}/{item.row}/{item.column}"
        if (item.row, item.column) in scored:
            raise CellError(f"{where}: items are given twice")
        scored.add((item.row, item.column))
        _check_items(item, known.get((item.row, item.column)), where=where)
        item_rows.append(
            {
                "row": item.row,
                "column": item.column,
                "dataset": item.dataset,
                "kind": item.kind,
                "set": sets.setdefault((item.ids, item.units), len(sets)),
                "scores": [_encode(s) for s in item.scores],
            }
        )
    nested: dict[str, dict[str, dict[str, Any]]] = {}
    for cell in known.values():
        values = {name: _plain(value) for name, value in asdict(cell).items()}
        nested.setdefault(values.pop("row"), {})[values.pop("column")] = values
    named = [{"ids": ids, "units": units} for ids, units in sets]
    text = f'{{"sets": {_lines(named)}, "items": {_lines(item_rows)}}}\n'
    write_text_atomic(folder / f"{table}.items.json", text)
    write_text_atomic(folder / f"{table}.json", json.dumps(nested, indent=1, ensure_ascii=False) + "\n")


def read_cells(folder: Path, table: str) -> dict[tuple[str, str], Cell]:
    """Read `folder`/`table`.json as {(row, column): Cell}. Raises FileNotFoundError or CellError."""
    path = folder / f"{table}.json"
    raw = _read_json(path)
    if not isinstance(raw, dict):
        raise CellError(f"{path}: expected an object of rows, found {type(raw).__name__}")
    wanted = {f.name for f in fields(Cell)} - {"row", "column"}
    out: dict[tuple[str, str], Cell] = {}
    for row, columns in raw.items():
        for column, values in columns.items():
            where = f"{path}: {row}/{column}"
            if not isinstance(values, dict) or set(values) != wanted:
                raise CellError(
                    f"{where}: expected the keys {', '.join(sorted(wanted))}; run the score stage again"
                )
            cell = Cell(row=row, column=column, **{**values, "seeds": tuple(values["seeds"])})
            _check_cell(cell, where=where)
            out[row, column] = cell
    return out


def read_items(folder: Path, table: str) -> dict[tuple[str, str], Items]:
    """Read `folder`/`table`.items.json as {(row, column): Items}; empty where the file does not exist."""
    path = folder / f"{table}.items.json"
    if not path.exists():
        return {}
    raw = _read_json(path)
    if not isinstance(raw, dict) or set(raw) != {"sets", "items"}:
        raise CellError(f"{path}: expected sets of ids and items of cells; run the score stage again")
    out: dict[tuple[str, str], Items] = {}
    for number, entry in enumerate(raw["items"]):
        try:
            values = dict(entry)
            named = raw["sets"][values.pop("set")]
            values |= {key: tuple(named[key]) for key in ("ids", "units")}
            item = Items(**{**values, "scores": tuple(_decode(s) for s in values["scores"])})
            if any(len(s) != len(item.ids) for s in item.scores):
                raise ValueError(f"{len(item.ids)} ids")
        except (AttributeError, TypeError, KeyError, IndexError, ValueError) as error:
            raise CellError(
                f"{path}: entry {number} is not an items record ({error}); run the score stage again"
            ) from None
        out[item.row, item.column] = item
    return out


def outside(cell: Cell) -> bool:
    """Whether a value lies outside its own interval, by more than the files' last digit."""
    return not cell.low - 2e-6 <= cell.value <= cell.high + 2e-6


def _read_json(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; run the score stage of this profile first")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise CellError(f"{path} is not valid JSON ({error}); run the score stage again") from error


def _check_cell(cell: Cell, *, where: str) -> None:
    numbers = {"value": cell.value, "low": cell.low, "high": cell.high}
    for name, number in [*numbers.items(), *((f"seeds[{i}]", s) for i, s in enumerate(cell.seeds))]:
        if not _is_number(number) or not math.isfinite(number):
            raise CellError(f"{where}: {name} is {number!r}, not a finite number")
    if cell.low > cell.high:
        raise CellError(f"{where}: the interval {cell.low}..{cell.high} is upside down")
    if not _is_number(cell.n) or cell.n != int(cell.n) or cell.n < 1:
        raise CellError(f"{where}: n is {cell.n!r}; a cell needs at least one item")
    if cell.scale not in SCALES:
        raise CellError(f"{where}: scale is {cell.scale!r}; it must be one of {', '.join(SCALES)}")
    if not cell.protocol:
        raise CellError(f"{where}: the protocol is empty; say how the cell was measured")


def _check_items(items: Items, cell: Cell | None, *, where: str) -> None:
    if cell is None:
        raise CellError(f"{where}: items are given for a cell that is not")
    if items.kind not in ("items", "contributions"):
        raise CellError(f"{where}: kind of items is {items.kind!r}; it must be 'items' or 'contributions'")
    if not items.scores or any(s.ndim != 1 or not np.isfinite(s).all() for s in items.scores):
        raise CellError(f"{where}: items need one flat array of finite scores per seed")
    if {len(s) for s in items.scores} != {len(items.ids)}:
        raise CellError(f"{where}: the seeds have other numbers of scores than there are ids")
    if len(set(items.ids)) < len(items.ids):
        raise CellError(f"{where}: an id stands twice among its items")
    if items.units and (len(items.units) != len(items.ids) or not all(items.units)):
        raise CellError(f"{where}: units must be one an item, each with a name")
    if len(set(items.resampled)) != cell.n:
        raise CellError(
            f"{where}: scores of {len(set(items.resampled))} units for a cell of n = {cell.n} units"
        )
    mean = float(np.mean([s.mean() for s in items.scores])) * (100 if cell.unit == "%" else 1)
    if abs(mean - cell.value) > 0.01:
        raise CellError(f"{where}: the items average {mean:.3f} but the cell says {cell.value:.3f}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    """Plain JSON types; six decimals, so that no machine's last bit shows as a changed file."""
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Integral):
        return int(value)
    return round(float(value), 6) if isinstance(value, Real) else value


def _encode(scores: np.ndarray) -> str | list[float]:
    values = np.asarray(scores, dtype=np.float64)
    if np.isin(values, (0.0, 1.0)).all():
        return "".join(_BINARY_DIGITS[v] for v in values.tolist())
    return [float(f"{v:.4g}") for v in values.tolist()]


def _lines(entries: Sequence[dict[str, Any]]) -> str:
    """A JSON list with a line an entry, so that a changed cell is a changed line."""
    lines = ",\n".join("  " + json.dumps(entry, ensure_ascii=False) for entry in entries)
    return f"[\n{lines}\n]" if lines else "[]"


def _decode(scores: str | Sequence[float]) -> np.ndarray:
    if isinstance(scores, str):
        if set(scores) - {"0", "1"}:
            raise ValueError("a string of scores holds something else than 0 and 1")
        return np.frombuffer(scores.encode(), dtype=np.uint8).astype(np.float64) - ord("0")
    return np.asarray(scores, dtype=np.float64)

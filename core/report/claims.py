"""A paper's claims as comparisons between cells (claims.yaml), tested on the items that both sides share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.metrics.jackknife import Effect
from core.report.cells import Cell, Items
from core.report.pairing import Term, common_items, spread_of
from core.report.paper import Paper, PaperError, Reported, checked, load_yaml, named_columns
from core.run.strict_yaml import nearest

Kind = Literal["greater", "not_worse", "equivalent"]
Verdict = Literal["holds", "does not hold", "undecided", "not tested"]
Key = tuple[str, str]
MIN_UNITS = 10  # items (clips) of the smallest set; with fewer no claim is tested


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a comparison: the mean of a row's `columns`; claims.yaml may name a group of them."""

    row: str
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """left minus right, in the columns' unit, with its 95 % interval (low, high).

    greater:    holds if low > 0, does not hold if high <= 0;
    not_worse:  holds if low > -margin, does not hold if high <= -margin (non-inferiority);
    equivalent: holds if -margin < low and high < margin, does not hold if the interval lies outside.
    Everything else is undecided. `margin` is stated in claims.yaml before any run, `why_margin` says where it
    is from.
    """

    id: str
    text: str
    source: str
    table: str
    kind: Kind
    left: Side
    right: Side
    margin: float = 0.0
    why_margin: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`agree` of the `seeds` point the claim's way; None where the sides have different numbers of seeds."""

    claim: Claim
    verdict: Verdict
    effect: Effect | None = None
    n: int = 0
    agree: int | None = None
    seeds: int = 0
    reason: str = ""


def read_claims(folder: Path, *, paper: Paper) -> tuple[Claim, ...]:
    """Read `folder`/claims.yaml; no file means no claims. Raises PaperError naming the claim and the key."""
    path = folder / "claims.yaml"
    if not path.is_file():
        return ()
    raw = load_yaml(path)
    if not isinstance(raw, list):
        raise PaperError(f"{path}: expected a list of claims, found {type(raw).__name__}")
    claims: dict[str, Claim] = {}
    problems = []
    for number, entry in enumerate(raw, 1):
        name = entry.get("id", "no id") if isinstance(entry, dict) else "no id"
        try:
            claim = _claim(entry, paper=paper, where=f"{path}: claim {number} ({name})")
        except PaperError as error:
            problems.append(str(error))
            continue
        if claim.id in claims:
            problems.append(f"{path}: the id '{claim.id}' is given twice")
        claims[claim.id] = claim
    if problems:
        raise PaperError("\n".join(problems))
    return tuple(claims.values())


def check_claim(claim: Claim, *, cells: Mapping[Key, Cell], items: Mapping[Key, Items]) -> Outcome:
    """Test one claim on the cells and items of one profile's results of `claim.table`.

    The interval is Student's t over what each unit contributes to the effect (core.report.pairing), which
    allows for events that so few units would not show; below MIN_UNITS units in a set nothing is tested.
    """
    parts: list[_Part] = []
    for left, right in zip(claim.left.columns, claim.right.columns, strict=True):
        part = _difference((claim.left.row, left), (claim.right.row, right), cells=cells, items=items)
        if isinstance(part, str):
            return Outcome(claim=claim, verdict="not tested", reason=part)
        parts.append(part)
    point = sum(part.effect for part in parts) / len(parts)
    spread = spread_of(
        [
            Term(weight=term.weight / len(parts), cell=term.cell, items=term.items)
            for part in parts
            for term in part.terms
        ]
    )
    if spread is None or spread.n < MIN_UNITS:
        n = 1 if spread is None else spread.n
        return Outcome(
            claim=claim,
            verdict="not tested",
            n=n,
            reason=f"too few items: {n} in the smallest set, fewer than {MIN_UNITS}",
        )
    low, high = point - spread.half_width, point + spread.half_width
    distance = point
    if claim.kind == "not_worse":
        distance = point + claim.margin
    elif claim.kind == "equivalent":
        distance = claim.margin - abs(point)
    by_seed = _mean_by_seed([part.by_seed for part in parts])
    return Outcome(
        claim=claim,
        verdict=verdict(claim, low, high),
        effect=Effect(effect=point, low=low, high=high, p=spread.p(distance)),
        n=spread.n,
        agree=sum(_points_right(claim, one) for one in by_seed) if by_seed else None,
        seeds=len(by_seed),
        reason="; ".join(dict.fromkeys(part.note for part in parts if part.note)),
    )


def verdict(claim: Claim, low: float, high: float) -> Verdict:
    """What an interval says about a claim (see Claim)."""
    floor = -claim.margin if claim.kind != "greater" else 0.0
    if claim.kind == "equivalent":
        if floor < low and high < claim.margin:
            return "holds"
        return "does not hold" if high <= floor or low >= claim.margin else "undecided"
    if low > floor:
        return "holds"
    return "does not hold" if high <= floor else "undecided"


def printed_effect(claim: Claim, reported: Mapping[tuple[str, str, str], Reported]) -> float | None:
    """The same difference between the paper's own numbers, None where one is not printed."""
    out = []
    for left, right in zip(claim.left.columns, claim.right.columns, strict=True):
        a = reported.get((claim.table, claim.left.row, left))
        b = reported.get((claim.table, claim.right.row, right))
        if a is None or b is None:
            return None
        out.append(a.value - b.value)
    return sum(out) / len(out)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One column's difference, its two terms (weights 1 and -1), and what must be said of them."""

    effect: float
    terms: tuple[Term, Term]
    by_seed: tuple[float, ...]
    note: str = ""


def _difference(
    left: Key, right: Key, *, cells: Mapping[Key, Cell], items: Mapping[Key, Items]
) -> _Part | str:
    """left minus right of one column, or the reason why it cannot be tested."""
    both = f"{'/'.join(left)} and {'/'.join(right)}"
    for key in (left, right):
        if key not in cells:
            return f"{'/'.join(key)} has no number in this profile"
        constant = cells[key].low == cells[key].high == cells[key].value
        if key not in items and not constant:
            return f"{'/'.join(key)} has no item scores beside its number; run its score stage again"
    a, b = items.get(left), items.get(right)
    if a is None and b is None:
        return f"neither {'/'.join(left)} nor {'/'.join(right)} has item scores"
    if cells[left].unit != cells[right].unit:
        return f"{both} have different units"
    values: tuple[float, ...] = (cells[left].value, cells[right].value)
    seeds = tuple(cells[key].seeds if key in items else (cells[key].value,) for key in (left, right))
    note = ""
    if a is not None and b is not None:
        if a.exam != b.exam:
            return f"{both} were scored on different data ({a.dataset}, {b.dataset})"
        if a.dataset == b.dataset and set(a.ids) != set(b.ids):
            if "contributions" in (a.kind, b.kind):
                return f"{both} were scored on different items of {a.dataset}; score both again on the same"
            sizes = f"{len(a.ids)} and {len(b.ids)}"
            a, b = common_items(a, b)
            if not a.ids:
                return f"{both} share no item of {a.dataset}"
            note = f"{both}: over the {len(a.ids)} items that both have, of {sizes}"
            seeds = tuple(_means(one, cells[left].unit) for one in (a, b))
            values = tuple(sum(one) / len(one) for one in seeds)
    paired = len(seeds[0]) == len(seeds[1]) or a is None or b is None
    longest = max(len(one) for one in seeds)
    first, second = (one * longest if len(one) == 1 else one for one in seeds)
    return _Part(
        effect=values[0] - values[1],
        terms=(Term(weight=1.0, cell=cells[left], items=a), Term(weight=-1.0, cell=cells[right], items=b)),
        by_seed=tuple(x - y for x, y in zip(first, second)) if paired else (),
        note=note,
    )


def _means(items: Items, unit: str) -> tuple[float, ...]:
    """The mean of each seed in the cell's unit."""
    return tuple(float(one.mean()) * (100.0 if unit == "%" else 1.0) for one in items.scores)


def _mean_by_seed(parts: list[tuple[float, ...]]) -> list[float]:
    """Mean over the parts, seed by seed; empty where they have different numbers of seeds."""
    if len({len(part) for part in parts}) != 1:
        return []
    return [sum(one) / len(one) for one in zip(*parts, strict=True)]


def _points_right(claim: Claim, effect: float) -> bool:
    if claim.kind == "equivalent":
        return abs(effect) < claim.margin
    return effect > (-claim.margin if claim.kind == "not_worse" else 0.0)


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    kind: Kind
    left: Side
    right: Side
    margin: float = 0.0
    why_margin: str = ""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A claim as claims.yaml writes it."""

    id: str
    text: str
    source: str
    table: str
    comparison: _Comparison


def _with_columns(raw: object, paper: Paper, *, where: str) -> object:
    """A claim as parsed, with the group of columns that a side names written out. Raises PaperError."""
    sides = raw.get("comparison") if isinstance(raw, Mapping) else None
    table = paper.tables.get(str(raw.get("table"))) if isinstance(raw, Mapping) else None
    if not isinstance(raw, Mapping) or not isinstance(sides, Mapping) or table is None:
        return raw  # `checked` says what is wrong
    written = {
        name: {
            **side,
            "columns": named_columns(side["columns"], table.groups, where=f"{where}: {name}.columns"),
        }
        if isinstance(side, Mapping) and "columns" in side
        else side
        for name, side in sides.items()
    }
    return {**raw, "comparison": written}


def _claim(raw: object, *, paper: Paper, where: str) -> Claim:
    entry = checked(_Entry, _with_columns(raw, paper, where=where), where=where)
    claim = Claim(
        id=entry.id, text=entry.text, source=entry.source, table=entry.table, **vars(entry.comparison)
    )
    if claim.table not in paper.tables:
        raise PaperError(f"{where}: unknown table {claim.table!r}{nearest(claim.table, paper.tables)}")
    table = paper.tables[claim.table]
    for side in (claim.left, claim.right):
        if side.row not in table.rows:
            raise PaperError(
                f"{where}: table {claim.table} has no row {side.row!r}{nearest(side.row, table.rows)}"
            )
        for column in side.columns:
            if column not in table.columns:
                raise PaperError(
                    f"{where}: table {claim.table} has no column {column!r}{nearest(column, table.columns)}"
                )
    if not claim.left.columns or len(claim.left.columns) != len(claim.right.columns):
        raise PaperError(f"{where}: left and right must name the same number of columns, at least one")
    if (claim.margin > 0) != (claim.kind != "greater") or bool(claim.why_margin) != (claim.kind != "greater"):
        raise PaperError(
            f"{where}: kinds not_worse and equivalent need a margin above 0 and a why_margin, "
            "greater takes neither"
        )
    return claim

"""A paper's claims as comparisons between cells (claims.yaml), tested by a paired bootstrap over items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from core.metrics.bootstrap import Effect, bootstrap_means, dataset_seed, effect_of
from core.report.cells import Cell, Items
from core.report.paper import Paper, PaperError, Reported, checked, load_yaml
from core.run.strict_yaml import nearest

Kind = Literal["greater", "not_worse", "equivalent"]
Verdict = Literal["holds", "does not hold", "undecided", "not tested"]
Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a comparison: the mean of a row's `columns`."""

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
    """Test one claim on the cells and items of one profile's results of `claim.table`."""
    parts: list[_Part] = []
    for left, right in zip(claim.left.columns, claim.right.columns, strict=True):
        part = _difference((claim.left.row, left), (claim.right.row, right), cells=cells, items=items)
        if isinstance(part, str):
            return Outcome(claim=claim, verdict="not tested", reason=part)
        parts.append(part)
    if len({len(p.replicates) for p in parts}) != 1:
        return Outcome(
            claim=claim, verdict="not tested", reason="the columns have different numbers of replicates"
        )
    replicates = np.mean([p.replicates for p in parts], axis=0)
    point = float(np.mean([p.effect for p in parts]))
    effect = effect_of(point, replicates)
    if claim.kind == "not_worse":
        effect = _with_p(effect, effect_of(point + claim.margin, replicates + claim.margin).p)
    elif claim.kind == "equivalent":
        sides = (
            effect_of(point + claim.margin, replicates + claim.margin),
            effect_of(claim.margin - point, claim.margin - replicates),
        )
        effect = _with_p(effect, max(side.p for side in sides))
    seeds = {len(p.by_seed) for p in parts}
    by_seed = (
        np.mean([p.by_seed for p in parts], axis=0) if len(seeds) == 1 and 0 not in seeds else np.empty(0)
    )
    return Outcome(
        claim=claim,
        verdict=verdict(claim, effect.low, effect.high),
        effect=effect,
        n=min(p.n for p in parts),
        agree=int(sum(_points_right(claim, float(e)) for e in by_seed)) if len(by_seed) else None,
        seeds=len(by_seed),
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
    effect: float
    replicates: np.ndarray
    by_seed: np.ndarray
    n: int


def _difference(
    left: Key, right: Key, *, cells: Mapping[Key, Cell], items: Mapping[Key, Items]
) -> _Part | str:
    """left minus right of one column, or the reason why it cannot be tested."""
    both = f"{'/'.join(left)} and {'/'.join(right)}"
    for key in (left, right):
        if key not in cells:
            return f"{'/'.join(key)} has no number in this profile"
    constant = {key for key in (left, right) if cells[key].low == cells[key].high == cells[key].value}
    draws: dict[Key, np.ndarray] = {}
    scored = [key for key in (left, right) if key in items]
    for key in (left, right):
        if key not in items and key not in constant:
            return f"{'/'.join(key)} has no item scores beside its number; run its score stage again"
    if not scored:
        return f"neither {'/'.join(left)} nor {'/'.join(right)} has item scores"
    if len({items[key].dataset for key in scored}) > 1:
        return f"{both} were scored on different data ({items[left].dataset}, {items[right].dataset})"
    if len({cells[key].unit for key in (left, right)}) > 1:
        return f"{both} have different units"
    size = {(items[key].kind, len(items[key].scores[0])) for key in scored}
    if len(size) > 1:
        return f"{both} have item scores of different kinds or numbers; score both again"
    for key in (left, right):
        draws[key] = _replicates(items[key], cells[key]) if key in items else np.array(cells[key].value)
    replicates = draws[left] - draws[right]
    a, b = (cells[key].seeds if key in items else (cells[key].value,) for key in (left, right))
    by_seed = np.subtract(a, b) if len(a) == len(b) or len(scored) == 1 else np.empty(0)
    return _Part(
        effect=cells[left].value - cells[right].value,
        replicates=replicates,
        by_seed=by_seed,
        n=min(cells[key].n for key in scored),
    )


def _replicates(items: Items, cell: Cell) -> np.ndarray:
    """Replicates (R,) of a cell in its unit, seeds averaged; a data set is always resampled the same way."""
    mean = np.mean(np.stack(items.scores), axis=0)
    if items.kind == "replicates":
        return mean
    return bootstrap_means(mean, seed=dataset_seed(items.dataset)) * (100.0 if cell.unit == "%" else 1.0)


def _points_right(claim: Claim, effect: float) -> bool:
    if claim.kind == "equivalent":
        return abs(effect) < claim.margin
    return effect > (-claim.margin if claim.kind == "not_worse" else 0.0)


def _with_p(effect: Effect, p: float) -> Effect:
    return Effect(effect=effect.effect, low=effect.low, high=effect.high, p=p)


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


def _claim(raw: object, *, paper: Paper, where: str) -> Claim:
    entry = checked(_Entry, raw, where=where)
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

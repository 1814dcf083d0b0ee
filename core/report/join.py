"""The join of a paper's own numbers with ours, cell by cell, and the status of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.report.cells import PROFILES, SCALES, Cell, CellError, Items
from core.report.pairing import Term, bounds_of, spread_of
from core.report.paper import Paper, Reported, Table

Results = Mapping[str, Mapping[tuple[str, str], Cell]]  # profile -> (row, column) -> cell
Scored = Mapping[str, Mapping[tuple[str, str], Items]]  # the items of the same
Printed = Mapping[tuple[str, str, str], Reported]  # (table, row, column) -> number


@dataclass(frozen=True, kw_only=True)
class Joined:
    """One cell of one table in one profile.

    status: "reproduced" or "differs" at paper scale, "scaled" otherwise, "unreported" where the paper prints
    no number, "not run" (with `reason`) where there is none of ours.
    """

    row: str
    column: str
    profile: str
    reported: Reported | None
    cell: Cell | None
    status: str
    reason: str = ""


def join(
    paper: Paper, table_key: str, *, printed: Printed, results: Results, items: Scored | None = None
) -> list[Joined]:
    """Every cell of a table in every profile, rows and columns in the order of paper.yaml.

    Columns that are averages are computed here, for the paper's numbers and for ours; `items` of the cells
    give their intervals. Raises CellError for a result whose row, column or scale the table does not have.
    """
    table = paper.tables[table_key]
    for profile, cells in results.items():
        for (row, column), cell in cells.items():
            where = (
                f"projects/{paper.key}/results/{profile}/{table.cells_from or table_key}.json: {row}/{column}"
            )
            if cell.scale != profile:
                raise CellError(f"{where}: scale is {cell.scale!r} in the results of profile {profile!r}")
            shared = table.cells_from is not None
            if not shared and (row not in table.rows or column not in table.columns):
                raise CellError(
                    f"{where} is not in paper.yaml; add the row or column to tables.{table_key} there"
                )
            if column in table.columns and table.columns[column].average_of:
                raise CellError(
                    f"{where} is an average, which is computed here; leave it out of the score stage"
                )
    out = []
    for profile in SCALES:
        if profile not in PROFILES and profile not in results:
            continue
        cells = results.get(profile, {})
        for row in table.rows:
            for column, spec in table.columns.items():
                reported = printed.get((table_key, row, column))
                ours = cells.get((row, column))
                if spec.average_of:
                    reported = average_reported(table_key, row, column, table=table, printed=printed)
                    scored = (items or {}).get(profile, {})
                    ours = average_cell(
                        [(cells.get((row, part)), scored.get((row, part))) for part in spec.average_of],
                        column=column,
                    )
                status, reason = _status(
                    paper, table, row, column, profile, reported=reported, cell=ours, ran=bool(cells)
                )
                out.append(
                    Joined(
                        row=row,
                        column=column,
                        profile=profile,
                        reported=reported,
                        cell=ours,
                        status=status,
                        reason=reason,
                    )
                )
    return out


def average_reported(
    table_key: str, row: str, column: str, *, table: Table, printed: Printed
) -> Reported | None:
    """The average of the paper's own cells, recomputed; None unless all of them are printed."""
    parts = [printed.get((table_key, row, part)) for part in table.columns[column].average_of]
    given = [part for part in parts if part is not None]
    if len(given) < len(parts):
        return None
    value = sum(part.value for part in given) / len(given)
    digits = max(decimals(part.text) for part in given) + 1
    return Reported(
        table=table_key,
        row=row,
        column=column,
        value=value,
        text=f"{value:.{digits}f}",
        source="computed average",
    )


def wrong_averages(paper: Paper, table_key: str, *, printed: Printed) -> list[str]:
    """A sentence for each printed average that its own row does not give, beyond what rounding explains."""
    table, out = paper.tables[table_key], []
    for row, spec in table.rows.items():
        for column, column_spec in table.columns.items():
            quoted = printed.get((table_key, row, column))
            if not column_spec.average_of or quoted is None:
                continue
            computed = average_reported(table_key, row, column, table=table, printed=printed)
            if computed is None:
                out.append(
                    f"{spec.label}: prints {quoted.text} as {column_spec.label}, "
                    "but not all the numbers that it averages"
                )
                continue
            parts = [printed[table_key, row, part] for part in column_spec.average_of]
            slack = 0.5 * (10.0 ** -decimals(quoted.text) + max(10.0 ** -decimals(p.text) for p in parts))
            if abs(quoted.value - computed.value) > slack + 1e-9:
                out.append(
                    f"{spec.label}: {column_spec.label} is printed as {quoted.text}, "
                    f"its row gives {computed.text}"
                )
    return out


def _status(
    paper: Paper,
    table: Table,
    row: str,
    column: str,
    profile: str,
    *,
    reported: Reported | None,
    cell: Cell | None,
    ran: bool,
) -> tuple[str, str]:
    if cell is None:
        spec = table.rows[row]
        if spec.not_run is not None:
            return "not run", spec.not_run
        if (reason := table.columns[column].not_run) is not None:
            return "not run", reason
        if paper.status == "planned":
            return "not run", "not built yet"
        return "not run", f"no number in profile {profile}" if ran else f"profile {profile} has not been run"
    if profile != "paper":
        return "scaled", ""
    if reported is None:
        return "unreported", ""
    # What is printed is rounded; half a unit of its last digit is no difference.
    rounding = 0.5 * 10.0 ** -decimals(reported.text)
    inside = cell.low - rounding <= reported.value <= cell.high + rounding
    near = reported.std is not None and abs(cell.value - reported.value) <= reported.std
    return ("reproduced" if inside or near else "differs"), ""


def average_cell(parts: Sequence[tuple[Cell | None, Items | None]], *, column: str) -> Cell | None:
    """The average of our cells, with the interval of the average itself; None where a part has no number.

    What the parts share (answers that three columns judge, clips of two questions) is told from their items.
    Where a part has no item scores nothing is known of that, and half widths are averaged: too wide at worst.
    """
    cells = [cell for cell, _ in parts if cell is not None]
    if len(cells) < len(parts) or not cells:
        return None
    value = sum(c.value for c in cells) / len(cells)
    constant = [c.low == c.high for c in cells]
    known = all(fixed or items is not None for fixed, (_, items) in zip(constant, parts))
    terms = [Term(weight=1 / len(cells), cell=c, items=i) for c, (_, i) in zip(cells, parts)]
    spread = spread_of(terms) if known else None
    if spread is not None:
        low, high = value - spread.half_width, value + spread.half_width
        how = "its interval is of the average itself"
    else:
        low, high = (sum(ends) / len(cells) for ends in ([c.low for c in cells], [c.high for c in cells]))
        how = "without item scores: the average of their bounds"
    ends = bounds_of(cells[0].unit)
    if ends and min(c.value for c in cells) >= ends[0]:
        low, high = max(low, ends[0]), min(high, ends[1])
    units = {unit for _, items in parts if items is not None for unit in items.resampled}
    same = len({len(c.seeds) for c in cells}) == 1
    return Cell(
        row=cells[0].row,
        column=column,
        value=value,
        low=low,
        high=high,
        n=len(units) if known and units else sum(c.n for c in cells),
        seeds=tuple(sum(s) / len(s) for s in zip(*(c.seeds for c in cells), strict=True)) if same else (),
        scale=cells[0].scale,
        protocol=f"average of the columns it names; {how}",
        unit=cells[0].unit,
    )


def decimals(text: str) -> int:
    """Digits after the point of a number as printed."""
    return len(text.partition(".")[2])

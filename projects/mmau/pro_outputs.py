"""What a model said to the questions of MMAU-Pro, from a predictions file or from a column of the rows.

The released script takes the answers themselves for predictions where the column is missing, and so scores
100 %. Here a missing column, and everything else that does not fit the rows, is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from core.report.scoring import PredictionError

Row: TypeAlias = Mapping[str, Any]  # of core.data.schema.MMAU_PRO; its audio is not looked at


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a model said to one question, once for each order in which its options were shown.

    orders[k][j] is the place in the data set's choices of what was shown at place j. texts is empty where
    there is no prediction.
    """

    texts: tuple[str, ...]
    orders: tuple[tuple[int, ...], ...]


def outputs_from_lines(
    lines: Sequence[Mapping[str, Any]], rows: Sequence[Row], *, allow_missing: bool = False
) -> list[Output]:
    """Outputs of `rows`, in their order, from the lines of a predictions file.

    Raises PredictionError for lines without answers (the release would score the answers in their place), of
    other items, twice, or missing; with `allow_missing` a missing one is an Output without texts.
    """
    if bad := [line.get("id") for line in lines if not _is_texts(line.get("answers"))]:
        raise PredictionError(
            f"{len(bad)} of {len(lines)} predictions hold no list of texts as answers (first: {bad[0]}); "
            "nothing is scored in their place: run the predictions again"
        )
    ids = [str(row["id"]) for row in rows]
    by_id = {str(line["id"]): line for line in lines}
    faults = {
        "predicted twice": [
            id for id, times in Counter(str(line["id"]) for line in lines).items() if times > 1
        ],
        "of other items": sorted(by_id.keys() - set(ids)),
        "missing": [] if allow_missing else [id for id in ids if id not in by_id],
    }
    if told := [f"{len(which)} {what} ({', '.join(which[:3])})" for what, which in faults.items() if which]:
        raise PredictionError(f"predictions and data set do not match: {'; '.join(told)} of {len(ids)} items")
    return [_output(by_id.get(id), row) for id, row in zip(ids, rows)]


def outputs_from_column(rows: Sequence[Row], column: str) -> list[Output]:
    """Outputs that stand in the rows themselves, null for "said nothing".

    Raises PredictionError where no row has the column; the release would score the answers as predictions.
    """
    if not any(column in row for row in rows):
        there = ", ".join(sorted(rows[0])) if rows else "nothing"
        raise PredictionError(
            f"no column {column!r} with predictions (there are: {there}); name the right one"
        )
    if lacking := [str(row["id"]) for row in rows if column not in row]:
        raise PredictionError(f"{len(lacking)} rows lack the column {column!r} (first: {lacking[0]})")
    if odd := [str(row["id"]) for row in rows if not isinstance(row[column], str | None)]:
        raise PredictionError(f"{len(odd)} predictions in {column!r} are no text (first: {odd[0]})")
    return [Output(texts=(row[column] or "",), orders=(_as_listed(row),)) for row in rows]


def _output(line: Mapping[str, Any] | None, row: Row) -> Output:
    if line is None:
        return Output(texts=(), orders=())
    texts = tuple(line["answers"])
    orders = tuple(tuple(order) for order in line.get("orders") or [_as_listed(row)] * len(texts))
    if len(orders) != len(texts):
        raise PredictionError(f"item {line['id']}: {len(texts)} outputs for {len(orders)} orders")
    return Output(texts=texts, orders=orders)


def _as_listed(row: Row) -> tuple[int, ...]:
    return tuple(range(len(row["choices"] or ())))


def _is_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(text, str) for text in value)

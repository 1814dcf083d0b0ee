"""Outputs of MMAU that were made elsewhere: the list of questions with an answer to each, as officially.

Our own predictions (core.answering.records) are read as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from core.answering.records import PredictionsError, Record, read_predictions
from core.data.choices import ChoiceItem
from core.data.imports.plain import read_json
from core.data.schema import DatasetError, some
from projects.mmau.submission import KEYS, SubmissionError


def read_outputs(path: Path, exam: Sequence[ChoiceItem]) -> list[Record]:
    """The records of `path`: a predictions file, or items with model_output or model_prediction.

    The latter are JSON or JSON lines, joined by id (or the name in audio_id); options in another order than
    the exam's are taken as they were shown. Raises PredictionsError for a file of neither form, and
    SubmissionError with the ids for answers that are twice there, differ under the two keys, are no text or
    were given to other options.
    """
    try:
        return read_predictions(path)
    except PredictionsError as error:
        try:
            rows = read_json(path)
        except DatasetError:
            raise error from None
        if not isinstance(rows, list) or not any(_answered(row) for row in rows):
            raise PredictionsError(
                f"{error}. Nor is it a list of questions with {' or '.join(KEYS)} in each, as the official "
                "script reads it"
            ) from error
    return _records([row for row in rows if _answered(row)], {item.id: item for item in exam}, path)


def _answered(row: object) -> bool:
    return isinstance(row, Mapping) and any(key in row for key in KEYS)


def _records(rows: Sequence[Mapping[str, Any]], exam: Mapping[str, ChoiceItem], path: Path) -> list[Record]:
    found: dict[str, Record] = {}
    wrong: dict[str, list[str]] = {}
    for row in rows:
        name = str(row.get("audio_id") or "").replace("\\", "/")
        id = str(row.get("id") or row.get("question_id") or PurePosixPath(name).stem)
        given = [row[key] for key in KEYS if row.get(key) is not None]
        choices = exam[id].choices if id in exam else ()
        order = _order(row.get("choices"), choices)
        if id in found:
            wrong.setdefault("twice", []).append(id)
        elif not all(isinstance(text, str) for text in given):
            wrong.setdefault("not text", []).append(id)
        elif len(set(given)) > 1:
            wrong.setdefault(f"other under {KEYS[0]} than under {KEYS[1]}", []).append(id)
        elif order is None:
            wrong.setdefault("to other options than the exam has", []).append(id)
        else:
            found[id] = Record(
                id=id, hash="", orders=(order,), outputs=(given[0] if given else "",), errors=("",)
            )
    if wrong:
        told = "; ".join(f"{len(ids)} {what} ({some(ids)})" for what, ids in wrong.items())
        raise SubmissionError(f"{path}: of {len(rows)} answers {told}: nothing was scored; correct the file")
    return list(found.values())


def _order(shown: object, choices: Sequence[str]) -> tuple[int, ...] | None:
    """Where each option that was shown stands in the exam; None where these are other options."""
    listed = tuple(range(len(choices)))
    if not isinstance(shown, list) or not choices or tuple(shown) == tuple(choices):
        return listed
    bare = [str(one).removeprefix(f"({chr(65 + place)}) ") for place, one in enumerate(shown)]
    if tuple(bare) == tuple(choices):
        return listed
    if sorted(bare) != sorted(choices) or len(set(bare)) != len(bare):
        return None
    return tuple(list(choices).index(one) for one in bare)

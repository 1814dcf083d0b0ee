"""What a model said or scored, on disk: one line an item in every paper, read by all score stages.

    {"id": "e1", "answers": ["a dog", "a cat"]}            a text for each training seed, or for each order
    {"id": "e1", "scores": [[0.12, 0.9], [0.2, 0.85]]}     numbers for each training seed

Beside them may stand `orders` (of the options, one an answer: orders[k][j] is the index, in the data set's
choices, of the option at place j), `errors` (why an answer is ""), `cut` (those k that ended at the limit of
tokens) and `hash` (of all that answers depend on). Left out are orders without options and errors that did
not happen. Numbers are as short as their digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.report.scoring import PredictionError, read_lines
from core.run.files import write_bytes_atomic
from core.run.jsonl import encode_line


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One item's answers or scores; the fields that a line left out are filled for each answer."""

    id: str
    answers: tuple[str, ...] = ()
    scores: tuple[Any, ...] = ()  # of each seed, a number or nested lists of numbers
    orders: tuple[tuple[int, ...], ...] = ()
    errors: tuple[str, ...] = ()
    cut: tuple[int, ...] = ()
    hash: str = ""


def line_of(prediction: Prediction) -> bytes:
    """A prediction as its line: the same prediction gives the same bytes."""
    content: dict[str, Any] = {"id": prediction.id}
    if prediction.answers:
        content["answers"] = prediction.answers
    if prediction.scores:
        content["scores"] = prediction.scores
    if any(prediction.orders):
        content["orders"] = prediction.orders
    if any(prediction.errors):
        content["errors"] = prediction.errors
    if prediction.cut:
        content["cut"] = prediction.cut
    if prediction.hash:
        content["hash"] = prediction.hash
    return encode_line(content, compact=bool(prediction.scores))


def prediction_of(line: Mapping[str, Any]) -> Prediction:
    """A line's prediction. Raises PredictionError for another shape."""
    try:
        answers = tuple(_text(answer) for answer in line.get("answers", ()))
        scores = tuple(line.get("scores", ()))
        orders = tuple(tuple(_place(place) for place in order) for order in line.get("orders", ()))
        errors = tuple(_text(error) for error in line.get("errors", ()))
        made = Prediction(
            id=_text(line["id"]),
            answers=answers,
            scores=scores,
            orders=orders or ((),) * len(answers),
            errors=errors or ("",) * len(answers),
            cut=tuple(_place(k) for k in line.get("cut", ())),
            hash=_text(line.get("hash", "")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PredictionError(f"no prediction ({type(error).__name__}: {error})") from None
    if bool(answers) == bool(scores):
        raise PredictionError(f"{made.id}: a prediction has either answers or scores")
    n = len(answers)
    if not len(made.orders) == len(made.errors) == n or any(k >= n for k in made.cut):
        raise PredictionError(
            f"{made.id}: {n} answers with {len(orders)} orders, {len(errors)} errors, cut {made.cut}"
        )
    return made


def read_predictions(
    path: Path, *, ids: Sequence[str] | None = None, writer: str = "stage"
) -> list[Prediction]:
    """The predictions of a file, in its order; `writer` names what writes it in messages.

    ids: of the questions, which must be answered all and in their order. Raises PredictionError.
    """
    made = []
    for number, line in enumerate(read_lines(path, writer=writer), start=1):
        try:
            made.append(prediction_of(line))
        except PredictionError as error:
            raise PredictionError(f"{path}, line {number}: {error}; run its {writer} again") from None
    if ids is not None and [one.id for one in made] != list(ids):
        raise PredictionError(f"{path} answers other questions than were asked: run its {writer} again")
    seeds = {len(one.answers) or len(one.scores) for one in made} if ids is not None else {1}
    if len(seeds) > 1:
        raise PredictionError(f"{path}: items with {sorted(seeds)} answers: run its {writer} again")
    return made


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write a line a prediction, all at once."""
    write_bytes_atomic(path, b"".join(map(line_of, predictions)))


def short(values: np.ndarray, digits: int) -> list[Any]:
    """Numbers with so many digits after the point, as nested lists. Rounded in float64: a float32 that was
    rounded is written with the sixteen digits of the float64 beside it."""
    rounded: list[Any] = np.asarray(values, np.float64).round(digits).tolist()
    return rounded


def by_seed(predictions: Sequence[Prediction]) -> list[list[str]]:
    """Answers of each training seed, in the order of the items."""
    return [[one.answers[seed] for one in predictions] for seed in range(len(predictions[0].answers))]


def _place(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r} is no place")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value

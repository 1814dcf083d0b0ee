"""NaN and infinity are never an answer: greedy decoding of NaN says token 0, whatever was asked."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

SHOWN = 5  # items that a message lists


class NotFiniteError(ValueError):
    """A model computed NaN or infinity; the message names the items."""


class FiniteScores:
    """Watches the scores that generate() chooses tokens by; `check` raises once it has ended.

    A logits processor by its call alone: to inherit from the class of transformers takes seconds to import.

    Scores stay on their device until then. -inf is what generate() itself gives to tokens that are not
    allowed.
    """

    def __init__(self) -> None:
        self._bad: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        bad = (scores.isnan() | scores.isposinf()).any(dim=-1)
        self._bad = bad if self._bad is None else self._bad | bad
        return scores

    def check(self, ids: Sequence[str]) -> None:
        """Raise NotFiniteError, which names those of `ids` (one a row) whose scores were not finite."""
        if self._bad is not None and bool(self._bad.any()):
            raise _error([name for name, bad in zip(ids, self._bad.tolist()) if bad])


def check_finite(values: Tensor, ids: Sequence[str]) -> None:
    """Raise NotFiniteError unless all of `values` (one row an item) are finite."""
    if not bool(values.isfinite().all()):
        rows = values.isfinite().flatten(1).all(dim=1) if values.ndim > 1 else values.isfinite()
        raise _error([name for name, good in zip(ids, rows.tolist()) if not good])


def _error(names: Sequence[str]) -> NotFiniteError:
    listed = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return NotFiniteError(
        f"the model's numbers are not finite (NaN or infinity) for {listed}: its weights are damaged, or too "
        "large for its number format; fetch or train it again, or run it in float32"
    )

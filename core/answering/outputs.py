"""Outputs that are more than their text: why there is none, and that there was more to come."""

from __future__ import annotations


class Unanswered(str):
    """The output "" that knows why; for models that fail on one question and not on its batch."""

    reason: str

    def __new__(cls, reason: str) -> Unanswered:
        output = super().__new__(cls, "")
        output.reason = reason or "no reason given"
        return output


class Refused(Unanswered):
    """Unanswered since the question never came to an answer: a server refused it, its audio is damaged.

    Many in a row mean that all will be: the harness ends the run, as for a model that raises.
    """


class Cut(str):
    """An output that ended at the limit of new tokens, perhaps before the answer."""

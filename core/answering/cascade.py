"""Cascades: what is heard is put into words, and a model that reads answers from them (MMAU, section 4).

How good the words are decides how far a cascade gets: the paper's weak captions come from small captioners
and a small recogniser, its strong ones from an audio-language model with a prompt for each kind of audio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.answering.question import Answer, Question


class DescriptionError(ValueError):
    """Questions about audio that nothing was written of."""


def with_description(description: str, prompt: str) -> str:
    """The text that a reader is asked: what was heard, then the question with its options."""
    return f"Audio: {description.strip()} {prompt}"


def cascade_answer(descriptions: Mapping[str, str], reader: Answer, *, options: bool = True) -> Answer:
    """`reader` is asked about the description of each question's audio, by the question's id, in text alone.

    options: whether the text shows them; a reader that compares options need not see them. An empty
    description is asked as it is. Raises DescriptionError for ids that have none.
    """

    def answer(asked: Sequence[Question]) -> list[str]:
        if lost := [one.id for one in asked if one.id not in descriptions]:
            raise DescriptionError(
                f"{len(lost)} questions have no description ({', '.join(lost[:3])}): write them again"
            )
        return reader(
            [
                replace(
                    one,
                    prompt=with_description(descriptions[one.id], one.prompt if options else one.question),
                    audios=(),
                )
                for one in asked
            ]
        )

    return answer

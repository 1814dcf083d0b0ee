"""A question as it is put to a model, and the one function that every model is here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

PromptStyle = Literal["public", "letters", "plain"]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question. `prompt` is the whole text, `choices` the options in the order shown there.

    audios: encoded files, in the order they are heard; none for a question in text alone.
    """

    id: str
    prompt: str
    question: str
    choices: tuple[str, ...]
    audios: tuple[bytes, ...] = field(repr=False)


# One output an item, in their order; "" says nothing. Whatever it raises is the harness's to count.
Answer: TypeAlias = Callable[[Sequence[Question]], list[str]]


def make_prompt(question: str, choices: Sequence[str], *, style: PromptStyle) -> str:
    """The text of a question with its options.

    public: the wording that public evaluations of MMAU share; letters: the same, with (A), (B), ... before
    the options; plain: the question, then the options between bars, for small language models. Without
    options the question alone.
    """
    if not choices:
        return question
    if style == "plain":
        return f"{question} Options: {' | '.join(choices)}"
    shown = list(choices)
    if style == "letters":
        shown = [f"({chr(ord('A') + place)}) {choice}" for place, choice in enumerate(choices)]
    return f"{question} Please choose the answer from the following options: {', '.join(shown)}."

"""What is said to an audio language model: turns, and the prompt formats that make text of them.

A format is a function from turns to the text before the answer and the answer. The loss is on the answer, or
on all (`core.adapters.prefix_lm.encode_texts`): earlier answers of a conversation are prompt. Audio has no
place in the text: it is what the model hears before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from core.data import instructions
from core.data.instructions import Instruction


class TurnError(ValueError):
    """Turns that a format has no room for."""


@dataclass(frozen=True)
class Turn:
    """Who says what, about which audios, "<set>:<id>"."""

    role: Literal["system", "user", "assistant"]
    text: str
    audios: tuple[str, ...] = ()


Format: TypeAlias = Callable[[Sequence[Turn]], tuple[str, str]]


def turns_of(item: Instruction) -> tuple[Turn, ...]:
    """GAMA's instruction, input and output, about one audio."""
    return *asked(item.instruction, item.audio_id, more=item.input), Turn("assistant", item.output)


def asked(text: str, audio: str = "", *, more: str = "") -> tuple[Turn, ...]:
    """A question about one audio, or about none; more: text that belongs to it, as Alpaca's input."""
    first = Turn("user", text, (audio,) if audio else ())
    return (first, Turn("user", more)) if more else (first,)


def audio_of(turns: Sequence[Turn]) -> str:
    """The one audio that turns are about. Raises TurnError for none or several."""
    audios = [audio for turn in turns for audio in turn.audios]
    if len(audios) != 1:
        raise TurnError(f"{len(audios)} audios in {turns[0].text[:60]!r}: a prefix is of one")
    return audios[0]


def with_hint(turns: Sequence[Turn], sentence: str) -> tuple[Turn, ...]:
    """The turns with a sentence before the first thing that the user says."""
    first = next(place for place, turn in enumerate(turns) if turn.role == "user")
    said = Turn("user", f"{sentence} {turns[first].text}".strip(), turns[first].audios)
    return (*turns[:first], said, *turns[first + 1 :])


def alpaca(turns: Sequence[Turn]) -> tuple[str, str]:
    """Alpaca-short, which LTU and GAMA train with: one question, perhaps with an input.

    Raises TurnError for a system's turn or a conversation, which it has no room for.
    """
    before, answer = _last(turns)
    if [turn.role for turn in before] not in (["user"], ["user", "user"]):
        raise TurnError(f"alpaca asks one question, not {', '.join(turn.role for turn in before)}")
    return instructions.alpaca(*(turn.text for turn in before)), answer


def plain(turns: Sequence[Turn]) -> tuple[str, str]:
    """A line a turn, and a line break before the answer."""
    before, answer = _last(turns)
    return "".join(f"{turn.text}\n" for turn in before), answer


def chatml(turns: Sequence[Turn]) -> tuple[str, str]:
    """ChatML, as Qwen's models read it; the tokenizer's end token ends the answer."""
    before, answer = _last(turns)
    said = "".join(f"<|im_start|>{turn.role}\n{turn.text}<|im_end|>\n" for turn in before)
    return f"{said}<|im_start|>assistant\n", answer


FORMATS: Mapping[str, Format] = {"alpaca": alpaca, "plain": plain, "chatml": chatml}


def _last(turns: Sequence[Turn]) -> tuple[Sequence[Turn], str]:
    """The turns before the answer, and the answer, "" where it is still to be given."""
    if turns and turns[-1].role == "assistant":
        return turns[:-1], turns[-1].text
    return turns, ""

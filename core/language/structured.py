"""Answers as JSON of a schema: found in the model's text, checked, asked for once more, else failed.

Nothing is guessed: text that holds two different values that fit is as unusable as text that holds none.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jsonschema

from core.language.client import Chat, Message, Options, Reply, ReplyError
from core.language.thoughts import after_thoughts

_FENCE = re.compile(r"```[a-zA-Z]*[ \t]*\n(.*?)```", re.DOTALL)
_BEGINS = re.compile(r"\s*(?:```[a-zA-Z]*\s*)?[\[{]\s*[\[{\"]")
_OPENING = re.compile(r"[\[{]")
_REPAIR = (
    "That answer cannot be used: {reason}. Write the whole answer again, as JSON alone, without any other "
    "text, so that it fits this JSON schema: {schema}"
)


class StructureError(ValueError):
    """Text that does not hold exactly one value of the schema; the message is fit to show to the model."""


@dataclass(frozen=True, kw_only=True)
class Structured:
    """The outcome of one question. `error` is "" when `value` fits the schema; else value is None.

    replies: all that were asked for, so that what a failure took is counted too.
    """

    value: Any
    error: str
    replies: tuple[Reply, ...]

    @property
    def repaired(self) -> bool:
        """Whether the first answer could not be used and a later one could."""
        return not self.error and len(self.replies) > 1


def complete_json(
    chat: Chat,
    messages: Sequence[Message],
    *,
    schema: Mapping[str, Any],
    options: Options | None = None,
    repairs: int = 1,
) -> Structured:
    """Ask for JSON of `schema`; an unusable answer is shown to the model with its fault, `repairs` times.

    Raises EndpointError only: a refused request, like an answer beyond repair, is an outcome with an error.
    """
    options = replace(options or Options(), schema=schema)
    talk, error = list(messages), ""
    replies: list[Reply] = []
    for _ in range(repairs + 1):
        try:
            reply = chat.complete(talk, options=options)
        except ReplyError as refused:
            return Structured(value=None, error=f"refused: {refused}", replies=tuple(replies))
        replies.append(reply)
        try:
            return Structured(value=parse_json(reply.text, schema), error="", replies=tuple(replies))
        except StructureError as fault:
            error = f"cut off at {options.max_tokens} tokens" if reply.finish == "length" else str(fault)
        talk += [
            Message("assistant", reply.text or "(nothing)"),
            Message("user", _REPAIR.format(reason=error, schema=json.dumps(schema))),
        ]
    return Structured(value=None, error=f"unusable: {error}", replies=tuple(replies))


def parse_json(text: str, schema: Mapping[str, Any]) -> Any:
    """The one value in `text` that fits `schema`: behind any thoughts, in code fences if there are any, else
    anywhere. A text that begins as JSON has no thoughts, only strings that may speak of them.

    NaN and infinities are no JSON. Raises StructureError with the reason.
    """
    if not _BEGINS.match(text):
        text = after_thoughts(text)
    found = list(_values("\n".join(_FENCE.findall(text)) or text))
    if not found:
        raise StructureError("it holds no complete JSON object or list")
    check = jsonschema.Draft202012Validator(schema)
    fitting: list[Any] = []
    for value in found:
        if check.is_valid(value) and value not in fitting:
            fitting.append(value)
    if len(fitting) > 1:
        raise StructureError(f"it holds {len(fitting)} different answers")
    if not fitting:
        worst = jsonschema.exceptions.best_match(check.iter_errors(found[-1]))
        where = worst.json_path if worst is not None else "$"
        raise StructureError(f"at {where}: {worst.message if worst is not None else 'unfit'}"[:300])
    return fitting[0]


def _values(text: str) -> Iterator[Any]:
    """The outermost JSON objects and lists in `text`. What is cut off at the end hides what is inside it."""
    decode: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder(
        parse_constant=_refuse, parse_float=_finite
    ).raw_decode
    place = 0
    while opening := _OPENING.search(text, place):
        place = opening.start() + 1
        try:
            value, place = decode(text, opening.start())
        except json.JSONDecodeError as error:
            # inside a value that never ends there may be drafts that look whole
            if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
                return
        except (RecursionError, ValueError):  # nested or numbered beyond what Python reads
            return
        else:
            yield value


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _refuse(digits)


def _refuse(name: str) -> Any:
    raise json.JSONDecodeError(f"{name} is no JSON", "", 0)

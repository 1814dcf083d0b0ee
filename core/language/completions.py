"""What the JSON of an OpenAI-compatible chat server says. Fields of a wrong type are read as absent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.language.client import Usage

# where servers put what a model thinks, and what they call an answer that ended at the limit of tokens
THOUGHTS = (
    "reasoning_content",
    "reasoning",
    "thinking",
    "thoughts",
    "reasoning_details",
    "thinking_blocks",
)
LIMITS = ("length", "model_length", "max_length", "max_tokens", "max_output_tokens")
PLAIN = ("text", "output_text", "None", "")  # types of a content part that is part of the answer


class NotACompletionError(ValueError):
    """JSON that holds no choice with a message."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """The first choice. `declined` says why the model would not answer, `lacking` why there is no text; both
    are a server's words, as they came. thoughts: characters that stand apart from the text."""

    text: str
    finish: str
    usage: Usage | None
    thoughts: int
    declined: str = ""
    lacking: str = ""


def read_completion(answer: Any) -> Completion:
    """The first choice of an answer. Raises NotACompletionError."""
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        text, apart = _text_of(message.get("content"))
        fields = {name: as_text(message.get(name) or "") for name in THOUGHTS}
        refusal, finish = message.get("refusal"), choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise NotACompletionError("no choice") from None
    finish = finish if isinstance(finish, str) and finish else "stop"
    finish = "length" if finish.lower() in LIMITS else finish
    thoughts = {**fields, "its thinking parts": apart}
    where, thought = next((one for one in thoughts.items() if one[1].strip()), ("", ""))
    declined = lacking = ""
    blank = not (text or "").strip()
    if finish == "content_filter" or (blank and refusal):
        declined = as_text(refusal or finish)
    elif blank and thought:
        lacking = f", but {len(thought)} characters of reasoning in {where}"
        lacking += (
            ": it was cut at the limit of tokens while it thought; raise the limit"
            if finish == "length"
            else ": the server takes the answer for thoughts; see its --reasoning-parser"
        )
    elif text is None:
        lacking = f": finish reason {finish!r}"
    return Completion(
        text=text or "",
        finish=finish,
        usage=_usage_of(answer.get("usage")),
        thoughts=len(thought),
        declined=declined,
        lacking=lacking,
    )


def read_error(content: bytes) -> tuple[str, str]:
    """Message and code of a server's error, in OpenAI's form or whatever it sent; whole, as they came."""
    try:
        error = json.loads(content)["error"]
        said, code = (error["message"], error.get("code")) if isinstance(error, dict) else (error, "")
        return as_text(said), str(code or "")
    except (ValueError, KeyError, TypeError, RecursionError):
        return content.decode("utf-8", "replace").strip(), ""


def as_text(value: Any) -> str:
    """A value for a message; one nested beyond what Python writes by its type."""
    try:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError):
        return f"a deeply nested {type(value).__name__}"


def _text_of(content: Any) -> tuple[str | None, str]:
    """The text of a message's content, None where it holds none, and the thoughts among its parts.

    Raises TypeError for what is neither text nor a list of parts.
    """
    if content is None or isinstance(content, str):
        return content, ""
    if not isinstance(content, list):
        raise TypeError(type(content).__name__)
    texts, thoughts = [], []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping) and str(part.get("type")) in PLAIN:
            texts += [part["text"]] if isinstance(part.get("text"), str) else []
        elif isinstance(part, Mapping):
            held = part.get("thinking", part.get("text"))
            thoughts += [as_text(held)] if held else []
    return ("".join(texts) if texts else None), "".join(thoughts)


def _usage_of(held: Any) -> Usage | None:
    """The counted tokens; None where they are not two numbers that can be counts."""
    counts = []
    for name in ("prompt_tokens", "completion_tokens"):
        count = held.get(name) if isinstance(held, Mapping) else None
        if isinstance(count, bool) or not isinstance(count, int | float) or not 0 <= count < 1e15:
            return None
        counts.append(int(count))
    return Usage(*counts)

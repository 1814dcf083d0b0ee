"""What a model says in the end: behind its thoughts, inside its answer tags, its box or its JSON field."""

from __future__ import annotations

import json
import re
from collections.abc import Collection

from core.language.thoughts import after_thoughts
from core.metrics.choice_latex import plain_latex
from core.metrics.choice_mentions import plain_text

_NAMES = (
    r"(?:answer|response|final[_ ]answer|final[_ ]response|final|conclusion|solution|output|result|ans|"
    r"choice|option|selected[_ ]option)"
)
_ANSWER = re.compile(
    rf"(?:<\|?|◁)\s?(?:begin_of_|start_)?{_NAMES}\s?(?:\|?>|▷)|[\[【](?:final[_ ])?(?:answer|response)[\]】]",
    re.IGNORECASE,
)
_ANSWERED = re.compile(
    rf"(?:<\|?|◁)\s?(?:/|end_of_|end_)\s?{_NAMES}\s?(?:\|?>|▷)"
    r"|[\[【]/(?:final[_ ])?(?:answer|response)[\]】]",
    re.IGNORECASE,
)
_TAG = re.compile(
    rf"</?\s*(?:{_NAMES}|b|strong|i|em|p|br|code|s|u|mark|eos|pad|bos|think)\s*/?>|<\|[^|<>]*\|>",
    re.IGNORECASE,
)
_BOLD_LETTER = re.compile(r"(?:\*\*|__)\s*\(?([A-Z])[).:]*\s*(?:\*\*|__)[.:]?")
_FIELD = re.compile(
    r"[\"'](?:final[_ ]?answer|answer|choice|option|prediction|selected[_ ]?option|answer[_ ]?choice)[\"']"
    r"\s*:\s*(\"(?:[^\"\\]|\\.)*\"|'[^'\n]*'|\[[^\[\]]*\]|[^\s,{}\[\]]+)",
    re.IGNORECASE,
)


def final_text(output: str) -> str:
    """What stands behind the last thought, and inside the last answer tags if there are any.

    A thought that never ends hides all behind its beginning; answer tags may lack their end, as outputs that
    were cut off do.
    """
    text = after_thoughts(output)
    if answers := list(_ANSWER.finditer(text)):
        text = text[answers[-1].end() :]
        if end := _ANSWERED.search(text):
            text = text[: end.start()]
    return _TAG.sub(" ", text).strip()


def announced(text: str, letters: Collection[str] = ()) -> str:
    """Boxes and JSON fields written out as "Final answer: ..."; LaTeX and Markdown as plain text.

    letters: options that are a letter. One that is bold stays as bare as it is; any other is "(B)".
    """
    if "\\" in text or "$" in text:
        text = plain_latex(text)
    text = _FIELD.sub(lambda match: f"\nFinal answer: {_value(match[1])}\n", text)

    def shown(match: re.Match[str]) -> str:
        return match[0].strip("*_") if match[1].upper() in letters else f"({match[1]})"

    return plain_text(_BOLD_LETTER.sub(shown, text))


def _value(text: str) -> str:
    """A JSON value as text, a list with commas; also Python's spelling of one, and null as nothing."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None if text == "None" else text.strip("'\"[]")
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

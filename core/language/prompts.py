"""Prompts as text files: turns marked by lines such as [system] and [user], and $names to be filled in.

The hash of a prompt goes into records, so that a number says which wording it was made with.
"""

from __future__ import annotations

import hashlib
import re
import string
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from core.language.client import Message, Role

_TURN = re.compile(rf"^\[({'|'.join(get_args(Role))})\][ \t]*$", re.MULTILINE)


class PromptError(ValueError):
    """A prompt file that cannot be read or filled; the message names the file."""


@dataclass(frozen=True)
class Prompt:
    """A prompt's name, its text as it stands in the file, and the SHA-256 of that."""

    name: str
    text: str
    sha256: str

    @property
    def names(self) -> tuple[str, ...]:
        """The $names in the text, in the order of their first occurrence."""
        return tuple(string.Template(self.text).get_identifiers())

    def messages(self, **values: str) -> list[Message]:
        """The turns, each $name filled in. `$$` is a dollar sign; a filled-in value is never read as a
        prompt, whatever it holds. Raises PromptError for a name without value and a value without name."""
        missing, unknown = set(self.names) - set(values), set(values) - set(self.names)
        if missing or unknown:
            parts = [f"no value for {', '.join(sorted(missing))}"] if missing else []
            parts += [f"no place for {', '.join(sorted(unknown))}"] if unknown else []
            raise PromptError(f"prompt {self.name}: {'; '.join(parts)} (it names {', '.join(self.names)})")
        pieces = _TURN.split(self.text)
        if len(pieces) == 1:
            turns = [("user", self.text)]
        else:
            turns = list(zip(pieces[1::2], pieces[2::2]))
        return [
            Message(role, string.Template(text.strip()).substitute(values))  # type: ignore[arg-type]
            for role, text in turns
        ]


def read_prompt(path: Path) -> Prompt:
    """Read a prompt file.

    Raises PromptError for a missing or empty one, text before the first turn, and a `$` that names nothing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{path}: not a readable prompt ({error})") from None
    if not string.Template(text).is_valid():
        raise PromptError(f"{path}: a dollar sign that begins no name; write $$ for the sign itself")
    pieces = _TURN.split(text)
    if len(pieces) > 1 and pieces[0].strip():
        raise PromptError(f"{path}: text before the first turn: {pieces[0].strip()[:60]!r}")
    if not all(piece.strip() for piece in (pieces[2::2] if len(pieces) > 1 else pieces)):
        raise PromptError(f"{path}: an empty prompt or turn")
    return Prompt(path.stem, text, hashlib.sha256(text.encode()).hexdigest())

"""How many sentences a text has, for rules that limit them.

MMAU-Pro's release counts with NLTK's punkt, a trained splitter whose data must be downloaded;
`count_sentences` needs nothing. Like punkt it takes a full stop, `!` or `?` for an end and a line break alone
for none. It differs in four things: abbreviations are a short list instead of learned; a list number
("2. Rain") is no sentence of its own; a piece without a letter or digit is none; and 。！？ end one too.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Literal, TypeAlias

Splitter: TypeAlias = Literal["built-in", "punkt"]

# The end marks, what closes behind them, and the white space; 。！？ need no space.
_END = re.compile(r"(?:(?P<mark>[.!?…]+)(?P<closing>[\"'”’»)\]*_]*)(?=\s|$))|(?P<wide>[。！？]+[」』”’]*)")
_FAR = 200  # characters
_OPENING = "\"'“‘«([*_"
# A name follows; a number follows; or they may also be the last word of a sentence.
_NAMES = re.compile(
    r"(?:mr|mrs|ms|mx|dr|prof|st|sr|jr|gen|sgt|capt|lt|col|rev|hon|mt|vs|cf|approx|e\.g|i\.e|viz|ca|dept)$",
    re.I,
)
_NUMBERS = re.compile(r"(?:no|nos|fig|figs|eq|eqs|vol|ch|p|pp|sec)$", re.I)
_PERHAPS = re.compile(
    r"(?:etc|inc|ltd|co|corp|al|ph\.d|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec|mon|tue|wed|thu|fri|sat|"
    r"sun|ave|blvd|ft|hr|min|sec|(?:[a-z]\.)+[a-z])$",
    re.I,
)


def count_sentences(text: str) -> int:
    """Sentences of a text; one without an end mark counts too, an empty text has none."""
    count, start = 0, 0
    for end in _END.finditer(text):
        if end["wide"] is None and not _ends(text, start, end):
            continue
        count += _worded(text[start : end.end()])
        start = end.end()
    return count + _worded(text[start:])


def punkt_counter() -> Callable[[str], int] | None:
    """NLTK's count where nltk and its data are installed, None where they are not."""
    try:
        tokenize = importlib.import_module("nltk.tokenize")
        tokenize.sent_tokenize("One. Two.")
    except (ImportError, LookupError):
        return None
    return lambda text: len(tokenize.sent_tokenize(text))


def counter() -> tuple[Splitter, Callable[[str], int]]:
    """The release's counter where it is installed, else the built-in; with the name that a record needs."""
    punkt = punkt_counter()
    return ("built-in", count_sentences) if punkt is None else ("punkt", punkt)


def _worded(piece: str) -> bool:
    return any(char.isalnum() for char in piece)


def _ends(text: str, start: int, end: re.Match[str]) -> bool:
    """Whether the marks at `end` end the sentence that began at `start`."""
    following = text[end.end() : end.end() + 100].lstrip().lstrip(_OPENING)[:1]
    if not following:
        return True
    mark = end["mark"]
    if "!" in mark or "?" in mark:
        return True
    capital = not following.islower()
    if len(mark) > 1 or mark == "…":  # an ellipsis
        return capital
    low = max(start, end.start() - _FAR)  # no further back, or a text without an end would cost its square
    words = text[low : end.start()].split()
    word = words[-1].lstrip(_OPENING) if words else ""
    if word.isdigit():
        line = text[max(0, end.start() - _FAR) : end.start()].rpartition("\n")[2]
        at_line_start = line.strip() == word and len(line) < _FAR
        return not ((len(words) == 1 and low == start) or at_line_start)
    if len(word) == 1 and word.isupper() and word != "I":  # an initial
        return False
    if _NAMES.match(word) or (_NUMBERS.match(word) and following.isdigit()):
        return False
    return capital or not _PERHAPS.match(word)

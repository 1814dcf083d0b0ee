"""How options are written in running text: whole words and numbers, blanks beside punctuation, and words that
look like an option and are none ("no idea")."""

from __future__ import annotations

import re
import unicodedata

_BESIDE = re.compile(r" *([,/:;&+|=~()<>→\[\]\-]) *")
_UNITS = "one|two|three|four|five|six|seven|eight|nine"
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_SCALES = "hundred|thousand|million|billion"
_TEENS = "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
_NUMBERS = f"{_UNITS}|{_TEENS}|{_TENS}|{_SCALES}"
_GROUP = re.compile(r"(?<=\d)[ ',](?=\d{3}(?!\d))")
_PIECE = re.compile(
    rf"(?P<digits>\d+(?:[ ',]\d{{3}}(?!\d))*)|\b(?P<tens>{_TENS})[- ](?P<unit>{_UNITS})\b"
    r"| *(?P<mark>[,/:;&+|=~()<>→\[\]\-]) *|(?P<other>.)",
    re.DOTALL,
)
# Numbers that go on: "10 000", "10 thousand", "twenty two", "one hundred and five".
_GOES_ON = re.compile(
    rf"[ ']\d{{3}}(?![\d.,:]\d|\d)| (?:to|through) \d|[ -](?:{_SCALES})\b|"
    rf"(?<=\bhundred) and (?:{_NUMBERS})\b|"
    rf"(?<=ty)[ -](?:{_UNITS})\b|(?:(?<=\bhundred)|(?<=\bthousand)|(?<=\bmillion)) (?:{_NUMBERS})\b",
    re.IGNORECASE,
)
_BEGAN = re.compile(
    rf"(?:(?<![\d.,:])\d{{1,3}}[ ']|(?P<words>\b(?:{_TENS})[ -]|\b(?:{_SCALES})(?: and)? ))$", re.IGNORECASE
)
_RANGE = re.compile(r"\d (?:to|through) $")
_LAST_NUMBER = re.compile(rf"(?:(?<![\d.,:])\d{{1,3}}|\b(?:{_NUMBERS}))$", re.IGNORECASE)
_FIRST_NUMBER = re.compile(rf"(?:(?P<group>\d{{3}}(?!\d))|(?:{_NUMBERS})\b)", re.IGNORECASE)
_BOUND = re.compile(r"(?:[<≤≥]|(?<![\-=])>)=? ?$")  # "> 10" is not 10, "-> 10" is
# "No" answers where nothing follows that it could be said of: "no idea", "no dog", "No. 5" answer nothing.
_NO_STANDS = re.compile(
    r"(?!\.? ?\d)(?:\s*(?:$|[^\w\s])|\n|\s+(?:no|because|since|as|it|it's|its|there|they|he|she|the|this|"
    r"that|these|those|i|i'm|we|you|is|was|are|and|or|but|not|so|for|in|at|on|to|if|then|a|an|my|given|based|due|when|"
    r"while|only|rather|yes|here|indeed|however|overall|though|although|unless|with|from)\b|\s+(?-i:[B-HJ-Z])\b)",
    re.IGNORECASE,
)
_ONE_BEFORE = re.compile(
    r"\b(?:which|this|that|the|each|every|any|no|some|another|either|correct|right|best|first|second|third|last|"
    r"only|wrong|the (?:most |more )?likely)\s$",
    re.IGNORECASE,
)
_ONE_BEHIND = re.compile(
    r"\s(?:of|another|can|could|may|might|would|should|cannot|must|has)\b", re.IGNORECASE
)
# Scripts that do not put blanks between words: Thai to Khmer, kana, Han, Hangul (particles).
_UNSPACED = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x9FFF),
             (0xAC00, 0xD7AF), (0xF900, 0xFAFF), (0x20000, 0x3134F))  # fmt: skip


def tight(text: str) -> str:
    """Without blanks beside punctuation and between groups of digits: "a, b: 10 000" -> "a,b:10000"."""
    return _GROUP.sub("", _BESIDE.sub(r"\1", text))


def spelling(text: str) -> re.Pattern[str] | None:
    """All ways to write a text that differ only by what `tight` takes away; None where there is but one."""
    if not (_BESIDE.search(text) or re.search(rf"\d{{4}}|\d[ ',]\d{{3}}|ty[- ](?:{_UNITS})\b", text)):
        return None
    ways = "".join(_written(piece) for piece in _PIECE.finditer(text))
    return re.compile(ways.removeprefix(" *").removesuffix(" *"))


def whole(text: str, start: int, end: int) -> bool:
    """Whether [start, end) is cut out at word boundaries, and not out of a number or a hyphenated word."""
    if start:
        before, first = text[start - 1], text[start]
        if _one_word(before, first):
            return False
        further = text[start - 2] if start > 1 else " "
        if before == "-" and first.isalnum() and (further.isalnum() or first.isdigit()):
            return False
        if before in ".,:/⁄^" and first.isdigit() and further.isdigit():
            return False
        if first.isdigit() and _BOUND.search(text, max(0, start - 3), start):
            return False
    if end < len(text):
        last, after = text[end - 1], text[end]
        if _one_word(last, after) or (after in "#♯♭" and last.isalpha()):
            return False
        further = text[end + 1] if end + 1 < len(text) else " "
        if after == "-" and last.isalnum() and further.isalnum():
            return False
        if after in ".,:/⁄^~" and last.isdigit() and further.isdigit():
            return False
    return not _of_a_number(text, start, end)


def meant(text: str, said: str, start: int, end: int) -> bool:
    """Whether an option that stands at [start, end) is meant there; "no idea" is no No, "which one" no 1."""
    if said == "no":
        return _NO_STANDS.match(text, end) is not None
    if said == "one":
        before = text[max(0, start - 18) : start]
        return _ONE_BEFORE.search(before) is None and _ONE_BEHIND.match(text, end) is None
    return True


def _written(piece: re.Match[str]) -> str:
    if piece["digits"]:
        digits = re.sub(r"\D", "", piece["digits"])
        if digits == piece["digits"] and len(digits) < 4:
            return digits
        groups = [digits[max(0, at - 3) : at] for at in range(len(digits), 0, -3)][::-1]
        return r"(?: *, *|[ ']?)".join(groups)
    if piece["tens"]:
        return f"{piece['tens']}[- ]{piece['unit']}"
    if piece["mark"]:
        return f" *{re.escape(piece['mark'])} *"
    return re.escape(piece["other"])


def _of_a_number(text: str, start: int, end: int) -> bool:
    """Whether a number goes on before or behind."""
    further = _GOES_ON.match(text, end) if _LAST_NUMBER.search(text, start, end) else None
    if further and further[0].strip(" '") != text[start:end]:  # "100 100" is said twice
        return True
    if text[start].isdigit() and _RANGE.search(text, max(0, start - 12), start):
        return True
    if text[start].isdigit() and _RANGE.search(text, max(0, start - 12), start):
        return True
    first = _FIRST_NUMBER.match(text, start, end)
    began = _BEGAN.search(text[max(0, start - 14) : start]) if first and start else None
    if first is None or began is None or began[0].strip(" '") == text[start:end]:
        return False
    return bool(first["group"]) != bool(began["words"])


def _one_word(left: str, right: str) -> bool:
    return _in_word(left) and _in_word(right) and not (_unspaced(left) or _unspaced(right))


def _in_word(char: str) -> bool:
    if char.isascii():
        return char.isalnum() or char == "_"
    return char.isalnum() or unicodedata.category(char)[0] == "M"


def _unspaced(char: str) -> bool:
    return char > "\u0dff" and any(low <= ord(char) <= high for low, high in _UNSPACED)

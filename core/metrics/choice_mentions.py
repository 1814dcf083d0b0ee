"""Where a text names an option, by its letter or by its words: what core.metrics.choice_text decides from."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from core.metrics.choice_languages import CONTRAST, JOINED, JUDGED, NAMED
from core.metrics.choice_spelling import meant, spelling, tight, whole

NO_OPTION = -1  # in Mention.options: what a letter beyond the options names, beside words

# Scripts that put no blank behind a letter: Thai to Khmer, kana, Han, Hangul.
_SPACED = r"[^\W\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
_NO_MORE = rf"(?!'?{_SPACED}|[#♯♭])"  # ends a letter that is no word, no "I'm" and no note such as C#
_LETTER = rf"([A-Za-z]){_NO_MORE}"
_ENDS = (
    r"[ \t]*(?:[,;:!?)\]\"'/&+|、，。；]|\.(?!\w)|-\s|\n|$)"  # what may stand behind a letter that is no word
)
_GOES_ON = (  # or a word that never stands behind an article or the name of a note
    r"\s+(?:as|and|based|because|but|due|for|given|is|instead|meaning|nor|not|or|over|rather|seems|should|since|that|"
    r"the|was|which|with|would)\b"
)
_BRACKETED = re.compile(rf"(?<!\w)[(\[{{]\s*(?:(?i:option|choice|answer)\s+)?{_LETTER}\s*[)\]}}]")
_NAMED = re.compile(
    r"\b(?i:option|choice|alternative|letter|answer)\s+[\"'(\[]*"
    rf"(?:([A-HJ-Zb-hj-z]){_NO_MORE}|{_LETTER}(?={_ENDS}))(?:[\"')\]]+(?!\w))?"
)
_CLOSED = re.compile(r"(?<![\w(\[{'.\-])([A-Za-z])\)")
_JUDGED = re.compile(
    r"(?<![\w'\-])([A-HJ-Z])(?=\s+(?:is|seems|must be|would be|looks|appears)\b(?:\s+(?:to be|the|most))*"
    r"\s+(?:correct|right|best|likely|answer|accurate|plausible|wrong|incorrect|unlikely|not)\b)"
)
_ELSEWHERE = re.compile(
    rf"{NAMED}([A-Z]){_NO_MORE}|(?<![A-Za-z0-9'\-])([A-Z])(?=\s*{JUDGED})"
)  # in other languages
_CONTRASTED = re.compile(
    rf"\b(?i:{CONTRAST}|not|but|than|over|of|nor|either|or|it's|it(?: must| should| would| has to)? be|it is)"
    rf"\s+([A-HJ-Z]){_NO_MORE}(?={_ENDS}|{_GOES_ON})"
)
_HEAD = re.compile(
    rf"[\s\"':.\-]*(?:(?:la|le|el|il|die|der|das|het)\s+)?(?:(?:the\s+)?(?:letter|option|choice)\s+)?(?!n/a\b){_LETTER}",
    re.IGNORECASE,
)
_HEAD_ENDS = re.compile(_ENDS)
_HEAD_GOES_ON = re.compile(rf"{_GOES_ON}|\s*(?:{JOINED})\s*[A-Z]{_NO_MORE}", re.IGNORECASE)
_MORE = re.compile(
    rf"[\"']?\s*(?:,\s*(?:and|or)\b|[,/&+;、]|\band\b|\bor\b|{JOINED})\s*(?:option\s+)?[(\[\"']?{_LETTER}[)\]]?"
    rf"(?={_ENDS}|\s+(?:and|or|is|are)\b|[\u0e00-\uffff])",
    re.IGNORECASE,
)
_ALONE = re.compile(r"(?<![\w'#♯♭\-.])([A-Za-z])(?![\w'#♯♭\-])")
_PREFIX = re.compile(r"\s*[(\[]?([A-Za-z])[)\].:]\s+(?=\S)")
# Between a letter and the words of the same option, and between words and the letter behind them.
_BEFORE_WORDS = re.compile(
    r"[\s.):,;\-\"'(\]=>]*(?:\b(?:(?:which|that|this)\s+is|i\.?e\.?,?|is|means|meaning|says)\b[\s:,\"'(]*)?"
    r"(?:\b(?:the|an?)\b)?[\s\"'(]*",
    re.IGNORECASE,
)
_BEFORE_LETTER = re.compile(r"[\s,\-\"')\]]*(?:\b(?:which\s+is|is|i\.?e\.?,?)\b)?[\s\"'(]*", re.IGNORECASE)

_QUOTES, _STOPS = "\"'`“”„‟‘’‚‛«»‹›「」『』", ".。．｡"
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("“”„‟«»「」『』″", '"'),
        **dict.fromkeys("‘’‚‛‹›′´", "'"),
        **dict.fromkeys("‐‑‒–−﹣－", "-"),
        **dict.fromkeys("—―⸺", " - "),
        # white space that is not seen, marks of direction, soft hyphens
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u202a\u202b\u202c\u202d\u202e", ""),
        "【": "[",
        "】": "]",
        "⁄": "/",  # as in ½
        **{power: f"^{digit}" for digit, power in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    }
)
_BLANKS = re.compile(r"[^\S\n]+")
_EMPHASIS = re.compile(r"\*+|`+|(?<!\w)_+(?=\w)|(?<=\w)_+(?!\w)|^#{1,6}\s+", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Options:
    """A question's options, prepared. Indices are those of the first option with the same string.

    plain: each as plain_text. letters: upper-case letter -> the option at that place, or the one that itself
    begins "(B) ".
    named: letter -> options that are just that letter. said: the other options as lower-case text without the
    blanks that do not matter (`tight`), longest first, each with a pattern where it can be written in several
    ways, and the ways it is written in the options with their options.
    """

    plain: tuple[str, ...]
    letters: dict[str, int]
    named: dict[str, frozenset[int]]
    said: tuple[tuple[str, re.Pattern[str] | None, tuple[tuple[str, int], ...]], ...]


@dataclass(frozen=True, kw_only=True)
class Mention:
    """Options named at [start, end): usually one, several where it can be read in several ways or the letter
    contradicts the words, none where a letter is beyond the options.

    could: what the letter may mean beside words. letter, words: which of them names it.
    """

    start: int
    end: int
    options: frozenset[int]
    could: frozenset[int] = frozenset()
    letter: bool = False
    words: bool = False


def plain_text(text: str) -> str:
    """Compatibility forms, quotes, dashes and blanks made uniform; emphasis of Markdown taken away."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_PLAIN)).translate(_PLAIN)
    return _BLANKS.sub(" ", _EMPHASIS.sub("", text)).strip()


def trimmed(text: str) -> str:
    """Without blanks and quotes around it and full stops at its end."""
    if text[:1].isalnum() and text[-1:].isalnum():
        return text
    return text.strip().strip(_QUOTES + " \t\n").rstrip(_STOPS + _QUOTES + " \t\n")


@lru_cache(maxsize=1 << 14)
def first_places(choices: tuple[str, ...]) -> tuple[int, ...]:
    """For each option the index of the first with the same string."""
    first: dict[str, int] = {}
    return tuple(first.setdefault(choice, place) for place, choice in enumerate(choices))


@lru_cache(maxsize=1 << 14)
def options_of(choices: tuple[str, ...]) -> Options:
    """Prepare a question's options."""
    firsts = first_places(choices)
    forms = tuple(plain_text(choice) for choice in choices)
    plain = [trimmed(form) for form in forms]
    prefixes = [match for match in map(_PREFIX.match, plain) if match]
    own = [match[1].upper() for match in prefixes]
    if len(choices) > 1 and len(own) == len(choices) == len(set(own)):
        letters = dict(zip(own, firsts))
        written = [*zip(plain, firsts), *((p[m.end() :], f) for p, m, f in zip(plain, prefixes, firsts))]
    else:
        letters = {chr(ord("A") + place): first for place, first in enumerate(firsts[:26])}
        written = [*zip(plain, firsts)]
    named: dict[str, frozenset[int]] = {}
    said: dict[str, dict[tuple[str, int], None]] = {}
    for text, first in written:
        if len(text) == 1 and text.isascii() and text.isalpha():
            named[text] = named.get(text, frozenset()) | {first}
        elif text:
            said.setdefault(tight(_lower(text)), {})[text, first] = None
    longest = sorted(said, key=lambda text: -len(text))
    ways = tuple((text, spelling(text), tuple(said[text])) for text in longest)
    return Options(plain=forms, letters=letters, named=named, said=ways)


def quoted(text: str, options: Options) -> list[Mention]:
    """Options named by their words: whole words, and of those that share text the longest."""
    low = _lower(text)
    taken = bytearray(len(text))
    found: list[Mention] = []
    for said, pattern, ways in options.said:
        for at, end in _places(low, said, pattern):
            if 1 not in taken[at:end] and whole(text, at, end) and meant(text, said, at, end):
                found.append(Mention(start=at, end=end, words=True, options=_written(text[at:end], ways)))
                taken[at:end] = b"\1" * (end - at)
    return sorted(found, key=lambda mention: mention.start)


def _places(low: str, said: str, pattern: re.Pattern[str] | None) -> Iterator[tuple[int, int]]:
    """Where an option could stand; places may overlap."""
    at = -1
    while True:
        if pattern is None:
            at = low.find(said, at + 1)
            end = at + len(said)
        else:
            match = pattern.search(low, at + 1)
            at, end = match.span() if match else (-1, -1)
        if at < 0:
            return
        yield at, end


def _written(said: str, ways: Sequence[tuple[str, int]]) -> frozenset[int]:
    """The options that are written so: to the letter, else but for blanks, else but for case."""
    for form in (str, tight):
        if exact := frozenset(option for way, option in ways if form(way) == form(said)):
            return exact
    return frozenset(option for _, option in ways)


def mentions(text: str, words: Sequence[Mention], options: Options, *, heads: Iterable[int]) -> list[Mention]:
    """All mentions in order: `words` (from `quoted`), letters, and letters joined with their words.

    heads: places where an answer may begin, and so a letter may stand without any mark.
    """
    found = list(words)
    starts = {mention.start for mention in words}
    taken = bytearray(len(text))
    for mention in words:
        taken[mention.start : mention.end] = b"\1" * (mention.end - mention.start)

    def add(letter: str, start: int, end: int, *, marked: bool) -> bool:
        if 1 in taken[start:end]:
            return False
        taken[start:end] = b"\1" * (end - start)
        one = _lettered(letter, options, start=start, end=end, marked=marked)
        if one.could or letter != "I":
            found.append(one)
        return True

    def add_list(letter: str, start: int, end: int, *, marked: bool) -> None:
        new = add(letter, start, end, marked=marked)
        while new and (more := _MORE.match(text, end)):
            start, end = more.start(1), more.end()
            new = more[1] != "I" and add(more[1], start, end, marked=marked)

    for pattern in (_BRACKETED, _NAMED, _CLOSED, _ELSEWHERE):
        for match in pattern.finditer(text):
            add_list(match[match.lastindex or 1], *match.span(), marked=True)
    for place in heads:
        head = _HEAD.match(text, place)
        if head and _is_letter(text, head, starts):
            add_list(head[1], head.start(1), head.end(), marked=False)
    for pattern in (_JUDGED, _CONTRASTED):
        for match in pattern.finditer(text):
            add_list(match[1], *match.span(1), marked=False)
    if options.named:
        for match in _ALONE.finditer(text):
            one, (start, end) = options.named.get(match[1]), match.span(1)
            if one and 1 not in taken[start:end] and (match[1] not in "AaI" or _HEAD_ENDS.match(text, end)):
                found.append(Mention(start=start, end=end, options=one, words=True))
    return _joined(text, sorted(found, key=lambda mention: mention.start))


def _lettered(letter: str, options: Options, *, start: int, end: int, marked: bool) -> Mention:
    """A letter: by itself an option that is that letter comes before the place that has it."""
    same = (found for name, found in options.named.items() if name.lower() == letter.lower())
    named = options.named.get(letter) or frozenset[int]().union(*same)
    place = options.letters.get(letter.upper())
    could = named if place is None else named.union((place,))
    meant = could if marked or not named else named
    return Mention(start=start, end=end, letter=True, options=meant, could=could)


def _is_letter(text: str, head: re.Match[str], starts: set[int]) -> bool:
    letter, end = head[1], head.end()
    if _HEAD_ENDS.match(text, end):
        return True
    if text[end : end + 1] == ".":
        return end + 1 in starts
    if text[end : end + 1] > "\u2e7f":  # Chinese goes on without a blank
        return letter.isupper()
    if letter.islower() or letter == "I":
        return False
    if _HEAD_GOES_ON.match(text, end):
        return True
    return letter != "A" and text[end : end + 1] == " " and end + 1 in starts


def _joined(text: str, found: Sequence[Mention]) -> list[Mention]:
    """Letters joined with the words beside them; a pair that does not agree names both options."""
    done: list[Mention] = []
    for place, one in enumerate(found):
        if done and _belongs(text, done[-1], one):
            # in "(A) Man (B) Woman" the second letter is not the first words'
            further = found[place + 1] if one.letter and place + 1 < len(found) else None
            if (
                further is None
                or not _belongs(text, one, further)
                or set(",\n") & set(text[one.end : further.start])
            ):
                done[-1] = _pair(done[-1], one)
                continue
        done.append(one)
    return done


def _belongs(text: str, one: Mention, two: Mention) -> bool:
    """Whether a letter and words, in either order, stand together."""
    if (one.letter and one.words) or one.letter == two.letter:
        return False
    between = text[one.end : two.start]
    if len(between) > 40 or not (_BEFORE_WORDS if one.letter else _BEFORE_LETTER).fullmatch(between):
        return False
    words = two if one.letter else one
    if words.end - words.start == 1 and not set(".):(") & set(text[one.start : two.end]):
        return False  # words that are a letter: "C. E" is a pair, "C, E" a list
    return "\n" not in between or text[two.end : two.end + 1] in ("", "\n", ".")


def _pair(one: Mention, two: Mention) -> Mention:
    letter, words = (one, two) if one.letter else (two, one)
    # a letter beyond the options contradicts any words: NO_OPTION stands for it
    options = (letter.could & words.options) or words.options | (letter.could or {NO_OPTION})
    return Mention(start=one.start, end=two.end, options=options, letter=True, words=True)


def _lower(text: str) -> str:
    """Lower case of the same length, so that places in it are places in the text."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)

"""Which option a free text states, by its letter or its words: the rule letter_aware of core.metrics.choice.

Read is the last answer after any thinking, in English and, where their words say so, in some thirty other
languages. What states an answer, in this order:

1. a text that is an option, up to case, blanks, quotes and a final full stop;
2. an answer announced ("Final answer:", "The answer is", "I choose", a box, JSON, <answer>) or standing alone
   as a sentence or line: the last of these;
3. an option that opens the text as a statement ("Man, because ...");
4. the last option named in running text.

An option is named by its letter as letters are written ("B.", "(B)", "option B"; never the article "a" or the
pronoun "I") or by all its words, as whole words and not inside a longer option. What is denied ("not A",
"rather than a dog", "B is wrong") is not named. Several in a list, or a letter beside the words of another
option, are ambiguous; a letter beyond the options states nothing. Blanks beside punctuation, between groups
of digits and marks of emphasis change nothing. A part of a number ("10" in "10 000"), what is reckoned or
added in brackets, and words such as "no" in "no idea" name no option. An option that is a single letter is
meant by that letter before the place is ("C" of C, E, G); where both could be, as in "(C)", it is ambiguous.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal, TypeAlias

from core.metrics.choice_final import announced, final_text
from core.metrics.choice_languages import BESIDE_NOT, CUES, JOINED, NOT, NOT_CJK, WRONG
from core.metrics.choice_mentions import (
    NO_OPTION,
    Mention,
    Options,
    first_places,
    mentions,
    options_of,
    quoted,
    trimmed,
)

Status: TypeAlias = Literal["answered", "unparsed", "ambiguous"]
Span: TypeAlias = tuple[int, int]

_CUE = re.compile(
    r"\b(?:answer|choice|option|selection|response|conclusion|output)"
    r"(?:\s+(?:choice|here|option|to (?:the|this) question))?"
    r"\s*(?:\b(?:is|was|would be|should be|must be|has to be|will be)\b|:|=|-+>|→)\s*:?"
    r"|\b(?:correct|right|best|most likely)\s+one\s+(?:is|would be)\b:?"
    r"|\bI(?:'d|'ll|\s+would|\s+will|\s+must|\s+have to)?"
    r"\s+(?:choose|select|pick|chose|go with|opt for|say|guess)\b:?"
    rf"|{CUES}",
    re.IGNORECASE,
)
_BREAK = re.compile(r"(?<![.!?])[.!?]++[\"')\]]*(?=\s|$)|[。！？]|;\s|\n+")
_LEAD = (
    r"(?:(?:the|my|final|correct|best|right)\s+)*(?:answer|choice|option|letter)(?:\s+is)?|"
    r"so|thus|hence|therefore|then|ok|okay|well|actually|wait|no|yes|sorry|hmm|sure|certainly|correction|"
    r"i mean|i think|i believe|i guess|i would say|i'd say|i say|maybe|probably|likely|perhaps|definitely|"
    r"clearly|finally|it is|it's|it was|its|this is|that is|that's|they are|these are|there is|there are|"
    r"is|the|but|just|both|either|correct|right"
)
# possessive: an output may say the same words a thousand times
_LEADS = re.compile(rf"(?:\b(?:{_LEAD})\b|[^\w])++", re.IGNORECASE)
_LEADS_ARTICLES = re.compile(rf"(?:\b(?:{_LEAD}|an?)\b|[^\w])++", re.IGNORECASE)
_LIST = re.compile(
    r"[\s,;/|&+.:\-\"'()\[\]•、，。]*"
    rf"(?:\b(?:and|or|nor|then|also|both|either|as well as|but also|vs|versus)\b[\s,.]*|(?:{JOINED})\s*)*"
    r"(?:\b(?:the|an?)\b\s*)?(?:\d+[.)]\s*)?[\s\"'(]*",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"(?:\b(?:not|no|never|cannot|neither|nor|without|than|unlike|excluding|excludes?|except|"
    rf"{NOT}|instead of|other than|opposed to|compared (?:to|with)|different from|rules? out|"
    r"ruled out|ruling out|eliminate[sd]?|eliminating)|n't)\b"
    r"(?:\s+(?:an?|the|any|hear|heard|sounds?|of|like|option|choice|answer|letter|really|necessarily|be|is|"
    r"to|it|by|with|from|there|as|see|have|contain|indicate|suggest|being|think|"
    rf"{BESIDE_NOT})\b){{0,6}}\s*[(\"'\[]*$|(?:{NOT_CJK})[\s\"'(]*$",
    re.IGNORECASE,
)
_WRONG = re.compile(
    r"[\s\"')\]]*(?:,\s*which\s+|[:\-]\s*)?"
    r"(?:(?:(?:is|was|are|were|seems?|looks?|would be|can be|could be|must be)\s+)?"
    r"(?:(?:clearly|definitely|also|likely|probably|most|very|simply|therefore|to be)\s+)*"
    r"(?:(?:incorrect|wrong|unlikely|impossible|implausible|false|ruled out|eliminated|excluded)\b|"
    r"(?:not|isn't|wasn't|aren't)\b(?=\s*(?:$|[.,;:!?)])|\s+(?:the|an?|correct|right|present|heard|likely|it|"
    r"mentioned|audible|plausible|possible|supported|consistent|accurate|applicable|evident)\b))|"
    r"(?:cannot|can't|can not|could not|couldn't)\s+be\b|"
    rf"(?:does not|doesn't|do not|don't)\s+(?:fit|match|apply|seem|make sense|correspond)\b)|{WRONG}",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"\b(?:because|since|as|due|for|given|based|while|although|though|but|not|unlike|than|where|when|with|"
    r"from|by)\b",
    re.IGNORECASE,
)
_BECAUSE = re.compile(r"\s+(?:because|since|due to|given that|based on)\b", re.IGNORECASE)
_JOINER = re.compile(rf"\b(?:or|nor|and)\b|{JOINED}", re.IGNORECASE)
_LONGEST_JOINT = 60  # characters between two mentions of one list


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Which option an output states, as an index; None unless status is "answered".

    unparsed: it states none. ambiguous: it states several. reason: why not, where a parser says so.
    """

    option: int | None
    status: Status
    reason: str = ""


def stated_option(output: str, choices: tuple[str, ...]) -> Reading:
    """Read one output; `choices` in the order shown. Of options with the same string the first is meant."""
    options = options_of(choices)
    letters = {letter.upper() for letter in options.named}
    seen, text = "", output
    for step in (str.strip, final_text, partial(announced, letters=letters)):
        text = step(text)
        found = equal_to(text, choices) if text != seen else []
        if found:
            return _reading(frozenset(found))
        seen = text
    like = {options.plain[place] for place in equal_to(text, options.plain)}
    if like:
        same = zip(first_places(choices), options.plain)
        return _reading(frozenset(first for first, plain in same if plain in like))
    return _stated(text, options)


def equal_to(output: str, choices: tuple[str, ...]) -> list[int]:
    """The options that an output is, the first of each string: those it is exactly, else but for quotes and
    full stops, else but for case too."""
    for form, texts in zip(_FORMS, _forms(choices)):
        said = form(output)
        found = [place for place, text in texts if text == said] if said else []
        if found:
            return found
    return []


def _folded(text: str) -> str:
    return trimmed(text).casefold()


_FORMS: tuple[Callable[[str], str], ...] = (str.strip, trimmed, _folded)


@lru_cache(maxsize=1 << 14)
def _forms(choices: tuple[str, ...]) -> tuple[tuple[tuple[int, str], ...], ...]:
    """For each of _FORMS the options, the first of each string, in that form."""
    firsts = sorted(set(first_places(choices)))
    return tuple(tuple((place, form(choices[place])) for place in firsts) for form in _FORMS)


def _reading(options: frozenset[int]) -> Reading:
    if len(options - {NO_OPTION}) == len(options) == 1:
        return Reading(option=next(iter(options)), status="answered")
    return Reading(option=None, status="ambiguous" if options else "unparsed")


def _stated(text: str, options: Options) -> Reading:
    words = quoted(text, options)
    sentences = _sentences(text, words)
    cues = [cue.end() for cue in _CUE.finditer(text) if not _inside(words, cue.start())]
    leads = [_LEADS.match(text, start, end) for start, end in sentences]
    heads = [start for start, _ in sentences] + [lead.end() for lead in leads if lead] + cues
    found = mentions(text, words, options, heads=heads)
    if not found:
        return _reading(frozenset())
    starts = [start for start, _ in sentences]
    home = [bisect_right(starts, mention.start) - 1 for mention in found]
    denied = _denied(text, found, [sentences[i] for i in home])
    alone = _alone(text, found, home, sentences)
    asides = _asides(text, found, home)
    kept = [place for place in range(len(found)) if not denied[place] and place not in asides]
    kept = kept or [place for place in range(len(found)) if not denied[place]]

    events = [kept[at] for cue in cues if (at := _announces(text, found, kept, sentences, starts, cue)) >= 0]
    events += [place for place in kept if home[place] in alone]
    if not events and kept and _opens(text, found[kept[0]], sentences[0]):
        events = kept[:1]
    if not events:
        events = [place for place in kept if found[place].options]
    if not events:
        return _reading(frozenset())
    last = max(events)
    run = _run(text, found, kept, home, alone, last)
    named = frozenset[int]().union(*(found[place].options for place in run))
    if len(run) > 1 and not all(found[place].options for place in run):
        named |= {NO_OPTION}
    if len(run) == 1:
        rest = [p for p in kept[kept.index(last) + 1 :] if home[p] == home[last] and found[p].words]
        named |= _contradiction(text, found[last], [found[place] for place in rest])
    return _reading(named)


def _sentences(text: str, words: Sequence[Mention]) -> list[Span]:
    """Sentences and lines, never cut inside an option, nor behind a letter that opens one ("B. A dog.")."""
    spans: list[Span] = []
    start = 0
    for stop in _BREAK.finditer(text):
        if _inside(words, stop.start()):
            continue
        piece = text[start : stop.start()].strip(" \"'()[]")
        if stop[0][0] == "." and len(piece) == 1 and piece.isascii() and piece.isalpha():
            continue
        if piece or stop.start() > start:
            spans.append((start, stop.end()))
            start = stop.end()
    if start < len(text):
        spans.append((start, len(text)))
    return spans


def _inside(words: Sequence[Mention], place: int) -> bool:
    at = bisect_right(words, place, key=lambda mention: mention.start) - 1
    return at >= 0 and place < words[at].end


def _denied(text: str, found: Sequence[Mention], sentences: Sequence[Span]) -> list[bool]:
    """Which mentions are said not to be the answer; sentences: that of each. "not A or B" denies both."""
    denied: list[bool] = []
    for place, (mention, (start, end)) in enumerate(zip(found, sentences)):
        before = text[max(start, mention.start - 80) : mention.start]
        no = _NOT.search(before) is not None or _WRONG.match(text, mention.end, end) is not None
        if denied and denied[-1] and not no:
            between = text[found[place - 1].end : mention.start]
            if _listed(between) and "." not in between:
                no = _JOINER.search(between) is not None or _leads_to_or(text, found, place)
        denied.append(no)
    return denied


def _leads_to_or(text: str, found: Sequence[Mention], place: int) -> bool:
    """Whether a list goes on behind a mention to an "or": "not a dog, a cat or a cow"."""
    for one, two in zip(found[place : place + 8], found[place + 1 : place + 9]):
        between = text[one.end : two.start]
        if not _listed(between) or "." in between:
            return False
        if _JOINER.search(between):
            return True
    return False


def _listed(between: str) -> bool:
    return len(between) <= _LONGEST_JOINT and _LIST.fullmatch(between) is not None


def _alone(text: str, found: Sequence[Mention], home: Sequence[int], sentences: Sequence[Span]) -> set[int]:
    """The sentences that are nothing but mentions, with words such as "I think it is" before them."""
    rest: dict[int, list[str]] = {}
    at: dict[int, int] = {}
    for mention, i in zip(found, home):
        rest.setdefault(i, []).append(text[at.get(i, sentences[i][0]) : mention.start])
        at[i] = mention.end
    left = {i: " ".join((*pieces, text[at[i] : sentences[i][1]])) for i, pieces in rest.items()}
    return {i for i, words in left.items() if not words.strip() or _LEADS_ARTICLES.fullmatch(words)}


def _announces(
    text: str,
    found: Sequence[Mention],
    kept: Sequence[int],
    sentences: Sequence[Span],
    starts: Sequence[int],
    cue: int,
) -> int:
    """Where in `kept` the first mention behind a cue is: in its sentence or, where that ends with the cue, in
    the next; -1 for none."""
    i = max(0, bisect_right(starts, cue - 1) - 1)
    while i < len(sentences) and not re.search(r"\w", text[max(cue, sentences[i][0]) : sentences[i][1]]):
        i += 1
    at = bisect_left(kept, cue, key=lambda place: found[place].start)
    return at if i < len(sentences) and at < len(kept) and found[kept[at]].start < sentences[i][1] else -1


def _opens(text: str, mention: Mention, sentence: Span) -> bool:
    """Whether a mention opens the first sentence as a statement: "Man because ...", "B. It is ..."."""
    before = text[sentence[0] : mention.start]
    if before.strip() and _LEADS_ARTICLES.fullmatch(before) is None:
        return False
    behind = text[mention.end : mention.end + 2].lstrip(" ")
    return _BECAUSE.match(text, mention.end) is not None or behind[:1] in tuple(
        ",:;-=([.)" if mention.letter else ",:;-=(["
    )


def _asides(text: str, found: Sequence[Mention], home: Sequence[int]) -> set[int]:
    """Mentions in brackets that say more than the option, behind another of their sentence, and numbers that
    are only reckoned with: "5 (2 dogs + 3 cats)" and "5 = 2 + 3" are 5, while "a dog (or a cat)" is two."""
    asides = (
        {place for place, mention in enumerate(found) if _reckoned(text, mention)} if "=" in text else set()
    )
    for place in range(1, len(found)):
        one, two = found[place - 1], found[place]
        if home[place - 1] != home[place]:
            continue
        between = text[one.end : two.start]
        opened = max(between.rfind("("), between.rfind("["))
        closed = max(between.rfind(")"), between.rfind("]"))
        inside = place - 1 in asides and closed < 0
        if inside or (opened > closed and _says_more(text, between[opened + 1 :], two)):
            asides.add(place)
    return asides


def _reckoned(text: str, mention: Mention) -> bool:
    """Whether a number is added, taken away or multiplied."""
    before, behind = text[max(0, mention.start - 4) : mention.start], text[mention.end : mention.end + 4]
    return bool(re.search(r"\d\s*[+×*x\-]\s*$", before) or re.match(r"\s*[+×*x\-]\s*\d", behind))


def _says_more(text: str, before: str, mention: Mention) -> bool:
    """Whether brackets hold a joiner-less text around an option, and not the option alone."""
    behind = re.split(r"[)\]]", text[mention.end : mention.end + 200], maxsplit=1)[0]
    return _JOINER.search(before) is None and re.search(r"\w", before + behind) is not None


def _run(
    text: str, found: Sequence[Mention], kept: Sequence[int], home: Sequence[int], alone: set[int], place: int
) -> list[int]:
    """The list that a mention belongs to: with only commas, "and" or "or" between them, in its sentence or
    alone on lines one below the other."""

    def together(one: int, two: int) -> bool:
        apart = home[two] - home[one]
        near = apart == 0 or (apart == 1 and home[one] in alone and home[two] in alone)
        between = text[found[one].end : found[two].start]
        # "5: 2 dogs and 3 cats" explains, "A: Man, B: Woman" lists
        return near and (found[one].letter or ":" not in between) and _listed(between)

    first = last = kept.index(place)
    while first and together(kept[first - 1], kept[first]):
        first -= 1
    while last + 1 < len(kept) and together(kept[last], kept[last + 1]):
        last += 1
    return list(kept[first : last + 1])


def _contradiction(text: str, mention: Mention, rest: Sequence[Mention]) -> frozenset[int]:
    """Behind a bare letter: the one other option that the rest of its sentence states, reasons aside."""
    if mention.words or not rest or _REASON.search(text[mention.end : rest[0].start]):
        return frozenset()
    stated = frozenset[int]().union(*(other.options for other in rest))
    return stated if len(stated) == 1 and not stated & mention.could else frozenset()

"""Which of several keys a free answer states, and so whether it is right: correctness from the timeline.

A key is mentioned where one of its aliases stands in the answer, whole words, without case, punctuation and
articles. The first mention counts, unless it only tells what is not meant or where to look: behind a negation
("not a dog barking", "isn't a dog", "neither dog nor cat"), a comparison ("longer than rain falling") or a
time ("after a siren wailing"); what "or" joins to such a mention is none either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# What stands right behind one of these words is no statement, also across words like "any sound of".
_NEGATIONS = ("not", "no", "never", "neither", "nor", "cannot", "without", "excluding", "except", "instead")
_ASIDE = frozenset((*_NEGATIONS, "than", "unlike", "compared", "after", "before"))
_BETWEEN = frozenset(
    (
        "sound",
        "sounds",
        "of",
        "any",
        "to",
        "with",
        "hear",
        "heard",
        "be",
        "like",
        "really",
        "actually",
        "even",
    )
)
_ARTICLES = frozenset(("a", "an", "the"))


class StatedError(ValueError):
    """Options that cannot be told apart, or a key that is not one of them."""


class Mention(NamedTuple):
    """A key in an answer: place of its first word, words, whether it is only an aside."""

    start: int
    length: int
    key: str
    aside: bool


def normalise(text: str) -> list[str]:
    """Lower-case words without punctuation and articles: "It's a dog-bark." -> it's, dog, bark."""
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().replace("’", "'"))
    return [word for word in words if word not in _ARTICLES]


def mentions(
    answer: str, options: Sequence[str], aliases: Mapping[str, Sequence[str]] | None = None
) -> list[Mention]:
    """All mentions of options, in order; of those that share words the longest.

    An option is also said by its own words ("dog_bark": "dog bark"). Raises StatedError for options that are
    repeated, have no words, or share an alias.
    """
    said = _said(options, aliases or {})
    words = normalise(answer)
    longest = max((len(alias) for alias in said), default=0)
    found: list[Mention] = []
    at = 0
    while at < len(words):
        for length in range(min(longest, len(words) - at), 0, -1):
            key = said.get(tuple(words[at : at + length]))
            if key is not None:
                found.append(Mention(at, length, key, _aside(words, at, found)))
                at += length - 1
                break
        at += 1
    return found


def stated(
    answer: str, options: Sequence[str], aliases: Mapping[str, Sequence[str]] | None = None
) -> str | None:
    """The one of `options` that an answer states first; None where it states none, or two joined by "or".

    Raises StatedError as `mentions`.
    """
    words = normalise(answer)
    meant = [mention for mention in mentions(answer, options, aliases) if not mention.aside]
    if not meant:
        return None
    one = meant[0]
    for two in meant[1:]:
        between = words[one.start + one.length : two.start]
        if two.key != one.key and between == ["or"]:
            return None
    return one.key


def correct(
    answer: str, key: str, options: Sequence[str], aliases: Mapping[str, Sequence[str]] | None = None
) -> bool:
    """Whether an answer states `key`; nothing stated is wrong. StatedError for a key not in options."""
    if key not in options:
        raise StatedError(f"the key {key!r} is not one of {list(options)}; give the question's own options")
    return stated(answer, options, aliases) == key


def _said(options: Sequence[str], aliases: Mapping[str, Sequence[str]]) -> dict[tuple[str, ...], str]:
    """Words of an alias -> its option."""
    if len(set(options)) < len(options):
        raise StatedError(f"options repeat: {list(options)}; each key must be there once")
    said: dict[tuple[str, ...], str] = {}
    for option in options:
        ways = [tuple(normalise(alias)) for alias in (*aliases.get(option, ()), option.replace("_", " "))]
        if not any(ways):
            raise StatedError(f"option {option!r} has no words to be recognised by; give it an alias")
        for words in filter(None, ways):
            if said.setdefault(words, option) != option:
                raise StatedError(
                    f"{' '.join(words)!r} could mean {said[words]!r} and {option!r}; give them other aliases"
                )
    return said


def _aside(words: Sequence[str], at: int, found: Sequence[Mention]) -> bool:
    """Whether the mention at a place is an aside, or joined by "or" to one right before it."""
    before = found[-1] if found else None
    if before is not None and before.aside and words[before.start + before.length : at] in (["or"], ["nor"]):
        return True
    at -= 1
    while at >= 0 and words[at] in _BETWEEN:
        at -= 1
    return at >= 0 and (words[at] in _ASIDE or words[at].endswith("n't"))

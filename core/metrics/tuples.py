"""Captions as tuples, and their precision, recall and F1: SPICE's idea for scenes with a timeline.

A caption says that events sound, ("dog_bark",), that one ends before another starts, ("before", "dog_bark",
"rain"), and that two sound together, ("with", "dog_bark", "rain"), whose labels are sorted. The truth comes
from the timeline, so nobody needs a parser or a judge.

A caption loses its brackets (core.scenes.algebra), and only what it says under every reading counts. Of
"A before B and C", read (A+B)*C or A+(B*C), that is ("before", A, B). In general a run of events joined by
connectives says "before" of two events with nothing but sequences between them, and "with" only of two events
that are the whole run. So all tuples of a true caption are true of its timeline.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise
from typing import TypeAlias

import numpy as np

from core.scenes.algebra import Op
from core.scenes.captions import ADVERBS, HELD_OUT, PAPER, TRAIN, Connectives
from core.scenes.timeline import Span, before, hull, overlaps

Book: TypeAlias = Mapping[str, Sequence[str]]
Tuples: TypeAlias = frozenset[tuple[str, ...]]

# Connectives of free text, beyond those that captions are written with.
FREE = Connectives(
    sequence=("then", "next", "later", "finally", "and finally", "and after that", "after that"),
    overlay=("as", "during", "at the same time", "and at the same time", "simultaneously with"),
)
# Words around a connective that say nothing: "A can be heard, and then there is the sound of B".
_FILLERS = """a an the is are was were it we i you one can could be been hear heard hearing there sound sounds
sounding loud quiet of which"""
FILLERS = frozenset(re.findall(r"\w+", _FILLERS))
_SECONDS = r"\d+(?:\.\d+)?(?:\s*(?:s|sec|seconds?))?"
_TIMES = re.compile(  # "from 0.4 to 1.2 seconds", "for a while in the middle": when something is heard
    rf"\b(?:(?:(?:from|between|at|for|until)\s+)?{_SECONDS}(?:\s*(?:to|and|-|–)\s*{_SECONDS})?"
    r"|for a while|briefly|at the (?:beginning|start|end)|in the (?:beginning|middle|end))(?!\w)"
)
_NO_WORD = re.compile(r"[^\w\s]|_")


class TupleError(ValueError):
    """A phrase book or a truth that tuples cannot be taken from."""


@dataclass(frozen=True, kw_only=True)
class TupleScores:
    """Precision, recall and F1 in [0, 1] of N captions, (N,) each."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


def scene_tuples(text: str, book: Book) -> Tuples:
    """What any text says of a scene; empty for a text without a phrase of the book.

    Events are found by the longest phrase of `book` (label -> phrases), or the label's own words, from left
    to right. Two neighbours are joined where exactly a connective (and FILLERS) stands between them. Whatever
    else the text says is ignored. Raises TupleError where two labels share a phrase.
    """
    names, pattern = _index(tuple((label, tuple(phrases)) for label, phrases in book.items()))
    plain = _plain(_TIMES.sub(" ", text.lower()))
    found = list(pattern.finditer(plain))
    labels = [names[match.group()] for match in found]
    joints = [_joint(plain[one.end() : other.start()].split()) for one, other in pairwise(found)]
    said = {(label,) for label in labels} | set(_sequences(labels, joints)) | set(_overlays(labels, joints))
    return frozenset(said)


def reference_tuples(captions: Iterable[str], book: Book) -> Tuples:
    """What any of an item's reference captions says, as in SPICE; for data sets without a timeline."""
    return frozenset().union(*(scene_tuples(caption, book) for caption in captions))


def timeline_tuples(events: Iterable[tuple[str, float, float]]) -> Tuples:
    """All that is true of a timeline of (label, start, end), seconds; several events of a label are one hull.

    The relations are those of core.scenes.timeline. Spaces in labels become underscores, as in the bank.
    """
    spans: dict[str, list[Span]] = {}
    for label, start, end in events:
        spans.setdefault(label.replace(" ", "_"), []).append(Span(start, end))
    hulls = {label: hull(each) for label, each in sorted(spans.items())}
    said: set[tuple[str, ...]] = {(label,) for label in hulls}
    for one, other in combinations(hulls, 2):
        if overlaps(hulls[one], hulls[other]):
            said.add(("with", one, other))
        elif before(hulls[one], hulls[other]):
            said.add(("before", one, other))
        elif before(hulls[other], hulls[one]):
            said.add(("before", other, one))
    return frozenset(said)


def tuple_scores(
    said: Sequence[AbstractSet[tuple[str, ...]]], true: Sequence[AbstractSet[tuple[str, ...]]]
) -> TupleScores:
    """Tuples said against tuples true, item by item; who says nothing, or nothing true, has 0 in all three.

    Raises TupleError for an item of which nothing is true.
    """
    if len(said) != len(true) or not said:
        raise TupleError(f"{len(said)} captions for {len(true)} scenes: give one for each, and one at least")
    if empty := [index for index, each in enumerate(true) if not each]:
        raise TupleError(
            f"nothing is true of {len(empty)} items, the first {empty[0]}: its timeline is empty, or its "
            "references hold no phrase of the book"
        )
    hits = np.array([len(one & other) for one, other in zip(said, true)], dtype=np.float64)
    claimed = np.array([len(each) for each in said])
    precision = hits / np.maximum(claimed, 1)
    recall = hits / np.array([len(each) for each in true])
    f1 = 2 * precision * recall / np.where(hits > 0, precision + recall, 1.0)
    return TupleScores(precision=precision, recall=recall, f1=f1)


def _sequences(labels: Sequence[str], joints: Sequence[tuple[Op, bool] | None]) -> Iterable[tuple[str, ...]]:
    """("before", a, b) of every two events with only sequences of one direction between them."""
    run: tuple[Op, bool] | None = None
    heard: set[str] = (
        set()
    )  # in this run; not one pair an event, or a caption in a loop would cost its square
    for place, joint in enumerate(joints):
        if joint != run:
            run, heard = joint, set()
        if joint is None or joint[0] != "+":
            continue
        heard.add(labels[place])
        b = labels[place + 1]
        for a in heard - {b}:
            yield ("before", b, a) if joint[1] else ("before", a, b)


def _overlays(labels: Sequence[str], joints: Sequence[tuple[Op, bool] | None]) -> Iterable[tuple[str, ...]]:
    """("with", a, b) of two events that are joined to each other and to nothing else."""
    around = [None, *joints, None]
    for place, joint in enumerate(joints):
        alone = around[place] is None and around[place + 2] is None
        if joint is not None and joint[0] == "*" and alone and labels[place] != labels[place + 1]:
            yield ("with", *sorted(labels[place : place + 2]))


def _joint(words: list[str]) -> tuple[Op, bool] | None:
    """The operator of the words between two phrases, and whether it reverses them; None for no connective."""
    first, last = 0, len(words)
    while True:
        known = _CONNECTIVES.get(" ".join(words[first:last]))
        if known is not None or first == last:
            return known
        if words[first] in FILLERS:
            first += 1
        elif words[last - 1] in FILLERS:
            last -= 1
        else:
            return None


def _plain(text: str) -> str:
    return " ".join(_NO_WORD.sub(" ", text.lower()).split())


def _connectives() -> dict[str, tuple[Op, bool]]:
    known: dict[str, tuple[Op, bool]] = {"and " + "".join(edges): ("+", False) for edges in ADVERBS}
    for words in (FREE, PAPER, TRAIN, HELD_OUT):
        known |= dict.fromkeys(words.overlay, ("*", False))
        known |= dict.fromkeys(words.sequence, ("+", False))
        known |= dict.fromkeys(words.reversed, ("+", True))
    return known


_CONNECTIVES = _connectives()


@lru_cache(maxsize=8)
def _index(book: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[dict[str, str], re.Pattern[str]]:
    """Plain phrase -> label, and a pattern that finds the longest phrase at a place."""
    names: dict[str, str] = {}
    for label, phrases in book:
        for phrase in map(_plain, phrases):
            if not phrase or names.setdefault(phrase, label) != label:
                other = names.get(phrase, "nothing")
                raise TupleError(f"{phrase!r} is a phrase of {other} and of {label}: reword one of them")
    if not names:
        raise TupleError("the phrase book is empty: no event could be found in any text")
    for label, _ in book:
        names.setdefault(_plain(label), label)
    longest_first = sorted(names, key=len, reverse=True)
    return names, re.compile(r"\b(?:" + "|".join(map(re.escape, longest_first)) + r")\b")

"""What a timeline settles clearly enough to be asked: order, overlap, length, place; and a caption's tree.

Everything is said of labels: all events of a label are one sound, from its first start to its last end, as in
`core.scenes.algebra`. Where a listener could argue, the answer is None and nothing is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from core.scenes.algebra import Leaf, Node, Tree, always_true, holds
from core.scenes.places import PLACES, places_of
from core.scenes.timeline import Scene, Span, before, overlaps

Relation: TypeAlias = Literal["before", "after", "together"]

MARGIN = 0.2  # seconds by which starts, ends or lengths must differ to be told apart
RATIO = 1.25  # and lengths also by this factor
BRIEF = 0.95  # seconds: a shorter sound is heard "briefly"


@dataclass(frozen=True)
class Facts:
    """A scene's sounds: label -> Span, in order of their starts."""

    scene: Scene
    spans: Mapping[str, Span]

    def labels(self) -> tuple[str, ...]:
        return tuple(self.spans)

    def length(self, label: str) -> float:
        """Seconds from the first start to the last end."""
        return self.spans[label].end - self.spans[label].start


def facts(scene: Scene) -> Facts:
    """Gather the spans of a scene's labels."""
    spans: dict[str, Span] = {}
    for event in sorted(scene.events, key=lambda e: (e.start, e.label)):
        known = spans.get(event.label)
        end = event.end if known is None else max(known.end, event.end)
        spans[event.label] = Span(event.start if known is None else known.start, end)
    return Facts(scene, spans)


def relation(a: Span, b: Span) -> Relation | None:
    """How a lies to b: "before" and "after" as `timeline.before`, "together" as `timeline.overlaps`."""
    if before(a, b):
        return "before"
    if before(b, a):
        return "after"
    return "together" if overlaps(a, b) else None


def related(known: Facts, wanted: Relation) -> list[tuple[str, str]]:
    """Every ordered pair of labels of which the first lies so to the second."""
    spans = known.spans
    return [(a, b) for a in spans for b in spans if a != b and relation(spans[a], spans[b]) == wanted]


def first(known: Facts) -> str | None:
    """The label that starts before all others, None where two start at about the same time."""
    names = known.labels()
    if len(names) < 2:
        return None
    return names[0] if known.spans[names[1]].start - known.spans[names[0]].start >= MARGIN else None


def last(known: Facts) -> str | None:
    """The label that both starts and ends after all others."""
    names = known.labels()
    if len(names) < 2:
        return None
    rest = [known.spans[name] for name in names[:-1]]
    span = known.spans[names[-1]]
    late = span.start - max(s.start for s in rest) >= MARGIN and span.end - max(s.end for s in rest) >= MARGIN
    return names[-1] if late else None


def longest(known: Facts, *, shortest: bool = False) -> str | None:
    """The label that sounds clearly longer (or shorter) than every other."""
    names = sorted(known.spans, key=known.length, reverse=not shortest)
    if len(names) < 2:
        return None
    one, two = known.length(names[0]), known.length(names[1])
    return names[0] if _clear(min(one, two), max(one, two)) else None


def longer(known: Facts, a: str, b: str) -> str | None:
    """Which of two labels sounds clearly longer."""
    one, two = known.length(a), known.length(b)
    if not _clear(min(one, two), max(one, two)):
        return None
    return a if one > two else b


def neighbour(known: Facts, label: str, side: Literal["after", "before"]) -> str | None:
    """The sound heard next after (or before) a label, None where none is or several could be meant.

    It must lie clearly to the label, as all other sounds must, and nearer than all others on that side.
    """
    at = known.spans[label]
    beside: list[str] = []
    for other, span in known.spans.items():
        if other == label:
            continue
        lies = relation(span, at)
        if lies is None:
            return None
        if lies == side:
            beside.append(other)
    wanted: Relation = "before" if side == "after" else "after"
    for name in beside:
        if all(relation(known.spans[name], known.spans[o]) == wanted for o in beside if o != name):
            return name
    return None


def tree_of(known: Facts) -> Tree | None:
    """An expression tree that is true of the timeline and names all its labels; None where none is found.

    Sounds that follow each other are split at the first cut that leaves a sequence; where there is none, the
    longest sound is heard with the rest. A tree whose flat caption holds in every reading is preferred.
    """
    if not known.spans:
        return None
    found = [tree for late in (False, True) for tree in [_grow(known, known.labels(), late)]]
    for tree in found:
        if always_true(tree, known.scene):
            return tree
    return next((tree for tree in found if holds(tree, known.scene)), None)


@lru_cache(maxsize=64)
def homes(labels: tuple[str, ...]) -> Mapping[str, str]:
    """label -> its place, of the labels that are typical of exactly one."""
    found = {label: places_of((label,)) for label in labels}
    return {label: places[0] for label, places in found.items() if len(places) == 1}


@lru_cache(maxsize=64)
def place_counts(labels: tuple[str, ...]) -> Mapping[str, int]:
    """place -> how many of these labels are typical of it alone; the places in the order of PLACES."""
    counts = Counter(homes(labels).values())
    return {place: counts[place] for place in PLACES if counts[place]}


def moment(known: Facts, label: str) -> str:
    """When and for how long: "briefly at the beginning", "for a while in the middle". Thirds of the scene."""
    third = int(3 * known.spans[label].start / known.scene.duration)
    when = ("at the beginning", "in the middle", "at the end")[min(third, 2)]
    return f"{'briefly' if known.length(label) < BRIEF else 'for a while'} {when}"


def _clear(short: float, long: float) -> bool:
    return long - short >= MARGIN and long >= RATIO * short


def _grow(known: Facts, names: Sequence[str], late: bool) -> Tree:
    if len(names) == 1:
        return Leaf(names[0])
    cuts = range(1, len(names))
    for cut in reversed(cuts) if late else cuts:
        left, right = names[:cut], names[cut:]
        ended = max(known.spans[name].end for name in left)
        if before(Span(0.0, ended), known.spans[right[0]]):  # names are in order of their starts
            return Node("+", _grow(known, left, late), _grow(known, right, late))
    top = max(names, key=known.length)
    rest = _grow(known, [name for name in names if name != top], late)
    return Node("*", Leaf(top), rest) if names[0] == top else Node("*", rest, Leaf(top))

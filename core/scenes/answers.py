"""Questions of one step about a scene: what is there, in what order, for how long, how many, where, who.

Each function makes (instruction, output, key, options) of a `World`, or None where the timeline does not
settle it; `core.scenes.questions` is how they are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from core.scenes.algebra import Attributes
from core.scenes.captions import LOUD_NOISE_DB, NOISY, QUIET, Wording, write
from core.scenes.facts import (
    Facts,
    first,
    homes,
    last,
    longer,
    moment,
    place_counts,
    related,
    relation,
    tree_of,
)
from core.scenes.phrasings import NO, NUMBERS, PHRASINGS, YES
from core.scenes.places import PLACES, confused

CLOTHO_SHARE = 0.2  # of the drawn caption prompts asks for Clotho's style

T = TypeVar("T")
Made: TypeAlias = tuple[str, str, str, tuple[str, ...]]  # instruction, output, key, options
Placed: TypeAlias = tuple[str, str, tuple[str, ...]]  # output, key, options


@dataclass(frozen=True)
class World:
    """What a question is made of: the facts of a scene, the words for it, and chance.

    labels: those of the bank. voices: label -> (agent, action). sizes: shares of scenes of 1, 2, ... sounds.
    wording: which phrasing, None for a drawn one.
    """

    known: Facts
    book: Mapping[str, Sequence[str]]
    labels: tuple[str, ...]
    voices: Attributes
    sizes: Sequence[float] | None
    rng: np.random.Generator
    wording: int | None = None

    def say(self, label: str) -> str:
        return self.book[label][0]

    def ask(self, task: str, **slots: str) -> str:
        """A phrasing of the task with its slots filled."""
        choices = PHRASINGS[task]
        template = pick(choices, self.rng) if self.wording is None else choices[self.wording % len(choices)]
        return template.format(**slots) if slots else template

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def agents(self) -> tuple[str, ...]:
        """Everybody whose voice could be heard."""
        return tuple(sorted({agent for agent, _ in self.voices.values()}))


def pick(items: Sequence[T], rng: np.random.Generator) -> T:
    """One of them; much faster than `rng.choice`."""
    return items[int(rng.random() * len(items))]


def yes_no(yes: bool, reason: str = "") -> Placed:
    """Output, key and options of a yes/no question."""
    key = YES if yes else NO
    return f"{key}, {reason}." if reason else f"{key}.", key, (YES, NO)


def a_(noun: str) -> str:
    """ "a baby", "an adult"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def rare(world: World, label: str | None) -> str | None:
    """The place of a label, at random None: places of many labels come as often as places of few."""
    place = homes(world.labels).get(label or "")
    if place is None or not world.chance(1 / place_counts(world.labels)[place]):
        return None
    return place


def at_place(world: World, place: str, reason: str, label: str) -> Placed:
    """Output, key and options where a sound tells the place."""
    return (
        f"{PLACES[place].phrase}, because {reason} {world.say(label)}.",
        place,
        tuple(place_counts(world.labels)),
    )


def other_place(world: World, heard: set[str]) -> str | None:
    """A place that is not one of `heard`, as likely as a sound of it among the labels."""
    options = [place for place in homes(world.labels).values() if place not in heard]
    return pick(options, world.rng) if options else None


def absent(world: World) -> tuple[str, ...]:
    """The labels of which there is no sound, nor any within another sound."""
    heard = world.known.spans
    return tuple(
        name
        for name in world.labels
        if name not in heard and not any(confused(name, other) for other in heard)
    )


def _classification(world: World) -> Made | None:
    names = world.known.labels()
    said = "; ".join(name.replace("_", " ") for name in names)
    return (world.ask("classification"), f"{said}.", "; ".join(names), ()) if names else None


def _caption(world: World) -> Made | None:
    """In plain phrases; in Clotho's style with a clause on the background."""
    tree = tree_of(world.known)
    if tree is None:
        return None
    plain = {name: world.say(name) for name in world.known.spans}
    text = write(tree, Wording(phrases=plain, sequence="followed by", overlay="and"))
    key = "; ".join(world.known.spans)
    if world.wording is None and world.chance(CLOTHO_SHARE):
        noise = world.known.scene.noise_db
        clause = (NOISY if noise is not None and noise >= LOUD_NOISE_DB else QUIET)[0]
        return world.ask("clotho"), f"{text} {clause}", key, ()
    return world.ask("caption"), text, key, ()


def _presence(world: World) -> Made | None:
    yes = world.chance(0.5)
    candidates = world.known.labels() if yes else absent(world)
    if not candidates:
        return None
    a = world.say(pick(candidates, world.rng))
    return world.ask("presence", a=a), *yes_no(yes)


def _first(world: World) -> Made | None:
    name = first(world.known)
    if name is None:
        return None
    return world.ask("first"), f"{world.say(name)}.", name, world.known.labels()


def _last(world: World) -> Made | None:
    name = last(world.known)
    if name is None:
        return None
    return world.ask("last"), f"{world.say(name)}.", name, world.known.labels()


def _order(world: World) -> Made | None:
    pairs = related(world.known, "before")
    if not pairs:
        return None
    a, b = pick(pairs, world.rng)
    side: Literal["before", "after"] = "before" if world.chance(0.5) else "after"
    yes = world.chance(0.5)
    if yes != (side == "before"):
        a, b = b, a
    return world.ask("order", a=world.say(a), b=world.say(b), side=side), *yes_no(yes)


def _overlap(world: World) -> Made | None:
    yes = world.chance(0.5)
    pairs = related(world.known, "together" if yes else "before")
    if not pairs:
        return None
    pair = pick(pairs, world.rng)
    a, b = pair if world.chance(0.5) else pair[::-1]
    return world.ask("overlap", a=world.say(a), b=world.say(b)), *yes_no(yes)


def _longer(world: World) -> Made | None:
    names = world.known.labels()
    pairs = [(a, b) for a in names for b in names if a != b and longer(world.known, a, b)]
    if not pairs:
        return None
    a, b = pick(pairs, world.rng)
    name = longer(world.known, a, b) or a
    return (
        world.ask("longer", a=world.say(a), b=world.say(b)),
        f"{world.say(name)}.",
        name,
        (a, b),
    )


def _count(world: World) -> Made | None:
    n, sizes = len(world.known.spans), world.sizes
    if not 0 < n <= len(NUMBERS):
        return None
    options: tuple[str, ...] = NUMBERS
    if sizes is not None:  # thinned, so that scenes of the likely sizes are asked about more rarely
        shares = {word: share for word, share in zip(NUMBERS, sizes) if share > 0}
        share = shares.get(NUMBERS[n - 1])
        if share is None or not world.chance(min(shares.values()) / share):
            return None
        options = tuple(shares)
    return world.ask("count"), f"{NUMBERS[n - 1]}.", NUMBERS[n - 1], options


def _describe(world: World) -> Made | None:
    parts, spans, before_it = [], world.known.spans, None
    for name in spans:
        joined = ""
        if before_it is not None:
            lies = relation(spans[before_it], spans[name])
            joined = {"before": ", then ", "together": ", together with "}.get(lies or "", ", joined by ")
        parts.append(f"{joined}{world.say(name)} {moment(world.known, name)}")
        before_it = name
    if not parts:
        return None
    start = "first " if len(parts) > 1 else ""
    return world.ask("describe"), f"{start}{''.join(parts)}.", "; ".join(spans), ()


def _where(world: World) -> Made | None:
    """Of the whole scene where all its sounds tell the same place, else of its first or last sound."""
    names = world.known.labels()
    home = homes(world.labels)
    if len({home.get(name, name) for name in names}) == 1 and names[0] in home:
        shared = rare(world, names[0]) if len(names) == 1 else home[names[0]]
        if shared is None:
            return None
        name = pick(names, world.rng)
        return world.ask("where_all"), *at_place(world, shared, "there is a sound of", name)
    ends = [("first", first(world.known)), ("last", last(world.known))]
    likely = [(which, name, place) for which, name in ends if name and (place := rare(world, name))]
    if not likely:
        return None
    which, name, place = pick(likely, world.rng)
    return world.ask("where", which=which), *at_place(world, place, f"the {which} sound is", name)


def _why(world: World) -> Made | None:
    home = homes(world.labels)
    typical = [name for name in world.known.spans if name in home]
    if not typical:
        return None
    if world.chance(0.5):
        name = pick(typical, world.rng)
        phrase = PLACES[home[name]].phrase
        return world.ask("why", place=phrase), *yes_no(True, f"because there is a sound of {world.say(name)}")
    place = other_place(world, {home[name] for name in typical})
    if place is None:
        return None
    phrase = PLACES[place].phrase
    return world.ask("why", place=phrase), *yes_no(False, f"because no sound belongs {phrase}")


def _who(world: World) -> Made | None:
    spoken = [name for name in world.known.spans if name in world.voices]
    if not spoken:
        return None
    name = pick(spoken, world.rng)
    agent, action = world.voices[name]
    options = world.agents()
    nameless = "choir" in world.known.spans  # people of whom nobody is told apart
    alone = len({world.voices[other][0] for other in spoken}) == 1 and not nameless
    if alone and world.chance(0.5):
        return world.ask("who_any"), f"{a_(agent)}.", agent, options
    if any(world.voices[other][1] == action for other in spoken if other != name):
        return None
    if nameless and action == "sing":
        return None
    doing = world.say(name).removeprefix(a_(agent)).strip()
    return world.ask("who", doing=doing), f"{a_(agent)}.", agent, options


CLOSED_MAKERS: Mapping[str, Callable[[World], Made | None]] = {
    "classification": _classification,
    "caption": _caption,
    "presence": _presence,
    "first": _first,
    "last": _last,
    "order": _order,
    "overlap": _overlap,
    "longer": _longer,
    "count": _count,
}
OPEN_MAKERS: Mapping[str, Callable[[World], Made | None]] = {
    "describe": _describe,
    "where": _where,
    "why": _why,
    "who": _who,
}

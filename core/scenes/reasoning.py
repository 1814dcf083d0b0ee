"""Questions of several steps about a scene, after CompA-R (GAMA, EMNLP 2024, section 3.2), with the reason.

Like `core.scenes.answers`: (instruction, output, key, options) or None. All possible questions of a task are
gathered first, so that what makes one impossible does not shift which answer is likely.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from core.scenes.answers import Made, Placed, World, a_, absent, at_place, other_place, pick, rare, yes_no
from core.scenes.facts import first, homes, last, longest, neighbour, relation
from core.scenes.phrasings import ABSENT
from core.scenes.places import PLACES

Side = Literal["before", "after"]
SIDES: tuple[Side, Side] = ("before", "after")


def _beside(world: World) -> list[tuple[str, Side, str]]:
    """(label, side, the sound next to it on that side), all that are clear."""
    return [
        (name, side, other)
        for name in world.known.spans
        for side in SIDES
        if (other := neighbour(world.known, name, side))
    ]


def _ends(world: World) -> list[tuple[str, str]]:
    """("first", its label) and ("last", its label), where clear."""
    found = (("first", first(world.known)), ("last", last(world.known)))
    return [(which, name) for which, name in found if name]


def _sizes(world: World) -> list[tuple[str, str]]:
    """("longest", its label) and ("shortest", its label), where clear."""
    found = [(size, longest(world.known, shortest=size == "shortest")) for size in ("longest", "shortest")]
    return [(size, name) for size, name in found if name]


def _presence_order(world: World) -> Made | None:
    """The sound asked about is absent as often as any one of the scene's is the answer."""
    names, beside = world.known.labels(), _beside(world)
    if not beside:
        return None
    if world.chance(1 / len(names)):
        strangers = absent(world)
        if not strangers:
            return None
        a, side = world.say(pick(strangers, world.rng)), pick(SIDES, world.rng)
        instruction = world.ask("presence_order", a=a, side=side)
        return instruction, f"{ABSENT}, because there is no sound of {a}.", ABSENT, (*names, ABSENT)
    name, side, other = pick(beside, world.rng)
    a = world.say(name)
    options = (*(label for label in names if label != name), ABSENT)
    return world.ask("presence_order", a=a, side=side), f"{world.say(other)}, {side} {a}.", other, options


def _order_duration(world: World) -> Made | None:
    found: dict[bool, list[tuple[str, str, str, str]]] = {True: [], False: []}
    for which, name in _ends(world):
        for size, sized in _sizes(world):
            found[name == sized].append((which, name, size, sized))
    if not (found[True] and found[False]):  # only where both could be asked are both equally likely
        return None
    yes = world.chance(0.5)
    which, name, size, sized = pick(found[yes], world.rng)
    reason = f"because the {which} and the {size} sound is {world.say(name)}"
    if not yes:
        reason = f"because the {which} sound is {world.say(name)} and the {size} is {world.say(sized)}"
    return world.ask("order_duration", which=which, size=size), *yes_no(yes, reason)


def _duration_order(world: World) -> Made | None:
    found = [
        (side, size, name, other)
        for size, name in _sizes(world)
        for side in SIDES
        if (other := neighbour(world.known, name, side))
    ]
    if not found:
        return None
    side, size, name, other = pick(found, world.rng)
    return (
        world.ask("duration_order", side=side, size=size),
        f"{world.say(other)}, because the {size} sound is {world.say(name)}.",
        other,
        world.known.labels(),
    )


def _agent_order(world: World) -> Made | None:
    """Where nobody else is heard on that side, and the question does not name the agent itself."""
    found = []
    for name, side, other in _beside(world):
        if other not in world.voices:
            continue
        agent, spans = world.voices[other][0], world.known.spans
        alone = all(
            label != "choir" and world.voices.get(label, (agent, ""))[0] == agent
            for label, span in spans.items()
            if label != name and relation(span, spans[name]) == side
        )
        if alone and world.voices.get(name, ("", ""))[0] != agent:
            found.append((name, side, other, agent))
    if not found:
        return None
    name, side, other, agent = pick(found, world.rng)
    a = world.say(name)
    return (
        world.ask("agent_order", a=a, side=side),
        f"{a_(agent)}, because the sound {side} {a} is {world.say(other)}.",
        agent,
        world.agents(),
    )


def _setting_order(world: World) -> Made | None:
    """Where the sound that the question names does not tell the same place."""
    home = homes(world.labels)
    found = [
        (name, side, other, place)
        for name, side, other in _beside(world)
        if home.get(name) != home.get(other) and (place := rare(world, other))
    ]
    if not found:
        return None
    name, side, other, place = pick(found, world.rng)
    a = world.say(name)
    placed = at_place(world, place, f"the sound {side} {a} is", other)
    return world.ask("setting_order", a=a, side=side), *placed


def _duration_setting(world: World) -> Made | None:
    found = [(size, name, place) for size, name in _sizes(world) if (place := rare(world, name))]
    if not found:
        return None
    size, name, place = pick(found, world.rng)
    placed: Placed = at_place(world, place, f"the {size} sound is", name)
    return world.ask("duration_setting", size=size), *placed


def _position_setting(world: World) -> Made | None:
    home = homes(world.labels)
    found = [(which, name) for which, name in _ends(world) if name in home]
    if not found:
        return None
    which, name = pick(found, world.rng)
    yes = world.chance(0.5)
    place = home[name] if yes else other_place(world, {home[name]})
    if place is None:
        return None
    instruction = world.ask("position_setting", which=which, place=PLACES[place].phrase)
    return instruction, *yes_no(yes, f"because the {which} sound is {world.say(name)}")


REASONING_MAKERS: Mapping[str, Callable[[World], Made | None]] = {
    "presence_order": _presence_order,
    "order_duration": _order_duration,
    "duration_order": _duration_order,
    "agent_order": _agent_order,
    "setting_order": _setting_order,
    "duration_setting": _duration_setting,
    "position_setting": _position_setting,
}

"""Closed questions about 30 to 58 seconds with 14 to 18 events: how often, first, last, most often, never.

As in every exam here the text comes first, then a uniform gold, then the recording, checked on its
timeline. Two events of one label are never neighbours, so each counts as an occasion of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from core.scenes.timeline import Event, Scene
from shared_data.world.exams.item import ItemError, Rng, World, permuted, pick
from shared_data.world.exams.plan import draw, heard, known, phrase, phrases
from shared_data.world.exams.pro_plan import ProPlan, Scenes

LONG = (30.0, 58.0)  # seconds
_EVENTS = (14, 18)
_EVENT_SECONDS = 2.0  # at most
_PAUSE = 0.3  # seconds between two events, at least

TIMES = {"2": "two times", "3": "three times", "4": "four times", "5": "five times"}
COUNT = (
    "How often is {} heard, each time after something else?",
    "On how many separate occasions is {} heard?",
    "How many separate times does the recording have {}?",
)
AMONG = {
    "last": (
        "Which of these sounds is heard last?",
        "Which of these comes last?",
        "What is the last of these sounds?",
    ),
    "first": (
        "Which of these sounds is heard first?",
        "Which of these comes first?",
        "What is the first of these?",
    ),
    "most": (
        "Which of these sounds is heard most often?",
        "Which of these comes back the most times?",
        "What is the most frequent of these sounds?",
    ),
    "never": (
        "Which of these sounds is never heard?",
        "Which of these does the recording not contain?",
        "What is missing from the whole recording?",
    ),
}


def long_count(rng: Rng, world: World) -> ProPlan:
    """How often a sound comes back in a long recording."""
    label, *others = draw(rng, known(world), 6, world)
    keys = permuted(rng, tuple(TIMES))
    events = int(rng.integers(_EVENTS[0], _EVENTS[1] + 1))

    def lay(gold: int, rng: Rng) -> Scenes:
        times = int(keys[gold])
        rest = [others[number % len(others)] for number in range(events - times)]
        return (_stretch(rng, world, _apart(rng, [label] * times + rest)),)

    return ProPlan(
        sub="how often",
        question=pick(rng, COUNT).format(phrase(label, world)),
        options=tuple(TIMES[key] for key in keys),
        keys=keys,
        lay=lay,
        holds=lambda key, scenes: heard(label, scenes[0]) == int(key),
    )


def long_among(rng: Rng, world: World) -> ProPlan:
    """Which of four sounds comes first, last, most often or never in a long recording."""
    kind = pick(rng, tuple(AMONG))
    *keys, one, two = draw(rng, known(world), 6, world)
    events = int(rng.integers(_EVENTS[0], _EVENTS[1] + 1))

    def lay(gold: int, rng: Rng) -> Scenes:
        target = keys[gold]
        rest = [key for key in keys if key != target]
        mine = {"most": [target] * 4 + rest * 2, "never": rest * 3}.get(kind, [*keys, *keys])
        filler = [(one, two)[number % 2] for number in range(events - len(mine))]
        order = _apart(rng, [*mine, *filler])
        if kind in ("first", "last"):  # give the place to the target, and the target's places to who had it
            there = [label for label in order if label in keys][0 if kind == "first" else -1]
            swap = {there: target, target: there}
            order = [swap.get(label, label) for label in order]
        return (_stretch(rng, world, order),)

    def holds(key: str, scenes: Scenes) -> bool:
        (scene,) = scenes
        if kind == "never":
            return heard(key, scene) == 0
        if kind == "most":
            return all(heard(key, scene) > heard(other, scene) for other in keys if other != key)
        these = [event.label for event in sorted(scene.events, key=lambda e: e.start) if event.label in keys]
        return these[0 if kind == "first" else -1] == key

    return ProPlan(
        sub=f"{kind} of a long recording",
        about_order=kind in ("first", "last"),
        question=pick(rng, AMONG[kind]),
        options=phrases(keys, world),
        keys=tuple(keys),
        lay=lay,
        holds=holds,
    )


def _apart(rng: Rng, labels: Sequence[str]) -> list[str]:
    """The labels in a random order in which no two neighbours are equal."""
    left, order = Counter(permuted(rng, labels)), [""]
    while left:
        free = [label for label in left if label != order[-1]]
        total = sum(left.values())
        # one that makes up half of what is left must come now, or two of it end up side by side
        must = [label for label in free if 2 * left[label] > total]
        if not free:
            raise ItemError(f"{list(labels)} cannot be ordered without equal neighbours; give more others")
        weights = np.array([left[label] for label in must or free], dtype=float)
        label = (must or free)[int(rng.choice(len(weights), p=weights / weights.sum()))]
        order.append(label)
        left[label] -= 1
        left += Counter()  # drops what is used up
    return order[1:]


def _stretch(rng: Rng, world: World, labels: Sequence[str]) -> Scene:
    """Events in this order over a time drawn from LONG, with pauses of random length."""
    bank = world.bank
    clips = [int(pick(rng, world.by_label[label])) for label in labels]
    lengths = [min(len(bank.waveforms[clip]) / bank.sample_rate, _EVENT_SECONDS) for clip in clips]
    pauses = len(labels) + 1
    least = sum(lengths) + _PAUSE * pauses
    duration = float(rng.uniform(max(LONG[0], least), max(LONG[1], least)))
    gaps = _PAUSE + rng.dirichlet(np.full(pauses, 2.0)) * (duration - least)
    events, at = [], 0.0
    for label, clip, length, gap in zip(labels, clips, lengths, gaps):
        start = round(at + float(gap), 4)
        end = round(start + length, 4)
        events.append(Event(clip=clip, label=label, start=start, end=end, gain_db=-float(rng.uniform(0, 3))))
        at = end
    noise = float(rng.uniform(-34.0, -24.0))
    return Scene(
        id="", events=tuple(events), duration=duration, noise_db=noise, seed=int(rng.integers(2**31))
    )


LENGTHY: tuple[Callable[[Rng, World], ProPlan], ...] = (long_count, long_among)

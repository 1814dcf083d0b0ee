"""Closed questions about two or three recordings: which has a sound, or an order; what is in one alone.

As in every exam here the text comes first, then a uniform gold, then the recordings, checked on their
timelines. Options such as "both recordings" are as often right as the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.scenes.timeline import Scene, before
from shared_data.world.exams.item import Rng, World, permuted, pick
from shared_data.world.exams.layout import front, in_turn, lay_out
from shared_data.world.exams.plan import draw, heard, known, phrase, phrases
from shared_data.world.exams.pro_plan import ProPlan, Scenes

WHICH = {
    "first": "only the first",
    "second": "only the second",
    "both": "both recordings",
    "neither": "neither one",
}
HAS = (
    "Which of the two recordings contains {}?",
    "In which of the two recordings is {} heard?",
    "Two recordings are played. Which has {}?",
)
ORDERED = (
    "Which recording has {} before {}?",
    "In which recording is {} before {}?",
    "Which recording plays {} ahead of {}?",
)
ALONE = (
    "What is heard in the {0} recording but not in the {1}?",
    "Which sound does only the {0} recording contain?",
    "Which sound is in the {0} of two recordings alone?",
)
THREE = {
    "first": "the first one",
    "second": "the second one",
    "third": "the third one",
    "none": "none of them",
}
HAS_OF_THREE = (
    "Which of the three recordings contains {}?",
    "Three recordings are played. Which one has {}?",
    "In which of three recordings is {} heard?",
)


def which_has(rng: Rng, world: World) -> ProPlan:
    """In which of two recordings a sound is heard."""
    label, *others = draw(rng, known(world), 5, world)
    keys = permuted(rng, tuple(WHICH))

    def lay(gold: int, rng: Rng) -> Scenes:
        rest = permuted(rng, others)
        return tuple(
            _turns(rng, world, [*part, *([label] if keys[gold] in (name, "both") else [])])
            for name, part in (("first", rest[:2]), ("second", rest[2:]))
        )

    return ProPlan(
        sub="which of two",
        question=pick(rng, HAS).format(phrase(label, world)),
        options=tuple(WHICH[key] for key in keys),
        keys=keys,
        lay=lay,
        holds=lambda key, scenes: _which(key, [heard(label, scene) > 0 for scene in scenes]),
    )


def which_ordered(rng: Rng, world: World) -> ProPlan:
    """In which of two recordings, which have the same sounds, one comes before another."""
    one, two, third = draw(rng, known(world), 3, world)
    keys = permuted(rng, tuple(WHICH))

    def lay(gold: int, rng: Rng) -> Scenes:
        scenes = []
        for name in ("first", "second"):
            order = [one, two] if keys[gold] in (name, "both") else [two, one]
            order.insert(int(rng.integers(3)), third)
            scenes.append(_turns(rng, world, order, shuffle=False))
        return tuple(scenes)

    def holds(key: str, scenes: Scenes) -> bool:
        spans = [front(scene).spans for scene in scenes]
        return _which(key, [before(span[one], span[two]) for span in spans])

    return ProPlan(
        sub="order in two",
        about_order=True,
        question=pick(rng, ORDERED).format(phrase(one, world), phrase(two, world)),
        options=tuple(WHICH[key] for key in keys),
        keys=keys,
        lay=lay,
        holds=holds,
    )


def only_in_one(rng: Rng, world: World) -> ProPlan:
    """Which sound is in one of two recordings alone; another is in the other alone, a third in both."""
    *keys, extra = draw(rng, known(world), 5, world)
    names = permuted(rng, ("first", "second"))
    asked = ("first", "second").index(names[0])

    def lay(gold: int, rng: Rng) -> Scenes:
        elsewhere, everywhere, _ = permuted(rng, [key for key in keys if key != keys[gold]])
        scenes = [
            _turns(rng, world, [keys[gold], everywhere, extra]),
            _turns(rng, world, [elsewhere, everywhere, extra]),
        ]
        return tuple(scenes if asked == 0 else scenes[::-1])

    return ProPlan(
        sub="in one alone",
        question=pick(rng, ALONE).format(*names),
        options=phrases(keys, world),
        keys=tuple(keys),
        lay=lay,
        holds=lambda key, scenes: heard(key, scenes[asked]) > 0 and heard(key, scenes[1 - asked]) == 0,
    )


def which_of_three(rng: Rng, world: World) -> ProPlan:
    """Which of three recordings has a sound, if any."""
    label, *others = draw(rng, known(world), 5, world)
    keys = permuted(rng, tuple(THREE))

    def lay(gold: int, rng: Rng) -> Scenes:
        return tuple(
            _turns(rng, world, [*permuted(rng, others)[:2], *([label] if keys[gold] == name else [])])
            for name in ("first", "second", "third")
        )

    def holds(key: str, scenes: Scenes) -> bool:
        there = [heard(label, scene) > 0 for scene in scenes]
        return there == [key == name for name in ("first", "second", "third")]

    return ProPlan(
        sub="which of three",
        question=pick(rng, HAS_OF_THREE).format(phrase(label, world)),
        options=tuple(THREE[key] for key in keys),
        keys=keys,
        lay=lay,
        holds=holds,
    )


def _which(key: str, there: Sequence[bool]) -> bool:
    wanted = {
        "first": [True, False],
        "second": [False, True],
        "both": [True, True],
        "neither": [False, False],
    }
    return list(there) == wanted[key]


def _turns(rng: Rng, world: World, labels: Sequence[str], *, shuffle: bool = True) -> Scene:
    order = permuted(rng, labels) if shuffle else labels
    return lay_out(rng, world, in_turn(order), noise_db=(-34.0, -24.0))


SEVERAL: tuple[Callable[[Rng, World], ProPlan], ...] = (which_has, which_ordered, only_in_one, which_of_three)

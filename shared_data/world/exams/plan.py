"""The text of a sound item with everything that its sound may be made of, while the gold is still open.

A plan can be carried out for each of its four options: `finish(plan, gold, ...)`. So no text can lean towards
an answer, and a test can ask for every gold of the same text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from core.scenes.timeline import Scene
from shared_data.world.exams.common_knowledge import SOURCES
from shared_data.world.exams.item import (
    Difficulty,
    Draft,
    ItemError,
    Maker,
    Rng,
    World,
    check,
    only_true,
    permuted,
)
from shared_data.world.exams.layout import Played, tell


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A question and its options; `keys[i]` is what option i is about: a label, a place, a number.

    lay: (gold place, rng) -> the timeline of that gold. holds: (key, timeline) -> whether the option is true.
    """

    question: str
    options: tuple[str, ...]
    keys: tuple[str, ...]
    lay: Callable[[int, Rng], Scene]
    holds: Callable[[str, Scene], bool]


Planner = Callable[[Rng, Difficulty, World], Plan]


def finish(plan: Plan, gold: int, rng: Rng, world: World, *, skill: str, difficulty: Difficulty) -> Draft:
    """The item whose answer is option `gold`. Raises ItemError when its timeline tells another truth."""
    scene = plan.lay(gold, rng)
    verify(plan, gold, scene)
    return check(
        Draft(
            skill=skill,
            question=plan.question,
            choices=plan.options,
            answer=plan.options[gold],
            difficulty=difficulty,
            sound=Played(scene, world.bank),
            facts=tell(scene, world.bank),
            clips=tuple(f"bank/{world.bank.clips[event.clip].id}" for event in scene.events),
        )
    )


def verify(plan: Plan, gold: int, scene: Scene) -> None:
    """Raise ItemError unless option `gold` is true of the timeline and every other one is false."""
    true = [option for option, key in zip(plan.options, plan.keys, strict=True) if plan.holds(key, scene)]
    heard_in_it = [(event.label, event.start, event.end) for event in scene.events]
    only_true(plan.question, plan.options, true, gold, of=f"the timeline {heard_in_it}")


def maker(skill: str, planner: Planner) -> Maker:
    """A maker: text first, then a uniform gold, then the sound."""

    def make(rng: Rng, difficulty: Difficulty, world: World) -> Draft:
        plan = planner(rng, difficulty, world)
        gold = int(rng.integers(len(plan.options)))
        return finish(plan, gold, rng, world, skill=skill, difficulty=difficulty)

    return make


def kin(label: str, world: World) -> str:
    """What is heard as the same: labels of one source, all sounds of one kind of person."""
    if label in SOURCES:
        return SOURCES[label].name
    return world.bank.clips[world.by_label[label][0]].agent or label


def family(label: str, world: World) -> str:
    """The family of a label's source; "voice" for people's voices, "" for what the tables do not know."""
    if label in SOURCES:
        return SOURCES[label].family
    return "voice" if world.bank.clips[world.by_label[label][0]].agent else ""


def known(world: World, *families: str) -> list[str]:
    """The bank's labels of these families; of all families when none is given."""
    return [
        label
        for label in world.by_label
        if (found := family(label, world)) and (not families or found in families)
    ]


def draw(
    rng: Rng,
    labels: Sequence[str],
    n: int,
    world: World,
    *,
    avoid: Collection[str] = (),
    alike: Callable[[str, World], str] = kin,
) -> tuple[str, ...]:
    """`n` random labels, none `alike` another of them or one to avoid (and in none of the same kin).

    Raises ItemError when the bank has too few.
    """
    taken = {kin(label, world) for label in avoid}
    chosen: list[str] = []
    seen: set[str] = set()
    for label in permuted(rng, [label for label in labels if label in world.by_label]):
        if len(chosen) == n:
            break
        if kin(label, world) not in taken and alike(label, world) not in seen:
            chosen.append(label)
            taken.add(kin(label, world))
            seen.add(alike(label, world))
    if len(chosen) < n:
        raise ItemError(
            f"{n} sounds of different sources are needed, the bank has {len(chosen)} of {list(labels)[:8]} "
            f"({len(labels)} in all); use a bank with more labels"
        )
    return tuple(chosen)


def phrase(label: str, world: World, form: int = 0) -> str:
    """0 "a dog barking", 1 "the barking of a dog", 2 "a dog barks"."""
    return world.bank.clips[world.by_label[label][0]].phrases[form]


def phrases(labels: Sequence[str], world: World, form: int = 0) -> tuple[str, ...]:
    """`phrase` of each."""
    return tuple(phrase(label, world, form) for label in labels)


def heard(label: str, scene: Scene) -> int:
    """How many events of a label a scene has."""
    return sum(event.label == label for event in scene.events)

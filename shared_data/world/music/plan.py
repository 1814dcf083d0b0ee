"""The text of a music item with everything that its score may be, while the gold is still open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from shared_data.world.exams.item import Difficulty, Draft, Maker, Rng, Split, World, check, only_true
from shared_data.world.music.notation import Score, clips, render


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A question and its options.

    write: (gold place, rng) -> the score of that gold. holds: (place, score) -> whether that option is true
    of the notes. tell: the score in words.
    """

    question: str
    options: tuple[str, ...]
    write: Callable[[int, Rng], Score]
    holds: Callable[[int, Score], bool]
    tell: Callable[[Score], str]


Planner = Callable[[Rng, Difficulty, Split], Plan]


def finish(plan: Plan, gold: int, rng: Rng, *, skill: str, difficulty: Difficulty) -> Draft:
    """The item whose answer is option `gold`. Raises ItemError when its score tells another truth."""
    score = plan.write(gold, rng)
    verify(plan, gold, score)
    return check(
        Draft(
            skill=skill,
            question=plan.question,
            choices=plan.options,
            answer=plan.options[gold],
            difficulty=difficulty,
            sound=partial(render, score),
            facts=plan.tell(score),
            clips=clips(score),
        )
    )


def verify(plan: Plan, gold: int, score: Score) -> None:
    """Raise ItemError unless option `gold` is true of the score and every other one is false."""
    true = [option for place, option in enumerate(plan.options) if plan.holds(place, score)]
    only_true(plan.question, plan.options, true, gold, of=f"the score {score}")


def maker(skill: str, planner: Planner) -> Maker:
    """A maker: text first, then a uniform gold, then the score."""

    def make(rng: Rng, difficulty: Difficulty, world: World) -> Draft:
        plan = planner(rng, difficulty, world.split)
        return finish(plan, int(rng.integers(len(plan.options))), rng, skill=skill, difficulty=difficulty)

    return make

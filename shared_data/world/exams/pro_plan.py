"""A closed question about one or several recordings while its gold is open, and how it is carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from core.metrics.choice_rules import words
from core.scenes.timeline import Scene
from shared_data.world.exams.item import OPTION_WORDS, QUESTION_WORDS, ItemError, Rng, only_true

Scenes: TypeAlias = tuple[Scene, ...]


@dataclass(frozen=True, kw_only=True)
class ProPlan:
    """A question and its options while the gold is open; `keys[i]` is what option i is about.

    about_order: whether the order of sounds decides. lay: (gold place, rng) -> the recordings of that gold.
    holds: (key, recordings) -> whether it is true.
    """

    sub: str
    about_order: bool = False
    question: str
    options: tuple[str, ...]
    keys: tuple[str, ...]
    lay: Callable[[int, Rng], Scenes]
    holds: Callable[[str, Scenes], bool]


def carry_out(plan: ProPlan, gold: int, rng: Rng) -> Scenes:
    """The recordings whose answer is option `gold`.

    Raises ItemError for a text that breaks the rules, and where the timelines tell another truth.
    """
    if len({words(option) for option in plan.options}) != len(plan.options) or len(plan.options) < 2:
        raise ItemError(f"{plan.question!r}: {plan.options} are not options of different sets of words")
    if len(plan.question.split()) > QUESTION_WORDS or any(
        len(o.split()) > OPTION_WORDS for o in plan.options
    ):
        raise ItemError(f"{plan.question!r} {plan.options}: too many words")
    scenes = plan.lay(gold, rng)
    true = [option for option, key in zip(plan.options, plan.keys, strict=True) if plan.holds(key, scenes)]
    only_true(plan.question, plan.options, true, gold, of="the timelines")
    return scenes

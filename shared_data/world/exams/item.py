"""Items by skill, before they are rendered: what is asked, which options there are, what will be heard.

Text first: a maker draws the question and the set of options, then the gold option uniformly among them, and
only then the sound that makes the gold true and every other option false. So no text, however well it is
read, tells the gold; only the sound does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from core.metrics.choice_rules import words
from core.scenes.bank import Bank

Rng: TypeAlias = np.random.Generator
Difficulty: TypeAlias = Literal["easy", "medium", "hard"]
Split: TypeAlias = Literal["train", "test"]
# Sample rate -> float32 (samples,), peak 0.5 to 0.95; the same samples at each call.
Sound: TypeAlias = Callable[[int], np.ndarray]
T = TypeVar("T")

DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")
QUESTION_WORDS, OPTION_WORDS, FACT_WORDS = 16, 8, 60  # at most
PEAK = (0.5, 0.95)
SECONDS = (1.5, 10.0)


class ItemError(ValueError):
    """An item that breaks a rule: its text, its options, or a sound that contradicts its answer."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An item before ids.

    facts: the truth in words, what an ideal describer would write without knowing the question. clips: where
    the sound comes from ("bank/<id>", "note/<program>", "voice/<name>/<hash of the text>").
    """

    skill: str
    question: str
    choices: tuple[str, ...]
    answer: str
    difficulty: Difficulty
    sound: Sound = field(repr=False)
    facts: str
    clips: tuple[str, ...]


@dataclass(frozen=True)
class World:
    """What items are made of: the bank's clips of one split, and that split's patches and voices."""

    bank: Bank
    split: Split

    def __post_init__(self) -> None:
        """Refuse a bank with clips of another split: they would be heard in training and in the test."""
        if self.split not in ("train", "test"):
            raise ItemError(f"split {self.split!r}: a world is of 'train' or 'test'")
        if other := sorted({clip.split for clip in self.bank.clips} - {self.split}):
            raise ItemError(
                f"a {self.split} world has clips of {', '.join(other)}: pass bank.split({self.split!r})"
            )

    @cached_property
    def by_label(self) -> dict[str, tuple[int, ...]]:
        """The indices of each label's clips (`Bank.by_label`, gathered once)."""
        return self.bank.by_label()


Maker: TypeAlias = Callable[[Rng, Difficulty, World], Draft]  # draws one item of a skill at a difficulty


def pick(rng: Rng, things: Sequence[T]) -> T:
    """One of them, uniformly."""
    return things[int(rng.integers(len(things)))]


def permuted(rng: Rng, things: Sequence[T]) -> tuple[T, ...]:
    """All of them in a uniformly random order."""
    return tuple(things[int(index)] for index in rng.permutation(len(things)))


def draw_options(rng: Rng, pool: Sequence[str], *, n: int = 4) -> tuple[str, ...]:
    """`n` options of a pool in random order, no two with the same set of words.

    Raises ItemError when the pool has too few.
    """
    chosen: list[str] = []
    for option in permuted(rng, pool):
        if all(words(option) != words(other) for other in chosen):
            chosen.append(option)
        if len(chosen) == n:
            return tuple(chosen)
    raise ItemError(
        f"{n} options of different words are needed, the pool has {len(chosen)}: {list(pool)[:8]}"
    )


def only_true(question: str, options: Sequence[str], true: Sequence[str], gold: int, *, of: str) -> None:
    """Raise ItemError unless option `gold`, and no other, is among those that are `true` of what is heard."""
    if list(true) != [options[gold]]:
        raise ItemError(
            f"{question!r}: {true or 'no option'} is true of {of}, the answer should be "
            f"{options[gold]!r} alone"
        )


def check(draft: Draft) -> Draft:
    """The draft itself, once its text keeps all rules. Raises ItemError that names the skill and the rule."""
    here = f"{draft.skill} ({draft.difficulty}), {draft.question!r}"
    if draft.difficulty not in DIFFICULTIES:
        raise ItemError(f"{here}: difficulty must be one of {', '.join(DIFFICULTIES)}")
    for what, text, most in (
        ("question", draft.question, QUESTION_WORDS),
        ("facts", draft.facts, FACT_WORDS),
        *(("option", choice, OPTION_WORDS) for choice in draft.choices),
    ):
        if not 1 <= len(text.split()) <= most:
            raise ItemError(f"{here}: {what} {text!r} has {len(text.split())} words, 1 to {most} are allowed")
    if len(draft.choices) != 4 or len({words(choice) for choice in draft.choices}) != 4:
        raise ItemError(f"{here}: {draft.choices} are not four options of different sets of words")
    if draft.choices.count(draft.answer) != 1:
        raise ItemError(f"{here}: the answer {draft.answer!r} is not one of {draft.choices}")
    if not draft.clips:
        raise ItemError(f"{here}: no provenance; name the clips, notes or voices that sound")
    return draft


def check_sound(waveform: np.ndarray, *, sample_rate: int, what: str) -> np.ndarray:
    """The waveform itself: float32 (samples,) of 1.5 to 10 s, finite, peak 0.5 to 0.95. Raises ItemError."""
    if waveform.dtype != np.float32 or waveform.ndim != 1 or not np.isfinite(waveform).all():
        raise ItemError(
            f"{what}: a sound is finite float32 (samples,), got {waveform.dtype} {waveform.shape}"
        )
    seconds = len(waveform) / sample_rate
    if not SECONDS[0] <= seconds <= SECONDS[1]:
        raise ItemError(f"{what}: {seconds:.2f} s of sound, {SECONDS[0]} to {SECONDS[1]} s are allowed")
    peak = float(np.abs(waveform).max())
    if not PEAK[0] - 1e-3 <= peak <= PEAK[1] + 1e-3:
        raise ItemError(f"{what}: peak {peak:.3f}, {PEAK[0]} to {PEAK[1]} is allowed; normalise it")
    return waveform

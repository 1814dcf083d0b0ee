"""Rules of an item: its text, its options, its sound, and the split of its world."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from core.metrics.choice_rules import words
from shared_data.world.exams.item import (
    Draft,
    ItemError,
    World,
    check,
    check_sound,
    draw_options,
    permuted,
    pick,
)
from tests.shared_data.world.exams.worlds import make_world

GOOD = Draft(
    skill="Temporal Event Reasoning",
    question="Which sound is heard first?",
    choices=("a dog barking", "a cat meowing", "rain falling", "none"),
    answer="none",
    difficulty="easy",
    sound=lambda rate: np.zeros(rate, np.float32),
    facts="A dog barks.",
    clips=("bank/x",),
)
RATE = 8000


def test_a_good_draft_comes_back_itself() -> None:
    assert check(GOOD) is GOOD


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"difficulty": "harder"}, "difficulty"),
        ({"question": "why " * 17}, "17 words"),
        ({"question": ""}, "0 words"),
        ({"facts": "and " * 61}, "61 words"),
        ({"facts": ""}, "facts"),
        ({"choices": ("none", "b", "c", "one two three four five six seven eight nine")}, "9 words"),
        ({"choices": ("none", "b", "c")}, "four options"),
        ({"choices": ("none", "b", "c", "c")}, "four options"),
        ({"choices": ("none", "b", "A, then b", "b then a")}, "different sets of words"),
        ({"answer": "a horse"}, "is not one of"),
        ({"clips": ()}, "provenance"),
    ],
)
def test_a_broken_rule_is_named_with_the_skill(change: dict[str, object], said: str) -> None:
    with pytest.raises(ItemError, match=said) as caught:
        check(dataclasses.replace(GOOD, **change))  # type: ignore[arg-type]
    assert GOOD.skill in str(caught.value)


def test_a_world_holds_clips_of_its_own_split_only() -> None:
    bank = make_world("train", labels=("rain",)).bank
    with pytest.raises(ItemError, match="has clips of train"):
        World(bank, "test")
    with pytest.raises(ItemError, match="'train' or 'test'"):
        World(bank, "valid")  # type: ignore[arg-type]


def test_a_world_knows_where_the_clips_of_a_label_are() -> None:
    world = make_world("test", labels=("rain", "wind"), clips=2)
    assert world.by_label == {"rain": (0, 1), "wind": (2, 3)}


def test_options_never_share_their_set_of_words() -> None:
    pool = ["a b", "b a", "B, a!", "c", "d", "e a"]
    seen = set()
    for seed in range(50):
        options = draw_options(np.random.default_rng(seed), pool)
        assert len({words(option) for option in options}) == 4
        seen |= set(options)
    assert seen == set(pool)
    with pytest.raises(ItemError, match="the pool has 2"):
        draw_options(np.random.default_rng(0), ["a b", "b a", "c"])


def test_picks_and_orders_are_uniform() -> None:
    rng = np.random.default_rng(0)
    picks = np.bincount([pick(rng, (0, 1, 2, 3)) for _ in range(4000)])
    firsts = np.bincount([permuted(rng, (0, 1, 2, 3))[0] for _ in range(4000)])
    assert np.abs(picks - 1000).max() < 120  # 4 standard deviations
    assert np.abs(firsts - 1000).max() < 120
    assert sorted(permuted(rng, "abcd")) == list("abcd")


def _sound(seconds: float = 2.0, peak: float = 0.8) -> np.ndarray:
    sound = np.zeros(round(seconds * RATE), np.float32)
    sound[0] = -peak
    return sound


def test_a_good_sound_comes_back_itself() -> None:
    sound = _sound()
    assert check_sound(sound, sample_rate=RATE, what="x") is sound


@pytest.mark.parametrize(
    ("sound", "said"),
    [
        (_sound().astype(np.float64), "float64"),
        (_sound()[None], "finite float32"),
        (np.full(2 * RATE, np.nan, np.float32), "finite float32"),
        (_sound(peak=0.0), "peak 0.000"),
        (_sound(peak=0.4), "peak 0.400"),
        (_sound(peak=1.0), "peak 1.000"),
        (_sound(1.0), "1.00 s"),
        (_sound(11.0), "11.00 s"),
    ],
)
def test_a_bad_sound_is_refused(sound: np.ndarray, said: str) -> None:
    with pytest.raises(ItemError, match=f"item 7.*{said}"):
        check_sound(sound, sample_rate=RATE, what="item 7")

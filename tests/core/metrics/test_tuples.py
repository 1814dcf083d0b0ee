"""Tuples of captions against the grammar's own parser and against timelines."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from core.metrics.tuples import (
    FILLERS,
    FREE,
    TupleError,
    reference_tuples,
    scene_tuples,
    timeline_tuples,
    tuple_scores,
)
from core.scenes.algebra import Leaf, Tree, leaves
from core.scenes.bank import Bank, Clip
from core.scenes.captions import (
    HELD_OUT,
    PAPER,
    TRAIN,
    draw_wording,
    embellish,
    parse_caption,
    phrase_book,
    write,
)
from core.scenes.draw import SceneSource
from shared_data.world.sounds.procedural import SOUNDS
from shared_data.world.sounds.voices import ACTIONS, AGENTS, voice_phrases

BOOK = {label: sound.phrases for label, sound in SOUNDS.items()} | {
    f"{agent}_{action}": voice_phrases(agent, action) for agent in AGENTS for action in ACTIONS
}
DOG, RAIN, BELL = ("dog_bark",), ("rain",), ("church_bell",)
SAID = {label: BOOK[label[0]][0] for label in (DOG, RAIN, BELL)}


def humming_bank() -> Bank:
    """Every procedural label with its phrases; of its waveforms only the lengths matter."""
    rng = np.random.default_rng(0)
    clips, waves = [], []
    for label, phrases in BOOK.items():
        for index in range(2):
            agent, _, action = label.partition("_") if label.partition("_")[0] in AGENTS else (None, "", None)
            clips.append(
                Clip(
                    id=f"{label}/{index}",
                    label=label,
                    phrases=phrases,
                    domain="sound",
                    agent=agent,
                    action=action,
                    source="none",
                    group=f"{label}/{index}",
                    license="CC0-1.0",
                    split="test",
                )
            )
            waves.append(np.full(round(100 * rng.uniform(0.4, 2.5)), 0.5, dtype=np.float32))
    return Bank(tuple(clips), tuple(waves), 100)


def tuples_of(tree: Tree) -> frozenset[tuple[str, ...]]:
    """What a bracketed tree says, by the definitions of the algebra."""
    if isinstance(tree, Leaf):
        return frozenset({(tree.label,)})
    said = tuples_of(tree.left) | tuples_of(tree.right)
    if tree.op == "+":
        return said | {("before", a.label, b.label) for a in leaves(tree.left) for b in leaves(tree.right)}
    if isinstance(tree.left, Leaf) and isinstance(tree.right, Leaf):
        return said | {("with", *sorted((tree.left.label, tree.right.label)))}
    return said


def test_of_captions_it_says_what_all_readings_of_the_parser_say() -> None:
    bank = humming_bank()
    book = phrase_book(bank)
    kinds = set()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        source = SceneSource(bank=bank, seed=seed, sizes=(0.3, 0.3, 0.4), attribute_share=0.2)
        levels = SceneSource(bank=bank, seed=seed, attribute_share=1.0, attribute_kind="loudness")
        for scene, tree in [*source.draw(0, 4), *levels.draw(0, 1)]:
            words = draw_wording(
                [tree], book, rng=rng, connectives=(PAPER, TRAIN, HELD_OUT)[seed % 3], same_words=0.3
            )
            caption = write(tree, words)
            caption = embellish(caption, scene, rng=rng) if rng.random() < 0.5 else caption
            readings = [tuples_of(reading) for reading in parse_caption(caption, book)]
            ours = scene_tuples(caption, book)
            assert ours == reduce(frozenset.intersection, readings), caption
            kinds |= {(each[0], words.reverse) for each in ours if len(each) == 3}

            # What is said of a scene is true of it.
            true = timeline_tuples((e.label, e.start, e.end) for e in scene.events)
            assert ours <= true, caption
            assert tuple_scores([ours], [true]).precision.tolist() == [1.0]
    assert kinds >= {("before", False), ("before", True), ("with", False)}


def test_brackets_that_a_caption_lost_are_not_guessed() -> None:
    dog, rain, bell = SAID[DOG], SAID[RAIN], SAID[BELL]
    events = {DOG, RAIN, BELL}
    before = ("before", "dog_bark", "rain")
    assert scene_tuples(f"{dog} before {rain} and {bell}", BOOK) == events | {before}
    assert scene_tuples(f"{dog} and {rain} and {bell}", BOOK) == events
    assert scene_tuples(f"{dog} before {rain} before {bell}", BOOK) == events | {
        before,
        ("before", "rain", "church_bell"),
        ("before", "dog_bark", "church_bell"),
    }
    assert scene_tuples(f"{dog} after {rain} before {bell}", BOOK) == events | {
        ("before", "rain", "dog_bark"),
        ("before", "rain", "church_bell"),
    }


@pytest.mark.parametrize(
    ("text", "relations"),
    [
        ("A dog barks, then rain.", {("before", "dog_bark", "rain")}),
        ("We hear a dog barking. And then there is the sound of rain!", {("before", "dog_bark", "rain")}),
        ("A dog barking is followed by a loud sound of rain", {("before", "dog_bark", "rain")}),
        ("a dog barking from 0.4 to 1.25 seconds, then rain at 3 s", {("before", "dog_bark", "rain")}),
        (
            "First a dog barks briefly at the beginning, then rain for a while",
            {("before", "dog_bark", "rain")},
        ),
        ("a dog barks at the end, joined by rain", set()),
        ("rain can be heard after a dog barking", {("before", "dog_bark", "rain")}),
        ("Rain during the barking of a dog, it seems", {("with", "dog_bark", "rain")}),
        ("Dog bark; rain.", set()),
        ("A dog barks near the house before the rain", set()),  # not exactly a connective
        ("Before a dog barks, rain", set()),
    ],
)
def test_free_text_is_read_by_its_phrases_and_connectives(text: str, relations: set[tuple[str, ...]]) -> None:
    assert scene_tuples(text, BOOK) == {DOG, RAIN} | relations


def test_no_connective_begins_or_ends_with_a_word_that_is_passed_over() -> None:
    known = [
        words
        for use in (FREE, PAPER, TRAIN, HELD_OUT)
        for words in (*use.sequence, *use.overlay, *use.reversed)
    ]
    assert not {words.split()[place] for words in known for place in (0, -1)} & FILLERS


def test_the_longest_phrase_wins_and_words_are_whole() -> None:
    book = {"car": ("a car", "car"), "car_horn": ("a car horn",), "rain": ("rain",)}
    assert scene_tuples("a car horn", book) == {("car_horn",)}
    assert scene_tuples("training by carpool", book) == frozenset()
    assert scene_tuples("", book) == frozenset()


def test_endless_repetition_says_little_and_soon() -> None:
    dog, rain = SAID[DOG], SAID[RAIN]
    assert scene_tuples(f"{dog} and " * 300, BOOK) == {DOG}
    turns = scene_tuples(f"{dog} before {rain} before " * 100, BOOK)
    assert turns == {DOG, RAIN, ("before", "dog_bark", "rain"), ("before", "rain", "dog_bark")}


def test_references_say_what_any_of_them_says() -> None:
    captions = [f"{SAID[DOG]} before {SAID[RAIN]}", SAID[BELL]]
    assert reference_tuples(captions, BOOK) == {DOG, RAIN, BELL, ("before", "dog_bark", "rain")}
    assert reference_tuples([], BOOK) == frozenset()


def test_timelines_say_all_that_is_true() -> None:
    events = [("dog bark", 0.0, 1.0), ("rain", 2.0, 4.0), ("church_bell", 2.5, 3.5), ("dog bark", 1.2, 1.5)]
    assert timeline_tuples(events) == {
        DOG,
        RAIN,
        BELL,
        ("before", "dog_bark", "rain"),
        ("before", "dog_bark", "church_bell"),
        ("with", "church_bell", "rain"),
    }
    # A second dog in the rain: its hull reaches over all, and shares the whole bell but not half of itself.
    later = timeline_tuples([*events, ("dog bark", 4.5, 5.0)])
    assert ("with", "church_bell", "dog_bark") in later
    assert not {each for each in later if each[0] == "before"}
    # A small overlap is neither.
    assert timeline_tuples([("a", 0.0, 1.0), ("b", 0.8, 2.0)]) == {("a",), ("b",)}


def test_scores_by_hand() -> None:
    true = frozenset({DOG, RAIN, ("before", "dog_bark", "rain")})
    said = [true, {DOG}, {DOG, BELL, ("before", "rain", "dog_bark")}, frozenset(), {BELL}]
    ours = tuple_scores(said, [true] * 5)
    assert ours.precision.tolist() == pytest.approx([1, 1, 1 / 3, 0, 0])
    assert ours.recall.tolist() == pytest.approx([1, 1 / 3, 1 / 3, 0, 0])
    assert ours.f1.tolist() == pytest.approx([1, 1 / 2, 1 / 3, 0, 0])


def test_bad_input_says_what_is_wrong() -> None:
    with pytest.raises(TupleError, match="'rain' is a phrase of a and of b"):
        scene_tuples("rain", {"a": ("rain",), "b": ("Rain!",)})
    with pytest.raises(TupleError, match="phrase book is empty"):
        scene_tuples("rain", {})
    with pytest.raises(TupleError, match="of 1 items, the first 1"):
        tuple_scores([{DOG}, {DOG}], [{DOG}, frozenset()])
    with pytest.raises(TupleError, match="1 captions for 2 scenes"):
        tuple_scores([{DOG}], [{DOG}, {DOG}])

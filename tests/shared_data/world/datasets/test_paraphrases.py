"""Pairs mean the same by what is said of them and by their words; twins mean something else."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from core.scenes.algebra import leaves
from core.scenes.bank import Bank
from core.scenes.captions import parse_caption, phrase_book
from core.scenes.places import GENRES, PLACES
from shared_data.world.datasets.paraphrases import Meaning, Pair, alike, draw_pairs, twin_captions

Book = dict[str, tuple[str, ...]]


@pytest.fixture(scope="module")
def book(noise_bank: Bank) -> Book:
    return phrase_book(noise_bank)


@pytest.fixture(scope="module")
def pairs(book: Book) -> list[Pair]:
    return draw_pairs(book=book, seed=0, n=2000, twins=0.5)


def test_pairs_repeat_and_all_kinds_are_there(book: Book, pairs: list[Pair]) -> None:
    assert draw_pairs(book=book, seed=0, n=100, twins=0.5) == pairs[:100]
    kinds = Counter(pair.kind for pair in pairs)
    assert min(kinds[kind] for kind in ("names", "captions", "labels", "places")) > 80
    assert all(pair.texts[0] != pair.texts[1] for pair in pairs)


def test_both_texts_name_the_same_labels_or_one_is_at_home_with_the_other(
    book: Book, pairs: list[Pair]
) -> None:
    phrases = sorted(
        ((p, label) for label, ps in book.items() for p in (*ps, label.replace("_", " "))),
        key=lambda x: -len(x[0]),
    )

    def named(text: str) -> set[str]:
        found: set[str] = set()
        for phrase, label in phrases:
            if re.search(rf"\b{phrase}\b", text):
                text, found = re.sub(rf"\b{phrase}\b", "#", text), found | {label}
        return found

    scenery = {said: p.labels for name, p in PLACES.items() for said in (name, f"sound of {name}", p.phrase)}
    scenery |= {
        said: g.instruments for name, g in GENRES.items() for said in (name, f"sound of {name}", g.name)
    }
    for pair in pairs:
        assert alike(pair.means[:1], pair.means[1:])[0, 0]
        for text, means in zip(pair.texts, pair.means, strict=True):
            if means.of == "place":
                assert set(means.labels) <= set(scenery[text])
            else:
                assert named(text) == set(means.labels), pair


def test_captions_mean_what_can_be_read_of_them(book: Book, pairs: list[Pair]) -> None:
    checked = 0
    for pair in pairs:
        if pair.kind == "captions" and pair.means[0].of == "scene":
            for text in pair.texts:
                trees = parse_caption(text, book)
                names = [leaf.label for leaf in leaves(trees[0])]
                order = "+".join(names), "*".join(sorted(names))
                assert pair.means[0].name in order
            checked += 1
    assert checked > 100


def test_alike_by_hand() -> None:
    dog, cow = (Meaning("sound", name, frozenset({name})) for name in ("dog", "cow"))
    farm = Meaning("place", "farm", frozenset({"cow", "hen"}))
    ab, ba = (Meaning("scene", name, frozenset({"a", "b"})) for name in ("a+b", "b+a"))
    listed = Meaning("labels", "a; b", frozenset({"a", "b"}))
    found = alike([dog, cow, farm, ab, ba, listed], [dog, cow, farm, ab, ba, listed])
    wanted = np.eye(6, dtype=bool)
    wanted[1, 2] = wanted[3, 5] = wanted[4, 5] = True
    np.testing.assert_array_equal(found, wanted | wanted.T)


def test_labels_for_tests_are_never_heard_together_in_training(book: Book, pairs: list[Pair]) -> None:
    tests = draw_pairs(book=book, seed=1, n=400, split="test", twins=0.5)
    together = [
        {pair.means[side].labels for pair in part for side in (0, 1) if pair.means[side].of == "scene"}
        for part in (pairs, tests)
    ]
    assert all(together)
    assert not together[0] & together[1]


def test_twins_have_the_same_labels_and_another_meaning(book: Book) -> None:
    for one, two, twin in twin_captions(book=book, seed=0, n=100):
        assert one != two
        read = [{str(tree) for tree in parse_caption(text, book)} for text in (one, two, twin)]
        labels = [{leaf.label for leaf in leaves(parse_caption(text, book)[0])} for text in (one, two, twin)]
        assert labels[0] == labels[1] == labels[2]
        assert not read[0] & read[2]

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.scenes.algebra import Leaf, Node, holds, negatives, parse, positives, readings, tokens
from core.scenes.bank import Bank
from core.scenes.captions import (
    ADVERBS,
    HELD_OUT,
    PAPER,
    TRAIN,
    CaptionError,
    Wording,
    draw_wording,
    embellish,
    parse_caption,
    phrase_book,
    shuffle_words,
    write,
)
from core.scenes.draw import SceneSource, realise
from core.scenes.timeline import Event, Scene

WORDS = {"a": "a dog barking", "b": "rain falling", "c": "a saw cutting"}
BOOK = {label: (phrase, f"the sound of {phrase}") for label, phrase in WORDS.items()}


def wording(**changes: object) -> Wording:
    return replace(Wording(phrases=WORDS, sequence="followed by", overlay="and"), **changes)  # type: ignore[arg-type]


def test_a_caption_is_its_phrases_and_connectives() -> None:
    assert write(parse("((a+b)*c)"), wording()) == "a dog barking followed by rain falling and a saw cutting"
    assert write(parse("loud:a"), wording()) == "a loud sound of a dog barking"


def test_a_reversed_wording_writes_from_the_right() -> None:
    words = wording(sequence="after", reverse=True)
    assert write(parse("(a+b)"), words) == "rain falling after a dog barking"
    assert write(parse("((a+b)*c)"), words) == "a saw cutting and rain falling after a dog barking"


@pytest.mark.parametrize("edges", ADVERBS)
def test_words_around_say_overlay_with_the_words_of_sequence(edges: tuple[str, str]) -> None:
    words = wording(sequence="and " + "".join(edges), edges=edges)
    texts = [write(parse(text), words) for text in ("(a+b)", "(b+a)", "(a*b)")]
    assert len({" ".join(sorted(text.split())) for text in texts}) == 1
    assert len(set(texts)) == 3
    assert parse_caption(texts[0], BOOK) == (parse("(a+b)"),)
    assert parse_caption(texts[2], BOOK) == (parse("(a*b)"),)
    with pytest.raises(CaptionError, match="more than two operands"):
        write(parse("((a+b)*c)"), words)


def test_captions_parse_back_to_all_their_readings(noise_bank: Bank) -> None:
    book = phrase_book(noise_bank)
    styles = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        connectives = (PAPER, TRAIN, HELD_OUT)[seed % 3]
        source = SceneSource(bank=noise_bank, seed=seed, attribute_share=0.2, attribute_kind="loudness")
        for scene, tree in source.draw(0, 5):
            others = (*positives(tree, scene, rng=rng), *negatives(tree, scene, rng=rng))
            words = draw_wording([tree, *others], book, rng=rng, connectives=connectives, same_words=0.3)
            styles.add((words.reverse, any(words.edges)))
            count = 1 + len(positives(tree, scene))
            for place, part in enumerate((tree, *others)):
                found = parse_caption(write(part, words), book)
                if not words.reverse:  # from the right, an overlay's second operand comes first
                    assert set(found) == set(readings(tokens(part)))
                assert {holds(reading, scene) for reading in found} == {place < count}
    assert styles == {(False, False), (True, False), (False, True)}


def test_embellished_captions_parse_and_tell_the_background() -> None:
    quiet, noisy = (
        Scene(id="x", events=(Event(clip=0, label="a", start=0, end=1),), duration=2.0, noise_db=level)
        for level in (-30.0, -10.0)
    )
    text = write(parse("(a+b)"), wording())
    for seed in range(40):
        for scene, word in ((quiet, "noise"), (noisy, "quiet")):
            longer = embellish(text, scene, rng=np.random.default_rng(seed))
            assert len(longer.split()) > len(text.split())
            assert parse_caption(longer, BOOK) == (parse("(a+b)"),)
            assert word not in longer.replace("little background noise", "")
    assert "noisy" not in embellish(text, replace(quiet, noise_db=None), rng=np.random.default_rng(0))


def test_train_and_held_out_connectives_share_no_word_pair() -> None:
    known = {*TRAIN.sequence, *TRAIN.overlay, *TRAIN.reversed}
    assert not known & {*HELD_OUT.sequence, *HELD_OUT.overlay, *HELD_OUT.reversed}
    assert "proceeded by" not in {*PAPER.sequence, *PAPER.overlay}


def test_connectives_are_those_asked_for() -> None:
    rng = np.random.default_rng(0)
    words = [draw_wording([parse("(a+b)")], BOOK, rng=rng, connectives=HELD_OUT) for _ in range(100)]
    assert {w.overlay for w in words} == set(HELD_OUT.overlay)
    assert {w.sequence for w in words} == {*HELD_OUT.sequence, *HELD_OUT.reversed}
    assert all(w.reverse == (w.sequence in HELD_OUT.reversed) for w in words)
    plain = [draw_wording([parse("(a+b)")], BOOK, rng=rng, reversed_share=0.0) for _ in range(50)]
    assert not any(w.reverse for w in plain)


def test_same_words_only_for_two_operands() -> None:
    rng = np.random.default_rng(0)
    assert any(draw_wording([parse("(a+b)")], BOOK, rng=rng, same_words=1.0).edges)
    assert draw_wording([parse("((a+b)+c)")], BOOK, rng=rng, same_words=1.0).edges == ("", "")


def test_parallel_phrases_keep_the_words_of_swapped_voices(noise_bank: Bank) -> None:
    book, twins = phrase_book(noise_bank), (parse("(baby_cry*woman_laugh)"), parse("(woman_cry*baby_laugh)"))
    for seed in range(30):
        words = draw_wording(twins, book, rng=np.random.default_rng(seed), parallel=True)
        first, second = (write(tree, words) for tree in twins)
        assert first != second
        assert sorted(first.split()) == sorted(second.split())


def test_wording_is_a_function_of_the_generator(noise_bank: Bank) -> None:
    book = phrase_book(noise_bank)
    tree = parse("(rain+bell)")
    words = [draw_wording([tree], book, rng=np.random.default_rng(seed)) for seed in (0, 0, 1, 2, 3)]
    assert words[0] == words[1]
    assert len({write(tree, w) for w in words}) > 1


def test_phrases_must_hold_for_every_clip_of_a_label(noise_bank: Bank) -> None:
    clip = noise_bank.clips[0]
    other = replace(noise_bank.clips[1], phrases=(clip.phrases[1], "b", "c"))
    two = Bank((clip, other), noise_bank.waveforms[:2], noise_bank.sample_rate)
    assert phrase_book(two) == {clip.label: (clip.phrases[1],)}
    strange = Bank((clip, replace(other, phrases=("x", "y", "z"))), two.waveforms, two.sample_rate)
    with pytest.raises(CaptionError, match="share no phrase"):
        phrase_book(strange)


def test_missing_phrases_are_named() -> None:
    with pytest.raises(CaptionError, match=r"no phrase for .'d'"):
        draw_wording([parse("(a+d)")], BOOK, rng=np.random.default_rng(0))
    with pytest.raises(CaptionError, match="no phrase for 'd'"):
        write(Leaf("d"), wording())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a cat",
        "a dog barking rain falling",
        "a dog barking followed by",
        "a dog barking proceeded by rain falling",
    ],
)
def test_other_texts_are_not_read(text: str) -> None:
    with pytest.raises(CaptionError, match="cannot read"):
        parse_caption(text, BOOK)


def test_mixed_directions_and_shared_phrases_are_not_read() -> None:
    with pytest.raises(CaptionError, match="cannot read"):
        parse_caption("a dog barking followed by rain falling after a saw cutting", BOOK)
    with pytest.raises(CaptionError, match="is a phrase of"):
        parse_caption("a dog barking", {"a": ("a dog barking",), "b": ("a dog barking",)})


def test_shuffled_words_are_the_same_words_in_another_order() -> None:
    text = "a dog barking followed by rain"
    mixed = shuffle_words(text, rng=np.random.default_rng(0))
    assert mixed != text
    assert sorted(mixed.split()) == sorted(text.split())
    assert mixed == shuffle_words(text, rng=np.random.default_rng(0))
    assert shuffle_words("dog", rng=np.random.default_rng(0)) == "dog"
    assert shuffle_words("b a", rng=np.random.default_rng(0)) == "a b"


def test_the_written_truth_holds_in_reverse_too(noise_bank: Bank) -> None:
    """What is unambiguous from the left is unambiguous from the right."""
    book = phrase_book(noise_bank)
    tree = Node("*", Node("+", Leaf("rain"), Leaf("bell")), Leaf("saw"))
    scene = realise(tree, bank=noise_bank, rng=np.random.default_rng(1))
    phrases = {label: book[label][0] for label in ("rain", "bell", "saw")}
    left = write(tree, Wording(phrases=phrases, sequence="before", overlay="and"))
    right = write(tree, Wording(phrases=phrases, sequence="after", overlay="and", reverse=True))
    truths = [sorted(holds(r, scene) for r in parse_caption(text, book)) for text in (left, right)]
    assert truths[0] == truths[1]

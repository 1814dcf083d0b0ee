"""The small spoken language: its words, whose its sentences are, and that it is a function of a seed."""

from __future__ import annotations

import numpy as np
import pytest

from shared_data.world.speech.espeak import VOICES, why_absent
from shared_data.world.speech.sentences import LONGEST, sentence, utterances, vocabulary, words_of


def test_sentences_of_the_splits_never_meet_and_use_all_words() -> None:
    rng = np.random.default_rng(0)
    train, test = ({sentence(rng, split) for _ in range(1500)} for split in ("train", "test"))
    assert not train & test
    assert {word for text in train for word in words_of(text)} == set(vocabulary())
    assert 100 <= len(vocabulary()) <= 150


@pytest.mark.skipif(why_absent() is not None, reason="needs espeak-ng")
def test_utterances_are_a_function_of_seed_and_place() -> None:
    def say(n: int, seed: int = 0):  # type: ignore[no-untyped-def]
        return list(utterances(n, split="test", sample_rate=16_000, seed=seed, conditioned=0.5))

    six, three, others = say(6), say(3), say(3, seed=1)
    assert all((one.sound == other.sound).all() for one, other in zip(six, three))
    assert [one.words for one in three] != [one.words for one in others]
    for one in six:
        assert one.voice in VOICES["test"]
        assert len(one.sound) <= LONGEST * 16_000
        assert set(one.words) <= set(vocabulary())
        assert len(one.phonemes) > len(one.words)
        assert not {":", ";", ""} & set(one.phonemes)

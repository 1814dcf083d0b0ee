"""Clips of people who speak, for a bank."""

from __future__ import annotations

import numpy as np
import pytest

from core.scenes.bank import BankError
from shared_data.world.speech import spoken
from shared_data.world.speech.espeak import VOICES

RATE = 16_000
SPLITS = ("train", "valid", "test")


@pytest.mark.parametrize("label", spoken.LABELS)
def test_a_clip_says_who_speaks_and_what(label: str) -> None:
    clip, wave = spoken.draw(label, "train", 3, seed=0, sample_rate=RATE)
    assert clip.phrases[0] == f"a {clip.agent} speaking"
    assert clip.transcript in spoken.sentences("train")
    assert 0.4 * RATE <= len(wave) <= 2.5 * RATE
    np.testing.assert_array_equal(wave, spoken.draw(label, "train", 3, seed=0, sample_rate=RATE)[1])


@pytest.mark.parametrize("kind", ["man", "woman"])
def test_splits_share_no_voice(kind: str) -> None:
    voices = [{voice.name for voice in spoken.voices(split, kind)} for split in SPLITS]
    assert min(map(len, voices)) >= 2
    assert len(set.union(*voices)) == sum(map(len, voices))
    exams = {voice.name for voice in VOICES["test"]}
    assert not exams & (voices[0] | voices[1])


def test_splits_share_no_sentence() -> None:
    said = [set(spoken.sentences(split)) for split in SPLITS]
    assert min(map(len, said)) >= 15
    assert len(set.union(*said)) == sum(map(len, said))


def test_nobody_else_speaks() -> None:
    with pytest.raises(BankError, match="nobody speaks as 'baby_speak'"):
        spoken.draw("baby_speak", "train", 0, seed=0, sample_rate=RATE)

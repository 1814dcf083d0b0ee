"""Clips of percussion and genres for a bank."""

from __future__ import annotations

import numpy as np
import pytest

from core.scenes.bank import BankError
from core.scenes.places import GENRES
from shared_data.world.music import pieces
from shared_data.world.music.melodies import INSTRUMENTS

RATE = 16_000


@pytest.mark.parametrize("label", pieces.LABELS)
def test_every_class_sounds_and_repeats_exactly(label: str) -> None:
    for split in ("train", "valid", "test"):
        clip, wave = pieces.draw(label, split, 0, seed=0, sample_rate=RATE)
        assert (clip.label, clip.domain, clip.split) == (label, "music", split)
        assert len(set(clip.phrases)) >= 3
        assert 0.4 * RATE <= len(wave) <= 2.5 * RATE
        assert np.abs(wave).max() == pytest.approx(0.5, abs=1e-5)
        np.testing.assert_array_equal(wave, pieces.draw(label, split, 0, seed=0, sample_rate=RATE)[1])


def test_classes_are_four_of_percussion_and_all_genres() -> None:
    assert len(pieces.LABELS) == 4 + len(GENRES)
    assert not set(pieces.LABELS) & set(INSTRUMENTS)
    phrases = [phrase for label in pieces.LABELS for phrase in pieces.piece_phrases(label)]
    assert len(set(phrases)) == len(phrases)
    with pytest.raises(BankError, match="no percussion or genre 'polka_music'"):
        pieces.draw("polka_music", "train", 0, seed=0, sample_rate=RATE)

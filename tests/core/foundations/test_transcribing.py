"""Windows of speech, their targets, and how transcripts are scored."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.foundations.hearing import Grid, Hearing
from core.foundations.transcribing import (
    BLANK,
    Speaking,
    TranscribingError,
    Utterance,
    at_peak,
    ctc,
    errors,
    read,
    speech_batches,
    vocabularies,
)
from core.scenes.bank import Bank
from core.scenes.compose import ClipMels, clip_mels
from shared_data.world.sounds.procedural import make_bank

GRID = Grid(frames=100, tokens=50, seconds=0.04)
HEARING = Hearing(duration=2.0, singles=1.0, batch_size=4, colour_db=2.0)
SAID = [
    Utterance(np.ones(8, np.float32), {"words": ("a", "b")}),
    Utterance(np.ones(8, np.float32), {"words": ("c",)}),
]


@pytest.fixture(scope="module")
def bank() -> Bank:
    return make_bank(sample_rate=16_000, clips_per_class={"train": 2, "valid": 1, "test": 1}, labels=["rain"])


@pytest.fixture(scope="module")
def mels(bank: Bank) -> ClipMels:
    return clip_mels(
        bank,
        lambda waves: [np.ones((len(w) // 320 + 1, 4), np.float32) for w in waves],
        seconds_per_frame=0.02,
    )


def batches(bank: Bank, mels: ClipMels, *, frames: int = 30, several: float = 1.0):  # type: ignore[no-untyped-def]
    return speech_batches(
        bank,
        mels,
        SAID,
        [np.ones((frames, 4), np.float32)] * 2,
        speaking=Speaking(batch_size=6, several=several),
        hearing=HEARING,
        grid=GRID,
        units=vocabularies(SAID),
        features=lambda power: power,
        seed=0,
    )


def test_a_window_holds_as_many_utterances_as_fit(bank: Bank, mels: ClipMels) -> None:
    source = batches(bank, mels)
    whole, resumed = source(0), source(1)
    first = next(whole)
    assert first["features"].shape == (6, 100, 4)
    assert set(first["words_counts"].tolist()) <= {1, 2, 3, 4, 5, 6}
    assert max(first["words_counts"]) > 2  # more than one utterance
    for row, count in zip(first["words"], first["words_counts"]):
        assert (row[:count] != BLANK).all()
        assert (row[count:] == BLANK).all()
    one, two = next(whole), next(resumed)
    assert all(torch.equal(one[key], two[key]) for key in one)
    alone = next(batches(bank, mels, several=0.0)(0))
    assert set(alone["words_counts"].tolist()) <= {1, 2}


def test_speech_stands_out_of_what_lies_under_it(bank: Bank, mels: ClipMels) -> None:
    power = next(batches(bank, mels, several=0.0)(0))["features"].mean(dim=2)
    loud = power > power.amax(dim=1, keepdim=True) / 2
    assert (loud.sum(dim=1) >= 30).all()
    assert (loud.sum(dim=1) < 60).all()


def test_an_utterance_longer_than_the_window_is_an_error(bank: Bank, mels: ClipMels) -> None:
    with pytest.raises(TranscribingError, match="longer than the window"):
        batches(bank, mels, frames=101)


def test_transcripts_merge_repeats_and_leave_blanks_out() -> None:
    path = torch.tensor([[0, 1, 1, 0, 1, 2, 2, 0]])
    assert read(torch.nn.functional.one_hot(path).float(), ["a", "b"]) == [["a", "a", "b"]]
    assert read(torch.zeros(1, 3, 3), ["a", "b"]) == [[]]


@pytest.mark.parametrize(
    ("heard", "count"), [("a b c", 0), ("a c", 1), ("a x c", 1), ("a b b c", 1), ("", 3), ("c b a", 2)]
)
def test_errors_are_the_fewest_edits(heard: str, count: int) -> None:
    assert errors(["a", "b", "c"], heard.split()) == count


def test_ctc_is_small_for_the_right_path() -> None:
    path = torch.nn.functional.one_hot(torch.tensor([[0, 1, 0, 2]]), 3).float() * 20
    right = ctc(path, torch.tensor([[1, 2]]), torch.tensor([2]))
    wrong = ctc(path, torch.tensor([[2, 1]]), torch.tensor([2]))
    assert float(right) < 0.01 < 1 < float(wrong)


def test_waveforms_are_brought_to_the_peak_of_scenes() -> None:
    assert np.abs(at_peak(np.array([0.1, -0.2], np.float32))).max() == pytest.approx(0.5)

"""Which label sounds when, and that training hears what evaluation will hear."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from core.audio.mel import KaldiFbank, WhisperMel
from core.encoders.ast import AstShape
from core.encoders.whisper import WhisperShape
from core.foundations.hearing import (
    Grid,
    Hearing,
    HearingError,
    anywhere,
    augmented,
    average_precision,
    colouring,
    presence,
    scene_batches,
    share,
    source,
    validation,
    warping,
)
from core.foundations.listener import log_mels, step_grid, whisper_mels
from core.foundations.tagger import fbank_mels, log_power, token_grid
from core.scenes.bank import Bank
from core.scenes.compose import compose_mels, render
from core.scenes.timeline import Event, Scene
from shared_data.world.sounds.procedural import make_bank

LABELS = ["church_bell", "dog_bark", "rain"]
HEARING = Hearing(duration=2.0, sizes=(1.0,), noise_db=(-30.0, -20.0), batch_size=4, valid=6)


@pytest.fixture(scope="module")
def bank() -> Bank:
    return make_bank(sample_rate=16_000, clips_per_class={"train": 3, "valid": 2, "test": 1}, labels=LABELS)


def scene(*events: tuple[str, float, float]) -> Scene:
    made = tuple(Event(clip=0, label=label, start=start, end=end) for label, start, end in events)
    return Scene(id="s", events=made, duration=1.0)


def test_presence_asks_for_a_share_of_the_token() -> None:
    grid = Grid(frames=100, tokens=5, seconds=0.2)
    found = presence([scene(("a", 0.0, 0.45), ("b", 0.38, 0.8))], ["a", "b"], grid=grid, least=0.3)[0]
    assert found[:, 0].tolist() == [1, 1, 0, 0, 0]  # the third token holds 0.05 s of it
    assert found[:, 1].tolist() == [0, 0, 1, 1, 0]


def test_an_event_shorter_than_a_share_of_a_token_is_somewhere() -> None:
    grid = Grid(frames=100, tokens=2, seconds=0.5)
    found = presence([scene(("a", 0.97, 1.0), ("b", 0.2, 0.25))], ["a", "b"], grid=grid, least=0.5)[0]
    assert found.tolist() == [[0, 1], [1, 0]]


def test_a_stranger_is_an_error(bank: Bank) -> None:
    grid = Grid(frames=100, tokens=2, seconds=0.5)
    with pytest.raises(HearingError, match="'b'"):
        presence([scene(("b", 0.0, 1.0))], ["a"], grid=grid, least=0.3)
    with pytest.raises(HearingError, match="rain"):
        validation(bank, HEARING, labels=LABELS[:2], seed=0)


def test_colouring_is_a_tilt_and_a_bend_of_the_spread_asked_for() -> None:
    gains = 10 * np.log10(colouring(9, 4000, spread_db=3.0, rng=np.random.default_rng(0)))[:, 0]
    assert gains.shape == (4000, 9)
    np.testing.assert_allclose(gains.std(axis=0)[[0, -1]], 3 * np.sqrt(2), rtol=0.1)
    np.testing.assert_allclose(np.diff(gains, n=3, axis=1), 0, atol=1e-4)  # parabolas


def test_batches_are_a_function_of_the_step(bank: Bank) -> None:
    shape = AstShape(n_mels=32, max_frames=198, patch_size=16, time_stride=16, labels=tuple(LABELS))
    mels = fbank_mels(bank, KaldiFbank(n_mels=32, max_frames=198))
    options = Hearing(duration=2.0, sizes=(1.0,), colour_db=3.0, batch_size=4)
    batches = scene_batches(bank, mels, options, grid=token_grid(shape), skip=1, features=log_power, seed=0)
    whole, resumed = batches(0), batches(1)
    next(whole)
    one, two = next(whole), next(resumed)
    assert one["ids"] == two["ids"]
    assert torch.equal(one["features"], two["features"])
    assert (one["features"].shape, one["present"].shape) == ((4, 198, 32), (4, 12, 3))
    assert (one["present"].amax(dim=1).sum(dim=1) >= 1).all()


def loud(features: Tensor) -> Tensor:
    """Where a spectrogram is within 50 dB or so of its peak: what lies deeper depends on phases."""
    return features > features.flatten(1).amax(dim=1)[:, None, None] - 11.5


def test_training_hears_what_kaldi_fbank_hears(bank: Bank) -> None:
    """Added powers, shifted by the front end's half window, against the front end on the mixed waveform."""
    front_end = KaldiFbank(n_mels=32, max_frames=198, normalize=False)
    mels = fbank_mels(bank, front_end)
    scenes = [made for made, _ in source(bank, HEARING, seed=3).draw(0, 12)]
    heard = front_end([render(made, bank) for made in scenes])
    composed = log_power(torch.from_numpy(compose_mels(scenes, mels, frames=199)))

    def distance(skip: int) -> float:
        ours = composed[:, skip : skip + 197]
        theirs = heard[:, :197]
        return float((ours - theirs)[loud(theirs)].abs().mean())

    assert distance(1) < 1.2  # nepers of power: the phases' cross terms
    assert distance(1) < distance(0)  # the frame left off is what aligns them


def test_training_hears_what_whisper_mel_hears(bank: Bank) -> None:
    front_end = WhisperMel(n_mels=32, n_fft=512, hop=320, max_seconds=2.0)
    mels = whisper_mels(bank, front_end)
    scenes = [made for made, _ in source(bank, HEARING, seed=3).draw(0, 12)]
    heard = front_end([render(made, bank) for made in scenes])
    composed = log_mels(torch.from_numpy(compose_mels(scenes, mels, frames=100)))
    assert composed.shape == heard.shape
    rms = float((composed - heard).square().mean().sqrt())
    shifted = float((composed[..., 5:] - heard[..., :-5]).square().mean().sqrt())
    assert rms < 0.15  # of a scale on which 1 is 40 dB
    assert rms < 0.7 * shifted


def test_grids_are_those_of_the_networks() -> None:
    assert token_grid(AstShape()) == Grid(frames=1024, tokens=101, seconds=0.1)
    grid = step_grid(WhisperShape(), hop=160, sample_rate=16_000)
    assert grid == Grid(frames=3000, tokens=1500, seconds=0.02)


def test_scores_are_one_for_a_network_that_knows(bank: Bank) -> None:
    scenes, waveforms = validation(bank, replace(HEARING, valid=24), labels=LABELS, seed=1)
    assert [len(wave) for wave in waveforms] == [32_000] * 24
    there = anywhere(scenes, [*LABELS, "never"])
    assert [row.sum() for row in there] == [len(scene.events) for scene in scenes]
    value, _, high = average_precision(there.astype(float), there)
    assert value == high == 1.0
    value, low, high = average_precision(np.random.default_rng(0).random(there.shape), there)
    assert 0 < low < value < high < 1
    assert value < 0.9


def test_a_share_has_an_interval_over_units() -> None:
    value, low, high = share(np.array([1.0, 0.0, 2.0, 1.0]), np.array([2.0, 2.0, 4.0, 2.0]))
    assert value == 0.4
    assert 0 <= low < value < high <= 1


def test_warping_moves_bands_and_keeps_what_is_flat() -> None:
    matrices = warping(8, 3, spread=0.1, rng=np.random.default_rng(0))
    np.testing.assert_allclose(matrices.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(warping(8, 1, spread=0.0, rng=np.random.default_rng(0))[0], np.eye(8))
    powers = np.tile(np.arange(8, dtype=np.float32), (4, 5, 1))
    options = replace(HEARING, warp=0.1, colour_db=2.0)

    def moved(rows: np.ndarray, first: int, options: Hearing = options) -> np.ndarray:
        return augmented(rows, options, total=4, first=first, rng=np.random.default_rng(0))

    halves = [moved(powers[:2], 0), moved(powers[2:], 2)]  # of two processes
    np.testing.assert_array_equal(np.concatenate(halves), moved(powers, 0))
    assert (np.diff(moved(powers, 0, replace(HEARING, warp=0.1)), axis=2) >= 0).all()
    assert moved(powers, 0, HEARING) is powers

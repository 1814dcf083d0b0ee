"""Crops that depend on seed and item alone, and windows that miss nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.audio.crop import crop, position, windows


def test_position_is_fixed_for_ever() -> None:
    # A change of these numbers would change every cropped feature: they are part of the protocol.
    assert [position(1_000, seed=0, item=item) for item in ("a", "b", "c")] == [437, 933, 24]
    assert position(1_000, seed=1, item="a") != position(1_000, seed=0, item="a")


def test_positions_are_spread_evenly() -> None:
    counts = np.bincount([position(10, seed=3, item=str(i)) for i in range(5_000)], minlength=10)
    assert len(counts) == 10
    assert counts.min() > 400
    assert counts.max() < 600


def test_crop_is_a_part_of_the_waveform() -> None:
    wave = np.arange(1_000, dtype=np.float32)
    part = crop(wave, 300, seed=0, item="x")
    assert len(part) == 300
    assert (np.diff(part) == 1).all()
    assert np.array_equal(part, crop(wave, 300, seed=0, item="x"))
    starts = {float(crop(wave, 300, seed=seed, item="x")[0]) for seed in range(50)}
    assert len(starts) > 30
    assert max(starts) <= 700


def test_crop_reaches_both_ends_and_keeps_short_audio() -> None:
    wave = np.arange(4)
    assert {crop(wave, 3, seed=seed, item="x")[0] for seed in range(20)} == {0, 1}
    assert np.array_equal(crop(wave, 4, seed=0, item="x"), wave)
    assert np.array_equal(crop(wave, 9, seed=0, item="x"), wave)


def test_crop_of_a_tensor_and_of_channels_is_the_same() -> None:
    wave = np.arange(200).reshape(2, 100)
    tensor = crop(torch.from_numpy(wave), 10, seed=5, item="x")
    assert np.array_equal(tensor.numpy(), crop(wave, 10, seed=5, item="x"))
    assert tensor.shape == (2, 10)


@pytest.mark.parametrize(
    ("n_samples", "window", "hop", "expected"),
    [
        (10, 4, 4, [(0, 4), (4, 8), (6, 10)]),
        (8, 4, 4, [(0, 4), (4, 8)]),
        (9, 4, 2, [(0, 4), (2, 6), (4, 8), (5, 9)]),
        (4, 4, 1, [(0, 4)]),
        (3, 4, 4, [(0, 3)]),
        (5, 4, 4, [(0, 4), (1, 5)]),
    ],
)
def test_windows(n_samples: int, window: int, hop: int, expected: list[tuple[int, int]]) -> None:
    assert windows(n_samples, window, hop) == expected


def test_windows_cover_every_sample_once_at_least() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        window = int(rng.integers(1, 50))
        n_samples, hop = int(rng.integers(1, 500)), int(rng.integers(1, window + 1))
        pairs = windows(n_samples, window, hop)
        assert {i for start, stop in pairs for i in range(start, stop)} == set(range(n_samples))
        assert len(set(pairs)) == len(pairs)
        assert all(stop - start == min(window, n_samples) for start, stop in pairs)


def test_bad_requests_are_named() -> None:
    with pytest.raises(ValueError, match="no samples"):
        windows(0, 4, 4)
    with pytest.raises(ValueError, match="hop 5 must lie between 1 and the window 4"):
        windows(10, 4, 5)
    with pytest.raises(ValueError, match="'x'"):
        crop(np.zeros(4), 0, seed=0, item="x")
    with pytest.raises(ValueError, match="at least 1"):
        position(0, seed=0, item="x")

"""Recording conditions: each does what it is named after, and only as its seed says."""

from __future__ import annotations

import numpy as np
import pytest

from shared_data.world.sounds.conditions import CONDITIONS, ConditionError, apply

RATE = 16_000


def tone(freq: float, *, seconds: float = 1.0, start: float = 0.0, end: float = 1.0) -> np.ndarray:
    at = np.arange(round(seconds * RATE)) / RATE
    return np.where((at >= start) & (at < end), np.sin(2 * np.pi * freq * at), 0.0).astype(np.float32)


def level(sound: np.ndarray, freq: float) -> float:
    """The share of a sound's energy within 5 Hz of a frequency."""
    power = np.abs(np.fft.rfft(sound.astype(float))) ** 2
    freqs = np.fft.rfftfreq(len(sound), 1 / RATE)
    return float(power[np.abs(freqs - freq) <= 5].sum() / power.sum())


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_keeps_the_length_and_obeys_its_seed(name: str, rate: int) -> None:
    sound = tone(440)[: rate // 2]
    made = apply(sound, [name], sample_rate=rate, seed=1)
    assert made.dtype == np.float32
    assert made.shape == sound.shape
    assert np.abs(made).max() == pytest.approx(0.5, abs=1e-6)
    assert np.isfinite(made).all()
    np.testing.assert_array_equal(made, apply(sound, [name], sample_rate=rate, seed=1))
    assert not np.array_equal(made, apply(sound, [name], sample_rate=rate, seed=2))
    assert not np.allclose(made, 0.5 * sound / np.abs(sound).max(), atol=1e-3)


def test_a_chain_is_its_conditions_one_after_the_other() -> None:
    sound = tone(440)
    chained = apply(sound, ["distance", "hum"], sample_rate=RATE, seed=3)
    first = apply(sound, ["distance"], sample_rate=RATE, seed=3)
    np.testing.assert_allclose(chained, apply(first, ["hum"], sample_rate=RATE, seed=3), atol=1e-6)
    np.testing.assert_array_equal(apply(sound, [], sample_rate=RATE, seed=0), 0.5 * sound / sound.max())


def test_a_room_sounds_on() -> None:
    sound = tone(440, end=0.3)
    assert not sound[RATE // 2 :].any()
    made = apply(sound, ["reverb"], sample_rate=RATE, seed=0)
    early, late = (
        np.square(made[round(a * RATE) : round(b * RATE)]).mean() for a, b in ((0.3, 0.4), (0.9, 1))
    )
    assert early > 10 * late


@pytest.mark.parametrize(("name", "kept", "lost"), [("telephone", 1000, 100), ("distance", 300, 6000)])
def test_a_filter_loses_what_it_should(name: str, kept: float, lost: float) -> None:
    made = apply(tone(kept) + tone(lost), [name], sample_rate=RATE, seed=0)
    assert level(made, kept) > 0.9
    assert level(made, lost) < 0.05


def test_hum_is_a_series_on_the_mains() -> None:
    found = [apply(tone(1234), ["hum"], sample_rate=RATE, seed=seed) for seed in range(8)]
    bases = {50 if level(made, 50) > level(made, 60) else 60 for made in found}
    assert bases == {50, 60}
    assert all(0.02 < 1 - level(made, 1234) < 0.5 for made in found)


def test_clipping_flattens_the_tops() -> None:
    made = apply(tone(440), ["clipping"], sample_rate=RATE, seed=0)
    assert np.mean(np.abs(made) > 0.4999) > 0.5


@pytest.mark.parametrize(("name", "most"), [("companding", 64), ("low_bits", 128)])
def test_quantisation_leaves_few_values(name: str, most: int) -> None:
    made = apply(tone(441.3), [name], sample_rate=RATE, seed=0)
    assert 10 < len(np.unique(made)) <= most


def test_companding_spares_quiet_parts() -> None:
    sound = tone(440) * np.linspace(0, 1, RATE, dtype=np.float32)
    for seed in range(5):
        made = [np.abs(apply(sound, [n], sample_rate=RATE, seed=seed)) for n in ("companding", "low_bits")]
        steps = [values[values > 0].min() for values in made]
        assert steps[0] < 0.6 * steps[1]


def test_a_street_is_low_and_never_still() -> None:
    made = apply(tone(3000, end=0.5), ["street"], sample_rate=RATE, seed=0)
    assert np.square(made[RATE // 2 :]).mean() > 1e-5
    rest = np.abs(np.fft.rfft(made[RATE // 2 :])) ** 2
    assert rest[: len(rest) // 4].sum() > 0.8 * rest.sum()


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(ConditionError, match=r"no recording condition .'reverbs'.*there are reverb"):
        apply(tone(440), ["reverb", "reverbs"], sample_rate=RATE, seed=0)
    for wrong in (np.zeros(10), np.zeros(0), np.array([0.1, np.nan]), np.ones((2, 4))):
        with pytest.raises(ConditionError, match="empty, silent, not mono or not finite"):
            apply(wrong, ["hum"], sample_rate=RATE, seed=0)

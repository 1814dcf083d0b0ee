from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from core.scenes.algebra import parse
from core.scenes.bank import Bank
from core.scenes.compose import (
    COLOURS,
    ClipMels,
    ComposeError,
    clip_mels,
    colour,
    compose_mels,
    noise,
    render,
    render_many,
)
from core.scenes.draw import SceneSource, realise
from core.scenes.timeline import Event, Scene

RATE, HOP, FFT = 16_000, 160, 512
STEP = HOP / RATE


def band_powers(waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
    """A small power front end: frames centred at j * HOP with zeros around, 32 bands of equal width."""
    found = []
    window = np.hanning(FFT + 1)[:-1]
    for wave in waveforms:
        padded = np.pad(wave, FFT // 2)
        starts = np.arange(len(wave) // HOP + 1) * HOP
        frames = padded[starts[:, None] + np.arange(FFT)] * window
        power = np.abs(np.fft.rfft(frames)[:, : FFT // 2]) ** 2
        found.append(power.reshape(len(starts), 32, -1).sum(-1).astype(np.float32))
    return found


def decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(power + 1e-5)


@pytest.fixture(scope="module")
def mels(noise_bank: Bank) -> ClipMels:
    return clip_mels(noise_bank, band_powers, seconds_per_frame=STEP, noise_seconds=12)


def scene_of(bank: Bank, *events: tuple[str, float, float, float], noise_db: float | None = None) -> Scene:
    by_label = bank.by_label()
    made = [
        Event(clip=by_label[label][0], label=label, start=start, end=end, gain_db=gain)
        for label, start, end, gain in events
    ]
    return Scene(id="made", events=tuple(made), duration=4.0, noise_db=noise_db, seed=11)


def test_render_is_deterministic_and_peak_normalised(noise_bank: Bank) -> None:
    for scene, _ in SceneSource(bank=noise_bank, seed=0).draw(0, 20):
        wave = render(scene, noise_bank)
        assert wave.dtype == np.float32
        assert wave.shape == (round(5.12 * RATE),)
        assert np.abs(wave).max() == pytest.approx(0.5, abs=1e-5)
        assert np.array_equal(wave, render(scene, noise_bank))


def test_threads_render_the_same(noise_bank: Bank) -> None:
    scenes = [scene for scene, _ in SceneSource(bank=noise_bank, seed=0).draw(0, 6)]
    for one, two in zip(render_many(scenes, noise_bank), render_many(scenes, noise_bank, threads=2)):
        assert np.array_equal(one, two)


def test_energy_is_where_the_timeline_says(noise_bank: Bank) -> None:
    """Every label owns a band: its band is loud inside its events and silent outside."""
    labels = list(dict.fromkeys(clip.label for clip in noise_bank.clips))
    source = SceneSource(bank=noise_bank, seed=3, noise_db=None)
    for scene, _ in source.draw(0, 20):
        wave = render(scene, noise_bank)
        spectrum = np.fft.rfft(wave)
        band = np.linspace(0, 1, len(spectrum))
        for event in scene.events:
            low = 0.05 + 0.05 * labels.index(event.label)
            own = np.fft.irfft(spectrum * ((band > low) & (band < low + 0.05)), len(wave))
            start, end = round(event.start * RATE), round(event.end * RATE)
            inside = np.sqrt(np.mean(np.square(own[start:end])))
            outside = np.concatenate([own[: max(0, start - 800)], own[end + 800 :]])
            assert inside > 0.005
            assert np.sqrt(np.mean(np.square(outside))) < 0.05 * inside
            middle = (start + end) // 2
            assert np.sqrt(np.mean(np.square(own[middle - 800 : middle + 800]))) > 0.3 * inside


def test_gains_are_relative(noise_bank: Bank) -> None:
    loud = scene_of(noise_bank, ("rain", 0, 0.4, 0.0), ("rain", 2, 2.4, -20.0))
    wave = render(loud, noise_bank)
    assert np.allclose(wave[2 * RATE : round(2.4 * RATE)], 0.1 * wave[: round(0.4 * RATE)], atol=1e-6)


def test_long_events_repeat_their_clip_and_ends_fade(noise_bank: Bank) -> None:
    clip = noise_bank.waveforms[noise_bank.by_label()["bell"][0]]
    scene = scene_of(noise_bank, ("bell", 0.0, 3.8, 0.0))
    wave = render(scene, noise_bank)
    middle = slice(len(clip) // 4, len(clip) // 4 + 1000)
    later = slice(middle.start + len(clip), middle.stop + len(clip))
    assert np.allclose(wave[middle], wave[later], atol=1e-6)
    assert np.abs(wave[round(3.8 * RATE) :]).max() == 0
    assert np.abs(wave[:20]).max() < 0.05 * np.abs(wave).max()


@pytest.mark.parametrize("level", [-30.0, -10.0])
def test_noise_level_is_relative_to_the_sounding_events(noise_bank: Bank, level: float) -> None:
    clean = scene_of(noise_bank, ("rain", 0.5, 1.5, 0.0))
    noisy = replace(clean, noise_db=level)
    dry, wet = render(clean, noise_bank), render(noisy, noise_bank)
    events = np.mean(np.square(dry[RATE // 2 : 3 * RATE // 2]))
    background = np.mean(np.square(wet[2 * RATE :]))
    scale = (
        np.mean(np.square(wet[RATE // 2 : 3 * RATE // 2])) / events
    )  # peak normalisation, and the noise itself
    measured = 10 * np.log10(background / (events * scale - background))
    assert measured == pytest.approx(level, abs=1.0)


def test_noise_has_its_colour_and_power_one() -> None:
    slopes = []
    for seed in range(3):
        wave = noise(8 * RATE, sample_rate=RATE, seed=seed)
        assert wave.dtype == np.float32
        assert np.mean(np.square(wave)) == pytest.approx(1, rel=1e-3)
        power = np.abs(np.fft.rfft(wave)) ** 2
        octaves = [np.mean(power[8 * f : 16 * f]) for f in (200, 400, 800, 1600)]
        slopes.append(np.mean(np.diff(10 * np.log10(octaves))))
        assert colour(seed) == COLOURS[seed]
    assert slopes == pytest.approx([0, -3, -6], abs=0.7)  # dB an octave
    assert not np.array_equal(noise(100, sample_rate=RATE, seed=0), noise(100, sample_rate=RATE, seed=3))


def test_a_scene_of_another_bank_is_refused(noise_bank: Bank, mels: ClipMels) -> None:
    scene = scene_of(noise_bank, ("rain", 0, 1, 0.0))
    wrong = replace(scene, events=(replace(scene.events[0], label="bell"),))
    beyond = replace(scene, events=(replace(scene.events[0], clip=10_000),))
    for bad in (wrong, beyond):
        with pytest.raises(ComposeError, match="is no"):
            render(bad, noise_bank)
        with pytest.raises(ComposeError, match="is no"):
            compose_mels([bad], mels, frames=400)


def test_silence_is_refused(noise_bank: Bank) -> None:
    silent = Bank(noise_bank.clips, tuple(0 * wave for wave in noise_bank.waveforms), RATE)
    with pytest.raises(ComposeError, match="silent"):
        render(scene_of(noise_bank, ("rain", 0, 1, 0.0)), silent)
    with pytest.raises(ComposeError, match="silent"):
        render(Scene(id="empty", events=(), duration=1.0), noise_bank)


@pytest.mark.parametrize(("noise_db", "each", "mean"), [(None, 0.95, 0.97), ((-35.0, -15.0), 0.8, 0.95)])
def test_composed_mels_are_close_to_those_of_the_mixture(
    noise_bank: Bank, mels: ClipMels, noise_db: tuple[float, float] | None, each: float, mean: float
) -> None:
    """In decibels. With a background less so: its samples differ, only its colour and level are the same."""
    source = SceneSource(bank=noise_bank, seed=0, noise_db=noise_db)
    scenes = [scene for scene, _ in source.draw(0, 40)]
    composed = compose_mels(scenes, mels, frames=512)
    assert composed.shape == (40, 512, 32)
    assert composed.dtype == np.float32
    rendered = np.stack([mel[:512] for mel in band_powers(render_many(scenes, noise_bank))])
    likeness = [
        np.corrcoef(decibels(ours).ravel(), decibels(real).ravel())[0, 1]
        for ours, real in zip(composed, rendered)
    ]
    assert min(likeness) > each
    assert np.mean(likeness) > mean
    gaps = np.mean(decibels(composed) - decibels(rendered), axis=(1, 2))
    assert abs(gaps.mean()) < 1  # the same level: peaks are normalised alike
    assert gaps.std() < 1.2


def test_one_clip_alone_is_exact_inside(noise_bank: Bank, mels: ClipMels) -> None:
    """No phase to neglect: a clip at a whole frame gives the mixture's spectrogram but for the fades."""
    index = noise_bank.by_label()["saw"][0]
    seconds = len(noise_bank.waveforms[index]) / RATE
    scene = scene_of(noise_bank, ("saw", 1.0, 1.0 + seconds, -3.0))
    ours = compose_mels([scene], mels, frames=400)[0]
    real = band_powers([render(scene, noise_bank)])[0][:400]
    inside = slice(100 + 8, 100 + int(seconds / STEP) - 8)
    ratio = ours[inside].sum() / real[inside].sum()
    assert ratio == pytest.approx(1, rel=0.05)
    assert np.allclose(ours[inside], ratio * real[inside], rtol=1e-3, atol=1e-6)
    assert ours[:90].sum() == 0


def test_composing_is_deterministic_and_cuts_at_the_last_frame(noise_bank: Bank, mels: ClipMels) -> None:
    scenes = [scene for scene, _ in SceneSource(bank=noise_bank, seed=1).draw(0, 4)]
    whole = compose_mels(scenes, mels, frames=512)
    assert np.array_equal(whole, compose_mels(scenes, mels, frames=512))
    late = scene_of(noise_bank, ("rain", 0, 0.5, 0.0), ("bell", 3.0, 3.5, 0.0))
    assert compose_mels([late], mels, frames=200).shape == (1, 200, 32)
    long = replace(late, noise_db=-10.0)
    assert np.all(compose_mels([long], mels, frames=2000)[0, -1] > 0)  # background longer than its stretch


def test_padded_batches_of_mels_are_cut_to_their_clips(noise_bank: Bank, mels: ClipMels) -> None:
    def padded(waveforms: Sequence[np.ndarray]) -> np.ndarray:
        rows = band_powers(waveforms)
        out = np.zeros((len(rows), max(map(len, rows)), 32), np.float32)
        for place, row in enumerate(rows):
            out[place, : len(row)] = row
        return out

    again = clip_mels(noise_bank, padded, seconds_per_frame=STEP, noise_seconds=12, batch=5)
    for one, two in zip((*mels.clips, *mels.noise), (*again.clips, *again.noise)):
        assert np.array_equal(one, two)


def test_a_wrong_frame_rate_is_named(noise_bank: Bank) -> None:
    with pytest.raises(ComposeError, match="check seconds_per_frame"):
        clip_mels(noise_bank, band_powers, seconds_per_frame=STEP / 2, noise_seconds=1)


def test_realised_trees_render(noise_bank: Bank) -> None:
    scene = realise(parse("((rain+bell)*saw)"), bank=noise_bank, rng=np.random.default_rng(0), duration=8.0)
    assert render(scene, noise_bank).shape == (8 * RATE,)

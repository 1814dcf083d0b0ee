"""Music clips from the General-MIDI font."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from core.scenes.bank import BankError
from shared_data.world.music import melodies as music
from shared_data.world.music.notation import PLAYERS
from shared_data.world.music.notes import PATCHES

RATE = 16000


def test_every_instrument_plays() -> None:
    bank = music.make_music(sample_rate=RATE, clips_per_class={"train": 2, "test": 1})
    assert len(music.INSTRUMENTS) >= 8
    assert bank.labels() == tuple(sorted(music.INSTRUMENTS))
    assert len({waveform.tobytes() for waveform in bank.waveforms}) == len(bank.clips)
    for clip, waveform in zip(bank.clips, bank.waveforms, strict=True):
        assert clip.domain == "music"
        assert clip.instrument == clip.label
        assert 0.4 * RATE <= len(waveform) <= 2.5 * RATE
        assert np.abs(waveform).max() == pytest.approx(0.5, abs=1e-5)
        assert len(set(clip.phrases)) >= 4


def test_the_same_seed_plays_the_same() -> None:
    first = music.play("flute", np.random.default_rng(5), RATE)
    np.testing.assert_array_equal(first, music.play("flute", np.random.default_rng(5), RATE))
    other = music.play("flute", np.random.default_rng(6), RATE)
    assert not np.array_equal(first, other)


def test_melodies_stay_in_range_and_in_time() -> None:
    rng = np.random.default_rng(0)
    for instrument in music.INSTRUMENTS.values():
        if instrument.high:
            notes = music._melody(instrument, rng, 5)
            assert all(instrument.low <= pitch <= instrument.high for _, _, pitch, _ in notes)
            assert all(1 <= velocity <= 127 and length > 0 for _, length, _, velocity in notes)


def test_programs_of_tests_are_not_for_training() -> None:
    """Neither those of the bank's test split nor those of the listening tests and of the exams."""
    tests: dict[bool, set[int]] = {True: set(), False: set()}
    for name, instrument in music.INSTRUMENTS.items():
        if name not in ("organ", "trumpet"):  # the font has one each
            assert not set(instrument.train) & set(instrument.test)
        tests[name == "drums"] |= set(instrument.test)
    for name, player in PLAYERS.items():
        tests[name == "drums"] |= set(player.test)
    tests[False] |= {program for patch in PATCHES for program in patch.test}
    for name, instrument in music.INSTRUMENTS.items():
        shared = set(instrument.train) & tests[name == "drums"]
        assert shared <= {19, 56}, (name, shared)
        assert instrument.programs("valid") == instrument.train


def test_keys_of_training_are_not_for_tests() -> None:
    rng = np.random.default_rng(0)
    keys = {split: {music.key_of(rng, split) for _ in range(200)} for split in ("train", "valid", "test")}
    assert keys["valid"] == keys["test"] == set(range(12)) - keys["train"]
    assert len(keys["train"]) == 8


def test_a_melody_sounds_at_its_pitches() -> None:
    """Every program at the fifth of its range, within 20 cents; percussion and detuned layers aside."""
    for name in ("piano", "organ", "guitar", "violin", "trumpet", "saxophone", "flute", "marimba"):
        instrument = music.INSTRUMENTS[name]
        for program in {*instrument.train, *instrument.test}:
            pitch = instrument.low + (instrument.high - instrument.low) // 3
            sound = music.perform([(program, [(0.0, 2.0, pitch, 100)], False)], 120.0, 48000, 1.0)
            hertz = 440 * 2 ** ((pitch - 69) / 12)
            assert abs(1200 * np.log2(fundamental(sound, 48000, near=hertz) / hertz)) < 20, (name, program)


def fundamental(sound: np.ndarray, rate: int, *, near: float) -> float:
    """The frequency of the highest peak of the autocorrelation within a whole tone of `near`."""
    part = sound[rate // 8 : 3 * rate // 4]
    power = np.abs(np.fft.rfft(part * np.hanning(len(part)), 2 * len(part))) ** 2
    lags = np.fft.irfft(power)
    low, high = int(rate / near / 1.12), int(rate / near * 1.12) + 2
    at = low + int(np.argmax(lags[low:high]))
    left, middle, right = lags[at - 1 : at + 2]
    return float(rate / (at + 0.5 * (left - right) / (left - 2 * middle + right)))


def test_an_unknown_instrument_lists_the_known() -> None:
    with pytest.raises(BankError, match=r"no instrument 'kazoo'.*piano"):
        music.play("kazoo", np.random.default_rng(0), RATE)


def test_a_missing_font_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(music.FontMissingError, match=r"pip install .*pretty_midi"):
        music.find_font()


def test_a_cut_font_is_not_played(monkeypatch, tmp_path) -> None:
    whole = music.find_font()
    (tmp_path / music.FONT).write_bytes(whole.read_bytes()[:100_000])
    found = importlib.util.find_spec("pretty_midi")
    monkeypatch.setattr(found, "submodule_search_locations", [str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    with pytest.raises(music.FontMissingError, match=r"is cut, or not the font of pretty_midi 0\.2\.11"):
        music.find_font()

"""Music clips from the General-MIDI font."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from core.scenes import music
from core.scenes.bank import BankError

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
        if instrument.programs:
            notes = music._melody(instrument, rng)
            assert all(instrument.low <= pitch <= instrument.high for _, _, pitch, _ in notes)
            assert all(1 <= velocity <= 127 and length > 0 for _, length, _, velocity in notes)


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

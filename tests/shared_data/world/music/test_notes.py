"""Notes, strokes, solos and ensembles of the General-MIDI font."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from core.scenes.bank import SilentClipError
from core.scenes.places import GENRES
from shared_data.world.music import notes
from shared_data.world.music.melodies import INSTRUMENTS

RATE = 16_000
MAKERS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "note": lambda rng: notes.note(notes.PATCHES[4], "test", rng, RATE, seconds=1.5)[0],
    "strokes": lambda rng: notes.strokes("cowbell", rng, RATE, seconds=1.5),
    "solo": lambda rng: notes.solo("flute", rng, RATE, seconds=1.5),
    "ensemble": lambda rng: notes.ensemble("jazz", rng, RATE, seconds=1.5),
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_seed_plays_the_same(name: str) -> None:
    first, second, other = (MAKERS[name](np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert first.dtype == np.float32
    assert first.shape == (24_000,)
    assert np.abs(first).max() == pytest.approx(0.5, abs=1e-6)
    assert abs(first[-1]) < 1e-3


def test_splits_share_no_program_pitch_or_velocity() -> None:
    assert {patch.instrument for patch in notes.PATCHES} >= {"bass", "flute", "synth lead", "vocal"}
    assert {patch.source for patch in notes.PATCHES} == {"acoustic", "electronic", "synthetic"}
    train = {program for patch in notes.PATCHES for program in patch.train}
    assert not train & {program for patch in notes.PATCHES for program in patch.test}
    assert not set(notes.VELOCITIES["train"]) & set(notes.VELOCITIES["test"])
    names = {
        split: [
            notes.note(patch, split, np.random.default_rng(seed), RATE, seconds=0.2)[1].split("-")
            for patch in notes.PATCHES
            for seed in range(2)
        ]
        for split in ("train", "test", "valid")
    }
    for part in range(3):
        used = {split: {name[part] for name in found} for split, found in names.items()}
        assert not used["train"] & used["test"]
    assert names["valid"] == names["test"]


def test_a_note_is_held_and_dies_away() -> None:
    sound, name = notes.note(notes.PATCHES[10], "train", np.random.default_rng(0), RATE, seconds=2.0)
    held, gone = np.square(sound[8000:24_000]).mean(), np.square(sound[-1600:]).mean()
    assert gone < 0.05 * held
    assert name.startswith("019-")


@pytest.mark.parametrize("label", notes.PERCUSSION)
def test_every_percussion_class_sounds_and_stops(label: str) -> None:
    for seed in range(4):
        sound = notes.strokes(label, np.random.default_rng(seed), RATE, seconds=5.0)
        frames = np.abs(sound.reshape(-1, 800)).max(axis=1)
        assert (frames < 0.005).mean() > 0.05  # it does not ring for ever
    assert label not in INSTRUMENTS


@pytest.mark.parametrize("genre", GENRES)
def test_an_ensemble_has_all_its_instruments_in_time(monkeypatch: pytest.MonkeyPatch, genre: str) -> None:
    seen: list[tuple[list[tuple[int | None, notes.Line]], float, float]] = []
    play = notes._play

    def spy(
        tracks: list[tuple[int | None, notes.Line]], tempo: float, rate: int, seconds: float
    ) -> np.ndarray:
        seen.append((tracks, tempo, seconds))
        return play(tracks, tempo, rate, seconds)

    monkeypatch.setattr(notes, "_play", spy)
    notes.ensemble(genre, np.random.default_rng(0), RATE, seconds=4.0)
    tracks, tempo, seconds = seen[0]
    low, high = GENRES[genre].tempo
    assert low <= tempo <= high
    assert len(tracks) == len(GENRES[genre].instruments)
    heard = []
    for name, (program, line) in zip(GENRES[genre].instruments, tracks, strict=True):
        instrument = INSTRUMENTS[name]
        assert (program is None) == (name == "drums")
        if program is not None:
            assert program in instrument.programs
            assert all(instrument.low <= pitch <= instrument.high for _, _, pitch, _ in line)
            heard += [pitch % 12 for start, _, pitch, _ in line if start < seconds * tempo / 60]
        assert all(1 <= velocity <= 127 and length > 0 for _, length, _, velocity in line)
        assert line[0][0] < 2
    assert len(set(heard)) <= 7  # one key


def test_soloists_are_eight_that_play_notes() -> None:
    assert len(notes.SOLOISTS) == 8
    for label in notes.SOLOISTS:
        sound = notes.solo(label, np.random.default_rng(0), RATE, seconds=2.0)
        assert np.square(sound).mean() > 1e-4
        assert set(notes.STEADY.get(label, ())) <= set(INSTRUMENTS[label].programs)


def test_what_cannot_be_played_is_said() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(notes.NotesError, match=r"no percussion class 'gong'; there are wood block"):
        notes.strokes("gong", rng, RATE, seconds=1.0)
    with pytest.raises(notes.NotesError, match=r"no soloist 'drums'; there are accordion"):
        notes.solo("drums", rng, RATE, seconds=1.0)
    with pytest.raises(notes.NotesError, match=r"no genre 'polka'; there are classical"):
        notes.ensemble("polka", rng, RATE, seconds=1.0)
    silent = replace(notes.PATCHES[0], train=(65,), low=64, high=64)  # the font has no such sample
    with pytest.raises(SilentClipError, match=r"no sound .*program 65, pitch 64"):
        notes.note(silent, "train", rng, RATE, seconds=0.5)

"""Notes, strokes, solos and ensembles of the General-MIDI font."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from core.scenes.places import GENRES
from shared_data.world.music import notes
from shared_data.world.music.melodies import INSTRUMENTS
from shared_data.world.music.soundfont import SoundfontError

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


@pytest.mark.parametrize("genre", GENRES)
def test_an_ensemble_has_all_its_instruments_in_time(monkeypatch: pytest.MonkeyPatch, genre: str) -> None:
    seen: list[tuple[list[notes.Track], float, float]] = []
    play = notes.perform

    def spy(tracks: list[notes.Track], tempo: float, rate: int, seconds: float) -> np.ndarray:
        seen.append((tracks, tempo, seconds))
        return play(tracks, tempo, rate, seconds)

    monkeypatch.setattr(notes, "perform", spy)
    notes.ensemble(genre, np.random.default_rng(0), RATE, seconds=4.0)
    tracks, tempo, seconds = seen[0]
    low, high = GENRES[genre].tempo
    assert low <= tempo <= high
    assert len(tracks) == len(GENRES[genre].instruments)
    heard = []
    for name, (program, line, drums) in zip(GENRES[genre].instruments, tracks, strict=True):
        instrument = INSTRUMENTS[name]
        assert drums == (name == "drums")
        assert program in instrument.programs("test")
        if not drums:
            assert all(instrument.low <= pitch <= instrument.high for _, _, pitch, _ in line)
            heard += [pitch % 12 for start, _, pitch, _ in line if start < seconds * tempo / 60]
        assert all(1 <= velocity <= 127 and length > 0 for _, length, _, velocity in line)
        assert line[0][0] < 2
    assert len(set(heard)) <= 7  # one key


@pytest.mark.parametrize("genre", GENRES)
def test_a_training_piece_has_another_tempo_than_a_test(genre: str) -> None:
    low, high = GENRES[genre].tempo
    rng = np.random.default_rng(0)
    bands: dict[str, set[int]] = {}
    for split in ("train", "test"):
        tempi = [notes._tempo((low, high), rng, split) for _ in range(200)]
        assert all(low <= tempo <= high for tempo in tempi)
        bands[split] = {int(12 * np.log(tempo / low) / np.log(high / low)) for tempo in tempi}
    assert not bands["train"] & bands["test"]


def test_percussion_of_training_has_other_keys() -> None:
    assert all(not set(train) & set(test) for train, test in notes.PERCUSSION.values())


def test_soloists_are_eight_that_play_notes() -> None:
    assert len(notes.SOLOISTS) == 8
    for label in notes.SOLOISTS:
        sound = notes.solo(label, np.random.default_rng(0), RATE, seconds=2.0)
        assert np.square(sound).mean() > 1e-4


def test_what_cannot_be_played_is_said() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(notes.NotesError, match=r"no percussion class 'gong'; there are wood block"):
        notes.strokes("gong", rng, RATE, seconds=1.0)
    with pytest.raises(notes.NotesError, match=r"no soloist 'drums'; there are accordion"):
        notes.solo("drums", rng, RATE, seconds=1.0)
    with pytest.raises(notes.NotesError, match=r"no genre 'polka'; there are classical"):
        notes.ensemble("polka", rng, RATE, seconds=1.0)
    missing = replace(notes.PATCHES[0], train=(200,))
    with pytest.raises(SoundfontError, match=r"no program 200"):
        notes.note(missing, "train", rng, RATE, seconds=0.5)

"""The score type: what it refuses, when its notes sound, and what the renderer makes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shared_data.world.music.notation import (
    DRUMS,
    HIGHEST,
    LEADS,
    LOWEST,
    PLAYERS,
    Note,
    Part,
    Score,
    ScoreError,
    clips,
    duration,
    join,
    part,
    render,
    seconds_at,
    sections,
    spans,
)

RATE = 16000


def line(name: str = "piano", *, split: str = "train", pitch: int = 60, start: float = 0.0) -> Part:
    notes = [Note(start + at, 0.9, pitch) for at in range(4)]
    return part(np.random.default_rng(0), name, notes, split=split)


def piece(*parts: Part, **changes: object) -> Score:
    given = {"parts": parts or (line(),), "quarters": 8.0, "tempos": ((0.0, 120.0),)} | changes
    return Score(**given)


def energy(sound: np.ndarray, start: float, stop: float) -> float:
    return float(np.square(sound[round(start * RATE) : round(stop * RATE)]).mean())


def test_no_program_is_in_both_splits() -> None:
    train = {(name == "drums", program) for name, player in PLAYERS.items() for program in player.train}
    test = {(name == "drums", program) for name, player in PLAYERS.items() for program in player.test}
    assert not train & test
    assert all(player.train and player.test for player in PLAYERS.values())
    assert all(LOWEST <= PLAYERS[name].low < PLAYERS[name].high <= HIGHEST for name in LEADS)


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_program_sounds_over_its_range(split: str) -> None:
    for name, player in PLAYERS.items():
        for program in player.programs(split):
            keys = DRUMS.values() if name == "drums" else (player.low, player.high)
            for key in keys:
                role = "drums" if name == "drums" else "lead"
                alone = Part(instrument=name, program=program, notes=(Note(0, 2, key),), role=role)
                sound = render(piece(alone, quarters=3.0), RATE)
                assert energy(sound, 0, 0.3) > 1e-5, (name, program, key)  # false for NaN


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": (line(pitch=HIGHEST + 1),)}, "pitch 85"),
        ({"parts": (replace(line(), notes=()),)}, "every part needs notes"),
        ({"quarters": 3.0}, "not within 3 quarters"),
        ({"tempos": ((1.0, 120.0),)}, "the first at quarter 0"),
        ({"tempos": ((0.0, 5.0),)}, "20 to 400"),
    ],
)
def test_what_cannot_be_played_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ScoreError, match=message):
        piece(**changes)


def test_an_unknown_instrument_is_refused() -> None:
    with pytest.raises(ScoreError, match="no instrument 'kazoo'"):
        line("kazoo")


def test_seconds_follow_the_tempos() -> None:
    score = piece(tempos=((0.0, 60.0), (4.0, 120.0)))
    assert [seconds_at(score, at) for at in (0, 2, 4, 8)] == [0, 2, 4, 6]
    assert duration(score) == pytest.approx(6.3)
    assert spans(score) == {"piano": (0.0, pytest.approx(3.9))}


def test_notes_sound_when_the_score_says() -> None:
    """A marimba note after a slower half: silence before it, sound from it on."""
    late = part(np.random.default_rng(0), "marimba", [Note(6.0, 1.0, 70)], split="train")
    sound = render(piece(late, tempos=((0.0, 60.0), (4.0, 120.0))), RATE)
    assert len(sound) == round(6.3 * RATE)
    assert energy(sound, 0, 4.95) < 1e-8 < 1e-4 < energy(sound, 5.0, 5.3)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_sound_is_the_same_each_time_at_any_rate(rate: int) -> None:
    score = piece(line(), line("drums", pitch=36), quarters=5.0)
    sound = render(score, rate)
    assert sound.dtype == np.float32
    assert len(sound) == pytest.approx(duration(score) * rate, abs=1)
    assert 0.5 <= np.abs(sound).max() <= 0.95
    render(piece(line("violin")), rate)
    np.testing.assert_array_equal(sound, render(score, rate))


def period(sound: np.ndarray, rate: int) -> float:
    """The frequency of the first strong peak of the autocorrelation, 100 to 700 Hz."""
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 2 * len(sound))) ** 2
    lags = np.fft.irfft(power)[rate // 700 : rate // 100]
    peaks = (lags[1:-1] > lags[:-2]) & (lags[1:-1] >= lags[2:]) & (lags[1:-1] > 0.9 * lags.max())
    return float(rate / (rate // 700 + 1 + np.flatnonzero(peaks)[0]))


@pytest.mark.parametrize("name", [name for name in PLAYERS if name not in ("drums", "bass", "bells")])
@pytest.mark.parametrize("split", ["train", "test"])
def test_programs_sound_at_the_written_pitch(name: str, split: str) -> None:
    """Within a third of a semitone; bells have no single pitch, a bass is too low."""
    for program in PLAYERS[name].programs(split):
        for pitch in (60, 64, 67):
            alone = Part(instrument=name, program=program, notes=(Note(0, 3, pitch),))
            heard = period(render(piece(alone, quarters=3.0), 48000)[4800:28800], 48000)
            assert abs(12 * np.log2(heard / 440) + 69 - pitch) < 0.34, (program, pitch, heard)


def test_parts_are_balanced_whatever_their_velocity() -> None:
    """A part written very softly is as loud in the mix as one written loudly."""
    soft = replace(line("flute"), notes=tuple(replace(note, velocity=20) for note in line().notes))
    early, late = line("piano"), replace(soft, notes=tuple(replace(n, start=n.start + 4) for n in soft.notes))
    sound = render(piece(early, late), RATE)
    assert 0.2 < energy(sound, 0, 1.9) / energy(sound, 2.0, 3.9) < 5


def test_a_crescendo_within_a_part_is_kept() -> None:
    notes = [Note(at, 0.9, 60, 20 + 30 * at) for at in range(4)]
    sound = render(piece(part(np.random.default_rng(0), "organ", notes, split="train"), quarters=4.0), RATE)
    assert energy(sound, 1.5, 1.9) > 4 * energy(sound, 0, 0.4)


def test_louder_velocities_give_a_louder_piece() -> None:
    soft, loud = (
        render(piece(replace(line(), notes=tuple(replace(n, velocity=v) for n in line().notes))), RATE)
        for v in (40, 120)
    )
    assert np.abs(soft).max() == pytest.approx(0.5)
    assert np.abs(loud).max() == pytest.approx(0.95)


def test_joined_pieces_come_apart_again() -> None:
    first = piece(line(), quarters=4.0, tonic=2, bar=4)
    second = piece(
        line("violin"), line("drums", pitch=36), quarters=6.0, tempos=((0.0, 90.0),), tonic=5, bar=3
    )
    both = join(first, second)
    assert sections(both) == [first, second]
    assert sections(first) == [first]
    assert duration(both) == pytest.approx(2 + 4 + 0.3)
    assert spans(both)["violin"][0] == pytest.approx(2.0)


def test_clips_name_programs_and_kits() -> None:
    assert clips(piece(line("accordion"), line("drums", split="test", pitch=36))) in (
        ("note/021", "note/kit-016"),
        ("note/021", "note/kit-024"),
    )


def test_a_family_may_be_called_differently_in_each_split() -> None:
    assert [line("koto", split=split).called for split in ("train", "test")] == ["koto", "shamisen"]

"""The SoundFont player: a font made here by hand, and the errors of files that are none."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from shared_data.world.music import soundfont
from shared_data.world.music.soundfont import SoundfontError, play_note, preset, zones

RATE = 32000
PERIOD = 100  # samples of the font's only sample, at 22,050 Hz: 220.5 Hz


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def generators(*pairs: tuple[int, int]) -> bytes:
    return b"".join(struct.pack("<Hh", *pair) for pair in pairs)


def write_font(folder: Path, *inner: tuple[int, int], outer: tuple[tuple[int, int], ...] = ()) -> Path:
    """One preset (program 5) of one instrument of one zone: 20 periods of a sine, the second half a loop."""
    sine = np.round(20000 * np.sin(2 * np.pi * np.arange(20 * PERIOD + 46) / PERIOD)).astype("<i2")
    sine[20 * PERIOD :] = 0
    outer_zone, inner_zone = generators(*outer, (41, 0)), generators(*inner, (53, 0))
    bags = [struct.pack("<HH", at, 0) for at in (0, len(outer_zone) // 4)]
    inner_bags = [struct.pack("<HH", at, 0) for at in (0, len(inner_zone) // 4)]
    head = (b"sine", 0, 20 * PERIOD, 10 * PERIOD, 20 * PERIOD, 22050, 57, 0, 0, 1)
    hydra = b"".join(
        chunk(name, data)
        for name, data in (
            (
                b"phdr",
                struct.pack("<20sHHH12x", b"five", 5, 0, 0) + struct.pack("<20sHHH12x", b"EOP", 0, 0, 1),
            ),
            (b"pbag", b"".join(bags)),
            (b"pgen", outer_zone + generators((0, 0))),
            (b"inst", struct.pack("<20sH", b"one", 0) + struct.pack("<20sH", b"EOI", 1)),
            (b"ibag", b"".join(inner_bags)),
            (b"igen", inner_zone + generators((0, 0))),
            (b"shdr", struct.pack("<20sIIIIIBbHH", *head) + bytes(46)),
        )
    )
    lists = chunk(b"LIST", b"sdta" + chunk(b"smpl", sine.tobytes())) + chunk(b"LIST", b"pdta" + hydra)
    path = folder / "font.sf2"
    path.write_bytes(chunk(b"RIFF", b"sfbk" + lists))
    return path


def frequency(sound: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(sound, 16 * len(sound)))) * RATE / (16 * len(sound)))


def sound_of(font: Path, pitch: int, seconds: float = 0.5) -> np.ndarray:
    (zone,) = zones(font, 5, drums=False, pitch=pitch, velocity=100)
    return play_note(zone, pitch, seconds, RATE)


@pytest.mark.parametrize(
    ("given", "pitch", "hertz"),
    [
        ([], 57, 220.5),  # the root of the sample
        ([], 69, 441.0),
        ([(58, 69)], 69, 220.5),  # another root
        ([(51, -12)], 57, 110.25),  # coarse tuning
        ([(52, 50)], 57, 220.5 * 2 ** (0.5 / 12)),  # fine tuning
        ([(56, 50)], 69, 220.5 * 2**0.5),  # half a semitone a key
    ],
)
def test_tuning(tmp_path: Path, given: list[tuple[int, int]], pitch: int, hertz: float) -> None:
    assert frequency(sound_of(write_font(tmp_path, *given, (54, 1)), pitch)) == pytest.approx(
        hertz, rel=0.005
    )


def test_tuning_of_the_preset_is_added(tmp_path: Path) -> None:
    font = write_font(tmp_path, (51, 12), (54, 1), outer=((51, -24),))
    assert frequency(sound_of(font, 57)) == pytest.approx(110.25, rel=0.005)


def test_loops_go_on_and_others_end(tmp_path: Path) -> None:
    looped = sound_of(write_font(tmp_path, (54, 1)), 57, 1.0)
    assert np.abs(looped[round(0.9 * RATE) : RATE]).max() == pytest.approx(20000 / 32768, rel=0.01)
    assert np.abs(np.diff(looped[1000:RATE])).max() < 0.05  # no click where the loop closes
    (tmp_path / "other").mkdir()
    ended = sound_of(write_font(tmp_path / "other"), 57, 1.0)
    assert len(ended) == pytest.approx(20 * PERIOD / 22050 * RATE, abs=20)


def test_envelope(tmp_path: Path) -> None:
    """Attack 1/8 s, hold none, decay 100 dB a second to 20 dB, release 100 dB in 1/4 s."""
    font = write_font(tmp_path, (54, 1), (34, -3600), (36, 0), (37, 200), (38, -2400))
    sound = sound_of(font, 57, 1.0)

    def level(at: float) -> float:
        around = sound[round((at - 0.005) * RATE) : round((at + 0.005) * RATE)]
        return 20 * np.log10(np.abs(around).max() / (20000 / 32768))

    assert level(0.0625) == pytest.approx(-6, abs=1.2)
    assert level(0.225) == pytest.approx(-10, abs=1)
    assert level(0.6) == pytest.approx(-20, abs=0.5) == pytest.approx(level(0.95), abs=0.5)
    assert level(1.1) == pytest.approx(-60, abs=3)
    assert len(sound) == round(1.25 * RATE)


def test_attenuation_is_in_centibels(tmp_path: Path) -> None:
    plain = np.abs(sound_of(write_font(tmp_path, (54, 1)), 57)).max()
    (tmp_path / "other").mkdir()
    soft = np.abs(sound_of(write_font(tmp_path / "other", (54, 1), (48, 200)), 57)).max()
    assert 20 * np.log10(soft / plain) == pytest.approx(-20, abs=0.1)


def test_keys_and_velocities_choose_zones(tmp_path: Path) -> None:
    font = write_font(tmp_path, (43, 70 << 8 | 40), (44, 127 << 8 | 64), outer=((43, 65 << 8 | 50),))
    (zone,) = preset(font, 0, 5)
    assert (zone.keys, zone.velocities) == ((50, 65), (64, 127))
    for pitch, velocity in ((49, 100), (66, 100), (57, 63)):
        with pytest.raises(SoundfontError, match=f"no key {pitch}"):
            zones(font, 5, drums=False, pitch=pitch, velocity=velocity)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    font = write_font(tmp_path)
    with pytest.raises(SoundfontError, match="no program 6 in bank 0"):
        zones(font, 6, drums=False, pitch=60, velocity=90)
    with pytest.raises(SoundfontError, match="in bank 128"):
        zones(font, 5, drums=True, pitch=60, velocity=90)
    wrong = tmp_path / "wrong.sf2"
    wrong.write_bytes(b"RIFF....WAVE")
    with pytest.raises(SoundfontError, match="no SoundFont 2"):
        preset(wrong, 0, 0)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.99])
def test_a_cut_font_is_an_error(tmp_path: Path, share: float) -> None:
    path = write_font(tmp_path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(SoundfontError, match=r"font\.sf2 is damaged .*cut off"):
        preset(path, 0, 5)


def test_a_font_with_any_byte_changed_plays_or_is_an_error(tmp_path: Path) -> None:
    whole = write_font(tmp_path).read_bytes()
    at = whole.index(b"phdr")  # behind the samples
    for place in range(at, len(whole)):
        for value in (0, 0x7F, 0xFF):
            path = tmp_path / f"{place}-{value}.sf2"
            path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                found = preset(path, 0, 5)
            except SoundfontError:
                continue
            finally:
                path.unlink()
            for zone in found:
                assert len(zone.sample) > 1
                assert 0 < zone.rate <= 400_000


def test_the_font_of_the_worlds_is_whole_to_this_reader() -> None:
    from shared_data.world.music.melodies import find_font

    font = find_font()
    headers = soundfont._chunks(font)["phdr"]
    presets = [struct.unpack_from("<HH", headers, at + 20) for at in range(0, len(headers) - 38, 38)]
    assert len(presets) > 128
    for program, bank in presets:
        assert preset(font, bank, program)


def test_a_gap_between_keys_is_filled_from_below() -> None:
    """Program 65, the alto saxophone, has keys 63 and 65 but not 64."""
    from shared_data.world.music.melodies import find_font

    given = {key: zones(find_font(), 65, drums=False, pitch=key, velocity=100) for key in (63, 64, 65)}
    assert given[64] == given[63] != given[65]

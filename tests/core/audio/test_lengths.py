"""Files whose header and content disagree: cut, never finished, written to a pipe, of an absurd level."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core.audio import lengths
from core.audio.files import AudioError, label_of
from core.audio.read import audio_info, check_audio, read_audio

RATE = 16_000
COUNTED = [
    ("WAV", "PCM_16"),
    ("WAVEX", "PCM_24"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("W64", "FLOAT"),
    ("AIFF", "PCM_16"),
    ("AIFF", "FLOAT"),
    ("SVX", "PCM_16"),
    ("CAF", "PCM_16"),
    ("CAF", "ALAC_16"),
    ("AU", "PCM_16"),
    ("AU", "ULAW"),
    ("NIST", "PCM_16"),
]


def tone(seconds: float = 2.0, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def encoded(
    samples: np.ndarray, container: str = "WAV", subtype: str = "PCM_16", endian: str | None = None
) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format=container, subtype=subtype, endian=endian)
    return buffer.getvalue()


def kind(source: bytes | Path, **options: object) -> str:
    try:
        read_audio(source, sample_rate=None, **options)
    except AudioError as error:
        return error.kind
    return "read"


def sizes_at(data: bytes, name: bytes, form: str, *values: int) -> bytes:
    at = data.index(name) + len(name)
    return data[:at] + struct.pack(form, *values) + data[at + struct.calcsize(form) :]


@pytest.mark.parametrize(("container", "subtype"), COUNTED)
@pytest.mark.parametrize("share", [0.97, 0.6])
def test_a_cut_file_of_every_container_that_counts_its_bytes(
    container: str, subtype: str, share: float
) -> None:
    data = encoded(tone(), container, subtype)
    assert len(read_audio(data, sample_rate=None)[0]) == 2 * RATE
    assert kind(data[: int(share * len(data))]) == "truncated"


def test_big_and_little_endian() -> None:
    for container, endian in (("WAV", "BIG"), ("AU", "LITTLE"), ("AIFF", "LITTLE")):
        data = encoded(tone(), container, endian=endian)
        assert (kind(data), kind(data[: len(data) * 6 // 10])) == ("read", "truncated")


def test_containers_in_which_a_cut_cannot_be_told_are_refused() -> None:
    for container in ("VOC", "AVR", "MAT5", "IRCAM"):
        with pytest.raises(
            AudioError, match=f"container \\({container}\\): convert it to FLAC or WAV"
        ) as caught:
            read_audio(encoded(tone(), container), sample_rate=None)
        assert caught.value.kind == "unreadable"


@pytest.mark.parametrize(
    ("subtype", "size"),
    [
        ("PCM_16", 0x7FFFF000),
        ("PCM_24", 0x7FFFF000 // 3 * 3),
        ("PCM_16", 0x7FFFFFFF),
        ("PCM_16", 0x80000000),
        ("PCM_16", 0xFFFFFFFF),
    ],
)
def test_a_wav_from_a_pipe_is_whole(subtype: str, size: int) -> None:
    data = encoded(tone(), subtype=subtype)
    assert len(read_audio(sizes_at(data, b"data", "<I", size), sample_rate=None)[0]) == 2 * RATE


def test_six_channels_of_24_bits_from_sox() -> None:
    data = encoded(np.repeat(tone()[:, None], 6, axis=1), "WAVEX", "PCM_24")
    assert kind(sizes_at(data, b"data", "<I", 0x7FFFF000 // 18 * 18)) == "read"


def test_an_au_may_leave_its_length_open() -> None:
    au = bytearray(encoded(tone(), "AU"))
    au[8:12] = b"\xff" * 4
    assert len(read_audio(bytes(au), sample_rate=None)[0]) == 2 * RATE


@pytest.mark.parametrize(
    ("container", "name", "form", "size"),
    [
        ("WAV", b"data", "<I", 0),
        ("AIFF", b"SSND", ">I", 8),
        ("CAF", b"data", ">q", 4),
        ("W64", b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a", "<Q", 24),
    ],
)
def test_a_length_that_was_never_written_is_no_empty_file(
    container: str, name: bytes, form: str, size: int
) -> None:
    with pytest.raises(AudioError, match=r"0 bytes of sound, but \d+ bytes follow") as caught:
        read_audio(sizes_at(encoded(tone(), container), name, form, size), sample_rate=None)
    assert caught.value.kind == "unreadable"


def test_an_empty_wav_with_titles_is_empty() -> None:
    whole = encoded(np.zeros(0))
    chunk = b"LIST" + struct.pack("<I", 14) + b"INFOINAM" + struct.pack("<I", 2) + b"x\0"
    assert kind(whole + chunk) == "empty"
    au = bytearray(encoded(tone(), "AU"))
    au[8:12] = bytes(4)
    assert kind(bytes(au)) == "unreadable"


def test_a_file_of_countless_chunks_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lengths, "MAX_CHUNKS", 100)
    stream = io.BytesIO(b"RIFF" + bytes(4) + b"WAVE" + bytes(100_000))
    assert lengths.sound_span(stream) is None


def test_mp3_inside_wav_has_no_known_length() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(), RATE, format="MP3")
    frames = buffer.getvalue()
    # its header counts 2,000 frames more than decode, as encoders' delay does
    fmt = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE, 4000, 1, 0, 12, 1, 2, 576, 1, 0)
    fact = b"fact" + struct.pack("<II", 4, 2 * RATE + 2_000)
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + fact + b"data"
    body += struct.pack("<I", len(frames)) + frames
    data = b"RIFF" + struct.pack("<I", len(body)) + body
    assert audio_info(data).frames is None
    assert abs(len(read_audio(data, sample_rate=None)[0]) - 2 * RATE) < 3_000
    assert kind(data[: len(data) * 6 // 10]) == "truncated"


def test_a_name_that_is_not_utf8_is_read_and_printed(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    path.write_bytes(encoded(tone()))
    assert kind(path) == "read"
    assert label_of(path) == f"{tmp_path}/caf\\xe9.wav"
    path.write_bytes(encoded(tone())[:30_000])
    with pytest.raises(AudioError) as caught:
        read_audio(path, sample_rate=None)
    assert str(caught.value).encode()  # what a terminal does


def test_an_mp3_beside_the_resource_fork_of_a_mac(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.mp3", tone(), RATE, format="MP3")
    (tmp_path / "._x.mp3").write_bytes(bytes(211))
    assert kind(tmp_path / "x.mp3") == "read"


@pytest.mark.parametrize("scale", [127, 32_767, 2**31])
def test_integers_stored_as_float_are_no_sound(scale: int) -> None:
    with pytest.raises(AudioError, match="without dividing by 32768") as caught:
        read_audio(encoded(tone() * scale, subtype="FLOAT"), sample_rate=None)
    assert caught.value.kind == "too_loud"


def test_a_float_file_may_lie_above_full_scale() -> None:
    loud = 30 * tone()
    assert np.array_equal(read_audio(encoded(loud, subtype="FLOAT"), sample_rate=None)[0], loud)


@pytest.mark.parametrize(
    ("container", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("WAV", "PCM_U8"), ("MP3", None)]
)
def test_opposite_channels_leave_rounding_noise_and_no_sound(container: str, subtype: str) -> None:
    rng = np.random.default_rng(0)
    dither = rng.triangular(-1, 0, 1, (2 * RATE, 2)) / 32768 if subtype == "PCM_16" else 0
    data = encoded(np.stack([tone(), -tone()], axis=1) + dither, container, subtype)
    with pytest.raises(AudioError, match="use channel='first'") as caught:
        read_audio(data, sample_rate=None)
    assert caught.value.kind == "silent"
    assert kind(data, channel="first") == "read"
    assert kind(data, accept={"silent"}) == "silent"  # it is not silence that was accepted
    quiet = np.stack([tone(level=0.004), -tone(level=0.004)], axis=1)
    assert kind(encoded(quiet)) == "silent"


def test_a_weak_mean_is_sound() -> None:
    left = tone()
    weak = np.stack([left, -0.98 * left], axis=1)  # 40 dB below
    assert kind(encoded(weak)) == "read"
    assert kind(encoded(tone(level=3e-4))) == "read"


def test_what_is_sent_on_as_it_is_must_decode() -> None:
    whole = encoded(tone())
    assert check_audio(whole).seconds == 2.0
    for data, why in (
        (whole[:30_000], "truncated"),
        (encoded(tone() * 32_767, subtype="FLOAT"), "too_loud"),
        (encoded(np.full(RATE, np.nan), subtype="FLOAT"), "not_finite"),
        (encoded(np.zeros((RATE, 2))), "silent"),
        (b"", "empty"),
    ):
        with pytest.raises(AudioError) as caught:
            check_audio(data)
        assert caught.value.kind == why
    assert check_audio(encoded(np.stack([tone(), -tone()], axis=1))).channels == 2  # no mean is taken
    assert check_audio(encoded(np.zeros(RATE)), accept={"silent"}).frames == RATE


def counting(flac: bytes, samples: int) -> bytes:
    """A FLAC whose header counts another number of samples; 0 is what goes to a pipe."""
    packed = int.from_bytes(flac[18:26], "big") >> 36 << 36 | samples
    return flac[:18] + packed.to_bytes(8, "big") + flac[26:]


@pytest.mark.parametrize("samples", [300, 4_096, 4_097, 32_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_flac_from_a_pipe_is_read_to_its_end(samples: int, channels: int) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal((samples, channels))
    flac = encoded(noise, "FLAC")
    streamed = counting(flac, 0)
    assert np.array_equal(read_audio(streamed, sample_rate=None)[0], read_audio(flac, sample_rate=None)[0])
    assert audio_info(streamed).frames == samples
    tagged = streamed + b"TAG" + bytes(125)
    assert len(read_audio(tagged, sample_rate=None)[0]) == samples
    assert kind(streamed[: len(streamed) * 6 // 10]) == "truncated"


@pytest.mark.parametrize(
    ("counted", "expected"), [(16_000, "unreadable"), (31_999, "unreadable"), (40_000, "truncated")]
)
def test_a_flac_whose_header_counts_otherwise(counted: int, expected: str) -> None:
    assert kind(counting(encoded(tone(), "FLAC"), counted)) == expected

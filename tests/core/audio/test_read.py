"""Reading and writing audio: what comes out, and every defect by its name."""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core.audio import files
from core.audio.files import AudioError
from core.audio.read import AudioErrors, audio_info, read_audio, read_many, write_flac, write_wav

RATE = 16_000
FORMATS = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


def tone(seconds: float = 1.0, *, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(seconds: float = 1.0, *, rate: int = RATE) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal(round(seconds * rate))).astype(np.float32)


def encoded(samples: np.ndarray, rate: int = RATE, container: str = "WAV", subtype: str = "FLOAT") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
    return buffer.getvalue()


def defect(source: files.Source, **options: object) -> AudioError:
    with pytest.raises(AudioError) as caught:
        read_audio(source, **{"sample_rate": None, **options})
    return caught.value


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
def test_every_format_is_read(container: str, subtype: str) -> None:
    rate = 48_000 if subtype == "OPUS" else 44_100
    wave = tone(rate=rate)
    waveform, read_rate = read_audio(encoded(wave, rate, container, subtype), sample_rate=None)
    assert (read_rate, waveform.dtype, waveform.shape) == (rate, np.float32, wave.shape)
    middle = slice(rate // 4, -rate // 4)
    np.testing.assert_allclose(waveform[middle], wave[middle], atol=0.03)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_resampling_keeps_the_tone_and_the_length(rate: int) -> None:
    waveform, new_rate = read_audio(encoded(tone(rate=rate), rate), sample_rate=RATE)
    assert (new_rate, len(waveform), waveform.dtype) == (RATE, RATE, np.float32)
    np.testing.assert_allclose(waveform[2_000:-2_000], tone()[2_000:-2_000], atol=1e-3)


def test_path_string_bytes_and_stream_are_the_same(tmp_path: Path) -> None:
    data = encoded(noise())
    path = tmp_path / "noise.wav"
    path.write_bytes(data)
    stream = io.BytesIO(data)
    stream.seek(10)
    for source in (path, str(path), data, stream):
        assert np.array_equal(read_audio(source, sample_rate=None)[0], noise())
    assert stream.tell() == 10


def test_mono_is_the_mean_of_the_channels_or_the_first() -> None:
    left, right, low = tone(hertz=300), tone(hertz=700), tone(hertz=100)
    data = encoded(np.stack([left, right, low], axis=1))
    mean, _ = read_audio(data, sample_rate=None)
    np.testing.assert_allclose(mean, (left + right + low) / 3, atol=1e-6)
    first, _ = read_audio(data, sample_rate=None, channel="first")
    assert np.array_equal(first, left)
    with pytest.raises(ValueError, match="channel='left' is neither"):
        read_audio(data, sample_rate=None, channel="left")


def test_the_header_tells_the_original_rate() -> None:
    info = audio_info(encoded(np.zeros((4_410, 2)), 44_100, "FLAC", "PCM_16"))
    assert (info.sample_rate, info.channels, info.frames, info.seconds) == (44_100, 2, 4_410, 0.1)
    assert (info.format, info.subtype) == ("FLAC", "PCM_16")


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
@pytest.mark.parametrize("share", [0.97, 0.6])
def test_a_cut_file_is_truncated(container: str, subtype: str, share: float, tmp_path: Path) -> None:
    data = encoded(noise(4), RATE, container, subtype)
    path = tmp_path / "cut.audio"
    path.write_bytes(data[: int(share * len(data))])
    error = defect(path)
    assert error.kind == "truncated"
    assert str(path) in str(error)
    assert "get the file again" in str(error)


@pytest.mark.parametrize(("container", "subtype"), [("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")])
def test_what_is_left_of_a_cut_file_is_read_when_accepted(container: str, subtype: str) -> None:
    data = encoded(noise(10), RATE, container, subtype)
    whole, _ = read_audio(data, sample_rate=None)
    part, _ = read_audio(data[: int(0.8 * len(data))], sample_rate=None, accept={"truncated"})
    assert 0.3 * len(whole) < len(part) < 0.9 * len(whole)
    np.testing.assert_allclose(part[:8_000], whole[:8_000], atol=1e-6)


def test_a_flac_damaged_in_the_middle_is_truncated() -> None:
    data = bytearray(encoded(noise(4), RATE, "FLAC", "PCM_16"))
    data[len(data) // 2 : len(data) // 2 + 500] = bytes(500)
    assert defect(bytes(data)).kind == "truncated"


def test_a_wav_written_to_a_pipe_is_whole() -> None:
    data = bytearray(encoded(noise(), subtype="PCM_16"))
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", 0xFFFFFFFF)
    assert len(read_audio(bytes(data), sample_rate=None)[0]) == RATE


def test_an_mp3_without_a_length_is_read_to_its_end() -> None:
    with io.BytesIO() as buffer:
        with soundfile.SoundFile(
            buffer, "w", 44_100, 1, format="MP3", compression_level=0.5, bitrate_mode="VARIABLE"
        ) as file:
            file.write(np.concatenate([np.zeros(44_100), noise(1, rate=44_100), tone(2, rate=44_100)]))
        data = buffer.getvalue()
    second_frame = data.index(data[:2], 4)
    assert audio_info(data).frames == 4 * 44_100
    bare, tagged = data[second_frame:], b"ID3\x04\x00\x00\x00\x00\x01\x05" + bytes(133) + data
    assert audio_info(bare).frames is None
    assert audio_info(tagged).frames == 4 * 44_100
    assert abs(len(read_audio(bare, sample_rate=None)[0]) - 4 * 44_100) < 3_000
    assert len(read_audio(bare, sample_rate=None, start=1, stop=3)[0]) == 2 * 44_100
    assert defect(bare, max_seconds=3).kind == "too_long"


def test_empty() -> None:
    assert defect(b"").kind == "empty"
    assert defect(encoded(np.zeros(0))).kind == "empty"


@pytest.mark.parametrize("constant", [0.0, 0.25, 4e-6])
def test_silent(constant: float) -> None:
    data = encoded(np.full(RATE, constant))
    assert defect(data).kind == "silent"
    assert np.ptp(read_audio(data, sample_rate=8_000, accept={"silent"})[0][1_000:-1_000]) < 1e-5


def test_channels_that_cancel_are_told_from_silence() -> None:
    error = defect(encoded(np.stack([tone(), -tone()], axis=1)))
    assert error.kind == "silent"
    assert "use channel='first'" in str(error)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite(value: float) -> None:
    wave = noise()
    wave[[5, 600]] = value
    error = defect(encoded(wave))
    assert error.kind == "not_finite"
    assert "2 samples" in str(error)


def test_one_sample_is_too_short() -> None:
    error = defect(encoded(np.array([0.5])))
    assert error.kind == "too_short"
    assert "1 samples at 16000 Hz are less than 10 ms" in str(error)
    assert defect(encoded(tone(0.5)), min_seconds=1.0).kind == "too_short"


def test_no_channels() -> None:
    data = bytearray(encoded(noise(), subtype="PCM_16"))
    data[22:24] = bytes(2)
    assert defect(bytes(data)).kind == "no_channels"


def test_unreadable_and_missing(tmp_path: Path) -> None:
    (tmp_path / "page.wav").write_text("<html>not found</html>" * 10)
    (tmp_path / "page.raw").write_text("<html>not found</html>" * 10)
    assert defect(tmp_path / "page.wav").kind == "unreadable"
    assert "a web page in place of the sound" in str(defect(tmp_path / "page.wav"))
    (tmp_path / "lfs.wav").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "`git lfs pull` gets it" in str(defect(tmp_path / "lfs.wav"))
    assert defect(tmp_path / "page.raw").kind == "unreadable"
    assert defect(tmp_path).kind == "unreadable"
    assert defect(tmp_path / "none.wav").kind == "missing"


@pytest.fixture(scope="module")
def three_hours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hours at 8 kHz: silent but for a tone from 1:00:00 to 1:00:02."""
    path = tmp_path_factory.mktemp("long") / "three_hours.flac"
    with soundfile.SoundFile(path, "w", samplerate=8_000, channels=1, format="FLAC") as file:
        for minute in range(180):
            block = np.zeros(60 * 8_000, np.float32)
            if minute == 60:
                block[:16_000] = tone(2, rate=8_000)
            file.write(block)
    return path


def test_three_hours_are_refused_before_they_are_decoded(
    three_hours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *args, **kwargs: pytest.fail("decoded"))
    error = defect(three_hours)
    assert error.kind == "too_long"
    assert "10800.0 s are over the limit of 600 s: read a window or raise max_seconds" in str(error)
    assert defect(three_hours, start=10, stop=1_000).kind == "too_long"


def test_a_window_of_three_hours_decodes_that_window_only(
    three_hours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    read = soundfile.SoundFile.read

    def counted(self: soundfile.SoundFile, *args: object, **options: object) -> np.ndarray:
        block = read(self, *args, **options)
        decoded.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    waveform, _ = read_audio(three_hours, sample_rate=None, start=3_600, stop=3_602)
    np.testing.assert_allclose(waveform, tone(2, rate=8_000), atol=1e-4)
    assert sum(decoded) == 16_000


def test_windows() -> None:
    wave = noise(2)
    data = encoded(wave)
    assert np.array_equal(read_audio(data, sample_rate=None, start=0.5, stop=1.25)[0], wave[8_000:20_000])
    assert np.array_equal(read_audio(data, sample_rate=None, start=1.5)[0], wave[24_000:])
    assert np.array_equal(read_audio(data, sample_rate=None, stop=2.05)[0], wave)  # labels are rounded
    assert defect(data, stop=2.2).kind == "too_short"
    assert defect(data, start=2.0).kind == "too_short"
    late, _ = read_audio(data, sample_rate=None, start=1.5, stop=9, accept={"too_short"})
    assert np.array_equal(late, wave[24_000:])
    assert defect(data, start=3.0, accept={"too_short"}).kind == "empty"
    for start, stop in ((-1, 1), (1, 1)):
        with pytest.raises(ValueError, match="empty or negative"):
            read_audio(data, sample_rate=None, start=start, stop=stop)


def test_only_harmless_defects_can_be_accepted() -> None:
    with pytest.raises(ValueError, match="only silent, truncated, too_short can be accepted"):
        read_audio(encoded(noise()), sample_rate=None, accept={"not_finite"})


def test_read_many_keeps_the_order() -> None:
    waves = [tone(0.1 + 0.01 * i) for i in range(20)]
    results = read_many([encoded(wave) for wave in waves], sample_rate=None, workers=4)
    assert all(np.array_equal(waveform, wave) for (waveform, _), wave in zip(results, waves))
    halves = read_many([encoded(waves[0])] * 2, sample_rate=None, windows=[(0, 0.05), (0.05, None)])
    assert np.array_equal(np.concatenate([waveform for waveform, _ in halves]), waves[0])


def test_read_many_names_every_defect() -> None:
    sources = [encoded(noise()), b"", encoded(np.zeros(RATE)), encoded(noise()), encoded(np.zeros(99))]
    with pytest.raises(AudioErrors) as caught:
        read_many(sources, sample_rate=None, names=list("abcde"), accept={"too_short"})
    assert [(error.source, error.kind) for error in caught.value.defects] == [
        ("b", "empty"),
        ("c", "silent"),
        ("e", "silent"),
    ]
    message = str(caught.value)
    assert "3 of 5 audio sources cannot be used (2 silent, 1 empty)" in message
    assert "\n  e: it is silent" in message
    many = AudioErrors(caught.value.defects, 5, shown=2)
    assert str(many).endswith("and 1 more")
    with pytest.raises(ValueError, match="1 names for 5 sources"):
        read_many(sources, sample_rate=None, names=["a"])


def test_errors_pass_between_processes() -> None:
    error = pickle.loads(pickle.dumps(AudioError("a.wav", "silent", "it is silent")))
    assert (error.kind, str(error)) == ("silent", "a.wav: it is silent")
    errors = pickle.loads(pickle.dumps(AudioErrors([error], 7)))
    assert "1 of 7" in str(errors)


def test_flac_and_wav_come_back_as_written() -> None:
    wave = noise()
    for data, step in (
        (write_flac(wave, RATE), 2**-15),
        (write_flac(wave, RATE, subtype="PCM_24"), 2**-23),
        (write_wav(wave, RATE), 2**-15),
        (write_wav(wave, RATE, subtype="FLOAT"), 0),
    ):
        waveform, rate = read_audio(data, sample_rate=None)
        assert rate == RATE
        np.testing.assert_allclose(waveform, wave, atol=step, rtol=0)
    assert soundfile.info(io.BytesIO(write_wav(wave, RATE, subtype="FLOAT"))).subtype == "FLOAT"


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_equal_sound_is_equal_bytes_at_any_time(subtype: str) -> None:
    assert b"PEAK" in encoded(noise())[:100]  # the chunk in which libsndfile puts the time of day
    assert b"PEAK" not in write_wav(noise(), RATE, subtype=subtype)


def test_writing_refuses_what_would_not_come_back() -> None:
    for wave, kind in (
        (1.5 * tone() / 0.5, "clipped"),
        (np.array([0.1, np.nan]), "not_finite"),
        (np.zeros((2, 9)), "empty"),
        (np.zeros(0), "empty"),
    ):
        for write in (write_flac, write_wav):
            with pytest.raises(AudioError) as caught:
                write(wave, RATE, name="clip 7")
            assert (caught.value.kind, caught.value.source) == (kind, "clip 7")
    loud, _ = read_audio(write_wav(2 * tone(), RATE, subtype="FLOAT"), sample_rate=None)
    assert np.array_equal(loud, 2 * tone())

"""Audio files as they lie on disk: headers, decoding by soundfile, and the defects that a header tells."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import soundfile

from core.audio.flac import counted_samples, stated_samples, with_length
from core.audio.lengths import CHECKED, cut_short, never_written

Source = Path | str | bytes | BinaryIO
Kind = Literal[
    "missing",
    "unreadable",
    "no_channels",
    "empty",
    "truncated",
    "too_long",
    "too_short",
    "not_finite",
    "silent",
    "clipped",
    "too_loud",
]

BLOCK = 1 << 16  # frames decoded at a time


class AudioError(ValueError):
    """Audio that must not be used. `kind` says what is wrong, `source` names the audio."""

    def __init__(self, source: str, kind: Kind, message: str) -> None:
        super().__init__(source, kind, message)  # all three, so that a worker process can send it
        self.source, self.kind, self.message = source, kind, message

    def __str__(self) -> str:
        return f"{self.source}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """What a file's header says; `frames` is None where it promises no length."""

    sample_rate: int
    channels: int
    frames: int | None
    format: str
    subtype: str

    @property
    def seconds(self) -> float | None:
        return None if self.frames is None else self.frames / self.sample_rate


def label_of(source: Source) -> str:
    """How messages name a source: text that can be printed, also where a file's name is no UTF-8."""
    if isinstance(source, bytes):
        return f"<{len(source)} bytes of audio>"
    if isinstance(source, Path | str):
        return printable(source)
    return printable(str(getattr(source, "name", "<audio stream>")))


def printable(name: Path | str) -> str:
    """A file's name as text; bytes of it that are no UTF-8 become `\\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


@contextmanager
def _stream(source: Source, label: str) -> Iterator[BinaryIO]:
    """The source's bytes; a stream of the caller is read from its beginning, put back and left open."""
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif isinstance(source, Path | str):
        try:
            with open(source, "rb") as file:
                yield file
        except FileNotFoundError:
            raise AudioError(label, "missing", "no such file: check the path or get the data") from None
        except OSError as error:
            raise AudioError(label, "unreadable", f"cannot be opened ({error.strerror}): check it") from error
    else:
        position = source.tell()
        source.seek(0)
        try:
            yield source
        finally:
            source.seek(position)


@contextmanager
def opened(source: Source, label: str) -> Iterator[tuple[soundfile.SoundFile, AudioInfo]]:
    """A source's decoder and header, or an AudioError: missing, unreadable, empty, no_channels."""
    with _stream(source, label) as stream:
        try:
            whole = with_length(stream)
            file = soundfile.SoundFile(whole) if whole else _sound_file(source, stream)
        except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a name that ends in .raw
            reason = getattr(error, "error_string", str(error)).strip()
            if "channel count" in reason.lower():
                raise AudioError(label, "no_channels", "its header has 0 channels: get it again") from error
            if stream.seek(0, os.SEEK_END) == 0:
                raise AudioError(label, "empty", "the file has 0 bytes: get it again") from error
            raise AudioError(label, "unreadable", _no_sound(stream, reason)) from error
        with file:
            if file.format not in CHECKED:
                what = f"a cut could not be told in its container ({file.format}): convert it to FLAC or WAV"
                raise AudioError(label, "unreadable", what)
            yield file, _header(file, stream)


def _no_sound(stream: BinaryIO, reason: str) -> str:
    """What a file is that is no sound: often what a download left in its place."""
    stream.seek(0)
    head = stream.read(200).lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer in place of the sound: `git lfs pull` gets it"
    if head.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "a web page in place of the sound: get it again"
    return f"not sound in WAV, FLAC, OGG or MP3 ({reason}): convert it or get it again"


def _sound_file(source: Source, stream: BinaryIO) -> soundfile.SoundFile:
    if isinstance(source, Path | str):
        # By its path libsndfile reads without asking Python for every block. It also opens `._NAME` beside
        # the file, which archives made on a Mac hold, and takes an MP3 for Sound Designer's format then.
        with suppress(soundfile.LibsndfileError):
            return soundfile.SoundFile(os.fsencode(source))
    stream.seek(0)
    return soundfile.SoundFile(stream)


def _header(file: soundfile.SoundFile, stream: BinaryIO) -> AudioInfo:
    known = 0 <= file.frames < 1 << 48  # libsndfile puts a huge number where the header leaves it open
    if file.format == "MP3":  # without one of these tags its length is a guess from the size of the file
        position = stream.tell()
        stream.seek(0)
        start = stream.read(10)
        if start[:3] == b"ID3":  # its size is in 7-bit bytes
            stream.seek(10 + sum(byte << shift for byte, shift in zip(start[6:], (21, 14, 7, 0))))
        first_frame = start + stream.read(4096)
        known = known and any(tag in first_frame for tag in (b"Xing", b"Info", b"VBRI"))
        stream.seek(position)
    elif file.subtype.startswith("MPEG"):  # MP3 inside WAV: the header counts frames that do not decode
        known = False
    return AudioInfo(
        sample_rate=file.samplerate,
        channels=file.channels,
        frames=file.frames if known else None,
        format=file.format,
        subtype=file.subtype,
    )


def check_length(source: Source, label: str, *, cut: bool = True) -> None:
    """Raise AudioError for a file whose length was never written and, with `cut`, for one cut off."""
    with _stream(source, label) as stream:
        if (stated := stated_samples(stream)) and (counted_samples(stream) or 0) > stated:
            what = f"its header counts {stated} samples and its frames go on behind them: encode it again"
            raise AudioError(label, "unreadable", what)
        if behind := never_written(stream):
            what = (
                f"its header says 0 bytes of sound, but {behind} bytes follow: its length was never written"
            )
            raise AudioError(label, "unreadable", f"{what} (a pipe?); write it again, such as with ffmpeg")
        if cut and (what_shows := cut_short(stream)):
            advice = "get the file again, or accept={'truncated'}"
            raise AudioError(label, "truncated", f"{what_shows}: {advice}")


def decode(file: soundfile.SoundFile, *, first: int, frames: int | None) -> tuple[np.ndarray, bool]:
    """Up to `frames` frames from `first` on, (frames, channels), and whether decoding broke off."""
    blocks: list[np.ndarray] = []
    left, broken = frames, False
    try:
        if first and frames != 0:
            file.seek(first)
        while left is None or left > 0:
            block = file.read(BLOCK if left is None else min(BLOCK, left), dtype="float32", always_2d=True)
            blocks.append(block)
            left = None if left is None else left - len(block)
            if len(block) == 0:
                break
    except soundfile.LibsndfileError:
        broken = True
    return (np.concatenate(blocks) if blocks else np.zeros((0, file.channels), np.float32)), broken

"""Read and write audio. What cannot be trusted is an error that names the file, its defect and what to do.

Sound is float32 mono (N,) in [-1, 1] (float files may exceed it, up to a peak of 16, and are left as they
are). WAV, FLAC, OGG and MP3 are decoded by soundfile and resampled by soxr at its HQ quality. The mono rule:
the mean of the channels or, with channel="first", the first one (as GAMA has it), before resampling.
"""

from __future__ import annotations

import io
import struct
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import soundfile
import soxr

from core.audio.files import AudioError, AudioInfo, Kind, Source, check_length, decode, label_of, opened

Channel = Literal["mean", "first"]

MAX_SECONDS = 600.0
MIN_SECONDS = 0.01
SILENCE = 1e-5  # peak to peak, -100 dB: below one step of 16 bits
WINDOW_SLACK = 0.1  # seconds by which a window may overrun the file: labels are often rounded
CANCELLED = 10 ** (-50 / 20)  # a mix down that lies 50 dB below its channels is none
ROUNDING = 4  # steps, peak to peak, of what rounding and dither leave of opposite channels
LOUDEST = 16.0  # +24 dB; integers that were stored as float without dividing lie far above
ACCEPTABLE = ("silent", "truncated", "too_short")

_SILENT = "it is silent: remove it from the list, or accept={'silent'}"


class AudioErrors(ValueError):
    """The `defects` of many files, each an AudioError."""

    def __init__(self, defects: Sequence[AudioError], total: int, *, shown: int = 20) -> None:
        super().__init__(defects, total)
        self.defects, self.total, self.shown = tuple(defects), total, shown

    def __str__(self) -> str:
        counts = Counter(defect.kind for defect in self.defects).most_common()
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts)
        lines = [f"{len(self.defects)} of {self.total} audio sources cannot be used ({kinds}):"]
        lines += [f"  {defect}" for defect in self.defects[: self.shown]]
        lines += [f"  and {len(self.defects) - self.shown} more"] if len(self.defects) > self.shown else []
        return "\n".join(lines)


def audio_info(source: Source, *, name: str | None = None) -> AudioInfo:
    """The header, without decoding: original sample rate, channel count, length. Raises AudioError."""
    with opened(source, name or label_of(source)) as (_, info):
        return info


def read_audio(
    source: Source,
    *,
    sample_rate: int | None,
    channel: Channel = "mean",
    start: float | None = None,
    stop: float | None = None,
    max_seconds: float | None = MAX_SECONDS,
    min_seconds: float = MIN_SECONDS,
    accept: Collection[Kind] = (),
    name: str | None = None,
) -> tuple[np.ndarray, int]:
    """Audio -> (waveform float32 (N,), its sample rate); sample_rate None keeps the original rate.

    `start` and `stop` (seconds) decode that window only. Audio above `max_seconds` is refused from its
    header, before it is decoded. `accept` lets through "silent", "truncated" (what decodes is returned) or
    "too_short" (a window beyond the end is cut). `name` stands for the source in messages. Raises AudioError.
    """
    label = name or label_of(source)
    _check_options(label, channel=channel, start=start, stop=stop, accept=accept)
    samples, info = _decoded(
        source,
        label,
        start=start,
        stop=stop,
        max_seconds=max_seconds,
        min_seconds=min_seconds,
        accept=accept,
    )
    rate = info.sample_rate
    step = 1 / 128 if info.subtype in ("PCM_U8", "PCM_S8") else 1 / 32768
    mono = _mono(samples, channel, label=label, step=step, silence_allowed="silent" in accept)
    if sample_rate is None or sample_rate == rate:
        return mono, rate
    return soxr.resample(mono, rate, sample_rate, quality="HQ").astype(np.float32, copy=False), sample_rate


def check_audio(
    source: Source,
    *,
    max_seconds: float | None = MAX_SECONDS,
    min_seconds: float = MIN_SECONDS,
    accept: Collection[Kind] = (),
    name: str | None = None,
) -> AudioInfo:
    """Decode a source to its end and raise what `read_audio` raises, for bytes that are sent on as they are.

    It is silent where all of its channels are. Returns the header. Raises AudioError.
    """
    label = name or label_of(source)
    _check_options(label, channel="mean", start=None, stop=None, accept=accept)
    samples, info = _decoded(
        source, label, max_seconds=max_seconds, min_seconds=min_seconds, accept=accept, start=None, stop=None
    )
    if np.ptp(samples, axis=0).max() < SILENCE and "silent" not in accept:
        raise AudioError(label, "silent", _SILENT)
    return info


def read_many(
    sources: Sequence[Source],
    *,
    sample_rate: int | None,
    channel: Channel = "mean",
    windows: Sequence[tuple[float | None, float | None]] | None = None,
    max_seconds: float | None = MAX_SECONDS,
    min_seconds: float = MIN_SECONDS,
    accept: Collection[Kind] = (),
    names: Sequence[str] | None = None,
    workers: int = 8,
) -> list[tuple[np.ndarray, int]]:
    """`read_audio` of many sources by `workers` threads, in order; `windows` are (start, stop) of each.

    Every source is tried, then all defects are raised together as AudioErrors.
    """
    for option, values in (("windows", windows), ("names", names)):
        if values is not None and len(values) != len(sources):
            raise ValueError(f"{len(values)} {option} for {len(sources)} sources: give one for each")

    def read(i: int) -> tuple[np.ndarray, int] | AudioError:
        start, stop = windows[i] if windows is not None else (None, None)
        try:
            return read_audio(
                sources[i],
                sample_rate=sample_rate,
                channel=channel,
                start=start,
                stop=stop,
                max_seconds=max_seconds,
                min_seconds=min_seconds,
                accept=accept,
                name=names[i] if names is not None else None,
            )
        except AudioError as error:
            return error

    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        results = list(pool.map(read, range(len(sources))))
    defects = [result for result in results if isinstance(result, AudioError)]
    if defects:
        raise AudioErrors(defects, len(sources))
    return [result for result in results if not isinstance(result, AudioError)]


def write_flac(
    waveform: np.ndarray,
    rate: int,
    *,
    subtype: Literal["PCM_16", "PCM_24"] = "PCM_16",
    name: str = "waveform",
) -> bytes:
    """Waveform (N,) -> FLAC bytes, the same each time. AudioError above full scale, where it would clip."""
    return _encode(_checked(waveform, name, full_scale=True), rate, "FLAC", subtype)


def write_wav(
    waveform: np.ndarray, rate: int, *, subtype: Literal["PCM_16", "FLOAT"] = "PCM_16", name: str = "waveform"
) -> bytes:
    """Waveform (N,) -> WAV bytes, the same each time. FLOAT keeps every bit and values above full scale."""
    checked = _checked(waveform, name, full_scale=subtype == "PCM_16")
    if subtype == "PCM_16":
        return _encode(checked, rate, "WAV", subtype)
    # By hand: libsndfile stamps float WAVs with the time of day, which would change the hash of equal sound.
    data = checked.astype("<f4").tobytes()
    chunks = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, rate, 4 * rate, 4, 32)
    chunks += struct.pack("<4sII", b"fact", 4, len(checked)) + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WAVE") + chunks


def _decoded(
    source: Source,
    label: str,
    *,
    start: float | None,
    stop: float | None,
    max_seconds: float | None,
    min_seconds: float,
    accept: Collection[Kind],
) -> tuple[np.ndarray, AudioInfo]:
    """The window's frames, (N, channels), and the header; finite and at a level that sound can have."""
    check_length(source, label, cut="truncated" not in accept)
    with opened(source, label) as (file, info):
        rate, promised = info.sample_rate, _promised(info, start, stop)
        if info.frames == 0:
            raise AudioError(label, "empty", "it holds no sound: remove it from the list or get it again")
        if max_seconds is not None and promised is not None and promised > max_seconds * rate:
            raise AudioError(label, "too_long", _too_long(promised / rate, max_seconds))
        if info.frames is not None and "too_short" not in accept:
            _check_window(label, seconds=info.frames / rate, start=start, stop=stop)
        limit = promised if promised is not None or max_seconds is None else int(max_seconds * rate) + 1
        samples, broken = decode(file, first=round((start or 0) * rate), frames=limit)
    if promised is None and max_seconds is not None and len(samples) > max_seconds * rate:
        raise AudioError(label, "too_long", _too_long(len(samples) / rate, max_seconds))
    slack = 0 if info.frames is not None else WINDOW_SLACK * rate
    if (broken or (promised is not None and len(samples) < promised - slack)) and "truncated" not in accept:
        of = "" if promised is None else f" of {promised}"
        what = f"only {len(samples)}{of} frames decode, the rest is cut off or damaged"
        raise AudioError(label, "truncated", f"{what}: get the file again, or accept={{'truncated'}}")
    if len(samples) < max(2, min_seconds * rate) and ("too_short" not in accept or len(samples) == 0):
        kind: Kind = "too_short" if len(samples) else "empty"
        what = f"{len(samples)} samples at {rate} Hz are less than {1000 * min_seconds:g} ms"
        raise AudioError(label, kind, f"{what}: remove it from the list, or lower min_seconds")
    if not np.isfinite(samples).all():
        bad = int(np.count_nonzero(~np.isfinite(samples)))
        raise AudioError(label, "not_finite", f"{bad} samples are NaN or infinite: get it again or remove it")
    if (peak := float(np.abs(samples).max())) > LOUDEST:
        what = f"its peak is {peak:g} where full scale is 1: was it written without dividing by 32768?"
        raise AudioError(label, "too_loud", f"{what} Scale it, or get it again")
    return samples, info


def _check_options(
    label: str, *, channel: str, start: float | None, stop: float | None, accept: Collection[Kind]
) -> None:
    if channel not in ("mean", "first"):
        raise ValueError(f"channel={channel!r} is neither 'mean' nor 'first'")
    if not set(accept) <= set(ACCEPTABLE):
        raise ValueError(f"accept={sorted(accept)}: only {', '.join(ACCEPTABLE)} can be accepted")
    if (start is not None and start < 0) or (stop is not None and stop <= (start or 0)):
        raise ValueError(f"{label}: the window from {start} to {stop} s is empty or negative")


def _promised(info: AudioInfo, start: float | None, stop: float | None) -> int | None:
    """Frames that the header promises for the window; None where it leaves the end open."""
    end = info.frames
    if stop is not None:
        wanted = round(stop * info.sample_rate)
        end = wanted if end is None else min(end, wanted)
    return None if end is None else max(0, end - round((start or 0) * info.sample_rate))


def _check_window(label: str, *, seconds: float, start: float | None, stop: float | None) -> None:
    if (start is not None and start >= seconds) or (stop is not None and stop > seconds + WINDOW_SLACK):
        window = f"the window from {start or 0:g} s to {'the end' if stop is None else f'{stop:g} s'}"
        cure = "correct the window, or accept={'too_short'} to cut it at the end"
        raise AudioError(label, "too_short", f"{window} is not within its {seconds:.3f} s: {cure}")


def _too_long(seconds: float, limit: float) -> str:
    return f"{seconds:.1f} s are over the limit of {limit:g} s: read a window or raise max_seconds"


def _mono(
    samples: np.ndarray, channel: Channel, *, label: str, step: float, silence_allowed: bool
) -> np.ndarray:
    mono = samples[:, 0].copy() if channel == "first" else samples.mean(axis=1, dtype=np.float32)
    if np.ptp(samples, axis=0).max() < SILENCE:
        if silence_allowed:
            return mono
        raise AudioError(label, "silent", _SILENT)
    if np.ptp(mono) < SILENCE or _cancelled(mono, samples, ROUNDING * step):  # never what was meant
        other = "first" if channel == "mean" else "mean"
        what = f"channel={channel!r} of its {samples.shape[1]} channels is silent: use channel={other!r}"
        raise AudioError(label, "silent", what)
    return mono


def _cancelled(mono: np.ndarray, samples: np.ndarray, rounding: float) -> bool:
    """True where one channel, or the mean of all, has but rounding noise of the sound in the others."""
    if samples.shape[1] == 1:
        return False
    left, heard = (float(np.sqrt(np.mean(np.square(x), axis=0)).max()) for x in (mono, samples))
    if left < CANCELLED * heard:
        return True
    return bool(np.ptp(mono) <= rounding and np.ptp(samples, axis=0).max() > 10 * rounding)


def _checked(waveform: np.ndarray, name: str, *, full_scale: bool) -> np.ndarray:
    if waveform.ndim != 1 or len(waveform) == 0:
        raise AudioError(name, "empty", f"shape {waveform.shape} cannot be written: give mono sound (N,)")
    if not np.isfinite(waveform).all():
        raise AudioError(name, "not_finite", "it holds NaN or infinite samples: find the step that made them")
    peak = float(np.abs(waveform).max())
    if full_scale and peak > 1:
        raise AudioError(name, "clipped", f"its peak {peak:.3f} is above full scale: scale it first")
    return waveform.astype(np.float32, copy=False)


def _encode(waveform: np.ndarray, rate: int, container: str, subtype: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, rate, format=container, subtype=subtype)
    return buffer.getvalue()

"""What a listener could measure in speech: pitch, melody, tilt, tremor, level. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LOWEST, HIGHEST = 60, 450  # Hz


@dataclass(frozen=True)
class Prosody:
    """pitch: median Hz; melody: semitones from its 10th to 90th percentile; tilt: dB above over below 1 kHz;
    tremor: strength of loudness changes at 6 to 7 Hz over those at 2 to 15 Hz; level: dB."""

    seconds: float
    pitch: float
    melody: float
    tilt: float
    tremor: float
    level: float


def prosody(sound: np.ndarray, rate: int) -> Prosody:
    """Measure one utterance, (samples,)."""
    pitch = pitches(sound, rate)
    power = np.abs(np.fft.rfft(sound)) ** 2
    freqs = np.fft.rfftfreq(len(sound), 1 / rate)
    high, low = ((freqs > a) & (freqs < b) for a, b in ((1000, 5000), (80, 1000)))
    frame = rate // 100
    loud = np.sqrt((sound[: len(sound) // frame * frame].reshape(-1, frame) ** 2).mean(axis=1))
    changes = np.abs(np.fft.rfft((loud - loud.mean()) * np.hanning(len(loud)), 1024))
    speed = np.fft.rfftfreq(1024, 0.01)
    shaken = changes[(speed > 6) & (speed < 7)].mean() / changes[(speed > 2) & (speed < 15)].mean()
    return Prosody(
        seconds=len(sound) / rate,
        pitch=float(np.median(pitch)),
        melody=float(12 * np.log2(np.percentile(pitch, 90) / np.percentile(pitch, 10))),
        tilt=float(10 * np.log10(power[high].sum() / power[low].sum())),
        tremor=float(shaken),
        level=float(10 * np.log10((sound**2).mean())),
    )


def pitches(sound: np.ndarray, rate: int) -> np.ndarray:
    """Pitch in Hz of the voiced frames of 40 ms, by autocorrelation."""
    n, hop, size = round(0.04 * rate), round(0.01 * rate), 4096
    window = np.hanning(n)
    own = np.fft.irfft(np.abs(np.fft.rfft(window, size)) ** 2)[: rate // LOWEST + 1]
    frames = np.lib.stride_tricks.sliding_window_view(sound, n)[::hop]
    frames = frames[np.abs(frames).max(axis=1) > 0.15 * np.abs(sound).max()]
    frames = (frames - frames.mean(axis=1, keepdims=True)) * window
    auto = np.fft.irfft(np.abs(np.fft.rfft(frames, size)) ** 2)[:, : rate // LOWEST + 1]
    auto = auto / (auto[:, :1] + 1e-12) / (own / own[0])
    first = rate // HIGHEST
    lags = np.argmax(auto[:, first:] * np.linspace(1, 0.85, auto.shape[1] - first), axis=1) + first
    return rate / lags[auto[np.arange(len(auto)), lags] > 0.6]

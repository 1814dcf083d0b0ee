"""The building blocks of the synthesised sounds: shaped noise, glides, resonances, events on a line.

All take and give float64 arrays of shape (samples,); times in seconds, frequencies in Hz. What lies above
0.45 of the sample rate is lowered or left out, so the same recipe serves 16 kHz and 48 kHz.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

Rng = np.random.Generator


def spread(rng: Rng, low: float, high: float) -> float:
    """A draw that is uniform on the logarithmic scale, as pitches, rates and durations are heard."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def noise(
    n: int, rng: Rng, rate: int, *, low: float = 20.0, high: float = 1e9, tilt: float = 0.0
) -> np.ndarray:
    """Gaussian noise between `low` and `high` Hz whose level falls by `tilt` dB per octave; unit variance."""
    size = 1 << max(4, (n - 1).bit_length())
    freqs = np.fft.rfftfreq(size, 1 / rate)
    high = min(high, 0.45 * rate)
    low = min(low, 0.5 * high)
    shape = 1 / np.sqrt(1 + (low / np.maximum(freqs, 1.0)) ** 6) / np.sqrt(1 + (freqs / high) ** 8)
    shape *= np.maximum(freqs / low, 1.0) ** (-tilt / 6.02)
    out = np.fft.irfft(np.fft.rfft(rng.standard_normal(size)) * shape, size)[:n]
    return out / (out.std() + 1e-9)


def glide(points: Sequence[float], n: int, *, geometric: bool = True) -> np.ndarray:
    """A curve through equally spaced points, on the logarithmic scale for pitches."""
    at = np.linspace(0, len(points) - 1, n)
    values = np.asarray(points, dtype=float)
    if geometric:
        return np.exp(np.interp(at, np.arange(len(values)), np.log(values)))
    return np.interp(at, np.arange(len(values)), values)


def phase_of(freq: np.ndarray, rate: int) -> np.ndarray:
    """The running phase, in cycles, of a frequency curve."""
    return np.cumsum(freq) / rate


def harmonics(freq: np.ndarray, rate: int, levels: Iterable[float]) -> np.ndarray:
    """A sum of sines at the multiples of a frequency curve; those above 0.45 of the rate are left out."""
    phase = 2 * np.pi * phase_of(freq, rate)
    top = float(freq.max())
    parts = [
        level * np.sin(number * phase)
        for number, level in enumerate(levels, start=1)
        if level and number * top < 0.45 * rate
    ]
    return np.sum(parts, axis=0) if parts else np.zeros(len(freq))


def wobble(n: int, rng: Rng, rate: int, speed: float) -> np.ndarray:
    """A smooth random curve, about unit variance, with changes at `speed` Hz."""
    knots = max(4, int(n / rate * speed) + 3)
    return np.interp(np.linspace(0, knots - 1, n), np.arange(knots), rng.standard_normal(knots))


def fall(n: int, rate: int, time: float) -> np.ndarray:
    """Exponential decay that reaches -60 dB after `time` seconds."""
    return np.exp(-6.908 * np.arange(n) / (rate * time))


def swell(n: int, rate: int, *, attack: float, release: float) -> np.ndarray:
    """A level that rises (half cosine), holds at 1 and falls."""
    out = np.ones(n)
    up, down = (min(n, max(1, round(seconds * rate))) for seconds in (attack, release))
    out[:up] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(up) / up)
    out[n - down :] *= 0.5 + 0.5 * np.cos(np.pi * (1 + np.arange(down)) / down)
    return out


def resonate(sound: np.ndarray, rate: int, freq: float, width: float) -> np.ndarray:
    """A two-pole resonance of the given bandwidth with unit gain at its centre."""
    from scipy.signal import lfilter  # scipy.signal takes half a second to import

    freq = min(freq, 0.45 * rate)
    radius = np.exp(-np.pi * width / rate)
    turn = 2 * np.pi * freq / rate
    gain = (1 - radius) * np.sqrt(1 - 2 * radius * np.cos(2 * turn) + radius**2)
    return lfilter([gain], [1, -2 * radius * np.cos(turn), radius**2], sound)


def modes(
    n: int, rng: Rng, rate: int, *, freqs: Sequence[float], times: Sequence[float], levels: Sequence[float]
) -> np.ndarray:
    """A struck body: decaying sines (modal synthesis) with random phases."""
    at = np.arange(n) / rate
    out = np.zeros(n)
    for freq, time, level in zip(freqs, times, levels, strict=True):
        if freq < 0.45 * rate:
            turn = 2 * np.pi * (freq * at + rng.uniform())
            out += level * np.exp(-6.908 * at / time) * np.sin(turn)
    return out


def put(line: np.ndarray, part: np.ndarray, start: float, rate: int, level: float = 1.0) -> None:
    """Add a part to a line at a time, in place; what hangs over the end is cut."""
    begin = max(0, round(start * rate))
    end = min(len(line), begin + len(part))
    if end > begin:
        line[begin:end] += level * part[: end - begin]


def record(sound: np.ndarray, rng: Rng, rate: int) -> np.ndarray:
    """What a microphone makes of a sound: a brightness (-3 to 3 dB per octave), often a small room, a hiss.

    Returns (samples + 0.3 s,), for the tail of the room.
    """
    n = len(sound) + round(0.3 * rate)
    size = 1 << (n + round(0.5 * rate)).bit_length()
    freqs = np.fft.rfftfreq(size, 1 / rate)
    spectrum = np.fft.rfft(sound, size)
    spectrum *= np.clip(freqs / 800, 0.05, 10) ** (rng.uniform(-3, 3) / 6.02)
    if rng.uniform() < 0.6:
        length = round(0.45 * rate)
        echo = rng.standard_normal(length) * fall(length, rate, spread(rng, 0.1, 0.7))
        echo[: rate // 100] = 0.0
        spectrum *= 1 + rng.uniform(0.1, 0.7) * np.fft.rfft(echo / np.linalg.norm(echo), size)
    out = np.fft.irfft(spectrum, size)[:n]
    hiss = noise(n, rng, rate, low=50) * np.abs(out).max() * 10 ** (-rng.uniform(50, 70) / 20)
    return out + hiss

"""Recording conditions: what rooms, distance, lines, devices and streets do to a sound.

Each is a function (sound, rng, rate) -> sound of float64 arrays (samples,) of the same length that draws its
own strength. `apply` chains them by name, seeded, and brings the result back to the peak of all scenes.
A bank's training clips may be recorded under some of them, those of HELD_OUT are kept for test sets.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from core.scenes.bank import PEAK
from shared_data.world.sounds.signals import Rng, fall, noise, spread, wobble

Condition = Callable[[np.ndarray, Rng, int], np.ndarray]

MU = 255.0  # of the mu-law (ITU-T G.711)


class ConditionError(ValueError):
    """A condition that does not exist, or a sound that none can be applied to."""


def apply(waveform: np.ndarray, names: Sequence[str], *, sample_rate: int, seed: int) -> np.ndarray:
    """The waveform under the named conditions, one after the other: float32 (samples,), peak 0.5.

    A function of its arguments alone; what one condition draws does not depend on the others.
    Raises ConditionError for an unknown name, or a waveform that is not mono, finite and audible.
    """
    if unknown := [name for name in names if name not in CONDITIONS]:
        raise ConditionError(f"no recording condition {unknown}; there are {', '.join(CONDITIONS)}")
    if waveform.ndim != 1 or not waveform.size or not np.isfinite(waveform).all() or not waveform.any():
        raise ConditionError(
            f"a waveform of shape {waveform.shape} is empty, silent, not mono or not finite: mend its source"
        )
    sound = np.asarray(waveform, dtype=np.float64)
    for name in names:
        rng = np.random.default_rng((zlib.crc32(name.encode()), seed))
        sound = CONDITIONS[name](sound, rng, sample_rate)
    return (sound * (PEAK / np.abs(sound).max())).astype(np.float32)


def reverb(sound: np.ndarray, rng: Rng, rate: int) -> np.ndarray:
    """A room: a noise tail that decays by 60 dB in 0.3 to 1.2 s, at -9 to 0 dB of the direct sound."""
    seconds = spread(rng, 0.3, 1.2)
    length = round(seconds * rate)
    tail = noise(length, rng, rate, tilt=2.0) * fall(length, rate, seconds)  # walls damp the high frequencies
    tail[: round(rng.uniform(0.003, 0.015) * rate)] = 0.0  # the first wall is metres away
    tail *= 10 ** (rng.uniform(-9, 0) / 20) / np.linalg.norm(tail)
    size = 1 << (len(sound) + length).bit_length()
    echo = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(tail, size), size)
    return sound + echo[: len(sound)]


def telephone(sound: np.ndarray, rng: Rng, rate: int) -> np.ndarray:
    """A telephone line: only its band, about 300 to 3,400 Hz."""
    low, high = rng.uniform(250, 400), rng.uniform(2600, 3400)
    return _shaped(sound, rate, lambda f: 1 / np.sqrt((1 + (low / f) ** 8) * (1 + (f / high) ** 16)))


def distance(sound: np.ndarray, rng: Rng, rate: int) -> np.ndarray:
    """Far away: 12 dB an octave lost above 0.8 to 2.5 kHz."""
    edge = spread(rng, 800, 2500)
    return _shaped(sound, rate, lambda f: 1 / (1 + (f / edge) ** 2))


def hum(sound: np.ndarray, rng: Rng, rate: int) -> np.ndarray:
    """Mains hum of 50 or 60 Hz and its harmonics, 3 to 15 dB below the sound."""
    base = 50.0 if rng.random() < 0.5 else 60.0
    at = np.arange(len(sound)) / rate
    numbers = np.arange(1, 9)
    levels = rng.uniform(0.3, 1.0, len(numbers)) / numbers
    phases = 2 * np.pi * rng.random(len(numbers))
    parts = levels[:, None] * np.sin(2 * np.pi * base * numbers[:, None] * at + phases[:, None])
    return _over(sound, parts.sum(axis=0), below_db=rng.uniform(3, 15))


def clipping(sound: np.ndarray, rng: Rng, _rate: int) -> np.ndarray:
    """An input driven 6 to 18 dB too high: what is above the limit is cut off."""
    limit = np.abs(sound).max() * 10 ** (-rng.uniform(6, 18) / 20)
    return np.clip(sound, -limit, limit)


def companding(sound: np.ndarray, rng: Rng, _rate: int) -> np.ndarray:
    """The mu-law with 4 to 6 bits: coarse steps, finer for quiet parts."""
    return _quantised(sound, bits=int(rng.integers(4, 7)), law=True)


def low_bits(sound: np.ndarray, rng: Rng, _rate: int) -> np.ndarray:
    """Even steps of 5 to 7 bits: quiet parts drown in them."""
    return _quantised(sound, bits=int(rng.integers(5, 8)), law=False)


def close_microphone(sound: np.ndarray, rng: Rng, rate: int) -> np.ndarray:
    """Too near: 4 to 12 dB more below 200 Hz (proximity effect), soft saturation, breath on the capsule."""
    boost = 10 ** (rng.uniform(4, 12) / 20)
    near = _shaped(sound, rate, lambda f: 1 + (boost - 1) / (1 + (f / 200) ** 4))
    drive = rng.uniform(1.0, 3.0)
    near = np.tanh(drive * near / np.abs(near).max())
    puffs = np.maximum(wobble(len(sound), rng, rate, 3.0), 0.0) ** 2
    breath = noise(len(sound), rng, rate, low=30, high=300) * puffs
    return _over(near, breath, below_db=rng.uniform(12, 24))


def street(sound: np.ndarray, rng: Rng, rate: int) -> np.ndarray:
    """A street: the rumble of far traffic and the hiss of tyres that pass, 0 to 10 dB below the sound."""
    n = len(sound)
    rumble = noise(n, rng, rate, low=40, tilt=6.0) * np.exp(0.35 * wobble(n, rng, rate, 1.5))
    at = np.arange(n) / rate
    tyres = np.zeros(n)
    for _ in range(int(rng.integers(1, 4))):
        middle, width = rng.uniform(0, n / rate), rng.uniform(0.5, 1.5)
        passing = noise(n, rng, rate, low=300, high=rng.uniform(1500, 3000), tilt=3.0)
        tyres += rng.uniform(0.2, 0.7) * passing * np.exp(-(((at - middle) / width) ** 2))
    return _over(sound, rumble + tyres, below_db=rng.uniform(0, 10))


CONDITIONS: Mapping[str, Condition] = {
    "reverb": reverb,
    "telephone": telephone,
    "distance": distance,
    "hum": hum,
    "clipping": clipping,
    "companding": companding,
    "low_bits": low_bits,
    "close_microphone": close_microphone,
    "street": street,
}

HELD_OUT = ("companding", "close_microphone", "street")  # no bank has them


def _shaped(sound: np.ndarray, rate: int, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The sound with its spectrum weighted by gain(Hz); the end does not wrap around to the beginning."""
    size = 1 << (len(sound) + rate // 10).bit_length()
    freqs = np.maximum(np.fft.rfftfreq(size, 1 / rate), 1.0)
    return np.fft.irfft(np.fft.rfft(sound, size) * gain(freqs), size)[: len(sound)]


def _over(sound: np.ndarray, other: np.ndarray, *, below_db: float) -> np.ndarray:
    """The sum with `other` at `below_db` under the sound's mean power."""
    power = float(np.mean(np.square(sound))) / max(float(np.mean(np.square(other))), 1e-20)
    return sound + other * np.sqrt(power * 10 ** (-below_db / 10))


def _quantised(sound: np.ndarray, *, bits: int, law: bool) -> np.ndarray:
    peak = float(np.abs(sound).max())
    value = sound / peak
    if law:
        value = np.sign(value) * np.log1p(MU * np.abs(value)) / np.log1p(MU)
    steps = 2 ** (bits - 1) - 1
    value = np.round(value * steps) / steps
    if law:
        value = np.sign(value) * np.expm1(np.abs(value) * np.log1p(MU)) / MU
    return peak * value

"""From timelines to sound: real mixtures for evaluation, and added power spectrograms for training.

`render` mixes waveforms. `compose_mels` adds the clips' power mel spectrograms, which are computed once: for
sounds of unrelated phase the power of a sum is the sum of the powers on average, and a batch costs a fraction
of mixing and analysing it. Both use the same gains, fades, background level and peak.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from core.scenes.bank import PEAK, Bank
from core.scenes.timeline import Event, Scene

FADE_SHARE, FADE_SECONDS = 0.1, 0.05  # linear fades: 10 % of the event (CompA's audio_mix), at most 50 ms
COLOURS = ("white", "pink", "brown")
# The peak of a sum is guessed from its parts' peaks p as (sum p^1.5)^(1/1.5): between a plain sum (all peaks
# meet) and one of powers. On the procedural bank that leaves the level 0.4 dB off on average, s.d. 0.8 dB.
_PEAK_NORM = 1.5
# Pink: three poles and zeros that fall by 3 dB an octave (J. O. Smith, Spectral Audio Signal Processing).
_PINK = ([0.049922035, -0.095993537, 0.050612699, -0.004408786], [1, -2.494956002, 2.017265875, -0.522189400])


class ComposeError(ValueError):
    """A scene that cannot be turned into sound with this bank."""


def colour(seed: int) -> str:
    """The background's colour in the scene of this seed."""
    return COLOURS[seed % len(COLOURS)]


def noise(samples: int, *, sample_rate: int, seed: int) -> np.ndarray:
    """Background noise of mean power 1 and of the seed's colour, float32 (samples,)."""
    from scipy.signal import lfilter  # scipy.signal takes half a second to import

    lead = sample_rate // 10  # the filters settle
    white = np.random.default_rng(seed).standard_normal(samples + lead, dtype=np.float32)
    if colour(seed) == "pink":
        shaped = lfilter(*_PINK, white)
    elif colour(seed) == "brown":
        shaped = lfilter(
            [1.0], [1.0, -float(np.exp(-2 * np.pi * 20 / sample_rate))], white
        )  # -6 dB/octave > 20 Hz
    else:
        shaped = white
    shaped = np.asarray(shaped[lead:], dtype=np.float32)
    return shaped / np.float32(np.sqrt(np.mean(np.square(shaped)) + 1e-20))


def render(scene: Scene, bank: Bank) -> np.ndarray:
    """Mix a scene: float32 (round(duration * rate),), peak 0.5. A function of the scene and the bank alone.

    Events are their clips, cut or repeated to their span, with gains and linear fades at both ends.
    Raises ComposeError when a clip's label is not the event's (another bank) or nothing sounds.
    """
    rate = bank.sample_rate
    mix = np.zeros(round(scene.duration * rate), np.float32)
    for event in scene.events:
        _check(event, scene, bank)
        start = round(event.start * rate)
        length = min(round(event.end * rate), len(mix)) - start
        clip = bank.waveforms[event.clip]
        sound = clip[:length] if length <= len(clip) else np.resize(clip, length)  # resize repeats
        sound = sound * np.float32(10 ** (event.gain_db / 20))
        ramp = _ramp(round(_fade(event) * rate))
        sound[: len(ramp)] *= ramp
        sound[length - len(ramp) :] *= ramp[::-1]
        mix[start : start + length] += sound
    if scene.noise_db is not None:
        power = float(np.dot(mix, mix)) / (_active_seconds(scene) * rate)
        level = np.float32(np.sqrt(power * 10 ** (scene.noise_db / 10)))
        mix += level * noise(len(mix), sample_rate=rate, seed=scene.seed)
    peak = float(max(mix.max(), -mix.min()))
    if not peak > 0:
        raise ComposeError(f"scene {scene.id!r} is silent: its clips hold no sound where they are played")
    mix *= np.float32(PEAK / peak)
    return mix


def render_many(scenes: Sequence[Scene], bank: Bank, *, threads: int = 1) -> list[np.ndarray]:
    """`render` of each scene, in order, on several threads (NumPy and SciPy leave the interpreter lock)."""
    if threads < 2:
        return [render(scene, bank) for scene in scenes]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda scene: render(scene, bank), scenes))


@dataclass(frozen=True, kw_only=True)
class ClipMels:
    """Per clip: power mel frames (T_i, F), each frame's peak ** 1.5 (T_i,), its mean power and seconds.

    `noise` and `noise_peaks` hold the same of one long background per colour, of mean power 1.
    """

    clips: tuple[np.ndarray, ...]
    peaks: tuple[np.ndarray, ...]
    noise: tuple[np.ndarray, ...]
    noise_peaks: tuple[np.ndarray, ...]
    labels: tuple[str, ...]
    power: np.ndarray
    seconds: np.ndarray
    seconds_per_frame: float


# Waveforms (n_i,) -> power mels: array or tensor (B, T, F) or list of (T_i, F); rows past a clip are cut.
PowerMel = Callable[[list[np.ndarray]], Any]


def clip_mels(
    bank: Bank,
    power_mel: PowerMel,
    *,
    seconds_per_frame: float,
    noise_seconds: float = 30.0,
    batch: int = 64,
    seed: int = 0,
) -> ClipMels:
    """Analyse every clip once. `power_mel` gives power (not log), frame j centred at j * seconds_per_frame.

    It should take what lies around a clip for silence (`ClapMel.power_mel(..., margin="zero")`).
    Raises ComposeError when the number of frames does not fit `seconds_per_frame`.
    """
    rate = bank.sample_rate
    hop = seconds_per_frame * rate
    backgrounds = [
        noise(round(noise_seconds * rate), sample_rate=rate, seed=place + len(COLOURS) * seed)
        for place in range(len(COLOURS))
    ]
    n = len(bank.clips)
    waves = [*bank.waveforms, *backgrounds]
    mels: list[np.ndarray] = []
    for first in [*range(0, n, batch), n]:  # the long backgrounds on their own: a batch may be padded
        part = waves[first : min(first + batch, n) if first < n else None]
        for wave, mel in zip(part, power_mel(part), strict=True):
            frames = np.array(mel[: int(len(wave) / hop + 1e-6) + 1], dtype=np.float32)  # owns its memory
            if frames.ndim != 2 or abs(len(frames) - len(wave) / hop) > 2:
                raise ComposeError(
                    f"power_mel gave {frames.shape} for {len(wave)} samples; expected (T, F) with T about "
                    f"{len(wave) / hop:.0f}: check seconds_per_frame={seconds_per_frame} and padding"
                )
            mels.append(frames)
    peaks = [_peaks(wave, len(frames), hop) for wave, frames in zip(waves, mels)]
    return ClipMels(
        clips=tuple(mels[:n]),
        peaks=tuple(peaks[:n]),
        noise=tuple(mels[n:]),
        noise_peaks=tuple(peaks[n:]),
        labels=tuple(clip.label for clip in bank.clips),
        power=np.array([float(np.mean(np.square(wave))) for wave in bank.waveforms]),
        seconds=np.array([len(wave) / rate for wave in bank.waveforms]),
        seconds_per_frame=seconds_per_frame,
    )


def compose_mels(scenes: Sequence[Scene], mels: ClipMels, *, frames: int) -> np.ndarray:
    """Power mel spectrograms of mixtures, float32 (B, frames, F), scaled like peak-normalised `render`.

    Powers are added, phases neglected; times are rounded to frames, what lies past the last frame is cut.
    Take the logarithm outside. Raises ComposeError for scenes of another bank.
    """
    step = mels.seconds_per_frame
    out = np.empty((len(scenes), frames, mels.noise[0].shape[1]), np.float32)
    for scene, mix in zip(scenes, out):
        parts: list[tuple[slice, np.ndarray, np.ndarray]] = []  # where, rows (n, F), weights (n,)
        peaks = np.zeros(frames, np.float32)
        energy = 0.0
        for event in scene.events:
            if event.clip >= len(mels.clips) or mels.labels[event.clip] != event.label:
                raise ComposeError(
                    f"scene {scene.id!r}: clip {event.clip} is no {event.label!r} in these ClipMels; "
                    "compose scenes from the mels of the bank they were drawn from"
                )
            gain = 10 ** (event.gain_db / 10)
            length = event.end - event.start
            energy += gain * float(mels.power[event.clip]) * length
            start = round(event.start / step)
            count = max(0, min(round(length / step) + 1, frames - start))
            rows, tops = mels.clips[event.clip], mels.peaks[event.clip]
            if count > len(rows):  # repeated: its frames come again after the clip's length
                again = np.arange(count) % max(1, min(round(mels.seconds[event.clip] / step), len(rows)))
                rows, tops = rows[again], tops[again]
            where = slice(start, start + count)
            weight = gain * _envelope(length, _fade(event), step, count)
            parts.append((where, rows[:count], weight))
            peaks[where] += tops[:count] * weight ** (_PEAK_NORM / 2)
        level, tape = 0.0, scene.seed % len(COLOURS)
        at = (scene.seed // len(COLOURS)) % max(1, len(mels.noise[tape]) - frames)
        if scene.noise_db is not None:
            level = energy / _active_seconds(scene) * 10 ** (scene.noise_db / 10)
            peaks += level ** (_PEAK_NORM / 2) * _stretch(mels.noise_peaks[tape], at, frames)
        scale = PEAK**2 / max(float(peaks.max()), 1e-20) ** (2 / _PEAK_NORM)
        np.multiply(_stretch(mels.noise[tape], at, frames), np.float32(level * scale), out=mix)
        for where, rows, weight in parts:
            mix[where] += rows * (weight * np.float32(scale))[:, None]
    return out


def _stretch(tape: np.ndarray, at: int, frames: int) -> np.ndarray:
    """`frames` rows from `at` on, from the start again where the tape is too short."""
    return (
        tape[at : at + frames] if len(tape) >= at + frames else tape[np.arange(at, at + frames) % len(tape)]
    )


def _check(event: Event, scene: Scene, bank: Bank) -> None:
    if event.clip >= len(bank.clips) or bank.clips[event.clip].label != event.label:
        raise ComposeError(
            f"scene {scene.id!r}: clip {event.clip} is no {event.label!r} in this bank; "
            "render a scene with the bank (and split) it was drawn from"
        )


def _fade(event: Event) -> float:
    return min(FADE_SHARE * (event.end - event.start), FADE_SECONDS)


@lru_cache(maxsize=4096)
def _ramp(samples: int) -> np.ndarray:
    ramp = ((np.arange(samples) + 0.5) / max(samples, 1)).astype(np.float32)
    ramp.flags.writeable = False
    return ramp


def _envelope(length: float, fade: float, step: float, rows: int) -> np.ndarray:
    """The squared fade at each frame's centre; at the ends half a frame is inside."""
    time = np.arange(rows) * step
    edge = np.minimum(np.maximum(time, step / 4), np.maximum(length - time, step / 4))
    return np.square(np.minimum(edge / fade, 1.0)).astype(np.float32)


def _active_seconds(scene: Scene) -> float:
    """How long at least one event sounds."""
    total, until = 0.0, 0.0
    for event in sorted(scene.events, key=lambda event: event.start):
        total += max(0.0, event.end - max(until, event.start))
        until = max(until, event.end)
    return total


def _peaks(wave: np.ndarray, frames: int, hop: float) -> np.ndarray:
    """The peak around each frame's centre, to the power _PEAK_NORM: (frames,)."""
    edges = np.clip(np.round((np.arange(frames) - 0.5) * hop).astype(int), 0, len(wave) - 1)
    return np.maximum.reduceat(np.abs(wave), edges) ** np.float32(_PEAK_NORM)

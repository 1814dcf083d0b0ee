"""Music put into words by measuring the signal: tempo, key, line, loudness, drums, notes at once.

All of it is measured and may be wrong. Tempo: the period at which the onsets repeat, an octave easily
mistaken. Key: salience of the pitches, by their first five harmonics, against Temperley's profiles (The
Cognition of Basic Musical Structures, 2001). Drums: moments at which the highest bands are as even as in
noise. Which instruments play is told by a tagger, elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr

from core.audio.spectrum import hann, mel_filters
from core.scenes.phrasings import HOW_MANY, KEYS, listed

RATE = 16_000
ONSET_HOP, ONSET_WINDOW, BANDS = 160, 1024, 40
PITCH_HOP, PITCH_WINDOW = 1024, 8192
LOWEST, HIGHEST = 36, 84  # MIDI pitches looked for
HARMONICS = (1.0, 0.8, 0.64, 0.5, 0.4)
# The period itself and its multiples; tempos around 120 are the usual ones, by a normal curve over octaves.
REPEATS = ((1, 1.0), (2, 0.5), (3, 0.33), (4, 0.25))
SLOWEST, FASTEST, USUAL, SPREAD = 48.0, 250.0, 120.0, 0.7
MAJOR = (5, 2, 3.5, 2, 4.5, 4, 2, 4.5, 2, 3.5, 1.5, 4)
MINOR = (5, 2, 3.5, 4.5, 2, 4, 2, 4.5, 3.5, 2, 1.5, 4)
CLEAR = 0.4  # correlation from which a key is told
LOUDER = 5.0  # dB
FASTER = 1.2
STEP = 3.0  # semitones
EVEN = 0.84  # geometric over arithmetic mean of the highest bands


class MusicError(ValueError):
    """Sound that cannot be measured as music."""


@dataclass(frozen=True, kw_only=True)
class Music:
    """What was measured; None or "" where nothing is clear.

    tempo: beats a minute. key: "E flat minor". notes: typical number of pitches at once. contour, pace and
    loudness: how pitch, tempo and level move, in words.
    """

    tempo: float | None
    key: str
    notes: int
    drums: bool
    contour: str
    pace: str
    loudness: str


def analyse(sound: np.ndarray, *, sample_rate: int, name: str) -> Music:
    """Measure float32 (samples,) of at least a second. Raises MusicError that names the item for less."""
    if len(sound) < sample_rate:
        raise MusicError(f"{name}: {len(sound) / sample_rate:.2f} s of music, at least one second is needed")
    if sample_rate != RATE:
        sound = soxr.resample(sound, sample_rate, RATE)
    bands = _bands(sound)
    onsets = _onsets(bands)
    salience = _salience(sound)
    line = _line(salience)
    return Music(
        tempo=tempo(onsets),
        key=key(_classes(salience)),
        notes=at_once(salience),
        drums=drums(bands),
        contour=contour(line),
        pace=pace(onsets),
        loudness=loudness(sound),
    )


def tell(music: Music, instruments: Sequence[str]) -> str:
    """The measurements as a sentence. instruments: as `shared_data.world.music.notation.PLAYERS` calls
    them."""
    names = list(dict.fromkeys([*instruments, *(["drums"] if music.drums else [])]))
    who = listed(names) if names else "an instrument"
    several = len(names) > 1 or names in (["drums"], ["strings"], ["bells"])
    what = f"{who[0].upper()}{who[1:]} {'play' if several else 'plays'}"
    if names != ["drums"]:
        what += f" about {HOW_MANY[music.notes]} notes at once" if music.notes > 1 else " a single melody"
        what += f" in {music.key}" if music.key else ""
    what += f" at about {music.tempo:.0f} beats per minute" if music.tempo is not None else ""
    more = [music.contour if music.notes == 1 else "", music.pace, music.loudness]
    return what + "".join(f"; {text}" for text in more if text) + "."


def tempo(onsets: np.ndarray) -> float | None:
    """Beats a minute of an onset curve (frames,): the period that fits best; None where nothing repeats."""
    speeds, scores = _speeds(onsets)
    usual = np.exp(-0.5 * (np.log2(speeds / USUAL) / SPREAD) ** 2)
    scores = np.maximum(scores, 0) * usual
    return float(speeds[scores.argmax()]) if scores.max() > 0 else None


def pace(onsets: np.ndarray) -> str:
    """How the tempo of the last third differs from the first's, when both repeat clearly; else ""."""
    first, _, last = np.array_split(onsets, 3)
    if len(first) < 1.5 * RATE / ONSET_HOP:
        return ""
    speeds, before = _speeds(first)
    _, after = _speeds(last)
    if min(before.max(), after.max()) < 0.5:
        return ""
    ratio = speeds[after.argmax()] / speeds[before.argmax()]
    if FASTER < ratio < 1.8:
        return "it gets faster"
    return "it gets slower" if FASTER < 1 / ratio < 1.8 else ""


def key(classes: np.ndarray) -> str:
    """The key of weights of the pitch classes (12,) from C; "" where none fits."""
    if classes.std() < 1e-9:
        return ""
    fits = {
        (tonic, mode): float(np.corrcoef(np.roll(shape, tonic), classes)[0, 1])
        for mode, shape in (("major", MAJOR), ("minor", MINOR))
        for tonic in range(12)
    }
    tonic, mode = max(fits, key=lambda found: fits[found])
    return f"{KEYS[tonic]} {mode}" if fits[tonic, mode] >= CLEAR else ""


def at_once(salience: np.ndarray) -> int:
    """The typical number of pitch classes at a time, 1 to 5, of `_salience`."""
    loud = salience.max(axis=0)
    frames = salience[:, loud > 0.3 * loud.max()]
    classes = np.stack([frames[place::12].max(axis=0) for place in range(12)])
    counts = (classes > 0.62 * classes.max(axis=0)).sum(axis=0)
    return int(np.clip(np.median(counts), 1, 5)) if counts.size else 1


def drums(bands: np.ndarray) -> bool:
    """Whether the highest of `_bands` are as even as in a stroke, in the frames where they are most so."""
    high = bands[BANDS * 3 // 5 :]
    flatness = np.exp(np.log(high + 1e-4).mean(axis=0)) / (high.mean(axis=0) + 1e-4)
    evenest = np.sort(flatness[high.mean(axis=0) > 0.01])[-max(4, bands.shape[1] // 50) :]
    return bool(evenest.size and evenest.mean() > EVEN)


def contour(line: np.ndarray) -> str:
    """How the quarters of a line of pitches (frames,) lie; "" where that is not clear."""
    if len(line) < 8:
        return ""
    if np.percentile(line, 90) - np.percentile(line, 10) < 0.5:
        return "it stays on one note"
    first, second, third, last = (float(np.mean(part)) for part in np.array_split(line, 4))
    if min(second - first, third - second, last - third) > STEP:
        return "it rises steadily"
    if min(first - second, second - third, third - last) > STEP:
        return "it falls steadily"
    if min(second, third) - max(first, last) > STEP:
        return "it rises to a middle peak"
    return "it dips to a middle low point" if min(first, last) - max(second, third) > STEP else ""


def loudness(sound: np.ndarray) -> str:
    """How the level of the last quarter, before it rings out, differs from the second's."""
    parts = np.array_split(sound[: max(1, len(sound) - round(0.4 * RATE))].astype(np.float64), 4)
    _, before, _, after = (float(np.sqrt(np.mean(part**2))) for part in parts)
    change = 20 * np.log10((after + 1e-6) / (before + 1e-6))
    return (
        "at the end it gets louder"
        if change > LOUDER
        else "at the end it gets softer"
        if change < -LOUDER
        else ""
    )


def _spectrum(sound: np.ndarray, window: int, hop: int) -> np.ndarray:
    """Magnitudes, (bins, frames), of Hann windows."""
    padded = np.pad(sound.astype(np.float32), window // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    return np.abs(np.fft.rfft(frames * hann(window).astype(np.float32), axis=1)).T


def _bands(sound: np.ndarray) -> np.ndarray:
    """Square roots of mel bands, (BANDS, frames), the largest 1."""
    limits = {"fmin": 0.0, "fmax": RATE / 2}
    mel = mel_filters(
        n_fft=ONSET_WINDOW, n_mels=BANDS, sample_rate=RATE, scale="slaney", unit_area=True, **limits
    )
    bands = np.sqrt(mel.T @ _spectrum(sound, ONSET_WINDOW, ONSET_HOP) ** 2)
    return bands / max(float(bands.max()), 1e-9)


def _onsets(bands: np.ndarray) -> np.ndarray:
    """How much louder the bands get over two frames, (frames,)."""
    return np.maximum(0.0, bands[:, 2:] - bands[:, :-2]).mean(axis=0)


def _speeds(onsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tempos, and how well the onsets repeat at each: autocorrelation at the period and its multiples."""
    speeds = np.exp(np.arange(np.log(SLOWEST), np.log(FASTEST), 0.004))
    curve = onsets - onsets.mean()
    n = len(curve)
    lags = np.fft.irfft(np.abs(np.fft.rfft(curve, 2 * n)) ** 2)[:n]
    lags = lags / max(float(lags[0]), 1e-12) * n / np.maximum(n - np.arange(n), n / 4)
    periods = 60 * RATE / ONSET_HOP / speeds
    scores = [weight * np.interp(k * periods, np.arange(n), lags, right=0.0) for k, weight in REPEATS]
    return speeds, np.sum(scores, axis=0)


def _salience(sound: np.ndarray) -> np.ndarray:
    """How much of each pitch from LOWEST to HIGHEST there is, (pitches, frames), by harmonics; peaks only."""
    roots = np.sqrt(_spectrum(sound, PITCH_WINDOW, PITCH_HOP))
    rows = []
    for pitch in range(LOWEST, HIGHEST + 1):
        hertz = 440 * 2 ** ((pitch - 69) / 12)
        row = np.zeros(roots.shape[1])
        for number, weight in enumerate(HARMONICS, start=1):
            low, high = (number * hertz * 2 ** (sign * 0.4 / 12) / RATE * PITCH_WINDOW for sign in (-1, 1))
            row += weight * roots[int(np.floor(low)) : int(np.ceil(high)) + 1].max(axis=0)
        rows.append(row)
    found = np.stack(rows)
    around = np.pad(found, ((1, 1), (0, 0)))
    return np.where((found > around[:-2]) & (found > around[2:]), found, 0.0)


def _classes(salience: np.ndarray) -> np.ndarray:
    """Weights of the pitch classes from C, (12,), of the stronger pitches of each frame."""
    strong = np.where(salience > 0.6 * salience.max(axis=0), salience, 0.0).sum(axis=1)
    return np.array([strong[(place - LOWEST) % 12 :: 12].sum() for place in range(12)])


def _line(salience: np.ndarray) -> np.ndarray:
    """The strongest pitch of each frame that is loud enough, (frames,)."""
    loud = salience.max(axis=0)
    return LOWEST + salience.argmax(axis=0)[loud > 0.3 * loud.max()].astype(float)

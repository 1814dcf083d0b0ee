"""How a script sounds: emotion and stress by prosody, pauses, background noise.

The convention of emotions, each an extreme of what a voice can do, relative to the speaker's calm voice:
happy is higher, wide in melody and a little faster; sad is lower, monotone, slow, dull and soft; angry is
fast, loud, bright and harsh at nearly the calm pitch; afraid is high, monotone, fast, and trembles at 6.5 Hz.
A stressed word is higher, longer and louder than its neighbours. Strength below 1 moves all towards calm.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np
import soxr

from core.scenes.bank import trim_silence
from shared_data.world.exams.item import ItemError
from shared_data.world.sounds.signals import noise
from shared_data.world.speech.espeak import LIMITS, NATIVE_RATE, Mark, Voice, speak

SHORTEST, LONGEST = 2.0, 9.0  # seconds
LEVEL, PEAK = 0.08, 0.8  # RMS of a calm line; peak of the whole
QUIET_DB = 45.0  # speech over the room's own noise where none is asked for: no recording is digitally silent
TREMOR_HZ = 6.5
STRESS = {"pitch": 60.0, "slower": 30.0, "gain": 6.0}  # percent, percent, dB at full strength


@dataclass(frozen=True, kw_only=True)
class Manner:
    """Prosody of an emotion, for `speak` (pitch is added to the speaker's own) and for what follows it."""

    pitch: float = 0.0  # espeak's units, 50 are an octave
    range: float = 45.0
    rate: float = 1.0  # times the words a minute
    tilt: float = 0.0  # dB per octave around 700 Hz
    gain: float = 0.0  # dB
    harshness: float = 0.0  # 0 to 1, how far the wave is driven into saturation
    tremor: float = 0.0  # 0 to 1, of loudness and pitch


MANNERS = {
    "calm": Manner(),
    "happy": Manner(pitch=20, range=95, rate=1.12, tilt=1.0, gain=1.0),
    "sad": Manner(pitch=-16, range=8, rate=0.66, tilt=-4.0, gain=-5.0),
    "angry": Manner(pitch=3, range=60, rate=1.25, tilt=3.5, gain=5.0, harshness=1.0),
    "afraid": Manner(pitch=26, range=10, rate=1.3, tilt=-2.5, gain=-2.0, tremor=1.0),
}
EMOTIONS = tuple(MANNERS)


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """A voice, and how far from its own pitch it speaks (espeak's units, 50 are an octave)."""

    voice: Voice
    pitch: int = 0


@dataclass(frozen=True, kw_only=True)
class Line:
    """What one speaker says without a break. `stressed` are indices into `text.split()`.

    A made-up word is spoken from `phonemes` (espeak's); `syllable` says which of its syllables is stressed.
    """

    speaker: Speaker
    text: str
    emotion: str = "calm"
    stressed: tuple[int, ...] = ()
    phonemes: str | None = None
    syllable: int | None = None


@dataclass(frozen=True, kw_only=True)
class Script:
    """The lines in order, with `pause` seconds between them; `strength` of emotions and stress, 0 to 1."""

    lines: tuple[Line, ...]
    pause: float = 0.3
    rate: int = 165  # words a minute of a calm line
    strength: float = 1.0
    noise_db: float | None = None  # calm speech over noise that is heard
    seed: int = 0  # of the noise


def perform(script: Script, sample_rate: int) -> np.ndarray:
    """The script as sound, float32 (samples,), 2 to 9 s, peak 0.8; the same each time.

    A script that takes longer is spoken faster, by at most a half. Raises ItemError when that is not enough.
    """
    pace = 1.0
    for _ in range(4):
        sound, _spans = staged(script, pace=pace)
        seconds = len(sound) / NATIVE_RATE
        if seconds <= LONGEST:
            break
        pace *= 1.04 * seconds / LONGEST
    if seconds > LONGEST or pace > 1.5:
        text = " / ".join(line.text for line in script.lines)
        raise ItemError(f"{seconds:.1f} s of speech at {pace:.2f} times the rate: shorten {text!r}")
    sound = np.pad(sound, (0, max(0, round(SHORTEST * NATIVE_RATE) - len(sound))))
    hiss = noise(len(sound), np.random.default_rng(script.seed), NATIVE_RATE, low=80.0, tilt=4.0)
    below = QUIET_DB if script.noise_db is None else script.noise_db
    sound = sound + hiss * LEVEL * 10 ** (-below / 20)
    if sample_rate != NATIVE_RATE:
        sound = soxr.resample(sound, NATIVE_RATE, sample_rate)
    return (sound * (PEAK / np.abs(sound).max())).astype(np.float32)


def staged(script: Script, *, pace: float = 1.0) -> tuple[np.ndarray, list[list[Mark]]]:
    """The lines one after another at espeak's rate, float64 (samples,), before noise and peak.

    Also the words of each line, in seconds of the whole.
    """
    parts: list[np.ndarray] = [np.zeros(round(0.1 * NATIVE_RATE))]
    spans: list[list[Mark]] = []
    at = parts[0].size
    for line in script.lines:
        sound, words = deliver(line, rate=script.rate * pace, strength=script.strength)
        spans.append([Mark(w.text, w.start + at / NATIVE_RATE, w.stop + at / NATIVE_RATE) for w in words])
        parts += [sound, np.zeros(round(script.pause / pace * NATIVE_RATE))]
        at += parts[-1].size + sound.size
    return np.concatenate(parts), spans


def deliver(line: Line, *, rate: float, strength: float) -> tuple[np.ndarray, list[Mark]]:
    """One line, float64 (samples,) at espeak's rate, silent ends cut, RMS 0.08 when calm; its words."""
    manner = _between(MANNERS["calm"], MANNERS[line.emotion], strength)
    spoken = speak(
        _marked_up(line, strength),
        voice=line.speaker.voice,
        sample_rate=NATIVE_RATE,
        rate=_within("rate", rate * manner.rate),
        pitch=_within("pitch", 50 + line.speaker.pitch + manner.pitch),
        range=_within("range", manner.range),
        ssml=True,
    )
    sound = spoken.sound.astype(np.float64)
    words = list(spoken.words)
    gain = 10 ** (STRESS["gain"] * strength / 20)
    for index in line.stressed:
        if len(words) != len(line.text.split()):
            raise ItemError(f"espeak-ng reports {len(words)} words of {line.text!r}: stress none of them")
        sound *= _lifted(len(sound), words[index], gain)
    sound = _coloured(sound, manner)
    kept = trim_silence(sound, sample_rate=NATIVE_RATE, threshold_db=-40.0)
    ahead = _lead(sound, kept) / NATIVE_RATE
    end = len(kept) / NATIVE_RATE
    words = [Mark(w.text, max(0.0, w.start - ahead), min(end, w.stop - ahead)) for w in words]
    loud = kept[np.abs(kept) > 0.05 * np.abs(kept).max()]
    level = LEVEL * 10 ** (manner.gain / 20) / float(np.sqrt((loud**2).mean()))
    return kept * level, words


def _lead(sound: np.ndarray, kept: np.ndarray) -> int:
    """How many samples were cut before `kept`, which is a view or a cut of `sound`."""
    frame = NATIVE_RATE // 100
    frames = np.abs(np.pad(sound, (0, -len(sound) % frame))).reshape(-1, frame).max(axis=1)
    return int(np.flatnonzero(frames > frames.max() * 10 ** (-40.0 / 20))[0]) * frame


def _marked_up(line: Line, strength: float) -> str:
    """The line as SSML, stressed words higher and slower."""
    if line.phonemes is not None:
        return escape(line.phonemes)
    pitch, rate = STRESS["pitch"] * strength, 100 - STRESS["slower"] * strength
    return " ".join(
        f'<prosody pitch="+{pitch:.0f}%" rate="{rate:.0f}%">{escape(word)}</prosody>'
        if index in line.stressed
        else escape(word)
        for index, word in enumerate(line.text.split())
    )


def _lifted(n: int, word: Mark, gain: float) -> np.ndarray:
    """A gain curve, (n,), that is `gain` during a word and 1 elsewhere, with edges of 20 ms."""
    edge = 0.02 * NATIVE_RATE
    start, stop = word.start * NATIVE_RATE, word.stop * NATIVE_RATE
    at = np.arange(n)
    inside = np.clip(np.minimum(at - start, stop - at) / edge, 0.0, 1.0)
    return 1.0 + (gain - 1.0) * inside


def _coloured(sound: np.ndarray, manner: Manner) -> np.ndarray:
    """Spectral tilt, saturation and tremor of a manner."""
    sound = sound / np.sqrt((sound**2).mean())
    if manner.tilt:
        freqs = np.clip(np.fft.rfftfreq(len(sound), 1 / NATIVE_RATE), 150.0, 7000.0)
        shape = (freqs / 700.0) ** (manner.tilt / 6.02)
        sound = np.fft.irfft(np.fft.rfft(sound) * shape, len(sound))
    if manner.harshness:
        sound = (1 - manner.harshness) * sound + manner.harshness * 1.5 * np.tanh(1.5 * sound)
    if manner.tremor:
        turn = 2 * np.pi * TREMOR_HZ * np.arange(len(sound)) / NATIVE_RATE
        shake = 0.06 * manner.tremor / (2 * np.pi * TREMOR_HZ) * NATIVE_RATE  # +-6 % of pitch
        sound = np.interp(np.arange(len(sound)) + shake * np.sin(turn), np.arange(len(sound)), sound)
        sound = sound * (1 + 0.6 * manner.tremor * np.sin(turn))
    return sound


def _between(one: Manner, other: Manner, share: float) -> Manner:
    fields = one.__dataclass_fields__
    return Manner(**{f: getattr(one, f) + share * (getattr(other, f) - getattr(one, f)) for f in fields})


def _within(name: str, value: float) -> int:
    low, high = LIMITS[name]
    return int(min(high, max(low, round(value))))

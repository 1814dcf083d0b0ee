"""Voices: every agent does every action, so that each pair of voices has a swapped twin.

A small source-filter synthesiser: a glottal pulse train (plus breath) through formant resonances. The agent
sets pitch and vocal-tract length, the action the gesture; both are drawn anew for each clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shared_data.world.sounds.signals import Rng, glide, noise, phase_of, put, resonate, spread, swell, wobble


@dataclass(frozen=True)
class Agent:
    """pitch: range of the speaking fundamental in Hz; tract: formant scale against an adult man's."""

    pitch: tuple[float, float]
    tract: tuple[float, float]


AGENTS: dict[str, Agent] = {
    "baby": Agent(pitch=(360, 520), tract=(1.62, 1.85)),
    "child": Agent(pitch=(250, 330), tract=(1.34, 1.48)),
    "woman": Agent(pitch=(175, 235), tract=(1.12, 1.22)),
    "man": Agent(pitch=(85, 140), tract=(0.92, 1.03)),
}
ACTIONS: dict[str, tuple[str, str]] = {  # gerund, third person
    "cry": ("crying", "cries"),
    "laugh": ("laughing", "laughs"),
    "cough": ("coughing", "coughs"),
    "sing": ("singing", "sings"),
    "shout": ("shouting", "shouts"),
    "speak": ("speaking", "speaks"),  # by `shared_data.world.speech.spoken`
}
GESTURES = tuple(action for action in ACTIONS if action != "speak")  # that this synthesiser makes
# Formants of an adult man in Hz (Peterson and Barney 1952, rounded), with a fourth that hardly moves.
VOWELS: dict[str, tuple[float, float, float, float]] = {
    "a": (730, 1090, 2440, 3400),
    "ae": (660, 1720, 2410, 3400),
    "e": (530, 1840, 2480, 3500),
    "i": (270, 2290, 3010, 3600),
    "o": (570, 840, 2410, 3300),
    "u": (300, 870, 2240, 3300),
}


def voice_labels() -> tuple[str, ...]:
    """Every `<agent>_<action>` of GESTURES."""
    return tuple(f"{agent}_{action}" for agent in AGENTS for action in GESTURES)


def voice_phrases(agent: str, action: str) -> tuple[str, ...]:
    """Phrases from the same templates for every pair; the first is "a {agent} {action}ing".

    Swapping the agents (or the actions) of two voices inside one template permutes the words of the caption.
    """
    gerund, verb = ACTIONS[action]
    return (
        f"a {agent} {gerund}",
        f"a {gerund} {agent}",
        f"a {agent} {verb}",
        f"the sound of a {agent} {gerund}",
        f"a {agent} that is {gerund}",
    )


def voice(agent: str, action: str, rng: Rng, sample_rate: int) -> np.ndarray:
    """One utterance, shape (samples,), not normalised. The draw of `rng` is the speaker and the manner."""
    body = AGENTS[agent]
    pitch = spread(rng, *body.pitch)
    tract = spread(rng, *body.tract)
    gesture = {"cry": _cry, "laugh": _laugh, "cough": _cough, "sing": _sing, "shout": _shout}[action]
    return gesture(rng, sample_rate, pitch, tract)


def _syllable(
    rng: Rng,
    rate: int,
    tract: float,
    pitch: np.ndarray,
    *,
    vowels: tuple[str, str],
    breath: float,
    opening: float,
    width: float = 1.0,
) -> np.ndarray:
    """Voice `pitch` (Hz per sample) through formants that move from one vowel to the other.

    opening: share of the period in which the glottis is open; small is a pressed, bright voice.
    """
    n = len(pitch)
    pitch = pitch * (1 + 0.008 * wobble(n, rng, rate, 60))
    cycle = phase_of(pitch, rate) % 1.0
    flow = np.where(cycle < opening, np.sin(np.pi * cycle / opening) ** 2 * (cycle / opening), 0.0)
    source = np.diff(flow, prepend=0.0)
    source = source / (source.std() + 1e-9)
    hiss = noise(n, rng, rate, low=700, tilt=1.5) * (0.4 + flow)
    source = (1 - breath) * source + breath * hiss
    mix = np.linspace(0, 1, n)
    out = np.zeros(n)
    for vowel, share in zip(vowels, (1 - mix, mix), strict=True):
        filtered = np.zeros(n)
        for order, formant in enumerate(VOWELS[vowel]):
            if formant * tract < 0.45 * rate:
                wide = width * (60 + 45 * order) * tract
                filtered += 0.62**order * resonate(source, rate, formant * tract, wide)
        out += share * filtered
        if vowels[0] == vowels[1]:
            return filtered
    return out


def _cry(rng: Rng, rate: int, pitch: float, tract: float) -> np.ndarray:
    wails = int(rng.integers(2, 4))
    length = spread(rng, 0.38, 0.75)
    line = np.zeros(round((wails * length * 1.35 + 0.2) * rate))
    top = pitch * rng.uniform(1.15, 1.5)
    for number in range(wails):
        n = round(length * rng.uniform(0.8, 1.1) * rate)
        curve = glide([0.8 * top, top, top * rng.uniform(0.9, 1.0), 0.65 * top], n)
        curve *= 1 + 0.035 * np.sin(2 * np.pi * rng.uniform(7, 11) * np.arange(n) / rate)
        part = _syllable(
            rng,
            rate,
            tract,
            curve,
            vowels=("ae", "a"),
            breath=rng.uniform(0.08, 0.2),
            opening=0.55,
            width=1.2,
        )
        start = number * length * 1.3
        put(line, part * swell(n, rate, attack=0.08, release=0.2), start, rate, rng.uniform(0.8, 1.0))
        gasp = noise(round(0.2 * length * rate), rng, rate, low=900 * tract, high=4500)
        put(line, gasp * np.hanning(len(gasp)), start + length * 1.05, rate, 0.05 * part.std() / 0.3)
    return line


def _laugh(rng: Rng, rate: int, pitch: float, tract: float) -> np.ndarray:
    pulses = int(rng.integers(4, 10))
    step = 1 / rng.uniform(4.2, 6.2)
    vowel = str(rng.choice(["a", "ae", "e", "i", "o"]))
    line = np.zeros(round((pulses * step + 0.25) * rate))
    start_pitch = pitch * rng.uniform(1.2, 1.7)
    for number in range(pulses):
        n = round(step * rng.uniform(0.5, 0.65) * rate)
        share = number / max(1, pulses - 1)
        height = start_pitch * (1 - rng.uniform(0.2, 0.4) * share)
        curve = glide([1.05 * height, height, 0.85 * height], n)
        part = _syllable(
            rng, rate, tract, curve, vowels=(vowel, vowel), breath=rng.uniform(0.2, 0.4), opening=0.65
        )
        at = number * step * rng.uniform(0.97, 1.03)
        put(line, part * np.hanning(n), at + 0.3 * step, rate, 1.0 - 0.6 * share)
        puff = resonate(noise(round(0.35 * step * rate), rng, rate, low=500), rate, 1500 * tract, 1200)
        put(line, puff * np.hanning(len(puff)), at, rate, 0.6 * part.std() * (1 - 0.6 * share) / puff.std())
    return line


def _cough(rng: Rng, rate: int, pitch: float, tract: float) -> np.ndarray:
    coughs = int(rng.integers(1, 4))
    step = spread(rng, 0.33, 0.55)
    line = np.zeros(round((coughs * step + 0.3) * rate))
    for number in range(coughs):
        n = round(rng.uniform(0.22, 0.36) * rate)
        burst = noise(n, rng, rate, low=250, tilt=1.0)
        shaped = np.zeros(n)
        for order, formant in enumerate(VOWELS["a"][:3]):
            shaped += 0.8**order * resonate(burst, rate, formant * tract, 260 * tract)
        level = np.exp(-np.arange(n) / (rate * rng.uniform(0.035, 0.07)))
        tail = _syllable(
            rng,
            rate,
            tract,
            glide([1.3 * pitch, 0.8 * pitch], n),
            vowels=("a", "o"),
            breath=0.45,
            opening=0.6,
            width=1.8,
        )
        late = swell(n, rate, attack=0.09, release=0.16) * rng.uniform(0.25, 0.6)
        cough = shaped / shaped.std() * level + late * tail / tail.std() * 0.5
        put(line, cough, number * step * rng.uniform(0.9, 1.1), rate, rng.uniform(0.7, 1.0))
    return line


def _sing(rng: Rng, rate: int, pitch: float, tract: float) -> np.ndarray:
    notes = int(rng.integers(2, 5))
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12])
    steps = scale[np.clip(np.cumsum(rng.integers(-2, 3, notes)) + rng.integers(0, 5), 0, 7)]
    base = pitch * rng.uniform(1.05, 1.5)
    lengths = [spread(rng, 0.3, 0.75) for _ in range(notes)]
    line = np.zeros(round((sum(lengths) + 0.1) * rate))
    at, last = 0.0, float(steps[0])
    vibrato, depth = rng.uniform(4.8, 6.5), rng.uniform(0.012, 0.03)
    for number, length in enumerate(lengths):
        n = round((length + 0.04) * rate)
        target = float(steps[number])
        slide = np.minimum(1.0, np.arange(n) / (0.06 * rate))
        curve = base * 2 ** ((last + (target - last) * slide) / 12)
        curve *= 1 + depth * slide * np.sin(2 * np.pi * vibrato * np.arange(n) / rate)
        vowel = str(rng.choice(list(VOWELS)))
        part = _syllable(rng, rate, tract, curve, vowels=(vowel, vowel), breath=0.06, opening=0.6, width=0.8)
        put(line, part / part.std() * swell(n, rate, attack=0.05, release=0.07), at, rate)
        at, last = at + length, target
    return line


def _shout(rng: Rng, rate: int, pitch: float, tract: float) -> np.ndarray:
    calls = int(rng.integers(1, 3))
    length = spread(rng, 0.35, 0.8)
    line = np.zeros(round((calls * length * 1.3 + 0.1) * rate))
    top = pitch * rng.uniform(1.5, 2.0)
    first, second = [("e", "i"), ("a", "u"), ("o", "a"), ("a", "a")][int(rng.integers(4))]
    for number in range(calls):
        n = round(length * rng.uniform(0.85, 1.15) * rate)
        curve = glide([0.75 * top, top, 1.02 * top, 0.7 * top], n)
        part = _syllable(rng, rate, tract, curve, vowels=(first, second), breath=0.1, opening=0.36, width=1.3)
        rough = 1 + 0.3 * np.sin(2 * np.pi * rng.uniform(35, 70) * np.arange(n) / rate)
        part = np.diff(part, prepend=0.0) * rough * swell(n, rate, attack=0.03, release=0.1)
        put(line, part / (part.std() + 1e-9), number * length * 1.25, rate)
    return line

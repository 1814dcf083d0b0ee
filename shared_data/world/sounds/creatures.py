"""Recipes of animals and people for the procedural bank: `(rng, sample_rate) -> (samples,)`."""

from __future__ import annotations

import numpy as np

from shared_data.world.sounds.signals import (
    Rng,
    fall,
    glide,
    harmonics,
    noise,
    put,
    resonate,
    spread,
    swell,
    wobble,
)


def dog_bark(rng: Rng, rate: int) -> np.ndarray:
    """One to four barks; small dogs bark high and fast."""
    barks, size = int(rng.integers(1, 5)), spread(rng, 0.6, 1.7)  # size: small dogs bark high and fast
    step = rng.uniform(0.28, 0.5) * size**0.3
    line = np.zeros(round((barks * step + 0.3) * rate))
    for number in range(barks):
        n = round(spread(rng, 0.1, 0.2) * size**0.4 * rate)
        pitch = glide([350 / size, 620 / size * rng.uniform(0.9, 1.1), 260 / size], n)
        buzz = harmonics(pitch, rate, [1 / k for k in range(1, 16)])
        rough = buzz * (1 + 0.5 * wobble(n, rng, rate, 180)) + 0.5 * noise(n, rng, rate, low=300, tilt=3)
        bark = resonate(rough, rate, 900 / size**0.6, 350) + 0.7 * resonate(
            rough, rate, 1900 / size**0.6, 500
        )
        put(line, bark * swell(n, rate, attack=0.012, release=0.07), number * step, rate, rng.uniform(0.7, 1))
    return line


def cat_meow(rng: Rng, rate: int) -> np.ndarray:
    """A glide through mi-a-u."""
    n = round(spread(rng, 0.5, 1.3) * rate)
    base = spread(rng, 420, 800)
    peak = rng.uniform(1.15, 1.5)
    pitch = glide([0.85 * base, peak * base, rng.uniform(1, peak) * base, 0.7 * base], n)
    pitch *= 1 + 0.012 * np.sin(2 * np.pi * rng.uniform(5, 9) * np.arange(n) / rate)
    buzz = harmonics(pitch, rate, [1 / k**0.8 for k in range(1, 12)]) + 0.05 * noise(n, rng, rate, low=800)
    mouth = glide([0.0, 1.0, 0.8, 0.1], n, geometric=False)  # mi - a - u
    closed = resonate(buzz, rate, 700, 220) + 0.3 * resonate(buzz, rate, 2600, 400)
    opened = resonate(buzz, rate, 1500, 300) + 0.6 * resonate(buzz, rate, 2900, 500)
    return ((1 - mouth) * closed + mouth * opened) * swell(n, rate, attack=0.12, release=0.3)


def cow_moo(rng: Rng, rate: int) -> np.ndarray:
    """A low voice from a closed to an open mouth."""
    n = round(spread(rng, 1.0, 2.3) * rate)
    base = spread(rng, 85, 150)
    pitch = glide([0.8 * base, 1.1 * base, 1.15 * base, rng.uniform(0.75, 1) * base], n)
    buzz = harmonics(pitch * (1 + 0.01 * wobble(n, rng, rate, 30)), rate, [1 / k**0.7 for k in range(1, 18)])
    mouth = glide([0.0, 0.3, 1.0, 0.9], n, geometric=False)
    hum = resonate(buzz, rate, 230, 100)
    moo = resonate(buzz, rate, 480 * rng.uniform(0.85, 1.15), 160) + 0.25 * resonate(buzz, rate, 1100, 250)
    return ((1 - mouth) * hum + mouth * moo) * swell(n, rate, attack=0.2, release=0.4)


def sheep_bleat(rng: Rng, rate: int) -> np.ndarray:
    """A voice with a strong tremor."""
    n = round(spread(rng, 0.5, 1.3) * rate)
    base = spread(rng, 200, 420)
    tremor = np.sin(2 * np.pi * rng.uniform(8, 13) * np.arange(n) / rate)
    pitch = glide([1.05 * base, base, 0.9 * base], n) * (1 + 0.05 * tremor)
    buzz = harmonics(pitch, rate, [1 / k**0.5 for k in range(1, 16)]) + 0.1 * noise(n, rng, rate, low=500)
    voice = (
        resonate(buzz, rate, 750, 200)
        + resonate(buzz, rate, 1750, 300)
        + 0.4 * resonate(buzz, rate, 3100, 500)
    )
    return voice * (1 + 0.55 * tremor) * swell(n, rate, attack=0.05, release=0.15)


def rooster_crow(rng: Rng, rate: int) -> np.ndarray:
    """Two short calls and a long one that falls."""
    base = spread(rng, 420, 700)
    tempo = rng.uniform(0.8, 1.2)
    line = np.zeros(round(2.0 * tempo * rate))
    at = 0.0
    for length, shape in (
        (0.16, (0.8, 1.1)),
        (0.14, (1.0, 1.2)),
        (0.3, (1.2, 1.5, 1.3)),
        (0.8, (1.4, 1.6, 1.3, 0.8)),
    ):
        n = round(length * tempo * rate)
        pitch = glide([base * s for s in shape], n) * (1 + 0.02 * wobble(n, rng, rate, 70))
        buzz = harmonics(pitch, rate, [1 / k**0.4 for k in range(1, 10)])
        call = resonate(buzz, rate, 1500, 500) + 0.7 * resonate(buzz, rate, 2900, 700)
        put(line, call * swell(n, rate, attack=0.03, release=0.06), at, rate)
        at += length * tempo + rng.uniform(0.02, 0.07)
    return line


def bird_chirp(rng: Rng, rate: int) -> np.ndarray:
    """A motif of quick glides, repeated."""
    notes = int(rng.integers(3, 11))
    base, step = spread(rng, 2200, 4800), spread(rng, 0.09, 0.25)
    line = np.zeros(round((notes * step + 0.2) * rate))
    motif = [rng.uniform(0.75, 1.3, 3) for _ in range(int(rng.integers(1, 4)))]
    for number in range(notes):
        n = round(step * rng.uniform(0.45, 0.8) * rate)
        pitch = glide(list(base * motif[number % len(motif)] * rng.uniform(0.97, 1.03)), n)
        put(line, harmonics(pitch, rate, (1, 0.15)) * np.hanning(n), number * step, rate, rng.uniform(0.5, 1))
    return line


def owl_hoot(rng: Rng, rate: int) -> np.ndarray:
    """Two or three almost pure notes."""
    base = spread(rng, 280, 520)
    line = np.zeros(round(2.4 * rate))
    at = 0.0
    for length in rng.permutation([0.25, 0.2, 0.45])[: int(rng.integers(2, 4))]:
        n = round(float(length) * rng.uniform(0.8, 1.3) * rate)
        hoot = harmonics(glide([0.93 * base, base, 0.9 * base], n), rate, (1, 0.12, 0.05))
        breath = 0.08 * resonate(noise(n, rng, rate), rate, base, 120)
        put(line, (hoot + breath) * np.hanning(n), at, rate, rng.uniform(0.7, 1))
        at += n / rate + rng.uniform(0.12, 0.35)
    return line


def frog_croak(rng: Rng, rate: int) -> np.ndarray:
    """Pulse trains through a throat."""
    croaks, pulse = int(rng.integers(1, 5)), spread(rng, 25, 75)
    body, step = spread(rng, 350, 1100), rng.uniform(0.35, 0.65)
    line = np.zeros(round((croaks * step + 0.1) * rate))
    for number in range(croaks):
        n = round(step * rng.uniform(0.5, 0.75) * rate)
        comb = (np.cumsum(glide([pulse, 1.3 * pulse], n)) / rate % 1.0 < 0.12).astype(float)
        croak = resonate(np.diff(comb, prepend=0.0), rate, body, 90) + 0.6 * resonate(
            comb, rate, 2.3 * body, 160
        )
        put(line, croak * swell(n, rate, attack=0.05, release=0.05), number * step, rate)
    return line


def cricket(rng: Rng, rate: int) -> np.ndarray:
    """A high carrier in fast pulses, in groups."""
    n = round(spread(rng, 0.9, 2.4) * rate)
    at = np.arange(n) / rate
    pitch, trill, chirp = spread(rng, 3600, 6400), rng.uniform(28, 60), spread(rng, 1.8, 6)
    pulses = np.clip(np.sin(2 * np.pi * trill * at), 0, 1)
    group = (chirp * at % 1.0) < rng.uniform(0.35, 0.75)
    return np.sin(2 * np.pi * pitch * at + 0.3 * wobble(n, rng, rate, 20)) * pulses * group


def bee_buzz(rng: Rng, rate: int) -> np.ndarray:
    """A wandering wing tone that comes near and leaves."""
    n = round(spread(rng, 0.9, 2.4) * rate)
    base = spread(rng, 130, 330)
    pitch = base * (1 + 0.07 * wobble(n, rng, rate, 4) + 0.02 * wobble(n, rng, rate, 40))
    buzz = harmonics(pitch, rate, [1, 0.9, 0.7, 0.6, 0.45, 0.4, 0.3, 0.3, 0.2, 0.2, 0.15, 0.1])
    near = glide([rng.uniform(0.1, 0.6), 1, rng.uniform(0.1, 0.6)], n)
    return buzz * near * (1 + 0.15 * wobble(n, rng, rate, 30))


def footsteps(rng: Rng, rate: int) -> np.ndarray:
    """Heel thumps with the scrape of the sole."""
    step, steps = spread(rng, 0.28, 0.65), int(rng.integers(3, 7))
    heel, grit = spread(rng, 70, 260), rng.uniform(0.1, 1.2)
    line = np.zeros(round(min(2.5, steps * step) * rate))
    for number in range(steps):
        n = round(0.18 * rate)
        thump = resonate(noise(n, rng, rate) * fall(n, rate, 0.05), rate, heel, 60)
        scrape = noise(n, rng, rate, low=1200, tilt=3) * swell(n, rate, attack=0.05, release=0.1)
        foot = thump / thump.std() + grit * 0.5 * scrape
        put(
            line,
            foot,
            number * step * rng.uniform(0.97, 1.03),
            rate,
            1.0 if number % 2 else rng.uniform(0.6, 1),
        )
    return line


def applause(rng: Rng, rate: int) -> np.ndarray:
    """Four to fifty people, each with a pace and palms of their own."""
    seconds, people = spread(rng, 1.2, 2.5), int(spread(rng, 4, 50))
    line = np.zeros(round(seconds * rate))
    for _ in range(people):
        pace, palm = rng.uniform(3, 5.5), spread(rng, 700, 2600)
        n = round(0.04 * rate)
        clap = resonate(
            noise(n, rng, rate, low=300) * fall(n, rate, rng.uniform(0.02, 0.05)), rate, palm, 700
        )
        loud = spread(rng, 0.3, 1)
        for at in np.arange(rng.uniform(0, 0.4), seconds, 1 / pace):
            put(line, clap, float(at) + rng.normal(0, 0.012), rate, loud)
    return line


def snoring(rng: Rng, rate: int) -> np.ndarray:
    """Breath noise in slow flutter."""
    n = round(spread(rng, 1.0, 2.4) * rate)
    flutter = glide([rng.uniform(22, 50), rng.uniform(35, 75)], n) * (1 + 0.08 * wobble(n, rng, rate, 10))
    pulses = (np.cumsum(flutter) / rate % 1.0) ** spread(rng, 2, 6)
    rasp = pulses * noise(n, rng, rate, low=150, tilt=4)
    tone = resonate(rasp + 0.4 * pulses, rate, spread(rng, 180, 420), 120)
    return (tone + 0.3 * resonate(rasp, rate, 1400, 500)) * swell(n, rate, attack=0.35, release=0.4)


def whistling(rng: Rng, rate: int) -> np.ndarray:
    """A tune of near-sine notes."""
    base, notes = spread(rng, 900, 1700), int(rng.integers(3, 7))
    line = np.zeros(round(2.5 * rate))
    at, last = 0.0, base
    for _ in range(notes):
        n = round(spread(rng, 0.18, 0.5) * rate)
        now = base * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 12]) / 12)
        pitch = glide([last, now, now, now, now], n)
        pitch *= 1 + 0.01 * np.sin(2 * np.pi * rng.uniform(4, 7) * np.arange(n) / rate)
        breath = 0.1 * resonate(noise(n, rng, rate), rate, float(now), 400)
        put(
            line,
            (harmonics(pitch, rate, (1, 0.03)) + breath) * swell(n, rate, attack=0.04, release=0.06),
            at,
            rate,
        )
        at, last = at + n / rate, now
    return line[: round(at * rate)]


def heartbeat(rng: Rng, rate: int) -> np.ndarray:
    """Pairs of dull thuds."""
    step, beats = spread(rng, 0.5, 1.1), 4
    body, gap = rng.uniform(45, 95), rng.uniform(0.24, 0.36)
    line = np.zeros(round(min(2.5, beats * step) * rate))
    n = round(0.16 * rate)
    for number in range(beats):
        for late, level in ((0.0, 1.0), (gap * step**0.5, rng.uniform(0.5, 0.85))):
            thud = harmonics(glide([1.4 * body, 0.8 * body], n), rate, (1, 0.5, 0.2)) * np.hanning(n)
            put(line, thud, number * step + late, rate, level)
    return line + 0.01 * noise(len(line), rng, rate, high=200)

"""Recipes of machines, alarms and tools for the procedural bank: `(rng, sample_rate) -> (samples,)`."""

from __future__ import annotations

import numpy as np

from shared_data.world.sounds.signals import (
    Rng,
    fall,
    glide,
    harmonics,
    modes,
    noise,
    phase_of,
    put,
    resonate,
    spread,
    swell,
    wobble,
)


def vacuum(rng: Rng, rate: int) -> np.ndarray:
    """A motor that spins up to a steady whine inside rushing air."""
    n = round(spread(rng, 1.3, 2.5) * rate)
    whine = spread(rng, 190, 420)
    pitch = glide([rng.uniform(0.6, 1) * whine, whine, whine, whine], n) * (
        1 + 0.004 * wobble(n, rng, rate, 8)
    )
    motor = harmonics(pitch, rate, [0.5, 1, 0.3, 0.5, 0.2, 0.3, 0.1, 0.2])
    air = noise(n, rng, rate, low=250, high=spread(rng, 2500, 7000), tilt=1.5)
    return (motor + rng.uniform(0.5, 1.3) * air) * swell(n, rate, attack=rng.uniform(0.05, 0.5), release=0.1)


def typing(rng: Rng, rate: int) -> np.ndarray:
    """Keys struck at an uneven pace, each a click down and a softer one up."""
    seconds, pace = spread(rng, 1.0, 2.4), rng.uniform(5, 11)
    line = np.zeros(round(seconds * rate))
    n = round(0.03 * rate)
    board = spread(rng, 900, 2400)
    at = 0.02
    while at < seconds - 0.1:
        key = board * spread(rng, 0.85, 1.2)
        click = resonate(noise(n, rng, rate, low=600) * fall(n, rate, 0.015), rate, key, 500)
        put(line, click, at, rate, rng.uniform(0.5, 1))
        put(line, click, at + rng.uniform(0.05, 0.09), rate, rng.uniform(0.1, 0.35))
        at += rng.gamma(3.0, 1 / (3.0 * pace)) + (rng.uniform(0.15, 0.3) if rng.uniform() < 0.12 else 0.03)
    return line


def car_engine(rng: Rng, rate: int) -> np.ndarray:
    """Firing pulses through exhaust resonances; idles, revs or drives off."""
    n = round(spread(rng, 1.3, 2.5) * rate)
    idle = spread(rng, 22, 45)
    curve = [(1, 1, 1.05), (1, 2.6, 1.1), (1, 1.6, 2.4), (2.2, 1.5, 1)][int(rng.integers(4))]
    firing = glide([idle * k for k in curve], n) * (1 + 0.02 * wobble(n, rng, rate, 25))
    cycle = phase_of(firing, rate)
    uneven = 1 + 0.25 * np.sin(np.pi * cycle) + 0.15 * np.sin(np.pi * cycle / 2)
    pulse = (1 - cycle % 1.0) ** 4 * uneven
    pulse = pulse - pulse.mean()
    pipe = spread(rng, 90, 190)
    body = resonate(pulse, rate, pipe, 60) + 0.5 * resonate(pulse, rate, 2.6 * pipe, 120) + 0.1 * pulse
    return body / body.std() + rng.uniform(0.1, 0.3) * noise(n, rng, rate, low=150, tilt=4) * (0.3 + pulse)


def car_horn(rng: Rng, rate: int) -> np.ndarray:
    """Two reeds a third apart, in one to three blasts."""
    blasts = int(rng.integers(1, 4))
    base, ratio = spread(rng, 300, 480), float(rng.choice([1.2, 1.25, 1.26, 1.33]))
    line = np.zeros(round(2.4 * rate))
    at = 0.0
    for _ in range(blasts):
        n = round(spread(rng, 0.15, 0.9) / blasts**0.3 * rate)
        reed = [
            harmonics(np.full(n, base * k), rate, [1 / h**0.35 for h in range(1, 12)]) for k in (1.0, ratio)
        ]
        horn = resonate(reed[0] + reed[1], rate, spread(rng, 1400, 2400), 1200) + 0.1 * (reed[0] + reed[1])
        put(line, horn * swell(n, rate, attack=0.015, release=0.04), at, rate)
        at += n / rate + rng.uniform(0.08, 0.2)
    return line


def train(rng: Rng, rate: int) -> np.ndarray:
    """Bursts of steam in fours; sometimes with a whistle over them."""
    n = round(spread(rng, 1.6, 2.5) * rate)
    pace = glide([spread(rng, 2.5, 6), spread(rng, 2.5, 8)], n)
    cycle = phase_of(pace, rate)
    accent = np.where(np.floor(cycle) % 4 == 0, 1.0, rng.uniform(0.5, 0.8))
    puff = np.exp(-rng.uniform(3, 6) * (cycle % 1.0)) * np.minimum(1, (cycle % 1.0) * 12) * accent
    steam = noise(n, rng, rate, low=spread(rng, 200, 500), high=spread(rng, 1800, 4500), tilt=2) * puff
    rumble = 0.25 * noise(n, rng, rate, low=40, high=150)
    if rng.uniform() < 0.4:
        base = spread(rng, 420, 700)
        chord = [harmonics(np.full(n, base * k), rate, (1, 0.4, 0.2)) for k in (1, 1.19, 1.5)]
        steam += 0.35 * np.sum(chord, axis=0) * swell(n, rate, attack=0.3, release=0.5)
    return steam + rumble


def helicopter(rng: Rng, rate: int) -> np.ndarray:
    """Blade slaps at 9 to 22 Hz over a turbine."""
    n = round(spread(rng, 1.5, 2.5) * rate)
    blades = glide([spread(rng, 9, 22)] * 2, n) * (1 + 0.01 * wobble(n, rng, rate, 3))
    cycle = phase_of(blades, rate) % 1.0
    slap = np.exp(-cycle * rng.uniform(5, 9))
    thump = noise(n, rng, rate, low=50, high=spread(rng, 300, 900), tilt=3) * slap
    turbine = harmonics(np.full(n, spread(rng, 700, 1800)), rate, (1, 0.4)) * rng.uniform(0.02, 0.12)
    near = glide([rng.uniform(0.3, 1), 1, rng.uniform(0.3, 1)], n)
    return (thump + turbine + 0.1 * noise(n, rng, rate, low=400, tilt=2)) * near


def airplane(rng: Rng, rate: int) -> np.ndarray:
    """Broad jet noise and a turbine tone that fall in pitch as it passes."""
    n = round(spread(rng, 1.9, 2.5) * rate)
    drop = rng.uniform(0.45, 0.8)
    pitch = glide([1, 0.97, 0.5 + 0.5 * drop, drop], n) * spread(rng, 900, 2600)
    roar = noise(n, rng, rate, low=90, high=spread(rng, 700, 2200), tilt=2)
    bright = noise(n, rng, rate, low=900, tilt=2) * glide([0.3, 1.0, 0.3], n)
    near = glide([rng.uniform(0.1, 0.4), 1.0, rng.uniform(0.2, 0.5)], n)
    return (roar + 0.5 * bright + rng.uniform(0.05, 0.25) * harmonics(pitch, rate, (1, 0.4))) * near


def siren(rng: Rng, rate: int) -> np.ndarray:
    """A wail, a yelp or a two-tone horn."""
    n = round(spread(rng, 1.6, 2.5) * rate)
    at = np.arange(n) / rate
    low, high = spread(rng, 450, 700), spread(rng, 1000, 1600)
    kind = rng.integers(3)
    turn = rng.uniform()
    if kind == 2:  # the two-tone horn is a fourth wide
        pitch = np.where((at * rng.uniform(1, 2.2) + turn) % 1.0 < 0.5, low, low * 1.335)
    else:
        sweep = 0.5 - 0.5 * np.cos(
            2 * np.pi * (at * (rng.uniform(0.35, 0.8) if kind == 0 else rng.uniform(2, 4)) + turn)
        )
        pitch = low * (high / low) ** sweep
    return harmonics(pitch, rate, [1, 0.5, 0.45, 0.2, 0.2, 0.1]) * swell(n, rate, attack=0.05, release=0.1)


def alarm_beep(rng: Rng, rate: int) -> np.ndarray:
    """Even electronic beeps, in one tone or two."""
    step, pitch = spread(rng, 0.12, 0.5), spread(rng, 900, 3200)
    n = round(step * rng.uniform(0.4, 0.65) * rate)
    other = pitch * float(rng.choice([1.0, 1.0, 1.26, 0.75]))
    square = [1, 0, rng.uniform(0, 0.35), 0, rng.uniform(0, 0.2)]
    line = np.zeros(round(spread(rng, 1.0, 2.4) * rate))
    group = int(rng.choice([1, 2, 3, 4, 99]))  # beeps before a pause
    for number, at in enumerate(np.arange(0, len(line) / rate - n / rate, step)):
        if number % (group + 1) == group:
            continue
        tone = harmonics(np.full(n, pitch if number % 2 == 0 else other), rate, square)
        put(line, tone * swell(n, rate, attack=0.004, release=0.006), float(at), rate)
    return line


def phone_ring(rng: Rng, rate: int) -> np.ndarray:
    """A bell telephone: two gongs struck 15 to 30 times a second, in one or two rings."""
    base, strokes = spread(rng, 900, 1900), rng.uniform(15, 30)
    freqs = [base, 1.18 * base, 2.76 * base, 3.2 * base]
    rings = int(rng.integers(1, 3))
    line = np.zeros(round(2.4 * rate))
    n = round(0.25 * rate)
    gong = modes(n, rng, rate, freqs=freqs, times=[0.5, 0.5, 0.2, 0.2], levels=[1, 0.7, 0.5, 0.4])
    length = spread(rng, 0.6, 1.4) / rings**0.7
    for ring in range(rings):
        for stroke in np.arange(0, length, 1 / strokes):
            put(
                line,
                gong,
                ring * (length + rng.uniform(0.3, 0.31)) + float(stroke),
                rate,
                rng.uniform(0.8, 1),
            )
    return line


def church_bell(rng: Rng, rate: int) -> np.ndarray:
    """A tuned bell: hum, prime, minor third, fifth, nominal and two above (Hz ratios 0.5 to 4)."""
    prime, tolls = spread(rng, 220, 750), int(rng.integers(1, 4))
    step = spread(rng, 0.7, 1.1)
    line = np.zeros(round(spread(rng, 1.3, 2.5) * rate))
    ratios = [0.5, 1.0, 1.19, 1.5, 2.0, 2.66, 4.0]
    for toll in range(tolls):
        bell = modes(
            len(line), rng, rate, freqs=[prime * r * rng.uniform(0.998, 1.002) for r in ratios],
            times=[4, 3, 2.2, 1.5, 1.2, 0.7, 0.4], levels=[0.5, 0.8, 0.7, 0.3, 1.0, 0.5, 0.3],
        )  # fmt: skip
        put(line, bell, toll * step, rate, rng.uniform(0.8, 1))
    return line * swell(len(line), rate, attack=0.001, release=0.2)


def hammer(rng: Rng, rate: int) -> np.ndarray:
    """Blows on metal or on a nail that rings higher as it sinks."""
    blows, step = int(rng.integers(2, 6)), spread(rng, 0.25, 0.55)
    base, ring = spread(rng, 600, 1700), spread(rng, 0.08, 0.5)
    line = np.zeros(round(min(2.5, blows * step + 0.3) * rate))
    n = round(0.5 * rate)
    ratios = [1.0, 2.31, 3.77, 5.4]
    for blow in range(blows):
        pitch = base * (1 + 0.03 * blow)
        metal = modes(
            n, rng, rate, freqs=[pitch * r for r in ratios], times=[ring, 0.7 * ring, 0.5 * ring, 0.3 * ring],
            levels=[1, 0.8, 0.6, 0.4],
        )  # fmt: skip
        thud = noise(n, rng, rate, low=80, tilt=4) * fall(n, rate, 0.06)
        put(line, metal + rng.uniform(0.5, 1.2) * thud, blow * step * rng.uniform(0.96, 1.04), rate)
    return line


def saw(rng: Rng, rate: int) -> np.ndarray:
    """Strokes to and fro; the teeth beat faster in the middle of each stroke."""
    n = round(spread(rng, 1.3, 2.5) * rate)
    at = np.arange(n) / rate
    stroke = np.sin(2 * np.pi * rng.uniform(1.0, 2.4) * at)
    speed = np.abs(stroke)
    teeth = phase_of(20 + spread(rng, 120, 320) * speed, rate) % 1.0
    grain = noise(n, rng, rate, low=700, tilt=1) * (teeth < 0.5) * speed**1.5 * np.where(stroke > 0, 1.0, 0.6)
    board = spread(rng, 900, 2200)
    return resonate(grain, rate, board, 500) + 0.6 * resonate(grain, rate, 2.2 * board, 900) + 0.05 * grain


def drill(rng: Rng, rate: int) -> np.ndarray:
    """A gear whine that starts, sags under load and stops."""
    n = round(spread(rng, 1.0, 2.4) * rate)
    top = spread(rng, 280, 650)
    pitch = glide([0.3 * top, top, rng.uniform(0.7, 1) * top, rng.uniform(0.75, 1) * top, 0.5 * top], n)
    pitch *= 1 + 0.01 * wobble(n, rng, rate, 20)
    gear = harmonics(pitch, rate, [0.4, 0.3, 1, 0.4, 0.7, 0.2, 0.5, 0.2, 0.3, 0.2])
    chatter = 1 + 0.5 * np.sin(2 * np.pi * phase_of(pitch / 8, rate))
    grind = noise(n, rng, rate, low=1500, tilt=1) * rng.uniform(0.1, 0.6)
    return (gear * chatter + grind) * swell(n, rate, attack=0.08, release=0.12)

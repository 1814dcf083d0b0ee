"""Recipes of weather, water, fire and house for the procedural bank: `(rng, sample_rate) -> (samples,)`."""

from __future__ import annotations

import numpy as np

from shared_data.world.sounds.signals import (
    Rng,
    fall,
    glide,
    harmonics,
    modes,
    noise,
    put,
    resonate,
    spread,
    swell,
    wobble,
)


def rain(rng: Rng, rate: int) -> np.ndarray:
    """Many small ticks in a wash."""
    n = round(spread(rng, 1.4, 2.5) * rate)
    drops = np.zeros(n)
    for _ in range(int(spread(rng, 40, 500))):
        size = round(rng.uniform(0.004, 0.015) * rate)
        tick = np.sin(2 * np.pi * spread(rng, 1500, 6500) * np.arange(size) / rate) * np.hanning(size)
        put(drops, tick, rng.uniform(0, n / rate), rate, spread(rng, 0.1, 1))
    wash = noise(n, rng, rate, low=spread(rng, 500, 1500), tilt=rng.uniform(0, 2))
    return drops + wash * spread(rng, 0.05, 0.35)


def thunder(rng: Rng, rate: int) -> np.ndarray:
    """Overlapping low rolls, with or without a crack."""
    n = round(spread(rng, 1.7, 2.5) * rate)
    line = np.zeros(n)
    for number in range(int(rng.integers(2, 7))):
        size = round(rng.uniform(0.5, 1.6) * rate)
        roll = noise(size, rng, rate, low=35, high=spread(rng, 120, 700), tilt=3)
        roll *= fall(size, rate, rng.uniform(0.8, 2.5)) * swell(size, rate, attack=0.03, release=0.3)
        put(line, roll, number * rng.uniform(0.1, 0.35), rate, spread(rng, 0.3, 1))
    crack = noise(n, rng, rate, low=300, tilt=4) * fall(n, rate, rng.uniform(0.2, 0.5))
    return line + rng.uniform(0, 0.8) * crack


def wind(rng: Rng, rate: int) -> np.ndarray:
    """Resonant noise that moves with the gusts."""
    n = round(spread(rng, 1.6, 2.5) * rate)
    gust = np.exp(0.7 * np.convolve(wobble(n, rng, rate, 2), np.ones(rate // 8) / (rate // 8), "same"))
    low = spread(rng, 220, 600)
    howl = [resonate(noise(n, rng, rate), rate, low * k, low * rng.uniform(0.15, 0.4)) for k in (1, 1.6)]
    mix = np.clip(gust / gust.max(), 0, 1)
    air = noise(n, rng, rate, low=80, high=900, tilt=5)
    return (
        howl[0] / howl[0].std() * (1 - mix) + howl[1] / howl[1].std() * mix + rng.uniform(0.2, 1) * air
    ) * gust


def sea_waves(rng: Rng, rate: int) -> np.ndarray:
    """One wave that swells and breaks."""
    n = round(spread(rng, 1.5, 2.5) * rate)
    peak = rng.uniform(0.3, 0.7)
    at = np.linspace(0, 1, n)
    shape = np.where(at < peak, (at / peak) ** 2, ((1 - at) / (1 - peak)) ** rng.uniform(0.8, 1.6)) + 0.05
    deep = noise(n, rng, rate, low=100, high=spread(rng, 500, 900), tilt=3)
    foam = noise(n, rng, rate, low=spread(rng, 1000, 2500), tilt=1)
    return shape * (deep + rng.uniform(0.4, 1.0) * foam * shape)


def water_drops(rng: Rng, rate: int) -> np.ndarray:
    """Rising plops."""
    drops = int(rng.integers(2, 9))
    line = np.zeros(round(spread(rng, 1.0, 2.4) * rate))
    base = spread(rng, 500, 1400)
    for _ in range(drops):
        n = round(rng.uniform(0.05, 0.14) * rate)
        pitch = base * spread(rng, 0.8, 1.25)
        plop = harmonics(glide([pitch, rng.uniform(1.5, 2.6) * pitch], n), rate, (1,)) * fall(n, rate, 0.12)
        put(line, plop, rng.uniform(0, len(line) / rate - 0.15), rate, spread(rng, 0.4, 1))
    return line


def fire(rng: Rng, rate: int) -> np.ndarray:
    """A bed of rumble with snaps."""
    n = round(spread(rng, 1.4, 2.5) * rate)
    line = noise(n, rng, rate, low=60, high=400, tilt=4) * rng.uniform(0.02, 0.12)
    for _ in range(int(spread(rng, 15, 90))):
        size = round(rng.uniform(0.002, 0.02) * rate)
        snap = noise(max(size, 8), rng, rate, low=spread(rng, 600, 3000)) * fall(max(size, 8), rate, 0.015)
        put(line, snap, rng.uniform(0, n / rate), rate, spread(rng, 0.05, 1))
    return line


def door_knock(rng: Rng, rate: int) -> np.ndarray:
    """Blows on a wooden panel."""
    knocks, step = int(rng.integers(2, 6)), spread(rng, 0.13, 0.32)
    body = spread(rng, 110, 320)
    line = np.zeros(round((knocks * step + 0.3) * rate))
    n = round(0.25 * rate)
    for number in range(knocks):
        wood = modes(
            n, rng, rate, freqs=[body, 1.9 * body, 3.3 * body, 5.1 * body], times=[0.14, 0.1, 0.07, 0.05],
            levels=[1, 0.8, 0.5, 0.3],
        )  # fmt: skip
        tap = noise(n, rng, rate, low=500, tilt=3) * fall(n, rate, 0.025)
        put(line, wood + 0.5 * tap, number * step * rng.uniform(0.95, 1.05), rate, rng.uniform(0.7, 1))
    return line


def door_creak(rng: Rng, rate: int) -> np.ndarray:
    """Stick and slip through board resonances."""
    n = round(spread(rng, 0.8, 2.0) * rate)
    slip = glide([spread(rng, 30, 60), spread(rng, 60, 220), spread(rng, 40, 150)], n)
    slip *= np.exp(0.25 * wobble(n, rng, rate, 12))
    ticks = np.diff(np.floor(np.cumsum(slip) / rate), prepend=0.0)
    body = spread(rng, 500, 1100)
    out = sum(resonate(ticks, rate, body * k, 70 * k) / k**0.5 for k in (1, 1.7, 2.9, 4.2))
    return np.asarray(out) * (1 + 0.5 * wobble(n, rng, rate, 6)) * swell(n, rate, attack=0.1, release=0.2)


def glass_break(rng: Rng, rate: int) -> np.ndarray:
    """A crash and falling shards."""
    n = round(spread(rng, 0.6, 1.6) * rate)
    line = np.zeros(n)
    put(line, noise(n, rng, rate, low=1500) * fall(n, rate, rng.uniform(0.08, 0.3)), 0, rate, 0.5)
    for _ in range(int(rng.integers(12, 40))):
        size = round(0.3 * rate)
        base = spread(rng, 1800, 5500)
        shard = modes(
            size, rng, rate, freqs=[base, 1.53 * base, 2.1 * base], times=[spread(rng, 0.05, 0.4)] * 3,
            levels=[1, 0.6, 0.4],
        )  # fmt: skip
        put(line, shard, float(rng.exponential(0.18)), rate, spread(rng, 0.08, 0.7))
    return line


def clock_tick(rng: Rng, rate: int) -> np.ndarray:
    """Tick and tock of one case."""
    step = spread(rng, 0.22, 0.7)
    line = np.zeros(round(min(2.5, max(4, 1.6 / step) * step) * rate))
    n = round(0.06 * rate)
    case = spread(rng, 1500, 3800)
    pair = [
        modes(n, rng, rate, freqs=[case * k, 1.7 * case * k], times=[0.04, 0.025], levels=[1, 0.6])
        for k in (1.0, rng.uniform(0.75, 0.95))
    ]
    for number, at in enumerate(np.arange(0, len(line) / rate - 0.05, step)):
        put(line, pair[number % 2], float(at), rate, 1.0 if number % 2 else 0.8)
    return line

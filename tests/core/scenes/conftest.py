"""A small bank of random waveforms for the tests of scenes: nothing here sounds like its label."""

from __future__ import annotations

import numpy as np
import pytest

from core.scenes.bank import Bank, Clip
from shared_data.world.sounds.voices import voice_phrases

RATE = 16_000
PLAIN = ("dog_bark", "cat_meow", "car_horn", "rain", "bell", "saw", "drum", "train")


def make_noise_bank(*, clips: int = 4, splits: tuple[str, ...] = ("test",), voices: bool = True) -> Bank:
    """Noise of 0.4 to 2.5 s, a band of its own for each label: 8 plain ones and 9 voices."""
    rng = np.random.default_rng(0)
    who = [(a, b) for a in ("baby", "woman", "man") for b in ("cry", "laugh", "cough")] if voices else []
    kinds = [(label, None, None) for label in PLAIN] + [(f"{a}_{b}", a, b) for a, b in who]
    found, waves = [], []
    for place, (label, agent, action) in enumerate(kinds):
        name = label.replace("_", " ")
        phrases = (f"a {name} sounding", f"the sounding of a {name}", f"a {name} sounds")
        for split in splits:
            for index in range(clips):
                found.append(
                    Clip(
                        id=f"{label}/{split}/{index}",
                        label=label,
                        phrases=voice_phrases(agent, action) if agent and action else phrases,
                        domain="sound",
                        agent=agent,
                        action=action,
                        source="noise",
                        group=f"{label}/{split}/{index}",
                        license="CC0-1.0",
                        split=split,
                    )
                )
                spectrum = np.fft.rfft(rng.standard_normal(round(RATE * rng.uniform(0.4, 2.5))))
                low = 0.05 + 0.05 * place  # a band of 400 Hz out of 8 kHz
                band = np.linspace(0, 1, len(spectrum))
                wave = np.fft.irfft(spectrum * ((band > low) & (band < low + 0.05)))
                waves.append((0.5 * wave / np.abs(wave).max()).astype(np.float32))
    return Bank(tuple(found), tuple(waves), RATE)


@pytest.fixture(scope="session")
def noise_bank() -> Bank:
    return make_noise_bank()


@pytest.fixture(scope="session")
def noise_bank_of_splits() -> Bank:
    return make_noise_bank(clips=2, splits=("train", "test"))


@pytest.fixture(scope="session")
def noise_bank_without_voices() -> Bank:
    return make_noise_bank(voices=False)

"""A tiny listener learns in a few steps what sounds when, and to read three tones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.encoders.whisper import WhisperShape
from core.foundations.hearing import Hearing, anywhere, average_precision, validation
from core.foundations.listener import Listener, hear_waveforms, train_listener
from core.foundations.transcribing import Speaking, Utterance, errors, read
from core.scenes.bank import Bank
from core.train.optimisation import TrainingOptions
from shared_data.world.sounds.procedural import make_bank

LABELS = ["church_bell", "dog_bark", "rain"]
TONES = {"low": 300.0, "mid": 900.0, "high": 2700.0}
SHAPE = WhisperShape(
    hidden_size=16,
    layers=2,
    heads=2,
    intermediate_size=32,
    n_mels=16,
    max_frames=50,
    initializer_range=0.1,
)
HEARING = Hearing(duration=1.0, singles=1.0, noise_db=(-30.0, -20.0), batch_size=8, valid=40)
OPTIONS = TrainingOptions(steps=60, learning_rate=5e-3, optimizer="adam", gradient_clip=1.0)


@pytest.fixture(scope="module")
def bank() -> Bank:
    return make_bank(sample_rate=16_000, clips_per_class={"train": 6, "valid": 4, "test": 1}, labels=LABELS)


def tones(n: int, *, seed: int) -> list[Utterance]:
    """Three tones of 0.2 s each with pauses, which are the words."""
    rng, at = np.random.default_rng(seed), np.arange(3200) / 16_000
    made = []
    for _ in range(n):
        words = tuple(str(word) for word in rng.choice(list(TONES), 3))
        parts = [0.5 * np.sin(2 * np.pi * TONES[w] * rng.uniform(0.95, 1.05) * at) for w in words]
        waveform = np.concatenate([np.append(part, np.zeros(1200)) for part in parts])
        made.append(Utterance(waveform.astype(np.float32), {"words": words}))
    return made


def train(bank: Bank, folder: Path, utterances: list[Utterance], options: TrainingOptions) -> Listener:
    return train_listener(
        bank.split("train"),
        utterances,
        shape=SHAPE,
        n_fft=512,
        hop=320,
        hearing=HEARING,
        speaking=Speaking(batch_size=8),
        options=options,
        folder=folder,
        seed=0,
    )


def clip_map(made: Listener, bank: Bank) -> float:
    scenes, waveforms = validation(bank.split("valid"), HEARING, labels=LABELS, seed=1)
    with torch.inference_mode():
        logits = made.head(hear_waveforms(made, waveforms)).amax(dim=1).numpy()
    return average_precision(logits, anywhere(scenes, LABELS))[0]


def test_the_listener_hears_clips_that_it_never_heard(bank: Bank, tmp_path: Path) -> None:
    made = train(bank, tmp_path, [], OPTIONS)
    assert clip_map(made, bank) > 0.8  # a blind one gets a third
    assert (made.labels, made.front_end["max_seconds"]) == (tuple(LABELS), 1.0)
    assert not made.features.training
    assert torch.isfinite(made.features(torch.zeros(1, 16, 50))).all()


def test_the_listener_reads_what_it_never_heard(bank: Bank, tmp_path: Path) -> None:
    made = train(bank, tmp_path, tones(60, seed=0), replace(OPTIONS, steps=250))
    new = tones(30, seed=1)
    with torch.inference_mode():
        logits = made.readers["words"](hear_waveforms(made, [one.waveform for one in new]))
    found = read(logits, made.units["words"])
    assert sum(errors(one.units["words"], words) for one, words in zip(new, found)) < 0.2 * 3 * len(new)
    assert clip_map(made, bank) > 0.6

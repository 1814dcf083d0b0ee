"""A tiny listener learns what sounds when in a few steps."""

from __future__ import annotations

from pathlib import Path

import torch

from core.encoders.whisper import WhisperShape
from core.foundations.hearing import Hearing
from core.foundations.listener import score_listener, train_listener
from core.train.optimisation import TrainingOptions
from shared_data.world.sounds.procedural import make_bank

LABELS = ["church_bell", "dog_bark", "rain"]


def test_the_listener_hears_when_clips_sound_that_it_never_heard(tmp_path: Path) -> None:
    bank = make_bank(sample_rate=16_000, clips_per_class={"train": 6, "valid": 4, "test": 1}, labels=LABELS)
    shape = WhisperShape(
        hidden_size=16,
        layers=2,
        heads=2,
        intermediate_size=32,
        n_mels=16,
        max_frames=50,
        initializer_range=0.1,
    )
    hearing = Hearing(duration=1.0, singles=1.0, noise_db=(-30.0, -20.0), batch_size=8, valid=40)
    options = TrainingOptions(steps=60, learning_rate=5e-3, optimizer="adam", gradient_clip=1.0)
    made = train_listener(
        bank.split("train"),
        shape=shape,
        n_fft=512,
        hop=320,
        hearing=hearing,
        options=options,
        folder=tmp_path,
        seed=0,
    )
    scores = score_listener(made, bank.split("valid"), hearing=hearing, seed=1)
    assert scores["valid/clip_map"] > 0.8  # a blind one gets a third
    assert scores["valid/token_map"] > 0.6  # a blind one gets about a fifth
    assert (made.labels, made.front_end["max_seconds"]) == (tuple(LABELS), 1.0)
    assert not made.features.training
    assert torch.isfinite(made.features(torch.zeros(1, 16, 50))).all()

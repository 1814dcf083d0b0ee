"""A tiny tagger learns three sounds in a few steps, and gives back what was asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.audio.mel import KaldiFbank
from core.encoders.ast import AstShape
from core.foundations.hearing import Hearing, anywhere, average_precision, validation
from core.foundations.tagger import Tagger, tag_scenes, train_tagger
from core.scenes.bank import Bank
from core.train.optimisation import TrainingOptions
from shared_data.world.sounds.procedural import make_bank

LABELS = ["church_bell", "dog_bark", "rain"]
SHAPE = AstShape(
    hidden_size=16,
    layers=2,
    heads=2,
    intermediate_size=32,
    n_mels=16,
    max_frames=98,
    frequency_stride=16,
    time_stride=16,
    initializer_range=0.1,
    position_std=0.3,
)
HEARING = Hearing(duration=1.0, singles=1.0, noise_db=(-30.0, -20.0), batch_size=8, valid=40)
OPTIONS = TrainingOptions(steps=60, learning_rate=5e-3, optimizer="adam", gradient_clip=1.0)


@pytest.fixture(scope="module")
def bank() -> Bank:
    return make_bank(sample_rate=16_000, clips_per_class={"train": 6, "valid": 4, "test": 1}, labels=LABELS)


def train(bank: Bank, folder: Path, *, frame_loss: float = 1.0, options: TrainingOptions = OPTIONS) -> Tagger:
    return train_tagger(
        bank.split("train"),
        shape=SHAPE,
        hearing=HEARING,
        options=options,
        frame_loss=frame_loss,
        folder=folder,
        seed=0,
    )


@pytest.fixture(scope="module")
def made(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Tagger:
    return train(bank, tmp_path_factory.mktemp("run"))


def test_the_tagger_hears_clips_it_never_heard(bank: Bank, made: Tagger) -> None:
    scenes, waveforms = validation(bank.split("valid"), HEARING, labels=LABELS, seed=1)
    value, _, _ = average_precision(tag_scenes(made, waveforms), anywhere(scenes, LABELS))
    assert value > 0.8  # a blind one gets a third
    assert made.encoder.labels == tuple(LABELS)
    assert not made.encoder.training


def test_features_reach_the_network_at_the_scale_it_is_asked_for(bank: Bank, made: Tagger) -> None:
    """KaldiFbank's (x - mean) / (2 std), of the numbers that training measured."""
    _, waveforms = validation(bank.split("train"), HEARING, labels=LABELS, seed=5)
    fbank = KaldiFbank(**made.front_end)(waveforms)
    assert float(fbank.mean()) == pytest.approx(0.0, abs=0.25)
    assert float(fbank.std()) == pytest.approx(1.0, abs=0.25)


def test_the_auxiliary_loss_changes_the_tagger_and_not_its_layout(bank: Bank, tmp_path: Path) -> None:
    short = replace(OPTIONS, steps=3)
    with_it = train(bank, tmp_path / "1", options=short).encoder.state_dict()
    without = train(bank, tmp_path / "0", options=short, frame_loss=0.0).encoder.state_dict()
    assert list(with_it) == list(without)
    name = "model.audio_spectrogram_transformer.layers.0.mlp.fc1.weight"
    assert not torch.equal(with_it[name], without[name])


def test_dropout_is_for_learning_only(bank: Bank, tmp_path: Path) -> None:
    shape = replace(SHAPE, layers=1)
    made = train_tagger(
        bank.split("train"),
        shape=shape,
        hearing=HEARING,
        options=replace(OPTIONS, steps=1),
        frame_loss=1.0,
        dropout=0.5,
        folder=tmp_path,
        seed=0,
    )
    _, waveforms = validation(bank.split("valid"), replace(HEARING, valid=2), labels=LABELS, seed=1)
    assert (tag_scenes(made, waveforms) == tag_scenes(made, waveforms)).all()

"""Tests track nothing, unless they are about tracking. Shared: a small bank with voices, a tokenizer of its
grammar and towers that train in milliseconds."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from tokenizers import Tokenizer

from core.encoders.clap import AudioTower, TextTower
from core.encoders.clap_folder import FrontEnd, Shape, train_tokenizer
from core.scenes.bank import Bank
from core.scenes.captions import TRAIN, draw_wording, phrase_book, write
from core.scenes.draw import SceneSource
from shared_data.world.sounds.procedural import make_bank

os.environ.setdefault("RESOUND_TRACKING", "off")

# A background job (`&`, nohup, cron) ignores Ctrl-C, and so would every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.audio_lm_world"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave audits (simulations of minutes) to `-m audit`; other expressions say nothing of them."""
    if "audit" in config.getoption("markexpr"):
        return
    audits = [item for item in items if item.get_closest_marker("audit")]
    config.hook.pytest_deselected(items=audits)
    items[:] = [item for item in items if not item.get_closest_marker("audit")]


LABELS = ["baby_cry", "baby_laugh", "woman_cry", "woman_laugh", "dog_bark", "church_bell", "rain"]
CLIPS = {"train": 3, "valid": 2, "test": 3}


@pytest.fixture(scope="session")
def bank() -> Bank:
    """Seven classes of all three splits, 8 kHz."""
    return make_bank(sample_rate=8000, clips_per_class=CLIPS, labels=LABELS)


@pytest.fixture(scope="session")
def training(bank: Bank) -> Bank:
    return bank.split("train")


@pytest.fixture(scope="session")
def shape() -> Shape:
    """Two layers a tower; dropout, so that a resume must restore the random state."""
    front_end = FrontEnd(
        sample_rate=8000,
        n_fft=512,
        hop=480,
        n_mels=16,
        fmin=50.0,
        fmax=3900.0,
        max_seconds=3.0,
        truncation="rand_trunc",
        padding="pad",
        int16_round_trip=False,
    )
    audio = AudioTower(
        num_mel_bins=16,
        spec_size=32,
        patch_size=4,
        patch_stride=(4, 4),
        patch_embeds_hidden_size=8,
        depths=(1, 1),
        num_attention_heads=(2, 2),
        window_size=4,
        enable_fusion=False,
        position_std=1.0,
    )
    text = TextTower(
        vocab_size=300,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        max_tokens=40,
        dropout_rate=0.1,
        position_std=1.0,
    )
    return Shape(front_end=front_end, audio=audio, text=text, joint_dim=16, pooling="valid")


@pytest.fixture(scope="session")
def captions(training: Bank) -> list[str]:
    """Captions of training scenes, as the stage `prepare` writes them for its tokenizer."""
    book = phrase_book(training)
    rng = np.random.default_rng(0)
    drawn = SceneSource(bank=training, seed=0, attribute_share=0.2).draw(0, 400)
    return [write(tree, draw_wording([tree], book, rng=rng, connectives=TRAIN)) for _, tree in drawn]


@pytest.fixture(scope="session")
def tokenizer(captions: list[str]) -> Tokenizer:
    return train_tokenizer(captions, vocab_size=300)

"""The stage that builds a profile's bank."""

from __future__ import annotations

import pytest

from core.run import tracking
from core.run.stage import Context
from core.scenes.bank import BankError, read_bank
from shared_data import bank as stage
from shared_data.world.sounds import recorded


def context(root) -> Context:
    return Context(
        paper="shared_data",
        stage="bank",
        variant=None,
        profile="tiny",
        root=root,
        tracker=tracking.off(),
        seed=0,
    )


def test_a_procedural_bank_is_built_and_read_back(tmp_path) -> None:
    config = stage.Config(train=2, valid=1, test=1, labels=["dog_bark", "baby_cry", "flute"])
    stage.bank(config, context=context(tmp_path))
    made = read_bank(tmp_path / "shared_data" / "bank" / "tiny")
    assert made.labels() == ("baby_cry", "dog_bark", "flute")
    assert {name: len(made.split(name).clips) for name in ("train", "valid", "test")} == {
        "train": 6,
        "valid": 3,
        "test": 3,
    }
    assert {clip.domain for clip in made.clips} == {"sound", "speech", "music"}


@pytest.mark.parametrize(
    ("change", "message"),
    [({"kind": "dreamt"}, "choose one of"), ({"labels": ["unicorn"]}, r"no class \['unicorn'\]")],
)
def test_wrong_values_are_named(tmp_path, change, message) -> None:
    with pytest.raises(BankError, match=message):
        stage.bank(stage.Config(**change), context=context(tmp_path))
    assert not list(tmp_path.rglob("bank.json"))


def test_instruments_need_music(tmp_path) -> None:
    with pytest.raises(BankError, match="instruments need music: true"):
        stage.bank(stage.Config(labels=["flute"], music=False), context=context(tmp_path))


def test_a_recorded_bank_without_recordings_names_the_command(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(recorded, "RAW", tmp_path / "nowhere")
    with pytest.raises(recorded.PackageMissingError, match=r"-m shared_data\.world\.sounds\.recorded fetch"):
        stage.bank(stage.Config(kind="recorded"), context=context(tmp_path))

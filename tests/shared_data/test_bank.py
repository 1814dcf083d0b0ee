"""The stage that builds a profile's bank."""

from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np
import pytest

from core.run import tracking
from core.run.code import REPOSITORY as ROOT
from core.run.config import load
from core.run.stage import Context
from core.scenes.bank import SPLITS, BankError, read_bank, read_recipe, write_bank
from shared_data import bank as stage
from shared_data.world.datasets import listening, played
from shared_data.world.sounds import recorded
from shared_data.world.sounds.conditions import CONDITIONS, HELD_OUT


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


def test_some_clips_are_recorded_under_conditions(tmp_path) -> None:
    config = stage.Config(
        train=1,
        valid=1,
        test=1,
        conditioned={"train": 6, "valid": 2},
        conditions=["reverb", "hum", "low_bits"],
        labels=["dog_bark", "jazz_music", "man_speak"],
    )
    made = stage.synthesise(config)
    assert {name: len(made.split(name).clips) for name in SPLITS} == {"train": 21, "valid": 9, "test": 3}
    assert len({wave.tobytes() for wave in made.waveforms}) == len(made.clips)
    heard = [clip.source.split(", under ")[1:] for clip in made.clips]
    assert {len(names) for clip, names in zip(made.clips, heard) if clip.split == "test"} == {0}
    chains = {name for names in heard for name in names}
    assert {"reverb and hum", "hum"} & chains
    assert {name for chain in chains for name in chain.split(" and ")} == {"reverb", "hum", "low_bits"}
    for wave in made.waveforms:
        assert 0.4 * 16_000 <= len(wave) <= 2.5 * 16_000
        assert np.abs(wave).max() == pytest.approx(0.5, abs=1e-5)
    plain = stage.synthesise(replace(config, conditioned={}, conditions=[]))
    same = {clip.id: wave for clip, wave in zip(made.clips, made.waveforms)}
    for clip, wave in zip(plain.clips, plain.waveforms):
        np.testing.assert_array_equal(wave, same[clip.id])


def test_the_bank_of_mini_has_no_condition_that_is_held_out() -> None:
    """Test sets use all of these, training and validation none."""
    config = load(stage.Config, folder=ROOT / "shared_data", profile="mini", stage="bank", variant=None)
    assert set(config.conditions) == CONDITIONS.keys() - set(HELD_OUT)
    assert set(config.conditioned) == {"train", "valid"}
    used = "".join(inspect.getsource(module) for module in (listening, played))
    assert all(f'"{name}"' in used for name in ("street", "close_microphone"))
    assert "for condition in CONDITIONS" in inspect.getsource(listening.audioset)  # companding too


def test_a_bank_says_its_recipe(tmp_path) -> None:
    config = stage.Config(train=1, valid=1, test=1, labels=["dog_bark"])
    stage.bank(config, context=context(tmp_path))
    folder = tmp_path / "shared_data" / "bank" / "tiny"
    said = read_recipe(folder)
    assert said == stage.recipe_of(config, module="shared_data.bank")
    assert said != stage.recipe_of(replace(config, train=2), module="shared_data.bank")
    write_bank(read_bank(folder), tmp_path / "other")
    assert read_recipe(tmp_path / "other") is None
    assert read_recipe(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "dreamt"}, "choose one of"),
        ({"labels": ["unicorn"]}, r"no class \['unicorn'\]"),
        ({"conditions": ["street"]}, r"conditions \['street'\]: unknown, or kept for test sets"),
        (
            {"conditioned": {"test": 2}, "conditions": ["hum"]},
            r"conditioned \['test'\]: only train and valid",
        ),
        ({"conditioned": {"train": 2}}, "conditioned clips need conditions"),
    ],
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

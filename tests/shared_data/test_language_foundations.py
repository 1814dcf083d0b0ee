"""The stages that make language model and text tower: trained and loaded again, or resolved."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.foundations.language_model import LmShape, load_language_model, write_answers
from core.foundations.public import FoundationMissingError, foundation_path, read_record
from core.foundations.text_tower import TowerShape, load_sentence_encoder
from core.run import tracking
from core.run.stage import Context
from core.scenes.bank import write_bank
from core.train.optimisation import TrainingOptions
from shared_data import language_model, text_tower
from shared_data.world.sounds.procedural import make_bank
from tests.two_processes import Job, run_stages

LABELS = ["baby_cry", "church_bell", "cow_moo", "dog_bark", "rain", "rooster_crow", "siren", "thunder"]
TRAINING = TrainingOptions(steps=3, learning_rate=1e-3)
LM = language_model.Config(
    shape=LmShape(hidden_size=16, layers=1, heads=2, intermediate_size=16, max_positions=600),
    training=TRAINING,
    texts=80,
    vocab_size=300,
    max_tokens=500,
    test_texts=6,
    answer=4,
)
TOWER = text_tower.Config(
    shape=TowerShape(hidden_size=16, layers=1, heads=2, intermediate_size=16, max_tokens=80),
    training=TRAINING,
    pairs=60,
    test_pairs=20,
    texts=20,
    vocab_size=300,
    batch_size=4,
)
STAGES = {
    "language_model": (language_model, language_model.language_model, LM),
    "text_tower": (text_tower, text_tower.text_tower, TOWER),
}


@pytest.fixture(params=list(STAGES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def banked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    counts = {"train": 1, "valid": 1, "test": 1}
    bank = make_bank(sample_rate=8_000, clips_per_class=counts, labels=LABELS)
    write_bank(bank, root / "shared_data" / "bank" / "mini")
    return root


@pytest.fixture
def root(banked: Path) -> Path:
    """A repository with a bank."""
    return banked


def context(root: Path, stage: str) -> Context:
    return Context(
        paper="shared_data",
        stage=stage,
        variant=None,
        profile="mini",
        root=root,
        tracker=tracking.off(),
        seed=0,
    )


def test_what_is_trained_is_written_as_the_hub_would_and_once(
    root: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, stage, config = STAGES[name]
    stage(config, context=context(root, name))
    folder = foundation_path(root, "mini", name)
    assert {path.name for path in folder.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert not [path for path in folder.iterdir() if path.is_dir()]  # nothing of the training is left
    record = read_record(root, "mini", name)
    assert record.revision == json.loads((folder / "identity.json").read_text())["identity"]
    assert "model.safetensors" in record.sha256
    before = (folder / "model.safetensors").stat().st_mtime_ns
    capsys.readouterr()
    stage(config, context=context(root, name))
    assert "is complete" in capsys.readouterr().out
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    stage(replace(config, seed=1), context=context(root, name))
    assert (folder / "model.safetensors").stat().st_mtime_ns != before


def test_the_language_model_answers_again(root: Path) -> None:
    language_model.language_model(LM, context=context(root, "language_model"))
    model, tokenizer = load_language_model(foundation_path(root, "mini", "language_model"))
    assert tokenizer.model_max_length == 600
    assert len(write_answers(model, tokenizer, ["### Response:\n"], max_new_tokens=3)) == 1


def test_tests_have_a_context_and_are_no_training_texts(root: Path) -> None:
    texts, tests = language_model.read_texts(LM, root / "shared_data" / "bank" / "mini")
    assert len(texts) == 80
    assert len(tests) == 6
    assert all(text.startswith("Sounds:") and "### Response:\n" in text for text in tests)
    assert not set(texts) & set(tests)


def test_the_text_tower_encodes_again(root: Path) -> None:
    text_tower.text_tower(TOWER, context=context(root, "text_tower"))
    encode = load_sentence_encoder(foundation_path(root, "mini", "text_tower"))
    vectors = encode(["a dog barking", "rain"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert encode.max_tokens == 80


def test_a_public_checkpoint_that_is_not_there_is_named(root: Path, name: str) -> None:
    _, stage, config = STAGES[name]
    with pytest.raises(FoundationMissingError, match=r"google/flan-t5-large: config\.json"):
        stage(replace(config, checkpoint="google/flan-t5-large"), context=context(root, name))


def test_neither_checkpoint_nor_training_is_an_error(root: Path, name: str) -> None:
    _, stage, config = STAGES[name]
    with pytest.raises(ValueError, match=f"{name}: name a checkpoint, or say in `training`"):
        stage(replace(config, training=None), context=context(root, name))


def test_of_two_processes_the_first_writes(banked: Path, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    shutil.copytree(banked / "shared_data" / "bank", root / "shared_data" / "bank")
    jobs = [Job(stage, config, "shared_data", name) for name, (_, stage, config) in STAGES.items()]
    wrote, others = run_stages([*jobs, *jobs], root=root, folder=tmp_path)
    assert others == []
    for job in jobs:
        record = root / "shared_data" / "foundations" / "mini" / job.stage / "record.json"
        assert wrote.count(f"os.rename {record}") == 1
        assert not [path for path in record.parent.iterdir() if path.is_dir()]


def test_a_public_checkpoint_is_recorded_by_the_first_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    for name, (_, stage, config) in STAGES.items():
        stage(replace(config, checkpoint="one that nobody has"), context=context(tmp_path, name))
    assert not list(tmp_path.iterdir())

"""The stages that make language model and text tower: trained and loaded again, or resolved."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core.audio_lm.model import load_language_model
from core.foundations.language_model import LmShape, write_answers
from core.foundations.public import FoundationMissingError, foundation_path
from core.foundations.text_tower import TowerShape, load_sentence_encoder
from core.run import tracking
from core.run.stage import Context
from core.scenes.bank import read_bank, write_bank
from core.scenes.captions import phrase_book
from core.scenes.draw import voice_attributes
from core.train.optimisation import TrainingOptions
from shared_data import language_model, text_tower
from shared_data.phrases import RECORDED
from shared_data.world.datasets.passages import held_out
from shared_data.world.sounds.procedural import make_bank
from tests.two_processes import Job, run_stages

REPOSITORY = Path(__file__).parents[2]
LABELS = ["baby_cry", "church_bell", "cow_moo", "dog_bark", "rain", "rooster_crow", "siren", "thunder"]
TRAINING = TrainingOptions(steps=3, learning_rate=1e-3)
LM = language_model.Config(
    shape=LmShape(hidden_size=16, layers=1, heads=2, intermediate_size=16, max_positions=600),
    training=TRAINING,
    words=80,
    vocab_size=300,
    max_tokens=500,
    batch_size=2,
    asked=3,
    test_questions=12,
    answer=4,
)
TOWER = text_tower.Config(
    shape=TowerShape(hidden_size=16, layers=1, heads=2, intermediate_size=16, max_tokens=120),
    training=TRAINING,
    words=40,
    vocab_size=300,
    batch_size=4,
    test_pairs=60,
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
    (root / RECORDED).parent.mkdir(parents=True)
    shutil.copy(REPOSITORY / RECORDED, root / RECORDED)
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


@pytest.mark.parametrize("seed", [0, 1])
def test_training_is_a_function_of_the_seed_with_scores_of_the_halved_weights(
    root: Path, name: str, seed: int, tmp_path: Path
) -> None:
    module, _, config = STAGES[name]
    made = [
        module.train(replace(config, seed=at), context=context(root, name), folder=tmp_path / str(number))
        for number, at in enumerate((0, seed))
    ]
    weights = []
    for number, one in enumerate(made):
        one.save(tmp_path / f"saved{number}")
        weights.append(load_file(tmp_path / f"saved{number}" / "model.safetensors"))
    assert all(torch.equal(x, x.half().float()) for x in weights[0].values())
    assert made[0].scores[0].goal == (0.85 if name == "language_model" else 0.8)
    assert all(0 <= one.low <= one.value <= one.high <= 1 and one.n for one in made[0].scores)
    same = all(torch.equal(x, weights[1][key]) for key, x in weights[0].items() if x.ndim == 2)
    assert same == (seed == 0)
    assert (made[0].scores == made[1].scores) or seed


def test_the_language_model_answers_again(root: Path) -> None:
    language_model.language_model(LM, context=context(root, "language_model"))
    model, tokenizer = load_language_model(foundation_path(root, "mini", "language_model"))
    assert tokenizer.model_max_length == 600
    assert len(write_answers(model, tokenizer, ["### Response:\n"], max_new_tokens=3)) == 1


def test_questions_are_about_lines_that_training_never_shows(root: Path) -> None:
    bank = read_bank(root / "shared_data" / "bank" / "mini", splits=["train"])
    tests = language_model.test_questions(LM, phrase_book(bank), voice_attributes(bank))
    lines = [prompt.partition("\n")[0] for _, _, (prompt, _) in tests]
    assert len(set(lines)) == 12
    assert all(held_out(line) and line.startswith("Sounds:") for line in lines)


def test_scores_are_told_by_form_and_task() -> None:
    kinds = [("open", "first"), ("open", "first"), ("open", "why"), ("letters", "first")]
    found = {one.name: one for one in language_model.scores_of(kinds, [True, False, True, True])}
    shares = {name: (one.value, one.n, one.goal) for name, one in found.items()}
    assert shares == {
        "exact answers, questions": (pytest.approx(2 / 3), 3, 0.85),
        "exact answers, first": (0.5, 2, None),
        "exact answers, why": (1.0, 1, None),
        "exact answers, with options, by letter": (1.0, 1, None),
    }
    assert found["exact answers, why"].low < 0.5  # Wilson's: one of one is not everything


def test_the_text_tower_encodes_again(root: Path) -> None:
    text_tower.text_tower(TOWER, context=context(root, "text_tower"))
    encode = load_sentence_encoder(foundation_path(root, "mini", "text_tower"))
    vectors = encode(["a dog barking", "rain"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert encode.max_tokens == 120


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
    shutil.copytree(
        banked / "shared_data", root / "shared_data", ignore=shutil.ignore_patterns("foundations")
    )
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

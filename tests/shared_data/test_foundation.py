"""How a foundation is made: kept as shipped, trained again when its recipe changed, refused when damaged."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from core.foundations.public import FoundationError, foundation_path
from core.run import tracking
from core.run.stage import Context
from core.train.optimisation import TrainingOptions
from shared_data.foundation import FoundationConfigError, Trained, halve, make, store_in_half
from shared_data.foundation_card import CardError, Input, Recipe, Score, read_card

TRAINING = TrainingOptions(steps=1, learning_rate=1e-3)
BANK = {"bank": Input(recipe="a", content="1")}


@dataclass(frozen=True)
class Config:
    """A foundation of one number."""

    checkpoint: str = ""
    training: TrainingOptions | None = TRAINING
    width: int = 2
    seed: int = 0


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """Where a stage that exists runs, so that it has code by meaning."""
    return Context(
        paper="shared_data",
        stage="tagger",
        variant=None,
        profile="mini",
        root=tmp_path,
        tracker=tracking.off(),
        seed=0,
    )


class Count:
    """A training that counts how often it ran."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, config: Config, *, context: Context, folder: Path) -> Trained:
        self.runs += 1
        context.tracker.log_metrics({"loss": 0.5}, 1)
        value = torch.full((config.width,), 1 / 3)

        def save(into: Path) -> None:
            (into / "config.json").write_text("{}")
            save_file({"weight": value, "places": torch.arange(2)}, into / "model.safetensors")

        score = Score(name="hits", value=0.9, low=0.8, high=0.95, n=10, on="nothing", goal=0.85)
        return Trained(save=save, scores=(score,), data="Nothing at all.", licence="CC0-1.0")


def test_it_is_trained_once_and_stored_small_with_a_card(context: Context) -> None:
    train = Count()
    for _ in range(2):
        make("tagger", Config(), context=context, inputs=lambda _: BANK, train=train)
    assert train.runs == 1
    folder = foundation_path(context.root, "mini", "tagger")
    weights = load_file(folder / "model.safetensors")
    assert weights["weight"].dtype == torch.float16
    assert weights["places"].dtype == torch.int64
    card = read_card(folder)
    assert card is not None
    assert (card.first_loss, card.parameters) == (0.5, 4)
    page = (folder.parent / "cards" / "tagger.md").read_text()
    assert "| hits | 0.900 | 0.800 to 0.950 | 10 | 0.85 | nothing |" in page
    assert not context.path("foundations", "training", "tagger").exists()


@pytest.mark.parametrize(
    ("bank", "runs"),
    [
        (Input(recipe="a", content="2"), 1),  # another machine rounds otherwise
        (Input(recipe="b", content="1"), 1),  # an edit that left every byte
        (Input(recipe="b", content="2"), 2),
    ],
)
def test_a_bank_from_another_machine_is_no_other_recipe(
    context: Context, bank: Input, runs: int, capsys: pytest.CaptureFixture[str]
) -> None:
    train = Count()
    make("tagger", Config(), context=context, inputs=lambda _: BANK, train=train)
    make("tagger", Config(), context=context, inputs=lambda _: {"bank": bank}, train=train)
    assert train.runs == runs
    told = capsys.readouterr().out
    assert ("changed since it was trained: bank" in told) == (runs == 2)
    assert ("of the same recipe, but other: bank" in told) == (bank.content == "2" and runs == 1)


def test_another_configuration_trains_again_and_the_old_weights_stay_until_then(context: Context) -> None:
    make("tagger", Config(), context=context, inputs=lambda _: BANK, train=Count())
    folder = context.path("foundations", "tagger")
    old = (folder / "model.safetensors").read_bytes()

    def stopped(config: Config, *, context: Context, folder: Path) -> Trained:
        raise KeyboardInterrupt

    wider = replace(Config(), width=3)
    with pytest.raises(KeyboardInterrupt):
        make("tagger", wider, context=context, inputs=lambda _: BANK, train=stopped)
    assert (folder / "model.safetensors").read_bytes() == old
    train = Count()
    make("tagger", wider, context=context, inputs=lambda _: BANK, train=train)
    assert train.runs == 1
    assert load_file(folder / "model.safetensors")["weight"].shape == (3,)


@pytest.mark.parametrize("damage", ["cut", "gone", "another"])
def test_damaged_weights_are_refused_with_what_brings_them_back(context: Context, damage: str) -> None:
    make("tagger", Config(), context=context, inputs=lambda _: BANK, train=Count())
    weights = context.path("foundations", "tagger") / "model.safetensors"
    if damage == "gone":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:-2] if damage == "cut" else b"0" * 200)
    for act in (
        lambda: make("tagger", Config(), context=context, inputs=lambda _: BANK, train=Count()),
        lambda: foundation_path(context.root, "mini", "tagger"),
    ):
        with pytest.raises(FoundationError, match="git checkout -- shared_data/foundations/mini/tagger"):
            act()


def test_a_card_that_cannot_be_read_says_so(context: Context) -> None:
    make("tagger", Config(), context=context, inputs=lambda _: BANK, train=Count())
    place = context.path("foundations", "cards", "tagger.json")
    place.write_text(place.read_text()[:50])
    with pytest.raises(CardError, match="git checkout"):
        make("tagger", Config(), context=context, inputs=lambda _: BANK, train=Count())


def test_without_a_checkpoint_or_a_training_it_says_what_is_missing(context: Context) -> None:
    with pytest.raises(FoundationConfigError, match="name a checkpoint"):
        make("tagger", Config(training=None), context=context, inputs=lambda _: BANK, train=Count())


def test_libraries_and_unrelated_code_are_no_recipe() -> None:
    one = Recipe(code={"a.py": "1"}, config={"x": 1}, inputs=BANK, libraries={"torch": "2.11"})
    two = dataclasses.replace(one, libraries={"torch": "2.13"})
    assert not one.changes(two)
    assert one.elsewhere(two) == ["torch 2.11 here 2.13"]
    three = dataclasses.replace(one, code={"a.py": "2", "b.py": "1"}, config={"x": 2, "y": None})
    assert one.changes(three) == ["a.py", "b.py", "configuration: x", "configuration: y"]


def test_weights_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.tensor([1e6])}, tmp_path / "model.safetensors")
    with pytest.raises(OverflowError, match="weight"):
        store_in_half(tmp_path / "model.safetensors")


def test_scores_are_of_the_weights_as_stored() -> None:
    network = nn.Linear(3, 3)
    halve(network)
    assert all(torch.equal(p, p.half().float()) for p in network.parameters())


def test_the_card_is_plain_json(context: Context) -> None:
    make("tagger", Config(), context=context, inputs=lambda _: BANK, train=Count())
    told: dict[str, Any] = json.loads(context.path("foundations", "cards", "tagger.json").read_text())
    assert told["recipe"]["inputs"]["bank"] == {"recipe": "a", "content": "1"}
    assert not any(path.startswith("core/run/") for path in told["recipe"]["code"])


def test_another_profile_uses_the_shipped_weights(context: Context) -> None:
    make("tagger", Config(), context=context, inputs=lambda _: BANK, train=Count())
    other = replace(context, profile="recorded")
    make("tagger", Config(), context=other, inputs=lambda _: BANK, train=Count(), shipped="mini")
    place = foundation_path(context.root, "recorded", "tagger")
    assert place == context.path("foundations", "tagger")
    (place / "model.safetensors").write_bytes(b"")
    with pytest.raises(FoundationError, match="foundations/mini/tagger"):
        foundation_path(context.root, "recorded", "tagger")

"""A shipped foundation after an edit of its code: kept where the training begins alike, compared if asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from core.run import tracking
from core.run.stage import Context
from core.train.optimisation import TrainingOptions
from shared_data import again
from shared_data.foundation import Trained, make
from shared_data.foundation_card import Card, Input, Score, read_card, write_card


@dataclass(frozen=True)
class Config:
    """A foundation of one number."""

    checkpoint: str = ""
    training: TrainingOptions | None = None
    width: int = 2
    seed: int = 0


class Training:
    """Logs a loss, then three more, and gives weights of the configured width."""

    def __init__(self, loss: float) -> None:
        self.loss, self.logged = loss, 0

    def __call__(self, config: Config, *, context: Context, folder: Path) -> Trained:
        for step in range(4):
            context.tracker.log_metrics({"learning_rate": 1.0}, step)
            context.tracker.log_metrics({"loss": self.loss / (step + 1)}, step)
            self.logged += 1

        def save(out: Path) -> None:
            (out / "config.json").write_text("{}")
            save_file({"weight": torch.full((config.width,), self.loss)}, out / "model.safetensors")

        score = Score(name="hits", value=self.loss, low=0.0, high=1.0, n=10, on="nothing", goal=0.85)
        return Trained(save=save, scores=(score,), data="Nothing.", licence="CC0-1.0")


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose tagger was trained with a loss of 0.5, by code that has changed since."""
    conf = tmp_path / "shared_data" / "conf"
    conf.mkdir(parents=True)
    (conf / "mini.yaml").write_text("tagger: {width: 2, training: {steps: 4, learning_rate: 0.1}}\n")
    monkeypatch.setattr(again, "INPUTS", {"tagger": inputs})
    use(monkeypatch, Training(0.5))
    _, config, context, _ = opened(tmp_path)
    make("tagger", config, context=context, inputs=inputs, train=Training(0.5))
    folder = context.path("foundations", "tagger")
    card = read_card(folder)
    assert card is not None
    code = {**card.recipe.code, "core/gone.py": "0"}
    write_card(folder, replace(card, recipe=replace(card.recipe, code=code)))
    return tmp_path


def inputs(context: Context) -> dict[str, Input]:
    return {"bank": Input(recipe="a", content="1")}


def use(monkeypatch: pytest.MonkeyPatch, training: Training) -> None:
    module = SimpleNamespace(Config=Config, train=training)
    monkeypatch.setattr(again, "MODULES", {"tagger": module})


def opened(root: Path) -> tuple[None, Config, Context, None]:
    options = TrainingOptions(steps=4, learning_rate=0.1)
    context = Context(
        paper="shared_data",
        stage="tagger",
        variant=None,
        profile="mini",
        root=root,
        tracker=tracking.off(),
        seed=0,
    )
    return None, Config(training=options), context, None


def card_in(root: Path) -> Card:
    card = read_card(root / "shared_data" / "foundations" / "mini" / "tagger")
    assert card is not None
    return card


def test_an_edit_that_moves_no_number_keeps_the_weights(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = shipped / "shared_data" / "foundations" / "mini" / "tagger" / "model.safetensors"
    before = weights.read_bytes()
    training = Training(0.5)
    use(monkeypatch, training)
    assert "kept" in again.keep("tagger", root=shipped, profile="mini")
    assert training.logged == 0  # it stopped at the first loss
    assert "core/gone.py" not in card_in(shipped).recipe.code
    assert weights.read_bytes() == before
    assert "nothing to keep" in again.keep("tagger", root=shipped, profile="mini")


def test_an_edit_that_moves_numbers_is_refused(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Training(0.51))
    with pytest.raises(again.AgainError, match=r"first loss is 0\.51.*was 0\.5.*core/gone\.py"):
        again.keep("tagger", root=shipped, profile="mini")
    assert "core/gone.py" in card_in(shipped).recipe.code


def test_another_configuration_is_never_kept(shipped: Path) -> None:
    conf = shipped / "shared_data" / "conf" / "mini.yaml"
    conf.write_text(conf.read_text().replace("width: 2", "width: 3"))
    with pytest.raises(again.AgainError, match="configuration: width"):
        again.keep("tagger", root=shipped, profile="mini")


def test_a_new_option_is_an_edit_of_code(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shipped / "shared_data" / "foundations" / "mini" / "tagger"
    card = card_in(shipped)
    config = {key: value for key, value in card.recipe.config.items() if key != "seed"}
    write_card(folder, replace(card, recipe=replace(card.recipe, config=config)))
    use(monkeypatch, Training(0.5))
    assert "kept" in again.keep("tagger", root=shipped, profile="mini")
    assert card_in(shipped).recipe.config["seed"] == 0


def test_comparing_shows_both_and_changes_nothing(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "the same bytes" in again.compare("tagger", root=shipped, profile="mini")
    before = card_in(shipped)
    use(monkeypatch, Training(0.25))
    told = again.compare("tagger", root=shipped, profile="mini")
    assert "other weights" in told
    assert "| hits | 0.500 | 0.250 (0.000 to 1.000) |" in told
    assert card_in(shipped) == before


def test_a_foundation_that_was_not_trained_here_says_so(shipped: Path) -> None:
    (shipped / "shared_data" / "foundations" / "mini" / "cards" / "tagger.json").unlink()
    with pytest.raises(again.AgainError, match="no weights of profile mini"):
        again.keep("tagger", root=shipped, profile="mini")

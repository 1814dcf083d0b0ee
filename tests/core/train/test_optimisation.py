"""Computing layers again instead of keeping them: the same training, with less kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.audio_lm.phases import text_loss
from core.train.loop import fit
from core.train.optimisation import TrainingError, recomputing
from tests.core.train.test_update import KINDS, OPTIONS, Made, assert_same, curriculum, spoken, train


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


def recomputed(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if getattr(m, "gradient_checkpointing", False)]


@pytest.mark.parametrize("name", ["curriculum", "generative", "language_model"])
def test_the_result_is_the_same(tmp_path: Path, name: str) -> None:
    plain = train(KINDS[name], tmp_path / "plain")
    again = train(KINDS[name], tmp_path / "again", gradient_checkpointing=True)
    assert_same(again, plain)
    # a stopped run may go on with it
    longer = train(KINDS[name], tmp_path / "plain", gradient_checkpointing=True)
    assert longer.history.losses == plain.history.losses


def test_dropout_is_drawn_once(tmp_path: Path) -> None:
    kind = replace(KINDS["curriculum"], network=lambda: curriculum(0.5))
    made: list[Made] = [
        train(kind, tmp_path / str(active), gradient_checkpointing=active) for active in (False, True)
    ]
    assert_same(made[1], made[0])


@pytest.mark.parametrize("parts", ["*lora_*", "branches.*"])
def test_layers_keep_nothing_where_only_a_part_below_or_within_is_trained(parts: str) -> None:
    """LoRA alone: the first layer's input needs no gradient. A branch alone: no layer is trained."""
    kept: dict[bool, int] = {}
    gradients: dict[bool, list[Tensor]] = {}
    for active in (False, True):
        model = curriculum().train()
        for name, value in model.named_parameters():
            value.requires_grad_(value.requires_grad and (("lora_" in name) == (parts == "*lora_*")))
        sizes: list[int] = []

        def note(x: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(x.numel())
            return x

        with recomputing(model, active=active), torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
            assert bool(recomputed(model)) is active
            text_loss(model, spoken(range(4)))["loss"].value.backward()  # type: ignore[union-attr]
        assert not recomputed(model)
        kept[active] = sum(sizes)
        gradients[active] = [p.grad for p in model.parameters() if p.grad is not None]
    assert kept[True] < 0.6 * kept[False]
    assert len(gradients[True]) == len(gradients[False]) > 0
    for a, b in zip(gradients[True], gradients[False], strict=True):
        torch.testing.assert_close(a, b)


def test_a_model_without_such_layers_is_refused(tmp_path: Path) -> None:
    def batches(step: int) -> Iterator[Any]:
        raise AssertionError("trained")

    with pytest.raises(TrainingError, match="gradient_checkpointing: no part of Linear is a layer of"):
        fit(
            nn.Linear(2, 2),
            loss=lambda network, batch: {},
            batches=batches,
            options=replace(OPTIONS, gradient_checkpointing=True),
            folder=tmp_path,
        )

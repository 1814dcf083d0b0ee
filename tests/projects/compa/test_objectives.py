"""The stages' losses: the right texts reach the right function, and both towers learn."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from core.encoders.clap import Clap
from core.encoders.clap_folder import Shape, make_model
from core.losses.contrastive import hard_negative_loss, info_nce, modular_loss
from projects.compa.objectives import Objective, compa_loss

POSITIVES = torch.tensor([[4, 5], [5, -1], [6, -1], [4, 6]])
NEGATIVES = torch.tensor([[7, 8, 9], [9, -1, -1], [-1, -1, -1], [8, 7, -1]])
OBJECTIVES: tuple[Objective, ...] = ("contrastive", "hard_negatives", "modular")


class Fixed(nn.Module):
    """Returns given embeddings."""

    def __init__(self, audio: Tensor, texts: Tensor) -> None:
        super().__init__()
        self.audio, self.texts = nn.Parameter(audio), nn.Parameter(texts)
        self.scale = nn.Parameter(torch.tensor(5.0))

    def forward(self, *_: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.audio, self.texts, self.scale


@pytest.fixture
def fixed() -> Fixed:
    generator = torch.Generator().manual_seed(0)
    return Fixed(torch.randn(4, 6, generator=generator), torch.randn(10, 6, generator=generator))


def batch(**changes: Tensor) -> dict[str, Any]:
    nothing = torch.empty(0)
    values = {"features": nothing, "input_ids": nothing, "attention_mask": nothing, "is_longer": nothing}
    return {**values, "positives": POSITIVES, "negatives": NEGATIVES, **changes}


def rows(model: Fixed, index: Tensor) -> tuple[Tensor, Tensor]:
    """Texts by index one by one; what stands in the padding must not matter, so it is far away."""
    filled = [[model.texts[i] if i >= 0 else torch.full((6,), 50.0) for i in row] for row in index.tolist()]
    return torch.stack([torch.stack(row) for row in filled]), index >= 0


@pytest.mark.parametrize("normalise", [True, False])
def test_contrastive_is_info_nce(fixed: Fixed, normalise: bool) -> None:
    found = compa_loss(fixed, batch(), objective="contrastive", normalise=normalise)
    wanted = info_nce(fixed.audio, fixed.texts[:4], logit_scale=fixed.scale, normalise=normalise)
    assert torch.equal(found["loss"], wanted)
    assert found["logit_scale"] == 5.0
    assert not found["logit_scale"].requires_grad


@pytest.mark.parametrize(
    ("scope", "directions", "masking"),
    [
        ("own", "a2t", "additive"),
        ("all", "a2t", "additive"),
        ("own", "both", "additive"),
        ("own", "a2t", "multiplicative"),
    ],
)
def test_hard_negatives(
    fixed: Fixed,
    scope: Literal["own", "all"],
    directions: Literal["a2t", "both"],
    masking: Literal["additive", "multiplicative"],
) -> None:
    found = compa_loss(
        fixed,
        batch(),
        objective="hard_negatives",
        neg_scope=scope,
        neg_directions=directions,
        masking=masking,
    )
    negatives, mask = rows(fixed, NEGATIVES)
    wanted = hard_negative_loss(
        fixed.audio,
        fixed.texts[:4],
        negatives,
        negative_mask=mask,
        logit_scale=fixed.scale,
        neg_scope=scope,
        neg_directions=directions,
        masking=masking,
    )
    torch.testing.assert_close(found["loss"], wanted)
    plain = compa_loss(fixed, batch(), objective="contrastive")["loss"]
    assert found["loss"] > plain


@pytest.mark.parametrize("masking", ["additive", "multiplicative"])
@pytest.mark.parametrize("positives_as", ["mean_logit", "mean_logprob"])
def test_modular(
    fixed: Fixed,
    positives_as: Literal["mean_logit", "mean_logprob"],
    masking: Literal["additive", "multiplicative"],
) -> None:
    found = compa_loss(fixed, batch(), objective="modular", positives_as=positives_as, masking=masking)
    positives, positive_mask = rows(fixed, POSITIVES)
    negatives, negative_mask = rows(fixed, NEGATIVES)
    wanted = modular_loss(
        fixed.audio,
        fixed.texts[:4],
        positives,
        negatives,
        positive_mask=positive_mask,
        negative_mask=negative_mask,
        logit_scale=fixed.scale,
        positives_as=positives_as,
        masking=masking,
    )
    torch.testing.assert_close(found["loss"], wanted)


@pytest.mark.parametrize("objective", ["hard_negatives", "modular"])
def test_padding_changes_nothing(fixed: Fixed, objective: Objective) -> None:
    padding = torch.full((4, 3), -1)
    wider = batch(
        positives=torch.cat([POSITIVES, padding], dim=1), negatives=torch.cat([NEGATIVES, padding], dim=1)
    )
    loss = compa_loss(fixed, batch(), objective=objective)["loss"]
    padded = compa_loss(fixed, wider, objective=objective)["loss"]
    torch.testing.assert_close(padded, loss)
    one, other = (torch.autograd.grad(value, fixed.texts)[0] for value in (loss, padded))
    torch.testing.assert_close(one, other)
    more = compa_loss(fixed, batch(negatives=NEGATIVES.clamp(min=0)), objective=objective)["loss"]
    assert not torch.isclose(more, loss)  # the same place as a real text does count


@pytest.mark.parametrize("objective", ["hard_negatives", "modular"])
def test_each_text_is_used_where_it_belongs(fixed: Fixed, objective: Objective) -> None:
    (gradient,) = torch.autograd.grad(compa_loss(fixed, batch(), objective=objective)["loss"], fixed.texts)
    used = gradient.abs().sum(dim=1) > 0
    assert used[:4].all()
    assert used[7:].all()
    assert used[4:7].all() == (objective == "modular")  # positives, which stage 2 has no use for
    assert used[4:7].any() == (objective == "modular")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradient_reaches_both_towers(shape: Shape, objective: Objective) -> None:
    torch.manual_seed(0)
    model: Clap = make_model(shape)
    front_end = shape.front_end
    values = batch(
        features=torch.randn(4, 1, front_end.frames, front_end.n_mels),
        is_longer=torch.zeros(4, 1, dtype=torch.bool),
        input_ids=torch.randint(3, 300, (10, 7)),
        attention_mask=torch.ones(10, 7, dtype=torch.int64),
    )
    compa_loss(model, values, objective=objective)["loss"].backward()
    for tower in (model.audio, model.text):
        norms = [float(p.grad.norm()) for p in tower.parameters() if p.grad is not None]
        assert norms
        assert max(norms) > 0
    assert model.log_scale.grad is not None
    assert float(model.log_scale.grad.abs()) > 0

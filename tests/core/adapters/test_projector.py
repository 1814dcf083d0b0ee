"""Projectors: their formula, their indifference to the scale of features, what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.adapters.projector import LinearProjector, Projector


def test_projector_is_norm_linear_gelu_linear() -> None:
    torch.manual_seed(0)
    ours, features = Projector(6, 10, scale=0.5), torch.randn(2, 3, 6)
    theirs = nn.Sequential(
        nn.LayerNorm(6, elementwise_affine=False), nn.Linear(6, 10), nn.GELU(), nn.Linear(10, 10)
    )
    theirs[1].load_state_dict(ours.hidden.state_dict())
    theirs[3].load_state_dict(ours.output.state_dict())
    assert ours(features).shape == (2, 3, 10)
    torch.testing.assert_close(ours(features), 0.5 * theirs(features))


def test_linear_projector_is_norm_linear() -> None:
    torch.manual_seed(0)
    ours, features = LinearProjector(6, 10), torch.randn(2, 3, 6)
    theirs = nn.Sequential(nn.LayerNorm(6, elementwise_affine=False), nn.Linear(6, 10))
    theirs[1].load_state_dict(ours.output.state_dict())
    torch.testing.assert_close(ours(features), theirs(features))


@pytest.mark.parametrize("kind", [Projector, LinearProjector])
def test_scale_and_shift_of_features_do_not_matter(kind: type[Projector | LinearProjector]) -> None:
    torch.manual_seed(0)
    model, features = kind(8, 4), torch.randn(2, 3, 8)
    torch.testing.assert_close(model(features), model(50 * features + 7), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", [Projector, LinearProjector])
def test_refuses_other_widths_and_scales(kind: type[Projector | LinearProjector]) -> None:
    with pytest.raises(ValueError, match="width 8"):
        kind(8, 4)(torch.randn(2, 3, 9))
    with pytest.raises(ValueError, match="above 0"):
        kind(8, 4, scale=0.0)

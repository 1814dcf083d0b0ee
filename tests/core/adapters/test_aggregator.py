"""The aggregator: what reaches the output in the paper's wiring and in the release's, and masks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.adapters.aggregator import MultiLayerAggregator, Wiring

WIDTH, HEADS = 16, 2


def aggregator(wiring: Wiring = "paper", **options: Any) -> MultiLayerAggregator:
    torch.manual_seed(0)
    model = MultiLayerAggregator(
        WIDTH, heads=HEADS, intermediate_size=24, wiring=wiring, initializer_range=0.3, **options
    )
    return model.eval()


def gradient(model: nn.Module, features: Tensor) -> Tensor:
    """Size of the gradient at each of the three layers."""
    features = features.clone().requires_grad_()
    (model(features) ** 3).sum().backward()
    assert features.grad is not None
    return features.grad.abs().sum(dim=(0, 2, 3))


@pytest.fixture
def features() -> Tensor:
    return torch.randn(2, 3, 5, WIDTH, generator=torch.Generator().manual_seed(1))


def test_middle_layers_reach_the_output_in_the_papers_wiring_only(features: Tensor) -> None:
    assert (gradient(aggregator("paper"), features) > 1e-3).all()
    released = gradient(aggregator("release"), features)
    assert released[0] > 1e-3
    assert released[1:].tolist() == [0.0, 0.0]


def test_the_first_block_reads_j_and_the_second_k(features: Tensor) -> None:
    model = aggregator("paper")
    seen: list[Tensor] = []
    for block in model.blocks:
        block.register_forward_hook(lambda _, arguments, __: seen.append(arguments[2]))
    model(features)
    for index in (0, 1):
        torch.testing.assert_close(seen[index], F.layer_norm(features[:, 1 + index], (WIDTH,)))


def test_the_release_hands_them_over_in_reverse(features: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    model = aggregator("release")
    seen: list[Tensor] = []
    block = model._block

    def spy(module: nn.Module, states: Tensor, other: Tensor, mask: Tensor) -> Tensor:
        seen.append(other)
        return block(module, states, other, mask)

    monkeypatch.setattr(model, "_block", spy)
    model(features)
    for index, layer in enumerate((2, 1)):
        torch.testing.assert_close(seen[index], F.layer_norm(features[:, layer], (WIDTH,)))


def attend(queries: Tensor, others: Tensor, module: Any) -> Tensor:
    """One attention of the block, written out."""

    def split(x: Tensor) -> Tensor:
        return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)

    part = module.attention
    q, k, v = split(part.query(queries)), split(part.key(others)), split(part.value(others))
    weights = (q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5).softmax(dim=-1)
    out = module.output.dense((weights @ v).transpose(1, 2).flatten(2))
    return module.output.LayerNorm(out + queries)


@pytest.mark.parametrize("wiring", ["paper", "release"])
def test_blocks_compute_the_formula(features: Tensor, wiring: Wiring) -> None:
    """B(X; Y) = FFN(CrossAttn(SelfAttn(X), Y)), residuals and norms as in BERT."""
    model = aggregator(wiring)
    states = features[:, 0]
    for index, block in enumerate(model.blocks):
        states = attend(states, states, block.attention)
        if wiring == "paper":
            states = attend(states, model.norms[index](features[:, 1 + index]), block.crossattention)
        hidden = F.gelu(block.intermediate_query.dense(states))
        states = block.output_query.LayerNorm(block.output_query.dense(hidden) + states)
    torch.testing.assert_close(model(features), states)


@pytest.mark.parametrize("wiring", ["paper", "release"])
def test_padding_changes_nothing(features: Tensor, wiring: Wiring) -> None:
    model = aggregator(wiring)
    alone = model(features[:1, :, :3])
    mask = torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
    together = model(features, mask)
    torch.testing.assert_close(together[:1, :3], alone)
    noisy = features.clone()
    noisy[0, :, 3:] = 1e3
    torch.testing.assert_close(model(noisy, mask)[:1, :3], alone)


def test_refuses_what_does_not_fit(features: Tensor) -> None:
    model = aggregator()
    with pytest.raises(ValueError, match="two middle ones"):
        model(features[:, :2])
    with pytest.raises(ValueError, match="does not go with"):
        model(features, torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"items \[1\]"):
        model(features, torch.tensor([[True] * 5, [False] * 5]))
    with pytest.raises(ValueError, match="wiring"):
        MultiLayerAggregator(WIDTH, heads=HEADS, wiring="papers")  # type: ignore[arg-type]


def test_full_size_has_the_size_of_two_bert_layers_with_cross_attention() -> None:
    with torch.device("meta"):
        model = MultiLayerAggregator()
    attention, feed_forward = 4 * (768 * 768 + 768) + 2 * 768, 2 * 768 * 3072 + 3072 + 768 + 2 * 768
    assert sum(p.numel() for p in model.parameters()) == 2 * (2 * attention + feed_forward) + 2 * 2 * 768

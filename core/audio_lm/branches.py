"""Branches that put audio before a language model: GAMA's, its ablations', the designs of its baselines.

    qformer        AST's last layer -> Q-Former -> projector         GAMA
    aggregator     AST's last and middle layers -> aggregator -> projector   GAMA
    last_layer     AST's last layer -> projector                     ablation "last-layer features"
    clap           CLAP's vector -> projector                        ablation "w/ CLAP" (for the Q-Former)
    ast_linear     AST's last layer -> linear                        LTU's design
    clap_prefix    CLAP's vector -> several prefix tokens            Pengi's design
    listener       Whisper's features, pooled -> linear              Qwen-Audio's design
    window_qformer Whisper's and AST's features -> window-level Q-Former -> linear   SALMONN's design

A design is the way of the audio alone, with our encoders, language model and data: not the published model.
A caller with another branch gives `{**BRANCHES, "mine": Branch(("ast",), build_mine)}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.adapters.aggregator import MultiLayerAggregator, Wiring
from core.adapters.prefix_lm import Features, Prefix
from core.adapters.projector import LinearProjector, Projector
from core.adapters.qformer import AudioQFormer, QFormerShape
from core.run.strict_yaml import nearest


class BranchError(ValueError):
    """A branch that nobody knows; the message names the nearest."""


@dataclass(frozen=True, kw_only=True)
class Bridge:
    """Sizes that rows share. The defaults are the paper's. `wiring`: the aggregator's, paper or release."""

    qformer: QFormerShape = field(default_factory=QFormerShape)
    wiring: Wiring = "paper"
    aggregator_heads: int = 12
    aggregator_intermediate: int = 3072
    dropout: float = 0.1
    initializer_range: float = 0.02
    prefix_scale: float = 1.0
    clap_tokens: int = 40  # of Pengi's prefix
    window: int = 17  # features that SALMONN's Q-Former sees at a time (0.33 s)
    lora_rank: int = 8
    lora_alpha: float = 16.0
    lora_dropout: float = 0.05
    lora_targets: tuple[str, ...] = ("q_proj", "v_proj")
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the frozen language model


@dataclass(frozen=True)
class Branch:
    """encoders: those it reads, all on the time axis of the first (see `of_branches`).

    build: (D of all its encoders side by side, width of the language model, sizes) -> a module with fresh
    weights, called as module(values, mask).
    """

    encoders: tuple[str, ...]
    build: Callable[[int, int, Bridge], nn.Module]


class QFormerBranch(nn.Module):
    """(B, T, D) of AST's last layer -> (B, Q, E)."""

    def __init__(self, qformer: AudioQFormer, projector: nn.Module) -> None:
        super().__init__()
        self.qformer, self.projector = qformer, projector

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        return self.projector(self.qformer(values[:, 0], mask))


class AggregatorBranch(nn.Module):
    """(B, L, T, D), the last layer first -> (B, T, E)."""

    def __init__(self, aggregator: MultiLayerAggregator, projector: nn.Module) -> None:
        super().__init__()
        self.aggregator, self.projector = aggregator, projector

    def forward(self, values: Tensor, mask: Tensor) -> Prefix:
        return Prefix(self.projector(self.aggregator(values, mask)), mask)


class LastLayerBranch(nn.Module):
    """(B, L, T, D), of which the first layer is read -> (B, T, E)."""

    def __init__(self, projector: nn.Module) -> None:
        super().__init__()
        self.projector = projector

    def forward(self, values: Tensor, mask: Tensor) -> Prefix:
        return Prefix(self.projector(values[:, 0] if values.ndim == 4 else values), mask)


class VectorBranch(nn.Module):
    """One vector (B, 1, D) -> (B, tokens, E), by two linear layers and a GELU (Pengi's mapper)."""

    def __init__(self, width: int, out_width: int, tokens: int, *, scale: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, out_width)
        self.output = nn.Linear(out_width, out_width * tokens)
        self.tokens, self.scale = tokens, scale

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        mapped = self.output(F.gelu(self.hidden(F.layer_norm(values[:, 0], values.shape[-1:]))))
        return mapped.unflatten(1, (self.tokens, -1)) * self.scale


class WindowBranch(nn.Module):
    """Two encoders on one time axis (B, T, D1 + D2), the same queries on every window -> (B, W Q, E)."""

    def __init__(self, qformer: AudioQFormer, projector: nn.Module, *, window: int) -> None:
        super().__init__()
        self.qformer, self.projector, self.window = qformer, projector, window

    def forward(self, values: Tensor, mask: Tensor) -> Prefix:
        read = self.qformer.windowed(values, mask, window=self.window)
        return Prefix(self.projector(read.values), read.mask)


def build_qformer(width: int, out_width: int, bridge: Bridge) -> nn.Module:
    """GAMA's; its pre-training is loaded into it by `make_model`."""
    former = _former(replace(bridge.qformer, feature_size=width))
    return QFormerBranch(former, Projector(bridge.qformer.hidden_size, out_width, scale=bridge.prefix_scale))


def build_aggregator(width: int, out_width: int, bridge: Bridge) -> nn.Module:
    """GAMA's."""
    aggregator = MultiLayerAggregator(
        width,
        heads=bridge.aggregator_heads,
        intermediate_size=bridge.aggregator_intermediate,
        dropout=bridge.dropout,
        wiring=bridge.wiring,
        initializer_range=bridge.initializer_range,
    )
    return AggregatorBranch(aggregator, Projector(width, out_width, scale=bridge.prefix_scale))


def build_projected(width: int, out_width: int, bridge: Bridge) -> nn.Module:
    """Features through GAMA's projector."""
    return LastLayerBranch(Projector(width, out_width, scale=bridge.prefix_scale))


def build_linear(width: int, out_width: int, bridge: Bridge) -> nn.Module:
    """Features through one linear layer."""
    return LastLayerBranch(LinearProjector(width, out_width, scale=bridge.prefix_scale))


def build_vector(width: int, out_width: int, bridge: Bridge) -> nn.Module:
    """Pengi's."""
    return VectorBranch(width, out_width, bridge.clap_tokens, scale=bridge.prefix_scale)


def build_windows(width: int, out_width: int, bridge: Bridge) -> nn.Module:
    """SALMONN's, one query a window."""
    former = _former(replace(bridge.qformer, feature_size=width, queries=1))
    projector = LinearProjector(bridge.qformer.hidden_size, out_width, scale=bridge.prefix_scale)
    return WindowBranch(former, projector, window=bridge.window)


BRANCHES: Mapping[str, Branch] = {
    "qformer": Branch(("ast",), build_qformer),
    "aggregator": Branch(("ast",), build_aggregator),
    "last_layer": Branch(("ast",), build_projected),
    "clap": Branch(("clap",), build_projected),
    "ast_linear": Branch(("ast",), build_linear),
    "clap_prefix": Branch(("clap",), build_vector),
    "listener": Branch(("listener",), build_linear),
    "window_qformer": Branch(("listener", "ast"), build_windows),
}


def branch_of(name: str, branches: Mapping[str, Branch] = BRANCHES) -> Branch:
    """The branch of a name. Raises BranchError with the nearest name."""
    if name not in branches:
        raise BranchError(f"no branch {name!r}{nearest(name, branches)}")
    return branches[name]


def encoders_of(names: Iterable[str], branches: Mapping[str, Branch] = BRANCHES) -> set[str]:
    """The encoders that branches read."""
    return {encoder for name in names for encoder in branch_of(name, branches).encoders}


def make_branch(
    name: str,
    bridge: Bridge,
    *,
    widths: Mapping[str, int],
    out_width: int,
    branches: Mapping[str, Branch] = BRANCHES,
) -> nn.Module:
    """A branch with fresh weights. widths: encoder -> D."""
    branch = branch_of(name, branches)
    return branch.build(sum(widths[encoder] for encoder in branch.encoders), out_width, bridge)


def of_branches(
    read: Mapping[str, Features], names: Sequence[str], branches: Mapping[str, Branch] = BRANCHES
) -> dict[str, Features]:
    """What each branch wants, of what the encoders heard: (B, T, D), or (B, L, T, D) of several layers."""
    found: dict[str, Features] = {}
    for name in names:
        first, *others = (read[encoder] for encoder in branch_of(name, branches).encoders)
        for other in others:  # brought to the time axis of the first by repeating or leaving out steps
            last = other.values[:, 0] if other.values.ndim == 4 else other.values
            # by each item's own lengths, so that the batch's padding changes nothing
            steps, wanted = other.mask.sum(dim=1, keepdim=True), first.mask.sum(dim=1, keepdim=True)
            at = (torch.arange(first.values.shape[1]) * steps // wanted).clamp(max=last.shape[1] - 1)
            aligned = last.gather(1, at[..., None].expand(-1, -1, last.shape[2]))
            first = Features(torch.cat([first.values, aligned], dim=2), first.mask)
        found[name] = first
    return found


def _former(shape: QFormerShape) -> AudioQFormer:
    former = AudioQFormer(shape)
    former.drop_text()
    return former

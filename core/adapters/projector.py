"""Projectors: audio features to the width of a language model's embeddings."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Projector(nn.Module):
    """GAMA's connection, one per feature: LayerNorm without weights, Linear, GELU, Linear.

    (B, N, D) -> (B, N, E). The normalisation makes the scale of the features irrelevant, so that LTU's
    division by 50 is not needed. `scale` multiplies what comes out: prefix vectors much longer than the
    embeddings that a small language model knows slow down its first steps. 1 is the paper's.

    Raises ValueError where the last axis is not D. Source: GAMA (EMNLP 2024), section 3.1 and its release.
    """

    def __init__(self, in_width: int, out_width: int, *, scale: float = 1.0) -> None:
        super().__init__()
        self.in_width, self.scale = in_width, _positive(scale)
        self.hidden = nn.Linear(in_width, out_width)
        self.output = nn.Linear(out_width, out_width)

    def forward(self, features: Tensor) -> Tensor:
        normed = F.layer_norm(_check_width(features, self.in_width), (self.in_width,))
        return self.output(F.gelu(self.hidden(normed))) * self.scale


class LinearProjector(nn.Module):
    """LTU's connection: LayerNorm without weights, one Linear. (B, N, D) -> (B, N, E).

    `scale` as in `Projector`. Raises ValueError where the last axis is not D. Source: LTU (ICLR 2024).
    """

    def __init__(self, in_width: int, out_width: int, *, scale: float = 1.0) -> None:
        super().__init__()
        self.in_width, self.scale = in_width, _positive(scale)
        self.output = nn.Linear(in_width, out_width)

    def forward(self, features: Tensor) -> Tensor:
        return self.output(F.layer_norm(_check_width(features, self.in_width), (self.in_width,))) * self.scale


def _positive(scale: float) -> float:
    if not scale > 0:
        raise ValueError(f"scale multiplies the projected features and must be above 0, got {scale}")
    return scale


def _check_width(features: Tensor, width: int) -> Tensor:
    if features.shape[-1] != width:
        raise ValueError(
            f"this projector takes features of width {width}, got {tuple(features.shape)}: "
            "build it with the width of the module before it"
        )
    return features

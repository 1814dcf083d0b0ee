"""GAMA's multi-layer aggregator: features of middle layers of an encoder, gathered into those of the last.

    A = B2( B1(A_last; A_j); A_k),        B(X; Y) = FFN( CrossAttn( SelfAttn(X), Y ) )

with j = 4 and k = 8 of 12 layers. Blocks are BERT-sized (post-norm residuals around each step), of
`transformers`' Q-Former layer. Source: GAMA (EMNLP 2024), section 3.1.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

Wiring = Literal["paper", "release"]


class MultiLayerAggregator(nn.Module):
    """forward(features (B, 3, T, D), mask (B, T)) -> (B, T, D); the three are the last layer, j and k.

    wiring: "paper": the formula above. "release": the released code computes the cross-attention, then feeds
        the output of the self-attention to the feed-forward, so that no middle layer reaches the language
        model; it also hands k to the first block and j to the second. Kept to measure what that costs. The
        cross-attention and the norms of the middle layers then have weights but get no gradient.
    Middle layers pass a LayerNorm each, as in the release: they come from the residual stream, the last layer
    from behind the encoder's own norm.

    Raises ValueError on shapes that do not fit and, on CPU, on items whose mask is empty.
    """

    def __init__(
        self,
        width: int = 768,
        *,
        heads: int = 12,
        intermediate_size: int = 3072,
        dropout: float = 0.1,
        wiring: Wiring = "paper",
        initializer_range: float = 0.02,
    ) -> None:
        from transformers import Blip2QFormerConfig
        from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerLayer

        super().__init__()
        if wiring not in ("paper", "release"):
            raise ValueError(f"wiring must be 'paper' or 'release', got {wiring!r}")
        config = Blip2QFormerConfig(
            hidden_size=width,
            encoder_hidden_size=width,
            num_attention_heads=heads,
            intermediate_size=intermediate_size,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            cross_attention_frequency=1,
            attn_implementation="sdpa",
        )
        self.width, self.wiring = width, wiring
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))  # of j, of k
        self.blocks = nn.ModuleList(Blip2QFormerLayer(config, index) for index in range(2))
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=initializer_range)
                nn.init.zeros_(module.bias)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        seen = self._check(features, mask)
        states = features[:, 0]
        middle = [norm(features[:, 1 + index]) for index, norm in enumerate(self.norms)]
        for block, other in zip(self.blocks, middle if self.wiring == "paper" else middle[::-1]):
            states = self._block(block, states, other, seen)
        return states

    def _block(self, block: Any, states: Tensor, other: Tensor, seen: Tensor) -> Tensor:
        if self.wiring == "paper":
            return block(states, seen, other, encoder_attention_mask=seen, query_length=states.shape[1])
        return block.feed_forward_chunk_query(block.attention(states, seen))

    def _check(self, features: Tensor, mask: Tensor | None) -> Tensor:
        """(B, 1, 1, T) bool."""
        if features.ndim != 4 or features.shape[1] != 3 or features.shape[3] != self.width:
            raise ValueError(
                f"features must be (B, 3, T, {self.width}), the last layer and two middle ones, "
                f"got {tuple(features.shape)}"
            )
        batch, _, time, _ = features.shape
        if mask is None:
            mask = torch.ones(batch, time, dtype=torch.bool, device=features.device)
        if mask.shape != (batch, time):
            raise ValueError(f"mask {tuple(mask.shape)} does not go with features {tuple(features.shape)}")
        mask = mask.bool()
        if mask.device.type == "cpu" and not bool(mask.any(dim=1).all()):
            empty = torch.nonzero(~mask.any(dim=1)).flatten()[:8].tolist()
            raise ValueError(f"items {empty} of the batch have no frame at all: leave them out")
        return mask[:, None, None, :]

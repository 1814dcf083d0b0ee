"""The losses of CompA's three stages, from one batch: what is contrasted with what."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from core.losses.contrastive import Masking, hard_negative_loss, info_nce, modular_loss

Objective = Literal["contrastive", "hard_negatives", "modular"]


def compa_loss(
    model: nn.Module,
    batch: dict[str, Any],
    *,
    objective: Objective,
    normalise: bool = True,
    masking: Masking = "additive",
    neg_scope: Literal["own", "all"] = "own",
    neg_directions: Literal["a2t", "both"] = "a2t",
    positives_as: Literal["mean_logit", "mean_logprob"] = "mean_logit",
    gather: bool = True,
) -> dict[str, Tensor]:
    """One forward pass of both towers and the stage's loss.

    batch: `features` (B, C, T, F), `is_longer` (B, 1), `input_ids` and `attention_mask` (N, L) of all texts,
    the B captions first; `positives` (B, P) and `negatives` (B, K) index those texts, -1 is padding.
    """
    audio, texts, scale = model(
        batch["features"], batch["input_ids"], batch["attention_mask"], batch["is_longer"]
    )
    text = texts[: len(audio)]
    if objective == "contrastive":
        loss = info_nce(audio, text, logit_scale=scale, normalise=normalise, gather=gather)
        return {"loss": loss, "logit_scale": scale.detach()}
    negatives, negative_mask = _take(texts, batch["negatives"])
    if objective == "hard_negatives":
        loss = hard_negative_loss(
            audio,
            text,
            negatives,
            negative_mask=negative_mask,
            logit_scale=scale,
            neg_scope=neg_scope,
            neg_directions=neg_directions,
            masking=masking,
            normalise=normalise,
            gather=gather,
        )
    else:
        positives, positive_mask = _take(texts, batch["positives"])
        loss = modular_loss(
            audio,
            text,
            positives,
            negatives,
            positive_mask=positive_mask,
            negative_mask=negative_mask,
            logit_scale=scale,
            positives_as=positives_as,
            masking=masking,
            gather="all" if gather else "local",
            normalise=normalise,
        )
    return {"loss": loss, "logit_scale": scale.detach()}


def _take(texts: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (B, K, D) of the texts (N, D) and which of them are no padding (B, K)."""
    return texts[index.clamp(min=0)], index >= 0

"""Pre-training losses of a Q-Former between audio and text: contrastive, matching, grounded generation.

Their sum, each with weight 1, is BLIP-2's first stage (ICML 2023), which GAMA uses for audio (EMNLP 2024,
appendix E). Audios of one caption, which have the same caption id, are no negatives of each other: in a batch
of short captions the same one comes more than once.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from core.losses.contrastive import gather_rows

Scale = float | Tensor


class Contrast(NamedTuple):
    loss: Tensor  # scalar
    audio_to_text: Tensor  # (B, B_all) logits, -inf where a pair is no negative
    text_to_audio: Tensor


class Negatives(NamedTuple):
    columns: Tensor  # (B,) long, one drawn for each row
    found: Tensor  # (B,) bool, False where the batch holds nothing that could be a negative


class BridgingLosses(NamedTuple):
    loss: Tensor  # weighted sum
    contrastive: Tensor
    matching: Tensor
    generation: Tensor
    matching_accuracy: Tensor  # of the pairs of this batch; guessing "no" scores 2/3
    negatives: Tensor  # how many negative pairs matching had: 2 B unless captions repeat too much


class Bridge(Protocol):
    """What `bridging_losses` asks of a model; `core.adapters.qformer.AudioQFormer` is one."""

    @property
    def logit_scale(self) -> Tensor: ...
    def __call__(self, features: Tensor, mask: Tensor | None) -> Tensor: ...
    def audio_embeddings(self, queries: Tensor) -> Tensor: ...
    def text_embeddings(self, ids: Tensor, mask: Tensor) -> Tensor: ...
    def match_logits(
        self, features: Tensor, mask: Tensor | None, ids: Tensor, text_mask: Tensor
    ) -> Tensor: ...
    def next_token_logits(
        self, features: Tensor, mask: Tensor | None, ids: Tensor, text_mask: Tensor
    ) -> Tensor: ...


def bridging_losses(
    model: Bridge,
    features: Tensor,
    mask: Tensor | None,
    ids: Tensor,
    text_mask: Tensor,
    *,
    caption_ids: Tensor | None = None,
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
    label_smoothing: float = 0.1,
    gather: bool = True,
    generator: torch.Generator | None = None,
) -> BridgingLosses:
    """The three losses of one batch.

    features (B, T, D) with mask (B, T); ids, text_mask (B, L), text i of audio i, right-padded, beginning
    with a summary token. caption_ids (B,) long: equal for equal captions; by default taken from `ids`, which
    several processes cannot do. weights: of contrastive, matching, generation. generator: of the negatives
    (on the CPU); by default torch's own. gather: contrast with the captions of all processes; negatives of
    matching are always of the own process.
    Raises ValueError on fewer than two items and on what the losses below refuse.
    """
    if len(features) < 2:
        raise ValueError("a batch of one has no negatives: use a larger batch")
    if caption_ids is None:
        if gather and _world_size() > 1:
            raise ValueError("several processes need caption_ids that mean the same in all of them")
        caption_ids = same_captions(ids, text_mask)
    contrast = contrastive_loss(
        model.audio_embeddings(model(features, mask)),
        model.text_embeddings(ids, text_mask),
        logit_scale=model.logit_scale,
        caption_ids=caption_ids,
        label_smoothing=label_smoothing,
        gather=gather,
    )
    own = slice(_first_row(len(features), gather), _first_row(len(features), gather) + len(features))
    texts = hard_negatives(contrast.audio_to_text[:, own], caption_ids=caption_ids, generator=generator)
    audios = hard_negatives(contrast.text_to_audio[:, own], caption_ids=caption_ids, generator=generator)

    # The audio with its text, another audio with the text, the audio with another text: up to 3 B pairs.
    rows = torch.arange(len(features), device=features.device)
    audio_rows = torch.cat([rows, audios.columns[audios.found], rows[texts.found]])
    text_rows = torch.cat([rows, rows[audios.found], texts.columns[texts.found]])
    logits = model.match_logits(
        features[audio_rows],
        None if mask is None else mask[audio_rows],
        ids[text_rows],
        text_mask[text_rows],
    )
    matches = (torch.arange(len(logits), device=logits.device) < len(rows)).long()
    matching = F.cross_entropy(logits.float(), matches)
    generation = generation_loss(
        model.next_token_logits(features, mask, ids, text_mask),
        ids,
        text_mask,
        label_smoothing=label_smoothing,
    )
    loss = weights[0] * contrast.loss + weights[1] * matching + weights[2] * generation
    with torch.no_grad():
        accuracy = (logits.argmax(dim=1) == matches).float().mean()
    negatives = torch.tensor(len(logits) - len(rows), device=logits.device)
    return BridgingLosses(loss, contrast.loss, matching, generation, accuracy, negatives)


def contrastive_loss(
    queries: Tensor,
    text: Tensor,
    *,
    logit_scale: Scale,
    caption_ids: Tensor | None = None,
    label_smoothing: float = 0.1,
    gather: bool = True,
) -> Contrast:
    """Symmetric InfoNCE where an audio is as close to a text as the closest of its queries.

        s_ij = logit_scale max_q a_iq . t_j          loss = (CE(s, i) + CE(s^T, i)) / 2

    queries (B, Q, D), text (B, D), unit vectors. Columns j != i of the same caption id leave the
    denominators: they are -inf in the logits returned.
    label_smoothing e: target 1 - e on the pair plus e shared evenly by the columns that are left (as
    `F.cross_entropy` does where none is left out). gather: columns of all processes, whose batches must be of
    one shape; the loss is that of the own rows, so its mean over processes is that of the whole batch.
    Raises ValueError on shapes that do not fit. Sources: BLIP-2, section 3.2; GAMA, appendix E.
    """
    if queries.ndim != 3 or text.shape != (len(queries), queries.shape[2]):
        raise ValueError(
            f"queries must be (B, Q, D) and text (B, D), got {tuple(queries.shape)} and {tuple(text.shape)}"
        )
    batch = len(queries)
    with torch.autocast(device_type=text.device.type, enabled=False):
        # bfloat16 has steps of 0.5 where logits are
        queries, text = (
            x.float() if x.dtype in (torch.float16, torch.bfloat16) else x for x in (queries, text)
        )
        all_queries, all_text = (gather_rows(queries), gather_rows(text)) if gather else (queries, text)
        audio_to_text = logit_scale * torch.einsum("iqd,jd->ijq", queries, all_text).amax(dim=2)
        text_to_audio = logit_scale * torch.einsum("id,jqd->ijq", text, all_queries).amax(dim=2)

        targets = _first_row(batch, gather) + torch.arange(batch, device=text.device)
        if caption_ids is not None:
            if caption_ids.shape != (batch,):
                raise ValueError(f"caption_ids must be ({batch},), got {tuple(caption_ids.shape)}")
            everyones = gather_rows(caption_ids) if gather else caption_ids
            same = caption_ids[:, None] == everyones
            same[torch.arange(batch, device=text.device), targets] = False
            audio_to_text = audio_to_text.masked_fill(same, -math.inf)
            text_to_audio = text_to_audio.masked_fill(same, -math.inf)
        loss = (
            _smoothed(audio_to_text, targets, label_smoothing)
            + _smoothed(text_to_audio, targets, label_smoothing)
        ) / 2
    return Contrast(loss, audio_to_text, text_to_audio)


def hard_negatives(
    logits: Tensor, *, caption_ids: Tensor | None = None, generator: torch.Generator | None = None
) -> Negatives:
    """For each row of (B, B) logits a column drawn from their softmax, never the row's own or its caption's.

    Without gradient. Rows whose caption is the whole batch's have none: `found` is False there.
    generator: on the CPU, wherever the logits are, so that a seed means the same everywhere.
    """
    if logits.ndim != 2 or logits.shape[0] != logits.shape[1]:
        raise ValueError(f"logits must be (B, B), got {tuple(logits.shape)}")
    with torch.no_grad():
        banned = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        if caption_ids is not None:
            banned |= caption_ids[:, None] == caption_ids
        allowed = ~banned & (logits != -math.inf)
        found = allowed.any(dim=1)
        masked = logits.detach().float().masked_fill(~allowed, -math.inf)
        masked = masked.masked_fill(~found[:, None], 0.0)  # something to draw, thrown away
        columns = torch.multinomial(masked.softmax(dim=1).cpu(), 1, generator=generator).squeeze(1)
    return Negatives(columns.to(logits.device), found)


def generation_loss(logits: Tensor, ids: Tensor, mask: Tensor, *, label_smoothing: float = 0.1) -> Tensor:
    """Cross-entropy of each token after the first, from the logits one place before it; mean over tokens.

    logits (B, L, V), ids and mask (B, L). Raises ValueError on shapes that do not fit and, on CPU, where no
    text has two tokens (elsewhere the loss is then NaN).
    """
    if logits.ndim != 3 or logits.shape[:2] != ids.shape or mask.shape != ids.shape:
        raise ValueError(
            f"logits must be (B, L, V) with ids and mask (B, L), got {tuple(logits.shape)}, "
            f"{tuple(ids.shape)} and {tuple(mask.shape)}"
        )
    labels = ids[:, 1:].masked_fill(~mask[:, 1:].bool(), -100)
    if labels.device.type == "cpu" and not bool((labels != -100).any()):
        raise ValueError("no text has a second token: there is nothing to generate")
    return F.cross_entropy(
        logits[:, :-1].float().flatten(0, 1), labels.flatten(), label_smoothing=label_smoothing
    )


def same_captions(ids: Tensor, mask: Tensor) -> Tensor:
    """Ids (B,) of the distinct texts among right-padded (B, L) tokens: equal where the texts are.

    A number stands for a text within this batch only.
    """
    _, index = torch.unique(ids.masked_fill(~mask.bool(), -1), dim=0, return_inverse=True)
    return index


def _smoothed(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy with label smoothing over the columns that are not -inf."""
    logp = F.log_softmax(logits, dim=1)
    kept = logits != -math.inf
    hit = logp.gather(1, targets[:, None]).squeeze(1)
    even = logp.masked_fill(~kept, 0.0).sum(dim=1) / kept.sum(dim=1)
    return -((1 - smoothing) * hit + smoothing * even).mean()


def _first_row(batch: int, gather: bool) -> int:
    return dist.get_rank() * batch if gather and _world_size() > 1 else 0


def _world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1

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
    matching_accuracy: Tensor  # of the pairs; guessing "no" scores 2/3
    negatives: Tensor  # how many negative pairs matching had: 2 B a process unless captions repeat too much


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
    (on the CPU); by default torch's own, of several processes the first one's. gather: contrast and match
    with the captions of all processes; each loss is weighted so that its mean over processes is that over the
    pairs and tokens of all.
    Raises ValueError on fewer than two items and on what the losses below refuse.
    """
    if len(features) * (_world_size() if gather else 1) < 2:
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
    audios, texts = _pairs(contrast, caption_ids, generator=generator, gather=gather)
    all_ids, all_masks = _texts_of_all(ids, text_mask) if gather else (ids, text_mask)
    logits = model.match_logits(
        features[audios], None if mask is None else mask[audios], all_ids[texts], all_masks[texts]
    )
    matches = (torch.arange(len(logits), device=logits.device) < len(features)).long()
    pairs = torch.tensor(len(logits), device=logits.device)
    matching = _of_all(F.cross_entropy(logits.float(), matches), pairs, gather)
    generation = generation_loss(
        model.next_token_logits(features, mask, ids, text_mask),
        ids,
        text_mask,
        label_smoothing=label_smoothing,
    )
    generation = _of_all(generation, text_mask[:, 1:].sum(), gather)
    loss = weights[0] * contrast.loss + weights[1] * matching + weights[2] * generation
    with torch.no_grad():
        accuracy = _of_all((logits.argmax(dim=1) == matches).float().mean(), pairs, gather)
    return BridgingLosses(loss, contrast.loss, matching, generation, accuracy, pairs - len(features))


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


def _pairs(
    contrast: Contrast, caption_ids: Tensor, *, generator: torch.Generator | None, gather: bool
) -> tuple[Tensor, Tensor]:
    """Rows of the own audios, and of the texts of all processes beside them, the true pairs first.

    Up to 3 B pairs: the audio with its text, another audio with the text, the audio with another text. A pair
    belongs to the process that holds its audio: no features are sent, and a process may have more than 3 B.
    """
    batch, first = len(caption_ids), _first_row(len(caption_ids), gather)

    def everyones(x: Tensor) -> Tensor:
        return gather_rows(x) if gather else x

    captions = everyones(caption_ids)
    drawn = []
    for logits in (contrast.audio_to_text, contrast.text_to_audio):
        negatives = hard_negatives(everyones(logits.detach()), caption_ids=captions, generator=generator)
        if gather and _world_size() > 1:
            dist.broadcast(negatives.columns, src=0)
        drawn.append(negatives)
    texts, audios = drawn
    own = torch.arange(batch, device=caption_ids.device)
    told = texts.found[first : first + batch]
    mine = audios.found & (audios.columns >= first) & (audios.columns < first + batch)
    audio_rows = torch.cat([own, audios.columns[mine] - first, own[told]])
    text_rows = torch.cat(
        [own + first, mine.nonzero().squeeze(1), texts.columns[first : first + batch][told]]
    )
    return audio_rows, text_rows


def _texts_of_all(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Ids and masks (B, L) of all processes, padded to the longest text: (B_all, L_all)."""
    if _world_size() == 1:
        return ids, mask
    longest = torch.tensor(ids.shape[1], device=ids.device)
    dist.all_reduce(longest, dist.ReduceOp.MAX)
    missing = int(longest) - ids.shape[1]
    masks = gather_rows(F.pad(mask.to(torch.uint8), (0, missing)))
    return gather_rows(F.pad(ids, (0, missing))), masks.to(mask.dtype)


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


def _of_all(mean: Tensor, over: Tensor, gather: bool) -> Tensor:
    """A mean `over` so many terms, weighted: its mean over processes is the mean over the terms of all."""
    if not gather or _world_size() == 1:
        return mean
    total = over.clone()
    dist.all_reduce(total)
    return mean * (over * _world_size() / total)


def _first_row(batch: int, gather: bool) -> int:
    return dist.get_rank() * batch if gather and _world_size() > 1 else 0


def _world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1

"""The contrastive family between audio and text: InfoNCE, hard negatives, modular positives and negatives.

Every function takes embeddings, batch first, and returns one scalar. `logit_scale` is 1/sigma, the factor on
the cosine, not its logarithm. Equations follow CompA (ICLR 2024); where its released code departs from them,
the difference is an option whose default is the paper.

Several processes: embeddings are gathered with gradients, and each process computes the loss of its own rows
against all columns, O(B_local x B_global) memory. The *value* returned is the mean over processes, that is,
the loss of the whole batch. The *gradient* is that of the local share, and what flows back into gathered
embeddings is summed over processes; averaged over processes, as DistributedDataParallel does, it is exactly
the gradient of the whole batch, without any factor of the world size. All processes must hold
batches of the same number of rows, whose captions may differ in number.

Half-precision embeddings are raised to float32 and autocast is off inside: logits reach 100, where bfloat16
has steps of 0.5.
"""

import math
import warnings
from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from core.run.hardware import process_count

RELEASE_MASK = -1e5  # what CompA's release multiplies the logits of masked pairs with

Scale = float | Tensor
Masking = Literal["additive", "multiplicative"]


class EmbeddingsNotFinite(ValueError, FloatingPointError):
    """An embedding holds NaN or infinity; the message names the rows of the batch."""


def info_nce(
    audio: Tensor, text: Tensor, *, logit_scale: Scale, normalise: bool = True, gather: bool = True
) -> Tensor:
    """Symmetric InfoNCE: the mean of the audio-to-text and the text-to-audio cross-entropy.

        a2t_i = -s a_i.t_i + log sum_j exp(s a_i.t_j)
        t2a_i = -s t_i.a_i + log sum_j exp(s t_i.a_j)          loss = mean_i (a2t_i + t2a_i) / 2

    audio, text: (B, D), row i of one belongs to row i of the other. logit_scale s: number or 0-d tensor, > 0.
    gather: contrast with the rows of all processes (see the module's docstring).
    Raises ValueError on shapes that do not fit and, on CPU, EmbeddingsNotFinite. Source: CompA slides; CLAP.
    """
    _check_pair(audio, text, logit_scale)
    with _full_precision(audio):
        audio, text = _prepare(audio, normalise), _prepare(text, normalise)
        columns = _columns(audio, text, gather=gather)
        if len(columns.audio) == 1:
            warnings.warn("info_nce of one pair is 0 whatever the model: use a larger batch", stacklevel=2)
        a2t, t2a = logit_scale * audio @ columns.text.T, logit_scale * text @ columns.audio.T
        loss = (F.cross_entropy(a2t, columns.targets) + F.cross_entropy(t2a, columns.targets)) / 2
        return _mean_value(loss, gather)


def hard_negative_loss(
    audio: Tensor,
    text: Tensor,
    negatives: Tensor,
    *,
    logit_scale: Scale,
    negative_mask: Tensor | None = None,
    neg_scope: Literal["own", "all"] = "own",
    neg_directions: Literal["a2t", "both"] = "a2t",
    masking: Masking = "additive",
    normalise: bool = True,
    gather: bool = True,
) -> Tensor:
    """InfoNCE whose audio-to-text denominator also holds the audio's own K hard negatives (CompA, stage 2).

        a2t_i = -s a_i.t_i + log( sum_j exp(s a_i.t_j) + sum_k exp(s a_i.n_ik) )
        t2a_i = -s t_i.a_i + log   sum_j exp(s t_i.a_j)        loss = mean_i (a2t_i + t2a_i) / 2

    audio, text: (B, D). negatives: (B, K, D). negative_mask: (B, K) bool, False marks padding, None: none.
    neg_scope: "own": audio i sees its own negatives only, memory O(B^2 + BK). "all": every audio sees those
        of every sample, a (B, BK) matrix by nature.
    neg_directions: "both": the negative terms of a2t_i enter the denominator of t2a_i too.
    masking: "multiplicative": CompA's release multiplies the logits of other samples' negatives by -1e5
        instead of leaving them out, so that a pair of negative cosine becomes a huge logit. Kept to measure
        what it does; (B, BK) memory; padding is left out either way.
    K = 0 gives `info_nce`.
    Raises ValueError on shapes that do not fit and, on CPU, EmbeddingsNotFinite. Source: CompA slides.
    """
    _check_pair(audio, text, logit_scale)
    _check_choice("neg_scope", neg_scope, "own", "all")
    _check_choice("neg_directions", neg_directions, "a2t", "both")
    _check_choice("masking", masking, "additive", "multiplicative")
    if neg_scope == "all" and masking == "multiplicative":
        raise ValueError("neg_scope='all' masks no pair: masking='multiplicative' needs neg_scope='own'")
    negative_mask = _check_group("negatives", negatives, negative_mask, audio)
    with _full_precision(audio):
        audio, text, negatives = (_prepare(x, normalise) for x in (audio, text, negatives))
        columns = _columns(audio, text, gather=gather)
        if neg_scope == "own" and masking == "additive":
            extra = _own_logits(audio, negatives, negative_mask, logit_scale)
        else:
            factor = 1.0 if neg_scope == "all" else RELEASE_MASK
            extra = _all_logits(audio, negatives, negative_mask, logit_scale, factor=factor, gather=gather)
        a2t, t2a = logit_scale * audio @ columns.text.T, logit_scale * text @ columns.audio.T
        a2t = torch.cat([a2t, extra], dim=1)
        if neg_directions == "both":
            t2a = torch.cat([t2a, extra], dim=1)
        loss = (F.cross_entropy(a2t, columns.targets) + F.cross_entropy(t2a, columns.targets)) / 2
        return _mean_value(loss, gather)


def modular_loss(
    audio: Tensor,
    text: Tensor,
    positives: Tensor,
    negatives: Tensor,
    *,
    logit_scale: Scale,
    positive_mask: Tensor | None = None,
    negative_mask: Tensor | None = None,
    positives_as: Literal["mean_logit", "mean_logprob"] = "mean_logit",
    masking: Masking = "additive",
    gather: Literal["all", "local"] = "all",
    normalise: bool = True,
) -> Tensor:
    """Modular contrastive loss: audio i has P_i positive and N_i negative captions (CompA, stage 3).

    With m_i = (1/P_i) sum_k s a_i.p_ik, positives_as "mean_logit" is the paper's

        a2t_i = -m_i + log( sum_j exp(s a_i.t_j) + sum_k exp(s a_i.n_ik) )
        t2a_i = -m_i + log   sum_j exp(s t_i.a_j)              loss = mean_i (a2t_i + t2a_i) / 2

    (the numerator need not be a term of the denominator, so the loss may be negative); "mean_logprob" is the
    release's loss = (mean_i a2t_i + t2a) / 2 with

        a2t_i = mean over c in {t_i, p_i1, p_i2, ...} of -log( exp(s a_i.c) / Z_i ),
                Z_i = sum_j exp(s a_i.t_j) + sum_k exp(s a_i.p_ik) + sum_k exp(s a_i.n_ik)
        t2a   = mean over all captions and positives c of all i of -log( exp(s c.a_i) / sum_j exp(s c.a_j) )

    where an audio with more positives weighs more in t2a.

    audio, text: (B, D), text is the full caption. positives: (B, P, D), negatives: (B, N, D), padded; masks
        (B, P), (B, N) bool, False marks padding, None: none.
    "mean_logit" needs a positive in every row; pass the caption as a positive if it shall count as one.
        P = N = 0 with "mean_logprob" is `info_nce`.
    masking: as in `hard_negative_loss`; the release's also holds for other samples' positives.
    gather: "local": contrast within each process only, as the release does.
    Memory O(B^2 + B(P+N)); t2a of "mean_logprob" is (B, P, B) by nature.
    Raises ValueError on shapes that do not fit and, on CPU, on rows without a positive and
    EmbeddingsNotFinite; elsewhere, where a look would stall the queue, both make the loss NaN. Source: CompA
    slides and release.
    """
    _check_pair(audio, text, logit_scale)
    _check_choice("positives_as", positives_as, "mean_logit", "mean_logprob")
    _check_choice("masking", masking, "additive", "multiplicative")
    _check_choice("gather", gather, "all", "local")
    positive_mask = _check_group("positives", positives, positive_mask, audio)
    negative_mask = _check_group("negatives", negatives, negative_mask, audio)
    count = positive_mask.sum(dim=1)  # (B,)
    if positives_as == "mean_logit" and count.device.type == "cpu" and bool((count == 0).any()):
        raise ValueError(
            f"rows {torch.nonzero(count == 0).flatten()[:8].tolist()} of the batch have no positive caption: "
            "leave these samples out, or pass the caption itself as a positive"
        )
    everywhere = gather == "all"
    with _full_precision(audio):
        audio, text, positives, negatives = (
            _prepare(x, normalise) for x in (audio, text, positives, negatives)
        )
        columns = _columns(audio, text, gather=everywhere)
        a2t, t2a = logit_scale * audio @ columns.text.T, logit_scale * text @ columns.audio.T
        to_positives = logit_scale * torch.einsum("bd,bpd->bp", audio, positives)
        numerator = to_positives.masked_fill(~positive_mask, 0.0).sum(dim=1)  # (B,)

        extras, mask = negatives, negative_mask
        if positives_as == "mean_logprob":
            extras, mask = torch.cat([positives, extras], dim=1), torch.cat([positive_mask, mask], dim=1)
        if masking == "additive":
            extra = _own_logits(audio, extras, mask, logit_scale)
        else:
            extra = _all_logits(audio, extras, mask, logit_scale, factor=RELEASE_MASK, gather=everywhere)
        log_z = torch.logsumexp(torch.cat([a2t, extra], dim=1), dim=1)  # (B,)

        if positives_as == "mean_logit":
            mean = numerator / count
            per_item = (log_z - mean + torch.logsumexp(t2a, dim=1) - mean) / 2
            return _mean_value(per_item.mean(), everywhere)

        caption = a2t.gather(1, columns.targets[:, None]).squeeze(1)  # (B,)
        to_text = (log_z - (caption + numerator) / (count + 1)).mean()
        queries = logit_scale * torch.einsum("bpd,jd->bpj", positives, columns.audio)
        misses = (torch.logsumexp(queries, dim=2) - to_positives).masked_fill(~positive_mask, 0.0).sum()
        misses = misses + F.cross_entropy(t2a, columns.targets, reduction="sum")
        # divided by the mean number per process, so that the mean over processes is the mean over all queries
        to_audio = misses / _mean_value((count + 1).sum().to(misses.dtype), everywhere)
        return _mean_value((to_text + to_audio) / 2, everywhere)


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate (B, ...) of W processes to (W B, ...), by rank. Gradients flow back, summed over processes.

    The tensor itself where no process group is initialised. Every process must hold the same shape.
    """
    return rows if process_count() == 1 else _GatherRows.apply(rows)


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [
            torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(process_count())
        ]
        dist.all_gather(parts, rows.contiguous())
        ctx.rows = len(rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # all_reduce and a slice, because not every backend has reduce_scatter
        gradient = gradients[0].contiguous().clone()
        dist.all_reduce(gradient)
        return gradient.narrow(0, dist.get_rank() * ctx.rows, ctx.rows)


class _Columns(NamedTuple):
    audio: Tensor  # (B_all, D), of all processes
    text: Tensor
    targets: Tensor  # (B,), where the own rows stand among them


def _columns(audio: Tensor, text: Tensor, *, gather: bool) -> _Columns:
    targets = _first_row(audio, gather) + torch.arange(len(audio), device=audio.device)
    return (
        _Columns(gather_rows(audio), gather_rows(text), targets) if gather else _Columns(audio, text, targets)
    )


def _own_logits(audio: Tensor, captions: Tensor, mask: Tensor, scale: Scale) -> Tensor:
    """(B, D) audio with its own (B, K, D) captions: (B, K), -inf at padding."""
    return (scale * torch.einsum("bd,bkd->bk", audio, captions)).masked_fill(~mask, -math.inf)


def _all_logits(
    audio: Tensor, captions: Tensor, mask: Tensor, scale: Scale, *, factor: float, gather: bool
) -> Tensor:
    """(B, D) audio with the captions of every sample: (B, B_all K); those of other samples times `factor`."""
    everyones, valid = captions, mask
    if gather and process_count() > 1:
        # samples of another process may have more captions
        most = torch.tensor(captions.shape[1], device=captions.device)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        missing = int(most) - captions.shape[1]
        captions, mask = F.pad(captions, (0, 0, 0, missing)), F.pad(mask, (0, missing))
        everyones, valid = gather_rows(captions), gather_rows(mask.to(torch.uint8)).bool()
    logits = scale * audio @ everyones.flatten(0, 1).T
    if factor != 1.0:
        row = _first_row(audio, gather) + torch.arange(len(audio), device=audio.device)
        owner = torch.arange(len(everyones), device=audio.device).repeat_interleave(captions.shape[1])
        logits = torch.where(row[:, None] == owner, logits, logits * factor)
    return logits.masked_fill(~valid.flatten(), -math.inf)


def _mean_value(value: Tensor, gather: bool) -> Tensor:
    """`value` averaged over processes, with the gradient of the local value."""
    if not gather or process_count() == 1:
        return value
    mean = value.detach().clone()
    dist.all_reduce(mean)
    return value + (mean / process_count() - value.detach())


def _first_row(rows: Tensor, gather: bool) -> int:
    return dist.get_rank() * len(rows) if gather and process_count() > 1 else 0


def _full_precision(like: Tensor) -> torch.autocast:
    return torch.autocast(device_type=like.device.type, enabled=False)


def _prepare(x: Tensor, normalise: bool) -> Tensor:
    x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    return F.normalize(x, dim=-1) if normalise else x


def _check_pair(audio: Tensor, text: Tensor, scale: Scale) -> None:
    if audio.ndim != 2 or audio.shape != text.shape or len(audio) == 0:
        raise ValueError(
            "audio and text must be two (B, D) tensors of one shape with B > 0, got "
            f"{tuple(audio.shape)} and {tuple(text.shape)}"
        )
    _check_finite("audio", audio)
    _check_finite("text", text)
    if isinstance(scale, Tensor):
        if scale.ndim:
            raise ValueError(f"logit_scale must be a number or a 0-d tensor, got shape {tuple(scale.shape)}")
    elif not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"logit_scale is 1/sigma, not its logarithm: positive and finite, got {scale}")


def _check_group(name: str, group: Tensor, mask: Tensor | None, audio: Tensor) -> Tensor:
    batch, dim = audio.shape
    if group.ndim != 3 or group.shape[0] != batch or group.shape[2] != dim:
        raise ValueError(f"{name} must be ({batch}, K, {dim}) to go with audio, got {tuple(group.shape)}")
    if mask is None:
        mask = torch.ones(group.shape[:2], dtype=torch.bool, device=group.device)
    if mask.shape != group.shape[:2] or mask.dtype != torch.bool:
        raise ValueError(
            f"the mask of {name} must be bool (True: a real caption) of shape {tuple(group.shape[:2])}, got "
            f"{mask.dtype} of shape {tuple(mask.shape)}"
        )
    _check_finite(name, group)
    return mask


def _check_finite(name: str, x: Tensor) -> None:
    # reading a flag from an accelerator would stall its queue; there the loss turns NaN and training stops
    if x.device.type == "cpu" and not bool(torch.isfinite(x).all()):
        rows = torch.nonzero(~torch.isfinite(x.flatten(1)).all(dim=1)).flatten()[:8].tolist()
        raise EmbeddingsNotFinite(
            f"{name} embeddings are not finite in rows {rows} of the batch: look at these inputs, or lower "
            "the learning rate"
        )


def _check_choice(name: str, value: str, *allowed: str) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")

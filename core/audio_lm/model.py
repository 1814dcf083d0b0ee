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
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from core.adapters.aggregator import MultiLayerAggregator, Wiring
from core.adapters.lora import add_lora
from core.adapters.prefix_lm import AudioPrefixLM, Features, Prefix
from core.adapters.projector import LinearProjector, Projector
from core.adapters.qformer import AudioQFormer, QFormerShape
from core.adapters.soft_prompt import SoftPrompt, ensure_hint_token
from core.audio_lm.store import Store
from core.train.checkpoints import load_model
from core.train.weight_files import check_weights

BranchName = Literal[
    "qformer", "aggregator", "last_layer", "clap", "ast_linear", "clap_prefix", "listener", "window_qformer"
]
# what each branch hears, of the encoders in the store
HEARS: dict[str, tuple[str, ...]] = {
    "qformer": ("ast",),
    "aggregator": ("ast",),
    "last_layer": ("ast",),
    "clap": ("clap",),
    "ast_linear": ("ast",),
    "clap_prefix": ("clap",),
    "listener": ("listener",),
    "window_qformer": ("listener", "ast"),
}


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
    max_tokens: int = 108  # of instruction and answer (the release's cutoff_len)
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the frozen language model


@dataclass(frozen=True, kw_only=True)
class Row:
    """What must be known of a row before its weights can be loaded; part of `core.audio_lm.artefact`."""

    branches: tuple[BranchName, ...]
    bridge: Bridge
    soft_prompt: bool


def encoders_of(row: Row) -> list[str]:
    """The encoders whose features a row reads; the tagger's tags are always among them."""
    return sorted({encoder for branch in row.branches for encoder in HEARS[branch]} | {"tags"})


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


def make_branch(
    name: BranchName, bridge: Bridge, *, widths: Mapping[str, int], out_width: int, qformer: Path | None
) -> nn.Module:
    """A branch with fresh weights; `qformer` names the pre-trained Q-Former branch that GAMA starts from."""
    ast = widths.get("ast", 0)  # what no branch hears is not in the store
    both: dict[str, float] = {"scale": bridge.prefix_scale}
    if name == "qformer":
        former = AudioQFormer(replace(bridge.qformer, feature_size=ast))
        former.drop_text()
        branch = QFormerBranch(former, Projector(bridge.qformer.hidden_size, out_width, **both))
        if qformer is not None:
            load_model(branch, qformer)
        return branch
    if name == "aggregator":
        aggregator = MultiLayerAggregator(
            ast,
            heads=bridge.aggregator_heads,
            intermediate_size=bridge.aggregator_intermediate,
            dropout=bridge.dropout,
            wiring=bridge.wiring,
            initializer_range=bridge.initializer_range,
        )
        return AggregatorBranch(aggregator, Projector(ast, out_width, **both))
    if name == "last_layer":
        return LastLayerBranch(Projector(ast, out_width, **both))
    if name == "ast_linear":
        return LastLayerBranch(LinearProjector(ast, out_width, **both))
    if name == "listener":
        return LastLayerBranch(LinearProjector(widths["listener"], out_width, **both))
    if name == "clap":
        return LastLayerBranch(Projector(widths["clap"], out_width, **both))
    if name == "clap_prefix":
        return VectorBranch(widths["clap"], out_width, bridge.clap_tokens, scale=bridge.prefix_scale)
    former = AudioQFormer(replace(bridge.qformer, feature_size=widths["listener"] + ast, queries=1))
    former.drop_text()
    projector = LinearProjector(bridge.qformer.hidden_size, out_width, **both)
    return WindowBranch(former, projector, window=bridge.window)


def make_model(
    row: Row,
    *,
    widths: Mapping[str, int],
    lm: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    qformer: Path | None = None,
) -> AudioPrefixLM:
    """The language model, frozen, with LoRA beside it, the row's branches and soft prompt.

    qformer: the pre-trained branch, for a row that starts from it. All but the language model's own weights
    can be trained; which phase trains what is the caller's affair.
    """
    bridge = row.bridge
    width = lm.get_input_embeddings().weight.shape[1]
    for parameter in lm.parameters():
        parameter.requires_grad_(False)
    adapted = add_lora(
        lm,
        rank=bridge.lora_rank,
        alpha=bridge.lora_alpha,
        dropout=bridge.lora_dropout,
        targets=bridge.lora_targets,
    )
    made: dict[str, nn.Module] = {
        name: make_branch(name, bridge, widths=widths, out_width=width, qformer=qformer)
        for name in row.branches
    }
    prompt = None
    if row.soft_prompt:
        # between the embeddings that the model knows, so that the first steps see nothing strange
        start = lm.get_input_embeddings().weight.detach().float().mean(dim=0)
        prompt = SoftPrompt(width, hint_id=ensure_hint_token(tokenizer), start=start)
    return AudioPrefixLM(adapted, made, soft_prompt=prompt)


def load_language_model(
    folder: Path, *, dtype: str = "float32"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model and its tokenizer, with `<hint>` as a token of its own; nothing is fetched."""
    check_weights(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    ensure_hint_token(tokenizer)
    lm = AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, dtype=getattr(torch, dtype), attn_implementation="sdpa"
    )
    if len(tokenizer) > lm.get_input_embeddings().weight.shape[0]:
        lm.resize_token_embeddings(len(tokenizer))
    return lm, tokenizer


def hear(store: Store, branches: Sequence[str], audios: Sequence[str]) -> dict[str, Features]:
    """The features that each branch wants, for a batch of audios."""
    return of_branches({e: store.read(e, audios) for b in branches for e in HEARS[b]}, branches)


def of_branches(read: Mapping[str, Features], branches: Sequence[str]) -> dict[str, Features]:
    """What each branch wants, of what the encoders heard: (B, T, D), or (B, L, T, D) of several layers."""
    found: dict[str, Features] = {}
    for branch in branches:
        first, *others = (read[encoder] for encoder in HEARS[branch])
        for other in others:  # brought to the time axis of the first by repeating or leaving out steps
            last = other.values[:, 0] if other.values.ndim == 4 else other.values
            # by each item's own lengths, so that the batch's padding changes nothing
            steps, wanted = other.mask.sum(dim=1, keepdim=True), first.mask.sum(dim=1, keepdim=True)
            at = (torch.arange(first.values.shape[1]) * steps // wanted).clamp(max=last.shape[1] - 1)
            aligned = last.gather(1, at[..., None].expand(-1, -1, last.shape[2]))
            first = Features(torch.cat([first.values, aligned], dim=2), first.mask)
        found[branch] = first
    return found

"""What an audio language model is built of, and the model: branches, a frozen language model, LoRA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from core.adapters.lora import add_lora
from core.adapters.prefix_lm import AudioPrefixLM, Features
from core.adapters.soft_prompt import SoftPrompt, ensure_hint_token
from core.audio_lm.branches import BRANCHES, Branch, Bridge, encoders_of, make_branch, of_branches
from core.audio_lm.encoders import TAGS
from core.audio_lm.features import Store
from core.encoders.strict import WeightsError, complaint_of_loading
from core.train.checkpoints import load_model
from core.train.weight_files import check_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What must be known of a model before its weights can be loaded; part of `core.audio_lm.artefact`.

    connects: how audio reaches the language model; a prefix precedes the text. prompt: the format
    of core.audio_lm.turns.
    """

    branches: tuple[str, ...]
    bridge: Bridge
    soft_prompt: bool
    connects: Literal["prefix"] = "prefix"
    prompt: Literal["alpaca", "plain", "chatml"] = "alpaca"


def heard_by(architecture: Architecture, branches: Mapping[str, Branch] = BRANCHES) -> list[str]:
    """The encoders that a model hears; the tagger's tags are among them where there is a soft prompt."""
    hinted = {TAGS} if architecture.soft_prompt else set()
    return sorted(encoders_of(architecture.branches, branches) | hinted)


def make_model(
    architecture: Architecture,
    *,
    widths: Mapping[str, int],
    lm: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    starts: Mapping[str, Path] | None = None,
    branches: Mapping[str, Branch] = BRANCHES,
) -> AudioPrefixLM:
    """The language model, frozen, with LoRA beside it, the branches and the soft prompt.

    widths: encoder -> D. starts: branch -> the file of weights that it starts from. All but the language
    model's own weights can be trained; which phase trains what is the caller's affair. Raises BranchError.
    """
    bridge = architecture.bridge
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
    made: dict[str, nn.Module] = {}
    for name in architecture.branches:
        made[name] = make_branch(name, bridge, widths=widths, out_width=width, branches=branches)
        if starts and name in starts:
            load_model(made[name], starts[name])
    prompt = None
    if architecture.soft_prompt:
        # between the embeddings that the model knows, so that the first steps see nothing strange
        start = lm.get_input_embeddings().weight.detach().float().mean(dim=0)
        prompt = SoftPrompt(width, hint_id=ensure_hint_token(tokenizer), start=start)
    return AudioPrefixLM(adapted, made, soft_prompt=prompt)


def load_language_model(
    folder: Path, *, dtype: str = "float32"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model, public or trained here, and its tokenizer, with `<hint>` as one token.

    A tokenizer without a padding token (LLaMA's) pads with the end token, which attention masks hide. Nothing
    is fetched. Raises FileNotFoundError, WeightFileError, WeightsError for weights of another model.
    """
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"no language model in {folder}: run shared_data.language_model first")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    check_weights(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    ensure_hint_token(tokenizer)
    lm, info = AutoModelForCausalLM.from_pretrained(
        folder,
        local_files_only=True,
        trust_remote_code=False,
        dtype=getattr(torch, dtype),
        attn_implementation="sdpa",
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # so that they are told
    )
    if (what := complaint_of_loading({**info, "unexpected_keys": ()}, origin=str(folder))) is not None:
        raise WeightsError(what)
    if len(tokenizer) > lm.get_input_embeddings().weight.shape[0]:
        lm.resize_token_embeddings(len(tokenizer))
    return lm, tokenizer


def read_features(
    store: Store, names: Sequence[str], audios: Sequence[str], branches: Mapping[str, Branch] = BRANCHES
) -> dict[str, Features]:
    """The features that each of the named branches wants, for a batch of audios."""
    heard = {encoder: store.read(encoder, audios) for encoder in sorted(encoders_of(names, branches))}
    return of_branches(heard, names, branches)

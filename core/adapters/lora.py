"""Low-rank adaptation of a language model through peft, and how many parameters each part trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from torch import nn

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


class Count(NamedTuple):
    trainable: int
    total: int


def add_lora(
    model: PreTrainedModel,
    *,
    rank: int = 8,
    alpha: float = 16,
    dropout: float = 0.05,
    targets: Sequence[str] = ("q_proj", "v_proj"),
) -> PeftModel:
    """Freeze `model` and add trainable updates (alpha / rank) B A to its layers named `targets`.

    The matrices B start at 0: the output is at first that of `model`, whose layers are replaced in place.

    Raises:
        ValueError: a target that no layer of the model is named after, or weights that are adapted already.
    Source: LoRA (ICLR 2022); GAMA's settings are the defaults (4.2 M parameters on LLaMA-2-7B).
    """
    from peft import LoraConfig, PeftModel, get_peft_model  # seconds: only a row that needs it pays
    from transformers.pytorch_utils import Conv1D

    if isinstance(model, PeftModel) or any("lora_" in name for name, _ in model.named_parameters()):
        raise ValueError("this model has LoRA weights already: merge them before adding others")
    layers = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    if not targets or not set(targets) <= layers:
        raise ValueError(
            f"LoRA targets {sorted(set(targets) - layers) or '(none given)'} name no layer of "
            f"{type(model).__name__}; its layers are {sorted(x for x in layers if x and not x.isdigit())}"
        )
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=list(targets),
        bias="none",
        # GPT-2's layers hold their weights transposed
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def merge(model: PeftModel) -> PreTrainedModel:
    """The plain model with the updates added to its weights: the same outputs (in eval mode), no overhead."""
    return model.merge_and_unload(safe_merge=True)


def trainable_names(model: nn.Module) -> list[str]:
    """Names of the parameters that a training step may change, sorted."""
    return sorted(name for name, value in model.named_parameters() if value.requires_grad)


def count_parameters(model: nn.Module, *, depth: int = 1) -> dict[str, Count]:
    """Trainable and all parameters by part; a part is the first `depth` words of a name, LoRA is its own.

    Shared parameters count once. The parts add up to the model.
    """
    counts: dict[str, Count] = {}
    for name, value in model.named_parameters():
        part = "lora" if "lora_" in name else ".".join(name.split(".")[:-1][:depth]) or name
        before = counts.get(part, Count(0, 0))
        size = value.numel()
        counts[part] = Count(before.trainable + size * value.requires_grad, before.total + size)
    return counts

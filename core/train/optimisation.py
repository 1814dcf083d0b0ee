"""How weights are optimised: options, what is trained, what is computed twice, learning rate, optimiser."""

import contextlib
import difflib
import fnmatch
import functools
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from core.train.muon import Muon

# options that leave the weights as they are, so that a resume may change them
FREE_TO_CHANGE = frozenset(
    {"log_every", "evaluate_every", "checkpoint_every", "keep", "gradient_checkpointing"}
)


class TrainingError(ValueError):
    """Options, parameters or batches that cannot be trained with."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How to optimise. A step is one update of the weights, from `accumulation` batches of each process."""

    steps: int
    learning_rate: float  # the peak
    warmup_steps: int = 0
    schedule: Literal["cosine", "linear", "constant"] = "cosine"  # after the warm-up
    end_learning_rate: float = 0.0  # where cosine and linear end
    optimizer: Literal["adam", "adamw", "muon"] = "adamw"
    weight_decay: float = 0.0  # of parameters with two or more dimensions
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    gradient_clip: float | None = None  # largest norm of the whole gradient
    # batches of each process that make a step. They equal one larger batch where the loss is a mean over
    # items, or a core.train.terms.Mean over other terms: not where it contrasts
    accumulation: int = 1
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    # layers of transformers' models are computed again in the backward pass: a third more time, a fraction of
    # the memory, the same result. For a language model of billions of weights, frozen or not
    gradient_checkpointing: bool = False
    trainable: tuple[str, ...] = ("*",)  # globs over parameter names; what the caller froze stays frozen
    evaluate_every: int = 0  # steps; 0: at the end only
    checkpoint_every: int = 0  # steps; 0: at the end and when stopped only
    keep: int = 2  # checkpoints
    best_metric: str | None = None  # a key of what `evaluate` returns
    best_is: Literal["max", "min"] = "max"
    log_every: int = 10  # steps; where several processes also agree to stop
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"steps": 1, "warmup_steps": 0, "accumulation": 1, "evaluate_every": 0, "checkpoint_every": 0}
        for name, low in (least | {"keep": 1, "log_every": 1}).items():
            if getattr(self, name) < low:
                raise TrainingError(f"{name} must be at least {low}, got {getattr(self, name)}")
        if self.warmup_steps > self.steps:
            raise TrainingError(f"warmup_steps ({self.warmup_steps}) exceeds steps ({self.steps})")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise TrainingError(f"learning_rate must be positive and finite, got {self.learning_rate}")
        if not 0 <= self.end_learning_rate <= self.learning_rate:
            raise TrainingError(
                f"end_learning_rate must lie between 0 and learning_rate, got {self.end_learning_rate}"
            )
        if self.gradient_clip is not None and not self.gradient_clip > 0:
            raise TrainingError(
                f"gradient_clip must be positive, or None for no clipping, got {self.gradient_clip}"
            )


def learning_rate(step: int, options: TrainingOptions) -> float:
    """Rate of the update after `step` done ones: linear warm-up from peak/warmup_steps, then the schedule."""
    if step < options.warmup_steps:
        return options.learning_rate * (step + 1) / options.warmup_steps
    done = (step - options.warmup_steps) / max(options.steps - options.warmup_steps, 1)
    factors = {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}
    end = options.end_learning_rate
    return end + (options.learning_rate - end) * factors[options.schedule]


def freeze_all_but(model: nn.Module, globs: tuple[str, ...]) -> list[nn.Parameter]:
    """Freeze the parameters that no glob matches; those frozen now are returned, to be given back."""
    parameters = dict(model.named_parameters())
    for glob in globs:
        if not fnmatch.filter(parameters, glob):
            near = ", ".join(difflib.get_close_matches(glob, parameters, n=5, cutoff=0.0))
            raise TrainingError(
                f"trainable: {glob!r} matches none of {len(parameters)} parameters; nearest: {near}"
            )
    trained = [
        name
        for name, p in parameters.items()
        if p.requires_grad and any(fnmatch.filter([name], g) for g in globs)
    ]
    if not trained:
        raise TrainingError(
            f"trainable {list(globs)} leaves nothing to train: none given, or all that match are frozen; "
            "parameters: " + ", ".join(list(parameters)[:20])
        )
    frozen = [p for name, p in parameters.items() if p.requires_grad and name not in set(trained)]
    for parameter in frozen:
        parameter.requires_grad_(False)
    return frozen


@contextlib.contextmanager
def recomputing(model: nn.Module, *, active: bool) -> Iterator[None]:
    """Within the block, where `active`, layers of transformers' models in `model` keep no activations.

    Raises TrainingError where `model` has no such layer.
    """
    layers: list[Any] = []
    if active:
        from transformers.modeling_layers import GradientCheckpointingLayer  # seconds

        layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
        if not layers:
            raise TrainingError(
                f"gradient_checkpointing: no part of {type(model).__name__} is a layer of transformers that "
                "can be computed again; leave the option out"
            )
    for layer in layers:
        # set here, not by the model's own method: that makes gradients of all embeddings, which are needed
        # with reentrance only, and keeps to it afterwards
        layer.gradient_checkpointing = True
        layer._gradient_checkpointing_func = functools.partial(checkpoint, use_reentrant=False)
    try:
        yield
    finally:
        for layer in layers:
            layer.gradient_checkpointing = False


def make_optimizer(
    trained: list[nn.Parameter], options: TrainingOptions, *, embeddings: Collection[Tensor] = ()
) -> torch.optim.Optimizer:
    """Adam (decay in the gradient) or AdamW (decay apart from it), fused where that exists, or Muon.

    embeddings: matrices that Muon leaves to Adam (`embeddings_of`).
    """
    if options.optimizer == "muon":
        apart = {id(p) for p in embeddings}
        matrices = [p for p in trained if p.ndim == 2 and id(p) not in apart]
        chosen = {id(p) for p in matrices}
        return Muon(
            matrices,
            [p for p in trained if id(p) not in chosen],
            lr=options.learning_rate,
            betas=options.betas,
            eps=options.eps,
            weight_decay=options.weight_decay,
        )
    groups: list[dict[str, Any]] = [{"params": trained, "weight_decay": 0.0}]
    if options.weight_decay:
        groups[0]["params"] = [p for p in trained if p.ndim < 2]
        groups.append({"params": [p for p in trained if p.ndim >= 2], "weight_decay": options.weight_decay})
    make = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[options.optimizer]
    return make(
        [group for group in groups if group["params"]],
        lr=options.learning_rate,
        betas=options.betas,
        eps=options.eps,
        fused=trained[0].device.type in ("cpu", "cuda"),
    )


def embeddings_of(model: nn.Module) -> list[Tensor]:
    """The tables of vectors in a model, and layers that share one."""
    return [module.weight for module in model.modules() if isinstance(module, nn.Embedding)]

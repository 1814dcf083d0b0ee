"""The parts of one training and where it stands, which the loop, the update and the checkpoints share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from core.train.history import Clock
from core.train.optimisation import TrainingOptions
from core.train.terms import Terms

Batch = (
    Any  # what the source yields and the loss understands; a mapping with "ids" lets errors name the items
)
BatchSource = Callable[[int], Iterator[Batch]]
LossFunction = Callable[[nn.Module, Batch], Terms]


class LossNotFinite(ValueError):
    """The loss, or a weight, became NaN or infinite. No checkpoint was written since."""


@dataclass(frozen=True, kw_only=True)
class Pending:
    """Values of a step that may still be on the device, with the ids of its batches.

    counts: of those that are means over terms; their values are sums then.
    """

    step: int
    values: dict[str, Tensor]
    counts: dict[str, Tensor]
    ids: list[Any]


@dataclass(kw_only=True)
class Run:
    """The parts of one `fit`, and where it stands."""

    model: nn.Module
    wrapped: nn.Module  # `model` as accelerate prepared it
    optimizer: torch.optim.Optimizer
    trained: list[nn.Parameter]
    accelerator: Accelerator
    options: TrainingOptions
    folder: Path
    configuration: dict[str, Any]  # what a checkpoint must agree with
    buffers: dict[str, int]  # checksums of the buffers at the start
    step: int = 0  # steps done
    saved: int = -1  # step of the newest checkpoint
    best: float | None = None
    window: list[dict[str, float]] = field(default_factory=list)  # steps since the last log point
    pending: list[Pending] = field(default_factory=list)  # the later ones of them
    clock: Clock = field(default_factory=Clock)

"""Processes, device and precision of a training: accelerate's, and what it was asked for in vain."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from core.train.optimisation import TrainingError, TrainingOptions

# what `accelerate launch` and its configuration file say by variables -> what it is
UNKNOWN = {
    "ACCELERATE_USE_FSDP": "FSDP (sharded weights)",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism configuration (tensor, context or sharded)",
}


def make_accelerator(options: TrainingOptions) -> Accelerator:
    """Accelerate's view of the processes that were launched, in the precision of `options`.

    Raises TrainingError as `check_launch`, and where accelerate does not see all processes.
    """
    check_launch(options)
    AcceleratorState._reset_state()  # else a second fit in this process could not choose another precision
    # accelerate looks for several processes on CPU only where it is told that it is CPU
    cpu = not torch.accelerator.is_available()
    accelerator = Accelerator(mixed_precision=options.mixed_precision, cpu=cpu)
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched != accelerator.num_processes:
        raise TrainingError(
            f"{launched} processes were launched but accelerate counts {accelerator.num_processes}: on "
            "CPU, ask for accelerate.PartialState() within the source of batches, not before `fit`"
        )
    return accelerator


def check_launch(options: TrainingOptions, environment: Mapping[str, str] = os.environ) -> None:
    """Raise TrainingError for what accelerate was told and this training would not do.

    It would say nothing: the training would run without, or in another precision than its options say. The
    precision "no" and one step of accumulation are what `accelerate launch` says where nobody asked.
    """
    asked = {name: environment.get(name, "").strip().lower() for name in UNKNOWN}
    if found := [
        what for name, what in UNKNOWN.items() if asked[name] in ("1", "true", "yes", "on", "y", "t")
    ]:
        raise TrainingError(
            f"accelerate was asked for {' and '.join(found)}, which trainings here do not know: processes "
            "are data parallel and each holds the whole model. Launch with `accelerate launch --multi_gpu` "
            "and without that configuration; to save memory see gradient_checkpointing and accumulation of "
            "the training's options, and the dtype of the language model"
        )
    compiler = environment.get("ACCELERATE_DYNAMO_BACKEND", "").strip().lower()
    if compiler not in ("", "no"):
        raise TrainingError(
            f"accelerate was asked to compile the model ({compiler}), which trainings here do not: launch "
            "with --dynamo_backend no"
        )
    said = {
        "mixed_precision": ("ACCELERATE_MIXED_PRECISION", "no"),
        "accumulation": ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1"),
    }
    for option, (name, unsaid) in said.items():
        value, ours = environment.get(name, "").strip().lower(), str(getattr(options, option))
        if value not in ("", unsaid, ours):
            raise TrainingError(
                f"accelerate was asked for {option} {value} ({name}) but the training's options say {ours}: "
                f"set {option} in the stage's configuration, which counts, and leave it out of accelerate's"
            )

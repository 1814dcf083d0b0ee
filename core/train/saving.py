"""What a training keeps on disk: checkpoints of what it changes, the best evaluation's, and the way back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn

from core.train.checkpoints import (
    CheckpointError,
    checksum,
    commit_checkpoint,
    describe_differences,
    draft_path,
    latest_checkpoint,
    load_parts,
    persistent_buffers,
    random_state,
    save_parts,
    save_tensors,
    set_random_state,
    writing,
)
from core.train.optimisation import FREE_TO_CHANGE, TrainingError, TrainingOptions
from core.train.state import LossNotFinite, Run


def configuration_of(model: nn.Module, options: TrainingOptions, *, processes: int) -> dict[str, Any]:
    """What a checkpoint must agree with: options that change the weights, number of processes, parameters.

    Frozen weights are not in it, so their checksums are.
    """
    values: dict[str, Any] = {k: v for k, v in asdict(options).items() if k not in FREE_TO_CHANGE}
    values["processes"] = processes
    for name, p in model.named_parameters():
        kind = "trained" if p.requires_grad else f"frozen, sum {checksum(p)}"
        values[f"parameter {name}"] = f"{tuple(p.shape)} {kind}"
    return dict(json.loads(json.dumps(values)))  # as it will be read back


def save(run: Run) -> None:
    """Write the checkpoint of this step: the first process does, with the random states of all."""
    accelerator, main = run.accelerator, run.accelerator.is_main_process
    if run.saved == run.step:
        return
    if not all(bool(p.isfinite().all()) for p in run.trained):
        raise LossNotFinite(
            f"the loss was finite but after step {run.step} weights are not: a gradient overflowed. Lower "
            "the learning rate or set gradient_clip; the checkpoints are from before"
        )
    draft = draft_path(run.folder, run.step)
    states = gather_object([random_state()])
    if main:
        with writing(draft):
            draft.mkdir()
            save_parts(_changed(run), draft / "model.safetensors")
            scaler = None if accelerator.scaler is None else accelerator.scaler.state_dict()
            save_tensors({"optimizer": run.optimizer.state_dict(), "scaler": scaler}, draft / "optimizer.pt")
            state = {
                "step": run.step,
                "best": run.best,
                "window": run.window,
                "configuration": run.configuration,
            }
            (draft / "state.json").write_text(json.dumps(state, indent=1))
            for number, random in enumerate(states):
                save_tensors(random, draft / f"random_{number}.pt")
            commit_checkpoint(draft, keep=run.options.keep)
    accelerator.wait_for_everyone()
    run.saved = run.step


def resume(run: Run) -> None:
    """Load the newest whole checkpoint, if there is one."""
    accelerator = run.accelerator
    checkpoint = _from_first(run)
    if checkpoint is None:
        return
    state = json.loads((checkpoint / "state.json").read_text())
    difference = describe_differences(state["configuration"], run.configuration)
    if difference:
        raise CheckpointError(
            f"{checkpoint} was made by another configuration ({difference}): train into another folder, or "
            f"delete {run.folder}"
        )
    load_parts(run.model, checkpoint / "model.safetensors")
    saved = torch.load(checkpoint / "optimizer.pt", map_location="cpu", weights_only=True)
    run.optimizer.load_state_dict(saved["optimizer"])
    if accelerator.scaler is not None:
        accelerator.scaler.load_state_dict(saved["scaler"])
    set_random_state(torch.load(checkpoint / f"random_{accelerator.process_index}.pt", weights_only=True))
    run.step = run.saved = state["step"]
    run.best, run.window = state["best"], state["window"]


def _from_first(run: Run) -> Path | None:
    """The checkpoint that the first process found; where all are damaged, every process says so."""
    found: list[Any] = [None, ""]
    if run.accelerator.is_main_process:
        try:
            found[0] = latest_checkpoint(run.folder)
        except CheckpointError as error:
            found[1] = str(error)
    checkpoint, problem = broadcast_object_list(found)
    if problem:
        raise CheckpointError(problem)
    return Path(checkpoint) if checkpoint else None


def keep_best(run: Run, metrics: Mapping[str, float]) -> None:
    name, sign = run.options.best_metric, 1 if run.options.best_is == "max" else -1
    if name is None:
        return
    if name not in metrics:
        raise TrainingError(f"best_metric {name!r} is not among what evaluate returned: {', '.join(metrics)}")
    if run.best is None or sign * metrics[name] > sign * run.best:
        run.best = metrics[name]
        if run.accelerator.is_main_process:
            save_parts(_changed(run), run.folder / "best" / "model.safetensors")


def _changed(run: Run) -> dict[str, Tensor]:
    """What training changes: the trained weights, and buffers that are not as at the start."""
    weights = {name: p for name, p in run.model.named_parameters() if p.requires_grad}
    buffers = persistent_buffers(run.model)
    return weights | {name: x for name, x in buffers.items() if checksum(x) != run.buffers.get(name)}

"""One update of the weights from the batches of all processes, and the values that are logged of it.

A loss that is a plain number is averaged over the batches of a step. One that is a `Mean` is averaged over
the terms of all of them: each batch weighs by its number of terms, so that how a step's items are dealt out
to processes and to batches one after the other changes nothing.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from core.train.optimisation import TrainingError
from core.train.state import Batch, LossFunction, LossNotFinite, Pending, Run
from core.train.terms import Mean, Terms


def update(run: Run, source: Iterator[Batch], loss: LossFunction) -> None:
    """One update of the weights. Values stay on the device; on CPU, where it is free, they are looked at."""
    options, accelerator = run.options, run.accelerator
    scaler = accelerator.scaler  # of gradients, for fp16; accelerate's own backward and step cost 0.7 ms more
    step = Pending(step=run.step, values={}, counts={}, ids=[])
    planned: Tensor | None = None
    for part in range(options.accumulation):
        batch = _next_batch(run, source, step)
        final = part == options.accumulation - 1
        with contextlib.nullcontext() if final else accelerator.no_sync(run.wrapped):
            terms = _terms(run, loss, batch, step)
            loss_here = terms["loss"]
            if isinstance(loss_here, Mean) and planned is None and not _alone(run):
                planned = _planned(run, loss_here)
            share = _share(run, loss_here, planned)
            (share if scaler is None else scaler.scale(share)).backward()
        _add(step, terms, alone=_alone(run), device=accelerator.device)
    for key in step.values.keys() - step.counts.keys() if options.accumulation > 1 else ():
        step.values[key] = step.values[key] / options.accumulation
    if planned is not None and options.accumulation > 1:
        _correct(run, planned, step.counts["loss"])
    if options.gradient_clip is not None:
        if scaler is not None:
            scaler.unscale_(run.optimizer)
        step.values["gradient_norm"] = nn.utils.clip_grad_norm_(run.trained, options.gradient_clip)
    if scaler is None:
        run.optimizer.step()
    else:
        scaler.step(run.optimizer)  # leaves out a step whose gradients overflowed
        scaler.update()
    run.optimizer.zero_grad()
    _share_statistics(run)
    run.pending.append(step)


def settle(run: Run) -> None:
    """Bring values of pending steps to the host, as means over processes; check that losses are finite."""
    if not run.pending:
        return
    keys = list(run.pending[0].values)
    table = torch.stack([torch.stack([of.values[key].float() for key in keys]) for of in run.pending])
    counts = torch.ones_like(table)
    for row, of in zip(counts, run.pending, strict=True):
        for key, count in of.counts.items():
            row[keys.index(key)] = count
    here = (table / counts)[:, keys.index("loss")].tolist()
    means = (run.accelerator.reduce(table, "mean") / run.accelerator.reduce(counts, "mean")).tolist()
    for of, own, row in zip(run.pending, here, means, strict=True):
        values = dict(zip(keys, row, strict=True))
        if not math.isfinite(values["loss"]):
            raise _not_finite(f"the loss is {values['loss']}", of.step, [] if math.isfinite(own) else of.ids)
        run.window.append(values)
    run.pending.clear()


def window_means(window: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each value, leaving out what is not finite: the norm of a step that fp16 skipped."""
    columns = {key: [values[key] for values in window if math.isfinite(values[key])] for key in window[0]}
    return {key: sum(column) / len(column) for key, column in columns.items() if column}


def _next_batch(run: Run, source: Iterator[Batch], step: Pending) -> Batch:
    with run.clock.waiting():
        batch = next(source, None)
    if batch is None:
        raise TrainingError(
            f"the source of batches ended in step {run.step} of {run.options.steps}: it must not end"
        )
    run.clock.count(items=_count_items(batch))
    step.ids.append(batch.get("ids") if isinstance(batch, Mapping) else None)
    return send_to_device(batch, run.accelerator.device, non_blocking=True)


def _terms(run: Run, loss: LossFunction, batch: Batch, step: Pending) -> Terms:
    """What the loss returns of a batch. Raises LossNotFinite for what can be seen at once."""
    try:
        with run.accelerator.autocast():
            terms = loss(run.wrapped, batch)
    except FloatingPointError as error:
        raise _not_finite(str(error), run.step, step.ids[-1:]) from error
    found = terms["loss"]
    value = found.value if isinstance(found, Mean) else found
    seen = value.device.type == "cpu"
    # a batch of no terms has no mean: where others make up the step, it counts for nothing
    if seen and isinstance(found, Mean) and not _alone(run) and not bool(found.over):
        seen = False
    if seen and not math.isfinite(value.item()):
        raise _not_finite(f"the loss is {value.item()}", run.step, step.ids[-1:])
    return terms


def _alone(run: Run) -> bool:
    """Whether a batch is the whole step: then its means are the step's, to the bit."""
    return run.options.accumulation * run.accelerator.num_processes == 1


def _planned(run: Run, first: Mean) -> Tensor:
    """The terms of a step, if the others of its batches had as many as the first of each process.

    How many they really have is known after the last one only. A guess near by keeps the gradients in the
    range of fp16 until `_correct`.
    """
    count = run.accelerator.reduce(first.over.detach().float(), "sum")
    return count.clamp(min=1) * run.options.accumulation


def _share(run: Run, loss: Tensor | Mean, planned: Tensor | None) -> Tensor:
    """What a batch adds to the loss of its step, which processes average."""
    if not isinstance(loss, Mean):
        return loss if run.options.accumulation == 1 else loss / run.options.accumulation
    if planned is None:
        return loss.value
    weight = loss.over.detach() * (run.accelerator.num_processes / planned)
    return torch.where(loss.over > 0, loss.value, 0.0) * weight


def _correct(run: Run, planned: Tensor, count: Tensor) -> None:
    """Divide gradients by the step's number of terms in place of the planned one."""
    factor = planned / run.accelerator.reduce(count, "sum").clamp(min=1)
    for parameter in run.trained:
        if parameter.grad is not None:
            parameter.grad.mul_(factor)


def _add(step: Pending, terms: Terms, *, alone: bool, device: torch.device) -> None:
    """Add a batch's values to those of its step; a mean over terms as their sum, unless it is `alone`."""

    def kept(value: Any) -> Tensor:
        # a copy: a loss may return a parameter, which the optimiser is about to change
        return torch.as_tensor(value, device=device).detach().clone()

    for key, term in terms.items():
        if isinstance(term, Mean) and not alone:
            count = kept(term.over).float()
            value = torch.where(count > 0, kept(term.value) * count, 0.0)
            step.counts[key] = step.counts[key] + count if key in step.counts else count
        else:
            value = kept(term.value if isinstance(term, Mean) else term)
        step.values[key] = step.values[key] + value if key in step.values else value


def _not_finite(what: str, step: int, ids: list[Any]) -> LossNotFinite:
    names = [str(name) for batch in ids if batch is not None for name in list(batch)[:64]]
    where = (
        f"in the batch of {', '.join(names)}" if names else 'in a batch without names (give batches "ids")'
    )
    return LossNotFinite(
        f"{what} at step {step}, {where}. Look at these items, lower the learning rate or set gradient_clip; "
        "the checkpoints are from before"
    )


def _share_statistics(run: Run) -> None:
    """Average the running statistics of batch normalisation over processes: each has seen its own batches.

    Without it those of the first process would be everyone's: DDP sends them to all at the next step.
    """
    if run.accelerator.num_processes == 1:
        return
    norms = [m for m in run.model.modules() if isinstance(m, _BatchNorm) and m.training]
    found = [x for m in norms for x in (m.running_mean, m.running_var) if x is not None]
    if found:
        flat = run.accelerator.reduce(torch.cat([x.float().reshape(-1) for x in found]), "mean")
        for x, mean in zip(found, flat.split([x.numel() for x in found]), strict=True):
            x.copy_(mean.reshape(x.shape))


def _count_items(batch: Batch) -> int:
    """Length of "ids" where there are any, else of the first tensor found."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else 1
    if isinstance(batch, Mapping):
        if batch.get("ids") is not None:
            return len(batch["ids"])
        batch = list(batch.values())
    return next((n for n in map(_count_items, batch) if n), 0) if isinstance(batch, list | tuple) else 0

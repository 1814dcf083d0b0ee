"""One training loop for every paper: any number of processes, mixed precision, a resume that changes nothing.

`fit` takes a model, a loss and a source of batches, and keeps in `folder`

    step_00000100/     whole checkpoints, the newest `keep` of them; a rerun resumes from the last
    best/              model.safetensors of the best evaluation, where `best_metric` is set
                       both hold what training changes: trained weights, and buffers that are no longer as
                       at the start. Frozen weights are the caller's to build, and are checked on a resume
    history.jsonl      a line per log point, evaluation and resume; never a step twice

A run that is killed and resumed has bit-equal losses on CPU: weights, optimiser, random states and the steps
not logged yet are restored, the learning rate is a function of the step, and so must the batches be.
Processes are data parallel (DistributedDataParallel through accelerate); weights are not sharded. Each
normalises its own batch; running statistics of batch normalisation are averaged over processes after every
step, so that all hold the same model.
"""

import contextlib
import json
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list, send_to_device, set_seed
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

from core.train.checkpoints import (
    CheckpointError,
    check_writable,
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
from core.train.history import Clock, History, HistoryFile, read_history
from core.train.optimisation import (
    FREE_TO_CHANGE,
    TrainingError,
    TrainingOptions,
    freeze_all_but,
    learning_rate,
    make_optimizer,
)

Batch = (
    Any  # what the source yields and the loss understands; a mapping with "ids" lets errors name the items
)
LossFunction = Callable[[nn.Module, Batch], Mapping[str, Tensor]]
BatchSource = Callable[[int], Iterator[Batch]]
Evaluation = Callable[[nn.Module], Mapping[str, float]]
Log = Callable[[dict[str, float], int], None]


class LossNotFinite(ValueError):
    """The loss, or a weight, became NaN or infinite. No checkpoint was written since."""


class TrainingStopped(KeyboardInterrupt):
    """SIGTERM or Ctrl-C: the step was finished and a checkpoint written; the same command resumes from it."""

    def __init__(self, message: str, *, number: int) -> None:
        super().__init__(message)
        self.number = number  # of the signal


@dataclass(kw_only=True)
class _Run:
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
    # the later ones of them, whose values may still be on the device, with the ids of their batches
    pending: list[tuple[int, dict[str, Tensor], list[Any]]] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)


def fit(
    model: nn.Module,
    *,
    loss: LossFunction,
    batches: BatchSource,
    options: TrainingOptions,
    folder: Path,
    evaluate: Evaluation | None = None,
    log: Log | None = None,
    progress: bool = True,
) -> History:
    """Train `model` in place to `options.steps`, resuming from `folder`; it ends with the last weights.

    loss(model, batch) -> {"loss": scalar, other scalars to log}, always with the same keys. It must call the
        model it is given: with several processes that is a wrapper whose attributes are out of reach, so
        `forward` returns what the loss needs, such as the temperature.
    batches(step) yields, without end, the batches from that step on, `options.accumulation` a step, for this
        process: `accelerate.PartialState()` knows rank and world size. A function of seed, step and rank
        alone, which makes a resume exact without the state of any loader.
    evaluate(model) runs in every process on the bare model, in evaluation mode without gradients; the values
        of the first process count. It does not disturb training's random state.
    log(values, step) is called in the first process only.
    The model is put in training mode as a whole; a part that shall stay in evaluation mode overrides `train`.

    Raises LossNotFinite; TrainingStopped; TrainingError (globs that match nothing, a source that ends);
    CheckpointError (of another configuration, or all damaged); OutputError (the folder cannot be written).
    """
    check_writable(folder)
    accelerator = _accelerator(options)
    frozen = freeze_all_but(model, options.trainable)
    wrapped: nn.Module | None = None
    try:
        set_seed(options.seed, device_specific=True)
        model.to(accelerator.device).train()
        wrapped = accelerator.prepare_model(model)
        trained = [p for p in model.parameters() if p.requires_grad]
        run = _Run(
            model=model,
            wrapped=wrapped,
            optimizer=make_optimizer(trained, options),
            trained=trained,
            accelerator=accelerator,
            options=options,
            folder=folder,
            configuration=_configuration(model, options, processes=accelerator.num_processes),
            buffers={name: checksum(x) for name, x in persistent_buffers(model).items()},
        )
        _resume(run)
        file = folder / "history.jsonl"
        with HistoryFile(file, step=run.step, active=accelerator.is_main_process) as history:
            _loop(run, history, loss=loss, batches=batches, evaluate=evaluate, log=log, progress=progress)
        accelerator.wait_for_everyone()
        return read_history(file)
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
        if wrapped is not None:
            accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False)  # gives `model` its own forward back
            accelerator.free_memory()


def _accelerator(options: TrainingOptions) -> Accelerator:
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


def _loop(
    run: _Run,
    history: HistoryFile,
    *,
    loss: LossFunction,
    batches: BatchSource,
    evaluate: Evaluation | None,
    log: Log | None,
    progress: bool,
) -> None:
    options, accelerator, main = run.options, run.accelerator, run.accelerator.is_main_process

    def report(kind: str, values: dict[str, float]) -> None:
        history.write(kind, run.step, values)
        if log is not None and main:
            log(values, run.step)

    bar = tqdm(
        total=options.steps,
        initial=run.step,
        unit="step",
        mininterval=0.5 if sys.stderr.isatty() else 10.0,  # a log file needs fewer lines than a screen
        disable=not (progress and main),
    )
    with bar, _stop_signals() as signals:
        source = batches(run.step) if run.step < options.steps else iter(())
        run.clock = Clock()
        while run.step < options.steps:
            rate = learning_rate(run.step, options)
            for group in run.optimizer.param_groups:
                group["lr"] = rate
            _update(run, source, loss)
            run.step += 1
            run.clock.count(steps=1)
            bar.update()

            last = run.step == options.steps
            at_log = last or _due(run.step, options.log_every)
            at_evaluation = evaluate is not None and (last or _due(run.step, options.evaluate_every))
            at_checkpoint = last or _due(run.step, options.checkpoint_every)
            stop = _agree_to_stop(run, signals, at_log)
            if at_log or at_evaluation or at_checkpoint or stop:
                _settle(run)
            if at_log:
                values = _means(run.window) | {"learning_rate": rate}
                values |= run.clock.read(processes=accelerator.num_processes)
                run.window.clear()
                bar.set_postfix_str(
                    f"loss {values['loss']:.4f}, {values['items_per_second']:.0f} items/s", False
                )
                report("train", values)
            with run.clock.paused():
                if at_evaluation and evaluate is not None:
                    metrics = _evaluate(run.model, evaluate)
                    report("evaluate", metrics)
                    _keep_best(run, metrics)
                if at_checkpoint or stop:
                    history.sync()
                    _save(run)
            if stop:
                raise TrainingStopped(
                    f"stopped by {signal.Signals(stop).name} after step {run.step} of {options.steps}; the "
                    f"same command resumes from {run.folder}",
                    number=stop,
                )


def _update(run: _Run, source: Iterator[Batch], loss: LossFunction) -> None:
    """One update of the weights. Values stay on the device; on CPU, where it is free, they are looked at."""
    options, accelerator = run.options, run.accelerator
    scaler = accelerator.scaler  # of gradients, for fp16; accelerate's own backward and step cost 0.7 ms more
    values: dict[str, Tensor] = {}
    ids: list[Any] = []
    for part in range(options.accumulation):
        with run.clock.waiting():
            batch = next(source, None)
        if batch is None:
            raise TrainingError(
                f"the source of batches ended in step {run.step} of {options.steps}: it must not end"
            )
        run.clock.count(items=_count_items(batch))
        ids.append(batch.get("ids") if isinstance(batch, Mapping) else None)
        batch = send_to_device(batch, accelerator.device, non_blocking=True)
        final = part == options.accumulation - 1
        with contextlib.nullcontext() if final else accelerator.no_sync(run.wrapped):
            try:
                with accelerator.autocast():
                    terms = loss(run.wrapped, batch)
            except FloatingPointError as error:
                raise _not_finite(str(error), run.step, ids[-1:]) from error
            if terms["loss"].device.type == "cpu" and not math.isfinite(terms["loss"].item()):
                raise _not_finite(f"the loss is {terms['loss'].item()}", run.step, ids[-1:])
            share = terms["loss"] if options.accumulation == 1 else terms["loss"] / options.accumulation
            (share if scaler is None else scaler.scale(share)).backward()
        for key, value in terms.items():
            # a copy: a loss may return a parameter, which the optimiser is about to change
            value = torch.as_tensor(value, device=accelerator.device).detach().clone()
            values[key] = values[key] + value if part else value
    if options.accumulation > 1:
        values = {key: value / options.accumulation for key, value in values.items()}
    if options.gradient_clip is not None:
        if scaler is not None:
            scaler.unscale_(run.optimizer)
        values["gradient_norm"] = nn.utils.clip_grad_norm_(run.trained, options.gradient_clip)
    if scaler is None:
        run.optimizer.step()
    else:
        scaler.step(run.optimizer)  # leaves out a step whose gradients overflowed
        scaler.update()
    run.optimizer.zero_grad()
    _share_statistics(run)
    run.pending.append((run.step, values, ids))


def _settle(run: _Run) -> None:
    """Bring values of pending steps to the host, as means over processes; check that losses are finite."""
    if not run.pending:
        return
    keys = list(run.pending[0][1])
    table = torch.stack([torch.stack([values[key].float() for key in keys]) for _, values, _ in run.pending])
    here = table[:, keys.index("loss")].tolist()
    means = run.accelerator.reduce(table, "mean").tolist()
    for (step, _, ids), own, row in zip(run.pending, here, means, strict=True):
        values = dict(zip(keys, row, strict=True))
        if not math.isfinite(values["loss"]):
            raise _not_finite(f"the loss is {values['loss']}", step, [] if math.isfinite(own) else ids)
        run.window.append(values)
    run.pending.clear()


def _not_finite(what: str, step: int, ids: list[Any]) -> LossNotFinite:
    names = [str(name) for batch in ids if batch is not None for name in list(batch)[:64]]
    where = (
        f"in the batch of {', '.join(names)}" if names else 'in a batch without names (give batches "ids")'
    )
    return LossNotFinite(
        f"{what} at step {step}, {where}. Look at these items, lower the learning rate or set gradient_clip; "
        "the checkpoints are from before"
    )


def _means(window: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each value, leaving out what is not finite: the norm of a step that fp16 skipped."""
    columns = {key: [values[key] for values in window if math.isfinite(values[key])] for key in window[0]}
    return {key: sum(column) / len(column) for key, column in columns.items() if column}


def _evaluate(model: nn.Module, evaluate: Evaluation) -> dict[str, float]:
    modes = {module: module.training for module in model.modules()}
    before = random_state()
    model.eval()
    try:
        with torch.no_grad():
            metrics = [{key: float(value) for key, value in evaluate(model).items()}]
    finally:
        for module, mode in modes.items():
            module.training = mode
        set_random_state(before)
    return dict(broadcast_object_list(metrics)[0])


def _keep_best(run: _Run, metrics: Mapping[str, float]) -> None:
    name, sign = run.options.best_metric, 1 if run.options.best_is == "max" else -1
    if name is None:
        return
    if name not in metrics:
        raise TrainingError(f"best_metric {name!r} is not among what evaluate returned: {', '.join(metrics)}")
    if run.best is None or sign * metrics[name] > sign * run.best:
        run.best = metrics[name]
        if run.accelerator.is_main_process:
            save_parts(_changed(run), run.folder / "best" / "model.safetensors")


def _configuration(model: nn.Module, options: TrainingOptions, *, processes: int) -> dict[str, Any]:
    """What a checkpoint must agree with: options that change the weights, number of processes, parameters.

    Frozen weights are not in it, so their checksums are.
    """
    values: dict[str, Any] = {k: v for k, v in asdict(options).items() if k not in FREE_TO_CHANGE}
    values["processes"] = processes
    for name, p in model.named_parameters():
        kind = "trained" if p.requires_grad else f"frozen, sum {checksum(p)}"
        values[f"parameter {name}"] = f"{tuple(p.shape)} {kind}"
    return dict(json.loads(json.dumps(values)))  # as it will be read back


def _changed(run: _Run) -> dict[str, Tensor]:
    """What training changes: the trained weights, and buffers that are not as at the start."""
    weights = {name: p for name, p in run.model.named_parameters() if p.requires_grad}
    buffers = persistent_buffers(run.model)
    return weights | {name: x for name, x in buffers.items() if checksum(x) != run.buffers.get(name)}


def _share_statistics(run: _Run) -> None:
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


def _save(run: _Run) -> None:
    """Write the checkpoint of this step: each process its random state, the first one all else."""
    accelerator, main = run.accelerator, run.accelerator.is_main_process
    if run.saved == run.step:
        return
    if not all(bool(p.isfinite().all()) for p in run.trained):
        raise LossNotFinite(
            f"the loss was finite but after step {run.step} weights are not: a gradient overflowed. Lower "
            "the learning rate or set gradient_clip; the checkpoints are from before"
        )
    draft = draft_path(run.folder, run.step)
    with writing(draft):
        if main:
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
        accelerator.wait_for_everyone()
        save_tensors(random_state(), draft / f"random_{accelerator.process_index}.pt")
        accelerator.wait_for_everyone()
        if main:
            commit_checkpoint(draft, keep=run.options.keep)
    accelerator.wait_for_everyone()
    run.saved = run.step


def _resume(run: _Run) -> None:
    """Load the newest whole checkpoint, if there is one."""
    accelerator = run.accelerator
    found = latest_checkpoint(run.folder) if accelerator.is_main_process else None
    checkpoint: Path | None = broadcast_object_list([found])[0]
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


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGTERM and Ctrl-C instead of dying of them; a second Ctrl-C interrupts at once.

    Where Ctrl-C is ignored (a job started with `&`, nohup, cron) it stays so: it is meant for others.
    """
    caught: list[int] = []

    def note(number: int, _frame: object) -> None:
        if number == signal.SIGINT and caught:
            raise KeyboardInterrupt
        caught.append(number)

    if threading.current_thread() is not threading.main_thread():  # only that one may handle signals
        yield caught
        return
    numbers = [n for n in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _agree_to_stop(run: _Run, signals: list[int], at_log: bool) -> int:
    """Number of the signal to stop for, or 0. Processes must stop at one step: they ask at log points."""
    here = signals[0] if signals else 0
    if run.accelerator.num_processes == 1:
        return here
    if not at_log:
        return 0
    total = run.accelerator.gather(torch.tensor([here], device=run.accelerator.device))
    return int(total.max())


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _count_items(batch: Batch) -> int:
    """Length of "ids" where there are any, else of the first tensor found."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else 1
    if isinstance(batch, Mapping):
        if batch.get("ids") is not None:
            return len(batch["ids"])
        batch = list(batch.values())
    return next((n for n in map(_count_items, batch) if n), 0) if isinstance(batch, list | tuple) else 0

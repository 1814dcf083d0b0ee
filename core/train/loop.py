"""One training loop for every paper: any number of processes, mixed precision, a resume that changes nothing.

`fit` takes a model, a loss and a source of batches, and keeps in `folder`

    step_00000100/     whole checkpoints, the newest `keep` of them; a rerun resumes from the last
    best/              model.safetensors of the best evaluation, where `best_metric` is set
                       both hold what training changes: trained weights, and buffers that are no longer as
                       at the start. Frozen weights are the caller's to build, and are checked on a resume
    history.jsonl      a line per log point, evaluation and resume; never a step twice

A run that is killed and resumed has bit-equal losses on CPU: weights, optimiser, random states and the steps
not logged yet are restored, the learning rate is a function of the step, and so must the batches be.
Processes are data parallel (DistributedDataParallel through accelerate); weights are not sharded, and a
launch that asks for more is refused (core.train.launch). Each normalises its own batch; running statistics of
batch normalisation are averaged over processes after every step, so that all hold the same model.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list, set_seed
from torch import nn
from tqdm import tqdm

from core.train.checkpoints import (
    check_writable,
    checksum,
    persistent_buffers,
    random_state,
    set_random_state,
)
from core.train.history import Clock, History, HistoryFile, read_history
from core.train.launch import make_accelerator
from core.train.optimisation import (
    TrainingOptions,
    embeddings_of,
    freeze_all_but,
    learning_rate,
    make_optimizer,
    recomputing,
)
from core.train.saving import configuration_of, keep_best, resume, save
from core.train.state import BatchSource as BatchSource
from core.train.state import LossFunction, Run
from core.train.state import LossNotFinite as LossNotFinite
from core.train.update import settle, update, window_means

Evaluation = Callable[[nn.Module], Mapping[str, float]]
Log = Callable[[dict[str, float], int], None]


class TrainingStopped(KeyboardInterrupt):
    """SIGTERM or Ctrl-C: the step was finished and a checkpoint written; the same command resumes from it."""

    def __init__(self, message: str, *, number: int) -> None:
        super().__init__(message)
        self.number = number  # of the signal


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
        `forward` returns what the loss needs, such as the temperature. A mean over terms of which batches
        have different numbers, such as tokens, is a core.train.terms.Mean: it is weighted by them.
    batches(step) yields, without end, the batches from that step on, `options.accumulation` a step, for this
        process: `accelerate.PartialState()` knows rank and world size. A function of seed, step and rank
        alone, which makes a resume exact without the state of any loader.
    evaluate(model) runs in every process on the bare model, in evaluation mode without gradients; the values
        of the first process count. It does not disturb training's random state.
    log(values, step) is called in the first process only.
    The model is put in training mode as a whole; a part that shall stay in evaluation mode overrides `train`.

    Raises LossNotFinite; TrainingStopped; TrainingError (globs that match nothing, a source that ends, what
    accelerate was asked for in vain);
    CheckpointError (of another configuration, or all damaged); OutputError (the folder cannot be written).
    """
    accelerator = make_accelerator(options)
    if accelerator.is_main_process:  # which alone writes there
        check_writable(folder)
    frozen = freeze_all_but(model, options.trainable)
    wrapped: nn.Module | None = None
    try:
        set_seed(options.seed, device_specific=True)
        model.to(accelerator.device).train()
        wrapped = accelerator.prepare_model(model)
        trained = [p for p in model.parameters() if p.requires_grad]
        run = Run(
            model=model,
            wrapped=wrapped,
            optimizer=make_optimizer(trained, options, embeddings=embeddings_of(model)),
            trained=trained,
            accelerator=accelerator,
            options=options,
            folder=folder,
            configuration=configuration_of(model, options, processes=accelerator.num_processes),
            buffers={name: checksum(x) for name, x in persistent_buffers(model).items()},
        )
        resume(run)
        file = folder / "history.jsonl"
        with (
            recomputing(model, active=options.gradient_checkpointing),
            HistoryFile(file, step=run.step, active=accelerator.is_main_process) as history,
        ):
            _loop(run, history, loss=loss, batches=batches, evaluate=evaluate, log=log, progress=progress)
        accelerator.wait_for_everyone()
        done = read_history(file)
        accelerator.wait_for_everyone()  # the first process may delete the folder as soon as this ends
        return done
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
        if wrapped is not None:
            accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False)  # gives `model` its own forward back
            accelerator.free_memory()


def _loop(
    run: Run,
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
            update(run, source, loss)
            run.step += 1
            run.clock.count(steps=1)
            bar.update()

            last = run.step == options.steps
            at_log = last or _due(run.step, options.log_every)
            at_evaluation = evaluate is not None and (last or _due(run.step, options.evaluate_every))
            at_checkpoint = last or _due(run.step, options.checkpoint_every)
            stop = _agree_to_stop(run, signals, at_log)
            if at_log or at_evaluation or at_checkpoint or stop:
                settle(run)
            if at_log:
                values = window_means(run.window) | {"learning_rate": rate}
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
                    keep_best(run, metrics)
                if at_checkpoint or stop:
                    history.sync()
                    save(run)
            if stop:
                raise TrainingStopped(
                    f"stopped by {signal.Signals(stop).name} after step {run.step} of {options.steps}; the "
                    f"same command resumes from {run.folder}",
                    number=stop,
                )


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


def _agree_to_stop(run: Run, signals: list[int], at_log: bool) -> int:
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

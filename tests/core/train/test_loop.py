"""The training loop: equal to a bare loop, and to itself after every kind of interruption.

Run as a script (by the tests of kill and of several processes) it trains the tiny model in a folder.
"""

import contextlib
import json
import math
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate import PartialState
from safetensors.torch import load_file
from torch import Tensor, nn

from core.losses.contrastive import hard_negative_loss, info_nce, modular_loss
from core.run.files import OutputError
from core.train.checkpoints import (
    CheckpointError,
    WeightsMismatch,
    checksum,
    load_model,
    load_parts,
    save_parts,
)
from core.train.history import read_history
from core.train.loop import LossNotFinite, TrainingStopped, fit
from core.train.optimisation import TrainingError, TrainingOptions, learning_rate

ROOT = Path(__file__).parents[3]
GOLDEN = Path(__file__).with_name("golden_losses.json")
OPTIONS = TrainingOptions(
    steps=12, learning_rate=0.02, warmup_steps=3, gradient_clip=5.0, weight_decay=0.1, log_every=1, seed=3
)
B = 4


@pytest.fixture(scope="module", autouse=True)
def on_cpu() -> Iterator[None]:
    """Equality to the bit is promised on CPU only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        yield


class Tiny(nn.Module):
    """Two towers, dropout, and a buffer that counts calls."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.audio, self.text = nn.Linear(8, 6), nn.Linear(8, 6)
        self.dropout = nn.Dropout(dropout)
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("calls", torch.tensor(0))
        for parameter in (*self.audio.parameters(), *self.text.parameters()):
            nn.init.normal_(parameter, generator=generator)

    def forward(self, batch: dict[str, Any]) -> tuple[Tensor, ...]:
        self.calls += 1
        embed = lambda name: self.dropout(self.text(batch[name]))  # noqa: E731
        names = ("text", "positives", "negatives")
        return self.dropout(self.audio(batch["audio"])), *(embed(n) for n in names), self.scale.exp()


def make_batch(seed: int, rows: int = B) -> dict[str, Any]:
    g = torch.Generator().manual_seed(seed)
    audio = torch.randn(rows, 8, generator=g)
    near = lambda *shape: torch.randn(*shape, 8, generator=g)  # noqa: E731
    return {
        "ids": [f"{seed}/{row}" for row in range(rows)],
        "audio": audio,
        "text": audio + 0.3 * near(rows),
        "positives": audio[:, None] + 0.3 * near(rows, 2),
        "negatives": near(rows, 3),
    }


def batches(step: int, accumulation: int = 1) -> Iterator[dict[str, Any]]:
    for index in range(step * accumulation, 10**9):
        yield make_batch(index)


def contrastive(model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
    audio, text, _, _, scale = model(batch)
    return {"loss": info_nce(audio, text, logit_scale=scale), "scale": scale}


def drawn() -> Tensor:
    return random.random() + np.random.rand() + torch.rand(())  # noqa: NPY002 (the state that a resume restores)


def noisy(model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
    """A loss that draws from every random generator."""
    return {"loss": contrastive(model, batch)["loss"] * (1 + drawn())}


def train(folder: Path, **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "model": Tiny(),
        "loss": noisy,
        "batches": batches,
        "options": OPTIONS,
        "folder": folder,
        "progress": False,
    }
    return fit(**(arguments | changes))


def stop_at(step: int, number: int = signal.SIGTERM) -> Callable[[int], Iterator[dict[str, Any]]]:
    def source(first: int) -> Iterator[dict[str, Any]]:
        for index, batch in enumerate(batches(first), start=first):
            if index == step:
                os.kill(os.getpid(), number)
            yield batch

    return source


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[float, ...]:
    """Losses of the uninterrupted run."""
    return tuple(train(tmp_path_factory.mktemp("whole")).losses)


# --- the same as a loop written by hand


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_equal_to_a_bare_loop(tmp_path: Path, name: Any) -> None:
    options = replace(OPTIONS, optimizer=name)
    model = Tiny(dropout=0.0)
    history = train(tmp_path, model=model, loss=contrastive, options=options)

    bare = Tiny(dropout=0.0)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    groups = [
        {"params": [bare.audio.weight, bare.text.weight], "weight_decay": 0.1},
        {"params": [bare.audio.bias, bare.text.bias, bare.scale], "weight_decay": 0.0},
    ]
    optimizer = kind(groups, betas=(0.9, 0.999), eps=1e-8)
    losses = []
    for step in range(12):
        for group in optimizer.param_groups:
            up, down = (step + 1) / 3, 0.5 * (1 + math.cos(math.pi * (step - 3) / 9))
            group["lr"] = 0.02 * (up if step < 3 else down)
        loss = contrastive(bare, make_batch(step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(bare.parameters(), 5.0)
        optimizer.step()
        losses.append(loss.item())
    assert history.losses == pytest.approx(losses, rel=1e-5)
    for a, b in zip(model.parameters(), bare.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("cosine", [0.5, 1.0, 1.0, 0.853553, 0.5, 0.146447]),
        ("linear", [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]),
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_schedules(schedule: Any, rates: list[float]) -> None:
    options = TrainingOptions(steps=6, learning_rate=1.0, warmup_steps=2, schedule=schedule)
    assert [learning_rate(step, options) for step in range(6)] == pytest.approx(rates, abs=1e-6)


def test_a_schedule_may_end_above_zero() -> None:
    options = TrainingOptions(steps=100, learning_rate=1e-4, end_learning_rate=1e-5, warmup_steps=10)
    rates = [learning_rate(step, options) for step in range(101)]
    assert rates[10] == 1e-4
    assert rates[100] == pytest.approx(1e-5)
    assert rates[55] == pytest.approx((1e-4 + 1e-5) / 2)
    with pytest.raises(TrainingError, match="end_learning_rate"):
        TrainingOptions(steps=1, learning_rate=1e-4, end_learning_rate=1e-3)


def test_accumulation_equals_the_larger_batch_for_a_mean_over_items(tmp_path: Path) -> None:
    def per_item(model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
        audio, text, *_ = model(batch)
        return {"loss": F.mse_loss(audio, text)}

    def doubled(step: int) -> Iterator[dict[str, Any]]:
        source = batches(2 * step)
        for first, second in zip(source, source, strict=False):
            yield {
                key: first[key] + second[key] if key == "ids" else torch.cat([first[key], second[key]])
                for key in first
            }

    small, large = Tiny(dropout=0.0), Tiny(dropout=0.0)
    halves = train(
        tmp_path / "a",
        model=small,
        loss=per_item,
        options=replace(OPTIONS, accumulation=2),
        batches=lambda step: batches(step, 2),
    )
    wholes = train(tmp_path / "b", model=large, loss=per_item, batches=doubled)
    assert halves.losses == pytest.approx(wholes.losses, rel=1e-5)
    for a, b in zip(small.parameters(), large.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


GOLDEN_LOSSES: dict[str, Callable[..., Tensor]] = {
    "info_nce": lambda a, t, p, n, s: info_nce(a, t, logit_scale=s),
    "hard_negative": lambda a, t, p, n, s: hard_negative_loss(a, t, n, logit_scale=s),
    "hard_negative_release": lambda a, t, p, n, s: hard_negative_loss(
        a, t, n, logit_scale=s, masking="multiplicative"
    ),
    "modular": lambda a, t, p, n, s: modular_loss(a, t, p, n, logit_scale=s),
    "modular_release": lambda a, t, p, n, s: modular_loss(
        a, t, p, n, logit_scale=s, positives_as="mean_logprob"
    ),
}


@pytest.mark.parametrize("name", GOLDEN_LOSSES)
def test_golden_losses(tmp_path: Path, name: str) -> None:
    """The first losses of each objective: a change here changes every result of the repository."""
    history = train(
        tmp_path,
        model=Tiny(dropout=0.0),
        loss=lambda model, batch: {"loss": GOLDEN_LOSSES[name](*model(batch))},
        options=replace(OPTIONS, steps=5),
    )
    assert history.losses == pytest.approx(json.loads(GOLDEN.read_text())[name], rel=1e-4)


# --- interruptions


@pytest.mark.parametrize(
    ("step", "number", "changes"),
    [
        (1, signal.SIGTERM, {}),
        (7, signal.SIGINT, {}),
        (6, signal.SIGTERM, {"log_every": 4, "checkpoint_every": 3}),
        (5, signal.SIGTERM, {"accumulation": 2, "log_every": 5}),
    ],
    ids=str,
)
def test_a_signal_stops_at_a_checkpoint_and_the_rest_is_bit_equal(
    tmp_path: Path, step: int, number: int, changes: dict[str, Any]
) -> None:
    options = replace(OPTIONS, **changes)
    source = (lambda first: batches(first, 2)) if options.accumulation == 2 else batches
    uninterrupted = train(tmp_path / "whole", options=options, batches=source)
    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]

    folder = tmp_path / "stopped"
    name = signal.Signals(number).name
    with pytest.raises(
        TrainingStopped, match=f"stopped by {name} after step .* resumes from {folder}"
    ) as stop:
        train(
            folder,
            options=options,
            batches=stop_at(step, number) if source is batches else kill(source, step),
        )
    assert stop.value.number == number
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers
    model = Tiny()
    resumed = train(folder, model=model, options=options, batches=source)
    assert resumed.losses == uninterrupted.losses
    assert [row["step"] for row in resumed.rows] == [row["step"] for row in uninterrupted.rows]
    assert resumed.resumed_at == (step + 1,)
    assert model.calls == 12 * options.accumulation


def test_a_signal_in_the_last_step_is_not_swallowed(tmp_path: Path, whole: tuple[float, ...]) -> None:
    with pytest.raises(TrainingStopped, match="after step 12 of 12"):
        train(tmp_path, batches=stop_at(11))
    assert train(tmp_path).losses == whole


def kill(source: Callable[[int], Iterator[Any]], step: int) -> Callable[[int], Iterator[Any]]:
    """SIGTERM in the middle of an accumulated step."""

    def killing(first: int) -> Iterator[Any]:
        for index, batch in enumerate(source(first), start=2 * first):
            if index == 2 * step:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    return killing


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    def impatient(first: int) -> Iterator[dict[str, Any]]:
        os.kill(os.getpid(), signal.SIGINT)
        yield make_batch(0)
        os.kill(os.getpid(), signal.SIGINT)
        yield make_batch(1)

    with pytest.raises(KeyboardInterrupt) as stop:
        train(tmp_path, batches=impatient, options=replace(OPTIONS, accumulation=2))
    assert not isinstance(stop.value, TrainingStopped)
    assert not list(tmp_path.glob("step_*"))


def script(*arguments: object, launcher: tuple[str, ...] = (), cpu: bool = True) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment["ACCELERATE_USE_CPU"] = str(cpu).lower()
    command = [sys.executable, *launcher, __file__, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def test_kill_9_in_the_middle_then_bit_equal(tmp_path: Path, whole: tuple[float, ...]) -> None:
    process = script("slow", tmp_path)
    file = tmp_path / "history.jsonl"
    deadline = time.monotonic() + 120
    while not (file.exists() and len(file.read_text().splitlines()) >= 8) and process.poll() is None:
        assert time.monotonic() < deadline, "the run to be killed did not start"
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL, process.stderr and process.stderr.read()
    left = sorted(path.name for path in tmp_path.glob("step_*"))
    assert left, "no checkpoint before the kill"
    resumed = train(tmp_path, options=replace(OPTIONS, checkpoint_every=3))
    assert resumed.losses == whole
    assert resumed.resumed_at[0] in (3, 6, 9)


def test_ctrl_c_that_was_ignored_at_the_start_stays_ignored(tmp_path: Path, whole: tuple[float, ...]) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert train(tmp_path, batches=stop_at(5, signal.SIGINT)).losses == whole
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("moment", ["write", "sync", "rename"])
def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(
    tmp_path: Path, whole: tuple[float, ...], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    class Killed(BaseException):
        pass

    train_on = {"options": replace(OPTIONS, checkpoint_every=4)}
    original: Any = {"write": torch.save, "sync": os.fsync, "rename": os.rename}[moment]

    def dies_at_the_second_checkpoint(*arguments: Any, **options: Any) -> Any:
        if (tmp_path / "step_00000004").exists():
            raise Killed
        return original(*arguments, **options)

    where = {"write": "torch.save", "sync": "os.fsync", "rename": "os.rename"}[moment]
    monkeypatch.setattr(where, dies_at_the_second_checkpoint)
    with pytest.raises(Killed):
        train(tmp_path, **train_on)
    monkeypatch.undo()
    resumed = train(tmp_path, **train_on)
    assert resumed.losses == whole
    assert resumed.resumed_at == (4,)
    assert not list(tmp_path.glob("*.tmp"))


def test_a_finished_run_is_not_repeated_and_old_checkpoints_go(tmp_path: Path) -> None:
    first, second = Tiny(), Tiny()
    done = train(tmp_path, model=first, options=replace(OPTIONS, checkpoint_every=2, keep=3))
    assert sorted(p.name for p in tmp_path.glob("step_*")) == [f"step_{n:08d}" for n in (8, 10, 12)]

    def unwanted(*_: Any) -> Any:
        raise AssertionError("trained again")

    again = train(tmp_path, model=second, loss=unwanted, batches=unwanted)
    assert again.losses == done.losses
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, whole: tuple[float, ...]) -> None:
    options = replace(OPTIONS, checkpoint_every=4)
    with pytest.raises(TrainingStopped):
        train(tmp_path, options=options, batches=stop_at(9))
    file = tmp_path / "step_00000010" / "optimizer.pt"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.warns(
        UserWarning, match=r"step_00000010 is damaged .*optimizer\.pt.* going back to step_00000008"
    ):
        resumed = train(tmp_path, options=options)
    assert resumed.losses == whole
    assert (tmp_path / "step_00000010.corrupt").is_dir()

    for path in tmp_path.glob("step_*/model.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"every checkpoint in .* is damaged .*model\.safetensors"):
        train(tmp_path, options=options)


def test_another_configuration_is_refused_by_name(tmp_path: Path) -> None:
    train(tmp_path, options=replace(OPTIONS, steps=4, warmup_steps=1))
    with pytest.raises(
        CheckpointError, match=r"steps: 4 then, 12 now; warmup_steps: 1 then, 3 now\).*another folder"
    ):
        train(tmp_path)
    model = Tiny()
    model.audio = nn.Linear(8, 6, bias=False)
    with pytest.raises(CheckpointError, match=r"parameter audio.bias: \(6,\) trained then, absent now"):
        train(tmp_path, model=model, options=replace(OPTIONS, steps=4, warmup_steps=1))
    # what does not change the weights may change
    train(tmp_path, options=replace(OPTIONS, steps=4, warmup_steps=1, keep=5, log_every=3, evaluate_every=1))


# --- things that go wrong


def test_a_loss_that_is_not_finite_names_step_and_batch_and_saves_nothing(tmp_path: Path) -> None:
    def breaks(model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
        loss = contrastive(model, batch)["loss"]
        return {"loss": loss * math.inf if "9/0" in batch["ids"] else loss}

    options = replace(OPTIONS, checkpoint_every=4)
    with pytest.raises(
        LossNotFinite, match=r"the loss is inf at step 9, in the batch of 9/0, 9/1, 9/2, 9/3\."
    ):
        train(tmp_path, loss=breaks, options=options)
    assert sorted(p.name for p in tmp_path.glob("step_*")) == ["step_00000004", "step_00000008"]

    def broken_input(step: int) -> Iterator[dict[str, Any]]:
        for batch in batches(step):
            batch["audio"][1] = math.nan
            yield batch

    with pytest.raises(
        LossNotFinite, match=r"rows \[1\].* at step 8, in the batch of 8/0, .* checkpoints are"
    ):
        train(tmp_path, batches=broken_input, options=options)
    assert sorted(p.name for p in tmp_path.glob("step_*")) == ["step_00000004", "step_00000008"]


def test_weights_that_overflow_are_not_saved(tmp_path: Path) -> None:
    class Overflow(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Tensor:
            return gradients[0] * math.inf

    with pytest.raises(LossNotFinite, match="after step 1 weights are not"):
        train(
            tmp_path,
            options=replace(OPTIONS, checkpoint_every=1, gradient_clip=None),
            loss=lambda model, batch: {"loss": Overflow.apply(contrastive(model, batch)["loss"])},
        )
    assert not list(tmp_path.glob("step_*"))


def test_a_source_that_ends_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="ended in step 2 of 12"):
        train(tmp_path, batches=lambda step: iter([make_batch(0), make_batch(1)]))


def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*file.*make room"):
        train(tmp_path / "file")


def test_a_full_disk_leaves_the_checkpoints_before(tmp_path: Path, whole: tuple[float, ...]) -> None:
    def fills(step: int) -> Iterator[dict[str, Any]]:
        for batch in batches(step):
            if "5/0" in batch["ids"]:  # stands in for a full disk: no file may grow over a kilobyte
                resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
            yield batch

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    options = replace(OPTIONS, checkpoint_every=4, log_every=4)
    try:
        with pytest.raises(OutputError, match=r"cannot write .*make room there"):
            train(tmp_path, batches=fills, options=options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in tmp_path.glob("step_*")] == ["step_00000004"]
    resumed = train(tmp_path, options=options)
    assert resumed.resumed_at == (4,)
    assert resumed.losses == pytest.approx([sum(whole[i : i + 4]) / 4 for i in (0, 4, 8)], rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"accumulation": 0}, "accumulation must be at least 1"),
        ({"learning_rate": -1.0}, "learning_rate must be positive"),
        ({"warmup_steps": 13}, r"warmup_steps \(13\) exceeds steps \(12\)"),
        ({"gradient_clip": 0.0}, "None for no clipping"),
    ],
    ids=str,
)
def test_options_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        replace(OPTIONS, **changes)


# --- what is trained


def test_globs_choose_what_is_trained(tmp_path: Path) -> None:
    model = Tiny()
    model.text.bias.requires_grad_(False)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train(tmp_path, model=model, options=replace(OPTIONS, trainable=("text.*", "scale")))
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"text.weight", "scale"}
    # as the caller had it
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["text.bias"]


@pytest.mark.parametrize(
    ("globs", "message"),
    [
        (("text.*", "auido.*"), r"'auido\.\*' matches none of 5 parameters; nearest: audio\."),
        ((), "leaves nothing to train"),
        (("audio.*",), "all that match are frozen; parameters: scale, audio.weight"),
    ],
    ids=str,
)
def test_globs_that_train_nothing_are_refused(tmp_path: Path, globs: tuple[str, ...], message: str) -> None:
    model = Tiny()
    model.audio.requires_grad_(False)
    with pytest.raises(TrainingError, match=message):
        train(tmp_path, model=model, options=replace(OPTIONS, trainable=globs))
    assert model.text.weight.requires_grad


def base_and_head(base: float = 0.5) -> nn.Module:
    """A frozen layer, batch normalisation that follows it, and a head that is trained."""
    model = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Linear(6, 6))
    nn.init.constant_(model[0].weight, base)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(1)
    for parameter in (model[0].bias, *model[2].parameters()):
        nn.init.normal_(parameter, generator=generator)  # type: ignore[arg-type]
    model[0].requires_grad_(False)
    model.register_buffer("table", torch.arange(100.0))  # training does not change it
    return model


def squares(model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
    return {"loss": model(batch["audio"]).square().mean()}


def test_a_checkpoint_holds_what_training_changes_and_nothing_frozen(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"loss": squares, "options": replace(OPTIONS, checkpoint_every=4)}
    whole_model = base_and_head()
    done = train(tmp_path / "whole", model=whole_model, **changes)
    stored = load_file(tmp_path / "whole" / "step_00000012" / "model.safetensors")
    buffers = {f"1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert set(stored) == {"1.weight", "1.bias", "2.weight", "2.bias"} | buffers

    with pytest.raises(TrainingStopped):
        train(tmp_path / "cut", model=base_and_head(), **changes, batches=stop_at(6))
    again = base_and_head()
    assert train(tmp_path / "cut", model=again, **changes).losses == done.losses
    for name, value in whole_model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_resume_on_other_frozen_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingStopped):
        train(tmp_path, model=base_and_head(), loss=squares, batches=stop_at(6))
    with pytest.raises(CheckpointError, match=r"parameter 0\.weight: \(6, 8\) frozen, sum \d+ then"):
        train(tmp_path, model=base_and_head(base=0.25), loss=squares)


def test_a_checkpoint_that_lacks_trained_weights_is_refused(tmp_path: Path) -> None:
    model = base_and_head()
    save_parts({"2.weight": model[2].weight}, tmp_path / "x.safetensors")  # type: ignore[index]
    with pytest.raises(WeightsMismatch, match=r"3 missing: 1\.weight, 1\.bias, 2\.bias"):
        load_parts(model, tmp_path / "x.safetensors")


def test_checksums_tell_tensors_apart_whatever_their_type() -> None:
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool):
        x = torch.ones(5, dtype=dtype)
        other = x.clone()
        other[3] = 0
        assert checksum(x) != checksum(other)
        assert checksum(x) == checksum(x.clone())
    assert checksum(torch.tensor(1 + 2j)) != checksum(torch.tensor(1 + 3j))
    assert checksum(torch.ones(4, 6).t()) == checksum(torch.ones(6, 4))
    assert checksum(torch.empty(0)) == 0


# --- evaluation, records, precision


def test_evaluation_does_not_disturb_training_and_the_best_is_kept(
    tmp_path: Path, whole: tuple[float, ...]
) -> None:
    scores = iter([0.1, 0.7, 0.3, 0.7])
    kept: list[Tensor] = []

    def evaluate(model: nn.Module) -> dict[str, float]:
        assert not model.training
        assert not torch.is_grad_enabled()
        drawn()
        kept.append(model.audio.weight.clone())  # type: ignore[operator,union-attr]
        return {"score": next(scores)}

    model, logged = Tiny(), []
    history = train(
        tmp_path,
        model=model,
        evaluate=evaluate,
        options=replace(OPTIONS, evaluate_every=3, best_metric="score"),
        log=lambda values, step: logged.append((step, values)),
    )
    assert history.losses == whole
    assert [(row["step"], row["score"]) for row in history.evaluations] == [
        (3, 0.1),
        (6, 0.7),
        (9, 0.3),
        (12, 0.7),
    ]
    best = Tiny()
    load_model(best, tmp_path / "best" / "model.safetensors")
    assert torch.equal(best.audio.weight, kept[1])
    assert model.training
    assert [step for step, values in logged if "score" in values] == [3, 6, 9, 12]
    assert [values["loss"] for _, values in logged if "loss" in values] == list(whole)


def test_best_metric_must_be_among_the_metrics(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match="best_metric 'recall' is not among what evaluate returned: score"
    ):
        train(tmp_path, evaluate=lambda model: {"score": 1.0}, options=replace(OPTIONS, best_metric="recall"))


def test_rows_hold_means_and_throughput(tmp_path: Path, whole: tuple[float, ...]) -> None:
    rows = train(tmp_path, options=replace(OPTIONS, log_every=5)).rows
    assert [row["step"] for row in rows] == [5, 10, 12]
    means = [sum(whole[a:b]) / (b - a) for a, b in ((0, 5), (5, 10), (10, 12))]
    assert [row["loss"] for row in rows] == pytest.approx(means, rel=1e-12)
    for row in rows:
        assert row["items_per_second"] == pytest.approx(B / row["step_seconds"])
        assert 0 < row["wait_seconds"] < row["step_seconds"]
        assert row["peak_memory_gib"] > 0.05
        assert row["gradient_norm"] > 0
    assert rows[-1]["learning_rate"] == learning_rate(11, OPTIONS)


def test_a_logged_parameter_is_logged_as_it_was_in_the_step(tmp_path: Path) -> None:
    seen: list[float] = []

    def with_parameter(model: Any, batch: dict[str, Any]) -> dict[str, Tensor]:
        seen.append(model.scale.item())
        return {"loss": contrastive(model, batch)["loss"], "log_scale": model.scale}

    rows = train(tmp_path, loss=with_parameter, options=replace(OPTIONS, log_every=12)).rows
    assert rows[0]["log_scale"] == pytest.approx(sum(seen) / 12, rel=1e-6)
    assert len(set(seen)) == 12


def test_bfloat16_and_then_another_precision_in_the_same_process(
    tmp_path: Path, whole: tuple[float, ...]
) -> None:
    kinds = set()

    def seen(model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
        kinds.add(F.linear(batch["audio"], torch.eye(8)).dtype)
        return noisy(model, batch)

    model = Tiny()
    half = train(tmp_path / "half", model=model, loss=seen, options=replace(OPTIONS, mixed_precision="bf16"))
    assert kinds == {torch.bfloat16}
    assert half.losses != whole
    assert half.losses[:4] == pytest.approx(whole[:4], rel=0.2)
    assert model(make_batch(0))[0].dtype == torch.float32  # the model is as it was
    assert train(tmp_path / "single").losses == whole


def test_a_thread_that_may_not_handle_signals_trains_too(tmp_path: Path, whole: tuple[float, ...]) -> None:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(train(tmp_path)))
    thread.start()
    thread.join()
    assert results[0].losses == whole


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_on_a_gpu(tmp_path: Path, precision: str, whole: tuple[float, ...]) -> None:
    process = script("gpu", tmp_path, precision, cpu=False)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    history = read_history(tmp_path / "history.jsonl")
    assert history.resumed_at == (6,)
    assert history.rows[-1]["peak_gpu_memory_gib"] > 0
    # other dropout than on CPU, so only the size of the losses is the same
    assert sum(history.losses) / 12 == pytest.approx(sum(whole) / 12, rel=0.5)


# --- several processes


def test_processes_that_accelerate_does_not_see_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PartialState()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match="2 processes were launched but accelerate counts 1"):
        train(tmp_path)


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launched")
    port = 20000 + os.getpid() % 20000
    process = script(
        "parallel",
        folder,
        # --multi_gpu is what makes accelerate start several processes, also where they run on CPU
        launcher=(
            "-m",
            "accelerate.commands.launch",
            "--multi_gpu",
            "--num_processes=2",
            "--num_machines=1",
            "--mixed_precision=no",
            "--dynamo_backend=no",
            f"--main_process_port={port}",
        ),
    )
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return folder


def test_two_processes_have_the_losses_of_one_with_the_doubled_batch(launched: Path, tmp_path: Path) -> None:
    model = Tiny(dropout=0.0)
    options = replace(OPTIONS, log_every=2)
    alone = train(tmp_path, model=model, loss=contrastive, batches=share, options=options)
    together = json.loads((launched / "losses.json").read_text())
    assert together == pytest.approx(list(alone.losses), rel=1e-5)
    other = Tiny(dropout=0.0)
    load_model(other, launched / "run" / "step_00000012" / "model.safetensors")
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_two_processes_stop_together_and_resume_bit_equal(launched: Path) -> None:
    whole_run, stopped = (
        json.loads((launched / name).read_text()) for name in ("losses.json", "resumed.json")
    )
    assert stopped == whole_run
    assert (launched / "stopped0").read_text() == (launched / "stopped1").read_text() == "6"


def test_two_processes_end_with_one_model_and_the_mean_of_their_statistics(launched: Path) -> None:
    first, second = (torch.load(launched / f"model{rank}.pt", weights_only=True) for rank in (0, 1))
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    kept = load_file(launched / "normed" / "step_00000012" / "model.safetensors")
    assert all(torch.equal(first[name], value) for name, value in kept.items())
    means = [torch.zeros(8), torch.zeros(8)]
    for batch, _ in zip(share_of(0), range(12), strict=False):
        means[0] = 0.9 * means[0] + 0.1 * batch["audio"].mean(dim=0)
    for batch, _ in zip(share_of(1), range(12), strict=False):
        means[1] = 0.9 * means[1] + 0.1 * batch["audio"].mean(dim=0)
    torch.testing.assert_close(first["0.running_mean"], sum(means) / 2)
    resumed = torch.load(launched / "resumed0.pt", weights_only=True)
    assert [name for name in first if not torch.equal(first[name], resumed[name])] == []


def share_of(rank: int) -> Iterator[dict[str, Any]]:
    """A process's rows of batches of twice the size, when there are two."""
    for index in range(10**9):
        batch = make_batch(index, rows=2 * B)
        yield {key: value[rank * B :][:B] for key, value in batch.items()}


def share(step: int) -> Iterator[dict[str, Any]]:
    """This process's rows of batches of twice the size."""
    state = PartialState()
    rows = 2 * B // state.num_processes
    for index in range(step, 10**9):
        batch = make_batch(index, rows=2 * B)
        yield {key: value[state.process_index * rows :][:rows] for key, value in batch.items()}


def parallel(folder: Path) -> None:
    """Two runs of two processes: one whole, one that is stopped by a signal to one process, and resumed."""
    rank = int(os.environ["RANK"])
    common: dict[str, Any] = {
        "loss": contrastive,
        "options": replace(OPTIONS, log_every=2),
        "progress": False,
    }
    whole_run = fit(Tiny(dropout=0.0), batches=share, folder=folder / "run", **common)
    assert PartialState().num_processes == 2

    def stopping(step: int) -> Iterator[dict[str, Any]]:
        for index, batch in enumerate(share(step), start=step):
            if index == 4 and rank == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    try:
        fit(Tiny(dropout=0.0), batches=stopping, folder=folder / "again", **common)
    except TrainingStopped:
        (folder / f"stopped{rank}").write_text(
            str(max(int(p.name[5:]) for p in (folder / "again").glob("step_*")))
        )
    resumed = fit(Tiny(dropout=0.0), batches=share, folder=folder / "again", **common)

    def normed() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 6))

    model, again = normed(), normed()
    common["loss"] = squares
    fit(model, batches=share, folder=folder / "normed", **common)
    torch.save(model.state_dict(), folder / f"model{rank}.pt")
    with contextlib.suppress(TrainingStopped):
        fit(normed(), batches=stopping, folder=folder / "normed_again", **common)
    fit(again, batches=share, folder=folder / "normed_again", **common)
    torch.save(again.state_dict(), folder / f"resumed{rank}.pt")
    if rank == 0:
        (folder / "losses.json").write_text(json.dumps(whole_run.losses))
        (folder / "resumed.json").write_text(json.dumps(resumed.losses))


def slow(folder: Path) -> None:
    def source(step: int) -> Iterator[dict[str, Any]]:
        for batch in batches(step):
            time.sleep(0.1)
            yield batch

    train(folder, batches=source, options=replace(OPTIONS, checkpoint_every=3))


def gpu(folder: Path, precision: Any) -> None:
    options = replace(OPTIONS, mixed_precision=precision)
    with contextlib.suppress(TrainingStopped):
        train(folder, options=options, batches=stop_at(5))
    train(folder, options=options)


if __name__ == "__main__":
    {"slow": slow, "parallel": parallel, "gpu": gpu}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])

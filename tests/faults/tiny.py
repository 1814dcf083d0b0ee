"""A tiny training as a stage does it, and a process that forks it: a fork costs no import, so that a kill at
each of many moments takes seconds.

    server = Forks(); server.run(folder, kill_at=17)

`python -m tests.faults.tiny` is that process: a line of JSON in, a line of JSON out.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STEPS = 6
FILE_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree")


@dataclass(frozen=True)
class End:
    """How a run ended: exit code (negative for a signal), file operations in its folder, what it said."""

    code: int
    operations: int
    said: str


class Forks:
    """The process that forks runs of the tiny training; ended by `close`."""

    def __init__(self) -> None:
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "ACCELERATE_USE_CPU": "true",
            "RESOUND_TRACKING": "off",
            "PYTHONPATH": str(ROOT),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.tiny"],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, folder: Path, **options: Any) -> End:
        """See `job` for the options."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"folder": str(folder), **options}) + "\n")
        self._process.stdin.flush()
        return End(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)


def stage(folder: Path, *, frozen: float, signal_at: int | None, number: int) -> None:
    """What the training stages do: open, fit, write, close."""
    import torch
    from torch import nn

    from core.run.resume import close_folder, open_folder
    from core.train.checkpoints import save_model
    from core.train.loop import fit
    from core.train.optimisation import TrainingOptions

    if open_folder(folder, "tiny"):
        print("complete")
        return
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.Linear(4, 1))
    nn.init.constant_(model[0].weight, frozen)  # type: ignore[arg-type]
    model[0].requires_grad_(False)

    def batches(step: int) -> Any:
        while True:
            if step == signal_at:
                os.kill(os.getpid(), number)
            yield {"ids": [step], "x": torch.randn(8, 4, generator=torch.Generator().manual_seed(step))}
            step += 1

    fit(
        model,
        loss=lambda network, batch: {"loss": network(batch["x"]).square().mean()},
        batches=batches,
        options=TrainingOptions(steps=STEPS, learning_rate=0.1, checkpoint_every=2, log_every=1),
        folder=folder / "run",
        progress=False,
    )
    save_model(model, folder / "model.safetensors")
    close_folder(folder, "tiny", scratch=("run",))


def job(
    folder: str,
    *,
    kill_at: int | None = None,
    wait_at: int | None = None,
    file_bytes: int | None = None,
    ignore_interrupts: bool = False,
    frozen: float = 0.5,
    signal_at: int | None = None,
    number: int = int(signal.SIGTERM),
) -> int:
    """One run in a forked process. kill_at: which file operation in the folder is not survived; wait_at: ...
    is waited at until the file `go` appears beside the folder; file_bytes: the disk takes no larger file;
    signal_at: step at which the process gets the signal `number`."""
    done = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        if event in FILE_EVENTS and arguments and str(arguments[0]).startswith(folder):
            done += 1
            if done == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if done == wait_at:
                Path(folder).with_name("waiting").touch()
                while not Path(folder).with_name("go").exists():
                    time.sleep(0.01)

    sys.addaudithook(watch)
    signal.signal(signal.SIGINT, signal.SIG_IGN if ignore_interrupts else signal.default_int_handler)
    if file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    said = io.StringIO()
    code = 0
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            stage(Path(folder), frozen=frozen, signal_at=signal_at, number=number)
        except KeyboardInterrupt as stop:
            code = 128 + int(getattr(stop, "number", signal.SIGINT))
            print(stop)
        except Exception as error:
            own = type(error).__module__.split(".")[0] == "core"  # as core.run.stage tells them apart
            code = 2 if own else 1
            print(error if own else traceback.format_exc())
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.getrlimit(resource.RLIMIT_FSIZE)[1],) * 2)
    os.write(int(os.environ["REPORT"]), json.dumps([done, said.getvalue()[-3000:]]).encode())
    return code


def main() -> None:
    """Fork a job a line, and report how it ended."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as warm:  # whatever is imported late is imported here, once
        stage(Path(warm) / "seed0", frozen=0.5, signal_at=None, number=0)
    for line in sys.stdin:
        options = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.environ["REPORT"] = str(writing)
            os._exit(job(options.pop("folder"), **options))
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            report = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        operations, said = json.loads(report) if report else (0, "")
        print(json.dumps({"code": code, "operations": operations, "said": said}), flush=True)


if __name__ == "__main__":
    main()

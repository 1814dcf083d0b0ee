"""Two processes that train together over gloo on this machine, and what each of them writes.

`python -m tests.two_processes JOBS` is one of them: it runs the stages that `run_stages` pickled.
"""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState

from core.run import tracking
from core.run.stage import Context

ROOT = Path(__file__).resolve().parents[1]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree")


@dataclass(frozen=True)
class Job:
    """A stage's function with its configuration, and the context's paper, stage and variant."""

    function: Callable[..., None]
    config: Any
    paper: str
    stage: str
    variant: str | None = None


def start(*arguments: object) -> list[subprocess.Popen[str]]:
    """`python ARGUMENTS` twice, as the two processes of one run."""
    port = free_port()
    common = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env=common | variables(rank, port),
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]


def free_port() -> str:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def variables(rank: int, port: str) -> dict[str, str]:
    """What `accelerate launch` tells one of two processes on CPUs."""
    where = {"ACCELERATE_USE_CPU": "true", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    counts = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    return where | counts | {"RANK": str(rank), "LOCAL_RANK": str(rank)}


def finish(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Wait for both, and fail with what they said where one failed."""
    errors = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors


def run_stages(jobs: Sequence[Job], *, root: Path, folder: Path) -> list[list[str]]:
    """Run stages one after the other in two processes; what each of the two wrote or deleted below `root`."""
    file = folder / "jobs.pickle"
    file.write_bytes(pickle.dumps((root, tuple(jobs))))
    finish(start("-m", "tests.two_processes", file))
    return [Path(f"{file}.{rank}").read_text().splitlines() for rank in (0, 1)]


def watch(root: Path) -> list[str]:
    """A list of the files and folders below `root` that this process writes, moves or deletes from now on."""
    touched: list[str] = []

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES or (event == "open" and int(arguments[2] or 0) & WRITES):
            path = str(arguments[1 if event == "os.rename" else 0])
            # a folder that is there already, or a file in it that never gets a name
            nothing = event in ("open", "os.mkdir") and Path(path).is_dir()
            if path.startswith(str(root)) and not nothing:
                touched.append(f"{event} {path}")

    sys.addaudithook(note)
    return touched


def main(file: Path) -> None:
    root, jobs = pickle.loads(file.read_bytes())
    touched = watch(root)
    for job in jobs:
        context = Context(
            paper=job.paper,
            stage=job.stage,
            variant=job.variant,
            profile="mini",
            root=root,
            tracker=tracking.off(),
            seed=0,
        )
        job.function(job.config, context=context)
        PartialState(cpu=True).wait_for_everyone()  # a launch ends before the next one reads what it wrote
    Path(f"{file}.{os.environ['RANK']}").write_text("".join(f"{line}\n" for line in touched))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

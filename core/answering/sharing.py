"""Several processes at one list of items: who they are, how they agree, how they wait for the slowest.

They wait by files, since a collective call gives up after minutes and shares of a benchmark may differ by
more; and a process that fails says so, so that no other waits for it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from core.run.files import write_text_atomic

T = TypeVar("T")

POLL_SECONDS = 0.1


class ProcessError(RuntimeError):
    """Another process of this run failed, or the processes cannot work together."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Who shares the work. gather: one value of every process, to all of them; it is a barrier too."""

    rank: int
    world: int
    gather: Callable[[Any], list[Any]]


def launched() -> Processes:
    """This process alone or, under `accelerate launch`, those that were launched. Raises ProcessError."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Processes(rank=0, world=1, gather=lambda value: [value])
    import torch  # takes seconds to import, and one process that asks an endpoint needs none
    from accelerate import PartialState
    from accelerate.utils import gather_object

    ours = not torch.distributed.is_initialized()
    state = PartialState(cpu=not torch.cuda.is_available())  # without a GPU it must be told to see several
    if ours:  # threads that gloo leaves running abort the process when the interpreter ends
        atexit.register(state.destroy_process_group)
    if state.num_processes != world:
        raise ProcessError(
            f"{world} processes were launched but accelerate counts {state.num_processes}: nothing may make "
            "a PartialState with other settings before this"
        )
    return Processes(rank=state.process_index, world=world, gather=lambda value: list(gather_object([value])))


def from_first(processes: Processes, make: Callable[[], T]) -> T:
    """What `make` returns in the first process, in all of them; where it raises, all raise."""
    made: list[T] = []
    failure: Exception | None = None
    if processes.rank == 0:
        try:
            made.append(make())
        except Exception as error:
            failure = error
    values, said = processes.gather((made, "" if failure is None else str(failure) or repr(failure)))[0]
    if failure is not None:
        raise failure
    if said:
        raise ProcessError(f"the first process failed: {said}")
    result: T = values[0]
    return result


@contextlib.contextmanager
def ending_together(out: Path, processes: Processes) -> Iterator[None]:
    """Leave the block when every process has. Raises ProcessError as soon as one has failed in it."""
    marks = [_mark(out, rank) for rank in range(processes.world)]
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(OSError):  # a full disk: the launcher ends the others
            write_text_atomic(marks[processes.rank], f"failed: {error!r}")
        raise
    write_text_atomic(marks[processes.rank], "done")
    waiting = set(range(processes.world))
    while True:
        for rank in list(waiting):
            if (said := _read(marks[rank])) == "done":
                waiting.remove(rank)
            elif said:
                raise ProcessError(
                    f"process {rank} of {processes.world} {said}; what was answered is kept: run the same "
                    "command again"
                )
        if not waiting:
            return
        time.sleep(POLL_SECONDS)


def remove_marks(out: Path) -> None:
    """Forget the endings of an earlier run; by the first process, before the others can write theirs."""
    for path in out.parent.iterdir():
        if path.name.startswith(f".{out.name}.end-"):
            path.unlink(missing_ok=True)


def _mark(out: Path, rank: int) -> Path:
    return out.with_name(f".{out.name}.end-{rank:05d}")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""

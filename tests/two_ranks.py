"""Two gloo processes for tests, as `accelerate launch` would start them on CPUs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp

from tests.two_processes import free_port, variables

LONGEST = 240  # seconds: what takes longer hangs


def spawn(work: Callable[..., None], *arguments: Any) -> None:
    """work(rank, *arguments) in two processes; their errors are raised, and a hang fails the test."""
    processes = mp.spawn(_begin, args=(free_port(), work, arguments), nprocs=2, join=False)
    deadline = time.monotonic() + LONGEST
    while not processes.join(timeout=5):
        if time.monotonic() > deadline:
            for process in processes.processes:
                process.kill()
            pytest.fail(f"two processes did not end within {LONGEST} s")


def _begin(rank: int, port: str, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    os.environ |= variables(rank, port)
    work(rank, *arguments)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()

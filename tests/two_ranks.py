"""Two gloo processes for tests, as `accelerate launch` would start them on CPUs."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp

LONGEST = 240  # seconds: what takes longer hangs


def spawn(work: Callable[..., None], *arguments: Any) -> None:
    """work(rank, *arguments) in two processes; their errors are raised, and a hang fails the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = mp.spawn(_begin, args=(port, work, arguments), nprocs=2, join=False)
    deadline = time.monotonic() + LONGEST
    while not processes.join(timeout=5):
        if time.monotonic() > deadline:
            for process in processes.processes:
                process.kill()
            pytest.fail(f"two processes did not end within {LONGEST} s")


def _begin(rank: int, port: int, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    os.environ |= {"ACCELERATE_USE_CPU": "true", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    work(rank, *arguments)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()

"""The machine a stage runs on: threads, device, memory, load."""

from __future__ import annotations

import os
import resource
import sys
from typing import Any


def is_main_process() -> bool:
    """Return whether this is the process that tracks and reports (rank 0 under accelerate or torchrun)."""
    return int(os.environ.get("RANK", "0")) == 0


def process_count() -> int:
    """Return how many processes train together; 1 where torch has formed no group of them."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return 1
    return int(torch.distributed.get_world_size())


def limit_threads() -> int:
    """Give numeric libraries this process's share of the usable cores and return it.

    OMP_NUM_THREADS, where set, wins. Call it before torch is imported: torch reads the variable on import.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        os.environ["OMP_NUM_THREADS"] = str(max(1, usable_cores() // processes))
    threads = int(os.environ["OMP_NUM_THREADS"].split(",")[0])
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    return threads


def usable_cores() -> int:
    """Return the number of cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device() -> str:
    """Return the accelerator's name, or "cpu"; without importing torch for it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return "cpu"


def peak_memory() -> dict[str, float]:
    """Return the most memory held so far in GiB: by this process or its largest child, and on the GPU."""
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, KiB on Linux
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 2**30
    peaks = {"peak_memory_gib": max(own, child)}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        peaks["peak_gpu_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return peaks


def load() -> dict[str, float]:
    """Return processor and memory use now, under the names of MLflow's page of system metrics."""
    import psutil

    memory = psutil.virtual_memory()
    values: dict[str, float] = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_percentage": memory.percent,
        "system/system_memory_usage_megabytes": memory.used / 1e6,
        "system/process_memory_usage_megabytes": psutil.Process().memory_info().rss / 1e6,
    }
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        free, total = torch.cuda.mem_get_info()
        values["system/gpu_0_memory_usage_percentage"] = 100 * (total - free) / total
        values["system/gpu_0_memory_usage_megabytes"] = (total - free) / 1e6
    return values

"""How long a user waits before anything happens: imports, and `dvc repro` with nothing to do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.bench


def fastest(command: list[str], *, times: int = 5) -> float:
    """The best wall-clock seconds of several runs."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def test_import_of_the_stage_runner(record: Callable[..., None]) -> None:
    bare = fastest([sys.executable, "-c", "pass"])
    ours = fastest([sys.executable, "-c", "import core.run.stage"]) - bare
    torch = fastest([sys.executable, "-c", "import torch"], times=2) - bare
    record("import core.run.stage (peer: import torch)", torch / ours, ours, torch, "s", target="ours < 0.5")


def test_repro_with_nothing_to_do(record: Callable[..., None]) -> None:
    ours = fastest(
        [sys.executable, "-m", "dvc", "repro", "--allow-missing", "--dry", "projects/compa"], times=3
    )
    version = fastest([sys.executable, "-m", "dvc", "--version"], times=3)
    record(
        "dvc repro, nothing to do (peer: dvc --version)",
        version / ours,
        ours,
        version,
        "s",
        target="ours < 4",
    )

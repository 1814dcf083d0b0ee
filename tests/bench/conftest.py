"""Benchmarks run only when asked for (`-m bench`) and write their rows to results.csv beside this file."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

RESULTS = Path(__file__).parent / "results.csv"
COLUMNS = ("benchmark", "ours", "peer", "ratio", "target", "unit", "machine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "bench" in config.getoption("markexpr"):
        return
    skip = pytest.mark.skip(reason="a measurement: run `nox -s bench` or `pytest -m bench`")
    for item in items:
        if item.get_closest_marker("bench"):
            item.add_marker(skip)


def machine() -> str:
    """Processor and the number of cores that this process may use, fewer where OMP_NUM_THREADS says so."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
    ]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS", "")
    cores = min(cores, int(threads)) if threads.isdigit() else cores
    return f"{names[0] if names else platform.machine()}, {cores} core{'' if cores == 1 else 's'}"


def write_row(
    path: Path, name: str, ratio: float, ours: float, theirs: float, unit: str, *, target: str = ""
) -> None:
    """Replace the row of that name in the CSV, or append it; rows stay in the order of their names."""
    rows = {}
    if path.exists():
        with path.open(newline="") as file:
            rows = {row["benchmark"]: row for row in csv.DictReader(file)}
    values = (name, f"{ours:.4g}", f"{theirs:.4g}", f"{ratio:.3g}", target, unit, machine())
    rows[name] = dict(zip(COLUMNS, values))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[key] for key in sorted(rows))


@pytest.fixture
def record() -> Callable[..., None]:
    """record(name, ratio, ours, theirs, unit, target=""): one measurement, a row of results.csv."""

    def to_results(
        name: str, ratio: float, ours: float, theirs: float, unit: str, *, target: str = ""
    ) -> None:
        write_row(RESULTS, name, ratio, ours, theirs, unit, target=target)
        print(
            f"\n{name}: {ours:.4g} against {theirs:.4g} {unit}, ratio {ratio:.3g} (target {target or 'none'})"
        )

    return to_results

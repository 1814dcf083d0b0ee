"""The record of a training run: a JSON line per log point, evaluation and resume, and never a step twice."""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.run.files import write_text_atomic
from core.run.hardware import peak_memory
from core.run.jsonl import LineError, parse_line, split_lines


@dataclass(frozen=True, kw_only=True)
class History:
    """What a training run did. Every row has "step" (steps done) beside its values."""

    rows: tuple[dict[str, float], ...]  # log points: means since the one before
    evaluations: tuple[dict[str, float], ...]
    resumed_at: tuple[int, ...]

    @property
    def losses(self) -> tuple[float, ...]:
        return tuple(row["loss"] for row in self.rows)


def read_history(path: Path) -> History:
    """Read what `HistoryFile` wrote; a last line that a kill tore is left out."""
    kinds: dict[str, list[dict[str, Any]]] = {"train": [], "evaluate": [], "resume": []}
    for line in _lines(path):
        kinds[line.pop("kind")].append(line)
    return History(
        rows=tuple(kinds["train"]),
        evaluations=tuple(kinds["evaluate"]),
        resumed_at=tuple(line["step"] for line in kinds["resume"]),
    )


class HistoryFile:
    """history.jsonl, cut back to the `step` that a run starts from; writes nothing where not `active`."""

    def __init__(self, path: Path, *, step: int, active: bool) -> None:
        self.path, self.active = path, active
        if active:
            lines = [line for line in _lines(path) if line["kind"] == "resume" or line["step"] <= step]
            lines = [*lines, {"kind": "resume", "step": step}] if step else []
            write_text_atomic(path, "".join(json.dumps(line) + "\n" for line in lines))

    def __enter__(self) -> "HistoryFile":
        self._file = self.path.open("a", buffering=1) if self.active else None
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        if self._file is not None:
            self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")

    def sync(self) -> None:
        """Wait until all lines are on the disk: a checkpoint must not be newer than its history."""
        if self._file is not None:
            os.fsync(self._file.fileno())


class Clock:
    """Throughput since the last reading, pauses apart."""

    def __init__(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self._items, self._steps, self._waited, self._busy = 0, 0, 0.0, 0.0
        self._since = time.perf_counter()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self._busy += time.perf_counter() - self._since
        yield
        self._since = time.perf_counter()

    def count(self, *, items: int = 0, steps: int = 0) -> None:
        self._items += items
        self._steps += steps

    def read(self, *, processes: int = 1) -> dict[str, float]:
        """Items/s of all processes, seconds per step, of these waiting for batches, peak memory in GiB."""
        busy, steps = self._busy + time.perf_counter() - self._since, max(self._steps, 1)
        values = {
            "items_per_second": self._items * processes / busy,
            "step_seconds": busy / steps,
            "wait_seconds": self._waited / steps,
        }
        self._restart()
        return values | peak_memory()


def _lines(path: Path) -> list[dict[str, Any]]:
    lines = []
    for line in split_lines(path.read_bytes()) if path.exists() else ():
        with contextlib.suppress(LineError):  # torn by a kill
            lines.append(parse_line(line, nan=True))
    return lines

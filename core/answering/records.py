"""What a model said, on disk while it is asked: one JSON line an item (core.report.predictions).

A finished file (`out`) is whole and in data set order. Until then lie beside it, hidden: a part per process,
to which lines are appended and synced, and what earlier runs left, gathered in one file. Nothing that was
answered is lost by a kill: `gather_left` finds the whole lines of all of them and drops a line cut short.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from core.report import predictions
from core.report.predictions import Prediction
from core.run.files import OutputError, check_replaceable, write_bytes_atomic
from core.run.jsonl import parse_line


class PredictionsError(ValueError):
    """A file of predictions that cannot be read: damaged, of another shape, an item twice."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One item's outputs, one for each order in which its options were shown.

    orders[k][j] is the index, in the data set's choices, of the option at place j. outputs[k] is "" where
    the model said nothing; errors[k] is "" or why. hash: of all that the outputs depend on. cut: those k
    whose output ended at the limit of tokens; a line names it only where there are any.
    """

    id: str
    hash: str
    orders: tuple[tuple[int, ...], ...]
    outputs: tuple[str, ...]
    errors: tuple[str, ...]
    cut: tuple[int, ...] = ()


def read_predictions(path: Path) -> list[Record]:
    """The records of a finished file, in its order. Raises FileNotFoundError and PredictionsError."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no predictions there; run the evaluation that writes them")
    records, damaged = _lines(path)
    if damaged:
        raise PredictionsError(
            f"{path}: line {damaged[0]} is no record of a prediction ({len(damaged)} such lines); "
            "run the evaluation again, which asks for those items only"
        )
    seen: set[str] = set()
    for record in records:
        if record.id in seen:
            raise PredictionsError(f"{path}: item {record.id} is there twice; delete the file and run again")
        seen.add(record.id)
    return records


def line_of(record: Record) -> bytes:
    """A record as its line: the same record gives the same bytes."""
    return predictions.line_of(
        Prediction(
            id=record.id,
            answers=record.outputs,
            orders=record.orders,
            errors=record.errors,
            cut=record.cut,
            hash=record.hash,
        )
    )


class Part:
    """One process's share of the records, appended; a context manager.

    `add` returns when the lines are on the disk, so that a kill costs only what is being asked.
    Raises OutputError where they cannot be written; all lines before stay.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)

    def __enter__(self) -> Part:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def add(self, records: Sequence[Record], *, sync: bool = True) -> None:
        """Append `records`. sync=False leaves it to the next call to put them on the disk."""
        left = memoryview(b"".join(line_of(record) for record in records))
        with _explained(self._path):
            while left:  # a full disk may take a piece and refuse the rest
                left = left[os.write(self._file, left) :]
            if sync:
                os.fsync(self._file)


def part_of(out: Path, rank: int) -> Path:
    """Where process `rank` appends."""
    return out.with_name(f".{out.name}.part-{rank:05d}")


def gather_left(out: Path) -> list[Record]:
    """Every whole record of `out` and of what killed runs left beside it, which becomes one file.

    An item may be there several times, with different hashes. Lines that are cut or damaged are dropped:
    their items are asked again. Removes the parts, so that the processes can begin new ones.
    """
    kept = out.with_name(f".{out.name}.kept")
    parts = sorted(p for p in out.parent.iterdir() if p.name.startswith(f".{out.name}.part-"))
    found: dict[tuple[str, str], Record] = {}
    for path in (out, kept, *parts):  # newer ones last: they replace failures that were asked again
        if path.is_file():
            found |= {(record.id, record.hash): record for record in _lines(path)[0]}
    if parts:
        write_bytes_atomic(kept, b"".join(line_of(record) for record in found.values()))
        for path in parts:
            path.unlink()
    return list(found.values())


def check_predictions(out: Path, *, read: Iterable[Path | None] = ()) -> None:
    """Raises OutputError where `out` is there and holds no prediction, or is one of the files `read`."""
    check_replaceable(out, ours=lambda path: bool(_lines(path)[0]), kind="a file of predictions", read=read)


def merge(out: Path, ids: Sequence[str], processes: int) -> list[Record]:
    """Write `out` from the parts of all processes, in the order of `ids`, and remove what lies beside it."""
    parts = [part_of(out, rank) for rank in range(processes)]
    found = {record.id: record for path in parts for record in _lines(path)[0]}
    if lost := [id for id in ids if id not in found]:
        raise PredictionsError(
            f"{out}: {len(lost)} of {len(ids)} items are in no part ({', '.join(lost[:3])} ...); if several "
            "machines share the work, the folder must be one that all of them see. Run the same command again"
        )
    records = [found[id] for id in ids]
    content = b"".join(line_of(record) for record in records)
    if not (out.is_file() and out.read_bytes() == content):
        write_bytes_atomic(out, content)
    for path in (*parts, out.with_name(f".{out.name}.kept")):
        path.unlink(missing_ok=True)
    return records


@contextlib.contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold `out` for one run: two at a time would take each other's parts away. Raises OutputError."""
    path = out.with_name(f".{out.name}.lock")
    while True:
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(lock), path.stat()):
                break
            os.close(lock)  # the run before has just ended and removed the name
        except BlockingIOError:
            os.close(lock)
            raise OutputError(
                f"{out} is being written by another run; wait, or choose another file"
            ) from None
        except OSError:
            break  # a file system without locks
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held; a kill releases the lock and leaves the name
        os.close(lock)


def _lines(path: Path) -> tuple[list[Record], list[int]]:
    """The records of a file and the numbers (from 1) of lines that hold none."""
    records: list[Record] = []
    damaged: list[int] = []
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            record = _record(line) if line.endswith(b"\n") else None  # the last line may be cut
            if record is None:
                damaged.append(number)
            else:
                records.append(record)
    return records, damaged


def _record(line: bytes) -> Record | None:
    try:
        found = predictions.prediction_of(parse_line(line))
    except ValueError:
        return None
    if not found.answers:
        return None
    return Record(
        id=found.id,
        hash=found.hash,
        orders=found.orders,
        outputs=found.answers,
        errors=found.errors,
        cut=found.cut,
    )


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        cure = "free some space" if full else "make the folder writable"
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; {cure}, then run the same command again "
            "(all answers before this one are kept)"
        ) from error

"""Files that are whole or absent: every output is written beside its place and moved there."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


class OutputError(OSError):
    """An output could not be written: full disk, read-only folder, a file where a folder should be."""


def check_replaceable(
    path: Path, *, ours: Callable[[Path], bool], kind: str, read: Iterable[Path | None] = ()
) -> None:
    """Raises OutputError unless `path` is free or a file that may be replaced.

    That is a regular, non-empty file of which `ours` is true (`kind` names it in the message), or an empty
    one, and in no case one of the files `read`. A device is not written to: its name would become a file.
    """
    for other in read:
        if other is not None and _same(path, other):
            raise OutputError(f"{path} is one of the files to read: choose another to write to")
    if path.is_file():
        if path.stat().st_size and not ours(path):
            raise OutputError(f"{path} is there and is not {kind}: choose another file, or move it away")
    elif path.exists() or path.is_symlink():
        raise OutputError(f"{path} is no regular file: choose the path of a file")


def _same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # one of them is not there
        return path.resolve() == other.resolve()


def write_bytes_atomic(path: Path, content: bytes) -> None:
    """Write `content` to `path`; a process killed at any moment leaves the old file or the new one.

    Folders on the way are made. Raises OutputError with what to do next.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_overs(path)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # without it a power cut can leave the new name on an empty file
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; make room there or make the folder writable, "
            "then run the same command again (nothing half-written was left)"
        ) from error
    except BaseException:  # Ctrl-C in the middle of a write
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_text_atomic(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path` atomically (see write_bytes_atomic)."""
    write_bytes_atomic(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a final newline. NaN and infinities are refused (ValueError)."""
    write_text_atomic(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _remove_left_overs(path: Path) -> None:
    """Drop temporaries of writers of `path` that were killed: DVC would count them in a folder's hash."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        pid = left.name.removesuffix(".tmp").rpartition(".")[2]
        if pid.isdigit() and not _alive(int(pid)):
            with contextlib.suppress(OSError):
                left.unlink()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return pid != os.getpid()

"""Files that are whole or absent: every output is written beside its place and moved there."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


class OutputError(OSError):
    """An output could not be written: full disk, read-only folder, a file where a folder should be."""


class InUseError(OutputError):
    """Another process that is alive writes there."""


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
    temporary = temporary_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left_overs(path)
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


def temporary_of(path: Path) -> Path:
    """Where this process writes what `path` shall hold; `remove_left_overs` knows the name."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def remove_left_overs(path: Path) -> None:
    """Drop temporaries of writers of `path` that were killed: DVC would count them in a folder's hash."""
    _remove_dead(path.parent.glob(f".{path.name}.*.tmp"))


def remove_tree(path: Path) -> None:
    """Delete a folder, out of sight first: one that a kill left half deleted is never taken for whole."""
    hidden = temporary_of(path)
    with contextlib.suppress(OSError):
        shutil.rmtree(hidden, ignore_errors=True)
        os.rename(path, hidden)
        shutil.rmtree(hidden)


def sweep(folder: Path, *, alone: bool = False) -> None:
    """Drop temporaries that writers of anything in `folder` or below left; of all writers where `alone`,
    which says that no other process writes there, else of dead ones."""
    _remove_dead(folder.rglob(".*.tmp"), all_dead=alone)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove_dead(temporaries: Iterable[Path], *, all_dead: bool = False) -> None:
    for left in list(temporaries):
        pid = left.name.removesuffix(".tmp").rpartition(".")[2]
        if pid.isdigit() and (all_dead or not _alive(int(pid))):
            with contextlib.suppress(OSError):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return pid != os.getpid()


class Lock:
    """A lock file that this process holds. The kernel releases it when the process ends, however it ends.

    It is the process that holds it (fcntl.lockf), not an open file: a forked worker that outlives its parent
    does not hold it on. A file system without locks holds nothing, as if alone.
    """

    def __init__(self, path: Path, *, what: str) -> None:
        """Take the lock. Raises InUseError, which names `what` and the process that holds it; OutputError."""
        self.path = path
        while True:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except OSError as error:
                raise OutputError(
                    f"cannot write {path}: {error.strerror or error}; make room there or make the folder "
                    "writable, then run the same command again"
                ) from error
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                holder = os.pread(self._file, 200, 0).decode("utf-8", "replace").strip()
                os.close(self._file)
                raise InUseError(
                    f"{what} is being written by another run ({holder or 'its process is not known'}): wait "
                    "for it, or end it (kill and its number) and run the same command again"
                ) from None
            except OSError:
                break  # a file system without locks
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._file), path.stat()):
                    break
            os.close(self._file)  # the run before has just ended and removed the name
        with contextlib.suppress(OSError):  # the number is for messages only; the disk may be full
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"process {os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Remove the lock file, while it is held, and let go of it."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
        os.close(self._file)

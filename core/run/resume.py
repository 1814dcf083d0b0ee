"""Whether what a killed run left may be continued: only by the same code, configuration and inputs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.dvc_deps import closure
from core.run import hardware as machine
from core.run.files import Lock, OutputError, remove_tree, sha256_of, sweep, write_json

MARK, LOCK, HISTORY = "identity.json", ".lock", "history.jsonl"
SHOWN = 5  # damaged files that a message lists
WAIT_SECONDS = 120.0
REPOSITORY = Path(__file__).resolve().parents[1]  # whose code runs; data may lie under another root

_locks: dict[Path, Lock] = {}  # of folders that this process has opened and not closed


class NotReadyError(TimeoutError):
    """The first process of several did not prepare the folder."""


def fingerprint(
    root: Path, *, config: Mapping[str, Any], inputs: Iterable[Path], code: Iterable[Path]
) -> str:
    """One hash of a configuration, of input files under `root` and of `code` files (see `imported_files`)."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for path in [*sorted(code), *inputs]:
        home = REPOSITORY if path.is_relative_to(REPOSITORY) else root
        digest.update(str(path.relative_to(home)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def imported_files(file: str) -> list[Path]:
    """The module at `file` (a stage's `__file__`) and all it imports in the repository: DVC's code deps."""
    module = ".".join(Path(file).resolve().relative_to(REPOSITORY).with_suffix("").parts)
    return [REPOSITORY / name for name in closure(module, root=REPOSITORY)]


def open_folder(folder: Path, identity: str) -> bool:
    """Make `folder` ready for a run of this identity; True when one has finished there and is still whole.

    What a run of another identity left is removed: its checkpoints must not be continued, nor its result be
    taken for this one's. Finished files that were altered, cut or deleted since (by the SHA-256 that
    `close_folder` noted) are removed with a word, and the run is made again. Until `close_folder`, or the end
    of the process, no other process may write there. With several processes the first one does all this and
    the others wait for it. Raises InUseError, OutputError; NotReadyError when the first process never is.
    """
    mark = folder / MARK
    if not machine.is_main_process():
        began = time.monotonic()
        while _read(mark).get("identity") != identity:
            if time.monotonic() - began > WAIT_SECONDS:
                raise NotReadyError(f"the first process did not make {folder} ready in {WAIT_SECONDS:.0f} s")
            time.sleep(0.1)
        # The first process changes no file of a run that is whole, so both come to the same answer.
        return _is_finished(_read(mark)) and not _damage(folder, _read(mark))
    noted = _read(mark)
    if noted.get("identity") == identity and _is_finished(noted) and not _damage(folder, noted):
        _tidy(folder, noted["scratch"])
        return True
    if folder.absolute() not in _locks:
        _locks[folder.absolute()] = Lock(folder / LOCK, what=str(folder))
    noted = _read(mark)  # the run that held the lock may have ended in the meantime
    if noted.get("identity") != identity:
        _clear(folder)
    elif _is_finished(noted):
        _drop(folder, noted["scratch"])
        if not (damage := _damage(folder, noted)):
            _release(folder)
            return True
        told = ", ".join(f"{name} ({what})" for name, what in list(damage.items())[:SHOWN])
        print(
            f"{folder}: {len(damage)} of {len(noted['files'])} finished files are not as they were written: "
            f"{told}. They are made again",
            file=sys.stderr,
        )
        for name in damage:
            (folder / name).unlink(missing_ok=True)
    sweep(folder, alone=True)
    write_json(mark, {"identity": identity, "finished": False})
    return False


def close_folder(folder: Path, identity: str, *, scratch: Sequence[str] = ()) -> None:
    """Say that the run finished, with the SHA-256 of its files; then drop the checkpoints it could have
    resumed from and the folders `scratch` (names in `folder`).

    The mark comes first: a run that is killed while it deletes is finished, and the rest goes at the next
    opening. history.jsonl is a record and no result: it may be altered or deleted.
    """
    if not machine.is_main_process():
        return
    sweep(folder, alone=True)
    files = {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _is_passing(path.relative_to(folder), scratch)
    }
    mark = {"identity": identity, "finished": True, "files": files, "scratch": list(scratch)}
    write_json(folder / MARK, mark)
    _drop(folder, scratch)
    _release(folder)


def _release(folder: Path) -> None:
    if (lock := _locks.pop(folder.absolute(), None)) is not None:
        lock.release()


def _is_finished(mark: Mapping[str, Any]) -> bool:
    """A mark without the files that it speaks for says nothing."""
    return (
        mark.get("finished") is True
        and isinstance(mark.get("files"), dict)
        and isinstance(mark.get("scratch"), list)
    )


def _damage(folder: Path, mark: Mapping[str, Any]) -> dict[str, str]:
    """File -> what is wrong with it, of those that the finish mark names."""
    found = {}
    for name, sha256 in mark["files"].items():
        try:
            if sha256_of(folder / name) != sha256:
                found[name] = "altered"
        except FileNotFoundError:
            found[name] = "gone"
        except OSError as error:
            found[name] = error.strerror or str(error)
    return found


def _is_passing(path: Path, scratch: Sequence[str]) -> bool:
    return (
        path.name in (MARK, LOCK, HISTORY)
        or path.parts[0] in scratch
        or any(part.startswith("step_") for part in path.parts[:-1])
    )


def _tidy(folder: Path, scratch: Sequence[str]) -> None:
    """What a run that was killed after its finish mark left: checkpoints, temporaries, its lock's file."""
    _drop(folder, scratch)
    if (folder / LOCK).exists() and folder.absolute() not in _locks:
        with contextlib.suppress(OutputError):  # another run is there, or nothing can be written
            lock = Lock(folder / LOCK, what=str(folder))
            sweep(folder, alone=True)
            lock.release()


def _drop(folder: Path, scratch: Sequence[str]) -> None:
    """Delete checkpoints anywhere below and the folders `scratch`, each out of sight first."""
    for path in [*(folder / name for name in scratch), *folder.rglob("step_*")]:
        if path.is_dir():
            remove_tree(path)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name == LOCK:
            continue
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot remove {path}, which another run left ({error.strerror or error}): make the folder "
                "writable, then run the same command again"
            ) from error


def _read(mark: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(mark.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):  # absent, torn, or none of ours
        return {}

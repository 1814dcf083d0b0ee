"""Whether what a killed run left may be continued: only by the same code, configuration and inputs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.run import hardware
from core.run.code import REPOSITORY, code_of
from core.run.files import Lock, OutputError, remove_tree, sha256_of, sweep, write_json
from core.run.pipeline import locked_outputs, paper_folder, read_pipeline

if TYPE_CHECKING:
    from core.run.stage import Context

MARK, LOCK, HISTORY = "identity.json", ".lock", "history.jsonl"
SHOWN = 5  # damaged files that a message lists
WAIT_SECONDS = 120.0

_locks: dict[Path, Lock] = {}  # of folders that this process has opened and not closed


class NotReadyError(TimeoutError):
    """The first process of several did not prepare the folder."""


def run_identity(context: Context, *, config: Mapping[str, Any]) -> str:
    """One hash of what a training is made of: code by meaning, libraries, `config` and its inputs.

    Inputs are the dependencies that the stage's dvc.yaml declares for this variant: what DVC has locked for
    them while it runs us, their content otherwise.
    """
    code, libraries = code_of(context.module, root=REPOSITORY)
    inputs = {dep: content_hash(context.root, dep) for dep in declared_inputs(context)}
    whole = {"code": code, "libraries": libraries, "config": config, "inputs": inputs}
    return hashlib.sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()


def declared_inputs(context: Context) -> tuple[str, ...]:
    """What the stage reads, relative to the root; for a variant that no dvc.yaml names, what any other
    reads."""
    file = paper_folder(REPOSITORY, context.paper) / "dvc.yaml"
    if not file.is_file():
        return ()
    stages = read_pipeline(file, root=REPOSITORY, profile=context.profile)
    mine = [stage for stage in stages if stage.module == context.module]
    named = [stage for stage in mine if stage.variant == context.variant] or mine
    if not named:
        return ()
    deps = {dep for stage in named for dep in stage.deps}
    code = paper_folder(Path(), context.paper) / "code"
    return tuple(sorted(dep for dep in deps if not Path(dep).is_relative_to(code)))


def content_hash(root: Path, path: str) -> str:
    """The hash of a file or folder as DVC computes it; "" where it is not there.

    While DVC runs us it comes from the dvc.lock of the stage that wrote it, since large features need not be
    read again; a part of an output is known by the whole.
    """
    if os.environ.get("DVC_STAGE"):
        for name, md5 in locked_outputs(root).items():
            if f"{path}/".startswith(f"{name}/"):
                return md5
    place = root / path
    if place.is_file():
        return _md5(place)
    if not place.is_dir():
        return ""
    files = sorted(file for file in place.rglob("*") if file.is_file())
    names = {file.relative_to(place).as_posix(): file for file in files}
    listing = [{"md5": _md5(names[name]), "relpath": name} for name in sorted(names)]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def open_folder(folder: Path, identity: str) -> bool:
    """Make `folder` ready for a run of this identity; True when one has finished there and is still whole.

    What a run of another identity left is removed: its checkpoints must not be continued, nor its result be
    taken for this one's. Finished files that were altered, cut or deleted since (by the SHA-256 that
    `close_folder` noted) are removed with a word, and the run is made again. Until `close_folder`, or the end
    of the process, no other process may write there. With several processes the first one does all this and
    the others wait for it. Raises InUseError, OutputError; NotReadyError when the first process never is.
    """
    mark = folder / MARK
    if not hardware.is_main_process():
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
    if not hardware.is_main_process():
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

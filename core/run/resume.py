"""Whether what a killed run left may be continued: only by the same code, configuration and inputs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.run import hardware
from core.run.code import REPOSITORY, code_of
from core.run.files import write_json
from core.run.pipeline import locked_outputs, paper_folder, read_pipeline

if TYPE_CHECKING:
    from core.run.stage import Context

WAIT_SECONDS = 120.0


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
    """Make `folder` ready for a run of this identity; True when one has already finished there.

    What a run of another identity left is removed: its checkpoints must not be continued, nor its result be
    taken for this one's. With several processes the first one clears and the others wait for it.
    Raises TimeoutError when the first process never does.
    """
    mark = folder / "identity.json"
    if hardware.is_main_process():
        if _read(mark).get("identity") != identity:
            if folder.exists():
                shutil.rmtree(folder)
            write_json(mark, {"identity": identity, "finished": False})
    else:
        began = time.monotonic()
        while _read(mark).get("identity") != identity:
            if time.monotonic() - began > WAIT_SECONDS:
                raise TimeoutError(f"the first process did not make {folder} ready in {WAIT_SECONDS:.0f} s")
            time.sleep(0.1)
    return bool(_read(mark).get("finished"))


def close_folder(folder: Path, identity: str) -> None:
    """Say that the run finished, and drop the checkpoints it could have resumed from."""
    if hardware.is_main_process():
        write_json(folder / "identity.json", {"identity": identity, "finished": True})
        for checkpoint in folder.glob("step*"):
            shutil.rmtree(checkpoint)


def _read(mark: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(mark.read_text(encoding="utf-8")))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}

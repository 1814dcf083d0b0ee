"""Whether what a killed run left may be continued: only by the same code, configuration and inputs."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from core.dvc_deps import closure
from core.run import hardware as machine
from core.run.files import write_json

WAIT_SECONDS = 120.0
REPOSITORY = Path(__file__).resolve().parents[1]  # whose code runs; data may lie under another root


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
    """Make `folder` ready for a run of this identity; True when one has already finished there.

    What a run of another identity left is removed: its checkpoints must not be continued, nor its result be
    taken for this one's. With several processes the first one clears and the others wait for it.
    Raises TimeoutError when the first process never does.
    """
    mark = folder / "identity.json"
    if machine.is_main_process():
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
    if machine.is_main_process():
        write_json(folder / "identity.json", {"identity": identity, "finished": True})
        for checkpoint in folder.glob("step*"):
            shutil.rmtree(checkpoint)


def _read(mark: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(mark.read_text(encoding="utf-8")))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}

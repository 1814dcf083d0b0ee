"""Where a run comes from: commit, DVC stage, and a hash of the data it reads."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from core.run.pipeline import locked_outputs, overlap


def git_state(root: Path) -> dict[str, str]:
    """Return {"git.commit": hash, "git.dirty": "true"|"false"}; "unknown" without git or a repository."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return {"git.commit": "unknown", "git.dirty": "unknown"}
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {"git.commit": commit, "git.dirty": "unknown" if changed is None else str(bool(changed)).lower()}


def data_hash(root: Path, *, deps: Iterable[str]) -> str:
    """A short hash over what a stage reads, by the hashes that dvc.lock files hold; "" when none is known."""
    outputs = locked_outputs(root)
    lines = [
        f"{name}:{md5}" for dep in sorted(deps) for name, md5 in sorted(outputs.items()) if overlap(dep, name)
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] if lines else ""


def dvc_stage() -> str:
    """Return the name of the DVC stage that runs this process, "" outside DVC."""
    return os.environ.get("DVC_STAGE", "")


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

"""Where a run comes from: commit, DVC stage, and a hash of the data it reads."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from core.run.place import locked_stages


def git_state(root: Path) -> dict[str, str]:
    """Return {"git.commit": hash, "git.dirty": "true"|"false"}; "unknown" without git or a repository."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return {"git.commit": "unknown", "git.dirty": "unknown"}
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {"git.commit": commit, "git.dirty": "unknown" if changed is None else str(bool(changed)).lower()}


def data_hash(root: Path, *, module: str, profile: str, variant: str | None) -> str:
    """Return a short hash over the data that the DVC stage of `module` depends on, "" when there is none.

    Data are the dependencies that are not Python files: by the hash that a `dvc.lock` holds for them as
    outputs of other stages, or by content when they are files in git.
    """
    outputs = _locked_outputs(root)
    lines = []
    for path in sorted(_data_deps(root, module, profile, variant)):
        inside = [
            f"{name}:{md5}"
            for name, md5 in sorted(outputs.items())
            if f"{name}/".startswith(f"{path}/") or f"{path}/".startswith(f"{name}/")
        ]
        if inside:
            lines.extend(inside)
        elif (root / path).is_file():
            lines.append(f"{path}:{hashlib.md5((root / path).read_bytes()).hexdigest()}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] if lines else ""


def dvc_stage() -> str:
    """Return the name of the DVC stage that runs this process, "" outside DVC."""
    return os.environ.get("DVC_STAGE", "")


def _data_deps(root: Path, module: str, profile: str, variant: str | None) -> set[str]:
    folder = root.joinpath(*module.split(".")[:-1])
    deps: set[str] = set()
    for stage in (_yaml(folder / "dvc.yaml").get("stages") or {}).values():
        items = stage.get("foreach") or {}
        item = {"variant": variant, **(items.get(variant) or {} if isinstance(items, dict) else {})}
        stage = stage.get("do", stage)
        if f"-m {module}" not in " ".join(str(stage.get("cmd", "")).split()) + " ":
            continue
        for dep in stage.get("deps") or []:
            path = str(dep).replace("${profile}", profile)
            for name in re.findall(r"\$\{item\.(\w+)\}", path):
                path = path.replace(f"${{item.{name}}}", str(item.get(name, variant)))
            path = path.replace("${key}", str(variant))
            if not path.endswith(".py"):
                deps.add(path)
    return deps


def _locked_outputs(root: Path) -> dict[str, str]:
    outputs: dict[str, str] = {}
    for lock in [root / "dvc.lock", root / "shared_data" / "dvc.lock", *root.glob("projects/*/dvc.lock")]:
        for stage in locked_stages(lock).values():
            for out in stage.get("outs") or []:
                outputs[out["path"]] = str(out.get("md5", ""))
    return outputs


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError:  # provenance is told where it can be; it never stops a run
        return {}
    return content if isinstance(content, dict) else {}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

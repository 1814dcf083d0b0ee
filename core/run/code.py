"""What a stage is made of: its code by meaning, the libraries that can move a number, its configuration.

    python -m core.run.code PAPER [--profile NAME]      writes projects/PAPER/code/<profile>/<stage>.json
    python -m core.run.code --graph                     prints the rooms of the repository and their arrows

Every dvc.yaml has a stage `code` that runs the first form; each other stage depends on its own file. A file
holds the hash of every module that the stage imports, directly or not, with comments, docstrings and blank
lines left out; the versions of the libraries among its imports; and the stage's resolved configuration.
So a comment makes nothing stale, and a constant, a schedule or a new torch exactly what uses it. The modules
in NEUTRAL only watch a stage and are left out. So is the version of Python: results are to be the same on
every Python that the project supports, and a hash says the same of a module on each of them.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import sys
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from core.run import config as configuration
from core.run.files import write_json
from core.run.pipeline import Stage, paper_folder, read_pipeline
from core.run.rows import check_rows
from core.run.source import CodeError, read_source, remember
from core.run.strict_yaml import ConfigError

REPOSITORY = Path(__file__).resolve().parents[2]  # whose code runs; data may lie under another root
PACKAGES = ("core", "projects", "shared_data")

# They watch a stage and hand nothing back that could reach a number (tests/contracts/test_code.py).
NEUTRAL = frozenset(
    f"core.run.{name}"
    for name in (
        "graph",
        "jobs",
        "mlflow_store",
        "outbox",
        "place",
        "progress",
        "provenance",
        "tracking",
        "tracking_names",
    )
)

# Import name -> distribution of the libraries that can move a number or a byte of an output.
LIBRARIES = {
    "aac_metrics": "aac-metrics",
    "accelerate": "accelerate",
    "datasets": "datasets",
    "espeakng_loader": "espeakng-loader",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "pandas": "pandas",
    "peft": "peft",
    "pocketsphinx": "pocketsphinx",
    "pretty_midi": "pretty-midi",
    "pyarrow": "pyarrow",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "soundata": "soundata",
    "soundfile": "soundfile",
    "soxr": "soxr",
    "tokenizers": "tokenizers",
    "torch": "torch",
    "transformers": "transformers",
}
_BROUGHT = {
    "transformers": ("torch", "tokenizers"),
    "peft": ("torch", "transformers"),
    "accelerate": ("torch",),
}


def made_of(stage: Stage, *, root: Path, profile: str) -> dict[str, Any]:
    """What a stage is made of, as its code file says it: {"code", "libraries", "config"}.

    root: the repository whose configuration is resolved and whose code is read.
    """
    code, libraries = code_of(stage.module, root=root)
    folder = (root / stage.file).parent
    config: Any = {}
    if stage.module.split(".")[0] != "core":
        config = configuration.resolve(folder, profile=profile, stage=stage.stage, variant=stage.variant)
    return {"code": code, "libraries": libraries, "config": config}


def code_of(module: str, *, root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Path -> hash by meaning of a module and all that it imports here; library -> version of the rest."""
    code, libraries = {}, set()
    for name in closure(module, root=root):
        path = _file(name, root)
        assert path is not None
        code[path.relative_to(root).as_posix()] = read_source(path).hash
        for library in read_source(path).imports:
            top = library.split(".")[0]
            libraries |= {top, *_BROUGHT.get(top, ())} & LIBRARIES.keys()
    return dict(sorted(code.items())), {
        LIBRARIES[name]: _version(LIBRARIES[name], root) for name in sorted(libraries)
    }


def closure(module: str, *, root: Path) -> tuple[str, ...]:
    """The module and all modules of the repository that it imports, also inside functions; without NEUTRAL.

    `__init__.py` files are left out: they hold a docstring, which a contract test demands. Raises CodeError.
    """
    if _file(module, root) is None:
        raise CodeError(f"{module} is run by a stage and does not exist")
    found: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        path = _file(name, root)
        if name in found or name in NEUTRAL or path is None:
            continue
        found.add(name)
        todo += [other for other in read_source(path).imports if other.split(".")[0] in PACKAGES]
    return tuple(sorted(found))


def _file(module: str, root: Path) -> Path | None:
    path = root.joinpath(*module.split(".")).with_suffix(".py")
    return path if path.is_file() else None


@cache
def _version(distribution: str, root: Path) -> str:
    """The versions that constraints.txt pins (one for each range of Pythons), or the installed one if it is
    another."""
    pinned = _pins(root).get(distribution, [])
    try:
        installed = metadata.version(distribution).partition("+")[0]  # 2.12.0+cpu is 2.12.0
    except metadata.PackageNotFoundError:
        installed = "missing"
    return " or ".join(pinned) if installed in pinned else f"{installed}, not pinned"


@cache
def _pins(root: Path) -> dict[str, list[str]]:
    path = root / "constraints.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    pins: dict[str, list[str]] = {}
    for line in lines:
        name, sign, version = line.partition(";")[0].partition("==")
        if sign:
            pins.setdefault(name.strip(), []).append(version.strip())
    return pins


def write(folder: Path, *, root: Path, profile: str) -> dict[str, list[str]]:
    """Write the code file of every stage of `folder`'s dvc.yaml; stage -> what changed in it.

    A paper's join of tables stands in the root's dvc.yaml; its file is code/<profile>/tables.json.
    """
    out = folder / "code" / profile
    stages = [*read_pipeline(folder / "dvc.yaml", root=root, profile=profile)]
    join = "core.report.tables"
    wanted = {
        one.key: made_of(one, root=root, profile=profile)
        for one in stages
        if one.module not in ("", "core.run.code")
    }
    if folder.parent.name == "projects":
        code, libraries = code_of(join, root=root)
        wanted["tables"] = {"code": code, "libraries": libraries, "config": {}}
    changed = {}
    for key, now in wanted.items():
        path = out / f"{key}.json"
        before = _read(path)
        if before != json.loads(json.dumps(now, default=str)):
            changed[key] = differences(before, now) if before else ["new"]
            write_json(path, now)
    remember()
    for path in out.glob("*.json"):
        if path.stem not in wanted:
            path.unlink()
    return changed


def check_settings(folder: Path, *, root: Path, profile: str) -> None:
    """Fill every stage's Config for every variant, before anything runs. Raises ConfigError with all
    mistakes."""
    problems: dict[str, None] = {}
    own = ".".join(folder.relative_to(root).parts)
    for stage in read_pipeline(folder / "dvc.yaml", root=root, profile=profile):
        if stage.module.startswith(f"{own}."):
            schema = importlib.import_module(stage.module).Config
            try:
                configuration.load(
                    schema, folder=folder, profile=profile, stage=stage.stage, variant=stage.variant
                )
            except ConfigError as error:
                problems |= dict.fromkeys(str(error).split("\n"))
    if problems:
        raise ConfigError("\n".join(problems))


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two code files, a line each: a module, a version, a key of the configuration."""
    lines = []
    for part in ("code", "libraries", "config"):
        old = configuration.flatten(before.get(part, {}))
        new = configuration.flatten(json.loads(json.dumps(now.get(part, {}), default=str)))
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) == new.get(name):
                continue
            if part == "code":
                lines.append(
                    f"{name}{'' if name in old and name in new else ' (new)' if name in new else ' (gone)'}"
                )
            else:
                lines.append(f"{name}: {old.get(name, 'nothing')} -> {new.get(name, 'nothing')}")
    return lines


def digest(made: Mapping[str, Any]) -> str:
    """A short hash of what a stage is made of."""
    return hashlib.sha256(json.dumps(made, sort_keys=True, default=str).encode()).hexdigest()[:16]


def rooms(root: Path) -> Counter[tuple[str, str]]:
    """(room, room) -> imports between them; a room is core.<folder>, a paper, shared_data or
    shared_data.world."""

    def room(module: str) -> str:
        parts = module.split(".")
        return ".".join(parts[:2]) if len(parts) > 2 else parts[0] if parts[0] != "projects" else module

    found: Counter[tuple[str, str]] = Counter()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            module = ".".join(path.relative_to(root).with_suffix("").parts)
            for other in {o for o in read_source(path).imports if _file(o, root) is not None}:
                if other.split(".")[0] in PACKAGES and room(module) != room(other):
                    found[room(module), room(other)] += 1
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def main(argv: list[str] | None = None) -> int:
    """Command line; 2 with one message where a stage's code or configuration cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m core.run.code", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("paper", nargs="?", help="a folder of projects/, or shared_data")
    parser.add_argument("--profile", help="default: the one in params.yaml")
    parser.add_argument("--graph", action="store_true", help="print rooms and arrows instead")
    given = parser.parse_args(argv)
    root = REPOSITORY
    if given.graph:
        for (one, other), count in sorted(rooms(root).items()):
            print(f"{one} -> {other}: {count}")
        return 0
    if not given.paper:
        parser.error("name a paper, or ask for --graph")
    folder = paper_folder(root, given.paper)
    try:
        profile = given.profile or configuration.default_profile(root)
        check_rows(folder)
        check_settings(folder, root=root, profile=profile)
        changed = write(folder, root=root, profile=profile)
    except ValueError as error:  # of configuration, pipeline, code
        print(f"{given.paper}: {error}", file=sys.stderr)
        return 2
    known = {key: lines for key, lines in changed.items() if lines != ["new"]}
    for key, lines in known.items():
        more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
        print(f"{given.paper}: {key} is stale: {', '.join(lines[:3])}{more}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

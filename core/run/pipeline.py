"""The stages of every dvc.yaml as a profile sees them: command, module, variant, what is read and written.

DVC resolves its files for the one profile of params.yaml. Provenance, staleness and the doctor ask about any
profile, in milliseconds; a contract test holds this reading against DVC's own.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_MODULE = re.compile(r"-m\s+((?:core|projects|shared_data)(?:\.\w+)+)(?:\s+([a-z]\w*))?(?=\s|$)")
_SLOT = re.compile(r"\$\{\s*([\w.]+)((?:\[\d+\])*)\s*\}")


class PipelineError(ValueError):
    """A dvc.yaml that cannot be read; the message names the file and the stage."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage; deps and outs are relative to the repository's root. paper: "" for the root's own
    dvc.yaml."""

    file: str
    name: str  # with its item: train@gama
    command: str
    module: str  # "" for a command that runs no module of this repository
    variant: str | None
    deps: tuple[str, ...]
    outs: tuple[str, ...]

    @property
    def address(self) -> str:
        """As DVC calls it from the root: projects/gama/dvc.yaml:train@gama."""
        return self.name if self.file == "dvc.yaml" else f"{self.file}:{self.name}"

    @property
    def stage(self) -> str:
        """The module's own name: train; tables for the join of a paper."""
        return self.module.rpartition(".")[2]

    @property
    def key(self) -> str:
        """The name of its code file: train@gama, or score."""
        return f"{self.stage}@{self.variant}" if self.variant else self.stage


def paper_folder(root: Path, paper: str) -> Path:
    """Return projects/<paper>, or shared_data for the paper of that name."""
    return root / "shared_data" if paper == "shared_data" else root / "projects" / paper


def dvc_files(root: Path) -> list[Path]:
    """Every dvc.yaml of the repository: the root's, shared_data's, the papers'."""
    found = [root / "dvc.yaml", root / "shared_data" / "dvc.yaml", *sorted(root.glob("projects/*/dvc.yaml"))]
    return [file for file in found if file.is_file()]


def read_pipelines(root: Path, *, profile: str) -> tuple[Stage, ...]:
    """All stages of the repository for a profile. Raises PipelineError."""
    return tuple(
        stage for file in dvc_files(root) for stage in read_pipeline(file, root=root, profile=profile)
    )


def read_pipeline(file: Path, *, root: Path, profile: str) -> tuple[Stage, ...]:
    """The stages of one dvc.yaml for a profile. Raises PipelineError."""
    content = _yaml(file)
    values: dict[str, Any] = {}
    for name in content.get("vars") or []:
        if isinstance(name, str):
            values |= _yaml((file.parent / name).resolve())
        else:
            values |= name
    values["profile"] = profile
    where = file.relative_to(root).as_posix()
    stages = []
    for name, raw in (content.get("stages") or {}).items():
        try:
            stages += [
                _stage(where, full, body, slots) for full, body, slots in _items(str(name), raw, values)
            ]
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise PipelineError(
                f"{where}: stage {name}: {error!r} is not in its item or in the vars"
            ) from error
    return tuple(stages)


def ancestors(stages: tuple[Stage, ...], of: Stage) -> set[Stage]:
    """The stages that a stage stands on, near and far: each writes what it, or one of them, reads."""
    found: set[Stage] = set()
    todo = [of]
    while todo:
        reader = todo.pop()
        for writer in stages:
            if (
                writer not in found
                and writer != of
                and any(overlap(dep, out) for dep in reader.deps for out in writer.outs)
            ):
                found.add(writer)
                todo.append(writer)
    return found


def locked_outputs(root: Path) -> dict[str, str]:
    """Path -> hash of every output that a dvc.lock of the repository records."""
    outputs: dict[str, str] = {}
    for lock in [root / "dvc.lock", root / "shared_data" / "dvc.lock", *root.glob("projects/*/dvc.lock")]:
        if lock.is_file():
            for stage in (_yaml(lock).get("stages") or {}).values():
                outputs |= {out["path"]: str(out.get("md5", "")) for out in stage.get("outs") or []}
    return outputs


def overlap(one: str, other: str) -> bool:
    """Whether one of two paths is the other or lies in it."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _items(
    name: str, raw: Mapping[str, Any], values: dict[str, Any]
) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    if "foreach" in raw:
        each = _fill(raw["foreach"], values)
        pairs = each.items() if isinstance(each, Mapping) else ((str(one), one) for one in each)
        for key, item in pairs:
            yield f"{name}@{key}", raw["do"], {**values, "key": key, "item": item}
    elif "matrix" in raw:
        axes = {axis: list(_fill(some, values)) for axis, some in raw["matrix"].items()}
        for row in itertools.product(*axes.values()):
            item = dict(zip(axes, row))
            yield f"{name}@{'-'.join(map(str, row))}", raw, {**values, "item": item}
    else:
        yield name, raw, values


def _stage(file: str, name: str, raw: Mapping[str, Any], values: Mapping[str, Any]) -> Stage:
    lines = raw["cmd"] if isinstance(raw["cmd"], list) else [raw["cmd"]]
    command = " && ".join(" ".join(str(_fill(line, values)).split()) for line in lines)
    found = _MODULE.search(command)
    base = Path(file).parent / str(raw.get("wdir", "."))

    def paths(some: Any) -> tuple[str, ...]:
        names = (next(iter(one)) if isinstance(one, Mapping) else one for one in some or [])
        return tuple(dict.fromkeys(_normal(base / str(_fill(one, values))) for one in names))

    return Stage(
        file=file,
        name=name,
        command=command,
        module=found[1] if found else "",
        variant=found[2] if found else None,
        deps=paths(raw.get("deps")),
        outs=paths(raw.get("outs")),
    )


def _fill(text: Any, values: Mapping[str, Any]) -> Any:
    """`text` with its ${...} filled in; the value itself where `text` is nothing else."""
    if not isinstance(text, str):
        return text
    whole = _SLOT.fullmatch(text.strip())
    if whole:
        return _value(whole, values)
    return _SLOT.sub(lambda found: str(_value(found, values)), text)


def _value(found: re.Match[str], values: Mapping[str, Any]) -> Any:
    value: Any = values
    for name in found[1].split("."):
        value = value[name]
    for place in re.findall(r"\d+", found[2]):
        value = value[int(place)]
    return value


def _normal(path: Path) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _yaml(path: Path) -> dict[str, Any]:
    import yaml  # not at the top: every stage imports this module

    try:
        return dict(_parsed(path, path.stat().st_mtime_ns))
    except (OSError, yaml.YAMLError, TypeError, ValueError) as error:
        raise PipelineError(f"{path}: not readable: {error}") from error


@cache
def _parsed(path: Path, _changed: int) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), Loader=loader) or {}

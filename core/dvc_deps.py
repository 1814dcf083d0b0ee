"""Keeps the code `deps` of every DVC stage equal to what its module imports, so that no number is ever stale.

    python -m core.dvc_deps [--write] [dvc.yaml ...]

For each stage with `python -m MODULE` (or `accelerate launch ... -m MODULE`) the dependencies that are Python
files of this repository must be MODULE and everything it imports, directly or not, also inside functions.
`__init__.py` files are left out: they hold a docstring and nothing else, which a contract test demands.
`--write` adds the missing lines and removes the superfluous ones; comments and other lines stay as they are.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

PACKAGES = ("core", "projects", "shared_data")
_MODULE = re.compile(rf"-m\s+((?:{'|'.join(PACKAGES)})(?:\.\w+)+)")


class DepsError(ValueError):
    """A dvc.yaml whose stages cannot be compared with their code; the message names file and stage."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What the code deps of one stage lack or have too much; paths relative to the repository's root."""

    file: Path
    stage: str
    missing: tuple[str, ...]
    superfluous: tuple[str, ...]


def compare(file: Path, *, root: Path) -> list[Difference]:
    """Return the stages of `file` whose code deps differ from their import closure. Raises DepsError."""
    differences = []
    for name, stage in _stages(file).items():
        modules = _MODULE.findall(_command(stage))
        if not modules:
            continue
        base = _base(file, stage)
        wanted = {path for module in modules for path in _closure_of(file, name, module, root)}
        listed = {
            _relative(str(dep), base, root) for dep in stage.get("deps") or [] if _is_code(dep, base, root)
        }
        missing, superfluous = tuple(sorted(wanted - listed)), tuple(sorted(listed - wanted))
        if missing or superfluous:
            differences.append(Difference(file=file, stage=name, missing=missing, superfluous=superfluous))
    return differences


def write(file: Path, *, root: Path) -> list[Difference]:
    """Rewrite the code deps of `file` where they differ and return what was changed."""
    differences = compare(file, root=root)
    for difference in differences:  # one stage at a time: every edit moves the lines after it
        text = file.read_text(encoding="utf-8")
        file.write_text(_edited(text, difference, root=root), encoding="utf-8")
    left = compare(file, root=root)
    if left:
        raise DepsError(f"{file}: stage {left[0].stage}: could not be rewritten; edit its deps by hand")
    return differences


def closure(module: str, *, root: Path) -> tuple[str, ...]:
    """Return the files of `module` and of all that it imports in the repository, relative to `root`."""
    graph = _graph(root)
    names = {module, *graph.find_upstream_modules(module)}
    files = (Path(*name.split(".")).with_suffix(".py") for name in names)
    return tuple(sorted(file.as_posix() for file in files if (root / file).is_file()))


def commands(file: Path) -> Iterator[tuple[str, str]]:
    """Yield (stage name, command) of `file` with every `matrix` and `foreach` item filled in."""
    for name, stage in _stages(file).items():
        command = _command(stage)
        for item in _items(stage):
            yield name, _filled(command, item)


def dvc_files(root: Path) -> list[Path]:
    """Return every dvc.yaml of the repository: the root's, shared_data's, the papers'."""
    candidates = [
        root / "dvc.yaml",
        root / "shared_data" / "dvc.yaml",
        *sorted(root.glob("projects/*/dvc.yaml")),
    ]
    return [file for file in candidates if file.is_file()]


@cache
def _graph(root: Path) -> Any:
    import grimp

    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    packages = [name for name in PACKAGES if (root / name / "__init__.py").is_file()]
    return grimp.build_graph(packages[0], *packages[1:], exclude_type_checking_imports=True, cache_dir=None)


def _closure_of(file: Path, stage: str, module: str, root: Path) -> tuple[str, ...]:
    if module not in _graph(root).modules:
        raise DepsError(f"{file}: stage {stage} runs {module}, which does not exist")
    return closure(module, root=root)


def _stages(file: Path) -> dict[str, dict[str, Any]]:
    content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    stages = {}
    for name, stage in (content.get("stages") or {}).items():
        inner = stage.get("do")
        stages[str(name)] = {**inner, "foreach": stage["foreach"]} if inner else stage
    return stages


def _command(stage: Mapping[str, Any]) -> str:
    command = stage.get("cmd") or ""
    lines = command if isinstance(command, list) else [command]
    return " && ".join(" ".join(str(line).split()) for line in lines)


def _items(stage: Mapping[str, Any]) -> list[dict[str, str]]:
    if "matrix" in stage:
        axes = stage["matrix"]
        rows = itertools.product(*axes.values())
        return [{f"item.{axis}": str(value) for axis, value in zip(axes, row)} for row in rows]
    if "foreach" in stage:
        each = stage["foreach"]
        if isinstance(each, dict):
            return [{"key": str(key), **_item(value)} for key, value in each.items()]
        return [_item(value) for value in each]
    return [{}]


def _item(value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        return {f"item.{key}": str(each) for key, each in value.items()}
    return {"item": str(value)}


def _filled(command: str, item: Mapping[str, str]) -> str:
    return re.sub(r"\$\{\s*([\w.]+)\s*\}", lambda found: item.get(found[1], found[0]), command)


def _base(file: Path, stage: Mapping[str, Any]) -> Path:
    return (file.parent / str(stage.get("wdir", "."))).resolve()


def _relative(dep: str, base: Path, root: Path) -> str:
    return Path(os.path.relpath(base / dep, root)).as_posix()


def _is_code(dep: Any, base: Path, root: Path) -> bool:
    return (
        isinstance(dep, str) and dep.endswith(".py") and _relative(dep, base, root).split("/")[0] in PACKAGES
    )


def _edited(text: str, difference: Difference, *, root: Path) -> str:
    """Return `text` with the deps of one stage corrected, line by line."""
    stage = _mapping_at(yaml.compose(text), "stages", difference.stage)
    inner = _mapping_at(stage, "do")
    stage = inner if inner is not None else stage
    values = {key.value: value for key, value in stage.value}
    wdir = values["wdir"].value if "wdir" in values else "."
    base = (difference.file.parent / wdir).resolve()
    lines = text.splitlines(keepends=True)
    missing = [Path(os.path.relpath(root / path, base)).as_posix() for path in difference.missing]

    if "deps" not in values:
        command_key = next(key for key, _ in stage.value if key.value == "cmd")
        margin = " " * command_key.start_mark.column
        end = _end_line(values["cmd"], lines)
        lines[end:end] = [f"{margin}deps:\n", *(f"{margin}  - {path}\n" for path in missing)]
        return "".join(lines)

    deps = values["deps"]
    key = next(key for key, _ in stage.value if key.value == "deps")
    margin = " " * key.start_mark.column
    superfluous = set(difference.superfluous)
    if deps.flow_style:
        kept = [item.value for item in deps.value if _relative(item.value, base, root) not in superfluous]
        block = [f"{margin}deps:\n", *(f"{margin}  - {path}\n" for path in [*kept, *missing])]
        lines[key.start_mark.line : deps.end_mark.line + 1] = block
        return "".join(lines)

    at = {item.start_mark.line: item.value for item in deps.value if isinstance(item, yaml.ScalarNode)}
    margin = " " * deps.start_mark.column
    out: list[str] = []
    code_ended = False
    last_code = max((line for line, dep in at.items() if _is_code(dep, base, root)), default=max(at))
    for number, line in enumerate(lines):
        dep = at.get(number)
        if dep is not None and _is_code(dep, base, root):
            while missing and missing[0] < dep:
                out.append(f"{margin}- {missing.pop(0)}\n")
            if _relative(dep, base, root) not in superfluous:
                out.append(line)
        else:
            out.append(line)
        if number == last_code and not code_ended:
            out.extend(f"{margin}- {path}\n" for path in missing)
            code_ended = True
    return "".join(out)


def _mapping_at(node: Any, *keys: str) -> Any:
    for name in keys:
        node = next((value for key, value in node.value if key.value == name), None)
        if node is None:
            return None
    return node


def _end_line(node: Any, lines: Sequence[str]) -> int:
    """Return the number of the first line after `node`."""
    mark = node.end_mark
    return int(mark.line) + (1 if mark.column > 0 and mark.line < len(lines) else 0)


def main(argv: list[str] | None = None) -> int:
    """Command line; exit code 1 when something differs and `--write` was not given."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(
        prog="python -m core.dvc_deps", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--write", action="store_true", help="rewrite the deps instead of reporting them")
    parser.add_argument("files", nargs="*", type=Path, help="dvc.yaml files; default: all of the repository")
    arguments = parser.parse_args(argv)
    files = [file.resolve() for file in arguments.files] or dvc_files(root)
    differences = []
    for file in files:
        try:
            differences += write(file, root=root) if arguments.write else compare(file, root=root)
        except DepsError as error:
            print(error, file=sys.stderr)
            return 2
    print("\n".join(report(differences, root=root)) or f"{len(files)} files: the code deps equal the imports")
    if differences and not arguments.write:
        print("write them with: python -m core.dvc_deps --write", file=sys.stderr)
        return 1
    return 0


def report(differences: Sequence[Difference], *, root: Path) -> list[str]:
    """Return one line for each missing or superfluous dependency."""
    lines = []
    for each in differences:
        where = f"{os.path.relpath(each.file, root)}: {each.stage}"
        lines += [f"{where}: + {path}" for path in each.missing]
        lines += [f"{where}: - {path}" for path in each.superfluous]
    return lines


if __name__ == "__main__":
    sys.exit(main())

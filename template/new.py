"""Make a paper folder that runs: `python template/new.py NAME`, or `nox -s new_project -- NAME`.

Copies template/paper to projects/NAME and its test to tests/projects/NAME, and appends the stage that joins
its tables to the root dvc.yaml.
"""

from __future__ import annotations

import keyword
import re
import shutil
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
WORD = "paper_name"  # what the template's files say instead of the name


def main(arguments: list[str]) -> int:
    """Return 0, or 2 with a message when the name cannot be used."""

    if len(arguments) != 1:
        return _refuse("give one name: nox -s new_project -- NAME")
    name = arguments[0]
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        return _refuse(
            f"'{name}' cannot be a package: use lower-case letters, digits and _ (such as my_paper)"
        )
    folder, test = ROOT / "projects" / name, ROOT / "tests" / "projects" / name / f"test_{name}.py"
    for taken in (folder, test):
        if taken.exists():
            return _refuse(f"{taken.relative_to(ROOT)} exists already; choose another name or remove it")
    pipeline = ROOT / "dvc.yaml"
    text = pipeline.read_text(encoding="utf-8") if pipeline.exists() else "stages:\n"
    stage = (ROOT / "template" / "root_stage.yaml").read_text(encoding="utf-8").replace(WORD, name)

    shutil.copytree(ROOT / "template" / "paper", folder, ignore=shutil.ignore_patterns("__pycache__"))
    test.parent.mkdir(parents=True)
    shutil.copy(ROOT / "template" / f"test_{WORD}.py", test)
    for file in [*(path for path in folder.rglob("*") if path.is_file()), test]:
        file.write_text(file.read_text(encoding="utf-8").replace(WORD, name), encoding="utf-8")
    pipeline.write_text(with_stage(text, stage), encoding="utf-8")
    print(f"projects/{name}, tests/projects/{name} and a stage in dvc.yaml are made; now:")
    print(f"  dvc repro projects/{name}")
    return 0


def with_stage(text: str, stage: str) -> str:
    """Return the text of a dvc.yaml with `stage` (indented by two) as the last of its stages."""
    root = yaml.compose(text)
    pairs = root.value if root is not None else []
    end = next((value.end_mark for key, value in pairs if key.value == "stages"), None)
    lines = text.splitlines(keepends=True)
    at = len(lines) if end is None or end.line >= len(lines) - 1 else end.line
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return "".join([*lines[:at], *([] if end is not None else ["stages:\n"]), stage, *lines[at:]])


def _refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Rules that hold for the whole repository: imports, docstring-only packages."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.run.pipeline import dvc_files

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("core", "projects", "shared_data")
DVC_FILES = dvc_files(ROOT)
INITS = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("__init__.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
    ]
    return subprocess.run([*command, "--no-cache"], cwd=folder, capture_output=True, text=True)


def test_import_rules_hold() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


BROKEN = (  # file, a line, the contract that it breaks
    ("projects/new_a/train.py", "import projects.new_b.train", "Papers never import each other"),
    ("core/losses/__init__.py", "import projects.new_b.train", "Core knows no paper"),
    ("core/losses/__init__.py", "import shared_data", "Core knows no paper"),
    ("projects/new_a/train.py", "import shared_data", "Papers and shared data meet in files"),
    ("projects/new_a/train.py", "import mlflow", "Only core.run.mlflow_store imports mlflow"),
    ("core/run/stage.py", "import mlflow", "Only core.run.mlflow_store imports mlflow"),
    ("core/run/files.py", "import torch", "Tables, claims, configuration and language clients need no torch"),
)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Contract -> what import-linter says of it where every line of BROKEN is added."""
    folder = tmp_path_factory.mktemp("broken")
    for package in PACKAGES:
        for source in (ROOT / package).rglob("*.py"):
            copy = folder / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
    for paper in ("new_a", "new_b"):
        (folder / "projects" / paper).mkdir()
        (folder / "projects" / paper / "__init__.py").write_text("")
        (folder / "projects" / paper / "train.py").write_text("")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for file, line, _ in BROKEN:
        with open(folder / file, "a") as changed:
            changed.write(f"\n\ndef _late() -> None:\n    {line}\n")
    done = lint_imports(folder)
    assert done.returncode != 0
    _, _, said = done.stdout.partition("Broken contracts")
    return {part.partition("\n")[0]: part for part in re.split(r"\n(?=[^\n]+\n-+\n)", said)}


@pytest.mark.parametrize(("file", "line", "contract"), BROKEN)
def test_import_rules_bite_also_on_new_folders(
    broken: dict[str, str], file: str, line: str, contract: str
) -> None:
    importer = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    (said,) = (part for name, part in broken.items() if name.startswith(contract))
    assert f"{importer} -> {line.removeprefix('import ')} (" in said


@pytest.mark.parametrize("path", INITS, ids=name)
def test_package_files_hold_one_docstring_and_nothing_else(path: Path) -> None:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_with_code_is_a_package(package: str) -> None:
    folders = {path.parent for path in (ROOT / package).rglob("*.py") if "raw" not in path.parts}
    assert folders
    assert [name(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("path", DVC_FILES, ids=name)
def test_no_stage_is_frozen(path: Path) -> None:
    assert not re.search(r"^\s*frozen\s*:", path.read_text(encoding="utf-8"), flags=re.MULTILINE)

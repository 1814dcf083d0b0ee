"""The repository's descriptions without its code and data: what the doctor reads of any tree."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAPERS = ("compa", "gama", "mmau")


def describe(root: Path) -> Path:
    """Copy dvc.yaml, rows.yaml, conf/ and paper.yaml of shared_data and all papers; stages as empty files."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, root / name)
    for folder in ("shared_data", *(f"projects/{paper}" for paper in PAPERS)):
        (root / folder).mkdir(parents=True)
        shutil.copytree(ROOT / folder / "conf", root / folder / "conf")
        for name in ("dvc.yaml", "rows.yaml", "paper.yaml"):
            if (ROOT / folder / name).is_file():
                shutil.copy(ROOT / folder / name, root / folder / name)
        for module in (ROOT / folder).glob("*.py"):
            (root / folder / module.name).touch()  # rows.yaml may name them
    return root


def without_dependency(file: Path, text: str) -> None:
    """Take the dependency lines that hold `text` out of a dvc.yaml."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not (line.strip().startswith("- ") and text in line)]
    assert len(kept) < len(lines)
    file.write_text("".join(kept), encoding="utf-8")

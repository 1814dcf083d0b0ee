"""core.dvc_deps: finds and writes the code deps of DVC stages, and touches nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from core.dvc_deps import DepsError, commands, compare, report, write
from core.dvc_deps import main as command_line

FILES = {
    "core/__init__.py": "",
    "core/a.py": "import core.b\n",
    "core/b.py": "def f():\n    import core.sub.c\n",
    "core/sub/__init__.py": "",
    "core/sub/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import core.unused\n",
    "core/unused.py": "",
    "projects/__init__.py": "",
    "projects/demo/__init__.py": "",
    "projects/demo/train.py": "import core.a\nfrom projects.demo import model\n",
    "projects/demo/model.py": "import os\n",
}
CLOSURE = ["core/a.py", "core/b.py", "core/sub/c.py", "projects/demo/model.py", "projects/demo/train.py"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny repository; grimp looks packages up as `import` would, so ours are hidden from it."""
    for file, text in FILES.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    for module in [name for name in sys.modules if name.split(".")[0] in ("core", "projects", "shared_data")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def dvc_file(root: Path, text: str) -> Path:
    path = root / "projects" / "demo" / "dvc.yaml"
    path.write_text(text)
    return path


BLOCK = """\
# the whole pipeline
stages:
  train:  # one variant each
    matrix:
      variant: [vanilla, modular]
    wdir: ../..
    cmd: accelerate launch -m projects.demo.train ${item.variant} --profile ${profile}
    deps:
      # data
      - shared_data/datasets/${profile}
      # code
      - core/b.py    # kept with its remark
      - core/unused.py
      - projects/demo/train.py
    params:
      - ../x.yaml:
    outs:
      - out/${item.variant}:
          cache: false
  other:
    cmd: echo nothing
"""


def test_missing_and_superfluous_deps_are_named(root: Path) -> None:
    path = dvc_file(root, BLOCK)
    assert report(compare(path, root=root), root=root) == [
        "projects/demo/dvc.yaml: train: + core/a.py",
        "projects/demo/dvc.yaml: train: + core/sub/c.py",
        "projects/demo/dvc.yaml: train: + projects/demo/model.py",
        "projects/demo/dvc.yaml: train: - core/unused.py",
    ]


def test_write_changes_those_lines_only(root: Path) -> None:
    path = dvc_file(root, BLOCK)
    write(path, root=root)
    old, new = BLOCK.splitlines(), path.read_text().splitlines()
    assert [line for line in new if line not in old] == [
        "      - core/a.py",
        "      - core/sub/c.py",
        "      - projects/demo/model.py",
    ]
    assert [line for line in old if line not in new] == ["      - core/unused.py"]
    listed = [line.split()[1] for line in new if line.strip().startswith("- ") and ".py" in line]
    assert listed == CLOSURE
    assert "# kept with its remark" in path.read_text()
    before = path.read_text()
    assert write(path, root=root) == []
    assert path.read_text() == before


@pytest.mark.parametrize(
    "text",
    [
        "stages:\n  train:\n    wdir: ../..\n    cmd: RUN\n",
        "stages:\n  train:\n    cmd: >-\n      RUN\n      --profile x\n    wdir: ../..\n",
        "stages:\n  train:\n    wdir: ../..\n    deps: [core/unused.py, data]\n    cmd: RUN\n",
        "stages:\n  train:\n    wdir: ../..\n    cmd: RUN\n    deps:\n    - data\n",
        "stages:\n  train:\n    wdir: ../..\n    cmd: [echo, RUN]\n    deps:\n      - core/unused.py",
        "stages:\n  train:\n    foreach: [a, b]\n    do:\n      wdir: ../..\n      cmd: RUN ${item}\n",
        "stages:\n  train:\n    cmd: RUN\n    deps:\n      - train.py\n      - ../../core/unused.py\n",
    ],
    ids=["none", "folded", "flow", "data-only", "list-of-commands", "foreach", "own-folder"],
)
def test_write_in_every_shape_of_stage(root: Path, text: str) -> None:
    path = dvc_file(root, text.replace("RUN", "python -m projects.demo.train"))
    assert compare(path, root=root) != []
    write(path, root=root)
    assert compare(path, root=root) == []
    assert ("data" in path.read_text()) == ("data" in text)


def test_stage_that_runs_an_unknown_module(root: Path) -> None:
    path = dvc_file(root, "stages:\n  train:\n    cmd: python -m projects.demo.trian\n")
    with pytest.raises(
        DepsError, match=r"dvc\.yaml: stage train runs projects\.demo\.trian, which does not exist"
    ):
        compare(path, root=root)


def test_commands_fill_matrix_and_foreach(root: Path) -> None:
    path = dvc_file(
        root,
        "stages:\n"
        "  a:\n    matrix: {variant: [x, y], size: [1, 2]}\n    cmd: m ${item.variant} ${ item.size } ${p}\n"
        "  b:\n    foreach: {k: {v: 1}}\n    do:\n      cmd: m ${key} ${item.v}\n"
        "  c:\n    cmd: plain\n",
    )
    expected = [
        "m x 1 ${p}",
        "m x 2 ${p}",
        "m y 1 ${p}",
        "m y 2 ${p}",
        "m k 1",
        "plain",
    ]
    assert [command for _, command in commands(path)] == expected


def test_command_line_reports_a_file_of_this_repository(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(__file__).resolve().parents[2]
    path = tmp_path / "dvc.yaml"
    path.write_text(f"stages:\n  a:\n    wdir: {root}\n    cmd: python -m core.run.files\n    deps: []\n")
    assert command_line([str(path)]) == 1
    assert "a: + core/run/files.py" in capsys.readouterr().out
    assert command_line(["--write", str(path)]) == 0
    assert command_line([str(path)]) == 0
    assert "core/run/files.py" in path.read_text()

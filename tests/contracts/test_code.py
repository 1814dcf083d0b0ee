"""What makes a stage stale: code by meaning, libraries, configuration; and the shape of the rooms."""

from __future__ import annotations

import ast
import graphlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from core.run import code
from core.run.pipeline import dvc_files, read_pipeline, read_pipelines
from core.run.source import read_source

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = [file.parent for file in dvc_files(ROOT) if file.parent != ROOT]


def test_reading_the_pipelines_agrees_with_dvc() -> None:
    script = (
        "import json; from dvc.repo import Repo; stages = Repo('.').index.stages; "
        "print(json.dumps({s.addressing: [sorted(d.def_path if s.wdir == s.repo.root_dir else str(d) "
        "for d in s.deps if 'params' not in type(d).__name__.lower()), sorted(o.def_path for o in s.outs)] "
        "for s in stages}))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout.splitlines()[-1])
    profile = yaml.safe_load((ROOT / "params.yaml").read_text())["profile"]
    ours = {
        stage.address: [sorted(stage.deps), sorted(stage.outs)]
        for stage in read_pipelines(ROOT, profile=profile)
    }
    assert {name: [sorted(set(deps)), outs] for name, (deps, outs) in theirs.items()} == ours


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_the_stage_code_reads_every_module_of_its_folder(folder: Path) -> None:
    (stage,) = (s for s in read_pipeline(folder / "dvc.yaml", root=ROOT, profile="mini") if s.name == "code")
    run = {s.module for s in read_pipeline(folder / "dvc.yaml", root=ROOT, profile="mini") if s.module}
    wanted = {
        name.replace(".", "/") + ".py"
        for module in run
        for name in code.closure(module, root=ROOT)
        if name.split(".")[0] != "core" and not name.startswith("shared_data.world")
    }
    listed = {dep for dep in stage.deps if dep.endswith(".py")}
    assert listed == wanted, "list these modules under the deps of the stage `code`"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_every_stage_depends_on_its_code_file(folder: Path) -> None:
    for stage in read_pipeline(folder / "dvc.yaml", root=ROOT, profile="mini"):
        if stage.name == "code":
            continue
        file = (folder / "code" / "mini" / f"{stage.key}.json").relative_to(ROOT).as_posix()
        assert file in stage.deps, f"{stage.address}: add {file} to its deps"


def test_nothing_runs_back_up() -> None:
    graph: dict[str, set[str]] = {}
    for one, other in code.rooms(ROOT):
        graph.setdefault(one, set()).add(other)
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_neutral_modules_only_watch() -> None:
    """They draw nothing, count with nothing that counts, and only the frame of a stage calls them."""
    for name in sorted(code.NEUTRAL):
        path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
        imported = {
            alias.name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
        }
        assert not imported & {"numpy", "torch", "random", "transformers"}, name


# What a stage may take from a neutral module: it gets its own items back, and hands over what it logs.
SHOWS = {"core.run.progress.progress", "core.run.tracking.Tracker", "core.run.tracking.off"}


def test_only_the_frame_of_a_stage_imports_what_watches_it() -> None:
    found = {}
    for path in sorted(path for package in code.PACKAGES for path in (ROOT / package).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if module in code.NEUTRAL or module == "core.run.stage":
            continue
        imports = set(read_source(path).imports)
        for neutral in imports & code.NEUTRAL:
            taken = {name for name in imports if name.startswith(f"{neutral}.")}
            if not taken or taken - SHOWS:
                found[module] = sorted(taken - SHOWS) or [neutral]
    assert found == {}, "what these import could reach a number, and would make nothing stale"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import transformers", {"transformers", "torch", "tokenizers"}),
        ("from peft import LoraConfig", {"peft", "torch", "transformers"}),
        ("import accelerate", {"accelerate", "torch"}),
        ("import json", set()),
    ],
)
def test_a_library_brings_those_that_it_runs_on(tmp_path: Path, line: str, expected: set[str]) -> None:
    path = tmp_path / "core" / "listen.py"
    path.parent.mkdir()
    path.write_text(f"{line}\n")
    assert set(code.code_of("core.listen", root=tmp_path)[1]) == expected

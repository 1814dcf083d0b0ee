"""The conformance test: every folder of projects/ is a paper in the same shape."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.dvc_deps import commands
from core.report.claims import read_claims
from core.report.paper import read_paper, read_reported
from core.run import config

ROOT = Path(__file__).resolve().parents[2]
PAPERS = sorted(path for path in (ROOT / "projects").iterdir() if path.is_dir() and path.name[0] not in "._")
BUILT = [
    path for path in PAPERS if not re.search(r"^status: *planned", (path / "paper.yaml").read_text(), re.M)
]
SHARED = ROOT / "shared_data"
WITH_STAGES = [folder for folder in [*BUILT, SHARED] if (folder / "dvc.yaml").is_file()]
CONFS = sorted(path for folder in [*BUILT, SHARED] for path in folder.glob("conf/*.yaml"))


@dataclass(frozen=True)
class Call:
    """One command of a dvc.yaml that runs a stage of its own folder."""

    folder: Path
    module: str
    variant: str | None

    @property
    def stage(self) -> str:
        return self.module.rpartition(".")[2]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.suffix else path.name


def calls() -> Iterator[Call]:
    seen = set()
    for folder in WITH_STAGES:
        prefix = ".".join(folder.relative_to(ROOT).parts)
        for _, command in commands(folder / "dvc.yaml"):
            for part in command.split("&&"):
                words = shlex.split(part)
                modules = [word for word in words if word.startswith(f"{prefix}.")]
                if not modules:
                    continue
                rest = words[words.index(modules[0]) + 1 :]
                variant = rest[0] if rest and not rest[0].startswith("-") else None
                call = Call(folder, modules[0], variant)
                if call not in seen:
                    seen.add(call)
                    yield call


CALLS = list(calls())
FILLED = [(call, path.stem) for call in CALLS for path in sorted(call.folder.glob("conf/*.yaml"))]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in [*PAPERS, SHARED]
    for path in folder.glob("*.py")
    if path.name != "__init__.py"
)


@pytest.mark.parametrize("paper", PAPERS, ids=name)
def test_paper_is_described(paper: Path) -> None:
    for file in ("paper.yaml", "reported.csv", "README.md", "__init__.py"):
        assert (paper / file).is_file(), file
    described = read_paper(paper)
    read_reported(paper, paper=described)  # unknown rows and columns raise
    assert (paper / "README.md").read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("paper", BUILT, ids=name)
def test_built_paper_has_its_files(paper: Path) -> None:
    for file in ("claims.yaml", "dvc.yaml", "conf/mini.yaml", "conf/paper.yaml"):
        assert (paper / file).is_file(), file
    assert read_claims(paper, paper=read_paper(paper))


@pytest.mark.parametrize("paper", BUILT, ids=name)
def test_readme_lists_deviations(paper: Path) -> None:
    readme = (paper / "README.md").read_text(encoding="utf-8")
    section = re.search(r"^##+ [^\n]*deviations[^\n]*\n(.*?)(?=^#|\Z)", readme, re.M | re.S | re.I)
    assert section, "README.md needs a section 'Deviations'"
    assert section[1].strip()


@pytest.mark.parametrize("paper", BUILT, ids=name)
def test_root_joins_its_tables(paper: Path) -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    stage = stages[f"projects/{paper.name}"]
    outs = [next(iter(out)) if isinstance(out, dict) else out for out in stage["outs"]]
    assert outs == [f"paper_tables/{paper.name}"]
    for dep in ("results", "paper.yaml", "reported.csv", "claims.yaml"):
        assert f"projects/{paper.name}/{dep}" in stage["deps"]


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_and_says_what_it_does(module: str) -> None:
    assert (importlib.import_module(module).__doc__ or "").strip()


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.module}-{call.variant}")
def test_stage_says_what_it_reads_and_writes(call: Call) -> None:
    doc = (importlib.import_module(call.module).__doc__ or "").lower()
    assert "read" in doc
    assert "write" in doc


@pytest.mark.parametrize(
    ("call", "profile"), FILLED, ids=[f"{call.module}-{call.variant}-{profile}" for call, profile in FILLED]
)
def test_configuration_fills_the_stage(call: Call, profile: str) -> None:
    schema: Any = importlib.import_module(call.module).Config  # type: ignore[attr-defined]
    filled = config.load(schema, folder=call.folder, profile=profile, stage=call.stage, variant=call.variant)
    assert isinstance(filled, schema)


@pytest.mark.parametrize("path", CONFS, ids=name)
def test_configuration_file_holds_no_interpolation_alias_or_dead_section(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "${" not in text, "DVC does not resolve ${...} in parameter files"
    aliases = [event for event in yaml.parse(text) if isinstance(event, yaml.AliasEvent)]
    assert not aliases, "`dvc exp run -S` silently leaves parameters under YAML aliases as they were"
    stages = {call.stage for call in CALLS if call.folder == path.parents[1]}
    assert set(yaml.safe_load(text)) <= stages
    for stage in stages:
        named = {call.variant for call in CALLS if call.folder == path.parents[1] and call.stage == stage}
        assert set(config.variants(path.parents[1], profile=path.stem, stage=stage)) <= named, (
            f"{stage}: variants that no DVC stage runs"
        )

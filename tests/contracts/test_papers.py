"""The conformance test: every folder of projects/ is a paper in the same shape."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.report.claims import read_claims
from core.report.paper import models_of, read_paper, read_reported
from core.run import config
from core.run.pipeline import Stage, read_pipeline
from core.run.rows import SETS, check_rows, read_rows

ROOT = Path(__file__).resolve().parents[2]
PAPERS = sorted(path for path in (ROOT / "projects").iterdir() if path.is_dir() and path.name[0] not in "._")
BUILT = [
    path for path in PAPERS if not re.search(r"^status: *planned", (path / "paper.yaml").read_text(), re.M)
]
SHARED = ROOT / "shared_data"
WITH_STAGES = [folder for folder in [*BUILT, SHARED] if (folder / "dvc.yaml").is_file()]
CONFS = sorted(path for folder in [*BUILT, SHARED] for path in folder.glob("conf/*.yaml"))
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in [*PAPERS, SHARED]
    for path in folder.glob("*.py")
    if path.name != "__init__.py"
)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.suffix else path.name


def stages_of(folder: Path, profile: str = "mini") -> list[Stage]:
    """The stages of a folder that its own modules make."""
    own = ".".join(folder.relative_to(ROOT).parts)
    stages = read_pipeline(folder / "dvc.yaml", root=ROOT, profile=profile)
    return [stage for stage in stages if stage.module.startswith(f"{own}.")]


STAGES = sorted({stage.module for folder in WITH_STAGES for stage in stages_of(folder)})


@pytest.mark.parametrize("paper", PAPERS, ids=name)
def test_paper_is_described(paper: Path) -> None:
    for file in ("paper.yaml", "reported.csv", "README.md", "__init__.py"):
        assert (paper / file).is_file(), file
    described = read_paper(paper)
    read_reported(paper, paper=described)  # unknown rows and columns raise
    assert (paper / "README.md").read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("paper", BUILT, ids=name)
def test_built_paper_has_its_files(paper: Path) -> None:
    for file in ("claims.yaml", "dvc.yaml", "rows.yaml", "conf/mini.yaml", "conf/paper.yaml"):
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
    for dep in ("code/${profile}/tables.json", "results", "paper.yaml", "reported.csv", "claims.yaml"):
        assert f"projects/{paper.name}/{dep}" in stage["deps"]


@pytest.mark.parametrize("paper", BUILT, ids=name)
def test_every_row_shows_a_model_that_is_asked(paper: Path) -> None:
    """Of rows.yaml, or one that another stage leaves in predictions/."""
    rows = read_rows(paper / "rows.yaml")
    known = {key for section, entries in rows.items() if section != SETS for key in entries}
    shown = {place.split("/")[0] for place in models_of_tables(paper)}
    assert shown <= known, "paper.yaml names models that rows.yaml lacks"


def models_of_tables(paper: Path) -> set[str]:
    described = read_paper(paper)
    return {place for table in described.tables for place in models_of(described, table).values()}


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_and_says_what_it_does(module: str) -> None:
    assert (importlib.import_module(module).__doc__ or "").strip()


@pytest.mark.parametrize("module", STAGES)
def test_stage_says_what_it_reads_and_writes(module: str) -> None:
    doc = (importlib.import_module(module).__doc__ or "").lower()
    assert "read" in doc
    assert "write" in doc


@pytest.mark.parametrize("folder", WITH_STAGES, ids=name)
def test_rows_are_sound(folder: Path) -> None:
    check_rows(folder)


@pytest.mark.parametrize("module", STAGES)
def test_configuration_fills_the_stage(module: str) -> None:
    """In every profile, for every variant."""
    schema: Any = importlib.import_module(module).Config  # type: ignore[attr-defined]
    folder = ROOT.joinpath(*module.split(".")[:-1])
    for path in sorted(folder.glob("conf/*.yaml")):
        for stage in stages_of(folder, path.stem):
            if stage.module == module:
                found = config.load(
                    schema, folder=folder, profile=path.stem, stage=stage.stage, variant=stage.variant
                )
                assert isinstance(found, schema)


@pytest.mark.parametrize("path", CONFS, ids=name)
def test_configuration_file_holds_no_interpolation_alias_or_dead_section(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "${" not in text, "DVC does not resolve ${...} in parameter files"
    aliases = [event for event in yaml.parse(text) if isinstance(event, yaml.AliasEvent)]
    assert not aliases, "`dvc exp run -S` silently leaves parameters under YAML aliases as they were"
    folder = path.parents[1]
    stages = {stage.stage for stage in stages_of(folder)}
    assert set(yaml.safe_load(text)) - {"base"} <= stages
    for stage in stages:
        run = {one.variant for one in stages_of(folder) if one.stage == stage}
        known = config.variants(folder, profile=path.stem, stage=stage)
        assert set(known) <= run, f"{stage}: variants that no DVC stage runs"

"""What the doctor looks at: what stages of DVC's graph read, all of it and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from core.data.card import RAW
from core.data.inputs import DATA, RECORDINGS, Input, inputs, reading_of, work_of
from core.run.graph import read_plan
from core.run.pipeline import overlap
from tests.core.data.doctor_world import PAPERS, ROOT, describe, without_dependency


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return describe(tmp_path)


def places(root: Path, paper: str, profile: str = "paper") -> dict[str, Input]:
    return {one.path: one for one in inputs(root, paper, profile)}


def change(file: Path, *keys: str, to: object) -> None:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    place = content
    for key in keys[:-1]:
        place = place[key]
    if to is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = to
    file.write_text(yaml.safe_dump(content), encoding="utf-8")


@pytest.mark.parametrize("paper", PAPERS)
def test_the_stages_are_those_of_dvc(paper: str) -> None:
    """Of this repository, in the profile of params.yaml, which DVC resolves."""
    profile = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["profile"]
    plan = read_plan(ROOT, f"projects/{paper}")
    theirs = {name for name, stage in plan.stages.items() if "core." not in str(stage.cmd)}
    assert {one.stage.address for one in work_of(ROOT, paper, profile=profile)} == theirs


@pytest.mark.parametrize("paper", PAPERS)
def test_every_input_is_read_by_a_stage_whose_output_is_wanted(root: Path, paper: str) -> None:
    work = work_of(root, paper, profile="paper")
    stages = {one.stage.address: one.stage for one in work}
    wanted = [dep for one in work for dep in one.stage.deps]
    wanted += [f"projects/{paper}/{name}" for name in ("results", "figures")]
    for one in inputs(root, paper, "paper"):
        assert one.path.startswith(f"{RAW}/")
        assert one.read_by
        for address in one.read_by:
            assert any(overlap(dep, out) for out in stages[address].outs for dep in wanted), address
    assert not [one.path for one in inputs(root, paper, "paper") if "manifest" in one.path]


@pytest.mark.parametrize("paper", PAPERS)
def test_every_path_of_the_configuration_is_covered(root: Path, paper: str) -> None:
    """Whatever stands under shared_data/raw in the resolved configuration of a stage behind the tables."""
    found = inputs(root, paper, "paper")
    texts = [str(one.config) for one in work_of(root, paper, profile="paper") if not one.without]
    named = {part for text in texts for part in text.split("'") if part.startswith(f"{RAW}/")}
    assert named
    assert not [path for path in named if not any(one.covers(path) for one in found)]


def test_what_no_stage_reads_is_not_asked_for(root: Path) -> None:
    assert any(one.of == "openaqa" for one in inputs(root, "gama", "paper"))
    without_dependency(root / "projects" / "gama" / "dvc.yaml", "/openaqa")
    assert not any(one.of == "openaqa" for one in inputs(root, "gama", "paper"))
    assert not any(one.of == "mmau" for one in inputs(root, "gama", "paper"))
    assert not any(one.of == "vocalsound" for one in inputs(root, "compa", "paper"))


def test_train_splits_follow_the_configuration(root: Path) -> None:
    train = f"{RAW}/clotho/clotho_captions_development.csv"
    assert places(root, "compa")[train].needed
    change(root / "shared_data" / "conf" / "paper.yaml", "datasets", "clotho", "splits", to=["test"])
    found = places(root, "compa")
    assert train not in found
    assert found[f"{RAW}/clotho/clotho_captions_evaluation.csv"].needed


def test_a_set_that_the_world_lacks_is_not_asked_for(root: Path) -> None:
    change(root / "shared_data" / "conf" / "paper.yaml", "datasets", "esc50", to={"absent": "no such set"})
    assert not any(one.of == "esc50" for one in inputs(root, "compa", "paper"))


def test_the_bank_its_lists_and_the_checkpoints(root: Path) -> None:
    found = places(root, "mmau")
    strong = f"{RAW}/audioset_strong"
    assert all(found[f"{strong}/{name}"].needed for name in ("audioset_train_strong.tsv", "audio/"))
    assert found[f"{RAW}/vggsound/vggsound.csv"].needed
    llama, flan = (
        f"{RAW}/checkpoints/{name}"
        for name in ("meta-llama--Llama-2-7b-hf/config.json", "google--flan-t5-large/tokenizer.json")
    )
    assert found[llama].needed
    assert found[llama].read_by == ("shared_data/dvc.yaml:foundations@language_model",)
    assert found[flan].needed
    assert flan.replace("tokenizer", "config") not in found  # no stage opens it
    assert "projects/compa/dvc.yaml:init" in found[flan].read_by
    assert f"{RAW}/checkpoints/htsat-audioset/HTSAT_AudioSet_Saved_1.ckpt" in found
    assert not any("whisper" in path for path in found), "MMAU's rows hear with AST alone"
    assert any("whisper" in path for path in places(root, "gama"))


def test_what_a_row_brings_itself_is_not_needed(root: Path) -> None:
    found = [one for one in inputs(root, "compa", "paper") if one.of == "laion/clap-htsat-fused"]
    assert found
    assert not any(one.needed for one in found)
    laion = f"{RAW}/checkpoints/laion--clap-htsat-fused"
    conf = root / "projects" / "compa" / "conf" / "paper.yaml"
    for stage in ("prepare", "score"):  # before and after the row, in the order of dvc.yaml
        kept = conf.read_text()
        change(conf, stage, "tokenizer", to=laion)
        found = [one for one in inputs(root, "compa", "paper") if one.of == "laion/clap-htsat-fused"]
        assert any(one.needed for one in found), f"{stage} needs it now"
        conf.write_text(kept)


def test_artefacts_of_other_papers_and_endpoints(root: Path) -> None:
    def reading(paper: str):
        return reading_of(work_of(root, paper, profile="paper"), paper=paper)

    assert not reading("compa").artefacts
    gama = [stage.address for stage in reading("gama").artefacts]
    assert gama == [
        f"projects/compa/dvc.yaml:{name}" for name in ("init", "train@vanilla", "train@compa_clap")
    ]
    assert [one.name for one in reading("gama").endpoints] == ["projects/gama/dvc.yaml:judge"]
    judge = {"url": "http://127.0.0.1:8000/v1", "model": "some"}
    change(root / "projects" / "gama" / "conf" / "paper.yaml", "judge", "endpoint", to=judge)
    assert not reading("gama").endpoints


def test_small_profiles_read_no_official_data(root: Path) -> None:
    for paper in PAPERS:
        assert not [one for one in inputs(root, paper, "mini") if one.needed]
        assert [one.path for one in inputs(root, paper, "recorded") if one.needed] == [RECORDINGS]


def test_what_a_place_covers() -> None:
    one = Input(path="a/b/|a/c.csv", of="x", needed=True, read_by=("s",))
    assert one.covers("a/b/deep/file.wav")
    assert one.covers("a/c.csv")
    assert not one.covers("a/bc.wav")
    assert not one.covers("a/c.csv.gz")
    assert set(DATA) >= {"audioset_strong", "mmau_pro"}

"""Where a run stands: from dvc.lock files and the times of the last run; and in a real `dvc repro`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.run import place

ROOT = Path(__file__).resolve().parents[3]
LOCKS = {
    "shared_data": """
stages:
  bank:
    outs: [{path: shared_data/bank/mini}]
  datasets@esc50:
    deps: [{path: shared_data/bank/mini}]
    outs: [{path: shared_data/datasets/recorded/esc50}]
  datasets@gtzan:
    deps: [{path: shared_data/bank/mini}]
    outs: [{path: shared_data/datasets/mini/gtzan}]
""",
    "projects/demo": """
stages:
  train@small:
    deps: [{path: shared_data/datasets/mini/esc50/data.parquet}, {path: core/run/config.py}]
    outs: [{path: projects/demo/checkpoints/mini/small}]
  score:
    deps: [{path: projects/demo/checkpoints/mini}]
    outs: [{path: projects/demo/results/mini}]
""",
    ".": """
stages:
  projects/demo:
    deps: [{path: projects/demo/results}, {path: projects/demo/paper.yaml}]
    outs: [{path: paper_tables/demo}]
""",
}
DEMO = "projects/demo/dvc.yaml:"
SHARED = "shared_data/dvc.yaml:"


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    for folder, text in LOCKS.items():
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "dvc.lock").write_text(text)
    return tmp_path


def test_the_graph_of_locked_stages(locks: Path) -> None:
    assert place.locked_graph(locks) == {
        f"{SHARED}bank": set(),
        f"{SHARED}datasets@esc50": {f"{SHARED}bank"},
        f"{SHARED}datasets@gtzan": {f"{SHARED}bank"},
        f"{DEMO}train@small": {f"{SHARED}datasets@esc50"},  # another profile, and a file in the output
        f"{DEMO}score": {f"{DEMO}train@small"},  # a folder around the output
        "projects/demo": {f"{DEMO}score"},
    }


def test_the_place_of_a_stage(locks: Path) -> None:
    needs = place.locked_graph(locks)
    train, score = f"{DEMO}train@small", f"{DEMO}score"
    assert place._place(train, ["projects/demo"], needs, [], {}) == "stage 3 of 5"
    known = {train: 600.0, score: 30.0, "projects/demo": 30.0}
    assert place._place(train, ["projects/demo"], needs, [], known).endswith("5, at most about 11 min left")
    assert place._place(score, [score], needs, [train], known) == "stage 4 of 4, at most about 30 s left"
    assert place._place(score, ["projects/demo/dvc.yaml"], needs, [], known).startswith("stage 4 of 4")
    assert place._place(f"{SHARED}datasets@gtzan", ["projects/demo"], needs, [], known) == ""
    assert place._place(f"{DEMO}new", ["projects/demo"], needs, [], known) == ""


def test_times_are_kept_by_profile(tmp_path: Path) -> None:
    place.remember(tmp_path, profile="mini", stage="a", seconds=1.26)
    place.remember(tmp_path, profile="mini", stage="b", seconds=9.0)
    place.remember(tmp_path, profile="paper", stage="a", seconds=5e4)
    assert place.seconds_of(tmp_path, "mini") == {"a": 1.3, "b": 9.0}
    assert place.guessed(["a", "c"], {"a": 1.0, "b": 3.0}) == {"a": 1.0, "c": 2.0}


@pytest.mark.parametrize("content", ["", "[1]", '{"mini": {"a": "x"}}', '{"mini": 3}'])
def test_a_broken_file_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / ".dvc" / "tmp" / "seconds.json").write_text(content)
    monkeypatch.setenv("DVC_STAGE", "a")
    monkeypatch.delenv(place.PLACE, raising=False)
    monkeypatch.setattr(place, "dvc_process", lambda: ([1, 2.0], []))
    assert place.begin(tmp_path, profile="mini") == ""
    place.end(tmp_path, profile="mini")
    assert place.seconds_of(tmp_path, "mini").keys() <= {"a"}


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (840, "14 min"), (9000, "2.5 h")]
)
def test_rounded_for_people(seconds: float, said: str) -> None:
    assert place.about(seconds) == f"about {said}"


def test_in_a_real_run(tmp_path: Path) -> None:
    for package in ("projects", "projects/demo"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    for name in ("first", "second"):
        (tmp_path / "projects" / "demo" / f"{name}.py").write_text(
            "from dataclasses import dataclass\nfrom core.run.stage import Context\n\n"
            "@dataclass\nclass Config:\n    text: str\n\n"
            "def work(config: Config, *, context: Context) -> None:\n"
            f"    (context.folder / '{name}.txt').write_text(config.text)\n\n"
            "if __name__ == '__main__':\n    from core.run.stage import run\n    run(work, Config)\n"
        )
    (tmp_path / "projects/demo/conf").mkdir()
    (tmp_path / "projects/demo/conf/mini.yaml").write_text("first: {text: a}\nsecond: {text: b}\n")
    (tmp_path / "params.yaml").write_text("profile: mini\n")
    (tmp_path / "projects/demo/dvc.yaml").write_text(
        "stages:\n"
        "  first: {wdir: ../.., cmd: python -m projects.demo.first, outs: [projects/demo/first.txt]}\n"
        "  second: {wdir: ../.., cmd: python -m projects.demo.second, deps: [projects/demo/first.txt],"
        " outs: [projects/demo/second.txt]}\n"
    )
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "RESOUND_TRACKING": "off",
    }

    def call(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stderr

    dvc = [sys.executable, "-m", "dvc"]
    call("git", "init", "-q")
    call(*dvc, "init", "-q")
    repro = [*dvc, "repro", "projects/demo/dvc.yaml:second", "--force", "--no-run-cache"]
    assert "stage " not in call(*repro)  # nothing is known of a pipeline that never ran
    known = json.loads((tmp_path / ".dvc/tmp/seconds.json").read_text())["mini"]
    assert set(known) == {f"{DEMO}first", f"{DEMO}second"}
    said = call(*repro)
    assert "first: stage 1 of 2, at most about " in said
    assert "second: stage 2 of 2, at most about " in said

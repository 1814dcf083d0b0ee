"""Stages several at a time: the results of `dvc repro`, failures, stops, in a small repository of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.run import graph as pipeline
from core.run import jobs

ROOT = Path(__file__).resolve().parents[3]

# Writes its output from its inputs. What the environment says makes it wait for another stage, fail, or hang.
WORK = """
import os, pathlib, signal, sys, time
out, *inputs = map(pathlib.Path, sys.argv[1:])
pathlib.Path("ran.txt").open("a").write(f"{out.name} {os.environ.get('OMP_NUM_THREADS')}\\n")
if out.name in os.environ.get("FAILS", "").split():
    sys.exit(f"{out.name} cannot be made")
if out.name == os.environ.get("HANGS"):
    def stop(number, frame):
        pathlib.Path("checkpoint").write_text(str(number))
        sys.exit(128 + number)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    pathlib.Path("hangs").touch()
    time.sleep(300)
partner = os.environ.get("MEETS", "").split()
if out.name in partner:
    pathlib.Path(f"{out.name}.here").touch()
    other = pathlib.Path(partner[1 - partner.index(out.name)] + ".here")
    until = time.monotonic() + 120
    while not other.exists():
        if time.monotonic() > until:
            sys.exit("alone")
        time.sleep(0.02)
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text(out.name + "".join(path.read_text() for path in inputs))
"""
FILES = {
    "params.yaml": "# one word\nprofile: mini\n",
    "seed.txt": "seed",
    "dvc.yaml": """
stages:
  projects/demo:
    cmd: python work.py tables/demo projects/demo/score
    deps: [projects/demo/score]
    outs: [tables/demo]
""",
    "shared_data/dvc.yaml": """
stages:
  bank:
    foreach: [left, right]
    do:
      wdir: ..
      cmd: python work.py shared_data/${item} seed.txt
      deps: [seed.txt]
      outs:
        - shared_data/${item}
  unrelated:
    wdir: ..
    cmd: python work.py shared_data/unrelated
    outs: [shared_data/unrelated]
""",
    "projects/demo/dvc.yaml": """
vars:
  - ../../params.yaml
stages:
  train:
    matrix:
      row: [small, large]
    wdir: ../..
    cmd: python work.py projects/demo/${profile}-${item.row} shared_data/left
    deps: [shared_data/left]
    outs:
      - projects/demo/${profile}-${item.row}
  score:
    wdir: ../..
    cmd: >-
      python work.py projects/demo/score projects/demo/${profile}-small projects/demo/${profile}-large
      shared_data/right
    deps:
      - projects/demo/${profile}-small
      - projects/demo/${profile}-large
      - shared_data/right
    outs: [projects/demo/score]
""",
}
ORDER = ["left", "right", "mini-small", "mini-large", "score", "demo"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "repository"
    for name, text in {**FILES, "work.py": WORK}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for name in ("FAILS", "HANGS", "MEETS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    dvc(root, "init", "-q")
    dvc(root, "config", "core.analytics", "false")
    return root


def dvc(root: Path, *arguments: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=root,
        check=True,
        env={**os.environ, "PATH": path},
        capture_output=True,
    )


def start(root: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "core.run.jobs", *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def run(root: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    process = start(root, *arguments, **environment)
    _, said = process.communicate(timeout=300)
    return process.returncode, said


def ran(root: Path) -> list[str]:
    file = root / "ran.txt"
    return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []


def contents(root: Path) -> dict[str, bytes]:
    files = [*root.glob("**/dvc.lock"), *root.glob("shared_data/*"), *root.glob("projects/demo/*")]
    files += [root / "tables" / "demo"]
    return {str(file.relative_to(root)): file.read_bytes() for file in files if file.is_file()}


def test_the_same_as_dvc_repro_with_two_at_a_time(repository: Path) -> None:
    code, said = run(repository, "demo", "--jobs", "2", MEETS="mini-small mini-large")
    assert code == 0, said
    assert sorted(ran(repository)) == sorted(ORDER)  # not the stage that the tables do not need
    assert "stage 6 of 6: projects/demo starts" in said
    assert said.endswith("see tables/demo\n")
    parallel = contents(repository)

    for lock in repository.glob("**/dvc.lock"):
        lock.unlink()
    (repository / "ran.txt").unlink()
    dvc(repository, "repro", "projects/demo", "--force", "--no-run-cache")
    assert contents(repository) == parallel

    assert run(repository, "demo")[0] == 0
    assert len(ran(repository)) == len(ORDER), "nothing was stale"
    known = pipeline.read_plan(repository, "projects/demo").stages
    assert set(jobs.place.seconds_of(repository, "mini")) == set(known)


def test_what_would_run_is_said_of_a_fresh_clone(repository: Path) -> None:
    code, said = run(repository, "demo", "--dry")
    assert code == 0, said
    assert f"projects/demo: {len(ORDER)} of {len(ORDER)} stages would run" in said
    assert not (repository / "ran.txt").exists()
    assert run(repository, "demo")[0] == 0
    assert run(repository, "demo", "--dry")[1].splitlines()[-1].startswith("projects/demo: 0 of")


def test_cores_are_divided_unless_the_user_said_otherwise(repository: Path) -> None:
    share = max(1, jobs.hardware.usable_cores() // 2)
    assert run(repository, "shared_data/dvc.yaml:bank@left", "--jobs", "2")[0] == 0
    assert run(repository, "shared_data/dvc.yaml:bank@right", "--jobs", "2", OMP_NUM_THREADS="7")[0] == 0
    assert (repository / "ran.txt").read_text() == f"left {share}\nright 7\n"


def test_what_comes_out_the_same_ends_the_chain(repository: Path) -> None:
    assert run(repository, "demo")[0] == 0
    bank = repository / "shared_data" / "dvc.yaml"
    bank.write_text(bank.read_text().replace("work.py shared_data/${item}", "./work.py shared_data/${item}"))
    (repository / "ran.txt").unlink()
    code, said = run(repository, "demo")
    assert code == 0
    assert sorted(ran(repository)) == ["left", "right"]
    assert "4 turned out unchanged" in said


def test_a_failure_stops_what_needs_it_and_nothing_else(repository: Path) -> None:
    code, said = run(repository, "demo", FAILS="mini-small")
    assert code == 1
    assert "mini-small cannot be made" in said
    assert "failed: projects/demo/dvc.yaml:train@small; 3 stages run" in said
    assert "2 not run" in said
    assert sorted(ran(repository)) == ["left", "mini-large", "mini-small", "right"]

    (repository / "ran.txt").unlink()
    assert run(repository, "demo")[0] == 0
    assert ran(repository) == ["mini-small", "score", "demo"]


def test_a_signal_ends_it_cleanly_and_the_next_run_goes_on(repository: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        process = start(repository, "demo", "--jobs", "2", HANGS="mini-large")
        until = time.monotonic() + 200
        while not ((repository / "hangs").exists() and "mini-small" in ran(repository)):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(number)
        _, said = process.communicate(timeout=200)
        assert process.returncode == 128 + number, said
        assert "The same command goes on" in said
        assert (repository / "checkpoint").read_text() == str(int(number)), (
            "the stage was asked, and waited for"
        )
        (repository / "hangs").unlink()

    assert run(repository, "demo")[0] == 0
    assert ran(repository).count("left") == 1, "what was done is not done again"
    assert ran(repository)[-2:] == ["score", "demo"]


def test_wrong_requests_say_what_is_wrong(repository: Path) -> None:
    code, said = run(repository, "demi")
    assert (code, "demi" in said) == (2, True)
    (repository / "dvc.yaml").write_text("stages: [")
    code, said = run(repository, "demo")
    assert (code, "dvc.yaml" in said) == (2, True)


def test_a_profile_is_written_where_dvc_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("# one word\nprofile: mini  # small\nother: 1\n")
    assert jobs.choose_profile(tmp_path, None) == "mini"
    assert jobs.choose_profile(tmp_path, "recorded") == "recorded"
    assert file.read_text() == "# one word\nprofile: recorded  # small\nother: 1\n"


def test_the_longest_way_to_the_end_counts() -> None:
    needs = {"bank": set(), "short": {"bank"}, "long": {"bank"}, "score": {"short", "long"}}
    ways = pipeline.longest_ways(needs, {"bank": 1.0, "short": 2.0, "long": 10.0, "score": 3.0})
    assert ways == {"score": 3.0, "long": 13.0, "short": 5.0, "bank": 14.0}

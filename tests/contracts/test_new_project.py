"""`nox -s new_project -- demo` makes a paper that passes the contracts and runs before a line is changed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(
    *(".git", ".nox", ".venv", "__pycache__", "raw", "checkpoints", "predictions"),
    *("mlflow.db*", "mlflow-*", "mlartifacts", ".*_cache", "cache", "tmp", "*.egg-info"),
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A throw-away copy of the repository with the paper `demo`, under git and DVC as the real one."""
    copy = tmp_path_factory.mktemp("repository") / "copy"
    shutil.copytree(ROOT, copy, ignore=left_out)
    run(copy, "git", "init", "--quiet")
    if not (copy / ".dvc").is_dir():
        run(copy, sys.executable, "-m", "dvc", "init", "--quiet")
    (copy / ".dvc" / "tmp").mkdir(exist_ok=True)
    run(copy, sys.executable, "template/new.py", "demo")
    return copy


def left_out(folder: str, names: list[str]) -> set[str]:
    """Made files stay behind, so in shared_data `bank` and `datasets`; world/datasets are modules."""
    data = {"bank", "datasets"} if Path(folder) == ROOT / "shared_data" else set()
    return LEFT_OUT(folder, names) | data


def run(folder: Path, *command: str, code: int = 0) -> str:
    """Run `command` in `folder`; the stages it starts find this Python and the copy's packages."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder), "RESOUND_TRACKING": "off"}
    environment |= {"DVC_NO_ANALYTICS": "1", "CI": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_new_paper_keeps_the_contracts(copy: Path) -> None:
    files = [path for path in (copy / "projects" / "demo").rglob("*") if path.is_file()]
    assert [path for path in files if "paper_name" in path.read_text()] == []
    contracts = [f"tests/contracts/test_{name}.py" for name in ("papers", "repository", "code")]
    pytest_ = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "demo")
    said = run(copy, *pytest_, *contracts, "tests/projects/demo")
    assert int(re.findall(r"(\d+) passed", said)[0]) >= 20
    again = run(copy, sys.executable, "template/new.py", "demo", code=2)
    assert "projects/demo exists already" in again


def test_new_paper_runs_and_runs_again_only_what_changed(copy: Path) -> None:
    def repro(*options: str) -> list[str]:
        said = run(copy, sys.executable, "-m", "dvc", "repro", "projects/demo", *options)
        return [stage.rpartition(":")[2] for stage in re.findall(r"Running stage '([^']*)'", said)]

    crossings = BOTH[1]
    first, *predicted, last, tables = repro()  # DVC chooses among stages that do not wait for each other
    assert (first, sorted(predicted), last, tables) == ("code", BOTH, "score", "projects/demo")
    table = (copy / "paper_tables" / "demo" / "pitch.md").read_text()
    assert "Counting zero crossings" in table
    assert "holds" in (copy / "paper_tables" / "demo" / "claims.md").read_text()
    assert repro("--allow-missing", "--dry") == []
    with edited(
        copy / "projects/demo/rows.yaml", "{method: zero_cross", "{noise_db: 3.0, method: zero_cross"
    ):
        assert repro() == ["code", crossings, "score", "projects/demo"]
    assert (copy / "paper_tables" / "demo" / "pitch.md").read_text() != table


@contextmanager
def edited(path: Path, old: str, new: str) -> Iterator[None]:
    text = path.read_text(encoding="utf-8")
    assert old in text, (path, old)
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


BOTH = ["predict@guess", "predict@zero_crossings"]
ALL = [*BOTH, "score", "tables"]
TOP = "from __future__ import annotations\n"
EDITS = (  # file, old, new, the stages that become stale
    ("projects/demo/predict.py", "DATA_SEED = 1", "DATA_SEED = 2", BOTH),
    ("projects/demo/predict.py", "DATA_SEED = 1  #", "DATA_SEED = 1  # one more word:", []),
    ("projects/demo/predict.py", "Answer which of two tones is higher.", "Say which tone is higher.", []),
    ("projects/demo/predict.py", "    pairs = make_pairs(", "    drawn = pairs = make_pairs(", BOTH),
    ("projects/demo/score.py", 'DATASET = "tone_pairs"', 'DATASET = "tones"', ["score"]),
    ("projects/demo/conf/mini.yaml", "items: 200", "items: 100", BOTH),
    ("projects/demo/conf/mini.yaml", "items: 200", "items: 200  # a comment", []),
    ("projects/demo/rows.yaml", "{method: zero_crossings}", "{method: zero_crossings, items: 99}", BOTH[1:]),
    ("core/report/cells.py", TOP, f"{TOP}X = 1\n", ["score", "tables"]),
    ("core/report/cells.py", TOP, f"# a comment\n\n{TOP}", []),
    ("core/run/stage.py", TOP, f"{TOP}X = 1\n", [*BOTH, "score"]),
    ("core/run/files.py", TOP, f"{TOP}X = 1\n", ALL),
    ("core/run/tracking.py", TOP, f"{TOP}X = 1\n", []),
    ("core/run/progress.py", TOP, f"{TOP}X = 1\n", []),
    ("core/train/weight_files.py", TOP, f"{TOP}X = 1\n", []),
    ("constraints.txt", "\nnumpy==", "\nnumpy==0.", ALL),
    ("constraints.txt", "\nscipy==", "\nscipy==0.", ["score", "tables"]),
    ("constraints.txt", "\ntransformers==", "\ntransformers==0.", []),
)
# Every edit in a process of its own, forked from one that has imported what they share.
WRITE = """
import json, os, pathlib, sys
from core.run.code import main
folder = pathlib.Path("projects/demo/code/mini")
def made():
    if os.fork() == 0:
        os._exit(main(["demo", "--profile", "mini"]))
    assert os.wait()[1] == 0
    return {path.stem: path.read_bytes() for path in folder.iterdir()}
first = made()
for file, old, new, _ in json.loads(sys.argv[1]):
    path = pathlib.Path(file)
    text = path.read_text()
    assert old in text, (file, old)
    path.write_text(text.replace(old, new, 1))
    now = made()
    path.write_text(text)
    assert now.keys() == first.keys()
    print(json.dumps(sorted(key for key in now if now[key] != first[key])))
print(json.dumps(made() == first))
"""


def test_what_changes_makes_stale_what_it_can_move(copy: Path) -> None:
    said = run(copy, sys.executable, "-c", WRITE, json.dumps(EDITS))
    *found, as_before = [json.loads(line) for line in said.splitlines() if line.startswith(("[", "t", "f"))]
    assert as_before is True
    assert [[*edit[:3], stale] for edit, stale in zip(EDITS, found, strict=True)] == [*map(list, EDITS)]


@pytest.mark.parametrize("name", ["My-Paper", "1paper", "class", ""])
def test_name_that_cannot_be_a_package_is_refused(name: str) -> None:
    said = run(ROOT, sys.executable, "template/new.py", name, code=2)
    assert "lower-case letters, digits and _" in said


@pytest.mark.parametrize(
    "text",
    [
        "stages:\n  projects/a:\n    cmd: x\n",
        "stages:\n  projects/a:\n    cmd: x",
        "# first\nstages:\n  projects/a:\n    cmd: x\n\n# last\nmetrics:\n  - m.json\n",
        "metrics: [m.json]\nstages:\n  projects/a:\n    cmd: x\n",
        "stages:\n",
        "metrics: [m.json]\n",
        "",
    ],
)
def test_stage_is_appended_to_any_root_pipeline(text: str) -> None:
    sys.path.insert(0, str(ROOT / "template"))
    try:
        from new import with_stage  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    before, after = yaml.safe_load(text) or {}, yaml.safe_load(with_stage(text, "  new:\n    cmd: y\n"))
    expected = {**before, "stages": {**(before.get("stages") or {}), "new": {"cmd": "y"}}}
    assert after == expected

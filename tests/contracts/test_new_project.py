"""`nox -s new_project -- demo` makes a paper that passes the contracts and runs before a line is changed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(
    *(".git", ".nox", ".venv", "__pycache__", "raw", "bank", "datasets", "checkpoints", "predictions"),
    *("mlflow.db*", "mlflow-*", "mlartifacts", ".*_cache", "cache", "tmp", "*.egg-info"),
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A throw-away copy of the repository, under git and DVC as the real one."""
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    run(copy, "git", "init", "--quiet")
    if not (copy / ".dvc").is_dir():
        run(copy, sys.executable, "-m", "dvc", "init", "--quiet")
    return copy


def run(folder: Path, *command: str, code: int = 0) -> str:
    """Run `command` in `folder`; the stages it starts find this Python and the copy's packages."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder), "RESOUND_TRACKING": "off"}
    environment |= {"DVC_NO_ANALYTICS": "1", "CI": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


BOTH = ["predict@guess", "predict@zero_crossings"]
TOP = "from __future__ import annotations"
CHANGED = f"{TOP}\nX = 1"
EDITS = (  # file, old, new, the stages that become stale
    ("projects/demo/predict.py", "DATA_SEED = 1", "DATA_SEED = 2", BOTH),
    ("projects/demo/predict.py", "DATA_SEED = 1  #", "DATA_SEED = 1  # one more word:", []),
    ("projects/demo/predict.py", "Answer which of two tones is higher.", "Say which tone is higher.", []),
    ("projects/demo/predict.py", "    pairs = make_pairs(", "    drawn = pairs = make_pairs(", BOTH),
    ("projects/demo/score.py", 'DATASET = "tone_pairs"', 'DATASET = "tones"', ["score"]),
    ("projects/demo/conf/mini.yaml", "items: 200", "items: 100", BOTH),
    ("projects/demo/rows.yaml", "{method: zero_crossings}", "{method: zero_crossings, items: 99}", BOTH[1:]),
    (
        "core/report/cells.py",
        "from __future__ import annotations",
        "from __future__ import annotations\nX = 1",
        ["score", "projects/demo"],
    ),
    (
        "core/report/cells.py",
        "from __future__ import annotations",
        "# a comment\nfrom __future__ import annotations",
        [],
    ),
    (
        "core/run/tracking.py",
        "from __future__ import annotations",
        "from __future__ import annotations\nX = 1",
        [],
    ),
    (
        "core/run/stage.py",
        "from __future__ import annotations",
        "from __future__ import annotations\nX = 1",
        [*BOTH, "score"],
    ),
    (
        "core/train/loop.py",
        "from __future__ import annotations",
        "from __future__ import annotations\nX = 1",
        [],
    ),
)


def test_new_paper_runs_and_keeps_the_contracts(copy: Path) -> None:
    run(copy, sys.executable, "template/new.py", "demo")
    files = [path for path in (copy / "projects" / "demo").rglob("*") if path.is_file()]
    assert [path for path in files if "paper_name" in path.read_text()] == []
    pytest_ = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    contracts = [f"tests/contracts/test_{name}.py" for name in ("papers", "repository", "code")]
    said = run(copy, *pytest_, *contracts, "-k", "demo")
    assert int(re.findall(r"(\d+) passed", said)[0]) >= 15
    run(copy, *pytest_, "tests/projects/demo")

    dvc = (sys.executable, "-m", "dvc", "repro", "projects/demo")
    assert run(copy, *dvc).count("Running stage") == 5
    table = (copy / "paper_tables" / "demo" / "pitch.md").read_text()
    assert "Counting zero crossings" in table
    assert "holds" in (copy / "paper_tables" / "demo" / "claims.md").read_text()
    assert "Running stage" not in run(copy, *dvc, "--allow-missing", "--dry")

    # What changes makes stale what it can move, and nothing else.
    def stale() -> list[str]:
        run(copy, sys.executable, "-m", "dvc", "repro", "-s", "projects/demo/dvc.yaml:code")
        found = re.findall(r"Running stage '([^']*)'", run(copy, *dvc, "--dry"))
        return [stage.rpartition(":")[2] for stage in found]

    def edit(file: str, old: str, new: str) -> None:
        path = copy / file
        text = path.read_text(encoding="utf-8")
        assert old in text, (file, old)
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    for file, old, new, wanted in EDITS:
        edit(file, old, new)
        assert stale() == wanted, (file, new)
        edit(file, new, old)
        assert stale() == [], f"{file} is as it was"

    again = run(copy, sys.executable, "template/new.py", "demo", code=2)
    assert "projects/demo exists already" in again


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

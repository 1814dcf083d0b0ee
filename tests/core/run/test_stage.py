"""core.run.stage in real processes: names, profiles, messages, exit codes, seeds, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.run import stage

ROOT = Path(__file__).resolve().parents[3]

WORK = '''
"""Reads nothing; writes results."""
import random, sys, time
from dataclasses import dataclass
from core.run.files import write_text_atomic
from core.run.progress import progress
from core.run.stage import Context

class WrongInput(ValueError):
    """An input of ours is wrong."""

@dataclass(frozen=True)
class Config:
    kind: str
    seed: int = 0

def work(config: Config, *, context: Context) -> None:
    if config.kind == "wrong":
        raise WrongInput("clips.csv line 3: no caption; remove the line or write one")
    if config.kind == "absent":
        raise FileNotFoundError("this profile has no exam: run the stage exams")
    if config.kind == "bug":
        int("a bug")
    if config.kind == "sleep":
        for i in progress(range(10_000), desc="sleep"):
            write_text_atomic(context.path("results", "state"), str(i) * 1000)
            if i == 3:
                print("sleeping", flush=True)
            if i > 3:
                time.sleep(0.05)
    torch = "torch" in sys.modules
    who = f"{context.paper} {context.stage} {context.variant} {context.profile} {context.seed} {torch}"
    where = context.path("results", "a").relative_to(context.root)
    sys.stdout.write(f"{who}\\n{where} {random.random()}\\n")  # in one piece

if __name__ == "__main__":
    from core.run.stage import run
    run(work, Config, processes=True)
'''
CONF = """
work:
  common: {kind: plain}
  plain: {seed: 7}
  wrong: {kind: wrong}
  absent: {kind: absent}
  bug: {kind: bug}
  sleep: {kind: sleep}
"""
Runner = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for folder in ("projects/demo", "shared_data"):
        (tmp_path / folder / "conf").mkdir(parents=True)
        (tmp_path / folder / "__init__.py").write_text("")
        (tmp_path / folder / "work.py").write_text(WORK)
        (tmp_path / folder / "conf" / "mini.yaml").write_text(CONF)
        (tmp_path / folder / "conf" / "big.yaml").write_text(CONF.replace("seed: 7", "seed: 8"))
    (tmp_path / "projects" / "__init__.py").write_text("")
    (tmp_path / "params.yaml").write_text("profile: mini\n")
    return tmp_path


def start(repository: Path, *command: str, **environment: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(repository), str(ROOT)])
    variables = {**os.environ, "PYTHONPATH": path, "RESOUND_TRACKING": "off", **environment}
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=repository,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("command", "paper", "folder"),
    [
        (["-m", "projects.demo.work"], "demo", "projects/demo"),
        (["projects/demo/work.py"], "demo", "projects/demo"),
        (["-m", "shared_data.work"], "shared_data", "shared_data"),
    ],
)
def test_names_come_from_the_module(repository: Path, command: list[str], paper: str, folder: str) -> None:
    code, out, err = finish(start(repository, *command, "plain"))
    assert code == 0, err
    first, second = out.splitlines()
    assert first == f"{paper} work plain mini 7 False"
    assert second.split()[0] == f"{folder}/results/mini/a"
    assert "GiB at most" in err


def test_profile_on_the_command_line_wins_and_the_seed_is_set(repository: Path) -> None:
    one = finish(start(repository, "-m", "projects.demo.work", "plain", "--profile", "big"))[1]
    two = finish(start(repository, "-m", "projects.demo.work", "plain", "--profile", "big"))[1]
    other = finish(start(repository, "-m", "projects.demo.work", "plain"))[1]
    assert "demo work plain big 8" in one
    assert one == two
    assert one.split()[-1] != other.split()[-1]


def test_under_accelerate_launch_only_the_main_process_reports(repository: Path) -> None:
    # accelerate starts several processes through torchrun, whatever the device, only when told "multi_gpu".
    launch = [
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
    ]
    rest = [
        "--main_process_port",
        "0",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "-m",
        "projects.demo.work",
        "plain",
    ]
    code, out, err = finish(start(repository, *launch, *rest))
    assert code == 0, err
    assert out.count("demo work plain mini 7") == 2
    assert err.count("GiB at most") == 1


def test_a_stage_that_is_made_for_one_process_refuses_two(repository: Path) -> None:
    file = repository / "projects" / "demo" / "work.py"
    file.write_text(file.read_text().replace("run(work, Config, processes=True)", "run(work, Config)"))
    code, out, err = finish(start(repository, "-m", "projects.demo.work", "plain", WORLD_SIZE="2", RANK="1"))
    assert (code, out) == (2, "")
    assert "this stage runs in one: start it as `python -m projects.demo.work`" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wrong"], "clips.csv line 3: no caption; remove the line or write one"),
        (["absent"], "this profile has no exam: run the stage exams"),
        (["plian"], "work: unknown variant 'plian'; did you mean 'plain'?"),
        ([], "work: say which variant; known: plain, wrong, absent, bug, sleep"),
        (["plain", "--profile", "bigg"], "unknown profile 'bigg'; did you mean 'big'?"),
    ],
)
def test_wrong_input_is_one_message_and_exit_code_2(
    repository: Path, arguments: list[str], message: str
) -> None:
    code, _, err = finish(start(repository, "-m", "projects.demo.work", *arguments))
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_missing_params_is_one_message(repository: Path) -> None:
    (repository / "params.yaml").write_text("profil: mini\n")
    code, _, err = finish(start(repository, "-m", "projects.demo.work", "plain"))
    assert (code, "Traceback" in err) == (2, False)
    assert "expected a line such as 'profile: mini'" in err


def test_a_bug_keeps_its_traceback(repository: Path) -> None:
    code, _, err = finish(start(repository, "-m", "projects.demo.work", "bug"))
    assert code == 1
    assert "Traceback" in err
    assert "ValueError: invalid literal for int() with base 10: 'a bug'" in err


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGINT")])
def test_stop_is_clean(repository: Path, number: signal.Signals, name: str) -> None:
    process = start(repository, "-m", "projects.demo.work", "sleep")
    assert process.stdout is not None
    assert process.stdout.readline() == "sleeping\n"
    process.send_signal(number)
    code, _, err = finish(process)
    assert code == 128 + number
    assert f"work stopped by {name}" in err
    assert "goes on from what was saved: python -m projects.demo.work sleep" in err
    assert "Traceback" not in err
    assert [each.name for each in (repository / "projects/demo/results/mini").iterdir()] == ["state"]


def test_a_background_job_does_not_hear_ctrl_c_and_stops_at_sigterm(repository: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for `command &`
    try:
        process = start(repository, "-m", "projects.demo.work", "sleep")
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout is not None
    assert process.stdout.readline() == "sleeping\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    code, _, err = finish(process)
    assert code == 143
    assert "work stopped by SIGTERM" in err


def test_kill_at_any_point_leaves_no_half_written_output(repository: Path) -> None:
    results = repository / "projects/demo/results/mini"
    for pause in (0.0, 0.02, 0.07):
        process = start(repository, "-m", "projects.demo.work", "sleep")
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(pause)
        process.kill()
        process.communicate()
        text = (results / "state").read_text()
        assert len(text) % 1000 == 0
        assert text == text[: len(text) // 1000] * 1000


def test_seed_all_repeats_numpy_and_torch() -> None:
    numpy = pytest.importorskip("numpy")
    torch = pytest.importorskip("torch")

    def draw() -> tuple[float, float]:
        return float(numpy.random.random()), float(torch.rand(()))

    stage.seed_all(3)
    first = draw()
    assert draw() != first
    stage.seed_all(3)
    assert draw() == first


def test_libraries_are_quiet_and_we_are_not(repository: Path) -> None:
    (repository / "projects" / "demo" / "work.py").write_text(
        WORK.replace(
            "    torch = ",
            "    import warnings\n"
            "    warnings.warn_explicit('for developers', FutureWarning, 'x', 1, module='transformers.a')\n"
            "    warnings.warn_explicit('of numbers', UserWarning, 'x', 2, module='transformers.a')\n"
            "    warnings.warn('checkpoint is damaged')\n"
            "    warnings.warn('of ours', FutureWarning)\n"
            "    torch = ",
        )
    )
    _, _, error = finish(start(repository, "-m", "projects.demo.work", "plain"))
    assert "for developers" not in error
    assert "checkpoint is damaged" in error
    assert "of ours" in error
    assert "of numbers" in error

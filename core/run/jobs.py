"""The stale stages of a paper, several at a time.

    python -m core.run.jobs gama --jobs 2

runs what `dvc repro projects/gama` would run, in the order of DVC's graph, each stage as a job of its own
(`dvc --wait-for-lock repro --single-item STAGE`), the longest way to the tables first. The cores are divided
among the jobs, unless OMP_NUM_THREADS says otherwise; results and `dvc.lock` files are those of `dvc repro`.
`--dry` says which they are, also in a fresh clone, where `dvc repro --dry` stops at the first missing file.
What a stage prints goes to a file in .dvc/tmp/jobs/ and is shown when it fails. Exit codes: 0; 1 when a stage
failed (what does not need it still runs); 2 for a wrong request; 128 + signal after Ctrl-C or SIGTERM, when
the stages that ran have kept what they can and the same command goes on.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TextIO

from core.run import hardware, place
from core.run.config import default_profile
from core.run.files import write_text_atomic
from core.run.graph import Plan, changed, longest_ways, order_locks, read_plan, stale
from core.run.pipeline import PipelineError
from core.run.strict_yaml import ConfigError
from core.run.tracking import RUN_PROCESS, complaint

POLL = 0.05  # seconds between two looks at the jobs
REPORT_EVERY = 30.0  # seconds without a line, after which one says what runs
SHOWN = 40  # last lines of a failed stage
SHELLS = ("sh", "bash", "dash", "zsh", "fish", "ksh")


@dataclass
class Job:
    """A stage that runs."""

    process: subprocess.Popen[bytes]
    log: Path
    began: float
    told: set[int] = field(default_factory=set)  # processes that were asked to stop


@dataclass(kw_only=True)
class Run:
    """The state of all stages of a run; every stage that may be stale is in exactly one of the sets."""

    waiting: set[str]
    running: dict[str, Job] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    unchanged: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    stopped_by: int = 0

    @property
    def total(self) -> int:
        return sum(map(len, (self.waiting, self.running, self.done, self.failed, self.skipped)))


def run_jobs(root: Path, target: str, *, jobs: int, profile: str, out: TextIO = sys.stderr) -> int:
    """Run what is stale of `target` under `root`, at most `jobs` stages at a time; return the exit code.

    Raises PipelineError for a target that is none, or while another run of this kind goes on here.
    """
    root = root.resolve()
    with _alone(root), _signals() as received:
        plan = read_plan(root, target)
        before = {file: list(place.locked_stages(file)) for file in plan.locks}
        run = Run(waiting=stale(plan))
        known = place.seconds_of(root, profile)
        if not run.waiting:
            _say(out, f"{target}: all {len(plan.stages)} stages are up to date")
            return 0
        _say(out, f"{target}: up to {len(run.waiting)} of {len(plan.stages)} stages to run, {jobs} at a time")
        began = said = time.monotonic()
        priorities = longest_ways(plan.needs, place.guessed(plan.stages, known))
        try:
            while run.running or (run.waiting and not run.stopped_by):
                if received and received[-1] != run.stopped_by:
                    run.stopped_by = received[-1]
                    _say(out, f"{signal.Signals(run.stopped_by).name}: stopping {', '.join(run.running)}")
                if run.stopped_by:
                    _ask_to_stop(run, kill=len(received) > 1)
                elif len(run.running) < jobs and (stage := _next(run, plan, priorities)):
                    said = time.monotonic()
                    _start(run, plan, stage, root=root, jobs=jobs, known=known, out=out)
                    continue
                for stage, job in list(run.running.items()):
                    if job.process.poll() is not None:
                        said = time.monotonic()
                        _finish(run, plan, stage, root=root, profile=profile, out=out)
                if time.monotonic() - said > REPORT_EVERY:
                    said = time.monotonic()
                    _say(out, _report(run, plan, known, jobs))
                time.sleep(POLL)
        finally:
            if run.running:  # only after a fault of this program
                _ask_to_stop(run, kill=True)
        order_locks(plan, before)
        if trouble := complaint(root):
            _say(out, trouble)
    return _close(run, plan, target, time.monotonic() - began, out)


def _next(run: Run, plan: Plan, priorities: Mapping[str, float]) -> str | None:
    """Return a stage that can start; those that turn out unchanged are put aside."""
    order = {name: at for at, name in enumerate(plan.stages)}
    while True:
        pending = run.waiting | set(run.running)
        ready = [name for name in run.waiting if not plan.needs[name] & pending]
        if not ready:
            return None
        name = min(ready, key=lambda name: (-priorities[name], order[name]))
        run.waiting.remove(name)
        if changed(plan, name):
            return name
        run.unchanged.add(name)


def _start(
    run: Run, plan: Plan, stage: str, *, root: Path, jobs: int, known: Mapping[str, float], out: TextIO
) -> None:
    number = run.total - len(run.waiting)
    left = _left(run, plan, known, jobs, also=stage)
    where = f"stage {number + 1} of {run.total + 1}" + (f", {left} left" if left else "")
    log = root / ".dvc" / "tmp" / "jobs" / (re.sub(r"[^\w.@=-]+", "-", stage) + ".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, place.PLACE: where, RUN_PROCESS: str(os.getpid())}
    environment.setdefault("OMP_NUM_THREADS", str(max(1, hardware.usable_cores() // jobs)))
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]
    with open(log, "wb") as file:  # a session of its own: Ctrl-C reaches this program alone
        process = subprocess.Popen(
            command,
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    run.running[stage] = Job(process, log, time.monotonic())
    took = f" (took {place.about(known[stage])[6:]} last time)" if stage in known else ""
    _say(out, f"{where}: {stage} starts{took}")


def _finish(run: Run, plan: Plan, stage: str, *, root: Path, profile: str, out: TextIO) -> None:
    job = run.running.pop(stage)
    code, seconds = job.process.returncode, time.monotonic() - job.began
    if code == 0:
        run.done.add(stage)
        place.remember(root, profile=profile, stage=stage, seconds=seconds)
        _say(out, f"{stage}: done, {seconds:.1f} s")
    elif run.stopped_by:
        run.waiting.add(stage)
        _say(out, f"{stage}: stopped after {seconds:.1f} s")
    else:
        run.failed.add(stage)
        lost = {name for name in run.waiting if stage in place.upstream([name], plan.needs)}
        run.waiting -= lost
        run.skipped |= lost
        lines = job.log.read_text(encoding="utf-8", errors="replace").splitlines()
        _say(out, "\n".join(f"{stage} | {line}" for line in lines[-SHOWN:]))
        _say(out, f"{stage}: failed after {seconds:.1f} s; {len(lost)} stages that need it will not run")


def _ask_to_stop(run: Run, *, kill: bool) -> None:
    """Signal what the stages run, not DVC, which then records what is done and gives back its locks."""
    import psutil

    number = signal.SIGTERM if run.stopped_by == signal.SIGHUP else run.stopped_by
    for job in run.running.values():
        try:
            for each in psutil.Process(job.process.pid).children(recursive=True):
                if kill:
                    each.kill()
                elif each.pid not in job.told and each.name() not in SHELLS:
                    job.told.add(each.pid)
                    each.send_signal(number)
        except psutil.Error:
            continue  # it has just ended


def _left(run: Run, plan: Plan, known: Mapping[str, float], jobs: int, also: str = "") -> str:
    """The time left: all that remains on `jobs` places, but never less than the longest chain of stages."""
    if not known:
        return ""
    rest = run.waiting | set(run.running) | ({also} if also else set())
    seconds = place.guessed(plan.stages, known)
    for name in plan.stages:
        if name not in rest:
            seconds[name] = 0.0
        elif name in run.running:
            seconds[name] = max(0.0, seconds[name] - (time.monotonic() - run.running[name].began))
    chain = max(longest_ways(plan.needs, seconds).values())
    return place.about(max(chain, sum(seconds.values()) / jobs))


def _report(run: Run, plan: Plan, known: Mapping[str, float], jobs: int) -> str:
    now = time.monotonic()
    each = ", ".join(f"{name} ({now - job.began:.0f} s)" for name, job in run.running.items())
    left = _left(run, plan, known, jobs)
    ended = len(run.done) + len(run.failed)
    return f"{ended} of {run.total} stages ended" + (f", {left} left" if left else "") + f"; running: {each}"


def _close(run: Run, plan: Plan, target: str, seconds: float, out: TextIO) -> int:
    done = f"{len(run.done)} stages run in {place.about(seconds)[6:]}"
    if run.stopped_by:
        _say(out, f"{target}: stopped; {done}, {len(run.waiting)} left. The same command goes on from there")
        return 128 + run.stopped_by
    if run.failed:
        _say(out, f"{target}: failed: {', '.join(sorted(run.failed))}; {done}, {len(run.skipped)} not run")
        return 1
    made = ", ".join(map(str, plan.stages[target].outs)) if target in plan.stages else ""
    where = f"; see {made}" if made else ""
    _say(out, f"{target}: {done}, {len(run.unchanged)} turned out unchanged{where}")
    return 0


def say_stale(root: Path, target: str, *, profile: str, out: TextIO = sys.stderr) -> int:
    """Print the stages that would run, in their order; also where what they read is not made yet."""
    plan = read_plan(root, target)
    would = stale(plan)
    for name in plan.stages:
        if name in would:
            _say(out, name)
    seconds = place.guessed(would, place.seconds_of(root, profile))
    took = f", {place.about(sum(seconds.values()))} one after the other" if any(seconds.values()) else ""
    _say(out, f"{target}: {len(would)} of {len(plan.stages)} stages would run{took}")
    return 0


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    (root / ".dvc" / "tmp").mkdir(parents=True, exist_ok=True)
    with open(root / ".dvc" / "tmp" / "jobs.lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PipelineError(
                f"another `python -m core.run.jobs` runs in {root}: wait for it or stop it"
            ) from error
        yield


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect Ctrl-C, SIGTERM and a closed terminal; a second one kills what runs."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        if before[number] is not signal.SIG_IGN:  # nohup stays nohup
            signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def choose_profile(root: Path, profile: str | None) -> str:
    """Return the profile of params.yaml, after writing `profile` into it where that is another one."""
    now = default_profile(root)
    if profile is None or profile == now:
        return now
    path = root / "params.yaml"
    text = path.read_text(encoding="utf-8")
    write_text_atomic(path, re.sub(r"(?m)^(profile:\s*)\S+", rf"\g<1>{profile}", text))
    print(f"params.yaml: profile {now} -> {profile}", file=sys.stderr)
    return profile


def _say(out: TextIO, message: str) -> None:
    print(message, file=out, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m core.run.jobs", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("paper", help="a folder under projects/, or any stage as DVC addresses it")
    parser.add_argument("--jobs", type=int, default=2, help="stages at a time (default: 2)")
    parser.add_argument("--dry", action="store_true", help="only say which stages would run")
    parser.add_argument("--profile", help="writes this word into params.yaml first")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the repository (default: here)")
    options = parser.parse_args(argv)
    if options.jobs < 1:
        parser.error("--jobs: at least 1")
    is_paper = (options.root / "projects" / options.paper).is_dir()
    try:
        profile = choose_profile(options.root, options.profile)
        target = f"projects/{options.paper}" if is_paper else options.paper
        if options.dry:
            return say_stale(options.root, target, profile=profile)
        return run_jobs(options.root, target, jobs=options.jobs, profile=profile)
    except (PipelineError, ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

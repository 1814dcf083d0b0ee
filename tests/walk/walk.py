"""Walk profile `paper` end to end on fake data: `nox -s walk`, or `nox -s walk -- PAPER ...`.

In a throw-away copy of the repository it writes every data set in its official layout and every checkpoint
in its official format (tests/walk/official_*.py), takes the sizes of conf/walk.yaml, all else from the
shipped conf/paper.yaml, and runs every stage through DVC: once in one process, then the trainings again
under `accelerate launch` with two. The table of stages, seconds and results is printed; exit code 1 where
one failed.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import transformers

from core.data.cards import CARDS
from core.data.inputs import inputs, work_of
from core.run.pipeline import Stage, ancestors, overlap, read_pipelines
from tests.walk.official_checkpoints import make_checkpoints
from tests.walk.official_data import GTZAN_TRACKS, make_data
from tests.walk.opened import Opened

ROOT = Path(__file__).resolve().parents[2]
PROFILE, SHIPPED = "paper", "published"
DOCTOR = "what the doctor lists is what the stages opened"
ENDED = re.compile(r"(\S+): (done|failed)(?: after)?,? ([\d.]+) s")  # what core.run.jobs says of a stage
NOT_COVERED = (
    "official checksums (those of the fake files are put in their place) and official counts of rows",
    "full-size weights: memory, and speed and bf16 on GPUs",
    "endpoints: judges, synthesis and models behind an API, which are not configured in conf/paper.yaml",
    "what DVC's graph does not hold: GAMA's synthesize, MMAU's evaluate and submit",
    "what the numbers are: weights are random and sounds are tones",
)


@dataclass(frozen=True)
class Step:
    """One stage that ran. result: ok, or why not."""

    name: str
    processes: int
    seconds: float
    result: str


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.walk.walk", description=(__doc__ or "").splitlines()[0]
    )
    known = sorted(path.parent.name for path in (ROOT / "projects").glob("*/dvc.yaml"))
    parser.add_argument("papers", nargs="*", metavar="PAPER", help=f"default: all, {', '.join(known)}")
    parser.add_argument("--folder", type=Path, help="walk there and leave it; default: a temporary folder")
    parser.add_argument("--jobs", type=int, default=2, help="stages at a time (default 2)")
    given = parser.parse_args(arguments)
    papers = given.papers or known
    if strange := [paper for paper in papers if paper not in known]:
        parser.error(f"no paper {', '.join(strange)}; there is {', '.join(known)}")
    folder = given.folder or Path(tempfile.mkdtemp(prefix="resound-walk-"))
    try:
        steps = walk(folder, papers, jobs=given.jobs)
    finally:
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(table(steps))
    print("\nNot covered:\n" + "\n".join(f"- {what}" for what in NOT_COVERED))
    bad = [step for step in steps if step.result != "ok"]
    print(
        f"\n{len(steps) - len(bad)} of {len(steps)} steps ok, {sum(s.seconds for s in steps):.0f} s of stages"
    )
    return int(bool(bad) or not steps)


def walk(root: Path, papers: Sequence[str], *, jobs: int) -> list[Step]:
    """Make the world in `root` where it is not there yet, and run the papers in it."""
    new = not (root / "dvc.yaml").is_file()
    if new:
        make_world(root)
    steps: list[Step] = []
    with Opened(root / "shared_data" / "raw") as opened:
        for paper in papers:
            steps += public_rows(root, paper) if new else []
            steps += repro(root, paper, jobs=jobs)
    if new and opened.watching and all(step.result == "ok" for step in steps):
        steps.append(Step(DOCTOR, 1, 0.0, doctor_complaint(root, papers, opened.files) or "ok"))
    if all(step.result == "ok" for step in steps):
        for stage in trainings(root, papers):
            steps.append(launch(root, stage, processes=2))
    return steps


def doctor_complaint(root: Path, papers: Sequence[str], opened: Collection[str]) -> str:
    """ "" where the doctor's list of inputs and what the stages opened under shared_data/raw are the same."""
    known = [one for paper in papers for one in inputs(root, paper, PROFILE)]
    files = [f"shared_data/raw/{name}" for name in sorted(opened)]
    gaps = [name for name in files if not any(one.covers(name) for one in known)]
    vain = [one.path for one in known if one.needed and not any(map(one.covers, files))]
    said = [f"opened and not named: {', '.join(gaps[:5])}"] if gaps else []
    return "; ".join(said + ([f"named and not opened: {', '.join(vain[:5])}"] if vain else []))


def make_world(root: Path) -> None:
    """The repository's files with the profile of the walk, data and checkpoints."""
    began = time.monotonic()
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, check=True,
    ).stdout.decode().split("\0")  # fmt: skip
    for name in filter(None, listed):
        source = ROOT / name
        if source.is_file() and source.name != "dvc.lock":  # what other profiles made is not of this one
            place = root / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)
    for conf in [root / "shared_data" / "conf", *root.glob("projects/*/conf")]:
        shipped, sizes = conf / f"{PROFILE}.yaml", conf / "walk.yaml"
        if sizes.is_file():
            shipped.rename(conf / f"{SHIPPED}.yaml")
            text = sizes.read_text(encoding="utf-8").replace(f"base: {PROFILE}", f"base: {SHIPPED}")
            shipped.write_text(text, encoding="utf-8")
    params = (root / "params.yaml").read_text(encoding="utf-8")
    (root / "params.yaml").write_text(re.sub(r"(?m)^profile: .*$", f"profile: {PROFILE}", params))
    transformers.utils.logging.disable_progress_bar()
    make_data(root / "shared_data" / "raw")
    own_counts(root)
    make_checkpoints(root)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "the world of the walk"]):
        who = ["-c", "user.name=walk", "-c", "user.email=walk@localhost"]
        subprocess.run(["git", *who, *command], cwd=root, check=True, stdout=subprocess.DEVNULL)
    print(f"the fake world is made, {time.monotonic() - began:.0f} s", flush=True)


def own_counts(root: Path) -> None:
    """In the copy's code, checksums and counts of the fake files where it has those of the official ones."""
    importer = root / "core" / "data" / "imports" / "gtzan.py"
    text = importer.read_text(encoding="utf-8")
    importer.write_text(re.sub(r"(?m)^TRACKS = .*$", f"TRACKS = {GTZAN_TRACKS}", text), encoding="utf-8")
    modules = list((root / "core" / "data").glob("cards*.py"))
    for card in CARDS.values():
        for file in card.files:
            place = root / card.folder / file.path
            if file.md5 and place.is_file():
                own = hashlib.md5(place.read_bytes()).hexdigest()
                for module in modules:
                    text = module.read_text(encoding="utf-8")
                    module.write_text(text.replace(file.md5, own), encoding="utf-8")


def repro(root: Path, paper: str, *, jobs: int) -> list[Step]:
    """Every stale stage of a paper; a stage that fails does not stop those that do not need it."""
    command = [sys.executable, "-m", "core.run.jobs", paper, "--jobs", str(jobs)]
    began = time.monotonic()
    with subprocess.Popen(
        command, cwd=root, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        lines = list(_shown(process.stdout))
    found = [ENDED.match(line) for line in lines]
    steps = [Step(m[1], 1, float(m[3]), "ok" if m[2] == "done" else "failed") for m in found if m]
    if process.returncode and all(step.result == "ok" for step in steps):
        steps.append(Step(paper, 1, time.monotonic() - began, f"exit code {process.returncode}"))
    return steps


def public_rows(root: Path, paper: str) -> list[Step]:
    """The rows with public weights, scored and in their tables before anything is trained."""
    work = [one for one in work_of(root, paper, profile=PROFILE) if one.own]
    rows = [one.stage for one in work if one.stage.file == f"projects/{paper}/dvc.yaml"]
    if not rows:
        return []
    stages = read_pipelines(root, profile=PROFILE)
    score = next(one for one in stages if one.module == f"projects.{paper}.score")
    read = [one for one in stages if any(overlap(dep, out) for dep in score.deps for out in one.outs)]
    targets = [one for one in read if not any(map(trains, (one, *ancestors(stages, one))))]
    began = time.monotonic()
    dvc = [sys.executable, "-m", "dvc", "repro"]
    for command in (
        [*dvc, *(one.address for one in targets)],
        [*dvc, "-s", score.address, f"projects/{paper}"],
    ):
        if code := ran(root, command):
            break
    asked = [root / out for one in rows for out in one.outs]
    silent = [out.name for out in asked if not [*out.rglob("*.jsonl")] or (out / "not_run.txt").exists()]
    trained = [*root.glob(f"projects/{paper}/checkpoints/{PROFILE}/*")]
    result = f"exit code {code}" if code else "ok"
    if result == "ok" and (silent or trained):
        result = f"not run: {', '.join(silent)}; trained: {len(trained)}"
    name = f"{paper}: {', '.join(str(one.variant) for one in rows)} scored without training"
    print(f"{name}: {result}, {time.monotonic() - began:.0f} s", flush=True)
    return [Step(name, 1, time.monotonic() - began, result)]


def ran(root: Path, command: Sequence[str]) -> int:
    """The exit code of a command in the copy; what it said last is shown where that is not 0."""
    made = subprocess.run(
        command, cwd=root, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if made.returncode:
        print(made.stdout[-6000:], flush=True)
    return made.returncode


def trains(stage: Stage) -> bool:
    return any("/checkpoints/" in out for out in stage.outs)


def trainings(root: Path, papers: Sequence[str]) -> list[Stage]:
    """The stages of these papers, and of those that they stand on, that write checkpoints."""
    stages = read_pipelines(root, profile=PROFILE)
    of = {stage for stage in stages if stage.file in {f"projects/{paper}/dvc.yaml" for paper in papers}}
    needed = of | {each for stage in of for each in ancestors(stages, stage)}
    return [stage for stage in stages if stage in needed and trains(stage) and stage.module]


def launch(root: Path, stage: Stage, *, processes: int) -> Step:
    """A training anew in several processes; its weights must be there and finite."""
    for out in stage.outs:
        shutil.rmtree(root / out)
    words = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    words += ["--num_processes", str(processes), "--num_machines", "1", "--mixed_precision", "no"]
    words += ["--dynamo_backend", "no", "--main_process_port", "0", "-m", stage.module]
    words += [*([stage.variant] if stage.variant else []), "--profile", PROFILE]
    began = time.monotonic()
    code = ran(root, words)
    seconds = time.monotonic() - began
    result = f"exit code {code}" if code else weights_complaint([root / out for out in stage.outs]) or "ok"
    print(f"{stage.address} in {processes} processes: {result}, {seconds:.0f} s", flush=True)
    return Step(stage.address, processes, seconds, result)


def weights_complaint(folders: Sequence[Path]) -> str:
    """ "" where the folders hold weights and all of them are finite."""
    from safetensors.torch import load_file

    if any((folder / "not_run.txt").is_file() for folder in folders):
        return ""  # this profile trains no such model, and says so
    files = [file for folder in folders for file in sorted(folder.rglob("*.safetensors"))]
    if not files:
        return "no weights"
    for file in files:
        for name, tensor in load_file(str(file)).items():
            if not math.isfinite(float(tensor.double().sum())):
                return f"{file.name}: {name} is not finite"
    return ""


def table(steps: Sequence[Step]) -> str:
    """The steps as Markdown."""
    lines = ["", "| Stage | processes | seconds | result |", "|---|---:|---:|---|"]
    lines += [f"| {s.name} | {s.processes} | {s.seconds:.1f} | {s.result} |" for s in steps]
    return "\n".join(lines)


def environment() -> dict[str, str]:
    """This one's Python first on PATH, for the commands that DVC starts."""
    path = str(Path(sys.executable).parent) + os.pathsep + os.environ.get("PATH", "")
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}


def _shown(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        print(line, end="", flush=True)
        yield line.rstrip("\n")


if __name__ == "__main__":
    sys.exit(main())

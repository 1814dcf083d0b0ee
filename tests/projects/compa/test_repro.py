"""`dvc repro projects/compa` for real, shrunk, in a copy; every stage reads only what it declares."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from core.run.pipeline import Stage, overlap, read_pipelines

Reproduced: TypeAlias = tuple[Path, set[str], list[tuple[str, str]]]
ROOT = Path(__file__).resolve().parents[3]
MADE = ("raw", "bank", "datasets", "foundations", "checkpoints", "predictions", "results", "data", "code")
LEFT_OUT = shutil.ignore_patterns(
    *(".git", ".nox", ".venv", "__pycache__", "mlflow.db*", "mlflow-*", "mlartifacts", ".*_cache", "cache"),
    *("tmp", "*.egg-info", "dvc.lock"),
)
LABELS = ["baby_cry", "baby_laugh", "woman_cry", "woman_laugh", "dog_bark", "church_bell"]
KEPT = ("vanilla", "hard_negatives", "compa_clap")  # of the variants, each the child of the one before
SMALL: dict[str, Any] = {  # what replaces a setting of that name, wherever it stands in conf/
    "n": 7,
    "steps": 2,
    "warmup_steps": 1,
    "checkpoint_every": 2,
    "evaluate_every": 2,
    "vocab_size": 300,
    "batch_size": 4,
    "seeds": [0],
}
FEW = {  # what a stage is told besides
    "bank": {"train": 3, "valid": 2, "test": 3, "music": False, "labels": LABELS},
    "prepare": {"tokenizer_captions": 200},
    "train": {"validation_scenes": 4, "workers": 1},
}

# Run by every Python of the copy before anything else. A stage watches all folders through the kernel, which
# also sees what libraries in C and Rust open; its own writes are told apart by what was changed.
WATCH = """
import atexit, ctypes, json, os, struct, sys
stage, root = os.environ.get("DVC_STAGE"), os.environ["WATCHED_ROOT"]
if stage and sys.platform == "linux":
    MODIFY, OPEN, CREATE, OVERFLOW = 0x2, 0x20, 0x100, 0x4000
    libc = ctypes.CDLL(None, use_errno=True)
    queue = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    folders = {}
    for folder, names, _ in os.walk(root):
        names[:] = [name for name in names if name not in (".git", ".dvc", "__pycache__")]
        number = libc.inotify_add_watch(queue, os.fsencode(folder), MODIFY | OPEN | CREATE)
        assert number >= 0, os.strerror(ctypes.get_errno())
        folders[number] = folder
    pid = os.getpid()
    def told():
        if os.getpid() != pid:
            return
        opened, made = {}, set()
        while True:
            try:
                block = os.read(queue, 1 << 20)
            except BlockingIOError:
                break
            at = 0
            while at < len(block):
                number, mask, _, length = struct.unpack_from("iIII", block, at)
                name = block[at + 16 : at + 16 + length].rstrip(b"\\0").decode()
                at += 16 + length
                assert not mask & OVERFLOW
                path = os.path.relpath(os.path.join(folders[number], name), root)
                if mask & (MODIFY | CREATE):
                    made.add(path)
                elif mask & OPEN and os.path.isfile(os.path.join(root, path)):
                    opened[path] = None
        with open(os.environ["WATCHED_LOG"], "a") as log:
            log.writelines(json.dumps([stage, path]) + "\\n" for path in opened if path not in made)
    atexit.register(told)
"""


def smaller(value: Any) -> Any:
    """A configuration with every setting of SMALL replaced, and few labels."""
    if isinstance(value, list):
        return [smaller(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: LABELS
        if key == "labels"
        else SMALL[key]
        if key in SMALL and not isinstance(each, dict)
        else smaller(each)
        for key, each in value.items()
    }


def left_out(folder: str, names: list[str]) -> set[str]:
    """What is no part of the repository, and what stages have made in shared_data and the papers."""
    makes = Path(folder).name == "shared_data" or Path(folder).parent.name == "projects"
    return LEFT_OUT(folder, names) | (set(MADE) & set(names) if makes else set())


def shrink(copy: Path) -> None:
    """Few clips, items, steps and variants."""
    for folder in (copy / "shared_data", copy / "projects" / "compa"):
        path = folder / "conf" / "mini.yaml"
        conf = smaller(yaml.safe_load(path.read_text(encoding="utf-8")))
        conf = {stage: some | FEW.get(stage, {}) for stage, some in conf.items()}
        path.write_text(yaml.safe_dump(conf, sort_keys=False), encoding="utf-8")
    path = copy / "projects" / "compa" / "rows.yaml"
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    rows["train"] = {name: rows["train"][name] for name in KEPT}
    path.write_text(yaml.safe_dump(rows, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Reproduced:
    """The copy after the run, the stages that ran, and (stage, file) of every file that a stage read."""
    copy = tmp_path_factory.mktemp("repro") / "copy"
    shutil.copytree(ROOT, copy, ignore=left_out)
    shrink(copy)
    site, log = copy.parent / "site", copy.parent / "opened.jsonl"
    site.mkdir()
    log.touch()
    (site / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(site), str(copy)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "RESOUND_TRACKING": "off",
        "DVC_NO_ANALYTICS": "1",
        "CI": "1",
        "WATCHED_ROOT": str(copy),
        "WATCHED_LOG": str(log),
    }
    for command in (
        ["git", "init", "--quiet"],
        *([] if (copy / ".dvc").is_dir() else [[sys.executable, "-m", "dvc", "init", "--quiet"]]),
        [sys.executable, "-m", "dvc", "repro", "projects/compa"],
    ):
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=560)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said[-6000:]
    ran = set(re.findall(r"Running stage '([^']*)'", said))
    return copy, ran, [tuple(json.loads(line)) for line in log.read_text().splitlines()]


def stages_of(copy: Path) -> dict[str, Stage]:
    """Name as DVC gives it -> stage, of the whole repository."""
    return {stage.address: stage for stage in read_pipelines(copy, profile="mini")}


def is_repository(path: str) -> bool:
    """Whether a file is code, configuration, rows or parameters, which the stage `code` answers for."""
    parts = Path(path).parts
    return (
        path.endswith(".py")
        or path in ("params.yaml", "pyproject.toml", "constraints.txt")
        or parts[-1] in ("rows.yaml", "dvc.yaml", "dvc.lock")
        or "conf" in parts[:-1]
    )


def undeclared(opened: list[tuple[str, str]], stages: dict[str, Stage]) -> list[str]:
    """The files that a stage read and neither declares nor makes."""
    return sorted(
        f"{name} reads {path}"
        for name, path in opened
        if not is_repository(path)
        and not any(overlap(path, known) for known in (*stages[name].deps, *stages[name].outs))
    )


def never_opened(opened: list[tuple[str, str]], stages: dict[str, Stage]) -> list[str]:
    """What a stage declares and did not read in this run; some is for other profiles or public weights."""
    return sorted(
        f"{name} declares {dep}"
        for name in {name for name, _ in opened}
        for dep in stages[name].deps
        if not is_repository(dep)
        and "/code/" not in dep
        and not any(of == name and overlap(path, dep) for of, path in opened)
    )


def test_the_pipeline_ends_in_tables(reproduced: Reproduced) -> None:
    copy, ran, _ = reproduced
    stages = stages_of(copy)
    assert ran >= {name for name, stage in stages.items() if stage.file == "projects/compa/dvc.yaml"}
    assert "projects/compa" in ran
    table = (copy / "paper_tables" / "compa" / "benchmark.md").read_text(encoding="utf-8")
    assert "CompA-CLAP" in table


@pytest.mark.skipif(sys.platform != "linux", reason="watches files through inotify")
def test_stages_read_what_they_declare(reproduced: Reproduced) -> None:
    copy, ran, opened = reproduced
    stages = stages_of(copy)
    assert {name for name, _ in opened} == ran  # every stage was watched
    assert undeclared(opened, stages) == []
    print("declared and never opened:", *never_opened(opened, stages), sep="\n  ")
    # what a library in Rust reads is seen too, so an undeclared read of it would be
    init = stages["projects/compa/dvc.yaml:init"]
    fewer = stages | {init.address: replace(init, deps=())}
    assert f"{init.address} reads projects/compa/data/mini/tokenizer.json" in undeclared(opened, fewer)

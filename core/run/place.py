"""Where a run of many stages stands: "stage 12 of 73, about 14 min left", from the times of the last run.

`.dvc/tmp/seconds.json` keeps how long each stage took in each profile, from the end of the stage before it to
its own; `.dvc/tmp/run.json` which stages the running `dvc repro` has done. Which stages a target needs is
read from the committed `dvc.lock` files, since asking DVC takes seconds. All of it is for people: no number
depends on it, and a stage runs as well without.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from core.run.files import write_text_atomic
from core.run.outbox import locked

PLACE = "RESOUND_PLACE"  # set by core.run.jobs, which knows better than a stage can


def begin(root: Path, *, profile: str) -> str:
    """Say the place of the stage that begins, "" outside DVC or where the stage was never run before."""
    stage = os.environ.get("DVC_STAGE", "")
    if not stage or PLACE in os.environ:
        return os.environ.get(PLACE, "")
    try:
        process, arguments = dvc_process()
        if {"-s", "--single-item"} & set(arguments):
            return ""
        targets = [word for word in arguments if not word.startswith("-")]
        run = _read(_folder(root) / "run.json")
        ran = run.get("ran", []) if run.get("process") == process else []
        needs = locked_graph(root)
        return _place(stage, targets, needs, ran, seconds_of(root, profile))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""


def end(root: Path, *, profile: str) -> None:
    """Keep how long the stage that ends took; nothing outside DVC or under core.run.jobs."""
    stage = os.environ.get("DVC_STAGE", "")
    if not stage or PLACE in os.environ:
        return
    try:
        import psutil

        process, _ = dvc_process()
        path, now = _folder(root) / "run.json", time.time()
        run = _read(path)
        if run.get("process") != process:
            run = {"process": process, "ran": [], "ended": psutil.Process().create_time()}
        remember(root, profile=profile, stage=stage, seconds=now - run["ended"])
        write_text_atomic(path, json.dumps({**run, "ran": [*run["ran"], stage], "ended": now}))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return


def seconds_of(root: Path, profile: str) -> dict[str, float]:
    """How long each stage took the last time it ran in `profile`."""
    known = _read(_folder(root) / "seconds.json").get(profile)
    pairs = known.items() if isinstance(known, dict) else ()
    return {stage: float(seconds) for stage, seconds in pairs if isinstance(seconds, int | float)}


def remember(root: Path, *, profile: str, stage: str, seconds: float) -> None:
    """Keep how long `stage` took."""
    path = _folder(root) / "seconds.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        known = {**seconds_of(root, profile), stage: round(seconds, 1)}
        write_text_atomic(path, json.dumps({**_read(path), profile: known}, indent=1, sort_keys=True) + "\n")


def guessed(stages: Iterable[str], known: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each of `stages`; one that never ran is taken to be as long as the median one."""
    usual = statistics.median(known.values()) if known else 0.0
    return {stage: known.get(stage, usual) for stage in stages}


def about(seconds: float) -> str:
    """Round for people: "about 40 s", "about 14 min", "about 3.2 h"."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def locked_graph(root: Path) -> dict[str, set[str]]:
    """Stage -> stages whose outputs it reads, as the `dvc.lock` files of the repository have them.

    Stages are named as DVC addresses them from the root. Paths are taken to be relative to the root (`wdir`)
    and profiles to be alike: the lock keeps those of the last run.
    """
    reads: dict[str, list[str]] = {}
    makers: dict[str, str] = {}  # output -> its stage
    for file in [root / "dvc.lock", *sorted(root.glob("*/dvc.lock")), *sorted(root.glob("*/*/dvc.lock"))]:
        folder = file.parent.relative_to(root).as_posix()
        for name, stage in locked_stages(file).items():
            address = name if folder == "." else f"{folder}/dvc.yaml:{name}"
            reads[address] = [_any_profile(dep["path"]) for dep in stage.get("deps") or []]
            makers |= {_any_profile(out["path"]): address for out in stage.get("outs") or []}
    inside: dict[str, set[str]] = {}  # folder -> stages with an output in it
    for out, address in makers.items():
        for folder in _with_parents(out):
            inside.setdefault(folder, set()).add(address)
    needs = {}
    for address, paths in reads.items():
        found = {makers[folder] for path in paths for folder in _with_parents(path) if folder in makers}
        found |= {each for path in paths for each in inside.get(path, ())}
        needs[address] = found - {address}
    return needs


def locked_stages(file: Path) -> dict[str, dict[str, Any]]:
    """The stages of one `dvc.lock`, {} where it cannot be read; by libyaml: a tenth of the time."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=loader)
    except (OSError, yaml.YAMLError):
        return {}
    return (content.get("stages") or {}) if isinstance(content, dict) else {}


def upstream(stages: Collection[str], needs: Mapping[str, Collection[str]]) -> set[str]:
    """`stages` and all that they need, directly or not."""
    found: set[str] = set()
    left = list(stages)
    while left:
        stage = left.pop()
        if stage not in found:
            found.add(stage)
            left.extend(needs.get(stage, ()))
    return found


def _place(
    stage: str,
    targets: list[str],
    needs: Mapping[str, set[str]],
    ran: list[str],
    known: Mapping[str, float],
) -> str:
    """DVC has looked at what `stage` needs and at what ran; what else it skipped, it does not tell."""
    wanted = {each for target in targets for each in needs if each == target or each.startswith(f"{target}:")}
    whole = upstream(wanted or set(needs), needs)
    if stage not in whole:
        return ""
    past = (upstream([stage], needs) | set(ran)) & whole - {stage}
    place = f"stage {len(past) + 1} of {len(whole)}"
    if not known:
        return place
    return f"{place}, at most {about(sum(guessed(whole - past, known).values()))} left"


def dvc_process() -> tuple[list[float], list[str]]:
    """Return (pid, start time) of the `dvc repro` that started this process, and its arguments.

    Raises LookupError where there is none.
    """
    import psutil

    try:
        parents = [(each, each.cmdline(), each.create_time()) for each in psutil.Process().parents()]
    except psutil.Error as error:
        raise LookupError("the processes cannot be seen") from error
    for parent, words, began in parents:
        if any(Path(word).name == "dvc" for word in words[:3]) and "repro" in words:
            return [parent.pid, began], words[words.index("repro") + 1 :]
    raise LookupError("not started by `dvc repro`")


def _folder(root: Path) -> Path:
    return root / ".dvc" / "tmp"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _any_profile(path: str) -> str:
    return re.sub(r"(?<=/)(mini|recorded|paper)(?=/|\.|$)", "*", path)


def _with_parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]

"""What DVC's graph says of a target: which stages it needs, in which order, which are stale.

DVC itself is imported when it is asked, since that takes a while.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.run.pipeline import PipelineError
from core.run.place import locked_stages


@dataclass(kw_only=True)
class Plan:
    """What a target needs. order: as `dvc repro` would go; needs: stage -> the stages it reads from."""

    repo: Any
    stages: dict[str, Any]
    needs: dict[str, set[str]]
    locks: dict[Path, list[str]]  # dvc.lock -> names in the order in which `dvc repro` would write them


def read_plan(root: Path, target: str) -> Plan:
    """Ask DVC what `target` (a stage such as projects/gama) needs.

    Raises PipelineError for a target that is none, and for pipelines that DVC cannot read.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.repo.reproduce import get_active_graph, plan_repro

    try:
        repo = Repo(str(root), _wait_for_lock=True)
        graph = get_active_graph(repo.index.graph)
        with chdir(root):  # DVC reads a target from where it is
            order = plan_repro(graph, list(repo.stage.collect(target)))
    except DvcException as error:
        raise PipelineError(f"{target}: {error}") from error
    name = {stage: address(stage, root) for stage in order}
    locks: dict[Path, list[str]] = {}
    for stage in order:
        if hasattr(stage, "name"):
            locks.setdefault(Path(stage.path).parent / "dvc.lock", []).append(stage.name)
    needs = {name[stage]: {name[each] for each in graph.successors(stage)} for stage in order}
    return Plan(repo=repo, stages={name[stage]: stage for stage in order}, needs=needs, locks=locks)


def stale(plan: Plan) -> set[str]:
    """The stages that changed, and all that need one of them (which may turn out unchanged)."""
    found: set[str] = set()
    for name in plan.stages:  # what a stage needs comes before it
        if plan.needs[name] & found or changed(plan, name):
            found.add(name)
    return found


def longest_ways(needs: Mapping[str, set[str]], seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds from the start of each stage to the end of the last that waits for it."""
    users: dict[str, list[str]] = {name: [] for name in needs}
    for name, each in needs.items():
        for need in each:
            users[need].append(name)
    ways: dict[str, float] = {}
    for name in reversed(list(needs)):  # in the order of a plan: users come after
        ways[name] = seconds[name] + max((ways[user] for user in users[name]), default=0.0)
    return ways


def changed(plan: Plan, name: str) -> bool:
    with plan.repo.lock:
        return bool(plan.stages[name].changed())


def order_locks(plan: Plan, before: Mapping[Path, list[str]]) -> None:
    """Put stages that are new in a `dvc.lock` into the order in which `dvc repro` would have added them."""
    from dvc.utils.serialize import modify_yaml

    for file, names in plan.locks.items():
        now = list(locked_stages(file))
        new = [name for name in names if name in now and name not in before[file]]
        if now != [name for name in now if name not in new] + new:
            with plan.repo.lock, modify_yaml(str(file)) as content:
                for name in new:
                    content["stages"].move_to_end(name)


def address(stage: Any, root: Path) -> str:
    file = Path(stage.path).relative_to(root).as_posix()
    if not hasattr(stage, "name"):  # a .dvc file
        return file
    return str(stage.name) if file == "dvc.yaml" else f"{file}:{stage.name}"

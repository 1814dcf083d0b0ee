"""What results were made from, and whether the code is still that.

A score stage leaves `results/<profile>/made_from.json`: a hash of what it and every stage behind it were made
of, and the hashes of the data sets. DVC knows the profile of params.yaml alone; this file tells of the
others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.run.code import REPOSITORY, digest, made_of
from core.run.files import sha256_of, write_json
from core.run.pipeline import Stage, ancestors, locked_outputs, read_pipelines

if TYPE_CHECKING:
    from core.run.stage import Context

FILE = "made_from.json"


@dataclass(frozen=True, kw_only=True)
class Older:
    """Results that are older than the code: the stages behind them that changed since, by their addresses."""

    paper: str
    profile: str
    stages: tuple[str, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """The variants among them; all cells are concerned where there is a stage without one."""
        return tuple(dict.fromkeys(name.partition("@")[2] for name in self.stages if "@" in name))

    def __str__(self) -> str:
        shown = ", ".join(self.stages[:4]) + (f" and {len(self.stages) - 4} more" if self.stages[4:] else "")
        return f"{self.paper}, profile {self.profile}: older than the code of {shown}"


def write_made_from(context: Context) -> None:
    """Write made_from.json beside the results of a stage `score`: what it and all behind it were made of."""
    profile = context.profile
    stages = read_pipelines(REPOSITORY, profile=profile)
    mine = _score(stages, context.paper)
    if mine is None:  # a paper without a pipeline of its own, as in tests
        return
    behind = sorted({mine, *ancestors(stages, mine)}, key=lambda stage: stage.address)
    locked = locked_outputs(context.root)
    outs = {out for stage in behind if stage.file == "shared_data/dvc.yaml" for out in stage.outs}
    write_json(
        context.path("results", FILE),
        {
            "stages": _digests(behind, profile=profile),
            "data": {out: locked[out] for out in sorted(outs) if out in locked},
        },
    )


def older(paper: str, profile: str) -> Older | None:
    """How a paper's committed results of a profile are older than the code, None where they are not.

    Results without made_from.json are as old as can be.
    """
    path = REPOSITORY / "projects" / paper / "results" / profile / FILE
    if not path.parent.is_dir():
        return None
    stages = read_pipelines(REPOSITORY, profile=profile)
    mine = _score(stages, paper)
    if mine is None:
        return None
    before: Mapping[str, Any] = {}
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))["stages"]
    now = _digests({mine, *ancestors(stages, mine)}, profile=profile)
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return Older(paper=paper, profile=profile, stages=tuple(changed)) if changed else None


def profiles_of(paper: str) -> list[str]:
    """The profiles whose results a paper holds."""
    return sorted(
        path.name for path in (REPOSITORY / "projects" / paper / "results").glob("*") if path.is_dir()
    )


def _score(stages: Iterable[Stage], paper: str) -> Stage | None:
    return next((stage for stage in stages if stage.module == f"projects.{paper}.score"), None)


def _digests(stages: Iterable[Stage], *, profile: str) -> dict[str, str]:
    return {
        stage.address: _shipped(stage) or digest(made_of(stage, root=REPOSITORY, profile=profile))
        for stage in stages
        if stage.module and stage.module != "core.run.code"
    }


def _shipped(stage: Stage) -> str:
    """The hash of what a foundation in git says of its weights, "" for another stage.

    They are what they are, whatever became of the code that trained them; its own stage asks about that.
    """
    for out in map(Path, stage.outs):
        if out.parts[:2] == ("shared_data", "foundations"):
            card = REPOSITORY / out.parent / "cards" / f"{out.name}.json"
            record = REPOSITORY / out / "record.json"
            if card.is_file() and record.is_file():
                return sha256_of(record)
    return ""

"""Draw the paper's figures. Reads: predictions/<profile>/gold/mmau.jsonl, results/<profile>/{skills,
skill_difficulty,noise}.json, paper.yaml, reported.csv and timeline.csv; writes: figures/<profile>/
{skill_distribution,skill_difficulty,over_time,noise}, each as PNG and as the CSV that it is drawn from.

What a profile did not run is left out of a drawing and stands in its CSV as "not run".
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.data.choices import SKILLS
from core.report.cells import read_cells
from core.report.paper import read_paper, read_reported
from core.run.files import write_bytes_atomic, write_text_atomic
from core.run.stage import Context
from projects.mmau import drawings
from projects.mmau.drawings import TYPES, SkillCount
from projects.mmau.figure_rows import (
    Cells,
    FigureError,
    label_of,
    noise_rows,
    read_exam,
    read_timeline,
    release_rows,
    skill_accuracies,
    skill_counts,
)

PAPER_TYPES = (11, 16)  # skills of information extraction and of reasoning: Sakshi et al., 2025, Figure 3
SCALES = {
    "mini": "mini: a small world, not comparable with the paper",
    "recorded": "recorded: small models, not comparable with the paper",
    "paper": "paper: the official questions",
}


@dataclass(frozen=True)
class Config:
    """model: row whose skills are shown by difficulty. models: rows shown with audio and with noise."""

    model: str
    models: tuple[str, ...]


def figures(config: Config, *, context: Context) -> None:
    """Write four figures with their data."""
    paper = read_paper(context.folder)
    reported = {
        (number.table, number.row, number.column): number
        for number in read_reported(context.folder, paper=paper)
    }
    items = read_exam(context.path("predictions", "gold", "mmau.jsonl"))
    cells = {table: _cells(context, table) for table in ("skills", "skill_difficulty", "noise")}
    label = label_of(paper, "main", config.model)
    scale = SCALES[context.profile]

    counts = skill_counts(items)
    accuracies = skill_accuracies(
        items, config.model, label, skills=cells["skills"], levels=cells["skill_difficulty"]
    )
    releases = release_rows(paper, reported, read_timeline(context.folder / "timeline.csv", paper=paper))
    heard = noise_rows(paper, reported, items, cells["noise"], config.models)
    drawn: dict[str, tuple[Sequence[drawings.Row], Any]] = {
        "skill_distribution": (
            counts,
            drawings.skill_distribution(
                counts, title=f"Skills of {len(items)} items ({context.profile})", note=_types(counts)
            ),
        ),
        "skill_difficulty": (
            accuracies,
            drawings.skill_difficulty(
                accuracies, title=f"{label}: accuracy by skill and difficulty", note=scale
            ),
        ),
        "over_time": (
            releases,
            drawings.over_time(
                releases,
                title=f"Reported accuracy on {paper.name} by release date",
                note=f"Numbers as the paper reports them ({paper.venue} {paper.year}); none is ours. "
                "Step: best so far.\nA model stands at the month of its first public paper or announcement.",
            ),
        ),
        "noise": (
            heard,
            drawings.noise(
                heard,
                title="Noise in place of the audio",
                note=f"The panels are of different questions: compare within a panel only.\n{scale}",
                panels={
                    "reported": "Reported in the paper (test)",
                    "ours": f"Ours ({context.profile}), with 95 % intervals",
                },
            ),
        ),
    }
    for name, (rows, figure) in drawn.items():
        write_text_atomic(context.path("figures", f"{name}.csv"), drawings.as_csv(rows))
        path = context.path("figures", f"{name}.png")
        write_bytes_atomic(path, drawings.png(figure))
        context.tracker.log_artifact(path)
        print(f"{path.relative_to(context.root)}: {len(rows)} rows")


def _cells(context: Context, table: str) -> Cells:
    """One table of this profile's results."""
    folder = context.path("results")
    if not (folder / f"{table}.json").is_file():
        raise FigureError(
            f"{folder / table}.json is missing: run the stage `score` "
            f"(python -m projects.mmau.score --profile {context.profile})"
        )
    return read_cells(folder, table)


def _types(counts: Sequence[SkillCount]) -> str:
    """How the file and the paper count the types of skills, and which skills this exam lacks."""
    filed = [sum(skill.type == kind for skill in SKILLS.values()) for kind in TYPES]
    note = (
        f"Types as the file of questions has them: {filed[0]} skills of information extraction and "
        f"{filed[1]} of reasoning.\nThe paper counts the same {len(SKILLS)} skills as {PAPER_TYPES[0]} and "
        f"{PAPER_TYPES[1]}."
    )
    if absent := [row.skill for row in counts if not row.items]:
        note += "\n" + textwrap.fill(f"Without items here: {', '.join(absent)}.", width=110)
    return note


if __name__ == "__main__":
    from core.run.stage import run

    run(figures, Config)

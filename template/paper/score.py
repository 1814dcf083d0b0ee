"""Score the answers. Reads predictions/<profile>/<variant>/*.jsonl; writes results/<profile>/pitch.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.report.cells import write_cells
from core.report.scoring import ids_of, mean_cell, read_lines
from core.run.stage import Context

DATASET = "tone_pairs"


@dataclass(frozen=True)
class Config:
    """table: key of the table in paper.yaml."""

    table: str


def score(config: Config, *, context: Context) -> None:
    """Write one cell, with interval and item scores, for every variant that was predicted."""
    cells, items = [], []
    for folder in sorted(context.path("predictions").iterdir()):
        seeds = [read_lines(path) for path in sorted(folder.glob("seed*.jsonl"))]
        cell, scored = mean_cell(
            folder.name,
            "accuracy",
            DATASET,
            [scores_of(lines) for lines in seeds],
            ids_of(seeds[0]),
            scale=context.profile,
            protocol="share of pairs whose higher tone is named",
            items="pairs",
        )
        cells.append(cell)
        items.append(scored)
        context.tracker.log_metrics({f"{folder.name}.accuracy": cell.value})
    write_cells(context.path("results"), config.table, cells, items)


def scores_of(lines: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """(items,) of 0 and 1."""
    return np.array([float(line["first_is_higher"] == line["truth"]) for line in lines])


if __name__ == "__main__":
    from core.run.stage import run

    run(score, Config)

"""Score the answers. Reads predictions/<profile>/<variant>/*.jsonl; writes results/<profile>/pitch.json."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.metrics.bootstrap import dataset_seed, mean_interval
from core.report.cells import Cell, Items, write_cells
from core.run.jsonl import read_lines
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
        scores = [read_scores(path) for path in sorted(folder.glob("seed*.jsonl"))]
        interval = mean_interval(scores, seed=dataset_seed(DATASET))
        cells.append(
            Cell(
                row=folder.name,
                column="accuracy",
                value=100 * interval.value,
                low=100 * interval.low,
                high=100 * interval.high,
                n=interval.n,
                seeds=tuple(100 * value for value in interval.seeds),
                scale=context.profile,
                protocol="share of pairs whose higher tone is named",
            )
        )
        items.append(Items(row=folder.name, column="accuracy", dataset=DATASET, scores=tuple(scores)))
        context.tracker.log_metrics({f"{folder.name}.accuracy": 100 * interval.value})
    write_cells(context.path("results"), config.table, cells, items)


def read_scores(path: Path) -> np.ndarray:
    """Return (items,) of 0 and 1 from one file of predictions."""
    return np.array([float(line["first_is_higher"] == line["truth"]) for line in read_lines(path)])


if __name__ == "__main__":
    from core.run.stage import run

    run(score, Config)

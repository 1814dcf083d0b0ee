"""Score the predictions. Reads: predictions/<profile>/<variant>/*.jsonl; writes: results/<profile>/ with a
JSON per table, its item scores beside it, and shuffle.png.

Needs neither model nor audio: anyone can score again, or score by another protocol.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.metrics.compa import compa_scores, random_baseline
from core.metrics.retrieval import Ranks, retrieval_scores
from core.report.cells import Cell, write_cells
from core.report.paper import models_of, read_paper
from core.report.scoring import Result, ids_of, map_cell, mean_cell, read_lines, units_of
from core.run.files import write_bytes_atomic
from core.run.made_from import write_made_from
from core.run.stage import Context

COLUMNS = {"esc50": "esc50", "urbansound8k": "us8k", "vggsound": "vggsound", "fsd50k": "fsd50k"}
RETRIEVAL = ("audiocaps", "clotho")
WRITER = "predict stage"


@dataclass(frozen=True)
class Config:
    """triplets: see core.metrics.compa."""

    triplets: Literal["paper", "pairs_only"] = "paper"


def score(config: Config, *, context: Context) -> None:
    """Write every table's cells, of the rows that paper.yaml shows models in."""
    score_rows(models_of(read_paper(context.folder)), config, context=context)
    write_made_from(context)


def score_rows(rows: Mapping[str, str], config: Config, *, context: Context) -> None:
    """Write every table's cells; rows: row -> model. A model that was not run leaves its cells out."""
    tables: dict[str, list[Result]] = {"benchmark": [], "retrieval": [], "zero_shot": [], "shuffle": []}
    for row, variant in rows.items():
        folder = context.path("predictions", variant)
        if (folder / "not_run.txt").is_file():
            print(f"{row}: {(folder / 'not_run.txt').read_text().strip()}")
            continue
        for path in sorted(folder.glob("*.jsonl")):
            for table, result in score_file(path, row=row, scale=context.profile, triplets=config.triplets):
                # the diagnostic compares: it needs the same captions shuffled
                if table == "shuffle" and not _shuffled(path).is_file():
                    continue
                tables[table].append(result)
    derived = chance(context, rows, config)
    for table, results in tables.items():
        if results:
            cells, items = [cell for cell, _ in results], [item for _, item in results]
            cells += derived if table == "benchmark" else []
            write_cells(context.path("results"), table, cells, items)
            context.tracker.log_metrics({f"{c.row}.{c.column}": c.value for c in cells})
            context.tracker.log_artifact(context.path("results", f"{table}.json"))
    if tables["shuffle"]:
        figure = context.path("results", "shuffle.png")
        draw_shuffle([cell for cell, _ in tables["shuffle"]], figure)
        context.tracker.log_artifact(figure)


def score_file(
    path: Path, *, row: str, scale: str, triplets: Literal["paper", "pairs_only"] = "paper"
) -> Iterator[tuple[str, Result]]:
    """(table, cell and items) of one file of predictions."""
    lines = read_lines(path, writer=WRITER)
    name, ids = path.stem, ids_of(lines)
    about: dict[str, Any] = {
        "units": units_of(lines, exam=name.removesuffix("_shuffled")),
        "clusters": "recordings",
        "scale": scale,
    }
    if name.startswith("compa_"):
        kind = name.removeprefix("compa_")
        similarity, has_triplet = similarities(lines)
        seeds = [compa_scores(s, has_triplet, triplets=triplets) for s in similarity]
        for part in ("text", "audio", "group"):
            scores = [seed[part].astype(float) for seed in seeds]
            yield (
                "benchmark",
                mean_cell(
                    row,
                    f"{kind}_{part}",
                    name,
                    scores,
                    ids,
                    protocol=f"strict wins, triplets: {triplets}",
                    items="instances",
                    **about,
                ),
            )
    elif name.removesuffix("_shuffled") in RETRIEVAL:
        base = name.removesuffix("_shuffled")
        shuffled = name != base
        seeds = [retrieval_scores(ranks) for ranks in ranks_of(lines)]
        captions = sum(len(line["text_to_audio"][0]) for line in lines)
        protocol = (
            f"T-A: each of {captions} captions a query; A-T: best of the clip's captions; ties lose; a clip "
            "scores its captions' share"
        )
        for column in (f"{way}_r{k}" for way in ("t2a", "a2t") for k in (1, 5, 10)):
            scores = [seed[column] for seed in seeds]
            full = f"{base}_{column}"
            tables = ["retrieval"] * (not shuffled) + ["shuffle"] * column.endswith("_r1")
            full += "_shuffled" if shuffled else ""
            for table in tables:
                yield (
                    table,
                    mean_cell(row, full, base, scores, ids, protocol=protocol, items="clips", **about),
                )
    elif name == "fsd50k":
        classes = json.loads(path.with_suffix(".classes.json").read_text(encoding="utf-8"))
        scores = list(np.array([line["scores"] for line in lines]).transpose(1, 0, 2))
        labels = np.array([[label in line["labels"] for label in classes] for line in lines])
        protocol = f"macro mAP over {labels.any(axis=0).sum()} classes with a positive, raw cosine"
        yield "zero_shot", map_cell(row, name, name, scores, labels, ids, protocol=protocol, **about)
    else:
        scores = [
            np.array([float(line["rank"][seed] == 0) for line in lines])
            for seed in range(len(lines[0]["rank"]))
        ]
        yield (
            "zero_shot",
            mean_cell(row, COLUMNS[name], name, scores, ids, protocol="accuracy, ties lose", **about),
        )


def chance(context: Context, rows: Mapping[str, str], config: Config) -> list[Cell]:
    """The Random row, derived from how many pairs and triplets were scored; exact, so without item scores."""
    made: list[Cell] = []
    folders = [context.path("predictions", variant) for variant in rows.values()]
    for kind in ("order", "attribute"):
        path = next(
            (f / f"compa_{kind}.jsonl" for f in folders if (f / f"compa_{kind}.jsonl").is_file()), None
        )
        if path is None:
            continue
        _, has_triplet = similarities(read_lines(path, writer=WRITER))
        n, triplets = len(has_triplet), int(has_triplet.sum())
        for part, share in random_baseline(n - triplets, triplets, triplets=config.triplets).items():
            value = 100 * float(share)
            cell = Cell(
                row="random",
                column=f"{kind}_{part}",
                value=value,
                low=value,
                high=value,
                n=n,
                seeds=(value,),
                scale=context.profile,
                protocol=f"expectation for independent scores, {n - triplets} pairs, {triplets} triplets",
            )
            made.append(cell)
    return made


def similarities(lines: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """(S, N, 3, 3) with NaN where there is no third pair, and which items have one (N,)."""
    seeds = len(lines[0]["similarity"])
    out = np.full((seeds, len(lines), 3, 3), np.nan)
    for number, line in enumerate(lines):
        block = np.array(line["similarity"])
        out[:, number, : block.shape[1], : block.shape[2]] = block
    return out, np.array([len(line["similarity"][0]) == 3 for line in lines])


def ranks_of(lines: Sequence[Mapping[str, Any]]) -> list[Ranks]:
    """The ranks of every seed."""
    owner = np.repeat(np.arange(len(lines)), [len(line["text_to_audio"][0]) for line in lines])
    return [
        Ranks(
            owner=owner,
            text_to_audio=np.concatenate([line["text_to_audio"][seed] for line in lines]),
            audio_to_text=np.concatenate([line["audio_to_text"][seed] for line in lines]),
        )
        for seed in range(len(lines[0]["text_to_audio"]))
    ]


def _shuffled(path: Path) -> Path:
    """Where the predictions on shuffled captions lie; the file itself where it holds those."""
    return path.with_name(f"{path.stem.removesuffix('_shuffled')}_shuffled.jsonl")


def draw_shuffle(cells: Sequence[Cell], path: Path) -> None:
    """R@1 with the words in order and shuffled, side by side, with intervals."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    rows = sorted({cell.row for cell in cells})
    columns = sorted({cell.column for cell in cells if not cell.column.endswith("_shuffled")})
    by_key = {(cell.row, cell.column): cell for cell in cells}
    figure, axes = plt.subplots(
        1, max(len(rows), 1), figsize=(4.5 * max(len(rows), 1), 3.4), sharey=True, squeeze=False
    )
    for axis, row in zip(axes[0], rows):
        for shift, suffix in ((-0.2, ""), (0.2, "_shuffled")):
            shown = [by_key[row, column + suffix] for column in columns]
            values = np.array([cell.value for cell in shown])
            spread = np.array([[c.value - c.low, c.high - c.value] for c in shown]).T
            axis.bar(
                np.arange(len(columns)) + shift,
                values,
                0.4,
                yerr=spread,
                capsize=3,
                label="shuffled" if suffix else "in order",
            )
        axis.set_title(row)
        axis.set_xticks(range(len(columns)), [c.replace("_r1", "").replace("_", "\n") for c in columns])
    axes[0][0].set_ylabel("R@1 (%)")
    axes[0][0].legend()
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    write_bytes_atomic(path, buffer.getvalue())
    plt.close(figure)


if __name__ == "__main__":
    from core.run.stage import run

    run(score, Config)

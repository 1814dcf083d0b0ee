"""Classify the test sets with a CLAP. Reads: predictions/<profile>/gold, the data sets and a variant of
CompA's checkpoints; writes: predictions/<profile>/<row>/<set>.jsonl, per item and seed the scores of all
classes.

Zero-shot: the class whose prompt is nearest to the audio. The artefact is CompA's, as trained for its own
tables.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core.encoders.trained_clap import open_clap
from core.run.jsonl import read_lines, write_lines
from core.run.stage import Context, progress
from projects.gama.features import dataset_batches
from projects.gama.gold import dataset_of

DIGITS = 3  # of a score; what ties then loses


@dataclass(frozen=True)
class Config:
    """variant: of CompA's checkpoints. sets: classifications only."""

    variant: str
    sets: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    prompt: str = "This is a sound of {}"
    batch_size: int = 64


@torch.inference_mode()
def contrast(config: Config, *, context: Context) -> None:
    """Write the scores of every set."""
    compa = context.root / "projects" / "compa" / "checkpoints" / context.profile
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    models = [open_clap(compa, config.variant, seed, device=device) for seed in config.seeds]
    datasets = context.root / "shared_data" / "datasets" / context.profile
    heard: dict[str, tuple[list[str], np.ndarray]] = {}  # data set -> ids and embeddings (S, N, D)
    gold = context.path("predictions", "gold")
    for name in config.sets:
        if not (gold / f"{name}.jsonl").is_file():
            continue  # a set that this profile has not got
        dataset = dataset_of(name)
        if dataset not in heard:
            ids: list[str] = []
            parts: list[torch.Tensor] = []
            rate = models[0].sample_rate
            source = dataset_batches(datasets / dataset, "test", rate, config.batch_size)
            for some, waves in progress(source, desc=f"hear {dataset}", unit="batch"):
                parts.append(torch.stack([m.embed_audio(waves, some) for m in models]))
                ids += some
            heard[dataset] = ids, torch.cat(parts, dim=1).numpy()
        classes = json.loads((gold / f"{name}.classes.json").read_text(encoding="utf-8"))
        prompted = [config.prompt.format(label) for label in classes]
        text = torch.stack([m.embed_text(prompted) for m in models]).numpy()
        ids, audio = heard[dataset]
        scores = np.einsum("snd,scd->nsc", audio, text)
        wanted = [line["id"] for line in read_lines(gold / f"{name}.jsonl")]
        _write(context, name, wanted, scores[[ids.index(id) for id in wanted]])


def _write(context: Context, name: str, ids: Sequence[str], scores: np.ndarray) -> None:
    lines = [{"id": id, "scores": row.round(DIGITS).tolist()} for id, row in zip(ids, scores)]
    write_lines(context.path("predictions", str(context.variant), f"{name}.jsonl"), lines, compact=True)
    print(f"{name}: {len(lines)} items")


if __name__ == "__main__":
    from core.run.stage import run

    run(contrast, Config)

"""Classify the test sets with a CLAP. Reads: predictions/<profile>/gold, the data sets and a variant of
CompA's checkpoints, or public weights; writes: predictions/<profile>/<variant>/own/<set>.jsonl, per item and
seed the scores of all classes.

Zero-shot: the class whose prompt is nearest to the audio. The artefact is CompA's, as trained for its own
tables.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import torch

from core.encoders.trained_clap import TrainedClap, open_clap, open_laion_clap
from core.report.predictions import Prediction, short, write_predictions
from core.report.scoring import read_lines
from core.run.files import write_text_atomic
from core.run.progress import progress
from core.run.stage import Context
from projects.gama.features import dataset_batches
from projects.gama.sets import LABELLED, TestSet

DIGITS = 3  # of a score; what ties then loses


@dataclass(frozen=True)
class Config:
    """variant: of CompA's checkpoints; weights: the folder of LAION-CLAP in its place, skipped when absent.
    sets: those of rows.yaml, of which labels are asked.
    """

    sets: dict[str, TestSet]
    variant: str = ""
    weights: str = ""
    seeds: tuple[int, ...] = (0,)
    prompt: str = "This is a sound of {}"
    batch_size: int = 64


@torch.inference_mode()
def contrast(config: Config, *, context: Context) -> None:
    """Write the scores of every set, or why there are none."""
    note = context.path("predictions", str(context.variant), "not_run.txt")
    if config.weights and not (context.root / config.weights / "config.json").is_file():
        reason = f"the weights are not in {config.weights}; `python -m core.data.doctor gama` tells more"
        write_text_atomic(note, reason + "\n")
        print(f"{context.variant}: not run: {reason}")
        return
    note.unlink(missing_ok=True)
    models = open_models(config, context)
    datasets = context.root / "shared_data" / "datasets" / context.profile
    heard: dict[str, tuple[list[str], np.ndarray]] = {}  # data set -> ids and embeddings (S, N, D)
    gold = context.path("predictions", "gold")
    for name, one in config.sets.items():
        if one.task not in LABELLED or not (gold / f"{name}.jsonl").is_file():
            continue  # a set that this profile has not got
        asked = read_lines(gold / f"{name}.jsonl", writer="stage gold")
        dataset = asked[0]["audio"].partition(":")[0]
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
        place = {id: number for number, id in enumerate(ids)}
        wanted = [line["id"] for line in asked]
        write_predictions(
            context.path("predictions", str(context.variant), "own", f"{name}.jsonl"),
            [Prediction(id=id, scores=tuple(short(scores[place[id]], DIGITS))) for id in wanted],
        )
        print(f"{name}: {len(wanted)} items")


def open_models(config: Config, context: Context) -> list[TrainedClap]:
    """One a seed, or the public one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if config.weights:
        return [open_laion_clap(context.root / config.weights, device=device)]
    compa = context.root / "projects" / "compa" / "checkpoints" / context.profile
    return [open_clap(compa, config.variant, seed, device=device) for seed in config.seeds]


if __name__ == "__main__":
    from core.run.stage import run

    run(contrast, Config)

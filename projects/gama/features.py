"""Hear everything once. Reads: the foundations, CompA-CLAP, data/<profile>/scenes.jsonl, the bank and the
data sets; writes: data/<profile>/features/<set>/ with the frozen encoders' features, shared by every row.

Encoders: `ast` (the layers of `taps`), `listener` (Whisper), `clap` (one vector an audio), `tags` (the
tagger's logits, which the soft prompt reads).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.audio.read import read_many
from core.audio_lm.ears import Hearing, open_ears, write_features, write_hearing
from core.audio_lm.store import write_truth
from core.data.parquet import read_dataset, why_absent
from core.encoders.ast import LongAudio
from core.foundations.public import read_record
from core.run.jsonl import split_lines
from core.run.stage import Context, progress
from core.scenes.bank import read_bank
from core.scenes.compose import render_many
from core.scenes.facts import facts
from core.scenes.timeline import Scene, scene_from_json


@dataclass(frozen=True)
class Config:
    """taps: AST layers from 1, the last one first (paper: 12, 4, 8). listener_pool: features averaged in
    time.

    long_audio: audio beyond an encoder's window is windowed, or refused; it is never cut. CLAP hears crops,
    as it was trained to. clap: the variant of CompA whose audio tower serves "w/ CLAP".
    """

    taps: tuple[int, ...]
    train_sets: tuple[str, ...]
    test_sets: tuple[str, ...]
    labels: tuple[str, ...] = ()  # of the bank; empty is all
    listener_pool: int = 2
    long_audio: LongAudio = "window"
    clap: str = "compa_clap"
    clap_seed: int = 0
    batch_size: int = 64


def features(config: Config, *, context: Context) -> None:
    """Write the features of the training scenes, the training sets and the test sets."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ears = open_ears(hearing_of(config, context=context), root=context.root, device=device)
    out = context.path("data", "features")
    write_hearing(out, ears)
    datasets = context.root / "shared_data" / "datasets" / context.profile
    batches = {"scenes": scene_batches(config, ears.sample_rate, context=context)}
    truth = {"scenes": scene_truth(context)}
    wanted = [(name, "train") for name in config.train_sets] + [(name, "test") for name in config.test_sets]
    for name, split in wanted:
        if reason := why_absent(datasets / name):
            print(f"{name}: {reason}")
            continue
        key = name if split == "test" else f"{name}_{split}"
        batches[key] = dataset_batches(datasets / name, split, ears.sample_rate, config.batch_size)
        truth[key] = dataset_truth(datasets / name, split)
    for name, source in batches.items():
        written = write_features(out / name, progress(source, desc=f"hear {name}", unit="batch"), ears)
        if truth[name]:
            write_truth(out / name, truth[name])
        context.tracker.log_metrics({f"{name}/audios": float(len(written.ids))})
        print(f"{name}: {len(written.ids)} audios")


def hearing_of(config: Config, *, context: Context) -> Hearing:
    """The foundations and the CLAP of this profile."""
    return Hearing(
        tagger=read_record(context.root, context.profile, "tagger").path,
        listener=read_record(context.root, context.profile, "listener").path,
        clap=f"projects/compa/checkpoints/{context.profile}",
        clap_variant=config.clap,
        clap_seed=config.clap_seed,
        taps=config.taps,
        listener_pool=config.listener_pool,
        long_audio=config.long_audio,
    )


Batches = Iterator[tuple[list[str], list[np.ndarray]]]


def scene_truth(context: Context) -> dict[str, list[str]]:
    """The labels of each training scene, in the order of their starts."""
    path = context.path("data", "scenes.jsonl")
    scenes = _scenes(path) if path.is_file() else []
    return {scene.id: list(facts(scene).labels()) for scene in scenes}


def _scenes(path: Path) -> list[Scene]:
    return [scene_from_json(line.decode("utf-8")) for line in split_lines(path.read_bytes())]


def dataset_truth(folder: Path, split: str) -> dict[str, list[str]]:
    """The labels of each row whose events are known."""
    if "events" not in read_dataset(folder, split).column_names:
        return {}
    rows = read_dataset(folder, split, columns=["id", "events"])
    return {row["id"]: list(dict.fromkeys(event["label"] for event in row["events"])) for row in rows}


def scene_batches(config: Config, sample_rate: int, *, context: Context) -> Batches:
    """Training scenes, rendered here and kept nowhere."""
    path = context.path("data", "scenes.jsonl")
    if not path.is_file():
        return
    known = _scenes(path)
    folder = context.root / "shared_data" / "bank" / context.profile
    bank = read_bank(folder, splits=["train"]).only(config.labels)
    if bank.sample_rate != sample_rate:
        raise ValueError(f"{folder} is at {bank.sample_rate} Hz, the encoders hear {sample_rate} Hz")
    for first in range(0, len(known), config.batch_size):
        scenes = known[first : first + config.batch_size]
        yield [scene.id for scene in scenes], render_many(scenes, bank, threads=2)


def dataset_batches(folder: Path, split: str, sample_rate: int, size: int) -> Batches:
    """The audio of a data set, decoded batch by batch."""
    ids: list[str] = []
    contents: list[bytes] = []
    for row in read_dataset(folder, split, columns=["id", "audio"]):
        ids.append(row["id"])
        contents.append(row["audio"]["bytes"])
        if len(ids) == size:
            yield ids, _decoded(contents, ids, folder.name, sample_rate)
            ids, contents = [], []
    if ids:
        yield ids, _decoded(contents, ids, folder.name, sample_rate)


def _decoded(contents: list[bytes], ids: list[str], name: str, sample_rate: int) -> list[np.ndarray]:
    names = [f"{name} {id}" for id in ids]
    return [wave for wave, _ in read_many(contents, sample_rate=sample_rate, names=names)]


if __name__ == "__main__":
    from core.run.stage import run

    run(features, Config)

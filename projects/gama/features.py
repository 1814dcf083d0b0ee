"""Hear everything once with one encoder. Reads: the encoder, data/<profile>/scenes.jsonl, the bank and the
data sets; writes: data/<profile>/features/{train,test}/<encoder>/<set>/, shared by every model
(core.audio_lm.features).

A variant is an encoder. A set that was heard of the same audio, by the same encoder and code, is kept: a new
set hears that set alone, and a new encoder leaves what the others heard.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import soxr
import torch

from core.audio.read import read_many
from core.audio_lm.encoders import (
    RECORD,
    Encoder,
    EncoderRecord,
    hear,
    open_encoder,
    read_record,
    record_of,
    write_record,
)
from core.audio_lm.features import heard_of, keep_only, write_set
from core.data.parquet import read_dataset, read_info, why_absent
from core.foundations.public import read_record as read_foundation
from core.run.code import REPOSITORY, code_of
from core.run.jsonl import split_lines
from core.run.progress import progress
from core.run.stage import Context
from core.scenes.bank import read_bank
from core.scenes.compose import render_many
from core.scenes.facts import facts
from core.scenes.timeline import Scene, scene_from_json
from projects.gama.sets import TestSet

SCENES = "scenes"
Batches: TypeAlias = Iterable[tuple[list[str], list[np.ndarray]]]


@dataclass(frozen=True)
class Config:
    """kind: of core.audio_lm.encoders.OPENERS, options: of that opener. foundation, checkpoints: where its
    weights are, a foundation or the paper that trained them.

    train_sets: data sets; sets: test sets. labels: of the bank's clips that scenes are made of; empty is all.
    """

    kind: str
    train_sets: tuple[str, ...]
    sets: dict[str, TestSet]
    foundation: str = ""
    checkpoints: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    batch_size: int = 64

    def __post_init__(self) -> None:
        if bool(self.foundation) == bool(self.checkpoints):
            raise ValueError("give either foundation or checkpoints, as the place of the weights")


@dataclass(frozen=True)
class Source:
    """A set to be heard. content: what decides its audio and truth, as JSON. truth: true labels by id."""

    content: Any
    batches: Batches
    truth: Mapping[str, list[str]]


def features(config: Config, *, context: Context) -> None:
    """Write the features of the training scenes, the training sets and the test sets."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = open_encoder(recipe(config, context=context), root=context.root, device=device)
    record = record_of(encoder, recipe(config, context=context))
    wanted = dict(sources(config, encoder.sample_rate, context=context))
    for part in ("train", "test"):
        mine = {name: source for (of, name), source in wanted.items() if of == part}
        hear_all(mine, encoder, record, context.path("data", "features", part, record.name), config, context)


def hear_all(
    wanted: Mapping[str, Source],
    encoder: Encoder,
    record: EncoderRecord,
    out: Path,
    config: Config,
    context: Context,
) -> None:
    """Hear the sets that are not there yet; one that the same encoder and code heard is kept."""
    if (out / RECORD).is_file() and read_record(out) != record:
        (out / RECORD).unlink()  # until all sets are this encoder's, nobody may read them
    for gone in keep_only(out, list(wanted)):
        print(f"{gone}: no longer asked for, removed")
    code = code_of(context.module, root=REPOSITORY)
    for name, source in wanted.items():
        identity = _hash([source.content, asdict(record), config.batch_size, code])
        if heard_of(out / name) == identity:
            print(f"{name}: kept")
            continue
        with write_set(
            out / name, identity=identity, truth=source.truth if record.labels else None
        ) as writer:
            for ids, waves in progress(source.batches, desc=f"hear {name}", unit="batch"):
                writer.append(ids, hear(encoder, waves, ids))
        context.tracker.log_metrics({f"{name}/audios": float(len(writer.ids))})
        print(f"{name}: {len(writer.ids)} audios")
    write_record(out, record)


def recipe(config: Config, *, context: Context) -> EncoderRecord:
    """The encoder of this profile, before it is opened."""
    folder = f"projects/{config.checkpoints}/checkpoints/{context.profile}"
    if config.foundation:
        folder = read_foundation(context.root, context.profile, config.foundation).path
    return EncoderRecord(name=str(context.variant), kind=config.kind, folder=folder, options=config.options)


def sources(
    config: Config, sample_rate: int, *, context: Context
) -> Iterable[tuple[tuple[str, str], Source]]:
    """(train or test, name that an audio "<set>:<id>" has) of every set; nothing is heard yet."""
    scenes, bank = (
        context.path("data", "scenes.jsonl"),
        context.root / "shared_data" / "bank" / context.profile,
    )
    if scenes.is_file() and scenes.stat().st_size:  # a profile with official data composes none
        clips = json.loads((bank / "bank.json").read_text(encoding="utf-8"))["splits"]["train"]["sha256"]
        made = [hashlib.sha256(scenes.read_bytes()).hexdigest(), clips, config.labels]
        heard = scene_batches(config, sample_rate, context=context)
        yield ("train", SCENES), Source(made, heard, scene_truth(context))
    datasets = context.root / "shared_data" / "datasets" / context.profile
    tests = dict.fromkeys(one.dataset or name for name, one in config.sets.items())
    asked = [(name, "train") for name in config.train_sets] + [(name, "test") for name in tests]
    for name, split in asked:
        folder = datasets / name
        if reason := why_absent(folder):
            print(f"{name}: {reason}")
            continue
        shards = {k: v for k, v in read_info(folder)["sha256"].items() if k.startswith(f"{split}-")}
        batches = dataset_batches(folder, split, sample_rate, config.batch_size)
        key = name if split == "test" else f"{name}_{split}"
        yield (split, key), Source(shards, batches, dataset_truth(folder, split))


def scene_truth(context: Context) -> dict[str, list[str]]:
    """The labels of each training scene, in the order of their starts."""
    scenes = _scenes(context.path("data", "scenes.jsonl"))
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
    known = _scenes(context.path("data", "scenes.jsonl"))
    folder = context.root / "shared_data" / "bank" / context.profile
    bank = read_bank(folder, splits=["train"]).only(config.labels)
    if bank.sample_rate < sample_rate:  # the sounds would lack what the encoder knows of the higher bands
        raise ValueError(f"{folder} is at {bank.sample_rate} Hz, the encoder hears {sample_rate} Hz")
    for first in range(0, len(known), config.batch_size):
        scenes = known[first : first + config.batch_size]
        waves = render_many(scenes, bank, threads=2)
        if bank.sample_rate != sample_rate:
            waves = [soxr.resample(wave, bank.sample_rate, sample_rate) for wave in waves]
        yield [scene.id for scene in scenes], waves


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


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


if __name__ == "__main__":
    from core.run.stage import run

    run(features, Config)

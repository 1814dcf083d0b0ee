"""Embed the test sets with one variant. Reads: data/<profile>/features, checkpoints/<profile>/<variant> and
the data sets' texts; writes: predictions/<profile>/<variant>/<data set>.jsonl, one line an item.

A line holds what any protocol needs and stays small enough for git: similarities (CompA), ranks (retrieval),
the rank of the right class or the class scores (zero-shot), each per seed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from core.audio.read import read_audio
from core.data.parquet import read_dataset, read_info
from core.data.schema import recording_of
from core.encoders.clap import Clap
from core.encoders.clap_folder import (
    FrontEnd,
    ModelError,
    Shape,
    make_front_end,
    make_model,
    read_shape,
    tokenize,
    weights_of,
)
from core.encoders.trained_clap import open_laion_clap
from core.metrics.retrieval import retrieval_ranks
from core.report.predictions import short
from core.run.arrays import open_array
from core.run.files import write_json, write_text_atomic
from core.run.jsonl import write_lines
from core.run.progress import progress
from core.run.stage import Context
from core.scenes.captions import shuffle_words
from core.train.checkpoints import load_model
from core.train.finite import check_finite
from projects.compa.sets import EvalSet, Task, sets_of

COMPARISONS = ("pair", "reversed", "triplet")
DIGITS = 6  # kept of a similarity: far below any difference that decides an item


@dataclass(frozen=True)
class Config:
    """sets: those of rows.yaml; tasks: what the variant is tested on. seeds: empty is all that were trained.

    weights: public weights of LAION-CLAP in place of the variant's own (skipped when absent): a folder of the
    Hub, or an official .pt file, with tokenizer.json in the folder or beside the file.
    """

    sets: dict[str, EvalSet]
    tasks: tuple[Task, ...] = ("comparison",)
    seeds: tuple[int, ...] = ()
    prompt: str = "This is a sound of {}"
    weights: str = ""
    batch_size: int = 64


@dataclass(frozen=True)
class Embedder:
    """The models of all seeds and how texts and test audios reach them."""

    models: tuple[Clap, ...]
    tokenizer: Tokenizer
    max_tokens: int
    pad_to_max: bool
    front_end: FrontEnd | None  # None: the cached log-mels of `prepare` fit
    features: Path
    datasets: Path
    batch_size: int

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Normalised embeddings (S, N, D) of the seeds' models."""
        out: list[list[torch.Tensor]] = [[] for _ in self.models]
        for first in range(0, len(texts), 4 * self.batch_size):
            part = texts[first : first + 4 * self.batch_size]
            ids, mask = tokenize(self.tokenizer, part, max_tokens=self.max_tokens, pad_to_max=self.pad_to_max)
            for model, rows in zip(self.models, out):
                device = model.log_scale.device
                embedded = model.embed_text(ids.to(device), mask.to(device))
                check_finite(embedded, part)
                rows.append(F.normalize(embedded, dim=1).float().cpu())
        return np.stack([torch.cat(rows).numpy() for rows in out])

    @torch.inference_mode()
    def audios(self, name: str) -> tuple[list[tuple[str, str]], np.ndarray]:
        """(row id, column) of every test audio and its embeddings (S, N, D)."""
        names: list[tuple[str, str]] = []
        out: list[list[torch.Tensor]] = [[] for _ in self.models]
        for keys, features, longer in progress(self._mels(name), desc=f"embed {name}", unit="batch"):
            names += keys
            for model, rows in zip(self.models, out):
                device = model.log_scale.device
                heard = torch.from_numpy(np.array(features)).to(device)
                embedded = model.embed_audio(heard, torch.from_numpy(np.ascontiguousarray(longer)).to(device))
                check_finite(embedded, [f"{row} {column}" for row, column in keys])
                rows.append(F.normalize(embedded, dim=1).float().cpu())
        return names, np.stack([torch.cat(rows).numpy() for rows in out])

    def _mels(self, name: str) -> Iterator[tuple[list[tuple[str, str]], np.ndarray, np.ndarray]]:
        index = [
            (row, column) for row, column in json.loads((self.features / name / "index.json").read_text())
        ]
        if self.front_end is None:
            mels = open_array(self.features / name / "audio.npy", mapped=True)
            longer = open_array(self.features / name / "longer.npy")
            for first in range(0, len(index), self.batch_size):
                part = slice(first, first + self.batch_size)
                yield index[part], mels[part], longer[part]
            return
        mel = make_front_end(self.front_end)
        rows = {row["id"]: row for row in read_dataset(self.datasets / name)}
        for first in range(0, len(index), self.batch_size):
            keys = index[first : first + self.batch_size]
            contents = [rows[row][column]["bytes"] for row, column in keys]
            waves = [read_audio(content, sample_rate=self.front_end.sample_rate)[0] for content in contents]
            heard = mel(waves, items=[row for row, _ in keys])
            yield keys, heard.input_features.numpy(), heard.is_longer.numpy()


def predict(config: Config, *, context: Context) -> None:
    """Write the predictions of every data set that the variant is tested on, or why there are none."""
    out = context.path("predictions", str(context.variant))
    try:
        embedder = make_embedder(config, context=context)
    except FileNotFoundError as missing:
        if not config.weights:
            raise
        reason = (
            f"not run: the weights are not in {config.weights}; `python -m core.data.doctor compa` tells more"
        )
        write_text_atomic(out / "not_run.txt", reason + "\n")
        print(f"{context.variant} {reason} ({type(missing).__name__})")
        return
    (out / "not_run.txt").unlink(missing_ok=True)
    wanted = {task: sets_of(config.sets, task) if task in config.tasks else [] for task in get_args(Task)}
    for name in wanted["comparison"]:
        _write(out / f"{name}.jsonl", with_recordings(compare(embedder, name), embedder.datasets / name))
    for name in wanted["retrieval"]:
        names, audio = embedder.audios(name)
        rows = read_dataset(embedder.datasets / name, columns=["id", "captions"]).to_list()
        if [row["id"] for row in rows] != [row for row, _ in names]:
            raise ModelError(
                f"{name}: the cached log-mels belong to other rows; run the stage `prepare` again"
            )
        ranked = retrieve(embedder, rows, audio)
        _write(out / f"{name}.jsonl", with_recordings(ranked, embedder.datasets / name))
        if name in wanted["shuffled"]:
            rng = np.random.default_rng(0)
            mixed = [
                {"id": row["id"], "captions": [shuffle_words(text, rng=rng) for text in row["captions"]]}
                for row in rows
            ]
            ranked = retrieve(embedder, mixed, audio)
            _write(out / f"{name}_shuffled.jsonl", with_recordings(ranked, embedder.datasets / name))
    for name in wanted["zero_shot"]:
        classes = [str(label) for label in read_info(embedder.datasets / name)["labels"]]
        named = classify(embedder, name, classes, prompt=config.prompt)
        _write(out / f"{name}.jsonl", with_recordings(named, embedder.datasets / name))
        if name == "fsd50k":
            write_json(out / "fsd50k.classes.json", classes)


def make_embedder(config: Config, *, context: Context) -> Embedder:
    """Load every seed's model. Raises FileNotFoundError when public weights are not there."""
    shared: dict[str, Any] = {
        "features": context.path("data", "features"),
        "datasets": context.root / "shared_data" / "datasets" / context.profile,
        "batch_size": config.batch_size,
    }
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if config.weights:
        public = open_laion_clap(context.root / config.weights, device=device)
        texts = (public.tokenizer, public.max_tokens, public.pad_to_max)
        return Embedder((public.model,), *texts, public.front_end, **shared)
    shape, tokenizer = read_shape(context.path("checkpoints", "init"))
    base, variant = context.path("checkpoints"), str(context.variant)
    seeds = config.seeds or seeds_of(base / variant)
    models = tuple(load_variant(shape, weights_of(base, variant, seed)).to(device) for seed in seeds)
    return Embedder(models, tokenizer, shape.text.max_tokens, shape.pooling == "padded", None, **shared)


def seeds_of(folder: Path) -> tuple[int, ...]:
    """The seeds of a variant that were trained. Raises ModelError where there is none."""
    found = sorted(int(path.name.removeprefix("seed")) for path in folder.glob("seed*"))
    if not found:
        raise ModelError(f"{folder} holds no trained seed: run the stage `train {folder.name}`")
    return tuple(found)


def load_variant(shape: Shape, weights: Path) -> Clap:
    """One seed's model in evaluation mode."""
    model = make_model(shape)
    load_model(model, weights)
    return model.eval()


def compare(embedder: Embedder, name: str) -> Iterator[dict[str, Any]]:
    """CompA: per item and seed s[caption][audio], 2 x 2 or with a triplet 3 x 3."""
    columns = [f"{kind}_caption" for kind in COMPARISONS]
    rows = read_dataset(embedder.datasets / name, columns=["id", *columns]).to_list()
    names, audio = embedder.audios(name)
    place = {key: number for number, key in enumerate(names)}
    captions = [(row["id"], kind, row[f"{kind}_caption"]) for row in rows for kind in COMPARISONS]
    captions = [caption for caption in captions if caption[2]]
    said = {(row, kind): number for number, (row, kind, _) in enumerate(captions)}
    text = embedder.texts([caption for _, _, caption in captions])
    for row in rows:
        kinds = [kind for kind in COMPARISONS if row[f"{kind}_caption"]]
        a = audio[:, [place[row["id"], f"{kind}_audio"] for kind in kinds]]
        t = text[:, [said[row["id"], kind] for kind in kinds]]
        similarity = np.einsum("sid,sjd->sij", t.astype(np.float64), a.astype(np.float64))
        yield {"id": row["id"], "similarity": similarity.round(DIGITS).tolist()}


def retrieve(
    embedder: Embedder, rows: Sequence[dict[str, Any]], audio: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Retrieval: per item and seed the rank of each caption's clip, and of each caption for the clip."""
    captions = [caption for row in rows for caption in row["captions"]]
    owner = np.repeat(np.arange(len(rows)), [len(row["captions"]) for row in rows])
    text = embedder.texts(captions)
    ranks = [retrieval_ranks(t, a, owner) for t, a in zip(text, audio)]
    for number, row in enumerate(rows):
        mine = owner == number
        yield {
            "id": row["id"],
            "text_to_audio": [r.text_to_audio[mine].tolist() for r in ranks],
            "audio_to_text": [r.audio_to_text[mine].tolist() for r in ranks],
        }


def classify(
    embedder: Embedder, name: str, classes: Sequence[str], *, prompt: str
) -> Iterator[dict[str, Any]]:
    """Zero-shot: per item and seed the right class's rank; for several labels the score of every class."""
    if len(set(classes)) < len(classes):
        raise ModelError(
            f"{name}: the label set holds duplicates: {sorted({c for c in classes if classes.count(c) > 1})}"
        )
    column = "labels" if name == "fsd50k" else "label"
    rows = read_dataset(embedder.datasets / name, columns=["id", column]).to_list()
    names, audio = embedder.audios(name)
    text = embedder.texts([prompt.format(label) for label in classes])
    scores = np.einsum("snd,scd->nsc", audio, text)
    if [row["id"] for row in rows] != [row for row, _ in names]:
        raise ModelError(f"{name}: the cached log-mels belong to other rows; run the stage `prepare` again")
    for row, score in zip(rows, scores):
        if column == "labels":
            yield {"id": row["id"], "labels": row["labels"], "scores": short(score, 4)}
        else:
            right = score[:, list(classes).index(row["label"])]
            ahead = (score >= right[:, None]).sum(axis=1) - 1  # ties lose
            best = [classes[int(place)] for place in score.argmax(axis=1)]
            yield {"id": row["id"], "label": row["label"], "rank": ahead.tolist(), "predicted": best}


def with_recordings(rows: Iterator[dict[str, Any]], folder: Path) -> Iterator[dict[str, Any]]:
    """The rows, each with the recording that its audio was cut from, where it is one."""
    found = read_dataset(folder, columns=["id", "clips"])
    recordings = {row["id"]: recording_of(row["clips"]) for row in found}
    for row in rows:
        recording = recordings[row["id"]]
        yield row | ({"recording": recording} if recording else {})


def _write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    write_lines(path, rows, compact=True)


if __name__ == "__main__":
    from core.run.stage import run

    run(predict, Config)

"""Hear everything once. Reads: the foundations, CompA-CLAP, data/<profile>/scenes.jsonl, the bank and the
data sets; writes: data/<profile>/features/<set>/ with the frozen encoders' features, shared by every row.

Encoders: `ast` (the layers of `taps`), `listener` (Whisper), `clap` (one vector an audio), `tags` (the
tagger's logits, which the soft prompt reads).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
import torch
import torch.nn.functional as F

from core.adapters.prefix_lm import Features
from core.audio.mel import ClapMel, KaldiFbank, WhisperMel
from core.audio.read import read_many
from core.checkpoints import load_model
from core.data.parquet import read_dataset, why_absent
from core.encoders.ast import AstEncoder, LongAudio, encode_long, load_ast, read_fbank
from core.encoders.clap import Clap
from core.encoders.clap_folder import make_front_end, make_model, read_shape, weights_of
from core.encoders.whisper import WhisperFeatures, hear_long, load_whisper, read_whisper_mel
from core.files import write_json
from core.foundations.public import foundation_path
from core.scenes.bank import read_bank
from core.scenes.compose import render_many
from core.scenes.timeline import scene_from_json
from core.stage import Context, progress
from projects.gama.store import write_set

ENCODERS = ("ast", "listener", "clap", "tags")


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


@dataclass(frozen=True)
class Ears:
    """The frozen encoders and their front ends."""

    ast: AstEncoder
    fbank: KaldiFbank
    listener: WhisperFeatures
    whisper_mel: WhisperMel
    clap: Clap
    clap_mel: ClapMel
    sample_rate: int
    clap_rate: int
    long_audio: LongAudio

    @torch.inference_mode()
    def hear(self, waveforms: Sequence[np.ndarray], ids: Sequence[str]) -> dict[str, Features]:
        """Features of a batch at `sample_rate`: ast (B, T, L, D), listener (B, T, D), clap and tags (B, 1,
        D).
        """
        waves = list(waveforms)
        tagged = encode_long(
            self.ast, waves, self.fbank, long_audio=self.long_audio, items=ids, batch_size=len(waves)
        )
        heard = hear_long(
            self.listener,
            waves,
            self.whisper_mel,
            long_audio=self.long_audio,
            items=ids,
            batch_size=len(waves),
        )
        other = [_resampled(wave, self.sample_rate, self.clap_rate) for wave in waves]
        seen = self.clap_mel(other, items=list(ids))
        device = self.clap.log_scale.device
        vector = self.clap.embed_audio(seen.input_features.to(device), seen.is_longer.to(device))
        one = torch.ones(len(waves), 1, dtype=torch.bool)
        return {
            "ast": Features(torch.stack(tagged.features, dim=2).float(), tagged.mask),
            "listener": Features(heard.features.float(), heard.mask),
            "clap": Features(F.normalize(vector.float(), dim=1)[:, None].cpu(), one),
            "tags": Features(tagged.logits[:, None].float().cpu(), one),
        }


def _resampled(wave: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    return wave if rate == wanted else soxr.resample(wave, rate, wanted)


def features(config: Config, *, context: Context) -> None:
    """Write the features of the training scenes, the training sets and the test sets."""
    ears = open_ears(config, context=context)
    out = context.path("data", "features")
    write_json(out / "labels.json", list(ears.ast.labels))
    datasets = context.root / "shared_data" / "datasets" / context.profile
    batches = {"scenes": scene_batches(config, ears.sample_rate, context=context)}
    wanted = [(name, "train") for name in config.train_sets] + [(name, "test") for name in config.test_sets]
    for name, split in wanted:
        if reason := why_absent(datasets / name):
            print(f"{name}: {reason}")
            continue
        key = name if split == "test" else f"{name}_{split}"
        batches[key] = dataset_batches(datasets / name, split, ears.sample_rate, config.batch_size)
    for name, source in batches.items():
        with write_set(out / name, ENCODERS) as writer:
            for ids, waves in progress(source, desc=f"hear {name}", unit="batch"):
                writer.append(ids, ears.hear(waves, ids))
        context.tracker.log_metrics({f"{name}/audios": float(len(writer.ids))})
        print(f"{name}: {len(writer.ids)} audios")


def open_ears(config: Config, *, context: Context) -> Ears:
    """Load the encoders. Raises what they raise where a stage has not run."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tagger = foundation_path(context.root, context.profile, "tagger")
    listener = foundation_path(context.root, context.profile, "listener")
    compa = context.root / "projects" / "compa" / "checkpoints" / context.profile
    shape, _ = read_shape(compa / "init")
    clap = make_model(shape)
    load_model(clap, weights_of(compa, config.clap, config.clap_seed))
    fbank, whisper_mel = read_fbank(tagger), read_whisper_mel(listener)
    return Ears(
        ast=load_ast(tagger, taps=config.taps).to(device),
        fbank=fbank.to(device),
        listener=load_whisper(listener, pool=config.listener_pool).to(device),
        whisper_mel=whisper_mel.to(device),
        clap=clap.eval().to(device),
        clap_mel=make_front_end(shape.front_end).to(device),
        sample_rate=16_000,  # of AST's and Whisper's front ends
        clap_rate=shape.front_end.sample_rate,
        long_audio=config.long_audio,
    )


Batches = Iterator[tuple[list[str], list[np.ndarray]]]


def scene_batches(config: Config, sample_rate: int, *, context: Context) -> Batches:
    """Training scenes, rendered here and kept nowhere."""
    path = context.path("data", "scenes.jsonl")
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    folder = context.root / "shared_data" / "bank" / context.profile
    bank = read_bank(folder, splits=["train"]).only(config.labels)
    if bank.sample_rate != sample_rate:
        raise ValueError(f"{folder} is at {bank.sample_rate} Hz, the encoders hear {sample_rate} Hz")
    for first in range(0, len(lines), config.batch_size):
        scenes = [scene_from_json(line) for line in lines[first : first + config.batch_size]]
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
    from core.stage import run

    run(features, Config)

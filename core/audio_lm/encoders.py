"""Frozen encoders that our language models hear with: an encoder is a name, a sample rate and a function.

`OPENERS` says how each kind is opened. A caller with another kind gives `{**OPENERS, "mine": open_mine}`:
nothing here knows how many kinds there are, and no row is trained again because another one came.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import soxr
import torch

from core.adapters.prefix_lm import Features
from core.encoders import trained_clap
from core.encoders.ast import LongAudio, encode_long, load_ast, read_fbank
from core.encoders.whisper import hear_long, load_whisper, read_whisper_mel
from core.encoders.yamnet import HOP, YamnetMel, hear_patches, load_yamnet
from core.run.files import write_json
from core.run.strict_yaml import nearest

RECORD = "encoder.json"
TAGS = "tags"  # the encoder whose values are logits of labels, which the soft prompt's sentence is made of
RATE = 16_000  # Hz, of AST's and Whisper's front ends

# waveforms (n,) float32 at the encoder's rate and their names -> (B, T, D), or (B, T, L, D) of several layers
Hear: TypeAlias = Callable[[Sequence[np.ndarray], Sequence[str]], Features]


class EncoderError(ValueError):
    """An encoder that is unknown, cannot be opened as asked, or is not the one that was trained with."""


@dataclass(frozen=True)
class Encoder:
    """weights: the files that decide what it hears. labels: what its values are of, where they are logits."""

    name: str
    sample_rate: int
    hear: Hear = field(repr=False)
    weights: tuple[Path, ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EncoderRecord:
    """All that is needed to open the same encoder again.

    name: what branches and folders call it; kind: of `OPENERS`; folder: from the repository's root; options:
    of its kind's opener; sha256: of its weights; labels: as in `Encoder`.
    """

    name: str
    kind: str
    folder: str
    options: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""
    labels: tuple[str, ...] = ()


Opener: TypeAlias = Callable[..., Encoder]  # (folder, *, device, **options)


def open_ast(
    folder: Path, *, device: torch.device, taps: Sequence[int], long_audio: LongAudio = "window"
) -> Encoder:
    """AST's layers (B, T, L, D). taps: from 1, the last layer first. long_audio: windowed or refused."""
    model, fbank = load_ast(folder, taps=tuple(taps)).to(device), read_fbank(folder).to(device)

    def hear(waves: Sequence[np.ndarray], ids: Sequence[str]) -> Features:
        made = encode_long(model, list(waves), fbank, long_audio=long_audio, items=ids, batch_size=len(waves))
        return Features(torch.stack(made.features, dim=2).float(), made.mask)

    return Encoder("ast", RATE, hear, _weights(folder))


def open_tagger(folder: Path, *, device: torch.device, long_audio: LongAudio = "window") -> Encoder:
    """AST's logits (B, 1, C), of each label the largest over the windows."""
    model, fbank = load_ast(folder, taps=(1,)).to(device), read_fbank(folder).to(device)

    def hear(waves: Sequence[np.ndarray], ids: Sequence[str]) -> Features:
        made = encode_long(model, list(waves), fbank, long_audio=long_audio, items=ids, batch_size=len(waves))
        return Features(made.logits[:, None].float(), _one(waves))

    return Encoder(TAGS, RATE, hear, _weights(folder), tuple(model.labels))


def open_yamnet(folder: Path, *, device: torch.device, taps: Sequence[int], hop: int = HOP) -> Encoder:
    """YAMNet's layers (B, T, L, D), a step a patch. taps: from 1, the last layer first. hop: frames of 10 ms
    from one patch to the next."""
    model, mel = load_yamnet(folder, taps=tuple(taps)).to(device), YamnetMel(hop=hop).to(device)

    def hear(waves: Sequence[np.ndarray], ids: Sequence[str]) -> Features:
        made = hear_patches(model, list(waves), mel, items=ids)
        return Features(torch.stack(made.features, dim=2).float(), made.mask)

    return Encoder("ast", RATE, hear, _weights(folder))


def open_yamnet_tags(folder: Path, *, device: torch.device) -> Encoder:
    """YAMNet's logits (B, 1, C), of each class the largest over the patches."""
    model, mel = load_yamnet(folder, taps=(1,)).to(device), YamnetMel().to(device)

    def hear(waves: Sequence[np.ndarray], ids: Sequence[str]) -> Features:
        made = hear_patches(model, list(waves), mel, items=ids)
        return Features(made.logits[:, None].float(), _one(waves))

    return Encoder(TAGS, RATE, hear, _weights(folder), model.labels)


def open_listener(
    folder: Path, *, device: torch.device, pool: int = 2, long_audio: LongAudio = "window"
) -> Encoder:
    """Whisper's features (B, T, D). pool: how many are averaged in time."""
    model, mel = load_whisper(folder, pool=pool).to(device), read_whisper_mel(folder).to(device)

    def hear(waves: Sequence[np.ndarray], ids: Sequence[str]) -> Features:
        made = hear_long(model, list(waves), mel, long_audio=long_audio, items=ids, batch_size=len(waves))
        return Features(made.features.float(), made.mask)

    return Encoder("listener", RATE, hear, _weights(folder))


def open_clap(folder: Path, *, device: torch.device, variant: str, seed: int = 0) -> Encoder:
    """A vector (B, 1, D) of a variant of CompA's checkpoints, which hears crops, as it was trained to."""
    clap = trained_clap.open_clap(folder, variant, seed, device=device)

    def hear(waves: Sequence[np.ndarray], ids: Sequence[str]) -> Features:
        return Features(clap.embed_audio(waves, ids)[:, None], _one(waves))

    return Encoder("clap", clap.sample_rate, hear, (clap.weights,))


OPENERS: Mapping[str, Opener] = {
    "ast": open_ast,
    "tagger": open_tagger,
    "yamnet": open_yamnet,
    "yamnet_tags": open_yamnet_tags,
    "whisper": open_listener,
    "clap": open_clap,
}


def open_encoder(
    record: EncoderRecord, *, root: Path, device: torch.device, openers: Mapping[str, Opener] = OPENERS
) -> Encoder:
    """The encoder of a record. Raises what its opener raises where a stage has not run, and EncoderError for
    an unknown kind or option, or other weights than those of `record.sha256`."""
    opener = openers.get(record.kind)
    if opener is None:
        raise EncoderError(
            f"{record.name}: no kind {record.kind!r} of encoder{nearest(record.kind, openers)}"
        )
    known = inspect.signature(opener).parameters
    names = [name for name, one in known.items() if one.kind is one.KEYWORD_ONLY and name != "device"]
    for name in record.options:
        if name not in names:
            raise EncoderError(f"{record.name}.{name}: no option of {record.kind}{nearest(name, names)}")
    if lost := [n for n in names if known[n].default is inspect.Parameter.empty and n not in record.options]:
        raise EncoderError(f"{record.name}: {record.kind} needs the options {', '.join(lost)}")
    opened = replace(opener(root / record.folder, device=device, **record.options), name=record.name)
    found = sha256_of(opened.weights)
    if record.sha256 and record.sha256 != found:
        raise EncoderError(
            f"the encoder {record.name} in {record.folder} is not the one that this was trained with "
            f"(SHA-256 {found[:12]}, wanted {record.sha256[:12]}): run the stage `features` and the "
            "training again"
        )
    return opened


def record_of(encoder: Encoder, record: EncoderRecord) -> EncoderRecord:
    """`record` with what only the opened encoder knows: the hash of its weights and its labels."""
    return replace(record, sha256=sha256_of(encoder.weights), labels=encoder.labels)


@torch.inference_mode()
def hear(encoder: Encoder, waves: Sequence[np.ndarray], ids: Sequence[str]) -> Features:
    """What an encoder hears of a batch at its rate, on the CPU: (B, T, D), or (B, T, L, D) of layers."""
    values, mask = encoder.hear(waves, ids)
    return Features(values.cpu(), mask.cpu())


def listen(
    encoders: Sequence[Encoder], waves_at: Callable[[int], Sequence[np.ndarray]], ids: Sequence[str]
) -> dict[str, Features]:
    """encoder -> what it hears of a batch, (B, T, D) or (B, L, T, D): as a store reads what was written.

    waves_at: a sample rate -> the batch's waveforms at that rate; it is asked once a rate.
    """
    waves = {rate: waves_at(rate) for rate in sorted({encoder.sample_rate for encoder in encoders})}
    heard = {one.name: hear(one, waves[one.sample_rate], ids) for one in encoders}
    return {
        name: Features(values.transpose(1, 2) if values.ndim == 4 else values, mask)
        for name, (values, mask) in heard.items()
    }


def resampled(waves: Sequence[np.ndarray], rate: int) -> Callable[[int], list[np.ndarray]]:
    """`waves_at` for `listen`, from waveforms at `rate`."""

    def waves_at(wanted: int) -> list[np.ndarray]:
        return [wave if wanted == rate else soxr.resample(wave, rate, wanted) for wave in waves]

    return waves_at


def labels_of(encoders: Sequence[Encoder | EncoderRecord]) -> tuple[str, ...]:
    """The labels of the tagger among them; none where there is no tagger."""
    return next((one.labels for one in encoders if one.name == TAGS), ())


def write_record(folder: Path, record: EncoderRecord) -> None:
    """encoder.json, beside the sets that this encoder has heard."""
    write_json(folder / RECORD, asdict(record))


def read_record(folder: Path) -> EncoderRecord:
    """Which encoder heard the sets of a folder. Raises EncoderError where that is not written."""
    path = folder / RECORD
    if not path.is_file():
        raise EncoderError(f"no {path}: run the stage `features {folder.name}` first")
    return record_from(json.loads(path.read_text(encoding="utf-8")))


def record_from(raw: Mapping[str, Any]) -> EncoderRecord:
    """A record from its JSON."""
    return EncoderRecord(**{**raw, "labels": tuple(raw["labels"])})


def sha256_of(paths: Sequence[Path]) -> str:
    """One hash of the contents of files, in their order."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _weights(folder: Path) -> tuple[Path, ...]:
    """The files of weights that `from_pretrained` reads in a folder: .safetensors, or else .bin, in shards or
    whole. Raises EncoderError where there are none, since two such encoders would pass for the same."""
    kinds = (("model.safetensors", "*.safetensors"), ("pytorch_model.bin", "pytorch_model*.bin"))
    for whole, all_of_kind in kinds:
        if (folder / whole).is_file() or (folder / f"{whole}.index.json").is_file():
            return tuple(sorted(folder.glob(all_of_kind)))
    raise EncoderError(f"{folder}: neither model.safetensors nor pytorch_model.bin, whole or with its index")


def _one(waves: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.ones(len(waves), 1, dtype=torch.bool)

"""A CLAP on disk: shape.json and tokenizer.json in `init`, weights per variant and seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor

from core.audio.mel import ClapMel
from core.encoders.clap import AudioTower, Clap, Pooling, TextTower, build_clap
from core.run.files import write_json, write_text_atomic


class ModelError(ValueError):
    """A checkpoint folder without what a stage needs; the message names the stage that writes it."""


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """What turns waveforms into the tower's log-mels; the defaults are CompA's (48 kHz, 10 s, fusion)."""

    sample_rate: int = 48_000
    n_fft: int = 1024
    hop: int = 480
    n_mels: int = 64
    fmin: float = 50.0
    fmax: float = 14_000.0
    max_seconds: float = 10.0
    truncation: str = "fusion"
    padding: str = "repeatpad"
    int16_round_trip: bool = True

    @property
    def frames(self) -> int:
        """T of the log-mels."""
        return round(self.max_seconds * self.sample_rate) // self.hop + 1


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Everything that must be known before weights can be loaded."""

    front_end: FrontEnd
    audio: AudioTower
    text: TextTower
    joint_dim: int = 512
    pooling: Pooling = "padded"
    temperature: float = 0.07


def make_front_end(front_end: FrontEnd) -> ClapMel:
    """The mel front end; float32 transforms do for features that only feed a network."""
    return ClapMel(**asdict(front_end), transform=torch.float32)


def make_model(shape: Shape) -> Clap:
    """A `Clap` with fresh weights from torch's current seed."""
    return build_clap(
        audio=shape.audio,
        text=shape.text,
        joint_dim=shape.joint_dim,
        pooling=shape.pooling,
        temperature=shape.temperature,
    )


def train_tokenizer(texts: Sequence[str], *, vocab_size: int) -> Tokenizer:
    """A small tokenizer for a T5 tower (lower-cased, `</s>` at the end) from captions that mini can write.

    Byte-pair merges: the few hundred words of the scene grammar become one token each, where the unigram
    model of T5's own tokenizer, made for 32,000 pieces, leaves words of so small a text in letters.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=["<pad>", "</s>", "<unk>"], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    return tokenizer


def tokenize(
    tokenizer: Tokenizer, texts: Sequence[str], *, max_tokens: int, pad_to_max: bool
) -> tuple[Tensor, Tensor]:
    """Ids and mask, both (N, L) int64; L: the longest text, or with `pad_to_max` `max_tokens` (CompA: 77)."""
    tokenizer.enable_truncation(max_tokens)
    tokenizer.enable_padding(
        pad_id=tokenizer.token_to_id("<pad>"), pad_token="<pad>", length=max_tokens if pad_to_max else None
    )
    encoded = tokenizer.encode_batch(list(texts))
    return torch.tensor([e.ids for e in encoded]), torch.tensor([e.attention_mask for e in encoded])


def write_shape(folder: Path, shape: Shape, tokenizer: Tokenizer) -> None:
    """shape.json and tokenizer.json."""
    write_json(folder / "shape.json", asdict(shape))
    write_text_atomic(folder / "tokenizer.json", tokenizer.to_str(pretty=False))


def read_shape(folder: Path) -> tuple[Shape, Tokenizer]:
    """What `write_shape` wrote. Raises ModelError when it is not there."""
    if not (folder / "shape.json").is_file():
        raise ModelError(f"no shape.json in {folder}: run the stage that makes it first")
    try:
        return _shape(folder)
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise ModelError(
            f"{folder}: shape.json or tokenizer.json is cut or altered ({str(error)[:120]}): run the stage "
            "that makes them again"
        ) from error
    except Exception as error:  # tokenizers raises nothing more special
        raise ModelError(
            f"{folder}/tokenizer.json: {str(error)[:120]}: run the stage that makes it"
        ) from error


def _shape(folder: Path) -> tuple[Shape, Tokenizer]:
    raw: dict[str, Any] = json.loads((folder / "shape.json").read_text(encoding="utf-8"))
    audio: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.pop("audio").items()}
    shape = Shape(
        front_end=FrontEnd(**raw.pop("front_end")),
        audio=AudioTower(**audio),
        text=TextTower(**raw.pop("text")),
        **raw,
    )
    return shape, Tokenizer.from_file(str(folder / "tokenizer.json"))


def weights_of(checkpoints: Path, variant: str, seed: int) -> Path:
    """Where the weights of a variant's seed lie. `init` has one set, shared by every seed.

    Raises ModelError when they are not there.
    """
    folder = checkpoints / variant if variant == "init" else checkpoints / variant / f"seed{seed}"
    path = folder / "model.safetensors"
    if not path.is_file():
        raise ModelError(
            f"no weights in {folder}: run the stage that trains {variant!r} with seed {seed} first"
        )
    return path

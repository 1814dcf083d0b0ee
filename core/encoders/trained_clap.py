"""A CLAP, trained here or public, opened to embed audio and text: what papers that use CompA-CLAP share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from core.audio.mel import ClapMel
from core.encoders.clap import Clap
from core.encoders.clap_folder import (
    FrontEnd,
    ModelError,
    make_front_end,
    make_model,
    read_shape,
    tokenize,
    weights_of,
)
from core.encoders.clap_weights import load_laion
from core.train.checkpoints import load_model


@dataclass(frozen=True)
class TrainedClap:
    """The towers with their front end and tokenizer; `weights` is the file they came from.

    max_tokens: where texts are cut; pad_to_max: whether shorter ones are padded to it.
    """

    model: Clap
    mel: ClapMel
    tokenizer: Tokenizer
    weights: Path
    front_end: FrontEnd
    max_tokens: int
    pad_to_max: bool

    @property
    def sample_rate(self) -> int:
        """Of the waveforms that it hears."""
        return self.front_end.sample_rate

    @torch.inference_mode()
    def embed_audio(self, waveforms: Sequence[np.ndarray], ids: Sequence[str]) -> Tensor:
        """Waveforms at `sample_rate` -> (B, D) of length 1, float32 on the CPU."""
        seen = self.mel(list(waveforms), items=list(ids))
        device = self.model.log_scale.device
        vectors = self.model.embed_audio(seen.input_features.to(device), seen.is_longer.to(device))
        return F.normalize(vectors.float(), dim=1).cpu()

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Texts -> (N, D) of length 1, float32 on the CPU; cut at the tower's most tokens, as CompA's are."""
        ids, mask = tokenize(self.tokenizer, texts, max_tokens=self.max_tokens, pad_to_max=self.pad_to_max)
        device = self.model.log_scale.device
        return F.normalize(self.model.embed_text(ids.to(device), mask.to(device)).float(), dim=1).cpu()


def open_clap(checkpoints: Path, variant: str, seed: int, *, device: torch.device) -> TrainedClap:
    """A variant of CompA's checkpoints; `<checkpoints>/init` holds shape and tokenizer. Raises ModelError."""
    shape, tokenizer = read_shape(checkpoints / "init")
    model = make_model(shape)
    weights = weights_of(checkpoints, variant, seed)
    load_model(model, weights)
    return _opened(
        model,
        shape.front_end,
        tokenizer,
        weights,
        device=device,
        max_tokens=shape.text.max_tokens,
        pad_to_max=shape.pooling == "padded",
    )


def open_laion_clap(source: Path, *, device: torch.device) -> TrainedClap:
    """LAION-CLAP from a folder in the layout of the Hub, or from an official file (see `load_laion`), with
    tokenizer.json beside the weights.

    Raises ModelError for an absent tokenizer; FileNotFoundError, WeightsError as `load_laion`.
    """
    model = load_laion(source)
    folder = source if source.is_dir() else source.parent
    if not (words := folder / "tokenizer.json").is_file():
        raise ModelError(f"no tokenizer at {words}: get the one of laion/clap-htsat-fused (RoBERTa's)")
    weights = source
    if source.is_dir():
        weights = sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")])[0]
    front_end = FrontEnd(truncation="fusion" if model.audio.config.enable_fusion else "rand_trunc")
    tokenizer = Tokenizer.from_file(str(words))
    return _opened(model, front_end, tokenizer, weights, device=device, max_tokens=77, pad_to_max=True)


def _opened(
    model: Clap,
    front_end: FrontEnd,
    tokenizer: Tokenizer,
    weights: Path,
    *,
    device: torch.device,
    max_tokens: int,
    pad_to_max: bool,
) -> TrainedClap:
    mel = make_front_end(front_end).to(device)
    return TrainedClap(
        model=model.eval().to(device),
        mel=mel,
        tokenizer=tokenizer,
        weights=weights,
        front_end=front_end,
        max_tokens=max_tokens,
        pad_to_max=pad_to_max,
    )

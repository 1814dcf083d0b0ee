"""A trained CLAP, opened to embed audio and text: what papers that use CompA-CLAP share."""

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
from core.encoders.clap_folder import Shape, make_front_end, make_model, read_shape, tokenize, weights_of
from core.train.checkpoints import load_model


@dataclass(frozen=True)
class TrainedClap:
    """The towers with their front end and tokenizer; `weights` is the file they came from."""

    model: Clap
    mel: ClapMel
    tokenizer: Tokenizer
    shape: Shape
    weights: Path

    @property
    def sample_rate(self) -> int:
        """Of the waveforms that it hears."""
        return self.shape.front_end.sample_rate

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
        ids, mask = tokenize(
            self.tokenizer,
            texts,
            max_tokens=self.shape.text.max_tokens,
            pad_to_max=self.shape.pooling == "padded",
        )
        device = self.model.log_scale.device
        return F.normalize(self.model.embed_text(ids.to(device), mask.to(device)).float(), dim=1).cpu()


def open_clap(checkpoints: Path, variant: str, seed: int, *, device: torch.device) -> TrainedClap:
    """A variant of CompA's checkpoints; `<checkpoints>/init` holds shape and tokenizer. Raises ModelError."""
    shape, tokenizer = read_shape(checkpoints / "init")
    model = make_model(shape)
    weights = weights_of(checkpoints, variant, seed)
    load_model(model, weights)
    mel = make_front_end(shape.front_end).to(device)
    return TrainedClap(model.eval().to(device), mel, tokenizer, shape, weights)

"""A small AST trained to tag scenes: the stand-in, where nothing is fetched, for one trained on AudioSet.

It learns which labels of a bank occur in a scene; with `frame_loss` an auxiliary head, dropped afterwards,
also asks each time token which labels sound in it, so that the tokens carry times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.audio.mel import KaldiFbank
from core.encoders.ast import AstEncoder, AstShape, make_ast
from core.foundations.hearing import Grid, Hearing, scene_batches
from core.scenes.bank import Bank
from core.scenes.compose import ClipMels, clip_mels
from core.train.loop import BatchSource, fit
from core.train.optimisation import TrainingOptions

FLOOR = 1.192092955078125e-07  # of the power, as in KaldiFbank


@dataclass(frozen=True)
class Tagger:
    """What training gives. front_end: the arguments of KaldiFbank."""

    encoder: AstEncoder
    front_end: dict[str, Any]


class TaggerInTraining(nn.Module):
    """fbank (B, T, F) -> logits of the clip (B, C) and of each time token (B, T', C)."""

    def __init__(self, encoder: AstEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.frames = nn.Linear(encoder.hidden_size, len(encoder.labels))

    def forward(self, fbank: Tensor) -> tuple[Tensor, Tensor]:
        output = self.encoder(fbank)
        return output.logits, self.frames(output.features[0])


def train_tagger(
    bank: Bank,
    *,
    shape: AstShape,
    hearing: Hearing,
    options: TrainingOptions,
    frame_loss: float,
    dropout: float = 0.0,
    folder: Path,
    seed: int,
    log: Callable[[dict[str, float], int], None] | None = None,
) -> Tagger:
    """Train an AST of this shape, over the bank's labels, on scenes of the bank's clips.

    dropout: of its layers while it learns.
    """
    shape = replace(shape, labels=bank.labels())
    plain = KaldiFbank(
        sample_rate=bank.sample_rate,
        n_mels=shape.n_mels,
        max_frames=shape.max_frames,
        transform=torch.float32,
    )
    mels = fbank_mels(bank, plain)
    grid = token_grid(shape)

    def draw(features: Callable[[Tensor], Tensor], *, shared: bool) -> BatchSource:
        # KaldiFbank centres its first frame 12.5 ms after the start; composed ones begin at it: leave one off
        return scene_batches(
            bank, mels, hearing, grid=grid, skip=1, features=features, seed=seed, shared=shared
        )

    sample = [next(draw(log_power, shared=False)(step)) for step in range(8)]
    levels = torch.cat([batch["features"] for batch in sample])
    mean, std = float(levels.mean()), float(levels.std()) / 2  # KaldiFbank divides by 2 std
    encoder = AstEncoder(make_ast(shape, seed=seed), taps=(shape.layers,))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TaggerInTraining(encoder)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    present = torch.cat([batch["present"] for batch in sample])
    with torch.no_grad():  # the first hundred steps would only learn how rare a label is
        encoder.model.classifier.dense.bias.fill_(torch.logit(present.amax(dim=1).mean()))
        model.frames.bias.fill_(torch.logit(present.mean()))

    def loss(network: nn.Module, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        clip, frames = network(batch["features"])
        present = batch["present"]
        heard = F.binary_cross_entropy_with_logits(clip, present.amax(dim=1)) * clip.shape[1]
        when = F.binary_cross_entropy_with_logits(frames, present) * clip.shape[1]
        return {"loss": heard + frame_loss * when, "clip_loss": heard, "frame_loss": when}

    batches = draw(lambda power: log_power(power).sub_(mean).div_(2 * std), shared=True)
    fit(model, loss=loss, batches=batches, options=options, folder=folder, log=log)
    encoder.eval()
    front_end = {
        "sample_rate": bank.sample_rate,
        "n_mels": shape.n_mels,
        "max_frames": shape.max_frames,
        "mean": mean,
        "std": std,
    }
    return Tagger(encoder, front_end)


@torch.inference_mode()
def tag_scenes(tagger: Tagger, waveforms: Sequence[np.ndarray], *, batch_size: int = 50) -> np.ndarray:
    """Logits (B, C) of waveforms that fit the window."""
    front_end = KaldiFbank(**tagger.front_end)
    device = next(tagger.encoder.parameters()).device
    parts = [
        tagger.encoder(front_end(waveforms[first : first + batch_size]).to(device)).logits.cpu().numpy()
        for first in range(0, len(waveforms), batch_size)
    ]
    return np.concatenate(parts)


def fbank_mels(bank: Bank, front_end: KaldiFbank) -> ClipMels:
    """The power in KaldiFbank's bands of every clip, computed once; frame j is centred at j * hop."""
    size, hop = len(front_end.power.window), front_end.power.hop

    def power_mel(waves: list[Any]) -> list[Tensor]:
        # half a window of silence on both sides centres the frames
        return front_end.power(
            [F.pad(torch.from_numpy(wave), (size // 2, size - size // 2)) for wave in waves]
        )

    return clip_mels(bank, power_mel, seconds_per_frame=hop / bank.sample_rate)


def log_power(power: Tensor) -> Tensor:
    """The logarithm as KaldiFbank takes it, before its normalisation."""
    return power.clamp(min=FLOOR).log_()


def token_grid(shape: AstShape) -> Grid:
    """The time tokens of an AST with frames of 10 ms."""
    tokens = (shape.max_frames - shape.patch_size) // shape.time_stride + 1
    return Grid(frames=shape.max_frames, tokens=tokens, seconds=shape.time_stride * 0.01)

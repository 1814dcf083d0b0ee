"""A small Whisper encoder trained to hear what sounds when: a stand-in where Whisper is not fetched.

Whisper learns from transcripts; here the encoder's steps learn which labels of a bank sound in them (sound
event detection), with a linear head that is dropped afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.audio.mel import WhisperMel
from core.audio.spectrum import POWER_FLOOR, centred
from core.encoders.whisper import STRIDE, WhisperFeatures, WhisperShape, make_whisper
from core.foundations.hearing import Grid, Hearing, presence, scene_batches, scores, validation
from core.scenes.bank import Bank
from core.scenes.compose import ClipMels, clip_mels
from core.train.loop import fit
from core.train.optimisation import TrainingOptions


@dataclass(frozen=True)
class Listener:
    """What training gives: the encoder, its dropped head, the labels of that, and WhisperMel's arguments."""

    features: WhisperFeatures
    head: nn.Linear
    labels: tuple[str, ...]
    front_end: dict[str, Any]


class ListenerInTraining(nn.Module):
    """Mels (B, F, T) -> logits of each step (B, T', C)."""

    def __init__(self, features: WhisperFeatures, labels: int) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Linear(features.hidden_size, labels)

    def forward(self, mels: Tensor) -> Tensor:
        return self.head(self.features(mels))


def train_listener(
    bank: Bank,
    *,
    shape: WhisperShape,
    n_fft: int,
    hop: int,
    hearing: Hearing,
    options: TrainingOptions,
    folder: Path,
    seed: int,
    log: Callable[[dict[str, float], int], None] | None = None,
) -> Listener:
    """Train an encoder of this shape on scenes of the bank's clips; `n_fft` and `hop` are samples."""
    front_end: dict[str, Any] = {
        "sample_rate": bank.sample_rate,
        "n_mels": shape.n_mels,
        "n_fft": n_fft,
        "hop": hop,
        "max_seconds": shape.max_frames * hop / bank.sample_rate,
    }
    grid = step_grid(shape, hop=hop, sample_rate=bank.sample_rate)
    mels = whisper_mels(bank, WhisperMel(**front_end, transform=torch.float32))
    batches, whole = (
        scene_batches(bank, mels, hearing, grid=grid, skip=0, features=log_mels, seed=seed, shared=shared)
        for shared in (True, False)
    )
    features = WhisperFeatures(make_whisper(shape, seed=seed))
    labels = bank.labels()
    sample = torch.cat([next(whole(step))["present"] for step in range(8)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ListenerInTraining(features, len(labels))
    with torch.no_grad():  # the first hundred steps would only learn how rare a label is
        model.head.bias.fill_(torch.logit(sample.mean()))

    def loss(network: nn.Module, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        logits = network(batch["features"])
        return {"loss": F.binary_cross_entropy_with_logits(logits, batch["present"]) * len(labels)}

    fit(model, loss=loss, batches=batches, options=options, folder=folder, log=log)
    features.eval()
    return Listener(features, model.head, labels, front_end)


def score_listener(listener: Listener, bank: Bank, *, hearing: Hearing, seed: int) -> dict[str, float]:
    """Macro mAP of clips and of the encoder's steps, on mixed scenes of the bank's clips."""
    scenes, waveforms = validation(bank, hearing, labels=listener.labels, seed=seed)
    front_end = WhisperMel(**listener.front_end)
    device = next(listener.features.parameters()).device
    with torch.inference_mode():
        logits = torch.cat(
            [
                listener.head(listener.features(front_end(waveforms[first : first + 50]).to(device))).cpu()
                for first in range(0, len(waveforms), 50)
            ]
        )
    seconds = front_end.power.hop * STRIDE / bank.sample_rate
    grid = Grid(frames=listener.features.max_frames, tokens=listener.features.time_tokens, seconds=seconds)
    return scores(logits, presence(scenes, listener.labels, grid=grid, least=hearing.least), name="valid")


def whisper_mels(bank: Bank, front_end: WhisperMel) -> ClipMels:
    """The power in WhisperMel's bands of every clip, computed once; frame j is centred at j * hop."""
    power = front_end.power

    def power_mel(waves: list[Any]) -> list[Tensor]:
        return power([centred(torch.from_numpy(w), len(w), n_fft=power.n_fft, margin="zero") for w in waves])

    return clip_mels(bank, power_mel, seconds_per_frame=power.hop / bank.sample_rate)


def log_mels(power: Tensor) -> Tensor:
    """Power (B, T, F) -> (B, F, T) as WhisperMel takes logarithm, range and scale."""
    log = power.clamp(min=POWER_FLOOR).log10_().transpose(1, 2).contiguous()
    return torch.maximum(log, log.amax(dim=(1, 2), keepdim=True) - 8.0).add_(4.0).div_(4.0)


def step_grid(shape: WhisperShape, *, hop: int, sample_rate: int) -> Grid:
    """The steps of a Whisper encoder, two mel frames each."""
    tokens = shape.max_frames // STRIDE
    return Grid(frames=shape.max_frames, tokens=tokens, seconds=STRIDE * hop / sample_rate)

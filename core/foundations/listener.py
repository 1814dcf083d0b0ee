"""A small Whisper encoder trained to hear what sounds when: a stand-in where Whisper is not fetched.

Whisper learns from transcripts; here the encoder's steps learn which labels of a bank sound in them (sound
event detection), with a linear head that is dropped afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.audio.mel import WhisperMel
from core.audio.spectrum import POWER_FLOOR, centred
from core.encoders.whisper import STRIDE, WhisperFeatures, WhisperShape, make_whisper
from core.foundations.hearing import Grid, Hearing, scene_batches
from core.foundations.transcribing import (
    Speaking,
    Utterance,
    at_peak,
    ctc,
    speech_batches,
    vocabularies,
)
from core.scenes.bank import Bank
from core.scenes.compose import ClipMels, clip_mels
from core.train.loop import BatchSource, fit
from core.train.optimisation import TrainingOptions


@dataclass(frozen=True)
class Listener:
    """What training gives: the encoder, its dropped head, the labels of that, and WhisperMel's arguments;
    readers, units: of each kind of units of speech, the dropped CTC head and what its classes after the blank
    are.
    """

    features: WhisperFeatures
    head: nn.Linear
    labels: tuple[str, ...]
    front_end: dict[str, Any]
    readers: Mapping[str, nn.Module] = field(default_factory=dict)
    units: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class ListenerInTraining(nn.Module):
    """Mels (B, F, T), the first `scenes` of them without speech to read -> logits of each step: of the events
    of the scenes (B, T', C), and per kind of units, the blank first, of the rest.
    """

    def __init__(self, features: WhisperFeatures, labels: int, units: Mapping[str, int]) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Linear(features.hidden_size, labels)
        self.readers = nn.ModuleDict(
            {kind: nn.Linear(features.hidden_size, 1 + count) for kind, count in units.items()}
        )

    def forward(self, mels: Tensor, scenes: int) -> tuple[Tensor, dict[str, Tensor]]:
        steps = self.features(mels)
        return self.head(steps[:scenes]), {kind: head(steps[scenes:]) for kind, head in self.readers.items()}


def train_listener(
    bank: Bank,
    utterances: Sequence[Utterance] = (),
    *,
    shape: WhisperShape,
    n_fft: int,
    hop: int,
    hearing: Hearing,
    speaking: Speaking,
    options: TrainingOptions,
    dropout: float = 0.0,
    folder: Path,
    seed: int,
    log: Callable[[dict[str, float], int], None] | None = None,
) -> Listener:
    """Train an encoder of this shape on scenes of the bank's clips, and to read the utterances if any.

    n_fft, hop: samples. dropout: of the encoder's layers while it learns.
    """
    front_end: dict[str, Any] = {
        "sample_rate": bank.sample_rate,
        "n_mels": shape.n_mels,
        "n_fft": n_fft,
        "hop": hop,
        "max_seconds": shape.max_frames * hop / bank.sample_rate,
    }
    grid = step_grid(shape, hop=hop, sample_rate=bank.sample_rate)
    front = WhisperMel(**front_end, transform=torch.float32)
    mels = whisper_mels(bank, front)
    scenes, whole = (
        scene_batches(bank, mels, hearing, grid=grid, skip=0, features=log_mels, seed=seed, shared=shared)
        for shared in (True, False)
    )
    features = WhisperFeatures(make_whisper(shape, seed=seed))
    for module in features.encoder.modules():
        if hasattr(module, "dropout"):
            module.dropout = dropout
    labels, units = bank.labels(), vocabularies(utterances) if utterances else {}
    sample = torch.cat([next(whole(step))["present"] for step in range(8)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ListenerInTraining(features, len(labels), {kind: len(names) for kind, names in units.items()})
    with torch.no_grad():  # the first hundred steps would only learn how rare a label is
        model.head.bias.fill_(torch.logit(sample.mean()))
    batches = scenes
    if utterances:
        speech = speech_batches(
            bank,
            mels,
            utterances,
            power_mels([one.waveform for one in utterances], front),
            speaking=speaking,
            hearing=hearing,
            grid=grid,
            units=units,
            features=log_mels,
            seed=seed,
        )
        batches = joined(scenes, speech)

    def loss(network: nn.Module, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        events, spoken = network(batch["features"], len(batch["present"]))
        terms = {"events": F.binary_cross_entropy_with_logits(events, batch["present"]) * len(labels)}
        terms |= {kind: ctc(spoken[kind], batch[kind], batch[f"{kind}_counts"]) for kind in units}
        loss = terms["events"]
        for kind in units:
            loss = loss + speaking.weights.get(kind, 1.0) * terms[kind]
        return {"loss": loss, **terms}

    fit(model, loss=loss, batches=batches, options=options, folder=folder, log=log)
    features.eval()
    return Listener(features, model.head, labels, front_end, dict(model.readers.items()), units)


def joined(scenes: BatchSource, speech: BatchSource) -> BatchSource:
    """Batches of both, the features of the scenes before those of the speech."""

    def batches(step: int) -> Iterator[dict[str, Any]]:
        for one, other in zip(scenes(step), speech(step)):
            yield {**one, **other, "features": torch.cat([one["features"], other["features"]])}

    return batches


@torch.inference_mode()
def hear_waveforms(listener: Listener, waveforms: Sequence[np.ndarray], *, batch_size: int = 50) -> Tensor:
    """Features (B, T', D) of waveforms that fit the window."""
    front_end = WhisperMel(**listener.front_end)
    device = next(listener.features.parameters()).device
    parts = [
        listener.features(front_end(waveforms[first : first + batch_size]).to(device)).cpu()
        for first in range(0, len(waveforms), batch_size)
    ]
    return torch.cat(parts)


def whisper_mels(bank: Bank, front_end: WhisperMel) -> ClipMels:
    """The power in WhisperMel's bands of every clip, computed once; frame j is centred at j * hop."""
    return clip_mels(
        bank,
        lambda waves: _power(waves, front_end),
        seconds_per_frame=front_end.power.hop / bank.sample_rate,
    )


def power_mels(waves: Sequence[np.ndarray], front_end: WhisperMel, *, batch: int = 64) -> list[np.ndarray]:
    """The power in WhisperMel's bands of each waveform, at the peak of scenes, (T_i, F)."""
    found: list[np.ndarray] = []
    for first in range(0, len(waves), batch):
        part = [at_peak(wave) for wave in waves[first : first + batch]]
        for wave, mel in zip(part, _power(part, front_end), strict=True):
            found.append(np.array(mel[: len(wave) // front_end.power.hop + 1], dtype=np.float32))
    return found


def _power(waves: Sequence[np.ndarray], front_end: WhisperMel) -> list[Tensor]:
    power = front_end.power
    return power([centred(torch.from_numpy(w), len(w), n_fft=power.n_fft, margin="zero") for w in waves])


def log_mels(power: Tensor) -> Tensor:
    """Power (B, T, F) -> (B, F, T) as WhisperMel takes logarithm, range and scale."""
    log = power.clamp(min=POWER_FLOOR).log10_().transpose(1, 2).contiguous()
    return torch.maximum(log, log.amax(dim=(1, 2), keepdim=True) - 8.0).add_(4.0).div_(4.0)


def step_grid(shape: WhisperShape, *, hop: int, sample_rate: int) -> Grid:
    """The steps of a Whisper encoder, two mel frames each."""
    tokens = shape.max_frames // STRIDE
    return Grid(frames=shape.max_frames, tokens=tokens, seconds=STRIDE * hop / sample_rate)

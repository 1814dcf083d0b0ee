"""Make the towers that every variant starts from. Reads: data/<profile>/ and shared_data/bank/<profile>;
writes: checkpoints/<profile>/init/ with shape, tokenizer and weights.

At full size these are HTS-AT's AudioSet checkpoint and Flan-T5-large. Where no checkpoint is named, the audio
tower is trained here on the bank's training clips to say which sounds occur in which part of a scene, as a
sound event detector; the text tower keeps its random weights. Every variant shares the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from core.encoders.clap import Clap
from core.encoders.clap_folder import ModelError, Shape, make_front_end, make_model, write_shape
from core.encoders.clap_weights import load_htsat, load_t5
from core.run import hardware
from core.run.resume import close_folder, open_folder, run_identity
from core.run.stage import Context, seed_all
from core.scenes.bank import Bank, read_bank
from core.scenes.compose import ClipMels
from core.scenes.timeline import Scene
from core.train.checkpoints import save_model
from core.train.loop import fit
from core.train.optimisation import TrainingOptions
from projects.compa.batches import SceneMix, bank_mels, log_mels, scene_source


@dataclass(frozen=True)
class Config:
    """audio_checkpoint, text_checkpoint: paths from the repository's root, empty for none.

    bins: parts of the scene that the detector tells apart; batch_size: scenes a step.
    """

    shape: Shape
    audio_checkpoint: str = ""
    text_checkpoint: str = ""
    detector: TrainingOptions | None = None
    mix: SceneMix | None = None
    labels: tuple[str, ...] = ()  # of the bank; empty is all
    bins: int = 4
    batch_size: int = 16
    seed: int = 0


def init(config: Config, *, context: Context) -> None:
    """Build the model, fill or train its audio tower, and write it."""
    out = context.path("checkpoints", "init")
    for checkpoint in filter(None, (config.audio_checkpoint, config.text_checkpoint)):
        if not (context.root / checkpoint).exists():
            raise ModelError(
                f"{checkpoint} is missing: `python -m core.data.doctor compa --profile {context.profile}` "
                "names its source, licence and place"
            )
    tokenizer_file = context.path("data", "tokenizer.json")
    identity = run_identity(context, config=asdict(config))
    if open_folder(out, identity):
        print(f"{out} is complete")
        return
    seed_all(config.seed)
    model = make_model(config.shape)
    if config.text_checkpoint:
        load_t5(model, context.root / config.text_checkpoint)
    if config.audio_checkpoint:
        load_htsat(model, context.root / config.audio_checkpoint)
    elif config.detector is not None and config.mix is not None:
        bank = read_bank(
            context.root / "shared_data" / "bank" / context.profile, splits=["train", "valid"]
        ).only(config.labels)
        scores = train_detector(
            model, bank, config.detector, config.mix, config=config, folder=out / "detector", context=context
        )
        print(", ".join(f"{name} {value:.3f}" for name, value in scores.items()))
    if hardware.is_main_process():
        write_shape(out, config.shape, Tokenizer.from_file(str(tokenizer_file)))
        save_model(model, out / "model.safetensors")
    close_folder(out, identity, scratch=("detector",))
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    context.tracker.log_metrics({f"parameters/{name}": float(size) for name, size in sizes.items()})


class Detector(nn.Module):
    """The audio tower and one linear layer: log-mels (B, 1, T, F) -> logits (B, labels x bins)."""

    def __init__(self, model: Clap, outputs: int) -> None:
        super().__init__()
        self.audio = model.audio
        config = model.audio.config
        self.classify = nn.Linear(config.patch_embeds_hidden_size * 2 ** (len(config.depths) - 1), outputs)

    def forward(self, features: Tensor) -> Tensor:
        return self.classify(self.audio(input_features=features).pooler_output)


def train_detector(
    model: Clap,
    bank: Bank,
    options: TrainingOptions,
    mix: SceneMix,
    *,
    config: Config,
    folder: Path,
    context: Context,
) -> dict[str, float]:
    """Train the audio tower in place; returns how well it hears clips of the validation split."""
    front_end = config.shape.front_end
    train, valid = bank.split("train"), bank.split("valid")
    mel = make_front_end(front_end)
    mels = bank_mels(train, front_end, mel)
    labels = train.labels()
    detector = Detector(model, len(labels) * config.bins)

    def batches(step: int) -> Iterator[dict[str, Any]]:
        source = scene_source(train, mix, seconds=front_end.max_seconds, seed=config.seed, rank=0, world=1)
        while True:
            scenes = [scene for scene, _ in source.draw(step, config.batch_size)]
            yield _detection_batch(scenes, mels, labels, config)
            step += 1

    def loss(network: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
        logits = network(batch["features"])
        value = nn.functional.binary_cross_entropy_with_logits(logits, batch["present"])
        return {"loss": value * len(labels)}

    fit(detector, loss=loss, batches=batches, options=options, folder=folder, log=context.tracker.log_metrics)
    if set(valid.labels()) - set(labels) or not valid.clips:
        return {}
    source = scene_source(
        valid,
        SceneMix(singles=1.0, noise_db=mix.noise_db),
        seconds=front_end.max_seconds,
        seed=config.seed + 1,
        rank=0,
        world=1,
    )
    scenes = [scene for scene, _ in source.draw(0, 400)]
    detector.eval()
    with torch.inference_mode():
        batch = _detection_batch(scenes, bank_mels(valid, front_end, mel), labels, config)
        logits = detector(batch["features"].to(model.log_scale.device)).cpu()
    heard = logits.view(len(scenes), len(labels), config.bins).amax(dim=2).argmax(dim=1)
    truth = torch.tensor([labels.index(scene.events[0].label) for scene in scenes])
    scores = {"valid/accuracy": float((heard == truth).float().mean())}
    context.tracker.log_metrics(scores)
    return scores


def _detection_batch(
    scenes: list[Scene], mels: ClipMels, labels: tuple[str, ...], config: Config
) -> dict[str, Any]:
    """Log-mels and which label sounds for at least 30 % of which part: (B, labels x bins)."""
    place = {label: number for number, label in enumerate(labels)}
    present = np.zeros((len(scenes), len(labels), config.bins), np.float32)
    for row, scene in enumerate(scenes):
        edges = np.linspace(0.0, scene.duration, config.bins + 1)
        for event in scene.events:
            inside = np.minimum(event.end, edges[1:]) - np.maximum(event.start, edges[:-1])
            present[row, place[event.label], inside > 0.3 * (edges[1] - edges[0])] = 1.0
    return {
        "ids": [scene.id for scene in scenes],
        "features": log_mels(scenes, mels, config.shape.front_end),
        "present": torch.from_numpy(present).flatten(1),
    }


if __name__ == "__main__":
    from core.run.stage import run

    run(init, Config, processes=True)

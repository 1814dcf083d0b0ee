"""Train the tagger, keep the shipped one, or name a public one. Reads: shared_data/bank/<profile>/, or
shared_data/raw/checkpoints/; writes: shared_data/foundations/<profile>/tagger/ with weights, front_end.json
and record.json.

`python -m shared_data.tagger`. The tagger is an Audio Spectrogram Transformer over the bank's labels: papers
take its event tags and the features of its layers. With `checkpoint` nothing is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from core.encoders.ast import AstShape, tags, write_front_end
from core.foundations.hearing import Hearing, share
from core.foundations.tagger import Tagger, tag_scenes, train_tagger
from core.run.stage import Context
from core.scenes.bank import read_bank
from core.scenes.timeline import Scene
from core.train.optimisation import TrainingOptions
from shared_data.foundation import Score, Trained, bank_input, halve, make
from shared_data.hearing_scores import map_scores


@dataclass(frozen=True)
class Config:
    """checkpoint: a public one by its card's name (core/data/cards.py); empty trains here, and then
    shape: of the network, its labels those of the bank; hearing: the scenes; training: the optimisation;
    labels: only these of the bank, empty is all; frame_loss: weight of the auxiliary head that asks each time
    token which labels sound in it; dropout: while it learns; threshold: probability from which a label counts
    as tagged in the scores; scored: split of the bank that these are of.
    """

    checkpoint: str = ""
    shape: AstShape = field(default_factory=AstShape)
    hearing: Hearing = field(default_factory=Hearing)
    training: TrainingOptions | None = None
    labels: tuple[str, ...] = ()
    frame_loss: float = 1.0
    dropout: float = 0.0
    threshold: float = 0.5
    scored: str = "test"
    seed: int = 0


def tagger(config: Config, *, context: Context) -> None:
    """Resolve, keep or train the tagger."""
    inputs = {} if config.checkpoint or config.training is None else bank_input(context)
    make("tagger", config, context=context, inputs=inputs, train=train)


def train(config: Config, *, context: Context, folder: Path) -> Trained:
    """Train the tagger and score it on clips that training never heard."""
    assert config.training is not None
    bank = read_bank(context.path("bank"), splits=["train", config.scored]).only(config.labels)
    made = train_tagger(
        bank.split("train"),
        shape=config.shape,
        hearing=config.hearing,
        options=config.training,
        frame_loss=config.frame_loss,
        dropout=config.dropout,
        folder=folder,
        seed=config.seed,
        log=context.tracker.log_metrics,
    )
    halve(made.encoder)
    labels = made.encoder.labels
    scores, scenes, logits = map_scores(
        bank.split(config.scored),
        lambda waveforms: tag_scenes(made, waveforms),
        config.hearing,
        labels=labels,
        seed=config.seed + 1,
    )
    return Trained(
        save=lambda out: save(made, out),
        scores=(*scores, *tag_scores(logits, labels, scenes, threshold=config.threshold)),
        data=f"scenes of up to four of {len(bank.split('train').clips)} clips of {len(labels)} classes",
        licence="; ".join(sorted({clip.license for clip in bank.clips})),
    )


def save(made: Tagger, out: Path) -> None:
    """The network in the Hub's layout, and front_end.json."""
    made.encoder.model.cpu().save_pretrained(out)
    write_front_end(out, made.front_end)


def tag_scores(
    logits: np.ndarray, labels: Sequence[str], scenes: Sequence[Scene], *, threshold: float
) -> list[Score]:
    """Precision and recall of the event tags of the scenes, all tags alike."""
    named = [set(row) for row in tags(torch.from_numpy(logits), labels, threshold=threshold)]
    there = [{event.label for event in scene.events} for scene in scenes]
    right = np.array([len(row & truth) for row, truth in zip(named, there)], dtype=float)
    found = {"precision": [len(row) for row in named], "recall": [len(truth) for truth in there]}
    scores = []
    for name, wholes in found.items():
        value, low, high = share(right, np.array(wholes, dtype=float)) if sum(wholes) else (0.0, 0.0, 1.0)
        on = f"tags of probability {threshold:g} and above in mixed scenes of held-out clips"
        scores.append(Score(name=f"tag {name}", value=value, low=low, high=high, n=len(scenes), on=on))
    return scores


if __name__ == "__main__":
    from core.run.stage import run

    run(tagger, Config, processes=True)

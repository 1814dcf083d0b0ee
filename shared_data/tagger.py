"""Train the tagger, or name a public one. Reads: shared_data/bank/<profile>/, or
shared_data/raw/checkpoints/; writes: shared_data/foundations/<profile>/tagger/ with weights, front_end.json
and record.json.

`python -m shared_data.tagger`. The tagger is an Audio Spectrogram Transformer over the bank's labels: papers
take its event tags and the features of its layers. With `checkpoint` nothing is trained.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from core.encoders.ast import AstShape, write_front_end
from core.foundations.hearing import Hearing
from core.foundations.public import card_of, record_trained, resolve
from core.foundations.tagger import score_tagger, train_tagger
from core.run import hardware
from core.run.resume import close_folder, open_folder, run_identity
from core.run.stage import Context, seed_all
from core.scenes.bank import read_bank
from core.train.optimisation import TrainingOptions


@dataclass(frozen=True)
class Config:
    """checkpoint: a public one by its card's name (core/data/cards.py); empty trains here, and then
    shape: of the network, its labels those of the bank; hearing: the scenes; training: the optimisation;
    labels: only these of the bank, empty is all; frame_loss: weight of the auxiliary head that asks each time
    token which labels sound in it; threshold: probability from which a label counts as tagged in the scores.
    """

    checkpoint: str = ""
    shape: AstShape = field(default_factory=AstShape)
    hearing: Hearing = field(default_factory=Hearing)
    training: TrainingOptions | None = None
    labels: tuple[str, ...] = ()
    frame_loss: float = 1.0
    threshold: float = 0.5
    seed: int = 0


def tagger(config: Config, *, context: Context) -> None:
    """Resolve or train the tagger, log how well it hears clips of the validation split, and write it."""
    out = context.path("foundations", "tagger")
    if config.checkpoint:
        if hardware.is_main_process():
            record = resolve(out, card_of(config.checkpoint), root=context.root)
            print(f"tagger: {record.name} at {record.revision} ({record.licence}), in {record.path}")
        return
    if config.training is None:
        raise ValueError("tagger: name a checkpoint, or say in `training` how to train one")
    bank_folder = context.path("bank")
    identity = run_identity(context, config=asdict(config))
    if open_folder(out, identity):
        print(f"{out} is complete")
        return
    seed_all(config.seed)
    bank = read_bank(bank_folder, splits=["train", "valid"]).only(config.labels)
    made = train_tagger(
        bank.split("train"),
        shape=config.shape,
        hearing=config.hearing,
        options=config.training,
        frame_loss=config.frame_loss,
        folder=out / "run",
        seed=config.seed,
        log=context.tracker.log_metrics,
    )
    scores = score_tagger(
        made, bank.split("valid"), hearing=config.hearing, seed=config.seed + 1, threshold=config.threshold
    )
    context.tracker.log_metrics(scores, step=config.training.steps)
    print("tagger: " + ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))
    if hardware.is_main_process():
        made.encoder.model.cpu().save_pretrained(out)
        write_front_end(out, made.front_end)
        licences = "; ".join(sorted({clip.license for clip in bank.clips}))
        record_trained(out, root=context.root, name="tagger", revision=identity, licence=licences)
    close_folder(out, identity, scratch=("run",))


if __name__ == "__main__":
    from core.run.stage import run

    run(tagger, Config, processes=True)

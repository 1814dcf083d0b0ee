"""Train the listener, or name a public Whisper. Reads: shared_data/bank/<profile>/, or
shared_data/raw/checkpoints/; writes: shared_data/foundations/<profile>/listener/ with weights, front_end.json
and record.json.

`python -m shared_data.listener`. The listener is a Whisper encoder: papers take its features beside others.
With `checkpoint` nothing is trained.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from core.encoders.ast import write_front_end
from core.encoders.whisper import WhisperShape
from core.foundations.hearing import Hearing
from core.foundations.listener import score_listener, train_listener
from core.foundations.public import card_of, record_trained, resolve
from core.run import hardware
from core.run.resume import close_folder, open_folder, run_identity
from core.run.stage import Context, seed_all
from core.scenes.bank import read_bank
from core.train.optimisation import TrainingOptions


@dataclass(frozen=True)
class Config:
    """checkpoint: a public one by its card's name (core/data/cards.py); empty trains here, and then
    shape: of the encoder; n_fft, hop: of its mel front end, in samples; hearing: the scenes; training: the
    optimisation; labels: only these of the bank, empty is all.
    """

    checkpoint: str = ""
    shape: WhisperShape = field(default_factory=WhisperShape)
    n_fft: int = 400
    hop: int = 160
    hearing: Hearing = field(default_factory=Hearing)
    training: TrainingOptions | None = None
    labels: tuple[str, ...] = ()
    seed: int = 0


def listener(config: Config, *, context: Context) -> None:
    """Resolve or train the listener, log how well it hears clips of the validation split, and write it."""
    out = context.path("foundations", "listener")
    if config.checkpoint:
        if hardware.is_main_process():
            record = resolve(out, card_of(config.checkpoint), root=context.root)
            print(f"listener: {record.name} at {record.revision} ({record.licence}), in {record.path}")
        return
    if config.training is None:
        raise ValueError("listener: name a checkpoint, or say in `training` how to train one")
    bank_folder = context.path("bank")
    identity = run_identity(context, config=asdict(config))
    if open_folder(out, identity):
        print(f"{out} is complete")
        return
    seed_all(config.seed)
    bank = read_bank(bank_folder, splits=["train", "valid"]).only(config.labels)
    made = train_listener(
        bank.split("train"),
        shape=config.shape,
        n_fft=config.n_fft,
        hop=config.hop,
        hearing=config.hearing,
        options=config.training,
        folder=out / "run",
        seed=config.seed,
        log=context.tracker.log_metrics,
    )
    scores = score_listener(made, bank.split("valid"), hearing=config.hearing, seed=config.seed + 1)
    context.tracker.log_metrics(scores, step=config.training.steps)
    print("listener: " + ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))
    if hardware.is_main_process():
        made.features.encoder.cpu().save_pretrained(out)
        write_front_end(out, made.front_end)
        licences = "; ".join(sorted({clip.license for clip in bank.clips}))
        record_trained(out, root=context.root, name="listener", revision=identity, licence=licences)
    close_folder(out, identity, scratch=("run",))


if __name__ == "__main__":
    from core.run.stage import run

    run(listener, Config, processes=True)

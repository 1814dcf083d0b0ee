"""Tune one variant on CompA-R. Reads: checkpoints/<profile>/<parent>, data/<profile>/{features,instructions}
and the language model; writes: checkpoints/<profile>/<variant>/seed<n>/.

Instruction tuning continues the parent's last weights, with the soft prompt where `hints` is given. The paper
trains LoRA (and the soft prompt's vector) only; the release's script trains everything.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from core.audio_lm.artefact import read_artefact
from core.audio_lm.batches import Hints
from core.audio_lm.phases import Phase, train_row
from core.run.stage import Context


@dataclass(frozen=True)
class Config:
    """parent: a row of the stage `train`, whose branches and sizes this one has. hints: the soft prompt's
    tags.
    """

    parent: str
    phases: dict[str, Phase]
    sets: tuple[str, ...]
    hints: Hints | None = None
    seeds: tuple[int, ...] = field(default=(0,))


def tune(config: Config, *, context: Context) -> None:
    """Tune every seed."""
    parent = read_artefact(context.path("checkpoints", config.parent, f"seed{config.seeds[0]}")).architecture
    train_row(
        replace(parent, soft_prompt=config.hints is not None),
        config.phases,
        sets=config.sets,
        seeds=config.seeds,
        hints=config.hints,
        features=context.path("data", "features", "train"),
        instructions=context.path("data", "instructions"),
        parent=context.path("checkpoints", config.parent),
        starts={},
        context=context,
    )


if __name__ == "__main__":
    from core.run.stage import run

    run(tune, Config, processes=True)

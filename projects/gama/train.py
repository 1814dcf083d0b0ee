"""Train one variant. Reads: data/<profile>/{features,instructions}, the language model and, for those with a
Q-Former, checkpoints/<profile>/pretrain; writes: checkpoints/<profile>/<variant>/seed<n>/, weights after
every phase.

The phases are the curriculum's stages 1 to 4 (LTU's, which GAMA follows).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.audio_lm.branches import BRANCHES, Bridge, branch_of
from core.audio_lm.model import Architecture
from core.audio_lm.phases import Phase, train_row
from core.run.stage import Context


@dataclass(frozen=True)
class Config:
    """branches: what puts audio in front of the language model; none makes a blind control. sets: of
    features. prompt: a format of core.audio_lm.turns.
    """

    branches: tuple[str, ...]
    bridge: Bridge
    phases: dict[str, Phase]
    sets: tuple[str, ...]
    prompt: Literal["alpaca", "plain", "chatml"] = "alpaca"
    seeds: tuple[int, ...] = field(default=(0,))

    def __post_init__(self) -> None:
        for name in self.branches:
            branch_of(name, BRANCHES)


def train(config: Config, *, context: Context) -> None:
    """Train every seed through the curriculum."""
    train_row(
        Architecture(branches=config.branches, bridge=config.bridge, soft_prompt=False, prompt=config.prompt),
        config.phases,
        sets=config.sets,
        seeds=config.seeds,
        hints=None,
        features=context.path("data", "features", "train"),
        instructions=context.path("data", "instructions"),
        parent=None,
        starts={"qformer": context.path("checkpoints", "pretrain", "generative.safetensors")},
        context=context,
    )


if __name__ == "__main__":
    from core.run.stage import run

    run(train, Config, processes=True)

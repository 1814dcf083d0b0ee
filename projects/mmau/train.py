"""Train mini's reader. Reads: data/<profile>/training/ and the language model; writes:
checkpoints/<profile>/<variant>/seed<n>/.

    reader       the mini language model, tuned to answer from a description: the text model of the cascades
"""

from __future__ import annotations

from dataclasses import dataclass, field

from core.audio_lm.branches import Bridge
from core.audio_lm.model import Architecture
from core.audio_lm.phases import Phase, train_row
from core.run import hardware
from core.run.files import write_text_atomic
from core.run.stage import Context


@dataclass(frozen=True)
class Config:
    """bridge: LoRA's sizes; a reader has no other part."""

    phases: dict[str, Phase]
    bridge: Bridge = field(default_factory=Bridge)
    seeds: tuple[int, ...] = (0,)


def train(config: Config, *, context: Context) -> None:
    """Train every seed."""
    data = context.path("data", "training")
    if (data / "not_run.txt").is_file():
        reason = (data / "not_run.txt").read_text(encoding="utf-8")
        if hardware.is_main_process():
            write_text_atomic(context.path("checkpoints", str(context.variant), "not_run.txt"), reason)
        print(f"{context.variant}: not run: {reason.strip()}")
        return
    train_row(
        Architecture(branches=(), bridge=config.bridge, soft_prompt=False),
        config.phases,
        sets=(),
        seeds=config.seeds,
        hints=None,
        features=data,  # of which a reader looks at none
        instructions=data / "instructions",
        parent=None,
        starts={},
        context=context,
    )


if __name__ == "__main__":
    from core.run.stage import run

    run(train, Config, processes=True)

"""Write what mini's reader is trained on. Reads: the bank; writes: data/<profile>/training/ with
instructions/reading.json.

Items of every skill are drawn anew, from the training clips, voices and patches, and are never rendered: the
reader is asked about their true description. Options are not shown; it then says which it finds likeliest. A
profile whose `told` is 0 trains nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.answering.cascade import with_description
from core.data.instructions import Instruction, write_instructions
from core.files import write_text_atomic
from core.scenes.bank import read_bank
from core.skills.exam import draw, makers
from core.skills.item import World
from core.stage import Context

TOLD = "told"  # the name of the set, of which nothing is ever heard


@dataclass(frozen=True)
class Config:
    """told: items of each skill. untold: share of them whose description is left out, so that the reader also
    learns to guess.
    """

    told: int = 500
    untold: float = 0.1
    seed: int = 1  # not that of the exam: other items


def compose(config: Config, *, context: Context) -> None:
    """Write the instructions."""
    out = context.path("data", "training")
    if not config.told:
        write_text_atomic(out / "not_run.txt", "this profile trains no row of its own\n")
        return
    (out / "not_run.txt").unlink(missing_ok=True)
    items = list(read_items(config, context))
    write_instructions(out / "instructions" / "reading.json", items)
    context.tracker.log_metrics({"items": float(len(items))})
    print(f"{len(items)} questions about descriptions")


def read_items(config: Config, context: Context) -> Iterator[Instruction]:
    """Questions about descriptions, of items that only these are."""
    bank = read_bank(context.root / "shared_data" / "bank" / context.profile, splits=["train"])
    rng = np.random.default_rng(config.seed)
    skills, _ = makers()
    counts = dict.fromkeys(skills, config.told)
    for number, draft in enumerate(
        draw(World(bank, "train"), skills=list(skills), n=counts, seed=config.seed)
    ):
        told = draft.facts if rng.random() >= config.untold else ""
        yield Instruction(
            audio_id=f"{TOLD}:{number}",
            instruction=with_description(told, draft.question),
            output=draft.answer,
            dataset="mmau",
            task=draft.skill,
        )


if __name__ == "__main__":
    from core.stage import run

    run(compose, Config)

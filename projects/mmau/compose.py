"""Write what mini's reader is trained on. Reads: the data set mmau_reading (items that were never rendered,
with their true descriptions); writes: data/<profile>/training/instructions/reading.json, or
data/<profile>/training/not_run.txt.

Options are not shown; the reader later says which it finds likeliest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.answering.cascade import with_description
from core.data.instructions import Instruction, write_instructions
from core.run.files import write_text_atomic
from core.run.stage import Context

TOLD = "told"  # the name of the set, of which nothing is ever heard


@dataclass(frozen=True)
class Config:
    """without: why this profile trains no reader. untold: share of the items whose description is left out,
    so that the reader also learns to guess.
    """

    without: str = ""
    untold: float = 0.1
    seed: int = 1


def compose(config: Config, *, context: Context) -> None:
    """Write the instructions, or why there are none."""
    out = context.path("data", "training")
    if config.without:
        write_text_atomic(out / "not_run.txt", config.without + "\n")
        return
    (out / "not_run.txt").unlink(missing_ok=True)
    items = list(read_items(config, context))
    write_instructions(out / "instructions" / "reading.json", items)
    context.tracker.log_metrics({"items": float(len(items))})
    print(f"{len(items)} questions about descriptions")


def read_items(config: Config, context: Context) -> Iterator[Instruction]:
    """Questions about descriptions, of items that only these are; `untold` of them are left out."""
    path = context.root / "shared_data" / "datasets" / context.profile / "mmau_reading" / "reading.jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"no {path}: run the stage `reading` of shared_data")
    rng = np.random.default_rng(config.seed)
    for number, line in enumerate(map(json.loads, path.read_text(encoding="utf-8").split("\n")[:-1])):
        told = line["facts"] if rng.random() >= config.untold else ""
        yield Instruction(
            audio_id=f"{TOLD}:{number}",
            instruction=with_description(told, line["question"]),
            output=line["answer"],
            dataset="mmau",
            task=line["skill"],
        )


if __name__ == "__main__":
    from core.run.stage import run

    run(compose, Config)

"""Write what mini's reader is trained on. Reads: the data set mmau_reading (items that were never rendered,
with their true descriptions) and the row whose encoders it stands beside; writes: data/<profile>/training/
with instructions/reading.json and features/.

Options are not shown; the reader later says which it finds likeliest. A profile whose `artefact` is empty
trains nothing here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch

from core.adapters.prefix_lm import Features
from core.answering.cascade import with_description
from core.audio_lm.artefact import read_artefact
from core.audio_lm.encoders import HEARING
from core.audio_lm.features import write_set
from core.data.instructions import Instruction, write_instructions
from core.run.files import write_json, write_text_atomic
from core.run.stage import Context
from projects.mmau.gold import gama_row

TOLD = "told"  # the set of features


@dataclass(frozen=True)
class Config:
    """artefact: the row of GAMA beside whose encoders the reader stands. untold:
    share of the items whose description is left out, so that the reader also learns to guess.
    """

    artefact: str = ""
    untold: float = 0.1
    seed: int = 1


def compose(config: Config, *, context: Context) -> None:
    """Write the instructions, and features that say nothing for each."""
    out = context.path("data", "training")
    if not config.artefact:
        write_text_atomic(out / "not_run.txt", "this profile trains no row of its own\n")
        return
    (out / "not_run.txt").unlink(missing_ok=True)
    items = list(read_items(config, context))
    write_instructions(out / "instructions" / "reading.json", items)
    write_json(out / "features" / HEARING, asdict(read_artefact(gama_row(config.artefact, context)).hearing))
    write_json(out / "features" / "labels.json", [])
    with write_set(out / "features" / TOLD, ["tags"]) as writer:
        # a reader looks at no features, but whatever an instruction names must be in the store
        nothing = Features(torch.zeros(len(items), 1, 1), torch.ones(len(items), 1, dtype=torch.bool))
        writer.append([one.audio_id.removeprefix(f"{TOLD}:") for one in items], {"tags": nothing})
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

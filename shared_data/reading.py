"""Write what a reader of descriptions is trained on. Reads: the bank; writes:
shared_data/datasets/<profile>/mmau_reading/reading.jsonl, a line an item.

Items of every skill of MMAU are drawn anew, from the training clips, voices and patches, with another seed
than the exam's, and are never rendered: a line holds the question, the answer and what is true of the audio
in words.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from core.data.parquet import write_absent
from core.run.files import write_text_atomic
from core.run.stage import Context
from core.scenes.bank import read_bank
from shared_data.world.exams.exam import draw, makers
from shared_data.world.exams.item import World


@dataclass(frozen=True)
class Config:
    """told: items of each skill. absent: why this profile has none."""

    told: int = 500
    absent: str = ""
    seed: int = 1  # not that of the exam: other items


def reading(config: Config, *, context: Context) -> None:
    """Draw the items and write them."""
    folder = context.path("datasets", "mmau_reading")
    if config.absent:
        write_absent(folder, config.absent)
        print(f"mmau_reading: {config.absent}")
        return
    skills, _ = makers()
    bank = read_bank(context.path("bank"), splits=["train"])
    drafts = draw(
        World(bank, "train"), skills=list(skills), n=dict.fromkeys(skills, config.told), seed=config.seed
    )
    lines = [
        {"skill": one.skill, "question": one.question, "answer": one.answer, "facts": one.facts}
        for one in drafts
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_text_atomic(folder / "reading.jsonl", text)
    print(f"mmau_reading: {len(lines)} items of {len(skills)} skills")


if __name__ == "__main__":
    from core.run.stage import run

    run(reading, Config)

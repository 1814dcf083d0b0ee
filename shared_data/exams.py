"""Make one exam. Reads: shared_data/bank/<profile>/ (mini) or shared_data/raw/<name>/ (official); writes:
shared_data/datasets/<profile>/<name>/, for mini versions with facts-<split>.jsonl: what is true of each
audio.

`python -m shared_data.exams mmau`. The mini version has the official columns, skills and splits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from core.data.cards_exams import EXAM_CARDS
from core.data.choices import SKILLS, TASKS, checked, mmau_pro_problems, mmau_problems, stored_split
from core.data.imports import mmau, mmau_pro
from core.data.official_files import wrong_files
from core.data.parquet import write_absent, write_dataset
from core.data.problems import DatasetError
from core.data.schema import EXAMS
from core.run.jsonl import write_lines
from core.run.progress import progress
from core.run.stage import Context
from core.scenes.bank import read_bank
from shared_data.world.exams import exam, pro
from shared_data.world.exams.item import World

IMPORTERS: Mapping[str, Callable[..., Iterator[dict[str, Any]]]] = {
    "mmau": mmau.rows,
    "mmau_pro": mmau_pro.rows,
}


@dataclass(frozen=True)
class Config:
    """What to make.

    n: items of each skill by its domain (mmau), by group (mmau_pro; empty is
    `shared_data.world.exams.pro.COUNTS`); n_train likewise, of the split train. skills: the names that this
    profile has; empty is all.
    """

    source: Literal["mini", "official"] = "mini"
    absent: str = ""  # why this profile has no such exam; says so in its folder and makes nothing
    splits: tuple[str, ...] = ("test-mini",)
    seed: int = 0
    # official
    sample_rate: int | None = None  # None keeps the official files as they are
    allow_missing: bool = False
    allow_defects: bool = False
    # mini
    n: dict[str, int] = field(default_factory=dict)
    n_train: dict[str, int] = field(default_factory=dict)
    skills: tuple[str, ...] = ()


def exams(config: Config, *, context: Context) -> None:
    """Make the exam that the variant names and log its counts."""
    name = str(context.variant)
    if name not in EXAMS:
        raise DatasetError(f"no exam {name!r}; there is {', '.join(EXAMS)}")
    folder = context.path("datasets", name)
    if config.absent:
        write_absent(folder, config.absent)
        print(f"{name}: {config.absent}")
        return
    card = EXAM_CARDS[name]
    problems = mmau_problems if name == "mmau" else mmau_pro_problems
    for split in config.splits:
        notes: dict[str, Any] = {}
        facts: dict[str, str] = {}
        info: dict[str, Any] = {"name": name, "task": card.task, "protocol": card.protocol}
        if config.source == "official":
            raw = context.root / card.folder
            if not raw.is_dir():
                raise DatasetError(
                    f"{name}: {raw} is missing; `python -m core.data.doctor mmau` says where to get it and "
                    f"how to lay it out (licence: {card.licence})"
                )
            if wrong := wrong_files(raw, card):
                raise DatasetError(f"{name}: another MD5 than the official file: {', '.join(wrong)}")
            given = {"allow_defects": config.allow_defects} if name == "mmau" else {}
            rows = IMPORTERS[name](
                raw,
                split=split,
                sample_rate=config.sample_rate,
                allow_missing=config.allow_missing,
                notes=notes,
                **given,
            )
            info |= {"source": card.homepage, "licence": card.licence}
        else:
            rows = mini_rows(name, config, split=split, facts=facts, context=context)
            info |= {
                "source": f"mini version: the bank of profile {context.profile}, scores and spoken text",
                "licence": "that of the bank's clips; TimGM6mb samples (GPL-2), espeak-ng voices (GPL-3)",
            }
        written = write_dataset(
            folder,
            checked(
                progress(rows, desc=f"{name} {split}", unit="row"), problems=problems, where=f"{name} {split}"
            ),
            features=EXAMS[name],
            split=stored_split(split),
            info=info,
            notes=notes,
        )
        (folder / f"facts-{stored_split(split)}.jsonl").unlink(missing_ok=True)  # of an exam before this one
        if facts:
            lines = [{"id": id, "facts": said} for id, said in facts.items()]
            write_lines(folder / f"facts-{stored_split(split)}.jsonl", lines)
        count = written["counts"][stored_split(split)]
        context.tracker.log_metrics({split: float(count)}, step=0)
        print(f"{name} {split}: {count} rows, {len(notes.get('missing', []))} left out")


def mini_rows(
    name: str, config: Config, *, split: str, facts: dict[str, str], context: Context
) -> Iterator[dict[str, Any]]:
    """The rows of a mini exam; `facts` gets what is true of each item's audio, by its id."""
    part = "train" if split == "train" else "test"
    bank = read_bank(context.path("bank"), splits=[part])
    world = World(bank, part)  # type: ignore[arg-type]
    wanted = config.n_train if split == "train" else config.n
    if name == "mmau_pro":
        made = pro.rows(
            world,
            n=cast(Mapping[pro.Group, int], wanted or pro.COUNTS),
            seed=config.seed,
            sample_rate=bank.sample_rate,
        )
    else:
        skills = list(config.skills or SKILLS)
        strange = sorted({*skills} - {*SKILLS}) + sorted({*config.n, *config.n_train} - {*TASKS})
        if strange:
            raise DatasetError(
                f"{name}: {', '.join(strange)}: neither a skill of MMAU nor one of its domains "
                f"({', '.join(TASKS)})"
            )
        counts = {skill: wanted.get(SKILLS[skill].domain, 0) for skill in skills}
        if not any(counts.values()):
            raise DatasetError(f"{name} {split}: no items asked for; give n per domain in its conf")
        made = exam.rows(
            world,
            skills=[skill for skill in skills if counts[skill]],
            n=counts,
            seed=config.seed,
            sample_rate=bank.sample_rate,
            split=split,  # type: ignore[arg-type]
        )
    for row, said in made:
        facts[row["id"]] = said
        yield row


if __name__ == "__main__":
    from core.run.stage import run

    run(exams, Config)

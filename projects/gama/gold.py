"""Ask the questions of the test sets. Reads: the data sets; writes: predictions/<profile>/gold/<set>.jsonl
with a line a question: its task, by which it is scored, its audio and the recording that this was cut from,
the instruction and what a right answer is; and <set>.classes.json.

Everything that scoring needs besides the answers lies here, in git: no audio, no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.parquet import read_dataset, read_info, why_absent
from core.data.schema import recording_of
from core.run.files import write_json
from core.run.jsonl import write_lines
from core.run.stage import Context
from core.scenes.bank import read_bank
from core.scenes.captions import phrase_book
from core.scenes.draw import voice_attributes
from core.scenes.phrasings import CLOSED, PROMPT_AUDIOCAPS, PROMPT_CAPTION, PROMPT_CLOTHO, PROMPT_DETAIL
from core.scenes.questions import aliases
from projects.gama.compose import PROMPT_INSTRUMENT, PROMPT_SOURCE
from projects.gama.sets import LABELLED, TestSet

Line = dict[str, Any]
PROMPTS = {"instrument": PROMPT_INSTRUMENT, "source": PROMPT_SOURCE, "clotho": PROMPT_CLOTHO}


@dataclass(frozen=True)
class Config:
    """sets: by their names in the tables. limit: the first so many rows of each, 0 for all.

    label_prompt: what a model is asked where labels are wanted; the answer is a caption, mapped to the
    nearest label (the paper's two steps). book: whether the bank's phrases are written, by which scene
    tuples and what an answer states are recognised.
    """

    sets: dict[str, TestSet]
    limit: int = 0
    label_prompt: str = PROMPT_CAPTION
    book: bool = True


def gold(config: Config, *, context: Context) -> None:
    """Write every set's questions."""
    out = context.path("predictions", "gold")
    shared = context.root / "shared_data"
    heard: dict[str, Any] = {}
    for name, asked in config.sets.items():
        folder = shared / "datasets" / context.profile / (asked.dataset or name)
        if reason := why_absent(folder):
            print(f"{name}: {reason}")
            continue
        heard[folder.name] = read_info(folder)["sha256"]
        lines = list(questions(folder, asked, config))
        if not lines:
            raise ValueError(f"{folder} gives no question; make the data set again, with rows")
        write_lines(out / f"{name}.jsonl", lines)
        if asked.task in LABELLED:
            write_json(out / f"{name}.classes.json", classes(folder, asked))
        print(f"{name}: {len(lines)} questions")
    write_json(out / "source.json", heard)  # so that what is heard follows what is asked
    if config.book:
        bank = read_bank(shared / "bank" / context.profile, splits=["train"])
        book = phrase_book(bank)
        write_json(out / "book.json", book)
        write_json(out / "aliases.json", aliases(book, voice_attributes(bank)))


def classes(folder: Path, asked: TestSet) -> list[str]:
    """The label set of a classification."""
    if asked.column:
        rows = read_dataset(folder, columns=[asked.column])
        return sorted({str(row[asked.column]) for row in rows})
    return [str(label) for label in read_info(folder)["labels"]]


def questions(folder: Path, asked: TestSet, config: Config) -> Iterator[Line]:
    """The lines of one set. Raises ValueError for a data set that has not what the task asks about."""
    columns = [c for c in read_dataset(folder).column_names if c not in ("audio", "fold")]
    rows = read_dataset(folder, columns=columns)
    for row in rows.select(range(min(len(rows), config.limit or len(rows)))):
        line: Line = {"id": row["id"], "task": asked.task, "audio": f"{folder.name}:{row['id']}"}
        if recording := recording_of(row["clips"]):
            line["recording"] = recording
        try:
            if asked.task == "instruction":
                yield from (line | one for one in instructed(row))
            else:
                yield line | question(row, asked, folder.name, config)
        except KeyError as error:
            raise ValueError(
                f"{folder} has no column {error}, which the task {asked.task!r} asks about: give the set "
                "another task in rows.yaml"
            ) from None


def question(row: Mapping[str, Any], asked: TestSet, dataset: str, config: Config) -> Line:
    """The instruction about one row, and what a right answer is."""
    if asked.task == "answer":
        return {"instruction": CLOSED + row["question"], "answers": row["answers"]}
    if asked.task in ("caption", "dense_caption"):
        prompt = PROMPT_DETAIL if asked.task == "dense_caption" else PROMPTS.get(dataset, PROMPT_AUDIOCAPS)
        return {"instruction": prompt, "captions": row["captions"]}
    prompt = PROMPTS.get(asked.column, config.label_prompt)
    found = row[asked.column] if asked.column else row["labels"] if "labels" in row else row["label"]
    return {"instruction": prompt, "labels": found if isinstance(found, list) else [found]}


def instructed(row: Mapping[str, Any]) -> Iterator[Line]:
    """The questions of one audio; asks: what kind of question each is."""
    for place, one in enumerate(row["questions"]):
        yield {
            "id": f"{row['id']}#{place}",
            "instruction": one["instruction"],
            "output": one["output"],
            "asks": one["task"],
            "key": one["key"],
            "options": one["options"],
            "events": [[e["label"], round(e["onset"], 3), round(e["offset"], 3)] for e in row["events"]],
            "caption": row["caption"],
        }


if __name__ == "__main__":
    from core.run.stage import run

    run(gold, Config)

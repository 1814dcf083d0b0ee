"""Ask the questions of the test sets. Reads: the data sets; writes: predictions/<profile>/gold/<set>.jsonl
with a line a question (audio, recording, instruction, what a right answer is), and <set>.classes.json.

Everything that scoring needs besides the answers lies here, in git: no audio, no model.
"""

from __future__ import annotations

from collections.abc import Iterator
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

Line = dict[str, Any]


@dataclass(frozen=True)
class Config:
    """sets: by their names in the tables. limit: the first so many rows of each, 0 for all.

    label_prompt: what a model is asked where labels are wanted; the answer is a caption, mapped to the
    nearest label (the paper's two steps). book: whether the bank's phrases are written, by which scene
    tuples and what an answer states are recognised.
    """

    sets: tuple[str, ...]
    limit: int = 0
    label_prompt: str = PROMPT_CAPTION
    book: bool = True


def gold(config: Config, *, context: Context) -> None:
    """Write every set's questions."""
    out = context.path("predictions", "gold")
    shared = context.root / "shared_data"
    for name in config.sets:
        folder = shared / "datasets" / context.profile / dataset_of(name)
        if reason := why_absent(folder):
            print(f"{name}: {reason}")
            continue
        lines = list(questions(folder, name, config))
        if not lines:
            raise ValueError(f"{folder} gives no question; make the data set again, with rows")
        write_lines(out / f"{name}.jsonl", lines)
        if "labels" in lines[0]:
            write_json(out / f"{name}.classes.json", classes(folder, name))
        print(f"{name}: {len(lines)} questions")
    if config.book:
        bank = read_bank(shared / "bank" / context.profile, splits=["train"])
        book = phrase_book(bank)
        write_json(out / "book.json", book)
        write_json(out / "aliases.json", aliases(book, voice_attributes(bank)))


def dataset_of(name: str) -> str:
    """The data set that a set of questions is about: "dense_clotho" asks about clotho."""
    for prefix in ("dense_", "nsynth"):
        if name.startswith(prefix):
            return "nsynth" if prefix == "nsynth" else name.removeprefix(prefix)
    return name


def classes(folder: Path, name: str) -> list[str]:
    """The label set of a classification."""
    if name.startswith("nsynth_"):
        column = name.removeprefix("nsynth_")
        return sorted({str(row[column]) for row in read_dataset(folder, columns=[column])})
    return [str(label) for label in read_info(folder)["labels"]]


def questions(folder: Path, name: str, config: Config) -> Iterator[Line]:
    """The lines of one set."""
    columns = [c for c in read_dataset(folder).column_names if c not in ("audio", "fold")]
    rows = read_dataset(folder, columns=columns)
    for row in rows.select(range(min(len(rows), config.limit or len(rows)))):
        line: Line = {"id": row["id"], "audio": f"{dataset_of(name)}:{row['id']}"}
        if recording := recording_of(row["clips"]):
            line["recording"] = recording
        if name.startswith("nsynth_"):
            prompt = PROMPT_INSTRUMENT if name == "nsynth_instrument" else PROMPT_SOURCE
            yield line | {"instruction": prompt, "labels": [row[name.removeprefix("nsynth_")]]}
        elif "captions" in row:
            dense = name.startswith("dense_")
            prompt = PROMPT_DETAIL if dense else PROMPT_CLOTHO if name == "clotho" else PROMPT_AUDIOCAPS
            yield line | {"instruction": prompt, "captions": row["captions"]}
        elif "answers" in row:
            yield line | {"instruction": CLOSED + row["question"], "answers": row["answers"]}
        elif "questions" in row:
            for place, asked in enumerate(row["questions"]):
                yield line | {
                    "id": f"{row['id']}#{place}",
                    "instruction": asked["instruction"],
                    "output": asked["output"],
                    "task": asked["task"],
                    "key": asked["key"],
                    "options": asked["options"],
                    "events": [
                        [e["label"], round(e["onset"], 3), round(e["offset"], 3)] for e in row["events"]
                    ],
                    "caption": row["caption"],
                }
        else:
            labels = row["labels"] if "labels" in row else [row["label"]]
            yield line | {"instruction": config.label_prompt, "labels": labels}


if __name__ == "__main__":
    from core.run.stage import run

    run(gold, Config)

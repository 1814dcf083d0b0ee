"""What is asked and what is right. Reads: the exams mmau and mmau_pro; writes: predictions/<profile>/gold/
with <exam>.jsonl, one line an item without its audio, source.json, and facts.jsonl where the truth is known.

Everything that scoring needs beside the outputs lies here, in git: no audio, no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.choices import stored_split
from core.data.parquet import INFO, read_dataset, read_info, why_absent
from core.data.schema import EXAMS, recording_of
from core.run.files import write_bytes_atomic, write_json
from core.run.jsonl import read_lines, write_lines
from core.run.stage import Context

AUDIO = ("audio", "audios")


@dataclass(frozen=True)
class Config:
    """splits: of each exam, as the official files name them. An exam left out is not asked."""

    splits: dict[str, str]


def gold(config: Config, *, context: Context) -> None:
    """Write the items of every exam, and where they are from."""
    out = context.path("predictions", "gold")
    sources: dict[str, Any] = {}
    for name in EXAMS:  # what an earlier run asked and this one does not
        for left in (f"{name}.jsonl", f"{name}.facts.jsonl"):
            (out / left).unlink(missing_ok=True)
    for name, split in config.splits.items():
        if name not in EXAMS:
            raise ValueError(f"gold.splits: no exam {name!r}; there is {', '.join(EXAMS)}")
        folder = dataset_folder(context, name)
        if reason := why_absent(folder):
            print(f"{name}: {reason}")
            continue
        require_exam(folder, context)
        stored = stored_split(split)
        columns = [column for column in EXAMS[name] if column not in AUDIO]
        lines = [with_recording(dict(row)) for row in read_dataset(folder, stored, columns=columns)]
        write_lines(out / f"{name}.jsonl", lines)
        info = read_info(folder)
        shards = {file: digest for file, digest in info["sha256"].items() if file.startswith(f"{stored}-")}
        sources[name] = {
            "split": split,
            "source": info["source"],
            "items": len(lines),
            "parquet_sha256": shards,
            **{key: info["notes"].get(stored, {}).get(key) for key in ("sha256", "version")},
        }
        facts = folder / f"facts-{stored}.jsonl"
        if facts.is_file():
            write_bytes_atomic(out / f"{name}.facts.jsonl", facts.read_bytes())
        print(f"{name}: {len(lines)} items of {split}")
    if not sources:
        raise FileNotFoundError("this profile has none of the exams; see shared_data/conf/<profile>.yaml")
    write_json(out / "source.json", sources)


def with_recording(line: dict[str, Any]) -> dict[str, Any]:
    """The item with the recording that it is about, where it is one, in place of its clips."""
    recording = recording_of(line.pop("clips"))
    return line | ({"recording": recording} if recording else {})


def dataset_folder(context: Context, name: str) -> Path:
    """Where an exam lies."""
    return context.root / "shared_data" / "datasets" / context.profile / name


def gama_row(name: str, context: Context) -> Path:
    """The folder of a row that GAMA trained: its first seed."""
    return context.root / "projects" / "gama" / "checkpoints" / context.profile / name / "seed0"


def require_exam(folder: Path, context: Context) -> None:
    """Raise FileNotFoundError where there is no exam, with what makes it, or why this profile has none."""
    if reason := why_absent(folder):
        raise FileNotFoundError(f"this profile has no {folder.name}: {reason}")
    if not (folder / INFO).is_file():
        raise FileNotFoundError(
            f"{folder} holds no exam: make it with `python -m shared_data.exams {folder.name} --profile "
            f"{context.profile}`"
        )


def read_texts(path: Path, key: str) -> dict[str, str]:
    """id -> one text of each line: facts or descriptions."""
    return {line["id"]: line[key] for line in read_lines(path)}


if __name__ == "__main__":
    from core.run.stage import run

    run(gold, Config)

"""The forms in which MMAU's questions are published, read as the current JSON has them.

GitHub's JSON: audio_id, question, choices (a list), answer; the first release has no id, so audio_id gives
it. Re-uploads: choices as one string. The Hub's own Parquet: context (the audio), instruction, "(A) " before
choices and answer, all else in other_attributes.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from core.data.choices import DIFFICULTIES, TASKS, file_sha256
from core.data.imports.clips import Clip, clip_at, exam_shards, stored_rows
from core.data.imports.names import Finder, below
from core.data.imports.plain import read_json
from core.data.schema import DatasetError

FILES = {"test-mini": "mmau-test-mini.json", "test": "mmau-test.json"}
ATTRIBUTES = ("dataset", "task", "category", "sub-category", "difficulty")
EXPECTED = (
    "expected one JSON list of items with id or audio_id, question (or instruction), choices, answer, "
    + ", ".join(ATTRIBUTES)
)


@dataclass(frozen=True, kw_only=True)
class Questions:
    """The items of one split as the current JSON has them, and the audio that was stored with each."""

    items: list[dict[str, Any]]
    clips: list[Clip] | None  # of Parquet
    where: Path


def read_questions(
    path: Path, split: str | None, *, notes: dict[str, Any], audio: Path | None = None
) -> Questions:
    """The questions of `split` in `path`, a file or a folder of official files.

    None takes all of a file, and test-mini of a folder. audio: the folder of files that Parquet names and
    does not hold, by default its own. notes: sha256, letters_removed (from how many items),
    category_was_a_list, case_changed (ids). Raises DatasetError for a file of another shape.
    """
    files = _question_files(path, split or "test-mini")
    where = files[0].parent if path.is_dir() and len(files) > 1 else files[0]
    notes["sha256"] = {file.name: file_sha256(file) for file in files}
    clips: list[Clip] | None = None
    if files[0].suffix == ".parquet":
        raw, heard = stored_rows(files, home=audio)
        clips = [heard(i) for i in range(len(raw))]
    else:
        raw = read_json(files[0])
    if not isinstance(raw, list) or not raw or not all(isinstance(item, Mapping) for item in raw):
        raise DatasetError(f"{where} is not MMAU's file of questions: {EXPECTED}")
    own = "test-mini" if "mini" in files[0].stem else "test"
    items = [_plain(item, f"{where}: item {number}", own, notes) for number, item in enumerate(raw)]
    wanted = [i for i, item in enumerate(items) if split is None or item["split"] == split]
    if split is None and path.is_dir():
        wanted = [i for i, item in enumerate(items) if item["split"] == "test-mini"]
    if not wanted:
        there = ", ".join(sorted({item["split"] for item in items}))
        raise DatasetError(f"{where} holds no item of {split or 'test-mini'}; it holds {there}")
    return Questions(
        items=[items[i] for i in wanted], clips=clips and [clips[i] for i in wanted], where=where
    )


def clips_beside(items: Sequence[Mapping[str, Any]], home: Path) -> list[Clip]:
    """The audio of each item in the folder `home`, or out of Parquet there where no item has a file."""
    finder = Finder(home)
    clips = [_clip_in(item, home, finder) for item in items]
    if any(clip.load for clip in clips):
        return clips
    shards = exam_shards(home) if home.is_dir() else [home] if home.suffix == ".parquet" else []
    if not shards:
        return clips
    raw, heard = stored_rows(shards)
    places = {
        str(item.get("id") or _attributes(item, f"{home}: item {i}").get("id")): i
        for i, item in enumerate(raw)
    }
    return [
        heard(places[item["id"]]) if item["id"] in places else clip
        for item, clip in zip(items, clips, strict=True)
    ]


def _question_files(path: Path, split: str) -> list[Path]:
    """The file of questions: a JSON, or the shards of the Hub's Parquet."""
    if path.is_file():
        return [path]
    names = (FILES[split], f"{FILES[split]}l")  # the list, or JSON lines
    places = [path / folder / name for name in names for folder in ("", "MMAU", "MMAU-main")]
    if json_file := next((place for place in places if place.is_file()), None):
        return [json_file]
    shards = exam_shards(path)
    if mini := [shard for shard in shards if "mini" in str(shard.relative_to(path)).lower()]:
        shards = mini if split == "test-mini" else [shard for shard in shards if shard not in mini]
    if not shards:
        raise DatasetError(
            f"{path}: neither {FILES[split]} nor Parquet of the Hub's data set is there; "
            "put the official file there"
        )
    return shards


def _plain(item: Mapping[str, Any], name: str, split: str, notes: dict[str, Any]) -> dict[str, Any]:
    """An item of any form as the current JSON has it."""
    merged = {**_attributes(item, name), **{key: value for key, value in item.items() if value is not None}}
    audio_id = str(merged.get("audio_id") or "").replace("\\", "/")  # lists made on Windows
    row_id = str(merged.get("id") or merged.get("question_id") or PurePosixPath(audio_id).stem)
    question = merged.get("question", merged.get("instruction"))
    lacks = [key for key in ("choices", *ATTRIBUTES) if key not in merged]
    if lacks or not row_id or not isinstance(question, str):
        what = [*lacks, *([] if row_id else ["id"]), *([] if isinstance(question, str) else ["question"])]
        raise DatasetError(f"{name} lacks {', '.join(what)}; {EXPECTED}")
    choices = merged["choices"]
    if isinstance(choices, str):
        choices = _parsed(choices, name, "choices")
    if not isinstance(choices, Sequence) or not all(isinstance(choice, str) for choice in choices):
        raise DatasetError(f"{name} ({row_id}): choices are not a list of texts; {EXPECTED}")
    choices, answer = list(choices), str(merged.get("answer") or "")
    letters = [f"({chr(ord('A') + place)})" for place in range(len(choices))]
    if len(choices) > 1 and all(c.startswith(f"{mark} ") for c, mark in zip(choices, letters, strict=True)):
        choices = [choice[4:] for choice in choices]
        answer = re.sub(r"^\([A-Z]\) ", "", answer)
        notes["letters_removed"] = notes.get("letters_removed", 0) + 1
    category = merged["category"]
    if isinstance(category, list):
        if len(category) != 1:
            raise DatasetError(f"{name} ({row_id}): category {category} is not one text")
        category = category[0]
        notes.setdefault("category_was_a_list", []).append(row_id)
    texts = {key: str(merged[key]) for key in ATTRIBUTES}
    for key, known in (("task", TASKS), ("difficulty", DIFFICULTIES)):  # the first releases have "Hard"
        if texts[key] not in known and texts[key].lower() in known:
            texts[key] = texts[key].lower()
            notes.setdefault("case_changed", []).append(row_id)
    return {
        **texts,
        "id": row_id,
        "audio_id": audio_id,
        "question": question,
        "choices": choices,
        "answer": answer,
        "category": str(category),
        "split": str(merged.get("split") or split).lower().replace("_", "-"),
    }


def _attributes(item: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    more = item.get("other_attributes") or {}
    more = _parsed(more, name, "other_attributes") if isinstance(more, str) else more
    if not isinstance(more, Mapping):
        raise DatasetError(f"{name}: other_attributes are no mapping; {EXPECTED}")
    return more


def _clip_in(item: Mapping[str, Any], home: Path, finder: Finder) -> Clip:
    name = PurePosixPath(item["audio_id"] or f"{item['id']}.wav")
    places = [below(home, str(name))]
    places += [home / sub / name.name for sub in (f"{item['split']}-audios", "audio", "")]
    return clip_at(places, finder)


def _parsed(text: str, name: str, key: str) -> Any:
    """A list or mapping that was stored as text: JSON, or as Python prints it."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    raise DatasetError(f"{name}: {key} is text that is neither JSON nor a Python list: {text[:60]!r}")

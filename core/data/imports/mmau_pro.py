"""MMAU-Pro from its official files: `test.parquet` and `data.zip`, unpacked beside it.

A row has one audio file or several, and all of them are needed. Options may be none (open questions), the
answer may be null (instruction following, which rules check). Rows stand by category, so no reader here takes
the first n: core.data.choices.spread draws over all.
"""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.data.choices import (
    MMAU_PRO,
    UNANSWERABLE,
    ChoiceItem,
    file_sha256,
    mmau_pro_doubts,
    mmau_pro_problems,
    option_defects,
)
from core.data.imports.clips import Clip, clip_at, log, with_clips
from core.data.imports.names import Finder, below
from core.data.imports.plain import one_of
from core.data.schema import DatasetError, describe, duplicates

FEATURES = MMAU_PRO
FILE = "test.parquet"
COLUMNS = ("audio_path", *(name for name in MMAU_PRO if name not in ("audios", "clips")))
CATEGORIES = {
    "music": 1418,
    "sound": 1048,
    "speech": 891,
    "open": 625,
    "multi": 430,
    "spatial_audio": 325,
    "voice_chat": 290,
    "sound_speech": 88,
    "instruction following": 87,
    "sound_music": 50,
    "music_speech": 46,
    "sound_music_speech": 7,
}
# Parquet reads a list column of at most 2 GiB: 64 rows are written together, and shards begin at 500 MB
BLOCK_ROWS, BLOCK_BYTES = 64, 1 << 30
_LISTS = ("choices", "perceptual_skills", "reasoning_skills")


def read_items(
    path: Path, *, audio: Path | None = None, notes: dict[str, Any] | None = None
) -> list[tuple[dict[str, Any], ChoiceItem]]:
    """The questions in their order: the row of core.data.choices.MMAU_PRO without `audios`, and the item.

    path: test.parquet, or its folder. audio: the folder that data.zip was unpacked into, by default beside.
    In the item an answer that is null is "", and task is the row's category.
    """
    found = _items(path, audio, notes={} if notes is None else notes)
    return [(row, _item(row, clips)) for row, clips in found]


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows of core.data.choices.MMAU_PRO; FLAC at `sample_rate` keeps the channels, for spatial items.

    notes: sha256, counts (categories, lengths, files and options an item), differs (categories with another
    count than the official one), defects {what: ids}, missing, silent. The official files are too long for
    sample_rate None: then DatasetError says so before anything is decoded.
    """
    one_of(split, ["test"], name="mmau_pro")
    notes = {} if notes is None else notes
    entries = _items(folder, None, notes=notes)
    if sample_rate is None:
        there = (row_and_clips for row_and_clips in entries if all(clip.load for clip in row_and_clips[1]))
        _check_blocks((row["id"], sum(Path(c.name).stat().st_size for c in clips)) for row, clips in there)
    written: list[tuple[str, int]] = []
    for row, heard in with_clips(
        entries,
        name="mmau_pro",
        folder=folder,
        sample_rate=sample_rate,
        mono=False,
        allow_missing=allow_missing,
        notes=notes,
        advice="Unpack data.zip of the Hub's data set beside test.parquet.",
    ):
        written = written[len(written) // BLOCK_ROWS * BLOCK_ROWS :]
        written.append((row["id"], sum(len(audio["bytes"]) for audio in heard)))
        _check_blocks(written)
        whole = {**row, "audios": heard}
        yield {name: whole[name] for name in MMAU_PRO}


def _items(
    path: Path, audio: Path | None, *, notes: dict[str, Any]
) -> list[tuple[dict[str, Any], tuple[Clip, ...]]]:
    file = path / FILE if path.is_dir() else path
    home = audio or file.parent
    finder = Finder(home.parent)
    found = []
    for number, raw in enumerate(_read(file)):
        row = _row(raw, f"{file}: row {number}")
        names = [str(name) for name in _list(raw["audio_path"], f"{file}: row {number}", "audio_path")]
        places = [[below(base, name) for base in (home, home / "data", home.parent)] for name in names]
        row["clips"] = [f"mmau_pro:{Path(name).name}" for name in names]
        found.append((row, tuple(clip_at(paths, finder) for paths in places)))
    notes["sha256"] = {file.name: file_sha256(file)}
    _judge([row for row, _ in found], file, notes=notes)
    return found


def _read(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        raise DatasetError(f"{file} is missing; put the official file there")
    try:
        there = pq.read_schema(file).names
        if absent := [name for name in COLUMNS if name not in there]:
            raise DatasetError(
                f"{file}: columns {absent} are missing; it has {there}. Is it the official file?"
            )
        return pq.read_table(file, columns=list(COLUMNS)).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{file} does not read as Parquet ({error}); get it again") from error


def _row(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    texts = {
        key: "" if raw[key] is None else str(raw[key])
        for key in COLUMNS
        if key not in (*_LISTS, "audio_path", "kwargs", "answer")
    }
    lists = {key: [str(value) for value in _list(raw[key], name, key)] for key in _LISTS}
    answer = None if raw["answer"] is None else str(raw["answer"])
    return {**texts, **lists, "answer": answer, "kwargs": _kwargs(raw["kwargs"], name)}


def _list(value: Any, name: str, key: str) -> list[Any]:
    """A list column that may also be null, one text, or a list stored as text."""
    if isinstance(value, str):
        value = _parsed(value) if value.strip().startswith("[") else [value] if value.strip() else []
    if value is None:
        return []
    if not isinstance(value, list):
        raise DatasetError(f"{name}: {key} is {value!r}, not a list; is it the official file?")
    return [one for one in value if one is not None]


def _kwargs(value: Any, name: str) -> str:
    """A rule's arguments as a JSON mapping; nulls are what other rows' arguments leave in a struct column."""
    if isinstance(value, str):
        value = _parsed(value) if value.strip() else None
    if isinstance(value, list):  # one mapping a rule; a row has one rule
        value = {key: one for part in value if isinstance(part, Mapping) for key, one in part.items()}
    if value is not None and not isinstance(value, Mapping):
        raise DatasetError(f"{name}: kwargs is {value!r}, not a mapping; is it the official file?")
    given = {key: one for key, one in (value or {}).items() if one is not None}
    return json.dumps(given, ensure_ascii=False, sort_keys=True)


def _parsed(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text


def _judge(found: list[dict[str, Any]], file: Path, *, notes: dict[str, Any]) -> None:
    wrong: dict[str, list[str]] = {}
    defects: dict[str, list[str]] = {}
    if again := duplicates([row["id"] for row in found]):
        wrong["duplicated id"] = [found[i]["id"] for i in again]
    for row in found:
        heard = {**row, "audios": [{"bytes": b"-"}] if row["clips"] else []}
        for what in mmau_pro_problems(heard):
            wrong.setdefault(what, []).append(row["id"])
        for what in mmau_pro_doubts(row):
            defects.setdefault(what, []).append(row["id"])
        if len(row["choices"]) > 1:
            for what in option_defects(row["choices"], row["answer"] or ""):
                if what not in UNANSWERABLE:
                    defects.setdefault(what, []).append(row["id"])
    if wrong:
        raise DatasetError(f"{file}: {describe(wrong)}; of {len(found)} rows. Is it the official file?")

    def counts(of: Iterable[object]) -> dict[str, int]:
        return {str(what): n for what, n in sorted(Counter(of).items(), key=str)}

    categories = counts(row["category"] for row in found)
    notes["counts"] = {
        "items": len(found),
        "category": categories,
        "length_type": counts(row["length_type"] for row in found),
        "audio_files": counts(len(row["clips"]) for row in found),
        "choices": counts(len(row["choices"]) for row in found),
        "answer_null": sum(row["answer"] is None for row in found),
    }
    names = sorted({*categories, *CATEGORIES})
    if differs := {n: f"{categories.get(n, 0)} of {CATEGORIES.get(n, 0)}" for n in names
                   if categories.get(n, 0) != CATEGORIES.get(n, 0)}:  # fmt: skip
        notes["differs"] = differs
        log.warning("mmau_pro: %s: categories with another count than the official one: %s", file, differs)
    if defects:
        notes["defects"] = defects
        log.warning("mmau_pro: %s", describe(defects))


def _check_blocks(sizes: Iterable[tuple[str, int]]) -> None:
    """Raise DatasetError where the rows that are written together hold more than Parquet can read back."""
    block = 0
    for number, (row_id, size) in enumerate(sizes):
        block = size + (block if number % BLOCK_ROWS else 0)
        if block > BLOCK_BYTES:
            raise DatasetError(
                f"mmau_pro: up to {row_id} {BLOCK_ROWS} rows hold more than {BLOCK_BYTES >> 20} MiB of "
                "audio, which Parquet cannot read back as one column; set a lower sample_rate, such as 16000"
            )


def _item(row: Mapping[str, Any], clips: tuple[Clip, ...]) -> ChoiceItem:
    return ChoiceItem(
        id=row["id"],
        question=row["question"],
        choices=tuple(row["choices"]),
        answer=row["answer"] or "",
        dataset="MMAU-Pro",
        task=row["category"],
        split="test",
        category=row["category"],
        sub_category=row["sub-cat"],
        difficulty="",
        audios=tuple(clip.load for clip in clips),
        audio_names=tuple(clip.name for clip in clips),
    )

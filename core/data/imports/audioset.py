"""AudioSet from its official lists and a folder of audio cut from YouTube.

`{eval,balanced_train}_segments.csv`: lines with # are comments; YTID, start_seconds, end_seconds, and all
labels as codes in quotes. `class_labels_indices.csv` names the codes. Audio in `eval/`, `balanced_train/` or
`audio/` as <id>, Y<id>, <id>_<start in ms> or <id>_<start>_<end> (core.data.imports.names), .wav or .flac.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.data.imports.layout import (
    Entry,
    read_csv,
    require_numbers,
    require_unique,
    with_audio,
    youtube_clip,
)
from core.data.imports.names import video_stems
from core.data.imports.plain import one_of, read_list
from core.data.schema import MULTILABEL, DatasetError, some

FEATURES = MULTILABEL
PARTS = {"train": "balanced_train", "test": "eval"}


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per segment with all its labels as released. Videos vanish: missing ones are an error unless
    allow_missing."""
    one_of(split, list(PARTS), name="audioset")
    part = PARTS[split]
    path = folder / f"{part}_segments.csv"
    columns = ("id", "start", "end", "labels")
    table = read_list(path, columns=columns, delimiter=",", comment="#")
    require_unique([row["id"] for row in table], where=path)
    for column in ("start", "end"):
        require_numbers(table, column=column, key="id", where=path)
    names = _names(folder)
    coded = {row["id"]: [code.strip() for code in row["labels"].split(",") if code.strip()] for row in table}
    if strange := [clip for clip, codes in coded.items() if not codes or not names.keys() >= set(codes)]:
        raise DatasetError(
            f"{path}: {len(strange)} segments have no label or one that class_labels_indices.csv lacks "
            f"({some(strange)}); take both official files"
        )
    places = [p for p in (folder / part, folder / f"{part}_segments", folder / "audio") if p.is_dir()]
    places = places or [folder / part]

    def entries() -> Iterator[Entry]:
        for row in table:
            clip, start, end = row["id"], float(row["start"]), float(row["end"])
            stems = video_stems(clip, start, end, alone=True)  # one segment a video
            yield Entry(
                row={
                    "id": clip,
                    "labels": [names[code] for code in coded[clip]],
                    "clips": [youtube_clip(clip, start, seconds=end - start)],
                },
                audio={
                    "audio": [
                        p / f"{stem}{suffix}"
                        for p in places
                        for stem in stems
                        for suffix in (".wav", ".flac")
                    ]
                },
            )

    yield from with_audio(
        entries(),
        name="audioset",
        root=folder,
        folder=places[0],
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice="Cut start_seconds to end_seconds of these videos into that folder.",
    )


def labels(folder: Path) -> list[str]:
    """The classes in the order of class_labels_indices.csv (527 officially)."""
    return list(_names(folder).values())


def _names(folder: Path) -> dict[str, str]:
    """Code -> display name, in the official order."""
    table = read_csv(folder / "class_labels_indices.csv", columns=("index", "mid", "display_name"))
    return {row["mid"]: row["display_name"] for row in table}

"""TUT Acoustic Scenes 2017 from its official folders `TUT-acoustic-scenes-2017-{evaluation,development}/`.

`meta.txt` in each: tab-separated, no header, audio/<file>, scene and (development) recording; audio in
`audio/`, ten seconds each. soundata knows the sound events of the same year only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from core.data.imports.layout import Entry, first_folder, require_unique, with_audio
from core.data.imports.plain import one_of, read_list
from core.data.schema import CLASSIFIED, DatasetError, some

FEATURES = CLASSIFIED
PARTS = {"train": "development", "test": "evaluation"}
SCENES = (
    "beach",
    "bus",
    "cafe/restaurant",
    "car",
    "city_center",
    "forest_path",
    "grocery_store",
    "home",
    "library",
    "metro_station",
    "office",
    "park",
    "residential_area",
    "train",
    "tram",
)


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per ten seconds; fold is 0. The test split is the 1,620 clips of the evaluation set."""
    one_of(split, list(PARTS), name="tut2017")
    part = PARTS[split]
    home = first_folder(folder, f"TUT-acoustic-scenes-2017-{part}", part)
    path = home / "meta.txt"
    table = read_list(path, columns=("file", "scene", "recording"), optional=1)
    ids = [PurePosixPath(row["file"]).stem for row in table]
    require_unique(ids, where=path)
    if strange := [i for i, row in zip(ids, table, strict=True) if row["scene"] not in SCENES]:
        raise DatasetError(
            f"{path}: {len(strange)} clips have a scene that is none of the 15 ({some(strange)}); "
            "take the official file"
        )

    def entries() -> Iterator[Entry]:
        for clip, row in zip(ids, table, strict=True):
            origin = f"tut2017:{part}/{row.get('recording') or clip}"
            yield Entry(
                row={"id": clip, "label": row["scene"].replace("_", " "), "fold": 0, "clips": [origin]},
                audio={"audio": [home / row["file"]]},
            )

    yield from with_audio(
        entries(),
        name="tut2017",
        root=folder,
        folder=home / "audio",
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice=f"Unpack all TUT-acoustic-scenes-2017-{part}.audio archives in {folder}.",
    )


def labels(folder: Path) -> list[str]:
    """The 15 scenes in words, sorted. The folder is not read."""
    return sorted(scene.replace("_", " ") for scene in SCENES)

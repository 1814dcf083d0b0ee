"""VocalSound from its official archive: `datafiles/{te,val,tr}.json`, `class_labels_indices_vs.csv` and
`audio_16k/` (or `audio_44k/`), one recording a person and sound.

The paths in the JSON files are those of the authors' machine; only the file names count.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from core.data.imports.layout import Entry, first_folder, read_csv, require_unique, with_audio
from core.data.imports.plain import one_of, read_json
from core.data.schema import CLASSIFIED, DatasetError, some

FEATURES = CLASSIFIED
PARTS = {"train": "tr", "valid": "val", "test": "te"}
_COLUMNS = ("index", "mid", "display_name")


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per recording; no folds, so fold is 0. No speaker is in two splits."""
    one_of(split, list(PARTS), name="vocalsound")
    home = first_folder(folder, "data", "vs_release_16k", "vs_release_44k")
    path = home / "datafiles" / f"{PARTS[split]}.json"
    content = read_json(path)
    items = content.get("data") if isinstance(content, dict) else None
    if not isinstance(items, list) or not all(
        isinstance(i, dict) and {"wav", "labels"} <= i.keys() for i in items
    ):
        raise DatasetError(f"{path}: no list `data` of {{wav, labels}} in it; unpack the archive again")
    named = _names(home)
    ids = [PurePosixPath(str(item["wav"])).stem for item in items]
    require_unique(ids, where=path)
    found = [named.get(str(item["labels"]), "") for item in items]
    # <sex><speaker>_<take>_<sound>: the name repeats the label
    wrong = [i for i, label in zip(ids, found, strict=True) if i.rpartition("_")[2] != label.replace(" ", "")]
    if wrong:
        raise DatasetError(
            f"{path}: the label of {len(wrong)} recordings is not the one in their file name "
            f"({some(wrong)}); unpack the archive again"
        )
    audio_folder = first_folder(home, "audio_16k", "audio_44k")

    def entries() -> Iterator[Entry]:
        for clip, label in zip(ids, found, strict=True):
            yield Entry(
                row={"id": clip, "label": label, "fold": 0, "clips": [f"vocalsound:{clip}"]},
                audio={"audio": [audio_folder / f"{clip}.wav"]},
            )

    yield from with_audio(
        entries(),
        name="vocalsound",
        root=folder,
        folder=audio_folder,
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice="Unpack the official archive again.",
    )


def labels(folder: Path) -> list[str]:
    """The six classes in words, sorted."""
    return sorted(_names(first_folder(folder, "data", "vs_release_16k", "vs_release_44k")).values())


def _names(home: Path) -> dict[str, str]:
    """Label code -> words ("throat clearing")."""
    table = read_csv(home / "class_labels_indices_vs.csv", columns=_COLUMNS)
    return {row["mid"]: row["display_name"].lower() for row in table}

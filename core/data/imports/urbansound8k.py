"""UrbanSound8K (through soundata) from its official layout: `metadata/UrbanSound8K.csv` and
`audio/fold<n>/*.wav`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.data.imports.layout import Entry, first_folder, read_csv, with_audio
from core.data.imports.soundata_clips import open_soundata
from core.data.schema import CLASSIFIED, DatasetError

FEATURES = CLASSIFIED
_COLUMNS = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """All 8,732 slices (zero-shot: nothing is trained on any fold). `clips` are the FreeSound recordings."""
    if split != "test":
        raise DatasetError(f"urbansound8k is used as a test split only, not {split!r}")
    home = first_folder(folder, "UrbanSound8K")
    dataset, ids = open_soundata(
        "urbansound8k",
        home,
        csv=home / "metadata" / "UrbanSound8K.csv",
        columns=_COLUMNS,
        file_column="slice_file_name",
        audio="audio/fold{fold}/{slice_file_name}",
    )

    def entries() -> Iterator[Entry]:
        for clip in map(dataset.clip, ids):
            yield Entry(
                row={
                    "id": clip.clip_id,
                    "label": clip.class_label.replace("_", " "),
                    "fold": clip.fold,
                    "clips": [f"freesound:{clip.freesound_id}"],
                },
                audio={"audio": [Path(clip.audio_path)]},
            )

    yield from with_audio(
        entries(),
        name="urbansound8k",
        root=folder,
        folder=home / "audio",
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice="Unpack UrbanSound8K.tar.gz again.",
    )


def labels(folder: Path) -> list[str]:
    """The 10 classes in words, sorted."""
    csv = first_folder(folder, "UrbanSound8K") / "metadata" / "UrbanSound8K.csv"
    return sorted({row["class"].replace("_", " ") for row in read_csv(csv, columns=_COLUMNS)})

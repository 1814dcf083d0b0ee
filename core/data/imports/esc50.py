"""ESC-50 (through soundata) from its official layout: `meta/esc50.csv` and `audio/*.wav`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.data.imports.layout import Entry, first_folder, read_csv, with_audio
from core.data.imports.soundata_clips import open_soundata
from core.data.schema import CLASSIFIED, DatasetError

FEATURES = CLASSIFIED
_COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file", "take")


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """All 2,000 clips (zero-shot: nothing is trained on any fold). `clips` are the FreeSound recordings."""
    if split != "test":
        raise DatasetError(f"esc50 is used as a test split only, not {split!r}")
    home = first_folder(folder, "ESC-50-master")
    dataset, ids = open_soundata(
        "esc50",
        home,
        csv=home / "meta" / "esc50.csv",
        columns=_COLUMNS,
        file_column="filename",
        audio="audio/{filename}",
    )

    def entries() -> Iterator[Entry]:
        for clip in map(dataset.clip, ids):
            yield Entry(
                row={
                    "id": clip.clip_id,
                    "label": clip.category.replace("_", " "),
                    "fold": clip.fold,
                    "clips": [f"freesound:{clip.src_file}"],
                },
                audio={"audio": [Path(clip.audio_path)]},
            )

    yield from with_audio(
        entries(),
        name="esc50",
        root=folder,
        folder=home / "audio",
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice="Unpack the official archive again.",
    )


def labels(folder: Path) -> list[str]:
    """The 50 classes in words, sorted."""
    csv = first_folder(folder, "ESC-50-master") / "meta" / "esc50.csv"
    return sorted({row["category"].replace("_", " ") for row in read_csv(csv, columns=_COLUMNS)})

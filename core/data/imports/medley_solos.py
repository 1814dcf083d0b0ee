"""Medley-solos-DB from `Medley-solos-DB_metadata.csv` and its folder of three-second clips,
`Medley-solos-DB_<subset>-<instrument id>_<uuid4>.wav`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.data.imports.layout import Entry, read_csv, require_unique, with_audio
from core.data.imports.plain import one_of
from core.data.schema import CLASSIFIED, DatasetError

FEATURES = CLASSIFIED
PARTS = {"train": "training", "valid": "validation", "test": "test"}
_COLUMNS = ("subset", "instrument", "instrument_id", "song_id", "uuid4")


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per clip, by its uuid4; fold is 0. Test and training come from different collections."""
    one_of(split, list(PARTS), name="medley_solos")
    part = PARTS[split]
    csv = _csv(folder)
    table = read_csv(csv, columns=_COLUMNS)
    require_unique([row["uuid4"] for row in table], where=csv)
    table = [row for row in table if row["subset"] == part]
    if not table:
        raise DatasetError(f"{csv}: no row of split {split!r} (subset {part}); take the official file")
    places = [p for p in (folder / "Medley-solos-DB", folder / "audio") if p.is_dir()] + [folder]

    def entries() -> Iterator[Entry]:
        for row in table:
            file = f"Medley-solos-DB_{part}-{row['instrument_id']}_{row['uuid4']}.wav"
            yield Entry(
                row={
                    "id": row["uuid4"],
                    "label": row["instrument"],
                    "fold": 0,
                    "clips": [f"medley_solos:{row['uuid4']}"],
                },
                audio={"audio": [place / file for place in places]},
            )

    yield from with_audio(
        entries(),
        name="medley_solos",
        root=folder,
        folder=places[0],
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice="Unpack Medley-solos-DB.tar.gz again.",
    )


def labels(folder: Path) -> list[str]:
    """The eight instruments of the whole list, sorted."""
    return sorted({row["instrument"] for row in read_csv(_csv(folder), columns=_COLUMNS)})


def _csv(folder: Path) -> Path:
    name = "Medley-solos-DB_metadata.csv"
    return next((p for p in (folder / "annotation" / name,) if p.is_file()), folder / name)

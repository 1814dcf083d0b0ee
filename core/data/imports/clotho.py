"""Clotho v2.1 from its official files: `clotho_captions_<part>.csv` and the folder `<part>/` of its archive.

part is evaluation (our test), validation or development (our train). `clotho_metadata_<part>.csv`, where it
is there, gives the FreeSound ids that the contamination check compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.data.imports.layout import OLD_ENCODINGS, Entry, log, read_csv, require_unique, with_audio
from core.data.imports.names import plain_name
from core.data.schema import CAPTIONED, DatasetError, some

FEATURES = CAPTIONED
PARTS = {"train": "development", "valid": "validation", "test": "evaluation"}
_CAPTIONS = [f"caption_{i}" for i in range(1, 6)]


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per clip with its five captions; the id is the file name without `.wav` and outer blanks.

    notes["without_metadata"]: files that the metadata lacks, so that only their names can be compared with
    training data; notes["metadata_without_captions"]: its rows that no caption belongs to.
    """
    if split not in PARTS:
        raise DatasetError(f"clotho has the splits {', '.join(PARTS)}, not {split!r}")
    part = PARTS[split]
    csv = folder / f"clotho_captions_{part}.csv"
    table = read_csv(csv, columns=["file_name", *_CAPTIONS], as_is=["file_name"])
    names = [plain_name(row["file_name"]) for row in table]
    require_unique(names, where=csv)
    origin = _freesound_ids(folder / f"clotho_metadata_{part}.csv", names, notes)

    def entries() -> Iterator[Entry]:
        for name, row in zip(names, table, strict=True):
            yield Entry(
                row={
                    "id": name.removesuffix(".wav"),
                    "captions": [row[column] for column in _CAPTIONS],
                    "clips": [f"freesound:{origin[name]}" if name in origin else f"clotho:{name}"],
                },
                audio={"audio": [folder / part / row["file_name"]]},
            )

    yield from with_audio(
        entries(),
        name="clotho",
        root=folder,
        folder=folder / part,
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice=f"Unpack clotho_audio_{part}.7z in {folder}.",
    )


def _freesound_ids(csv: Path, names: list[str], notes: dict[str, Any] | None) -> dict[str, str]:
    """File name -> FreeSound id. The official file is Latin-1 and says "Not found" for some."""
    if not csv.is_file():
        log.warning("clotho: %s is missing: training data are compared by file names only", csv)
        return {}
    columns = ["file_name", "sound_id"]
    table = read_csv(csv, columns=columns, encodings=OLD_ENCODINGS, as_is=["file_name"])
    ids = {plain_name(row["file_name"]): row["sound_id"] for row in table}
    for what, lost in (
        ("without_metadata", [name for name in names if name not in ids]),
        ("metadata_without_captions", sorted(ids.keys() - set(names))),
    ):
        if lost:
            log.warning("clotho: %s: %d files %s (%s)", csv, len(lost), what.replace("_", " "), some(lost))
            if notes is not None:
                notes[what] = lost
    return {name: sound for name, sound in ids.items() if sound.isdigit()}

"""The Beijing Opera percussion instrument strokes: FreeSound files whose names tell the instrument.

`<FreeSound id>__ajaysm__<instrument>-<number>.wav` (the pack of CompMusic on FreeSound, also mirrored),
anywhere in the folder. There is no list: what is not there cannot be missed, so compare the count with the
card's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.audio.files import printable
from core.data.imports.layout import Entry, require_unique, with_audio
from core.data.imports.plain import one_of
from core.data.schema import CLASSIFIED, DatasetError, some

FEATURES = CLASSIFIED
# Bangu is clapper and drum together, naobo two kinds of cymbals
INSTRUMENTS = {
    "bangu": "clapper drum",
    "naobo": "cymbals",
    "daluo": "large gong",
    "xiaoluo": "small gong",
}
_NAME = re.compile(r"(?P<sound>\d+)__ajaysm__(?P<instrument>[a-z]+)(-\d+)?")


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per stroke, by FreeSound id; fold is 0. Files of other names are an error."""
    one_of(split, ["test"], name="beijing_opera")
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in (".wav", ".flac") and not path.name.startswith(".")
    ]
    if not files:
        raise DatasetError(f"{folder}: no audio there; unpack the official files so that it is there")
    matches = [_NAME.fullmatch(path.stem) for path in files]
    if strange := [
        printable(path.name)
        for path, match in zip(files, matches, strict=True)
        if match is None or match["instrument"] not in INSTRUMENTS
    ]:
        raise DatasetError(
            f"{folder}: {len(strange)} files are not named <FreeSound id>__ajaysm__<instrument>-<number> "
            f"with one of {', '.join(INSTRUMENTS)} ({some(strange)}); keep the official names and nothing "
            "else there"
        )
    found = [(path, match) for path, match in zip(files, matches, strict=True) if match is not None]
    require_unique([match["sound"] for _, match in found], where=folder)

    def entries() -> Iterator[Entry]:
        for path, match in sorted(found, key=lambda one: int(one[1]["sound"])):
            label = INSTRUMENTS[match["instrument"]]
            yield Entry(
                row={
                    "id": match["sound"],
                    "label": label,
                    "fold": 0,
                    "clips": [f"freesound:{match['sound']}"],
                },
                audio={"audio": [path]},
            )

    yield from with_audio(
        entries(),
        name="beijing_opera",
        root=folder,
        folder=folder,
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice="Fetch the official files again.",
    )


def labels(folder: Path) -> list[str]:
    """The four instruments in English words, sorted. The folder is not read."""
    return sorted(INSTRUMENTS.values())

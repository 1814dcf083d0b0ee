"""FSD50K from its official layout: `FSD50K.ground_truth/{dev,eval,vocabulary}.csv`,
`FSD50K.{dev,eval}_audio/`.

Read directly and not through soundata, whose loader cannot open a clip without the metadata archive, which
nothing here needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from core.data.imports.layout import (
    Entry,
    read_csv,
    require_numbers,
    require_unique,
    with_audio,
    without_header,
)
from core.data.schema import MULTILABEL, DatasetError, some

FEATURES = MULTILABEL
PARTS = {"train": ("dev", "train"), "valid": ("dev", "val"), "test": ("eval", None)}


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per clip with all its labels, ancestors included, as released. The id is the FreeSound id."""
    if split not in PARTS:
        raise DatasetError(f"fsd50k has the splits {', '.join(PARTS)}, not {split!r}")
    part, tag = PARTS[split]
    csv = folder / "FSD50K.ground_truth" / f"{part}.csv"
    table = read_csv(csv, columns=["fname", "labels", *(["split"] if tag else [])])
    table = [row for row in table if tag is None or row["split"] == tag]
    require_unique([row["fname"] for row in table], where=csv)
    known = set(labels(folder))
    tagged = {row["fname"]: _in_words(row["labels"].split(",")) for row in table}
    if strange := [clip for clip, names in tagged.items() if not names or not known.issuperset(names)]:
        raise DatasetError(
            f"{csv}: {len(strange)} clips have no label or one that vocabulary.csv lacks ({some(strange)}); "
            "unpack FSD50K.ground_truth.zip again"
        )
    audio_folder = folder / f"FSD50K.{part}_audio"

    def entries() -> Iterator[Entry]:
        for clip, names in tagged.items():
            yield Entry(
                row={"id": clip, "labels": names, "clips": [f"freesound:{clip}"]},
                audio={"audio": [audio_folder / f"{clip}.wav"]},
            )

    yield from with_audio(
        entries(),
        name="fsd50k",
        root=folder,
        folder=audio_folder,
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice=f"Unpack FSD50K.{part}_audio.zip in {folder}.",
    )


def labels(folder: Path) -> list[str]:
    """The 200 classes in words, in the order of vocabulary.csv (no header: index, label, mid)."""
    vocabulary = folder / "FSD50K.ground_truth" / "vocabulary.csv"
    table = read_csv(vocabulary, columns=("index", "label", "mid"), header=False)
    table = without_header(table, is_row=lambda row: row["mid"].startswith("/"), where=vocabulary)
    require_numbers(table, column="index", key="label", where=vocabulary)
    return _in_words(row["label"] for row in table)


def _in_words(names: Iterable[str]) -> list[str]:
    return [name.strip().replace("_", " ") for name in names if name.strip()]

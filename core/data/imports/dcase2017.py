"""DCASE 2017 task 4 (smart cars) from its official lists and a folder of audio cut from YouTube.

`groundtruth_weak_label_{evaluation,testing,training}_set.csv`: tab-separated, no header, file, start, end and
one label a line, so that the labels of a clip are gathered. Audio files have a "Y" before the listed name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.data.imports.layout import Entry, require_numbers, with_audio, youtube_clip
from core.data.imports.plain import one_of, read_list
from core.data.schema import MULTILABEL, DatasetError, some

FEATURES = MULTILABEL
PARTS = {"train": "training", "valid": "testing", "test": "evaluation"}
CLASSES = (
    "Train horn",
    "Air horn, truck horn",
    "Car alarm",
    "Reversing beeps",
    "Bicycle",
    "Skateboard",
    "Ambulance (siren)",
    "Fire engine, fire truck (siren)",
    "Civil defense siren",
    "Police car (siren)",
    "Screaming",
    "Car",
    "Car passing by",
    "Bus",
    "Truck",
    "Motorcycle",
    "Train",
)


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per clip; the id is the listed name without `.wav`. test is the challenge's evaluation set."""
    one_of(split, list(PARTS), name="dcase2017")
    part = PARTS[split]
    name = f"groundtruth_weak_label_{part}_set.csv"
    path = next(
        (p for p in (folder / "groundtruth_release" / name, folder / "metadata" / name) if p.is_file()),
        folder / name,
    )
    table = read_list(path, columns=("file", "start", "end", "label"))
    for column in ("start", "end"):
        require_numbers(table, column=column, key="file", where=path)
    classes = {_plain(label): label for label in CLASSES}
    if strange := [row["file"] for row in table if _plain(row["label"]) not in classes]:
        raise DatasetError(
            f"{path}: {len(strange)} lines have a label that is none of the 17 ({some(strange)}); "
            "take the official file"
        )
    labels_of: dict[str, list[str]] = {}
    times: dict[str, tuple[float, float]] = {}
    for row in table:
        found = labels_of.setdefault(row["file"], [])
        if (label := classes[_plain(row["label"])]) not in found:
            found.append(label)
        times[row["file"]] = float(row["start"]), float(row["end"])
    places = [
        p
        for p in (folder / part, folder / f"{part}_set_formatted_audio_segments", folder / "audio" / part)
        if p.is_dir()
    ] or [folder / part]

    def entries() -> Iterator[Entry]:
        for file, names in labels_of.items():
            stem, (start, end) = file.removesuffix(".wav"), times[file]
            video = stem.removesuffix(f"_{start:.3f}_{end:.3f}")
            yield Entry(
                row={
                    "id": stem,
                    "labels": names,
                    "clips": [youtube_clip(video, start, seconds=end - start)],
                },
                audio={
                    "audio": [
                        p / f"{y}{stem}{suffix}"
                        for p in places
                        for y in ("Y", "")
                        for suffix in (".wav", ".flac")
                    ]
                },
            )

    yield from with_audio(
        entries(),
        name="dcase2017",
        root=folder,
        folder=places[0],
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice=f"Unpack the {part} audio of the challenge there, or cut it from these videos.",
    )


def labels(folder: Path) -> list[str]:
    """The 17 classes in the challenge's order. The folder is not read."""
    return list(CLASSES)


def _plain(label: str) -> str:
    """A label without what its writings differ in: case and commas (some lists drop them)."""
    return " ".join(label.lower().replace(",", " ").split())

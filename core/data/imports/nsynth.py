"""NSynth from its official archives: `nsynth-{test,valid,train}/examples.json` and `audio/<note>.wav`.

The instrument of a note is its family ("synth lead"), its source acoustic, electronic or synthetic. No
instrument of training is in the other two splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.data.imports.layout import Entry, first_folder, with_audio
from core.data.imports.plain import one_of, read_json
from core.data.schema import NOTES, DatasetError, some

FEATURES = NOTES
SPLITS = ("train", "valid", "test")
FAMILIES = (
    "bass",
    "brass",
    "flute",
    "guitar",
    "keyboard",
    "mallet",
    "organ",
    "reed",
    "string",
    "synth_lead",
    "vocal",
)
SOURCES = ("acoustic", "electronic", "synthetic")


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per note, four seconds at 16 kHz; the id is the note's name."""
    one_of(split, SPLITS, name="nsynth")
    home = first_folder(folder, f"nsynth-{split}", split)
    path = home / "examples.json"
    examples = read_json(path)
    if not isinstance(examples, dict) or not examples:
        raise DatasetError(f"{path} holds no notes; unpack the archive again")
    strange = [
        name
        for name, note in examples.items()
        if not isinstance(note, dict)
        or note.get("instrument_family_str") not in FAMILIES
        or note.get("instrument_source_str") not in SOURCES
    ]
    if strange:
        raise DatasetError(
            f"{path}: {len(strange)} notes lack a known instrument_family_str or instrument_source_str "
            f"({some(strange)}); unpack the archive again"
        )

    def entries() -> Iterator[Entry]:
        for name, note in examples.items():
            yield Entry(
                row={
                    "id": name,
                    "instrument": note["instrument_family_str"].replace("_", " "),
                    "source": note["instrument_source_str"],
                    "clips": [f"nsynth:{name}"],
                },
                audio={"audio": [home / "audio" / f"{name}.wav"]},
            )

    yield from with_audio(
        entries(),
        name="nsynth",
        root=folder,
        folder=home / "audio",
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice=f"Unpack nsynth-{split}.jsonwav.tar.gz in {folder}.",
    )


def labels(folder: Path) -> list[str]:
    """The 11 families in words, sorted (the test split has no synth lead). The folder is not read."""
    return sorted(family.replace("_", " ") for family in FAMILIES)


def sources(folder: Path) -> list[str]:
    """The three sources, sorted. The folder is not read."""
    return sorted(SOURCES)

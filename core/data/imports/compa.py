"""CompA-order and CompA-attribute from their official archives.

Order: `CompA_order_benchmark.csv` and `CompA_order_files/`; a dash in both triplet columns means a pair only.
Attribute: `CompA_attribute/Compa-Attribute.csv` and `CompA_attribute_files/`; its `.1` columns name the wav
files, its plain columns hold YouTube ids that are not in the archive. A reversed file may bear another number
than its pair, so instances are joined by row and never by file name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.data.imports.layout import Entry, bare_video, log, read_csv, require_unique, with_audio
from core.data.imports.names import plain_name
from core.data.problems import DatasetError, some
from core.data.schema import COMPARISON

FEATURES = COMPARISON
_Instance = tuple[list[str], list[str], list[str]]  # captions, files, provenance
_PARTS = ("pair", "reversed", "triplet")
_ADVICE = "Unpack the benchmark's archive there."


def order_rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """CompA-order: 400 instances, 100 of them with a triplet. notes["words_differ"]: ids whose captions do
    not consist of the same words."""
    _only_test(split, "compa_order")
    csv = _find(folder, "CompA_order_benchmark.csv")
    captions = ("pair_caption", "reversed_pair_caption", "triplet_caption")
    files = ("pair_file", "reversed_pair_file", "triplet_file")
    table = read_csv(csv, columns=[*captions, *files], as_is=files)
    instances: list[_Instance] = [([row[c] for c in captions], [row[f] for f in files], []) for row in table]
    yield from _rows(
        "compa_order",
        csv,
        instances,
        "CompA_order_files",
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
    )


def attribute_rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """CompA-attribute: 200 instances, pairs only. The header may spell the second columns `pair_file.1` or
    repeat the plain name; both are read. notes as in order_rows."""
    _only_test(split, "compa_attribute")
    csv = _find(folder, "Compa-Attribute.csv")
    captions = ("pair_caption", "reversed_pair_caption")
    plain = ("pair_file", "reversed_pair_file")
    files = tuple(f"{name}.1" for name in plain)
    table = read_csv(csv, columns=[*captions, *plain, *files], as_is=files)
    instances = [
        (
            [*(row[c] for c in captions), "-"],
            [*(row[f] for f in files), "-"],
            [f"youtube:{bare_video(row[p])}" for p in plain if row[p] not in ("", "-")],
        )
        for row in table
    ]
    yield from _rows(
        "compa_attribute",
        csv,
        instances,
        "CompA_attribute_files",
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
    )


def _rows(
    name: str,
    csv: Path,
    instances: list[_Instance],
    audio_folder: str,
    *,
    sample_rate: int | None,
    allow_missing: bool,
    notes: dict[str, Any] | None,
) -> Iterator[dict[str, Any]]:
    places = [csv.parent / audio_folder, csv.parent.parent / audio_folder]
    entries, differ, half = [], [], []
    for number, (captions, files, origin) in enumerate(instances):
        row_id = f"{name}-{number:03d}"
        given = [(_given(c), _given(f)) for c, f in zip(captions, files, strict=True)]
        if any(c != f for c, f in given) or not all(given[0]) or not all(given[1]):
            half.append(f"row {number + 1}")
            continue
        parts = [part for part, (there, _) in zip(_PARTS, given, strict=True) if there]
        texts = dict(zip(_PARTS, captions, strict=True))
        if len({_words(texts[part]) for part in parts}) > 1:
            differ.append(row_id)
        row: dict[str, Any] = {
            "id": row_id,
            "clips": origin + [f"{name}:{plain_name(f)}" for f in files if _given(f)],
        }
        for part in _PARTS:
            row[f"{part}_caption"] = texts[part] if part in parts else None
            row[f"{part}_audio"] = None
        audio = {
            f"{part}_audio": [place / file for place in places]
            for part, file in zip(_PARTS, files, strict=True)
            if part in parts
        }
        entries.append(Entry(row=row, audio=audio))
    if half:
        raise DatasetError(
            f"{csv}: {len(half)} rows have a caption without audio or audio without a caption "
            f"({some(half)}); "
            "a pair needs both of both, a triplet both or two dashes. Unpack the official file again"
        )
    require_unique([" + ".join(files[:2]) for _, files, _ in instances], where=csv)
    if differ:
        log.warning("%s: the captions of %d instances differ in words (%s)", name, len(differ), some(differ))
        if notes is not None:
            notes["words_differ"] = differ
    yield from with_audio(
        entries,
        name=name,
        root=csv.parent.parent,
        folder=places[0],
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice=_ADVICE,
    )


def _given(cell: str) -> bool:
    return cell.strip() not in ("", "-")


def _words(caption: str) -> tuple[tuple[str, int], ...]:
    """The words of a caption with their counts: order must not matter."""
    return tuple(sorted(Counter(re.findall(r"[\w']+", caption.lower())).items()))


def _find(folder: Path, file: str) -> Path:
    """The CSV, at the top or in the folder that the archive makes; where there is none, at the top."""
    return next((p for p in sorted(folder.glob(f"*/{file}")) if not (folder / file).is_file()), folder / file)


def _only_test(split: str, name: str) -> None:
    if split != "test":
        raise DatasetError(f"{name} has a test split only, not {split!r}")

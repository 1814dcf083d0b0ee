"""Opening an official folder with soundata, also where its index (which it downloads) is not there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.data.imports.layout import read_csv, require_unique
from core.data.problems import DatasetError, some


def open_soundata(
    name: str, folder: Path, *, csv: Path, columns: Sequence[str], file_column: str, audio: str
) -> tuple[Any, list[str]]:
    """(soundata data set on `folder`, clip ids in the order of the CSV).

    The index is taken from `folder` or from soundata's own place
    (`soundata.initialize(name).download(["index"])` puts it there); then every file that is there must have
    the index's MD5. Without one an index without checksums is made from the CSV; `audio` is the path of a
    clip in it, formatted with the CSV's columns. Raises DatasetError for a bad CSV, an index that names other
    clips, and wrong checksums.
    """
    import soundata  # 1 s: it brings librosa

    table = read_csv(csv, columns=columns, allow_bom=False)  # soundata's reader takes the mark for data
    ids = [row[file_column].removesuffix(".wav") for row in table]
    require_unique(ids, where=csv)
    made = {clip: {"audio": [audio.format(**row), None]} for clip, row in zip(ids, table, strict=True)}
    dataset = soundata.initialize(name, data_home=str(folder))
    beside = folder / Path(dataset.index_path).name
    if beside.is_file():
        dataset.index_path = str(beside)
    if Path(dataset.index_path).is_file():
        _compare(name, csv, set(dataset.clip_ids), set(ids))
        _verify(name, folder, dataset)
    else:
        _adopt(dataset, {"version": "local", "clips": made})
    if not ids:
        raise DatasetError(f"{csv} has a header and no rows; unpack it again")
    try:
        _ = dataset.clip(ids[0]).fold  # soundata reads its metadata on first use
    except ValueError as error:
        raise DatasetError(
            f"{csv}: soundata cannot read it ({error}); unpack the official file again"
        ) from error
    return dataset, ids


def _adopt(dataset: Any, index: Mapping[str, Any]) -> None:
    """Let `dataset` read our index: it loads the file at index_path once and keeps what it read."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "index.json"
        path.write_text(json.dumps(index), encoding="utf-8")
        dataset.index_path = str(path)
        _ = dataset.clip_ids


def _compare(name: str, csv: Path, indexed: set[str], listed: set[str]) -> None:
    lost, new = sorted(indexed - listed), sorted(listed - indexed)
    if lost or new:
        raise DatasetError(
            f"{csv}: {len(lost)} clips of soundata's index of {name} are not in it ({some(lost)}), "
            f"{len(new)} are in it but not in the index ({some(new)}); unpack the official file again"
        )


def _verify(name: str, folder: Path, dataset: Any) -> None:
    _, invalid = dataset.validate(verbose=False)
    wrong = sorted(invalid.get("clips", {}))
    if wrong:
        raise DatasetError(
            f"{name}: {len(wrong)} files in {folder} have another MD5 than the official index "
            f"({some(wrong)}); "
            "they were changed or damaged: unpack the archive again"
        )

"""Features of frozen encoders on disk, computed once by a paper's stage `features`, then read by all.

<features>/<encoder>/encoder.json        which encoder (core.audio_lm.encoders)
<features>/<encoder>/<set>/set.json      ids of the items in order, and what the set was heard of
                           values.npy    all items' features one after the other (sum of T, ...)
                           ends.npy      (N,) where each item ends, so that it takes the room it needs
                           truth.json    only beside a tagger's guesses: the true labels, where known
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.adapters.prefix_lm import Features
from core.audio_lm.encoders import TAGS
from core.run.arrays import RowWriter, array_writer, open_array
from core.run.files import OutputError, write_json

SET, TRUTH = "set.json", "truth.json"


class StoreError(ValueError):
    """Features that are not there, or belong to other audio; the message names the stage to run."""


@dataclass(frozen=True)
class Store:
    """Sets of audio by name; an audio is "<set>:<id>"."""

    encoders: Mapping[str, Sequence[np.ndarray]]  # per encoder, the streams of all sets
    ends: Mapping[str, Sequence[np.ndarray]]
    place: Mapping[str, tuple[int, int]]  # audio -> (number of the set, row)

    def widths(self) -> dict[str, int]:
        """encoder -> D."""
        return {
            name: max((int(stream.shape[-1]) for stream in streams), default=0)  # an empty set's is 0
            for name, streams in self.encoders.items()
        }

    def knows(self, audio: str) -> bool:
        """Whether there are features of an audio; of a store without encoders nothing is wanted."""
        return not self.encoders or audio in self.place

    def read(self, encoder: str, audios: Sequence[str]) -> Features:
        """(B, T, D), or of several layers (B, L, T, D), float32, zeros after an item's end, and the mask.

        Raises StoreError for audio that is not in the store.
        """
        rows = [self._row(encoder, audio) for audio in audios]
        longest = max(len(row) for row in rows)
        values = np.zeros((len(rows), longest, *rows[0].shape[1:]), np.float32)
        mask = np.zeros((len(rows), longest), bool)
        for number, row in enumerate(rows):
            values[number, : len(row)] = row
            mask[number, : len(row)] = True
        stacked = torch.from_numpy(values)
        return Features(stacked.transpose(1, 2) if stacked.ndim == 4 else stacked, torch.from_numpy(mask))

    def steps(self, encoder: str, audio: str) -> int:
        """T of one audio."""
        return len(self._row(encoder, audio))

    def tag_logits(self, audios: Sequence[str]) -> Tensor:
        """The tagger's logits, (B, C)."""
        return self.read(TAGS, audios).values[:, 0]

    def _row(self, encoder: str, audio: str) -> np.ndarray:
        if audio not in self.place:
            raise StoreError(f"no features of {audio!r}: run the stage `features` again")
        number, row = self.place[audio]
        ends = self.ends[encoder][number]
        return self.encoders[encoder][number][int(ends[row - 1]) if row else 0 : int(ends[row])]


def open_store(folder: Path, sets: Sequence[str], encoders: Sequence[str]) -> Store:
    """The sets' features of these encoders, mapped into memory and not read.

    Raises StoreError for a set that an encoder has not heard, or of which two have heard different items.
    """
    ids: dict[str, list[str]] = {}
    for encoder in encoders:
        for name in sets:
            found = list(_read_set(folder / encoder / name)["ids"])
            if ids.setdefault(name, found) != found:
                raise StoreError(
                    f"{folder}: {encoders[0]} and {encoder} have heard other items of {name}: run the stage "
                    "`features` of both again"
                )
    place = {f"{set}:{id}": (n, row) for n, set in enumerate(ids) for row, id in enumerate(ids[set])}
    return Store(
        {e: [open_array(folder / e / name / "values.npy", mapped=True) for name in sets] for e in encoders},
        {e: [open_array(folder / e / name / "ends.npy") for name in sets] for e in encoders},
        place,
    )


def heard_of(folder: Path) -> str:
    """The identity that a whole set was written with, "" where there is none."""
    try:
        return str(_read_set(folder)["identity"])
    except StoreError:
        return ""


def read_truth(folder: Path, sets: Sequence[str]) -> dict[str, list[str]]:
    """audio -> its true labels, of the sets that have any, as they stand beside the tagger's guesses."""
    found: dict[str, list[str]] = {}
    for name in sets:
        path = folder / TAGS / name / TRUTH
        if path.is_file():
            told = json.loads(path.read_text(encoding="utf-8"))
            found |= {f"{name}:{id}": labels for id, labels in told.items()}
    return found


class SetWriter:
    """Appends the items of one set to `write_set`'s files."""

    def __init__(self, writer: RowWriter) -> None:
        self._writer = writer
        self.ids: list[str] = []
        self.ends: list[int] = []

    def append(self, ids: Sequence[str], heard: Features) -> None:
        """Items and their features, (B, T, D) or (B, T, L, D) with masks (B, T): padding is not written."""
        values, mask = heard
        self.ids += ids
        self._writer.append(values[mask].cpu().numpy())
        self.ends += ((self.ends[-1] if self.ends else 0) + mask.sum(dim=1).cumsum(0)).tolist()


@contextlib.contextmanager
def write_set(
    folder: Path, *, identity: str = "", truth: Mapping[str, Sequence[str]] | None = None
) -> Iterator[SetWriter]:
    """Write one set, in half precision, in a folder of its own that takes its place when all is written.

    identity: of what is heard. truth: true labels by id. A killed run leaves the old set, or none.
    """
    made = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(made, ignore_errors=True)
    try:
        with array_writer(made / "values.npy", dtype=np.float16) as values:
            writer = SetWriter(values)
            yield writer
        with array_writer(made / "ends.npy", dtype=np.int64) as ends:
            ends.append(np.array(writer.ends, dtype=np.int64))
        if truth:
            write_json(made / TRUTH, {id: list(labels) for id, labels in truth.items()})
        write_json(made / SET, {"identity": identity, "ids": writer.ids})
        _replace(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def keep_only(folder: Path, sets: Sequence[str]) -> list[str]:
    """Remove what is no set of an encoder's folder, also what killed runs left. Returns the names."""
    strange = [path for path in sorted(folder.glob("*")) + sorted(folder.glob(".*.tmp")) if path.is_dir()]
    gone = [path for path in dict.fromkeys(strange) if path.name not in sets]
    for path in gone:
        shutil.rmtree(path)
    return [path.name for path in gone]


def _replace(made: Path, folder: Path) -> None:
    """Put the folder `made` in the place of `folder`."""
    old = folder.with_name(f".{folder.name}.old.tmp")
    try:
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        made.rename(folder)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    shutil.rmtree(old, ignore_errors=True)


def _read_set(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / SET).read_text(encoding="utf-8")))
    except (FileNotFoundError, json.JSONDecodeError):
        raise StoreError(
            f"no features of {folder.name} in {folder.parent}: run the stage `features {folder.parent.name}`"
        ) from None

"""Features of frozen encoders on disk: computed once by a paper's stage `features`, read by all its rows.

A set of audio is a folder: `ids.json`, and for each encoder `<encoder>.npy` with the features of all items
one after the other (sum of T, ...) and `<encoder>.ends.npy` (N,) with where each item ends, so that an item
of any length takes the room it needs. `truth.json` holds the true labels of a set that has any. Beside the
sets, `hearing.json` says which encoders heard them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.adapters.prefix_lm import Features
from core.run.arrays import RowWriter, array_writer, open_array
from core.run.files import write_json


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
            name: max(int(stream.shape[-1]) for stream in streams)  # an empty set's is 0
            for name, streams in self.encoders.items()
        }

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

    def tag_logits(self, audios: Sequence[str]) -> Tensor:
        """The tagger's logits, (B, C)."""
        return self.read("tags", audios).values[:, 0]

    def _row(self, encoder: str, audio: str) -> np.ndarray:
        if audio not in self.place:
            raise StoreError(f"no features of {audio!r}: run the stage `features` again")
        number, row = self.place[audio]
        ends = self.ends[encoder][number]
        return self.encoders[encoder][number][int(ends[row - 1]) if row else 0 : int(ends[row])]


def open_store(folder: Path, sets: Sequence[str], encoders: Sequence[str]) -> Store:
    """The sets' features of these encoders, mapped into memory and not read. Raises StoreError."""
    place: dict[str, tuple[int, int]] = {}
    for number, name in enumerate(sets):
        if not (folder / name / "ids.json").is_file():
            raise StoreError(f"no features of {name} in {folder}: run the stage `features`")
        ids = json.loads((folder / name / "ids.json").read_text(encoding="utf-8"))
        place |= {f"{name}:{id}": (number, row) for row, id in enumerate(ids)}
    return Store(
        {e: [open_array(folder / name / f"{e}.npy", mapped=True) for name in sets] for e in encoders},
        {e: [open_array(folder / name / f"{e}.ends.npy") for name in sets] for e in encoders},
        place,
    )


def write_truth(folder: Path, truth: Mapping[str, Sequence[str]]) -> None:
    """The labels that are true of each item of a set: truth.json."""
    write_json(folder / "truth.json", {id: list(labels) for id, labels in truth.items()})


def read_truth(folder: Path, sets: Sequence[str]) -> dict[str, list[str]]:
    """audio -> its true labels, of the sets that have any."""
    found: dict[str, list[str]] = {}
    for name in sets:
        path = folder / name / "truth.json"
        if path.is_file():
            told = json.loads(path.read_text(encoding="utf-8"))
            found |= {f"{name}:{id}": labels for id, labels in told.items()}
    return found


class SetWriter:
    """Appends the items of one set to `write_set`'s files."""

    def __init__(self, writers: Mapping[str, RowWriter]) -> None:
        self._writers = writers
        self.ids: list[str] = []
        self.ends: dict[str, list[int]] = {name: [] for name in writers}

    def append(self, ids: Sequence[str], heard: Mapping[str, Features]) -> None:
        """Items and their features, (B, T, D) or (B, T, L, D) with masks (B, T): padding is not written."""
        self.ids += ids
        for name, (values, mask) in heard.items():
            self._writers[name].append(values[mask].cpu().numpy())
            before = self.ends[name][-1] if self.ends[name] else 0
            self.ends[name] += (before + mask.sum(dim=1).cumsum(0)).tolist()


@contextlib.contextmanager
def write_set(folder: Path, encoders: Sequence[str]) -> Iterator[SetWriter]:
    """Write one set, in half precision. What was there before stays until all is written."""
    with contextlib.ExitStack() as stack:
        writer = SetWriter(
            {
                name: stack.enter_context(array_writer(folder / f"{name}.npy", dtype=np.float16))
                for name in encoders
            }
        )
        yield writer
        for name in encoders:
            with array_writer(folder / f"{name}.ends.npy", dtype=np.int64) as ends:
                ends.append(np.array(writer.ends[name], dtype=np.int64))
        write_json(folder / "ids.json", writer.ids)

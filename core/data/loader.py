"""Training batches of audio and captions from Parquet data sets, decoded as they are needed.

The batch of a step is a function of the data sets, the seed and the step alone: training resumes at any step
without replaying what came before, and any number of processes shares the same batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import datasets as hf
import numpy as np

from core.audio.files import AudioError
from core.audio.read import MAX_SECONDS, AudioErrors, read_audio
from core.data.problems import DatasetError

COLUMNS = ("id", "audio", "captions")


@dataclass(frozen=True, kw_only=True)
class CaptionBatch:
    """One process's share of a batch: ids, float32 waveforms (N_i,) in [-1, 1], and a caption of each."""

    ids: list[str]
    waveforms: list[np.ndarray]
    captions: list[str]


def caption_batches(
    datasets: Sequence[hf.Dataset],
    *,
    batch_size: int,
    seed: int,
    sample_rate: int,
    rank: int = 0,
    world: int = 1,
    workers: int = 8,
    prefetch: int = 2,
    max_seconds: float | None = MAX_SECONDS,
) -> Callable[[int], Iterator[CaptionBatch]]:
    """Batches of captioned data sets (core.data.schema.CAPTIONED), one after the other, without end.

    The function returned yields from the step it is given. Every epoch is a permutation of all rows of all
    data sets, drawn from (seed, epoch); one follows the other without a gap, so the batch between two epochs
    holds rows of both, and perhaps one row twice. A row's caption is drawn from (seed, epoch, row).

    batch_size: of all `world` processes; process `rank` gets its block of it. workers: decoding threads.
    prefetch: batches decoded ahead. max_seconds: longer audio is an error, unless None.
    Raises DatasetError for data sets without the columns or smaller than a batch, ValueError for a batch that
    cannot be shared out; while batches are drawn, AudioErrors that names every defect of a batch.
    """
    if batch_size < 1 or batch_size % world or not 0 <= rank < world:
        raise ValueError(
            f"a batch of {batch_size} cannot be shared by {world} processes as process {rank}; "
            "make it a multiple of their number, ranks counting from 0"
        )
    if seed < 0 or workers < 1 or prefetch < 1:
        raise ValueError(f"seed {seed}, workers {workers}, prefetch {prefetch}: at least 0, 1 and 1")
    parts = [_undecoded(part, number) for number, part in enumerate(datasets)]
    ends = np.cumsum([len(part) for part in parts])
    rows = int(ends[-1]) if parts else 0
    if rows < batch_size:
        raise DatasetError(
            f"{rows} rows in {len(parts)} data sets are less than one batch of {batch_size}; "
            "add data sets or make the batch smaller"
        )
    share = batch_size // world

    @lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng((seed, epoch)).permutation(rows)

    def read(epoch: int, index: int) -> tuple[str, np.ndarray, str] | AudioError:
        number = int(np.searchsorted(ends, index, side="right"))
        part = parts[number]
        row = part[index - int(ends[number]) + len(part)]
        captions = row["captions"]
        caption = captions[int(np.random.default_rng((seed, epoch, index)).integers(len(captions)))]
        name = f"{row['id']} (row {index - int(ends[number]) + len(part)} of data set {number})"
        source = row["audio"]["bytes"] or row["audio"]["path"]
        try:
            wave, _ = read_audio(source, sample_rate=sample_rate, max_seconds=max_seconds, name=name)
        except AudioError as error:
            return error
        return row["id"], wave, caption

    def batches(step: int) -> Iterator[CaptionBatch]:
        if step < 0:
            raise ValueError(f"step {step}: steps count from 0")
        waiting: deque[list[Future[tuple[str, np.ndarray, str] | AudioError]]] = deque()
        pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        try:
            while True:
                while len(waiting) <= prefetch:
                    first = step * batch_size + rank * share
                    places = [divmod(place, rows) for place in range(first, first + share)]
                    waiting.append([pool.submit(read, epoch, int(order(epoch)[at])) for epoch, at in places])
                    step += 1
                items = [future.result() for future in waiting.popleft()]
                if defects := [item for item in items if isinstance(item, AudioError)]:
                    raise AudioErrors(defects, share)
                whole = [item for item in items if not isinstance(item, AudioError)]
                yield CaptionBatch(
                    ids=[id for id, _, _ in whole],
                    waveforms=[wave for _, wave, _ in whole],
                    captions=[caption for _, _, caption in whole],
                )
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    return batches


def _undecoded(part: hf.Dataset, number: int) -> hf.Dataset:
    """The three columns of a data set, its audio as stored. Raises DatasetError."""
    if absent := [name for name in COLUMNS if name not in part.column_names]:
        raise DatasetError(
            f"data set {number} has no column {absent}, only {part.column_names}; "
            "training needs captioned data sets (audiocaps, clotho)"
        )
    return part.select_columns(list(COLUMNS)).cast_column("audio", hf.Audio(decode=False))

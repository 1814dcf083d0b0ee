"""Audio of questions, any number of files a question, from disk or out of Parquet, checked as it is read."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import soxr

from core.audio.files import AudioError, decode, opened
from core.audio.read import SILENCE, read_audio, write_flac
from core.data.parquet import IN_MEMORY_LIMIT
from core.data.problems import DatasetError, some

log = logging.getLogger(__name__)

MAX_SECONDS = 1200.0  # MMAU-Pro's longest are about ten minutes; some run over


@dataclass(frozen=True)
class Clip:
    """One audio file: its name in messages, and what gives its encoded bytes, None where it is not there."""

    name: str
    load: Callable[[], bytes] | None


def clip_at(paths: Sequence[Path]) -> Clip:
    """The first of `paths` that is a file; else none, under the name of the first."""
    found = next((path for path in paths if path.is_file()), None)
    return Clip(str(found or paths[0]), found.read_bytes if found else None)


def below(folder: Path, name: str) -> Path:
    """A path of an official list inside `folder`, whatever it begins with ("./", "/", "../")."""
    return folder.joinpath(*(part for part in PurePosixPath(name).parts if part not in ("..", "/")))


def stored_rows(
    files: Sequence[Path], *, audio: Sequence[str]
) -> tuple[list[dict[str, Any]], Callable[[int], Clip]]:
    """The rows of Parquet without their audio, and what gives the clip of one by its position.

    audio: names that the column may have. Audio stays on the disk until it is asked for. Raises DatasetError.
    """
    try:
        if sum(file.stat().st_size for file in files) <= IN_MEMORY_LIMIT:
            read = datasets.Dataset(pa.concat_tables(pq.read_table(file) for file in files))
        else:  # memory-mapped from the Arrow cache of `datasets`
            read = datasets.Dataset.from_parquet([str(file) for file in files])
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DatasetError(
            f"{files[0].parent}: the Parquet there does not read ({error}); get it again"
        ) from error
    column = next((name for name in audio if name in read.column_names), None)
    if column is None:
        raise DatasetError(
            f"{files[0]}: expected a column {' or '.join(audio)} of audio; it has "
            f"{', '.join(read.column_names)}"
        )
    read = read.cast_column(column, datasets.Audio(decode=False))

    def load(position: int) -> bytes:
        return (read[position][column] or {}).get("bytes") or b""

    def heard(position: int) -> Clip:
        return Clip(f"{files[0].parent.name}-{position}.wav", partial(load, position))

    return read.remove_columns([column]).to_list(), heard


def with_clips(
    entries: Sequence[tuple[Mapping[str, Any], Sequence[Clip]]],
    *,
    name: str,
    folder: Path,
    sample_rate: int | None,
    mono: bool,
    allow_missing: bool,
    notes: dict[str, Any],
    advice: str,
) -> Iterator[tuple[Mapping[str, Any], list[dict[str, Any]]]]:
    """Each row with its audio as `{bytes, path}`: the official bytes, or FLAC at `sample_rate`.

    mono: FLAC has the mean of the channels; else it keeps them. A row needs all of its files. Missing ones:
    DatasetError before the first row, or, with allow_missing, rows left out and listed in notes["missing"].
    Every file is decoded once: those that do not are one DatasetError after the last row. Silent ones stay,
    since an exam may ask about silence, and are listed in notes["silent"].
    """
    whole = [(row, clips) for row, clips in entries if clips and all(clip.load for clip in clips)]
    lost = [(str(row["id"]), clips) for row, clips in entries if not clips or not all(c.load for c in clips)]
    if lost:
        ids = [row_id for row_id, _ in lost]
        first = next((clip.name for _, clips in lost for clip in clips if not clip.load), "no file named")
        if not allow_missing:
            raise DatasetError(
                f"{name}: {len(lost)} of {len(entries)} items have no audio in {folder} ({some(ids)}; "
                f"looked for {first}). {advice} To go on without them set allow_missing: true; they are then "
                "listed in info.json"
            )
        log.warning(
            "%s: %d of %d items have no audio, left out (%s)", name, len(lost), len(entries), some(ids)
        )
        notes["missing"] = ids
    unusable: list[str] = []
    silent: list[str] = []
    kinds: Counter[str] = Counter()
    why: AudioError | None = None
    for row, clips in whole:
        try:
            heard = [_encoded(clip, sample_rate=sample_rate, mono=mono) for clip in clips]
        except AudioError as error:
            unusable.append(str(row["id"]))
            kinds[error.kind] += 1
            why = why or error
            continue
        if any(is_silent for _, is_silent in heard):
            silent.append(str(row["id"]))
        yield row, [audio for audio, _ in heard]
    if silent:
        log.warning("%s: %d items with silent audio (%s)", name, len(silent), some(silent))
        notes["silent"] = silent
    if unusable:
        counts = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
        raise DatasetError(
            f"{name}: {len(unusable)} of {len(whole)} items have unusable audio ({some(unusable)}; "
            f"{counts}); the first: {why}. Fetch these files again, or delete them and set "
            "allow_missing: true"
        ) from why


def _encoded(clip: Clip, *, sample_rate: int | None, mono: bool) -> tuple[dict[str, Any], bool]:
    """`{bytes, path}` of a clip that decodes, and whether it is silent. Raises AudioError."""
    assert clip.load is not None
    try:
        data = clip.load()
    except OSError as error:
        raise AudioError(clip.name, "unreadable", f"cannot be opened ({error.strerror}): check it") from error
    waveform, rate = read_audio(
        data,
        sample_rate=sample_rate if mono else None,
        max_seconds=MAX_SECONDS,
        accept={"silent"},
        name=clip.name,
    )
    silent = bool(np.ptp(waveform) < SILENCE)
    path = PurePosixPath(clip.name).name
    if sample_rate is None:
        return {"bytes": data, "path": path}, silent
    if mono:
        flac = write_flac(np.clip(waveform, -1.0, 1.0), rate, name=clip.name)
    else:
        flac, silent = _flac_of_all_channels(data, sample_rate, name=clip.name)
    return {"bytes": flac, "path": str(PurePosixPath(path).with_suffix(".flac"))}, silent


def _flac_of_all_channels(data: bytes, sample_rate: int, *, name: str) -> tuple[bytes, bool]:
    with opened(data, name) as (file, info):
        samples, _ = decode(file, first=0, frames=None)  # (N, channels)
    if not 1 <= samples.shape[1] <= 8:
        what = f"{samples.shape[1]} channels do not fit into FLAC: import it with sample_rate: null"
        raise AudioError(name, "unreadable", what)
    if info.sample_rate != sample_rate:
        samples = soxr.resample(samples, info.sample_rate, sample_rate, quality="HQ")
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1.0, 1.0), sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue(), bool(np.ptp(samples, axis=0).max() < SILENCE)

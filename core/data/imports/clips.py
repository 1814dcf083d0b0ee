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
import pyarrow.compute as pc
import pyarrow.parquet as pq
import soundfile
import soxr

from core.audio.files import AudioError, decode, opened, printable
from core.audio.read import SILENCE, check_audio, read_audio, write_flac
from core.data.imports.names import Finder, below
from core.data.parquet import IN_MEMORY_LIMIT
from core.data.schema import DatasetError, some

log = logging.getLogger(__name__)

AUDIO_COLUMNS = ("context", "audio")
MAX_SECONDS = 1200.0  # MMAU-Pro's longest are about ten minutes; some run over


@dataclass(frozen=True)
class Clip:
    """One audio file: its name in messages, and what gives its encoded bytes, None where it is not there."""

    name: str
    load: Callable[[], bytes] | None


def clip_at(paths: Sequence[Path], finder: Finder) -> Clip:
    """The first of `paths` that is a file, also if it is spelt otherwise; else none, named as the first."""
    found = finder.find(paths)
    return Clip(printable(found or paths[0]), found.read_bytes if found else None)


def exam_shards(folder: Path) -> list[Path]:
    """Parquet of an exam, with choices and audio, in `folder` or one folder below it; not any other there."""
    found = sorted([*folder.glob("*.parquet"), *folder.glob("*/*.parquet")])
    return [file for file in found if file.is_file() and _is_exam(file)]


def stored_rows(
    files: Sequence[Path], *, home: Path | None = None
) -> tuple[list[dict[str, Any]], Callable[[int], Clip]]:
    """The rows of Parquet without their audio, and what gives the clip of one by its position.

    Audio stays on the disk until it is asked for. Where a row has a path and no bytes, as `to_parquet` of
    `datasets` leaves it, that file is taken, or one of that name in `home` (the Parquet's folder). Raises
    DatasetError.
    """
    try:
        if sum(file.stat().st_size for file in files) <= IN_MEMORY_LIMIT:
            read = datasets.Dataset(pa.concat_tables(pq.read_table(file) for file in files))
        else:  # memory-mapped from the Arrow cache of `datasets`
            read = datasets.Dataset.from_parquet([str(file) for file in files])
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise DatasetError(
            f"{files[0].parent}: the Parquet there does not read ({reason}); get it again"
        ) from error
    column = next((name for name in AUDIO_COLUMNS if name in read.column_names), None)
    if column is None:
        raise DatasetError(
            f"{files[0]}: expected a column {' or '.join(AUDIO_COLUMNS)} of audio; it has "
            f"{', '.join(read.column_names)}"
        )
    read = read.cast_column(column, datasets.Audio(decode=False))
    stored = read.data.column(column)
    has_bytes = pc.fill_null(pc.is_valid(pc.struct_field(stored, "bytes")), False).to_pylist()
    paths = pc.struct_field(stored, "path").to_pylist()
    folder = files[0].parent if home is None else home
    finder = Finder(folder)

    def load(position: int) -> bytes:
        return (read[position][column] or {}).get("bytes") or b""

    def heard(position: int) -> Clip:
        name = paths[position]
        if has_bytes[position] or not name:
            there = partial(load, position) if has_bytes[position] else None
            return Clip(f"{files[0].parent.name}-{position}.wav", there)
        own = Path(name)
        if own.is_absolute() and own.is_file():
            return Clip(printable(own), own.read_bytes)
        bare = below(folder, name)
        found = clip_at([bare, *(folder / sub / bare.name for sub in ("", "audio"))], finder)
        return found if found.load else Clip(name, None)

    return read.remove_columns([column]).to_list(), heard


def _is_exam(file: Path) -> bool:
    """Also of a Parquet that does not read, so that reading it says why."""
    try:
        names = pq.read_schema(file).names
    except (pa.ArrowException, OSError):
        return True
    return "choices" in names and any(name in names for name in AUDIO_COLUMNS)


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
    path = PurePosixPath(clip.name).name
    if mono and sample_rate is not None:
        waveform, rate = read_audio(
            data, sample_rate=sample_rate, max_seconds=MAX_SECONDS, accept={"silent"}, name=clip.name
        )
        silent = bool(np.ptp(waveform) < SILENCE)
        flac = write_flac(np.clip(waveform, -1.0, 1.0), rate, name=clip.name)
        return {"bytes": flac, "path": str(PurePosixPath(path).with_suffix(".flac"))}, silent
    check_audio(data, max_seconds=MAX_SECONDS, accept={"silent"}, name=clip.name)
    with opened(data, clip.name) as (file, info):
        samples, _ = decode(file, first=0, frames=None)  # (N, channels)
    silent = bool(np.ptp(samples, axis=0).max() < SILENCE)
    if sample_rate is None:
        return {"bytes": data, "path": path}, silent
    flac = _flac_of_all_channels(samples, info.sample_rate, sample_rate, name=clip.name)
    return {"bytes": flac, "path": str(PurePosixPath(path).with_suffix(".flac"))}, silent


def _flac_of_all_channels(samples: np.ndarray, rate: int, sample_rate: int, *, name: str) -> bytes:
    if not 1 <= samples.shape[1] <= 8:
        what = f"{samples.shape[1]} channels do not fit into FLAC: import it with sample_rate: null"
        raise AudioError(name, "unreadable", what)
    if rate != sample_rate:
        samples = soxr.resample(samples, rate, sample_rate, quality="HQ")
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1.0, 1.0), sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()

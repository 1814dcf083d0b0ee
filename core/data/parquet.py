"""Data sets on disk: Parquet shards in the Hub's convention and an info.json beside them.

    <folder>/test-00000-of-00002.parquet  test-00001-of-00002.parquet  info.json

`datasets.load_dataset(<folder>)` reads them too. The same rows give the same bytes, so a shard's SHA-256
names its content. Shards are written in a hidden folder and moved into place when all of them are whole.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from core.data.schema import DatasetError, describe, problems, some
from core.files import OutputError, write_json, write_text_atomic

INFO = "info.json"
ABSENT = "not_run.txt"
REQUIRED_INFO = ("name", "task", "licence", "source", "protocol")
IN_MEMORY_LIMIT = 1 << 30  # a larger split is memory-mapped from the Arrow cache of `datasets`
_HASHED: dict[tuple[str, int, int, int], str] = {}
_BATCH_ROWS, _BATCH_BYTES = 64, 32 << 20  # a row group: small enough to stream 3-hour recordings


def write_dataset(
    folder: Path,
    rows: Iterable[Mapping[str, Any]],
    *,
    features: datasets.Features,
    split: str,
    info: Mapping[str, Any],
    notes: Mapping[str, Any] | None = None,
    shard_bytes: int = 500 << 20,
) -> dict[str, Any]:
    """Write one split and return what info.json then says.

    info needs name, task, licence, source and protocol, may have labels (list) and anything JSON can hold;
    counts and checksums are added here, those of other splits are kept. notes are what an importer found in
    this split: read after the last row, so it may fill them while it yields. An error (also one raised by
    `rows`) leaves the folder as it was.

    Raises DatasetError for rows that break core.data.schema's rules (all rows are read first, so that the
    counts are complete) and OutputError when the folder cannot be written.
    """
    if absent := [key for key in REQUIRED_INFO if not info.get(key)]:
        raise DatasetError(f"{folder}: info lacks {', '.join(absent)}; a data set must say what it is")
    if not split.isalnum():
        raise DatasetError(
            f"{folder}: split {split!r} must be letters and digits: it is part of the file names"
        )
    partial = folder / f".{split}.partial"
    try:
        with _explained(folder):
            shutil.rmtree(partial, ignore_errors=True)  # left by a killed run
            partial.mkdir(parents=True)
        shards, count = _write_shards(partial, rows, features, shard_bytes, f"{folder} ({split})")
        names = [f"{split}-{i:05d}-of-{len(shards):05d}.parquet" for i in range(len(shards))]
        before = _read_info(folder) if (folder / INFO).exists() else {}
        sha256 = {n: s for n, s in before.get("sha256", {}).items() if not n.startswith(f"{split}-")}
        sha256 |= {name: _sha256(shard) for name, shard in zip(names, shards, strict=True)}
        remarks = {s: n for s, n in before.get("notes", {}).items() if s != split}
        if notes:
            remarks[split] = dict(notes)
        content = {
            **info,
            "counts": {**before.get("counts", {}), split: count},
            "notes": remarks,
            "sha256": dict(sorted(sha256.items())),
        }
        write_json(partial / INFO, content)
        with _explained(folder):  # moves only: they need no room. No info.json while shards are exchanged
            (folder / INFO).unlink(missing_ok=True)
            for old in folder.glob(f"{split}-*-of-*.parquet"):
                old.unlink()
            for shard, name in zip(shards, names, strict=True):
                os.replace(shard, folder / name)
            os.replace(partial / INFO, folder / INFO)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return content


def write_absent(folder: Path, reason: str) -> None:
    """Say in not_run.txt that a profile has no such data set, and why, in place of one that may lie there."""
    if folder.is_dir():
        shutil.rmtree(folder)
    write_text_atomic(folder / ABSENT, reason.strip() + "\n")


def why_absent(folder: Path) -> str | None:
    """The reason why a profile has no such data set, None where it has."""
    path = folder / ABSENT
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def read_info(folder: Path) -> dict[str, Any]:
    """What info.json says. Raises DatasetError when there is no data set in `folder`."""
    if not (folder / INFO).is_file():
        raise DatasetError(
            f"{folder}: no data set here ({INFO} is missing); make it with "
            f"`python -m shared_data.datasets {folder.name}` or reproduce the stage that writes this folder"
        )
    return _read_info(folder)


def read_dataset(
    folder: Path,
    split: str = "test",
    *,
    columns: list[str] | None = None,
    checksums: bool = True,
) -> datasets.Dataset:
    """Read one split; audio columns are `{bytes, path}`, never decoded.

    columns: read only these (reading captions without their audio is much faster). checksums: compare every
    shard with info.json first, once a process as long as the file is the same. Raises DatasetError for
    missing or wrong shards and for rows that break the schema's rules.
    """
    shards = shard_paths(folder, split, checksums=checksums)
    if sum(shard.stat().st_size for shard in shards) <= IN_MEMORY_LIMIT or columns is not None:
        try:
            table = pa.concat_tables(pq.read_table(shard, columns=columns) for shard in shards)
        except (pa.ArrowInvalid, OSError) as error:
            raise DatasetError(
                f"{folder}: a shard of {split!r} is damaged ({error}); write it again"
            ) from error
        read = datasets.Dataset(table, split=datasets.Split(split))
    else:
        read = datasets.Dataset.from_parquet([str(shard) for shard in shards], split=split)
    for name, feature in read.features.items():
        if isinstance(feature, datasets.Audio) and feature.decode:
            read = read.cast_column(name, datasets.Audio(decode=False))
    if (count := read_info(folder)["counts"][split]) != len(read):
        raise DatasetError(f"{folder}: {INFO} counts {count} rows in {split!r}, the shards hold {len(read)}")
    if found := problems(read.data.table):
        raise DatasetError(f"{folder} ({split}): {describe(found)}; correct the source and write it again")
    return read


def shard_paths(folder: Path, split: str, *, checksums: bool = True) -> list[Path]:
    """The shards of `split` in order, as info.json lists them; with `checksums` their content is compared."""
    info = read_info(folder)
    if split not in info.get("counts", {}):
        raise DatasetError(
            f"{folder}: no split {split!r}; there is {', '.join(info.get('counts', {})) or 'none'}"
        )
    listed = {name: sha for name, sha in info["sha256"].items() if name.startswith(f"{split}-")}
    if absent := [name for name in listed if not (folder / name).is_file()]:
        raise DatasetError(
            f"{folder}: {len(absent)} of {len(listed)} shards missing ({some(absent)}); write it again"
        )
    if checksums and (wrong := [name for name, sha in listed.items() if not _holds(folder / name, sha)]):
        raise DatasetError(
            f"{folder}: {len(wrong)} of {len(listed)} shards have another SHA-256 than {INFO} says "
            f"({some(wrong)}); "
            "they were changed or damaged: write the data set again"
        )
    return [folder / name for name in sorted(listed)]


def _write_shards(
    partial: Path,
    rows: Iterable[Mapping[str, Any]],
    features: datasets.Features,
    shard_bytes: int,
    where: str,
) -> tuple[list[Path], int]:
    schema = features.arrow_schema
    shards: list[Path] = []
    writer: pq.ParquetWriter | None = None
    found: dict[str, list[str]] = {}
    seen: set[str] = set()
    count = 0
    try:
        for batch in _batches(rows, features, where):
            count += len(batch)
            table = _table(batch, schema, where)
            for what, ids in problems(table).items():
                found[what] = found.get(what, []) + ids
            if again := [row["id"] for row in batch if row["id"] in seen]:
                found["duplicated id"] = found.get("duplicated id", []) + again
            seen.update(row["id"] for row in batch)
            if found:
                continue  # nothing will be kept: only count on
            with _explained(partial.parent):
                if writer is None:
                    shards.append(partial / f"{len(shards)}.parquet")
                    writer = pq.ParquetWriter(shards[-1], schema, compression="zstd", use_dictionary=False)
                writer.write_table(table)
                if shards[-1].stat().st_size >= shard_bytes:
                    writer.close()
                    writer = None
        with _explained(partial.parent):
            if writer is not None:
                writer.close()
                writer = None
    finally:
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.close()
    if found:
        raise DatasetError(
            f"{where}: {describe(found)}; of {count} rows. Nothing was written: correct the source"
        )
    if not count:
        raise DatasetError(f"{where}: no rows; an empty data set is not written")
    return shards, count


def _batches(
    rows: Iterable[Mapping[str, Any]], features: datasets.Features, where: str
) -> Iterator[list[Mapping[str, Any]]]:
    """Row groups: cut by count and by bytes, so that they depend on the rows only."""
    batch: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        if set(row) != set(features):
            lacks, extra = sorted(set(features) - set(row)), sorted(set(row) - set(features))
            raise DatasetError(
                f"{where}: row {row.get('id')!r} lacks columns {lacks} and has unknown {extra}"
            )
        batch.append(row)
        size += sum(len(value["bytes"] or b"") for value in row.values() if isinstance(value, Mapping))
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _table(batch: list[Mapping[str, Any]], schema: pa.Schema, where: str) -> pa.Table:
    try:
        return pa.Table.from_pylist(batch, schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise DatasetError(
            f"{where}: rows {batch[0].get('id')!r} to {batch[-1].get('id')!r}: {error}"
        ) from error


def _read_info(folder: Path) -> dict[str, Any]:
    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{folder / INFO} is damaged ({error}); delete the folder and write it again"
        ) from error
    if not isinstance(info, dict) or not all(isinstance(info.get(key), dict) for key in ("counts", "sha256")):
        raise DatasetError(
            f"{folder / INFO} is damaged (no mapping with counts and sha256); delete the folder and write it "
            "again"
        )
    return info


def _holds(path: Path, sha256: str) -> bool:
    """Whether a file has this SHA-256; read again only when it was replaced or changed."""
    found = path.stat()
    key = (str(path.absolute()), found.st_ino, found.st_size, found.st_mtime_ns)
    if key not in _HASHED:
        _HASHED[key] = _sha256(path)
    return _HASHED[key] == sha256


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = "the disk (or your quota) is full: free some space or put this folder on another disk"
        elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            advice = "the folder is read-only for you: make it writable or choose another"
        else:
            advice = str(error)
        raise OutputError(
            f"cannot write {folder}: {advice}, then run the same command again (nothing half-written "
            "was left)"
        ) from error

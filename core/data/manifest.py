"""Training manifests: one row per training clip, saying where its audio comes from.

Columns: id, source_dataset, youtube_id, start, end (seconds in the video), path (audio, relative to the
manifest), caption; and, where known, clips (provenance ids) and sha256 (of the audio file). A Parquet or a
CSV file; in a CSV `clips` is separated by semicolons.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.data.problems import DatasetError, describe, some

COLUMNS = ("id", "source_dataset", "youtube_id", "start", "end", "path", "caption")
OPTIONAL = ("clips", "sha256")
_YOUTUBE = re.compile(r"youtube:(?P<id>[^@]+)(?:@(?P<start>[\d.]+)-(?P<end>[\d.]+))?")


def read_manifest(path: Path, *, audio: bool = False) -> pd.DataFrame:
    """Read and check a manifest: times are floats (NaN where unknown), clips tuples of ids, texts "" where
    absent.

    audio: also demand that every file in `path` exists. Raises DatasetError naming missing columns,
    duplicated ids, captions without audio, audio without a caption and impossible times.
    """
    if not path.is_file():
        raise DatasetError(
            f"{path}: no training manifest here; core.data.manifest says which columns it needs"
        )
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        else:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} does not read as a {path.suffix} file: {error}") from error
    if absent := [name for name in COLUMNS if name not in frame]:
        raise DatasetError(f"{path}: columns {absent} are missing; a manifest has {list(COLUMNS)}")
    frame = _typed(frame, str(path))
    found = _problems(frame)
    if audio:
        lost = ~frame["path"].map(lambda name: (path.parent / name).is_file())
        if lost.any():
            found["audio file missing"] = frame.loc[lost, "id"].tolist()
    if found:
        raise DatasetError(f"{path}: {describe(found)}; of {len(frame)} rows. Correct the manifest")
    return frame


def write_manifest(path: Path, frame: pd.DataFrame) -> None:
    """Write a manifest as Parquet or CSV, by the ending of `path`; atomically."""
    from core.run.files import write_bytes_atomic

    if path.suffix == ".parquet":
        write_bytes_atomic(path, frame.to_parquet(index=False))
    else:
        flat = frame.assign(clips=frame["clips"].map(";".join)) if "clips" in frame else frame
        write_bytes_atomic(path, flat.to_csv(index=False, lineterminator="\n").encode())


def manifest_of(rows: Iterable[Mapping[str, Any]], *, source_dataset: str) -> pd.DataFrame:
    """The manifest of a data set's rows, for the contamination check: one row per audio, with provenance and
    SHA-256.

    Provenance ids `youtube:<id>@<start>-<end>` become youtube_id, start and end; a row of several videos
    becomes several rows of one id. A bank's clips
    are the rows {"id": id, "clips": [id]}. Rows may lack audio bytes (read with `columns=`); then there is no
    SHA-256.
    """
    records: list[dict[str, Any]] = []
    for row in rows:
        audio = [v["bytes"] for k, v in row.items() if k.endswith("audio") and v and v["bytes"]]
        hashes = [hashlib.sha256(content).hexdigest() for content in audio]
        videos = [match for clip in row["clips"] if (match := _YOUTUBE.fullmatch(clip))]
        for i in range(max(len(hashes), len(videos), 1)):
            video = videos[i] if i < len(videos) else None
            records.append(
                {
                    "id": row["id"],
                    "source_dataset": source_dataset,
                    "youtube_id": video["id"] if video else "",
                    "start": float(video["start"]) if video and video["start"] else float("nan"),
                    "end": float(video["end"]) if video and video["end"] else float("nan"),
                    "path": "",
                    "caption": "",
                    "clips": tuple(row["clips"]) if i == 0 else (),
                    "sha256": hashes[i] if i < len(hashes) else "",
                }
            )
    if not records:
        raise DatasetError(f"{source_dataset}: no rows to check")
    return pd.DataFrame.from_records(records)


def _typed(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    out: dict[str, Any] = {
        name: frame[name].fillna("").astype(str).str.strip()
        for name in COLUMNS
        if name not in ("start", "end")
    }
    for name in ("start", "end"):
        values = frame[name].replace("", np.nan)
        numbers = pd.to_numeric(values, errors="coerce")
        if (bad := values.notna() & numbers.isna()).any():
            raise DatasetError(
                f"{where}: {name} is not a number in {bad.sum()} rows ({some(frame['id'][bad])})"
            )
        out[name] = numbers.astype(float)
    clips = frame["clips"] if "clips" in frame else pd.Series([()] * len(frame), index=frame.index)
    out["clips"] = clips.map(lambda c: tuple(filter(None, c.split(";"))) if isinstance(c, str) else tuple(c))
    out["sha256"] = frame["sha256"].fillna("").astype(str) if "sha256" in frame else ""
    return pd.DataFrame(out)[[*COLUMNS, *OPTIONAL]]


def _problems(frame: pd.DataFrame) -> dict[str, list[str]]:
    checks = {
        "no id": frame["id"] == "",
        "duplicated id": frame.duplicated("id") & (frame["id"] != ""),
        "caption without audio": (frame["path"] == "") & (frame["caption"] != ""),
        "audio without caption": (frame["path"] != "") & (frame["caption"] == ""),
        "end not after start": frame["end"] <= frame["start"],
        "negative start": frame["start"] < 0,
    }
    return {what: frame.loc[bad, "id"].tolist() for what, bad in checks.items() if bad.any()}

"""Training manifests: one row per training clip, saying where its audio comes from.

Columns: id, source_dataset, youtube_id (eleven characters), start, end (seconds in the video), path (audio,
relative to the manifest), caption; and, where known, clips (provenance ids) and sha256 (of the audio file). A
Parquet or a CSV file; in a CSV `clips` is separated by semicolons, or a JSON list where an id holds one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.data.problems import DatasetError, describe, some

COLUMNS = ("id", "source_dataset", "youtube_id", "start", "end", "path", "caption")
OPTIONAL = ("clips", "sha256")
_VIDEO = re.compile(r"[A-Za-z0-9_-]{11}")
_YOUTUBE = re.compile(r"youtube:(?P<id>[^@]+)(?:@(?P<start>[\d.]+)-(?P<end>[\d.]+))?")


def read_manifest(path: Path, *, audio: bool = False) -> pd.DataFrame:
    """Read and check a manifest: times are floats (NaN where unknown), clips tuples of ids, texts "" where
    absent.

    A row whose clips name videos and that has no youtube_id becomes a row for each video. audio: also demand
    that every file in `path` exists. Raises DatasetError naming missing columns, duplicated ids, captions
    without audio, audio without a caption, impossible times and what is no YouTube id, such as "Y" before it.
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
    return _by_video(frame)


def write_manifest(path: Path, frame: pd.DataFrame) -> None:
    """Write a manifest as Parquet or CSV, by the ending of `path`; atomically."""
    from core.run.files import write_bytes_atomic

    if path.suffix == ".parquet":
        write_bytes_atomic(path, frame.to_parquet(index=False))
    else:
        flat = frame.assign(clips=frame["clips"].map(_joined)) if "clips" in frame else frame
        write_bytes_atomic(path, flat.to_csv(index=False, lineterminator="\n").encode())


def manifest_of(rows: Iterable[Mapping[str, Any]], *, source_dataset: str) -> pd.DataFrame:
    """The manifest of a data set's rows, for the contamination check: one row per audio, with provenance and
    SHA-256.

    Provenance ids `youtube:<id>@<start>-<end>` become youtube_id, start and end; a row of several videos
    becomes several rows of one id. A bank's clips are the rows {"id": id, "clips": [id]}. Rows may lack audio
    bytes (read with `columns=`); then there is no SHA-256.
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
    texts = {name: frame[name].fillna("").astype(str) for name in COLUMNS if name not in ("start", "end")}
    out: dict[str, Any] = {name: values.str.strip() for name, values in texts.items()}
    out["path"] = texts["path"].where(out["path"] != "", "")  # a blank may be part of a file's name
    for name in ("start", "end"):
        values = frame[name].replace("", np.nan)
        numbers = pd.to_numeric(values, errors="coerce")
        if (bad := values.notna() & numbers.isna()).any():
            raise DatasetError(
                f"{where}: {name} is not a number in {bad.sum()} rows ({some(frame['id'][bad])})"
            )
        out[name] = numbers.astype(float)
    clips = frame["clips"] if "clips" in frame else pd.Series([()] * len(frame), index=frame.index)
    out["clips"] = clips.map(lambda c: _split(c, where) if isinstance(c, str) else _ids(c))
    out["sha256"] = frame["sha256"].fillna("").astype(str) if "sha256" in frame else ""
    return pd.DataFrame(out)[[*COLUMNS, *OPTIONAL]]


def _is_video(text: str) -> bool:
    return _VIDEO.fullmatch(text) is not None


def _joined(clips: Iterable[str]) -> str:
    ids = list(clips)
    return json.dumps(ids, ensure_ascii=False) if any(";" in one for one in ids) else ";".join(ids)


def _split(text: str, where: str) -> tuple[str, ...]:
    """The ids of a cell. The semicolon of an HTML entity ("&#39;", as Clotho's names have) parts none."""
    text = text.strip()
    if text.startswith("["):
        try:
            return tuple(map(str, json.loads(text)))
        except json.JSONDecodeError as error:
            raise DatasetError(f"{where}: clips {text[:60]!r} are no JSON list ({error})") from error
    return tuple(filter(None, map(str.strip, re.findall(r"(?:&#?\w+;|[^;])+", text))))


def _ids(value: Any) -> tuple[str, ...]:
    """The ids of a list in Parquet, which may be null."""
    return () if value is None or isinstance(value, float) else tuple(map(str, value))


def _by_video(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows that name their videos only among the clips, as one row a video: they are compared by time."""
    videos = frame["clips"].map(lambda clips: [m for clip in clips if (m := _YOUTUBE.fullmatch(clip))])
    if not (told := (frame["youtube_id"] == "") & (videos.map(len) > 0)).any():
        return frame
    records = []
    for row, found, only in zip(frame.to_dict("records"), videos, told, strict=True):
        for place, video in enumerate(found if only else [None]):
            records.append(
                row
                if video is None
                else {
                    **row,
                    "youtube_id": video["id"],
                    "start": float(video["start"] or "nan"),
                    "end": float(video["end"] or "nan"),
                    "clips": row["clips"] if place == 0 else (),
                }
            )
    return pd.DataFrame.from_records(records, columns=frame.columns)


def _problems(frame: pd.DataFrame) -> dict[str, list[str]]:
    named = frame["clips"].map(lambda clips: [m["id"] for c in clips if (m := _YOUTUBE.fullmatch(c))])
    unread = frame["clips"].map(
        lambda clips: any(c.startswith("youtube:") and not _YOUTUBE.fullmatch(c) for c in clips)
    )
    strange = (frame["youtube_id"] != "") & ~frame["youtube_id"].map(_is_video)
    checks = {
        "youtube_id is not eleven letters, digits, - or _": strange,
        "a clip of YouTube that is no youtube:ID or youtube:ID@START-END": unread
        | ~named.map(lambda ids: all(map(_is_video, ids))),
        "no id": frame["id"] == "",
        "duplicated id": frame.duplicated("id") & (frame["id"] != ""),
        "caption without audio": (frame["path"] == "") & (frame["caption"] != ""),
        "audio without caption": (frame["path"] != "") & (frame["caption"] == ""),
        "end not after start": frame["end"] <= frame["start"],
        "negative start": frame["start"] < 0,
    }
    return {what: frame.loc[bad, "id"].tolist() for what, bad in checks.items() if bad.any()}

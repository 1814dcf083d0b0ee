"""VGGSound from its official `vggsound.csv` (no header: YouTube id, start seconds, label, split) and a folder
of audio.

Audio in `<split>/`, `audio/` or the folder itself as <youtube_id>_<start, six digits>, .wav or .flac.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.data.imports.layout import (
    Entry,
    read_csv,
    require_numbers,
    require_unique,
    with_audio,
    without_header,
    youtube_clip,
)
from core.data.imports.names import video_stems
from core.data.schema import CLASSIFIED, DatasetError

FEATURES = CLASSIFIED
_COLUMNS = ("youtube_id", "start", "label", "split")


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per clip of `split`; there are no folds, so fold is 0."""
    csv = folder / "vggsound.csv"
    table = _table(csv)
    known = sorted({row["split"] for row in table})
    table = [row for row in table if row["split"] == split]
    if not table:
        raise DatasetError(f"{csv}: no row of split {split!r}; it has {', '.join(known)}")
    ids = [f"{row['youtube_id']}_{int(float(row['start'])):06d}" for row in table]
    require_unique(ids, where=csv)
    times = Counter(row["youtube_id"] for row in table)
    places = [p for p in (folder / split, folder / "audio") if p.is_dir()] + [folder]

    def entries() -> Iterator[Entry]:
        for clip, row in zip(ids, table, strict=True):
            video, start = row["youtube_id"], float(row["start"])
            stems = [clip, *video_stems(video, start, start + 10.0, alone=times[video] == 1)]
            yield Entry(
                row={
                    "id": clip,
                    "label": row["label"],
                    "fold": 0,
                    "clips": [youtube_clip(video, start)],
                },
                audio={
                    "audio": [
                        p / f"{stem}{end}" for p in places for stem in stems for end in (".wav", ".flac")
                    ]
                },
            )

    yield from with_audio(
        entries(),
        name="vggsound",
        root=folder,
        folder=places[0],
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice="From videos take the sound with `ffmpeg -i ID.mp4 -vn ID.wav`.",
    )


def labels(folder: Path) -> list[str]:
    """The classes of the whole CSV, sorted (309 officially), whether or not `split` has them all."""
    return sorted({row["label"] for row in _table(folder / "vggsound.csv")})


def _table(csv: Path) -> list[dict[str, str]]:
    """The list without a header that a program added: the official one has none."""
    table = read_csv(csv, columns=_COLUMNS, header=False)
    table = without_header(table, is_row=lambda row: row["split"] in ("train", "test"), where=csv)
    require_numbers(table, column="start", key="youtube_id", where=csv)
    return table

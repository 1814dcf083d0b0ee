"""AudioCaps from its official CSVs and a folder of audio cut from YouTube.

`test.csv`, `val.csv`, `train.csv` with audiocap_id,youtube_id,start_time,caption; one row per caption, so the
five captions of a test clip are grouped by (youtube_id, start_time). Audio in `<split>/`, `audio/<split>/` or
`audio/` as <youtube_id>_<start>, <audiocap_id>, <youtube_id> or as the usual packs have it
(core.data.imports.names), .wav or .flac, ten seconds each.
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
    youtube_clip,
)
from core.data.imports.names import video_stems
from core.data.schema import CAPTIONED, DatasetError, some

FEATURES = CAPTIONED
CSVS = {"train": "train.csv", "valid": "val.csv", "test": "test.csv"}
CAPTIONS = {"train": 1, "valid": 5, "test": 5}


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per clip. Videos vanish from YouTube: missing ones are an error unless allow_missing."""
    if split not in CSVS:
        raise DatasetError(f"audiocaps has the splits {', '.join(CSVS)}, not {split!r}")
    csv = folder / CSVS[split]
    table = read_csv(csv, columns=["audiocap_id", "youtube_id", "start_time", "caption"])
    require_unique([row["audiocap_id"] for row in table], where=csv)
    require_numbers(table, column="start_time", key="audiocap_id", where=csv)
    clips: dict[tuple[str, float], list[dict[str, str]]] = {}
    for row in table:
        clips.setdefault((row["youtube_id"], float(row["start_time"])), []).append(row)
    names = {clip: f"{clip[0]}_{clip[1]:g}" for clip in clips}
    wrong = [names[clip] for clip, lines in clips.items() if len(lines) != CAPTIONS[split]]
    if wrong:
        raise DatasetError(
            f"{csv}: {len(wrong)} clips do not have {CAPTIONS[split]} captions ({some(wrong)}); "
            "the retrieval protocol needs them all: take the official file"
        )
    times_in_split = Counter(youtube_id for youtube_id, _ in clips)
    places = [p for p in (folder / split, folder / "audio" / split, folder / "audio") if p.is_dir()]
    places = places or [folder / "audio"]

    def entries() -> Iterator[Entry]:
        for clip, lines in clips.items():
            alone = times_in_split[clip[0]] == 1  # else the bare video id could be any of its pieces
            usual = video_stems(*clip, clip[1] + 10.0, alone=alone)
            stems = [names[clip], *(line["audiocap_id"] for line in lines), *usual]
            yield Entry(
                row={
                    "id": names[clip],
                    "captions": [line["caption"] for line in lines],
                    "clips": [youtube_clip(*clip)],
                },
                audio={
                    "audio": [
                        p / f"{stem}{end}" for p in places for stem in stems for end in (".wav", ".flac")
                    ]
                },
            )

    yield from with_audio(
        entries(),
        name="audiocaps",
        root=folder,
        folder=places[0],
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice="Cut the ten seconds from start_time of these videos into that folder.",
    )

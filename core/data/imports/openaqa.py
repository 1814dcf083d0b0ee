"""OpenAQA from LTU's official flat file `openaqa_5.6M.json` (or its toy set) and a folder of audio.

audio_id is a path on the authors' machine; its last parts are looked for in `audio/`. There is no official
test split: `openaqa_test.json` is a file of the same schema that a person holds out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from core.data.imports.layout import Entry, with_audio
from core.data.imports.plain import one_of
from core.data.instructions import group_by_audio, read_instructions
from core.data.schema import INSTRUCTED, DatasetError, some

FEATURES = INSTRUCTED
FILES = {
    "train": ("openaqa_5.6M.json", "openaqa.json", "openaqa_toy.json", "openaqa_toy_relative.json"),
    "test": ("openaqa_test.json",),
}
_YOUTUBE_SETS = ("as_", "audioset", "audiocaps", "vggsound")
_VIDEO = re.compile(r"Y?(?P<id>[\w-]{11})(?:_(?P<start>\d+))?")


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per audio with all its questions and no caption, events, keys or options.

    The id is the last two parts of the path, so that the same file name in two sets stays two audio files.
    """
    one_of(split, list(FILES), name="openaqa")
    path = next(
        (folder / name for name in FILES[split] if (folder / name).is_file()), folder / FILES[split][0]
    )
    groups = group_by_audio(read_instructions(path, defaults=True))
    ids: dict[str, str] = {}
    for audio in groups:
        name = PurePosixPath(audio)
        ids.setdefault("/".join([*name.parts[-2:-1], name.stem]).lstrip("/"), audio)
    if len(ids) != len(groups):
        lost = sorted(set(groups) - set(ids.values()))
        raise DatasetError(
            f"{path}: {len(lost)} audio files share folder and name with another one ({some(lost)}); rename "
            "them in the file and in the folder of audio"
        )

    def entries() -> Iterator[Entry]:
        for row_id, audio in ids.items():
            name, asked = PurePosixPath(audio), groups[audio]
            tails = [PurePosixPath(*name.parts[-n:]) for n in range(1, len(name.parts) + 1)]
            yield Entry(
                row={
                    "id": row_id,
                    "caption": "",
                    "events": [],
                    "questions": [
                        {
                            "instruction": one.instruction,
                            "output": one.output,
                            "task": one.task,
                            "key": "",
                            "options": [],
                        }
                        for one in asked
                    ],
                    "clips": [_provenance(asked[0].dataset, name.stem)],
                },
                # the longest tail first: only it tells two files of one name apart
                audio={
                    "audio": [
                        home / tail
                        for tail in reversed(tails)
                        if not tail.is_absolute()
                        for home in (folder / "audio", folder)
                    ]
                },
            )

    yield from with_audio(
        entries(),
        name="openaqa",
        root=folder,
        folder=folder / "audio",
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice="Put the audio of its eight data sets there; the authors release the questions only.",
    )


def _provenance(dataset: str, stem: str) -> str:
    """By the source data set: a video, a FreeSound id, else `openaqa:<data set>/<file>`."""
    source = dataset.lower()
    if source.startswith(_YOUTUBE_SETS) and (match := _VIDEO.fullmatch(stem)):
        return f"youtube:{match['id']}"
    if source.startswith(("fsd50k", "freesound")) and stem.isdigit():
        return f"freesound:{stem}"
    return f"openaqa:{dataset}/{stem}"

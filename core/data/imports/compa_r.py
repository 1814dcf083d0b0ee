"""CompA-R from its official files: `CompA-R-test.json` (per audio) and `CompA-R.json` (flat, for training),
with the folders `compa_r_test_audios/` and `compa_r_train_audios/`.

The clips are AudioSet-Strong's, named Y<YouTube id>.wav.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from core.data.imports.layout import Entry, log, require_unique, with_audio
from core.data.imports.plain import one_of
from core.data.instructions import (
    AudioInstructions,
    InstructionError,
    group_by_audio,
    instructed_row,
    parse_events,
    read_audio_instructions,
    read_instructions,
)
from core.data.schema import INSTRUCTED, some

FEATURES = INSTRUCTED
FILES = {"train": "CompA-R.json", "test": "CompA-R-test.json"}
_VIDEO = re.compile(r"Y?(?P<id>[\w-]{11})(?:_.*)?")


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per audio with all its questions; no key and no options: these answers need a judge.

    A released version of the test file lacks captions and events, and training has none:
    notes["without_caption"] and notes["events_unread"] list the test audio without them.
    """
    one_of(split, list(FILES), name="compa_r")
    path = folder / FILES[split]
    if split == "test":
        items = read_audio_instructions(path, defaults=True)
        _note("without_caption", [one.audio_id for one in items if not one.caption.strip()], notes)
    else:
        items = [
            AudioInstructions(
                audio_id=audio,
                caption="",
                timestamp_events="",
                pairs=tuple((one.instruction, one.output) for one in asked),
                task=asked[0].task,
            )
            for audio, asked in group_by_audio(read_instructions(path, defaults=True)).items()
        ]
    unread = []
    entries: list[Entry] = []
    require_unique([PurePosixPath(one.audio_id).stem for one in items], where=path)
    for one in items:
        name = PurePosixPath(one.audio_id)
        try:
            events = parse_events(one.timestamp_events)
        except InstructionError:
            events = []
        if not events and split == "test":
            unread.append(one.audio_id)
        entries.append(
            Entry(
                row=instructed_row(one, id=name.stem, clips=[provenance(name.stem)], events=events),
                audio={"audio": _places(folder, name, split=split)},
            )
        )
    _note("events_unread", unread, notes)
    yield from with_audio(
        entries,
        name="compa_r",
        root=folder,
        folder=folder / f"compa_r_{split}_audios",
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice="Fetch the audio of CompA-R from the links in GAMA's README.",
    )


def provenance(stem: str) -> str:
    """The video of an AudioSet file name (all of it: the name tells no times), else `compa_r:<name>`."""
    match = _VIDEO.fullmatch(stem)
    return f"youtube:{match['id']}" if match else f"compa_r:{stem}"


def _places(folder: Path, name: PurePosixPath, *, split: str) -> Sequence[Path]:
    homes = (folder / f"compa_r_{split}_audios", folder / "audio")
    return [*(home / name.name for home in homes), folder / name.relative_to(name.anchor)]


def _note(what: str, ids: list[str], notes: dict[str, Any] | None) -> None:
    if ids:
        log.warning("compa_r: %s: %d audio files (%s)", what.replace("_", " "), len(ids), some(ids))
        if notes is not None:
            notes[what] = ids

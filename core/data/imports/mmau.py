"""MMAU from its official files: `mmau-test-mini.json` and `mmau-test.json` of any version, with the audio in
`test-mini-audios/` and `test-audios/`, or the Hub's Parquet, which holds questions and audio.

The file was rewritten in place several times under one name: its SHA-256 and its version go into the notes
(core.data.imports.mmau_versions).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.data.choices import (
    MMAU,
    UNANSWERABLE,
    ChoiceItem,
    choice_item,
    mmau_doubts,
    mmau_problems,
    option_defects,
)
from core.data.imports.clips import Clip, log, with_clips
from core.data.imports.mmau_forms import EXPECTED, FILES, clips_beside, read_questions
from core.data.imports.mmau_versions import version_of
from core.data.imports.plain import one_of
from core.data.schema import DatasetError, describe, duplicates

FEATURES = MMAU


def read_items(
    path: Path,
    *,
    audio: Path | None = None,
    split: str | None = None,
    allow_defects: bool = False,
    notes: dict[str, Any] | None = None,
) -> list[ChoiceItem]:
    """The questions of an official file in its order, for evaluation; audio is found but not decoded.

    path: the JSON, or a folder that holds it or the Hub's Parquet. audio: where the audio is (the folder of
    the archive, or Parquet that holds it), by default beside the questions. split: test-mini or test; None
    takes a JSON file's own and test-mini in a folder. Items whose audio is not there have None in `audios`.

    `notes` gets sha256, version, counts and every defect with its ids (see `rows`). Raises DatasetError for a
    file of another shape and, without allow_defects, for answers that are not among the choices.
    """
    notes = {} if notes is None else notes
    return [item for item, _ in _items(path, audio, split, allow_defects=allow_defects, notes=notes)]


def rows(
    folder: Path,
    *,
    split: str = "test-mini",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    allow_defects: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows of core.data.choices.MMAU from the folder of official files.

    notes: sha256 (of each file of questions), version, counts, defects {what: ids} of the options,
    category_was_a_list, letters_removed, case_changed, doubted {what: ids} of skills and empty options,
    missing, silent.
    """
    notes = {} if notes is None else notes
    found = _items(folder, None, split, allow_defects=allow_defects, notes=notes)
    entries = [(_row(item), (clip,)) for item, clip in found]
    for row, heard in with_clips(
        entries,
        name="mmau",
        folder=folder,
        sample_rate=sample_rate,
        mono=True,
        allow_missing=allow_missing,
        notes=notes,
        advice="Unpack the archive of audio that MMAU's README links to beside the JSON.",
    ):
        yield {**row, "audio": heard[0]}


def _items(
    path: Path, audio: Path | None, split: str | None, *, allow_defects: bool, notes: dict[str, Any]
) -> list[tuple[ChoiceItem, Clip]]:
    if split is not None:
        one_of(split, list(FILES), name="mmau")
    read = read_questions(path, split, notes=notes, audio=audio)
    _judge(read.items, read.where, allow_defects=allow_defects, notes=notes)
    clips = read.clips
    if clips is None or audio is not None:
        beside = clips_beside(read.items, audio or (path if path.is_dir() else path.parent))
        clips = beside if clips is None or any(clip.load for clip in beside) else clips
    return [
        (
            choice_item(item, audios=(clip.load,), audio_names=(clip.name,)),
            clip,
        )
        for item, clip in zip(read.items, clips, strict=True)
    ]


def _judge(items: list[dict[str, Any]], where: Path, *, allow_defects: bool, notes: dict[str, Any]) -> None:
    """Fill `notes` with counts, version and defects; raise for what makes an item unusable."""
    ids = [item["id"] for item in items]
    wrong: dict[str, list[str]] = {}
    defects: dict[str, list[str]] = {}
    doubted: dict[str, list[str]] = {}
    if again := duplicates(ids):
        wrong["duplicated id"] = [ids[i] for i in again]
    for item in items:
        for what in mmau_problems(item):
            wrong.setdefault(what, []).append(item["id"])
        for what in mmau_doubts(item):
            if what not in UNANSWERABLE:  # they are among the defects
                doubted.setdefault(what, []).append(item["id"])
        for what in option_defects(item["choices"], item["answer"]):
            defects.setdefault(what, []).append(item["id"])
    if wrong:
        raise DatasetError(f"{where}: {describe(wrong)}; of {len(ids)} items. {EXPECTED}")
    columns = ("task", "difficulty", "sub-category", "category", "split")
    notes["counts"] = {
        "items": len(items),
        **{column: dict(Counter(item[column] for item in items).most_common()) for column in columns},
        "choices": {str(n): m for n, m in sorted(Counter(len(item["choices"]) for item in items).items())},
    }
    notes["version"] = version_of(
        items,
        outside=len(defects.get(UNANSWERABLE[0], [])),
        sha256=next(iter(notes["sha256"].values())) if len(notes["sha256"]) == 1 else "",
    )
    for key, found in (("defects", defects), ("doubted", doubted)):
        if found:
            notes[key] = {what: found[what] for what in sorted(found)}
            log.warning("mmau: %s", describe(notes[key]))
    if notes["version"] != "current" and items[0]["split"] == "test-mini":
        log.warning("mmau: %s is not the current file of questions: %s", where, notes["version"])
    bad = {what: ids for what, ids in defects.items() if what in UNANSWERABLE}
    if bad and not allow_defects:
        raise DatasetError(
            f"{where} ({notes['version']}): {describe(bad)}; of {len(items)} items. No model can be right "
            "there: take the current file from https://github.com/Sakshi113/MMAU, or set allow_defects"
        )


def _row(item: ChoiceItem) -> dict[str, Any]:
    return {
        "id": item.id,
        "question": item.question,
        "choices": list(item.choices),
        "answer": item.answer,
        "dataset": item.dataset,
        "task": item.task,
        "split": item.split,
        "category": item.category,
        "sub-category": item.sub_category,
        "difficulty": item.difficulty,
        "clips": [f"mmau:{item.id}"],
    }

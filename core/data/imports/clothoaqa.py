"""ClothoAQA from its official files: `clotho_aqa_{test,val,train}.csv` and the folder `audio_files/`.

One line an annotator (file_name, QuestionText, answer, confidence), so that the answers to a question are
gathered. `clotho_aqa_metadata.csv`, where it is there, links each file to FreeSound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.data.imports.layout import Entry, log, read_csv, with_audio
from core.data.imports.plain import one_of
from core.data.problems import some
from core.data.schema import QUESTIONS

FEATURES = QUESTIONS
PARTS = {"train": "train", "valid": "val", "test": "test"}
ANNOTATORS = 3
# the lists and the archive spell one file of the training split differently
_SPELLINGS = {"souffle_me_tallique.wav": "souffle_me.tallique.wav"}


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per question, its answers in the order of the list, repeated and contradicting ones included.

    notes["answers_not_three"]: ids of questions with more or fewer than three answers (one in training).
    """
    one_of(split, list(PARTS), name="clothoaqa")
    csv = folder / f"clotho_aqa_{PARTS[split]}.csv"
    table = read_csv(csv, columns=["file_name", "QuestionText", "answer", "confidence"])
    origin = _freesound_ids(folder / "clotho_aqa_metadata.csv")
    answers: dict[tuple[str, str], list[str]] = {}
    for line in table:
        answers.setdefault((line["file_name"], line["QuestionText"]), []).append(line["answer"])
    asked: dict[str, int] = {}
    ids: dict[tuple[str, str], str] = {}
    for file, question in answers:
        asked[file] = asked.get(file, 0) + 1
        ids[file, question] = f"{file.removesuffix('.wav')}-{asked[file] - 1}"
    if odd := [ids[key] for key, given in answers.items() if len(given) != ANNOTATORS]:
        log.warning("clothoaqa: %d questions do not have three answers (%s)", len(odd), some(odd))
        if notes is not None:
            notes["answers_not_three"] = odd
    audio_folder = folder / "audio_files"

    def entries() -> Iterator[Entry]:
        for (file, question), given in answers.items():
            names = [file, *([_SPELLINGS[file]] if file in _SPELLINGS else [])]
            yield Entry(
                row={
                    "id": ids[file, question],
                    "question": question,
                    "answers": given,
                    "clips": [f"freesound:{origin[file]}" if file in origin else f"clotho:{file}"],
                },
                audio={"audio": [audio_folder / name for name in names]},
            )

    yield from with_audio(
        entries(),
        name="clothoaqa",
        folder=audio_folder,
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice=f"Unpack audio_files.zip in {folder}.",
    )


def _freesound_ids(csv: Path) -> dict[str, str]:
    """File name -> FreeSound id, where the link ends in one. The official file is not UTF-8."""
    if not csv.is_file():
        return {}
    table = read_csv(csv, columns=["file_name", "sound_link"], encoding="latin-1")
    found = {row["file_name"]: re.search(r"(\d+)/?$", row["sound_link"]) for row in table}
    return {name: match[1] for name, match in found.items() if match}

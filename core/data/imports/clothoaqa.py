"""ClothoAQA from its official files: `clotho_aqa_{test,val,train}.csv` and the folder `audio_files/`.

One line an annotator (file_name, QuestionText, answer, confidence), so that the answers to a question are
gathered. `clotho_aqa_metadata.csv`, where it is there, links each file to FreeSound. Two files are spelt
otherwise in one of the lists than in the archive; which one differs between copies.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.data.imports.layout import OLD_ENCODINGS, Entry, log, read_csv, with_audio
from core.data.imports.names import plain_name
from core.data.imports.plain import one_of
from core.data.schema import QUESTIONS, some
from core.metrics.clotho_aqa import normalise

FEATURES = QUESTIONS
PARTS = {"train": "train", "valid": "val", "test": "test"}
ANNOTATORS = 3
# Questions; those whose three answers are the same yes or no; those that are not yes/no questions
COUNTS = {
    "train": {"questions": 7043, "unanimous": 2765},
    "valid": {"questions": 2064, "unanimous": 818},
    "test": {"questions": 2838, "unanimous": 1109, "not_binary": 946},
}


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per question, its answers in the order of the list, repeated and contradicting ones included.

    notes: answers_not_three (ids of questions with more or fewer than three answers, one in training),
    counts, differs (counts that are not the official file's), without_metadata (files).
    """
    one_of(split, list(PARTS), name="clothoaqa")
    csv = folder / f"clotho_aqa_{PARTS[split]}.csv"
    columns = ["file_name", "QuestionText", "answer", "confidence"]
    table = read_csv(csv, columns=columns, encodings=OLD_ENCODINGS, as_is=["file_name"])
    answers: dict[tuple[str, str], list[str]] = {}
    for line in table:
        answers.setdefault((line["file_name"], line["QuestionText"]), []).append(line["answer"])
    asked: dict[str, int] = {}
    ids: dict[tuple[str, str], str] = {}
    for file, question in answers:
        asked[file] = asked.get(file, 0) + 1
        ids[file, question] = f"{plain_name(file).removesuffix('.wav')}-{asked[file] - 1}"
    notes = {} if notes is None else notes
    _count(answers, split, notes)
    origin = _freesound_ids(folder / "clotho_aqa_metadata.csv", list(asked), notes)
    if odd := [ids[key] for key, given in answers.items() if len(given) != ANNOTATORS]:
        log.warning("clothoaqa: %d questions do not have three answers (%s)", len(odd), some(odd))
        notes["answers_not_three"] = odd
    audio_folder = folder / "audio_files"
    listed = {plain_name(file) for file in asked}
    others: dict[str, list[str]] = {}  # on the disk, and in the list under no name that is theirs
    for path in sorted(audio_folder.glob("*")) if audio_folder.is_dir() else ():
        if plain_name(path.name) not in listed:
            others.setdefault(_loose(path.name), []).append(path.name)

    def entries() -> Iterator[Entry]:
        for (file, question), given in answers.items():
            respelt = others.get(_loose(file), [])
            names = [file, *(respelt if len(respelt) == 1 else [])]
            yield Entry(
                row={
                    "id": ids[file, question],
                    "question": question,
                    "answers": given,
                    "clips": [
                        f"freesound:{origin[file]}" if file in origin else f"clotho:{plain_name(file)}"
                    ],
                },
                audio={"audio": [audio_folder / name for name in names]},
            )

    yield from with_audio(
        entries(),
        name="clothoaqa",
        root=folder,
        folder=audio_folder,
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice=f"Unpack audio_files.zip in {folder}.",
    )


def _count(answers: Mapping[tuple[str, str], list[str]], split: str, notes: dict[str, Any]) -> None:
    """Note how many questions of each kind there are, and where that is not what the official file has."""
    given = [{normalise(answer) for answer in one} for one in answers.values()]
    binary = [one <= {"yes", "no"} for one in given]
    notes["counts"] = {
        "questions": len(given),
        "unanimous": sum(yes and len(one) == 1 for yes, one in zip(binary, given, strict=True)),
        "not_binary": len(given) - sum(binary),
    }
    differs = {
        what: f"{notes['counts'][what]} of {n}"
        for what, n in COUNTS[split].items()
        if notes["counts"][what] != n
    }
    if differs:
        log.warning("clothoaqa: other counts than the official list has: %s", differs)
        notes["differs"] = differs


def _freesound_ids(csv: Path, files: Sequence[str], notes: dict[str, Any]) -> dict[str, str]:
    """File of the list -> FreeSound id, where the link ends in one. The official file is not UTF-8."""
    if not csv.is_file():
        log.warning("clothoaqa: %s is missing: training data are compared by file names only", csv)
        return {}
    columns = ["file_name", "sound_link"]
    table = read_csv(csv, columns=columns, encodings=OLD_ENCODINGS, as_is=["file_name"])
    links = {plain_name(row["file_name"]): row["sound_link"] for row in table}
    respelt: dict[str, list[str]] = {}
    for name in links.keys() - set(map(plain_name, files)):
        respelt.setdefault(_loose(name), []).append(name)
    found: dict[str, str] = {}
    for file in files:
        other = respelt.get(_loose(file), [])
        link = links.get(plain_name(file)) or (links[other[0]] if len(other) == 1 else None)
        if link is None:
            notes.setdefault("without_metadata", []).append(file)
        elif match := re.search(r"(\d+)/?$", link):
            found[file] = match[1]
    if lost := notes.get("without_metadata"):
        log.warning("clothoaqa: %s: %d files are not in it (%s)", csv, len(lost), some(lost))
    return found


def _loose(name: str) -> str:
    """A name without what its spellings differ in: entities, dots, underscores and other marks."""
    return re.sub(r"[\W_]+", "_", html.unescape(plain_name(name)))

"""Exams with options over audio: MMAU's 27 skills and the rules of every row (columns: core.data.schema).

Sources: Sakshi et al., MMAU, ICLR 2025, and Kumar et al., MMAU-Pro, AAAI 2026, as their files have them. The
columns keep the official names. `core.data.parquet` writes and reads both; audio is `{bytes, path}`, never
decoded. A Parquet split may not hold a hyphen: `stored_split` names where MMAU's test-mini lies.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.data.problems import DatasetError, describe, duplicates
from core.metrics.choice import problems as choice_problems

Task = Literal["sound", "music", "speech"]
Type = Literal["Information Extraction", "Reasoning"]

TASKS = ("sound", "music", "speech")
DIFFICULTIES = ("easy", "medium", "hard")
SPLITS = ("test-mini", "test", "train")
LENGTHS = ("short", "medium", "long", "ultra-long")


@dataclass(frozen=True)
class Skill:
    """Domain and type of a skill as the file of questions has them; the paper counts types otherwise."""

    domain: Task
    type: Type


_EXTRACTION: Mapping[Task, tuple[str, ...]] = {
    "sound": ("Eco-Acoustic Knowledge", "Sound-Based Event Recognition"),
    "music": (
        "Rhythm and Tempo Understanding",
        "Instrumentation",
        "Musical Texture Interpretation",
        "Melodic Structure Interpretation",
        "Harmony and Chord Progressions",
    ),
    "speech": ("Phonological Sequence Decoding",),
}
_REASONING: Mapping[Task, tuple[str, ...]] = {
    "sound": (
        "Acoustic Source Inference",
        "Event-Based Sound Reasoning",
        "Ambient Sound Interpretation",
        "Acoustic Scene Reasoning",
        "Temporal Event Reasoning",
    ),
    "music": (
        "Temporal Reasoning",
        "Musical Genre Reasoning",
        "Emotional Tone Interpretation",
        "Socio-cultural Interpretation",
        "Lyrical Reasoning",
    ),
    "speech": (
        "Phonemic Stress Pattern Analysis",
        "Emotion State summarisation",
        "Dissonant Emotion Interpretation",
        "Event-Based Knowledge Retrieval",
        "Counting",
        "Multi Speaker Role Mapping",
        "Conversational Fact Retrieval",
        "Key highlight Extraction",
        "Emotion Flip Detection",
    ),
}
_TYPES: tuple[tuple[Type, Mapping[Task, tuple[str, ...]]], ...] = (
    ("Information Extraction", _EXTRACTION),
    ("Reasoning", _REASONING),
)
SKILLS: Mapping[str, Skill] = {
    name: Skill(domain, kind)
    for kind, domains in _TYPES
    for domain, names in domains.items()
    for name in names
}

# Defects of options that leave no right answer; the others that core.metrics.choice.problems knows make rules
# disagree.
UNANSWERABLE = ("answer not among choices", "fewer than two options")


@dataclass(frozen=True, kw_only=True)
class ChoiceItem:
    """One question of an exam, its audio still undecoded: calling an entry of `audios` gives encoded bytes.

    An entry is None where the file is not there; `audio_names` says what was looked for. `answer` is "" where
    it is withheld.
    """

    id: str
    question: str
    choices: tuple[str, ...]
    answer: str
    dataset: str
    task: str
    split: str
    category: str
    sub_category: str
    difficulty: str
    audios: tuple[Callable[[], bytes] | None, ...] = field(repr=False, compare=False)
    audio_names: tuple[str, ...]

    @property
    def missing(self) -> bool:
        """True where some of its audio is not there."""
        return any(audio is None for audio in self.audios)


def choice_item(
    row: Mapping[str, Any], *, audios: tuple[Callable[[], bytes] | None, ...], audio_names: tuple[str, ...]
) -> ChoiceItem:
    """The question of a row of MMAU, with what loads its audio."""
    return ChoiceItem(
        id=row["id"],
        question=row["question"],
        choices=tuple(row["choices"]),
        answer=row["answer"],
        dataset=row["dataset"],
        task=row["task"],
        split=row["split"],
        category=row["category"],
        sub_category=row["sub-category"],
        difficulty=row["difficulty"],
        audios=audios,
        audio_names=audio_names,
    )


def stored_split(split: str) -> str:
    """The name of an official split in Parquet, where names are letters and digits: test-mini -> testmini."""
    return split.replace("-", "").replace("_", "")


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file of questions, by which a score names the version that it is of."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def option_defects(choices: Sequence[str], answer: str) -> list[str]:
    """The kinds of core.metrics.choice.problems that one item has, each once. answer "": it is withheld.

    Where the answer is there twice, that is duplicate options too.
    """
    if not choices:
        return [UNANSWERABLE[1]]
    kinds = dict.fromkeys(what.split(":")[0] for what in choice_problems(choices, answer or choices[0]))
    if "gold duplicated" in kinds:
        kinds["duplicate options"] = None
    if not answer:
        kinds.pop("gold duplicated", None)
    return list(kinds)


def mmau_problems(row: Mapping[str, Any]) -> list[str]:
    """What is not of MMAU's shape in one row, empty when all is well. Audio is not looked at.

    Apart from `mmau_doubts`, which an official file may give rise to; rows of ours have neither.
    """
    found = [f"no {key}" for key in ("id", "question", "dataset") if not _text(row[key])]
    if row["task"] not in TASKS:
        found.append("task is not sound, music or speech")
    if row["split"] not in SPLITS:
        found.append("split is not test-mini, test or train")
    if row["difficulty"] not in DIFFICULTIES:
        found.append("difficulty is not easy, medium or hard")
    if not row["answer"] and row["split"] != "test":
        found.append("no answer")
    return found


def mmau_doubts(row: Mapping[str, Any]) -> list[str]:
    """What a row in MMAU's shape says that cannot be right: its skill, its category, its options."""
    found = []
    skill = SKILLS.get(row["sub-category"])
    if skill is None:
        found.append("unknown skill")
    elif skill.domain != row["task"]:
        found.append("skill of another task")
    elif skill.type != row["category"]:
        found.append("category is not that of the skill")
    if not all(map(_text, row["choices"])):
        found.append("an empty choice")
    return found + [what for what in option_defects(row["choices"], row["answer"]) if what in UNANSWERABLE]


def mmau_pro_problems(row: Mapping[str, Any]) -> list[str]:
    """What is not of MMAU-Pro's shape in one row, empty when all is well; apart from `mmau_pro_doubts`."""
    found = [f"no {key}" for key in ("id", "question", "category") if not _text(row[key])]
    if row["length_type"] not in LENGTHS:
        found.append("length_type is not short, medium, long or ultra-long")
    if not row["audios"] or not all(audio and audio["bytes"] for audio in row["audios"]):
        found.append("no audio bytes")
    try:
        given = json.loads(row["kwargs"])
    except (TypeError, json.JSONDecodeError):
        given = None
    if not isinstance(given, dict):
        found.append("kwargs is not a JSON mapping")
    return found


def mmau_pro_doubts(row: Mapping[str, Any]) -> list[str]:
    """What a row in MMAU-Pro's shape says that no scorer can use."""
    found = []
    if not all(map(_text, row["choices"])):
        found.append("an empty choice")
    if row["answer"] is None and not _text(row["task_identifier"]):
        found.append("neither answer nor task_identifier")
    if row["answer"] is not None and len(row["choices"]) > 1 and row["answer"] not in row["choices"]:
        found.append(UNANSWERABLE[0])
    return found


def checked(
    rows: Iterable[Mapping[str, Any]], *, problems: Callable[[Mapping[str, Any]], list[str]], where: str
) -> Iterator[Mapping[str, Any]]:
    """The rows as they are; after the last one DatasetError with all that is wrong, counted and named."""
    found: dict[str, list[str]] = {}
    ids: list[str] = []
    for row in rows:
        ids.append(str(row["id"]))
        for what in problems(row):
            found.setdefault(what, []).append(ids[-1])
        yield row
    if again := duplicates(ids):
        found["duplicated id"] = [ids[position] for position in again]
    if found:
        raise DatasetError(f"{where}: {describe(found)}; of {len(ids)} rows. Correct the source")


def spread(count: int, limit: int | None, *, seed: int = 0) -> list[int]:
    """The positions of `limit` of `count` rows, drawn by `seed`, in order; None or a large limit is all.

    Never a prefix: MMAU-Pro's rows stand by category, MMAU's by skill.
    """
    if limit is None or limit >= count:
        return list(range(count))
    return sorted(random.Random(seed).sample(range(count), max(0, limit)))


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())

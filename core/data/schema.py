"""The columns of every data set, official or mini, and the rules that every row obeys.

An audio column holds `{bytes, path}` (an encoded file, never decoded by the reader) and `clips` holds
provenance ids: of bank clips, `freesound:<id>`, `youtube:<id>@<start>-<end>` or `<data set>:<file>`
(core.data.contamination).
Labels are classes in words ("dog bark").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Audio, Features, List, Value

from core.data.problems import duplicates


def recording_of(clips: Sequence[str]) -> str:
    """The one recording that an audio was cut from, by its provenance ids `clips`: "freesound:12".

    "" where there is none, or several. Segments of one recording ("youtube:<id>@0-10", the recorded bank's
    "<recording>#3") are not independent of each other: scores resample recordings.
    """
    recordings = {
        clip.partition("@")[0] if clip.startswith("youtube:") else re.sub(r"#\d+$", "", clip)
        for clip in clips
    }
    return recordings.pop() if len(recordings) == 1 else ""


_AUDIO = Audio(decode=False)
_TEXT = Value("string")

COMPARISON = Features(
    {
        "id": _TEXT,
        "pair_audio": _AUDIO,
        "reversed_audio": _AUDIO,
        "triplet_audio": _AUDIO,  # null where the instance is a pair
        "pair_caption": _TEXT,
        "reversed_caption": _TEXT,
        "triplet_caption": _TEXT,
        "clips": List(_TEXT),
    }
)
CAPTIONED = Features({"id": _TEXT, "audio": _AUDIO, "captions": List(_TEXT), "clips": List(_TEXT)})
CLASSIFIED = Features(
    {"id": _TEXT, "audio": _AUDIO, "label": _TEXT, "fold": Value("int32"), "clips": List(_TEXT)}
)
MULTILABEL = Features({"id": _TEXT, "audio": _AUDIO, "labels": List(_TEXT), "clips": List(_TEXT)})
QUESTIONS = Features(
    {"id": _TEXT, "audio": _AUDIO, "question": _TEXT, "answers": List(_TEXT), "clips": List(_TEXT)}
)
NOTES = Features({"id": _TEXT, "audio": _AUDIO, "instrument": _TEXT, "source": _TEXT, "clips": List(_TEXT)})
# One row an audio. `key` is what a right answer states, of the `options` that the question leaves open; both
# are empty where only a judge can tell. onset and offset are seconds.
INSTRUCTED = Features(
    {
        "id": _TEXT,
        "audio": _AUDIO,
        "caption": _TEXT,
        "events": List({"label": _TEXT, "onset": Value("float32"), "offset": Value("float32")}),
        "questions": List(
            {"instruction": _TEXT, "output": _TEXT, "task": _TEXT, "key": _TEXT, "options": List(_TEXT)}
        ),
        "clips": List(_TEXT),
    }
)

SCHEMAS: Mapping[str, Features] = {
    "compa_order": COMPARISON,
    "compa_attribute": COMPARISON,
    "audiocaps": CAPTIONED,
    "clotho": CAPTIONED,
    "esc50": CLASSIFIED,
    "urbansound8k": CLASSIFIED,
    "vggsound": CLASSIFIED,
    "fsd50k": MULTILABEL,
    "dcase2017": MULTILABEL,
    "vocalsound": CLASSIFIED,
    "tut2017": CLASSIFIED,
    "beijing_opera": CLASSIFIED,
    "nsynth": NOTES,
    "gtzan": CLASSIFIED,
    "medley_solos": CLASSIFIED,
    "audioset": MULTILABEL,
    "clothoaqa": QUESTIONS,
    "openaqa": INSTRUCTED,
    "compa_r": INSTRUCTED,
}
# Sources: Sakshi et al., MMAU, ICLR 2025, and Kumar et al., MMAU-Pro, AAAI 2026, as their files have them.
MMAU = Features(
    {
        "id": _TEXT,
        "audio": _AUDIO,
        "question": _TEXT,
        "choices": List(_TEXT),
        "answer": _TEXT,  # one of the choices; blank in test
        "dataset": _TEXT,
        "task": _TEXT,
        "split": _TEXT,  # as the official files spell it: test-mini, test; ours adds train
        "category": _TEXT,
        "sub-category": _TEXT,
        "difficulty": _TEXT,
        "clips": List(_TEXT),
    }
)
MMAU_PRO = Features(
    {
        "id": _TEXT,
        "audios": List(_AUDIO),  # in the order in which the question counts them
        "question": _TEXT,
        "answer": _TEXT,  # null where rules check the text (instruction following)
        "choices": List(_TEXT),  # empty for open questions
        "length_type": _TEXT,
        "perceptual_skills": List(_TEXT),
        "reasoning_skills": List(_TEXT),
        "category": _TEXT,
        "transcription": _TEXT,
        "task_classification": _TEXT,
        "task_identifier": _TEXT,
        "kwargs": _TEXT,  # JSON mapping, "{}" where there are none
        "sub-cat": _TEXT,
        "clips": List(_TEXT),
    }
)
EXAMS: Mapping[str, Features] = {"mmau": MMAU, "mmau_pro": MMAU_PRO}


def problems(table: pa.Table) -> dict[str, list[str]]:
    """What is wrong in `table`, as {what: ids}; empty when all is well. Looks only at columns that are there.

    Within one instance a caption needs its audio and an audio its caption; only a triplet may lack both.
    """
    ids = ["" if i is None else i for i in table["id"].to_pylist()] if "id" in table.column_names else []
    names = ids or [f"row {i}" for i in range(table.num_rows)]
    found: dict[str, list[str]] = {}

    def note(what: str, rows: Iterable[int]) -> None:
        if hits := [names[i] or f"row {i}" for i in rows]:
            found[what] = found.get(what, []) + hits

    note("no id", (i for i, name in enumerate(ids) if not name.strip()))
    note("duplicated id", duplicates(ids))
    for column in (name for name in table.column_names if name == "audio" or name.endswith("_audio")):
        stem = column.removesuffix("audio")
        heard = _has_bytes(table[column])
        texts = f"{stem}caption" if stem else "captions"
        if texts not in table.column_names:
            if stem != "triplet_":
                note("no audio bytes", (i for i, ok in enumerate(heard) if not ok))
            continue
        said = _has_text(table[texts])
        pairs = list(zip(heard, said, strict=True))
        note("caption without audio", (i for i, (a, c) in enumerate(pairs) if c and not a))
        note("audio without caption", (i for i, (a, c) in enumerate(pairs) if a and not c))
        if stem != "triplet_":
            note("no audio bytes", (i for i, (a, c) in enumerate(pairs) if not a and not c))
    for column in ("question", "answers", "instrument", "source", "questions"):
        if column in table.column_names:
            note(f"no {column}", (i for i, ok in enumerate(_has_text(table[column])) if not ok))
    for column in {"label", "labels"} & set(table.column_names):
        note("no label", (i for i, ok in enumerate(_has_text(table[column])) if not ok))
    return found


def _has_bytes(column: pa.ChunkedArray) -> list[bool]:
    length = pc.binary_length(pc.struct_field(column, "bytes"))
    return pc.fill_null(pc.greater(length, 0), False).to_pylist()


def _has_text(column: pa.ChunkedArray) -> list[bool]:
    """True where a text is not blank, or a list is not empty and none of its texts is blank.

    Of a list of questions the instruction counts.
    """
    values = column.to_pylist()
    return [
        bool(value) and all(map(_is_text, [value] if isinstance(value, str) else value)) for value in values
    ]


def _is_text(value: object) -> bool:
    text = value.get("instruction") if isinstance(value, Mapping) else value
    return isinstance(text, str) and bool(text.strip())

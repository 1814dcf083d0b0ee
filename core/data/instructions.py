"""Instruction data in GAMA's official JSON schemas, the prompt around an instruction, and INSTRUCTED rows.

Training files are one flat list of six-key objects, `{audio_id, instruction, input, dataset, task, output}`;
the test file of CompA-R holds one object an audio, with its caption, its events and all its pairs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.data.official_json import JsonTextError, parse_json
from core.data.schema import DatasetError, some
from core.files import write_json, write_text_atomic

KEYS = ("audio_id", "instruction", "input", "dataset", "task", "output")
AUDIO_KEYS = ("audio_id", "caption", "timestamp_events", "input", "dataset", "task", "instruction_output")
_OPTIONAL = ("input", "dataset", "task")
_TOLD = ("caption", "timestamp_events")
# alpaca-lora's template "alpaca_short", which LTU and GAMA train with
_PROMPT = "### Instruction:\n{instruction}\n\n### Response:\n"
_PROMPT_WITH_INPUT = "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
# a label may hold whole brackets: "Wind noise (microphone)"
_EVENT = re.compile(
    r"\(\s*(?P<label>(?:[^()]|\([^()]*\))+?)\s*-\s*(?P<onset>\d+(?:\.\d+)?)\s*-\s*(?P<offset>\d+(?:\.\d+)?)\s*\)"
)


class InstructionError(DatasetError):
    """An instruction file is not what it should be. The message names the file, the items and the keys."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Instruction:
    """One question about one audio file and its answer. audio_id: a path, relative to the audio folder."""

    audio_id: str
    instruction: str
    input: str = ""  # more text for the prompt; the official files leave it empty
    dataset: str = ""
    task: str = ""
    output: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A sound with its times in seconds."""

    label: str
    onset: float
    offset: float


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioInstructions:
    """All questions of one audio, with what a judge is told of it: caption and events.

    timestamp_events is kept as it stands in the file; parse_events reads it.
    """

    audio_id: str
    caption: str
    timestamp_events: str
    pairs: tuple[tuple[str, str], ...]  # (instruction, output)
    input: str = ""
    dataset: str = ""
    task: str = ""


def alpaca(instruction: str, input: str = "") -> str:
    """The prompt in front of an answer: "### Instruction:\\n...\\n\\n### Response:\\n" (Alpaca-short)."""
    if input:
        return _PROMPT_WITH_INPUT.format(instruction=instruction, input=input)
    return _PROMPT.format(instruction=instruction)


def read_instructions(path: Path, *, defaults: bool = False) -> list[Instruction]:
    """The items of a flat file in its order. Keys that the schema does not know are ignored.

    defaults=True fills a missing input, dataset or task with "": the official README calls these optional,
    although the official code needs all six. Raises InstructionError with the positions of the items that
    lack a key, hold something that is not text, or have no audio, instruction or output.
    """
    items = _read_list(path)
    wanted = tuple(key for key in KEYS if not (defaults and key in _OPTIONAL))
    hint = " (input, dataset and task may be left out with defaults=True)" if wanted == KEYS else ""
    _require(path, items, keys=wanted, text=KEYS, not_blank=("audio_id", "instruction", "output"), hint=hint)
    return [Instruction(**{key: item.get(key, "") for key in KEYS}) for item in items]


def write_instructions(path: Path, items: Iterable[Instruction]) -> int:
    """Write a flat file, all six keys in the official order, whole or not at all. Returns how many.

    One item a line, so that files can be compared; it is still one JSON list. Raises InstructionError for an
    item without audio, instruction or output.
    """
    rows = [asdict(item) for item in items]
    _require(path, rows, keys=KEYS, text=KEYS, not_blank=("audio_id", "instruction", "output"))
    lines = [json.dumps({key: row[key] for key in KEYS}, ensure_ascii=False) for row in rows]
    write_text_atomic(path, "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n")
    return len(rows)


def read_audio_instructions(path: Path, *, defaults: bool = False) -> list[AudioInstructions]:
    """The per-audio file of CompA-R-test; input, dataset and task may be absent.

    defaults=True fills a missing caption or event list with "" too: one released version has neither.
    Raises InstructionError as read_instructions, also for audio that occurs again.
    """
    items = _read_list(path)
    needed = ("audio_id", "instruction_output") if defaults else ("audio_id", *_TOLD, "instruction_output")
    hint = "" if defaults else " (caption and timestamp_events may be left out with defaults=True)"
    blank = ("audio_id",) if defaults else ("audio_id", "caption")
    text = ("audio_id", "caption", *_OPTIONAL)
    _require(path, items, keys=needed, text=text, not_blank=blank, hint=hint)
    out, bad = [], []
    for position, item in enumerate(items):
        pairs = _pairs(item["instruction_output"])
        if pairs is None:
            bad.append(f"item {position} ({item['audio_id']})")
            continue
        events = item.get("timestamp_events")
        out.append(
            AudioInstructions(
                audio_id=item["audio_id"],
                caption=item.get("caption", ""),
                timestamp_events=events if isinstance(events, str) else ", ".join(map(str, events or ())),
                pairs=pairs,
                **{key: item.get(key, "") for key in _OPTIONAL},
            )
        )
    if bad:
        raise InstructionError(
            f"{path}: instruction_output of {some(bad)} is not a list of "
            f"{{instruction, output}} with text in both ({len(bad)} items); correct or remove them"
        )
    counts: dict[str, int] = {}
    for one in out:
        counts[one.audio_id] = counts.get(one.audio_id, 0) + 1
    if twice := [name for name, n in counts.items() if n > 1]:
        raise InstructionError(f"{path}: {len(twice)} audio files occur more than once ({some(twice)})")
    return out


def write_audio_instructions(path: Path, items: Iterable[AudioInstructions]) -> int:
    """Write the per-audio layout of CompA-R-test, whole or not at all. Returns how many audio files."""
    rows = [
        {
            "audio_id": one.audio_id,
            "caption": one.caption,
            "timestamp_events": one.timestamp_events,
            **{key: getattr(one, key) for key in _OPTIONAL},
            "instruction_output": [{"instruction": i, "output": o} for i, o in one.pairs],
        }
        for one in items
    ]
    write_json(path, rows)
    return len(rows)


def format_events(events: Iterable[Event]) -> str:
    """ "(Dog bark-0.4-1.25), (Rain-0-5)": the event list as CompA-R writes it, seconds without idle zeros."""
    return ", ".join(f"({e.label}-{_seconds(e.onset)}-{_seconds(e.offset)})" for e in events)


def parse_events(text: str) -> list[Event]:
    """The events of such a list; a label may hold hyphens, commas and brackets.

    Raises InstructionError for text that is left over and for an event that ends before it begins.
    """
    found = [
        Event(label=m["label"], onset=float(m["onset"]), offset=float(m["offset"]))
        for m in _EVENT.finditer(text)
    ]
    rest = _EVENT.sub("", text).strip(" \t\r\n,;.[]'\"")
    if rest or any(e.offset < e.onset for e in found):
        what = (
            f"does not read as (label-onset-offset) at {rest[:60]!r}"
            if rest
            else "has an event that ends early"
        )
        raise InstructionError(f"the event list {text[:80]!r} {what}; correct it in its file")
    return found


def instructed_row(
    one: AudioInstructions, *, id: str, clips: Sequence[str], events: Iterable[Event] | None = None
) -> dict[str, Any]:
    """An INSTRUCTED row (core.data.schema) without its audio. events: else those of timestamp_events.

    An official pair has no key and no options: only a judge can tell whether its answer is right.
    """
    known = parse_events(one.timestamp_events) if events is None else events
    return {
        "id": id,
        "caption": one.caption,
        "events": [asdict(event) for event in known],
        "questions": [
            {"instruction": i, "output": o, "task": one.task, "key": "", "options": []} for i, o in one.pairs
        ],
        "clips": list(clips),
    }


def instructions_of(row: Mapping[str, Any], *, dataset: str, audio_id: str = "") -> list[Instruction]:
    """The flat items of one INSTRUCTED row. audio_id: else the row's id."""
    return [
        Instruction(
            audio_id=audio_id or row["id"],
            instruction=question["instruction"],
            dataset=dataset,
            task=question["task"],
            output=question["output"],
        )
        for question in row["questions"]
    ]


def group_by_audio(items: Iterable[Instruction]) -> dict[str, list[Instruction]]:
    """Items by audio_id, both in the order of their first occurrence."""
    groups: dict[str, list[Instruction]] = {}
    for item in items:
        groups.setdefault(item.audio_id, []).append(item)
    return groups


def _read_list(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise InstructionError(f"{path} is missing; put the official file there or make it first")
    try:
        items = parse_json(path.read_bytes())
    except JsonTextError as error:
        raise InstructionError(f"{path} is not JSON ({error}); fetch or make it again") from error
    if not isinstance(items, list) or not items:
        raise InstructionError(f"{path} holds no list of items; is it an instruction file?")
    if strange := [str(i) for i, item in enumerate(items) if not isinstance(item, dict)]:
        raise InstructionError(
            f"{path}: items {some(strange)} are no objects ({len(strange)} of {len(items)})"
        )
    return items


def _require(
    path: Path,
    items: Sequence[Mapping[str, Any]],
    *,
    keys: Sequence[str],
    text: Sequence[str],
    not_blank: Sequence[str],
    hint: str = "",
) -> None:
    """Raise InstructionError that names the first few items and their keys, by kind of fault."""
    faults: dict[str, list[str]] = {}
    for position, item in enumerate(items):
        absent = [key for key in keys if key not in item]
        strange = [key for key in text if key in item and not isinstance(item[key], str)]
        blank = [key for key in not_blank if isinstance(item.get(key), str) and not item[key].strip()]
        for what, found in (("lack", absent), ("hold no text in", strange), ("are blank in", blank)):
            if found:
                faults.setdefault(f"{what} {', '.join(found)}", []).append(str(position))
    if faults:
        counted = "; ".join(f"{len(at)} items {what} (item {some(at)})" for what, at in faults.items())
        raise InstructionError(f"{path}: {counted}; correct or remove them{hint}")


def _pairs(given: Any) -> tuple[tuple[str, str], ...] | None:
    """The pairs of one audio, None where they are not a list of objects with both texts."""
    if not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
        return None
    pairs = tuple((one.get("instruction"), one.get("output")) for one in given)
    if all(isinstance(text, str) and text.strip() for pair in pairs for text in pair):
        return pairs
    return None


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")

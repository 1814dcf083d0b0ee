"""What pairs are written from: experts' notes and marked events, examples, and rejections by people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jsonschema

from core.data.instructions import Event
from core.run.jsonl import LineError, parse_line, read_lines, split_lines

_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_SECONDS = {"type": "number", "minimum": 0}
_LINE = {
    "type": "object",
    "required": ["audio_id", "experts", "events"],
    "properties": {
        "audio_id": {"type": "string", "minLength": 1},
        "experts": {"type": "object", "additionalProperties": _TEXTS},
        "events": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["label", "onset", "offset"],
                "properties": {
                    "label": {"type": "string", "minLength": 1}, "onset": _SECONDS, "offset": _SECONDS,
                },
            },
        },
    },
}  # fmt: skip


class SynthesisError(ValueError):
    """Inputs that no questions can be written from; the message names file and lines."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One audio: what experts said of it, by name, and its marked events."""

    audio_id: str
    experts: Mapping[str, str]
    events: tuple[Event, ...]


def read_items(path: Path) -> list[Item]:
    """The inputs, in order. Raises SynthesisError that names every unusable line."""
    if not path.is_file():
        raise SynthesisError(f"{path}: no such file; set `inputs` to JSON lines of audio_id, experts, events")
    check = jsonschema.Draft202012Validator(_LINE)
    items: dict[str, Item] = {}
    faults = []
    for number, content in enumerate(split_lines(path.read_bytes().rstrip(b"\n")), 1):
        try:
            line = parse_line(content)
        except LineError as error:
            faults.append(f"line {number} is {error}")
            continue
        if wrong := jsonschema.exceptions.best_match(check.iter_errors(line)):
            faults.append(f"line {number}: {wrong.json_path}: {wrong.message[:120]}")
        elif not all(0 <= event["onset"] <= event["offset"] < math.inf for event in line["events"]):
            faults.append(f"line {number}: an event ends before it begins, or never")
        elif line["audio_id"] in items:
            faults.append(f"line {number}: {line['audio_id']} again")
        else:
            experts = {
                name: said if isinstance(said, str) else ", ".join(said)
                for name, said in line["experts"].items()
            }
            events = tuple(
                Event(label=e["label"], onset=e["onset"], offset=e["offset"]) for e in line["events"]
            )
            items[line["audio_id"]] = Item(audio_id=line["audio_id"], experts=experts, events=events)
    if faults or not items:
        listed = "; ".join(faults[:5]) + ("; ..." if len(faults) > 5 else "") or "it is empty"
        raise SynthesisError(f"{path}: {len(faults)} unusable lines: {listed}; correct or remove them")
    return list(items.values())


def read_rejected(path: Path) -> frozenset[tuple[str, str]]:
    """(audio, instruction) that people threw out; instruction "" for all of an audio."""
    if not path.is_file():
        raise SynthesisError(f"{path}: no such file; set `rejected` to it, or to nothing")
    # not splitlines: an instruction may hold U+2028
    lines = [line.split("\t", 1) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    return frozenset((line[0].strip(), line[1].strip() if len(line) > 1 else "") for line in lines)


def read_exemplars(path: Path, *, at_least: int = 0) -> tuple[str, ...]:
    """The examples as the prompt shows them. Raises SynthesisError for fewer than asked for."""
    lines = read_lines(path)
    if len(lines) < at_least:
        raise SynthesisError(
            f"{path} holds {len(lines)} examples; {at_least} are to be shown: lower `exemplars`"
        )
    return tuple(
        f"Sounds: {one['events']}\nDescription: {one['caption']}\n"
        f"{json.dumps(one['pairs'], ensure_ascii=False)}"
        for one in lines
    )

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from core.data.instructions import (
    KEYS,
    AudioInstructions,
    Event,
    Instruction,
    InstructionError,
    alpaca,
    format_events,
    group_by_audio,
    instructed_row,
    instructions_of,
    parse_events,
    read_audio_instructions,
    read_instructions,
    write_audio_instructions,
    write_instructions,
)
from core.data.parquet import read_dataset, write_dataset
from core.data.schema import INSTRUCTED
from core.files import OutputError

ITEMS = [
    Instruction(audio_id="a.wav", instruction="What rings?", dataset="toy", task="closed", output="Une clé."),
    Instruction(audio_id="b.wav", instruction="Why?", input="A bell.", output='"So".\nIndeed.'),
    Instruction(audio_id="a.wav", instruction="Who?", output="A man."),
]


def put(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_a_flat_file_has_the_six_keys_in_order_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "train" / "items.json"
    assert write_instructions(path, iter(ITEMS)) == 3
    raw = json.loads(path.read_text(encoding="utf-8"))
    assert [tuple(item) for item in raw] == [KEYS] * 3
    assert raw[0]["input"] == ""
    assert len(path.read_text(encoding="utf-8").splitlines()) == 5  # a line an item
    assert read_instructions(path) == ITEMS


def test_other_keys_are_ignored(tmp_path: Path) -> None:
    item = {**dict.fromkeys(KEYS, "x"), "Knowledge topic": "place"}
    assert read_instructions(put(tmp_path / "a.json", [item]))[0].task == "x"


def test_missing_keys_name_items_and_keys(tmp_path: Path) -> None:
    whole = dict.fromkeys(KEYS, "x")
    official = {"audio_id": "a", "instruction": "q", "output": "o"}
    path = put(
        tmp_path / "a.json", [whole, official, official, {**whole, "output": 3}, {**whole, "output": " "}]
    )
    with pytest.raises(InstructionError) as caught:
        read_instructions(path)
    message = str(caught.value)
    assert "2 items lack input, dataset, task (item 1, 2)" in message
    assert "1 items hold no text in output (item 3)" in message
    assert "1 items are blank in output (item 4)" in message
    assert "defaults=True" in message
    path = put(tmp_path / "b.json", [official])
    assert read_instructions(path, defaults=True) == [
        Instruction(audio_id="a", instruction="q", input="", dataset="", task="", output="o")
    ]
    with pytest.raises(InstructionError, match=r"1 items lack output \(item 0\); correct or remove them$"):
        read_instructions(put(tmp_path / "c.json", [{"audio_id": "a", "instruction": "q"}]), defaults=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "is not JSON"),
        ("{}", "holds no list"),
        ("[]", "holds no list"),
        ("[1, {}]", "items 0 are no objects"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(InstructionError, match="is missing"):
        read_instructions(path)
    path.write_text(content)
    with pytest.raises(InstructionError, match=message):
        read_instructions(path)


def test_one_item_a_line_reads_too(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_instructions(path, ITEMS)
    items = json.loads(path.read_text())
    path.write_text("\ufeff" + "\n".join(json.dumps(item) for item in items) + "\n")
    assert read_instructions(path) == ITEMS
    path.write_text("[" * 100_000)
    with pytest.raises(InstructionError, match="is not JSON"):
        read_instructions(path)


def test_a_bad_item_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_instructions(path, ITEMS[:1])
    with pytest.raises(InstructionError, match=r"1 items are blank in output \(item 1\)"):
        write_instructions(path, [ITEMS[1], Instruction(audio_id="c", instruction="q", output="")])
    assert read_instructions(path) == ITEMS[:1]
    assert os.listdir(tmp_path) == ["a.json"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_instructions(tmp_path / "file" / "a.json", ITEMS)


AUDIO = AudioInstructions(
    audio_id="YUChcduGcOSc.wav",
    caption="A man speaks, then snores.",
    timestamp_events="(Speech-0.0-2.318), (Snoring-2.5-10.0)",
    pairs=(("Who?", "A man."), ("What then?", "Sleep.")),
    dataset="Audioset_Strong",
    task="open-ended question",
)


def test_the_layout_per_audio_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "test.json"
    assert write_audio_instructions(path, [AUDIO]) == 1
    (raw,) = json.loads(path.read_text())
    assert list(raw) == [
        "audio_id",
        "caption",
        "timestamp_events",
        "input",
        "dataset",
        "task",
        "instruction_output",
    ]
    assert raw["instruction_output"][1] == {"instruction": "What then?", "output": "Sleep."}
    assert read_audio_instructions(path) == [AUDIO]


def test_the_layout_per_audio_without_what_a_judge_is_told(tmp_path: Path) -> None:
    pairs = [{"instruction": "Who?", "output": "A man."}]
    path = put(tmp_path / "a.json", [{"audio_id": "a.wav", "instruction_output": pairs}])
    with pytest.raises(InstructionError, match=r"lack caption, timestamp_events .*defaults=True"):
        read_audio_instructions(path)
    (one,) = read_audio_instructions(path, defaults=True)
    assert (one.caption, one.timestamp_events, one.pairs) == ("", "", (("Who?", "A man."),))


def test_faults_of_the_layout_per_audio(tmp_path: Path) -> None:
    pairs = [{"instruction": "Who?", "output": "A man."}]
    item = {"audio_id": "a.wav", "caption": "c", "timestamp_events": ["(Dog-0-1)", "(Cat-1-2)"]}
    good = {**item, "instruction_output": pairs}
    (one,) = read_audio_instructions(put(tmp_path / "a.json", [good]))
    assert one.timestamp_events == "(Dog-0-1), (Cat-1-2)"  # a list is read as well
    with pytest.raises(InstructionError, match=r"1 audio files occur more than once \(a.wav\)"):
        read_audio_instructions(put(tmp_path / "a.json", [good, good]))
    for bad in ([], "Who?", [{"instruction": "Who?"}], [{"instruction": "Who?", "output": ""}]):
        path = put(tmp_path / "a.json", [good, {**item, "audio_id": "b.wav", "instruction_output": bad}])
        with pytest.raises(InstructionError, match=r"instruction_output of item 1 \(b.wav\) is not a list"):
            read_audio_instructions(path)


def test_events_are_written_and_read() -> None:
    events = [Event(label="Dog-bark, (loud)", onset=0.4, offset=1.25), Event(label="Rain", onset=0, offset=5)]
    assert format_events(events) == "(Dog-bark, (loud)-0.4-1.25), (Rain-0-5)"
    assert parse_events(format_events(events)) == events
    assert parse_events("['(Rain - 0.0 - 5.0)']") == events[1:]
    assert parse_events("") == []
    with pytest.raises(InstructionError, match="at 'and a cat'"):
        parse_events("(Rain-0-5) and a cat")
    with pytest.raises(InstructionError, match=r"at '\(no times\) and"):
        parse_events("(no times) and (Rain-0-5)")
    with pytest.raises(InstructionError, match="ends early"):
        parse_events("(Rain-5-0)")


def test_the_prompt_is_alpacas_short_one() -> None:
    assert alpaca("What rings?") == "### Instruction:\nWhat rings?\n\n### Response:\n"
    assert alpaca("What rings?", "Bells.") == (
        "### Instruction:\nWhat rings?\n\n### Input:\nBells.\n\n### Response:\n"
    )
    assert alpaca("{x}") == "### Instruction:\n{x}\n\n### Response:\n"


def test_rows_have_the_schema_and_give_the_items_back(tmp_path: Path) -> None:
    row = instructed_row(AUDIO, id="one", clips=["youtube:UChcduGcOSc"])
    audio = {"bytes": b"x", "path": "x.wav"}
    info = {"name": "toy", "task": "t", "licence": "l", "source": "s", "protocol": "p"}
    write_dataset(tmp_path, [{**row, "audio": audio}], features=INSTRUCTED, split="test", info=info)
    (stored,) = read_dataset(tmp_path)
    assert stored["questions"] == row["questions"]
    assert [event["label"] for event in stored["events"]] == ["Speech", "Snoring"]
    assert (stored["caption"], stored["events"][1]["offset"]) == (AUDIO.caption, 10.0)
    assert row["questions"][0]["key"] == ""
    back = instructions_of(row, dataset="compa_r")
    assert [(i.audio_id, i.instruction, i.output, i.dataset, i.task) for i in back] == [
        ("one", "Who?", "A man.", "compa_r", "open-ended question"),
        ("one", "What then?", "Sleep.", "compa_r", "open-ended question"),
    ]
    assert instructions_of(row, dataset="d", audio_id="x.wav")[0].audio_id == "x.wav"
    assert instructed_row(AUDIO, id="one", clips=[], events=[])["events"] == []


def test_items_group_by_audio_in_order() -> None:
    groups = group_by_audio(ITEMS)
    assert list(groups) == ["a.wav", "b.wav"]
    assert groups["a.wav"] == [ITEMS[0], ITEMS[2]]

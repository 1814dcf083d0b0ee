"""The questions of the test sets, of every schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.data.parquet import write_absent, write_dataset
from core.data.schema import SCHEMAS
from core.run.stage import Context
from core.scenes.bank import Bank, write_bank
from core.scenes.phrasings import CLOSED, PROMPT_AUDIOCAPS, PROMPT_CAPTION, PROMPT_CLOTHO, PROMPT_DETAIL
from projects.gama.compose import PROMPT_INSTRUMENT, PROMPT_SOURCE
from projects.gama.gold import Config, gold
from projects.gama.sets import TestSet

EVENTS = [{"label": "dog_bark", "onset": 0.12345, "offset": 1.5}]
ASKED = [
    {"instruction": f"Why {i}?", "output": "So.", "task": "why", "key": "yes", "options": ["yes", "no"]}
    for i in range(2)
]
ROWS: dict[str, dict[str, Any]] = {
    "esc50": {"label": "dog bark", "fold": 1},
    "fsd50k": {"labels": ["dog bark", "rain"]},
    "nsynth": {"instrument": "flute", "source": "acoustic"},
    "audiocaps": {"captions": ["a dog", "a dog barks"]},
    "clotho": {"captions": ["rain"]},
    "clothoaqa": {"question": "Is it wet?", "answers": ["yes", "yes", "no"]},
    "compa_r": {"caption": "a dog", "events": EVENTS, "questions": ASKED},
}
INFO = {"task": "t", "licence": "l", "source": "s", "protocol": "p", "labels": ["rain", "dog bark"]}
SETS = {
    "esc50": TestSet("accuracy"),
    "fsd50k": TestSet("map"),
    "nsynth_instrument": TestSet("accuracy", dataset="nsynth", column="instrument"),
    "nsynth_source": TestSet("accuracy", dataset="nsynth", column="source"),
    "audiocaps": TestSet("caption"),
    "clotho": TestSet("caption"),
    "clothoaqa": TestSet("answer"),
    "compa_r": TestSet("instruction"),
    "dense_clotho": TestSet("dense_caption", dataset="clotho"),
    "gtzan": TestSet("accuracy"),
}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, bank: Bank, at: Callable[..., Context]) -> Path:
    root = tmp_path_factory.mktemp("gold")
    shared = root / "shared_data"
    for name, row in ROWS.items():
        write_dataset(
            shared / "datasets" / "mini" / name,
            [
                {
                    "id": f"{name}{i}",
                    "audio": {"bytes": b"x", "path": None},
                    "clips": [f"youtube:a@{i}-{i + 1}"],
                    **row,
                }
                for i in range(3)
            ],
            features=SCHEMAS[name],
            split="test",
            info=INFO | {"name": name},
        )
    write_absent(shared / "datasets" / "mini" / "gtzan", "no music here")
    write_bank(bank, shared / "bank" / "mini")
    context = at(root, "gold")
    gold(Config(sets=SETS, limit=2), context=context)
    return context.path("predictions", "gold")


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("name", "instruction", "truth"),
    [
        ("esc50", PROMPT_CAPTION, {"labels": ["dog bark"]}),
        ("fsd50k", PROMPT_CAPTION, {"labels": ["dog bark", "rain"]}),
        ("nsynth_instrument", PROMPT_INSTRUMENT, {"labels": ["flute"]}),
        ("nsynth_source", PROMPT_SOURCE, {"labels": ["acoustic"]}),
        ("audiocaps", PROMPT_AUDIOCAPS, {"captions": ["a dog", "a dog barks"]}),
        ("clotho", PROMPT_CLOTHO, {"captions": ["rain"]}),
        ("dense_clotho", PROMPT_DETAIL, {"captions": ["rain"]}),
        ("clothoaqa", CLOSED + "Is it wet?", {"answers": ["yes", "yes", "no"]}),
    ],
)
def test_a_row_is_a_question(asked: Path, name: str, instruction: str, truth: dict[str, Any]) -> None:
    dataset, task = SETS[name].dataset or name, SETS[name].task
    assert lines(asked, name) == [
        {
            "id": f"{dataset}{i}",
            "task": task,
            "audio": f"{dataset}:{dataset}{i}",
            "recording": "youtube:a",  # both rows are pieces of it
            "instruction": instruction,
        }
        | truth
        for i in range(2)
    ]


def test_an_instructed_audio_is_several_questions(asked: Path) -> None:
    found = lines(asked, "compa_r")
    assert [line["id"] for line in found] == ["compa_r0#0", "compa_r0#1", "compa_r1#0", "compa_r1#1"]
    assert found[1] == {
        "id": "compa_r0#1",
        "audio": "compa_r:compa_r0",
        "recording": "youtube:a",
        "instruction": "Why 1?",
        "output": "So.",
        "task": "instruction",
        "asks": "why",
        "key": "yes",
        "options": ["yes", "no"],
        "events": [["dog_bark", 0.123, 1.5]],
        "caption": "a dog",
    }


def test_classes_lie_beside_the_questions(asked: Path) -> None:
    classes = {path.name: json.loads(path.read_text()) for path in asked.glob("*.classes.json")}
    assert classes == {
        "esc50.classes.json": ["rain", "dog bark"],
        "fsd50k.classes.json": ["rain", "dog bark"],
        "nsynth_instrument.classes.json": ["flute"],
        "nsynth_source.classes.json": ["acoustic"],
    }


def test_a_task_that_does_not_fit_its_data_set_is_refused(asked: Path, at: Callable[..., Context]) -> None:
    root = asked.parents[4]
    for wrong in (TestSet("caption"), TestSet("instruction"), TestSet("map", column="labels")):
        with pytest.raises(ValueError, match=r"esc50 has no column .* another task in rows\.yaml"):
            gold(Config(sets={"esc50": wrong}, book=False), context=at(root, "gold"))


def test_a_set_that_the_profile_has_not_got_is_left_out(asked: Path) -> None:
    assert {path.stem for path in asked.glob("*.jsonl")} == set(SETS) - {"gtzan"}


def test_the_banks_words_are_written_for_the_scores(asked: Path, bank: Bank) -> None:
    book = json.loads((asked / "book.json").read_text())
    assert set(book) == set(bank.labels())
    names = json.loads((asked / "aliases.json").read_text())
    assert set(book) <= set(names)
    assert set(book["rain"]) <= set(names["rain"])

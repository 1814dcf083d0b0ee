"""Instruction data of training scenes and of imported sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.data.instructions import KEYS, read_instructions
from core.data.parquet import write_dataset
from core.data.schema import SCHEMAS
from core.run.stage import Context
from core.scenes.bank import Bank, write_bank
from core.scenes.compose import render
from core.scenes.timeline import scene_from_json
from projects.gama.compose import PROMPT_INSTRUMENT, PROMPT_SOURCE, Config, compose, draw_scenes, from_row

FILES = {"classification", "captions", "closed", "open", "compa_r_train"}
CONFIG = Config(
    scenes=30, duration=3.0, captions=2, closed=3, open=2, compa_r=2, placed=0.4, sets=("nsynth",)
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, bank: Bank) -> Path:
    root = tmp_path_factory.mktemp("compose")
    write_bank(bank, root / "shared_data" / "bank" / "mini")
    write_dataset(
        root / "shared_data" / "datasets" / "mini" / "nsynth",
        [
            {
                "id": f"n{i}",
                "audio": {"bytes": b"x", "path": None},
                "instrument": "flute",
                "source": "acoustic",
                "clips": ["x"],
            }
            for i in range(3)
        ],
        features=SCHEMAS["nsynth"],
        split="train",
        info={"name": "nsynth", "task": "t", "licence": "l", "source": "s", "protocol": "p"},
    )
    return root


@pytest.fixture(scope="module")
def composed(repository: Path, at: Callable[..., Context]) -> Path:
    context = at(repository, "compose")
    compose(CONFIG, context=context)
    return context.path("data")


def test_files_have_the_official_schema(composed: Path) -> None:
    paths = {path.stem: path for path in (composed / "instructions").iterdir()}
    assert set(paths) == FILES
    for name, path in paths.items():
        raw = json.loads(path.read_text())
        assert raw, name
        assert all(tuple(item) == KEYS and item["output"].strip() for item in raw)
        assert len(read_instructions(path)) == len(raw)


def test_every_audio_has_a_scene(composed: Path, training: Bank) -> None:
    scenes = [scene_from_json(line) for line in (composed / "scenes.jsonl").read_text().splitlines()]
    assert len(scenes) == 30
    assert len({scene.id for scene in scenes}) == 30
    assert len({scene.events for scene in scenes}) == 30
    known = {f"scenes:{scene.id}" for scene in scenes} | {f"nsynth_train:n{i}" for i in range(3)}
    items = [item for path in (composed / "instructions").iterdir() for item in read_instructions(path)]
    assert {item.audio_id for item in items} == known
    assert {len(render(scene, training)) for scene in scenes[:3]} == {24000}
    captions = [item.audio_id for item in read_instructions(composed / "instructions" / "captions.json")]
    assert captions == [f"scenes:{scene.id}" for scene in scenes for _ in range(2)]


def test_an_answer_names_what_its_scene_holds(composed: Path) -> None:
    scenes = {
        f"scenes:{scene.id}": {event.label.replace("_", " ") for event in scene.events}
        for scene in map(scene_from_json, (composed / "scenes.jsonl").read_text().splitlines())
    }
    for item in read_instructions(composed / "instructions" / "classification.json"):
        if item.dataset == "scenes":
            assert set(item.output.lower().rstrip(".").split("; ")) == scenes[item.audio_id]


def test_the_same_seed_writes_the_same_bytes(
    repository: Path, composed: Path, at: Callable[..., Context]
) -> None:
    before = {path: path.read_bytes() for path in composed.rglob("*.json*")}
    compose(CONFIG, context=at(repository, "compose"))
    assert {path: path.read_bytes() for path in composed.rglob("*.json*")} == before


def test_scenes_are_as_many_as_asked_where_the_bank_has_no_place(training: Bank) -> None:
    few = training.only(["baby_cry", "baby_laugh", "woman_cry", "woman_laugh"])
    assert len(draw_scenes(few, Config(scenes=10, duration=3.0, placed=0.5))) == 10


def test_without_scenes_only_the_sets_are_written(
    repository: Path, at: Callable[..., Context], tmp_path: Path
) -> None:
    (tmp_path / "shared_data").symlink_to(repository / "shared_data")
    context = at(tmp_path, "compose")
    compose(Config(sets=("nsynth",)), context=context)
    assert context.path("data", "scenes.jsonl").read_text() == ""
    items = read_instructions(context.path("data", "instructions", "classification.json"))
    assert [(item.instruction, item.output) for item in items[:2]] == [
        (PROMPT_INSTRUMENT, "flute."),
        (PROMPT_SOURCE, "acoustic."),
    ]
    assert json.loads(context.path("data", "instructions", "open.json").read_text()) == []


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"label": "dog_bark"}, [("classification", "dog bark.")]),
        ({"labels": ["dog_bark", "rain"]}, [("classification", "dog bark; rain.")]),
        (
            {"captions": ["a", "b"]},
            [("closed", "a"), ("captions", "a"), ("closed", "b"), ("captions", "b")],
        ),
        ({"question": "Wet?", "answers": ["yes", "no", "yes"]}, [("closed", "no"), ("closed", "yes")]),
        ({"questions": [{"instruction": "Why?", "output": "So.", "task": "why"}]}, [("open", "So.")]),
    ],
)
def test_every_schema_becomes_instructions(row: dict[str, Any], wanted: list[tuple[str, str]]) -> None:
    made = list(from_row("clotho", {"id": "x", **row}))
    assert [(file, item.output) for file, item in made] == wanted
    if "questions" in row:  # those of CompA-R are what rows are tuned on
        assert [file for file, _ in from_row("compa_r", {"id": "x", **row})] == ["compa_r_train"]
    assert {(item.audio_id, item.dataset) for _, item in made} == {("clotho_train:x", "clotho")}

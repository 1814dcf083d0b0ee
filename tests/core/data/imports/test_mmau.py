from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.audio.read import audio_info
from core.data.choices import MMAU, SKILLS, mmau_doubts, mmau_problems
from core.data.imports import mmau
from core.data.imports import mmau_versions as versions
from core.data.parquet import read_dataset, write_dataset
from core.data.schema import DatasetError

INFO = {"name": "mmau", "task": "t", "licence": "l", "source": "s", "protocol": "p"}
Edit = Callable[[Path, Callable[[list[dict[str, Any]]], object]], None]


def test_the_current_json_becomes_rows(mmau_folder: Path) -> None:
    notes: dict[str, Any] = {}
    rows = list(mmau.rows(mmau_folder, notes=notes))
    source = json.loads((mmau_folder / "mmau-test-mini.json").read_text())
    assert [row["id"] for row in rows] == [item["id"] for item in source]
    for row, item in zip(rows, source, strict=True):
        assert set(row) == set(MMAU)
        assert {key: row[key] for key in item if key != "audio_id"} == {
            k: item[k] for k in item if k != "audio_id"
        }
        assert row["audio"]["bytes"] == (mmau_folder / item["audio_id"]).read_bytes()
        assert row["clips"] == [f"mmau:{item['id']}"]
        assert mmau_problems(row) + mmau_doubts(row) == []
    file = mmau_folder / "mmau-test-mini.json"
    assert notes["sha256"] == {file.name: hashlib.sha256(file.read_bytes()).hexdigest()}
    assert notes["counts"]["task"] == {"sound": 1, "music": 1, "speech": 1}
    assert notes["counts"]["choices"] == {"2": 1, "4": 1, "5": 1}
    assert notes["version"] == "part of it, 3 of 1000 items"
    assert "defects" not in notes
    assert "missing" not in notes


def test_rows_are_written_and_read_back_with_the_notes(mmau_folder: Path, tmp_path: Path) -> None:
    notes: dict[str, Any] = {}
    rows = list(mmau.rows(mmau_folder, notes=notes))
    info = write_dataset(tmp_path / "out", rows, features=MMAU, split="testmini", info=INFO, notes=notes)
    assert info["notes"]["testmini"]["sha256"] == notes["sha256"]
    read = read_dataset(tmp_path / "out", "testmini", checksums=True)
    assert [dict(row) for row in read] == rows


def test_resampled_audio_is_mono_flac(mmau_folder: Path, make_sound: Callable[..., bytes]) -> None:
    first = mmau_folder / "test-mini-audios" / "0000-test-mini-0.wav"
    first.write_bytes(make_sound(9, channels=6))
    row = next(iter(mmau.rows(mmau_folder, sample_rate=4000)))
    info = audio_info(row["audio"]["bytes"])
    assert (info.sample_rate, info.channels, info.format) == (4000, 1, "FLAC")
    assert row["audio"]["path"] == "0000-test-mini-0.flac"


def test_the_hub_gives_the_same_rows_as_the_json(mmau_folder: Path, mmau_hub: Path) -> None:
    notes: dict[str, Any] = {}
    stored = [{**row, "audio": row["audio"]["bytes"]} for row in mmau.rows(mmau_hub, notes=notes)]
    (mmau_hub / "test_mini.parquet").rename(mmau_folder.parent / "kept.parquet")
    assert stored == [{**row, "audio": row["audio"]["bytes"]} for row in mmau.rows(mmau_folder)]
    assert notes["letters_removed"] == 3
    assert list(notes["sha256"]) == ["test_mini.parquet"]


def test_questions_of_the_json_with_the_audio_of_the_hub(mmau_folder: Path, mmau_hub: Path) -> None:
    (mmau_folder / "test-mini-audios").rename(mmau_folder / "elsewhere-unknown")
    items = mmau.read_items(mmau_folder / "mmau-test-mini.json", audio=mmau_hub)
    wanted = [(mmau_folder / "elsewhere-unknown" / f"{item.id}.wav").read_bytes() for item in items]
    assert [item.audios[0]() for item in items if item.audios[0]] == wanted


def test_options_are_not_stripped_where_not_all_have_their_letter(mmau_folder: Path, edit_json: Edit) -> None:
    def change(items: list[dict[str, Any]]) -> None:
        items[0] |= {"choices": ["(A) Man", "(C) Woman"], "answer": "(A) Man"}

    edit_json(mmau_folder / "mmau-test-mini.json", change)
    notes: dict[str, Any] = {}
    assert mmau.read_items(mmau_folder, notes=notes)[0].choices == ("(A) Man", "(C) Woman")
    assert "letters_removed" not in notes


@pytest.mark.parametrize("as_text", [json.dumps, repr], ids=["json", "python"])
def test_choices_as_one_string(mmau_folder: Path, edit_json: Edit, as_text: Callable[[object], str]) -> None:
    plain = mmau.read_items(mmau_folder)
    edit_json(
        mmau_folder / "mmau-test-mini.json",
        lambda items: [{**item, "choices": as_text(item["choices"])} for item in items],
    )
    assert mmau.read_items(mmau_folder) == plain


def test_the_first_release_has_no_id(mmau_folder: Path, edit_json: Edit) -> None:
    plain = mmau.read_items(mmau_folder)
    path = mmau_folder / "mmau-test-mini.json"
    edit_json(path, lambda items: [{k: v for k, v in item.items() if k != "id"} for item in items])
    assert mmau.read_items(path) == plain


def test_a_category_that_is_a_list(mmau_folder: Path, edit_json: Edit) -> None:
    path = mmau_folder / "mmau-test-mini.json"
    edit_json(path, lambda items: items[2].update(category=["Reasoning"]))
    notes: dict[str, Any] = {}
    assert mmau.read_items(path, notes=notes)[2].category == "Reasoning"
    assert notes["category_was_a_list"] == ["0000-test-mini-2"]
    edit_json(path, lambda items: items[2].update(category=["Reasoning", "More"]))
    with pytest.raises(DatasetError, match=r"item 2 \(0000-test-mini-2\): category .* is not one text"):
        mmau.read_items(path)


def test_the_answers_of_test_are_withheld(mmau_folder: Path) -> None:
    items = mmau.read_items(mmau_folder, split="test")
    assert {item.answer for item in items} == {""}
    assert {item.split for item in items} == {"test"}
    assert all(item.audios[0] for item in items)
    assert [row["answer"] for row in mmau.rows(mmau_folder, split="test")] == ["", "", ""]


def test_a_split_that_is_not_in_the_file(mmau_folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no item of test; it holds test-mini"):
        mmau.read_items(mmau_folder / "mmau-test-mini.json", split="test")
    with pytest.raises(DatasetError, match="splits test-mini, test, not 'valid'"):
        mmau.read_items(mmau_folder, split="valid")


def test_an_answer_that_is_no_choice_needs_leave(mmau_folder: Path, edit_json: Edit) -> None:
    path = mmau_folder / "mmau-test-mini.json"
    edit_json(path, lambda items: items[1].update(answer="Fluet"))
    with pytest.raises(DatasetError, match=r"1 x answer not among choices \(0000-test-mini-1\); of 3 items"):
        mmau.read_items(path)
    with pytest.raises(DatasetError, match="answer not among choices"):
        list(mmau.rows(mmau_folder))
    notes: dict[str, Any] = {}
    assert len(list(mmau.rows(mmau_folder, allow_defects=True, notes=notes))) == 3
    assert notes["defects"] == {"answer not among choices": ["0000-test-mini-1"]}


def test_every_defect_of_options_is_noted_with_its_ids(mmau_folder: Path, edit_json: Edit) -> None:
    def change(items: list[dict[str, Any]]) -> None:
        items[0] |= {"choices": ["Man", "man.", "Child", "Man"], "answer": "Man"}
        items[1] |= {"choices": ["first: sad, second: glad", "first: glad, second: sad"],
                     "answer": "first: glad, second: sad", "sub-category": "Whistling"}  # fmt: skip
        items[2] |= {"choices": ["one", "one", "four"], "sub-category": "Instrumentation"}

    edit_json(mmau_folder / "mmau-test-mini.json", change)
    notes: dict[str, Any] = {}
    mmau.read_items(mmau_folder, notes=notes)
    a, b, c = (f"0000-test-mini-{n}" for n in range(3))
    assert notes["defects"] == {
        "duplicate options": [a, c],
        "gold duplicated": [a],
        "options differ only by case or punctuation": [a],
        "options with the same words": [b],
    }
    assert notes["doubted"] == {"unknown skill": [b], "skill of another task": [c]}


def test_what_the_released_versions_are_called(mmau_questions: Callable[..., list[dict[str, Any]]]) -> None:
    assert set(versions.CURRENT) == set(SKILLS)
    assert sum(versions.CURRENT.values()) == 1000
    tasks = {
        task: sum(n for s, n in versions.CURRENT.items() if SKILLS[s].domain == task)
        for task in ("sound", "music")
    }
    assert tasks == {"sound": 333, "music": 334}
    current = [
        {"sub-category": skill, "split": "test-mini"}
        for skill, n in versions.CURRENT.items()
        for _ in range(n)
    ]
    alike = "no published file, but as many items of each skill as in the current one"
    assert versions.version_of(current) == alike
    assert versions.version_of(current, outside=147) == "unknown (147 answers are not among the choices)"
    stress = {"sub-category": "Phonemic Stress Pattern Analysis", "split": "test-mini"}
    rest = [item for item in current if item["sub-category"] != stress["sub-category"]]
    old = [*rest[:847], *[stress] * 153]
    assert versions.version_of(old) == "by its counts one of October 2024 to 18 May 2025, since replaced"
    broken = "by its counts v05.15.25 before its corrections (146 answers are not among the choices)"
    assert versions.version_of(old, outside=146) == broken
    assert versions.version_of([{**current[0], "sub-category": "Counting"}, *current[1:]]) == "unknown"
    assert versions.version_of([{**item, "split": "test"} for item in current]) == "test, 1000 of 9000 items"


def test_a_published_file_is_known_by_its_checksum() -> None:
    assert len(versions.PUBLISHED) == 17
    assert all(len(sha256) == 64 and int(sha256, 16) for sha256 in versions.PUBLISHED)
    items = [{"sub-category": "Counting", "split": "test-mini"}]
    named = {
        date: versions.version_of(items, sha256=sha256, outside=outside)
        for (sha256, (date, _)), outside in zip(
            versions.PUBLISHED.items(), 6 * [0] + [147, 146, 146] + 8 * [0]
        )
    }
    assert named["2025-08-09"] == "current"
    assert [date for date, name in named.items() if name == "current"] == ["2025-08-09"]
    assert named["2024-10-23"] == "of October 2024 to March 2025, the file published on 2024-10-23"
    assert named["2025-05-15"] == (
        "v05.15.25 before its corrections (147 answers are not among the choices), "
        "the file published on 2025-05-15"
    )
    assert named["2025-06-23"] == "v05.15.25, corrected since, the file published on 2025-06-23"


def test_the_checksum_of_the_file_that_is_read_decides(
    mmau_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = mmau_folder / "mmau-test-mini.json"
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(versions, "PUBLISHED", {sha256: ("2025-08-09", "current")})
    notes: dict[str, Any] = {}
    mmau.read_items(mmau_folder, notes=notes)
    assert notes["version"] == "current"


def test_capitals_of_the_first_releases(mmau_folder: Path, edit_json) -> None:
    def spelt(items: list[dict[str, Any]]) -> None:
        items[0] |= {"difficulty": "Medium", "task": "Sound", "split": "Test_Mini"}

    edit_json(mmau_folder / "mmau-test-mini.json", spelt)
    notes: dict[str, Any] = {}
    items = mmau.read_items(mmau_folder, notes=notes)
    assert (items[0].difficulty, items[0].task, items[0].split) == ("medium", "sound", "test-mini")
    assert set(notes["case_changed"]) == {items[0].id}


def test_missing_audio_is_listed_and_needs_leave(mmau_folder: Path) -> None:
    (mmau_folder / "test-mini-audios" / "0000-test-mini-1.wav").unlink()
    items = mmau.read_items(mmau_folder)
    assert [item.missing for item in items] == [False, True, False]
    assert items[1].audio_names[0].endswith("test-mini-audios/0000-test-mini-1.wav")
    with pytest.raises(
        DatasetError, match=r"1 of 3 items have no audio .*0000-test-mini-1.*allow_missing: true"
    ):
        list(mmau.rows(mmau_folder))
    notes: dict[str, Any] = {}
    assert len(list(mmau.rows(mmau_folder, allow_missing=True, notes=notes))) == 2
    assert notes["missing"] == ["0000-test-mini-1"]


def test_audio_in_another_folder_and_outside_it(mmau_folder: Path, tmp_path: Path, edit_json: Edit) -> None:
    (mmau_folder / "test-mini-audios").rename(tmp_path / "audios")
    assert all(item.missing for item in mmau.read_items(mmau_folder))
    assert not any(item.missing for item in mmau.read_items(mmau_folder, audio=tmp_path / "audios"))
    (tmp_path / "secret.wav").write_bytes(b"not audio of the exam")
    path = mmau_folder / "mmau-test-mini.json"
    edit_json(path, lambda items: items[0].update(audio_id="../secret.wav"))
    assert mmau.read_items(path, audio=tmp_path / "audios")[0].missing


def test_unreadable_and_silent_audio(mmau_folder: Path, make_sound: Callable[..., bytes]) -> None:
    audios = mmau_folder / "test-mini-audios"
    silent = bytearray(make_sound(0))
    silent[44:] = bytes(len(silent) - 44)
    (audios / "0000-test-mini-0.wav").write_bytes(bytes(silent))
    notes: dict[str, Any] = {}
    assert len(list(mmau.rows(mmau_folder, notes=notes))) == 3
    assert notes["silent"] == ["0000-test-mini-0"]
    (audios / "0000-test-mini-1.wav").write_bytes(b"<html>quota exceeded</html>")
    with pytest.raises(
        DatasetError, match=r"1 of 3 items have unusable audio \(0000-test-mini-1; 1 unreadable\)"
    ):
        list(mmau.rows(mmau_folder))


WRONG: dict[str, tuple[Callable[[list[dict[str, Any]]], object], str]] = {
    "an object": (lambda items: {"data": items}, "is not MMAU's file of questions: expected one JSON list"),
    "empty": (lambda items: [], "is not MMAU's file of questions"),
    "no choices": (lambda items: items[1].pop("choices") and None, "item 1 lacks choices; expected"),
    "no skill": (
        lambda items: [{k: v for k, v in i.items() if k != "sub-category"} for i in items],
        "sub-category",
    ),
    "no name": (
        lambda items: [{k: v for k, v in i.items() if k not in ("id", "audio_id")} for i in items],
        "lacks id",
    ),
    "no question": (lambda items: items[0].pop("question") and None, "item 0 lacks question"),
    "numbers": (lambda items: items[0].update(choices=[1, 2]), "choices are not a list of texts"),
    "text": (lambda items: items[0].update(choices="Man, Woman"), "neither JSON nor a Python list"),
    "twice": (lambda items: items[1].update(id=items[0]["id"]), r"1 x duplicated id \(0000-test-mini-0\)"),
    "task": (lambda items: items[0].update(task="video"), "task is not sound, music or speech"),
    "difficulty": (lambda items: items[0].update(difficulty="?"), "difficulty is not easy, medium or hard"),
    "no answer": (lambda items: items[0].update(answer=""), r"1 x no answer \(0000-test-mini-0\)"),
    "one choice": (lambda items: items[0].update(choices=["Man"]), "1 x fewer than two options"),
    "none": (lambda items: items[0].update(choices=[], answer="Man"), "1 x fewer than two options"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_of_another_shape_says_what_was_expected(
    mmau_folder: Path, edit_json: Edit, case: str
) -> None:
    change, message = WRONG[case]
    path = mmau_folder / "mmau-test-mini.json"
    edit_json(path, change)
    with pytest.raises(DatasetError, match=message):
        mmau.read_items(path)


def test_no_file_and_no_json(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"neither mmau-test-mini\.json nor Parquet"):
        mmau.read_items(tmp_path)
    (tmp_path / "mmau-test-mini.json").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(DatasetError, match="does not read as JSON"):
        mmau.read_items(tmp_path)
    (tmp_path / "mmau-test-mini.json").unlink()
    (tmp_path / "test_mini.parquet").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(DatasetError, match="the Parquet there does not read"):
        mmau.read_items(tmp_path)

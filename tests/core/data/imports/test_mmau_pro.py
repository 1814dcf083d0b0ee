from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from core.audio.read import audio_info
from core.data.choices import mmau_pro_doubts, mmau_pro_problems
from core.data.imports import mmau_pro
from core.data.parquet import read_dataset, write_dataset
from core.data.problems import DatasetError
from core.data.schema import MMAU_PRO

INFO = {"name": "mmau_pro", "task": "t", "licence": "l", "source": "s", "protocol": "p"}
Edit = Callable[[Path, Callable[[list[dict[str, Any]]], object]], None]


def test_every_kind_of_question_becomes_a_row(pro_folder: Path) -> None:
    notes: dict[str, Any] = {}
    rows = {row["id"]: row for row in mmau_pro.rows(pro_folder, notes=notes)}
    assert all(list(row) == list(MMAU_PRO) for row in rows.values())
    assert all(mmau_pro_problems(row) + mmau_pro_doubts(row) == [] for row in rows.values())
    second, first = ((pro_folder / "data" / f"{n}.wav").read_bytes() for n in (1, 2))
    assert rows["several"]["audios"] == [
        {"bytes": first, "path": "2.wav"},
        {"bytes": second, "path": "1.wav"},
    ]
    assert rows["several"]["clips"] == ["mmau_pro:2.wav", "mmau_pro:1.wav"]
    assert (rows["open"]["choices"], rows["open"]["answer"]) == ([], "Noise.")
    assert (rows["rules"]["choices"], rows["rules"]["answer"]) == ([], None)
    assert json.loads(rows["rules"]["kwargs"]) == {"N": 20}  # nulls are of other rows' rules
    assert rows["closed"]["kwargs"] == "{}"
    assert (rows["closed"]["transcription"], rows["open"]["transcription"]) == ("hello", "")
    assert (rows["closed"]["perceptual_skills"], rows["closed"]["reasoning_skills"]) == (["Pitch"], [])
    file = pro_folder / "test.parquet"
    assert notes["sha256"] == {file.name: hashlib.sha256(file.read_bytes()).hexdigest()}
    assert notes["counts"]["audio_files"] == {"1": 4, "2": 1}
    assert notes["counts"]["choices"] == {"0": 2, "2": 2, "3": 1}
    assert notes["counts"]["answer_null"] == 1
    assert notes["differs"]["music"] == "0 of 1418"
    assert "defects" not in notes


def test_the_official_categories_add_up() -> None:
    assert sum(mmau_pro.CATEGORIES.values()) == 5305
    closed = {
        name: n for name, n in mmau_pro.CATEGORIES.items() if name not in ("open", "instruction following")
    }
    assert sum(closed.values()) == 4593


def test_rows_are_written_and_read_back(pro_folder: Path, tmp_path: Path) -> None:
    notes: dict[str, Any] = {}
    rows = list(mmau_pro.rows(pro_folder, notes=notes))
    write_dataset(tmp_path / "out", rows, features=MMAU_PRO, split="test", info=INFO, notes=notes)
    assert [dict(row) for row in read_dataset(tmp_path / "out")] == rows


def test_resampling_keeps_the_channels(pro_folder: Path) -> None:
    row = list(mmau_pro.rows(pro_folder, sample_rate=4000))[-1]
    assert row["id"] == "space"
    info = audio_info(row["audios"][0]["bytes"])
    assert (info.sample_rate, info.channels, info.format) == (4000, 2, "FLAC")
    left, right = soundfile.read(io.BytesIO(row["audios"][0]["bytes"]), always_2d=True)[0].T
    assert not np.allclose(left, right)


def test_items_for_an_evaluation_without_importing(pro_folder: Path, tmp_path: Path) -> None:
    pairs = mmau_pro.read_items(pro_folder)
    assert [item.id for _, item in pairs] == [row["id"] for row, _ in pairs]
    assert pairs[3][0]["answer"] is None
    assert pairs[3][1].answer == ""
    loaders = pairs[1][1].audios
    assert [load() for load in loaders if load] == [
        (pro_folder / "data" / f"{n}.wav").read_bytes() for n in (2, 1)
    ]
    (pro_folder / "data").rename(tmp_path / "moved")
    assert all(item.missing for _, item in mmau_pro.read_items(pro_folder / "test.parquet"))
    (tmp_path / "unzipped").mkdir()
    (tmp_path / "moved").rename(tmp_path / "unzipped" / "data")
    assert not any(i.missing for _, i in mmau_pro.read_items(pro_folder, audio=tmp_path / "unzipped"))


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, {}),
        ("", {}),
        ('{"N": 3}', {"N": 3}),
        ("{'N': 3, 'end': None}", {"N": 3}),
        ('[{"N": 3}, {"end": "Bye."}]', {"N": 3, "end": "Bye."}),
    ],
)
def test_arguments_in_every_form(
    pro_folder: Path, edit_pro: Edit, given: object, read: dict[str, Any]
) -> None:
    edit_pro(pro_folder, lambda rows: [{**row, "kwargs": given} for row in rows])
    row = mmau_pro.read_items(pro_folder)[0][0]
    assert json.loads(row["kwargs"]) == read


def test_one_path_as_text_and_lists_as_text(pro_folder: Path, edit_pro: Edit) -> None:
    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {
                **row,
                "audio_path": "data/0.wav",
                "choices": json.dumps(row["choices"] or []),
                "reasoning_skills": "[]",
            }
            for row in rows
        ]

    before = mmau_pro.read_items(pro_folder)
    edit_pro(pro_folder, change)
    after = mmau_pro.read_items(pro_folder)
    assert [row["choices"] for row, _ in after] == [row["choices"] for row, _ in before]
    assert {len(item.audios) for _, item in after} == {1}


def test_a_row_needs_all_of_its_audio(pro_folder: Path) -> None:
    (pro_folder / "data" / "2.wav").unlink()
    with pytest.raises(DatasetError, match=r"1 of 5 items have no audio .*\(several; looked for .*2\.wav\)"):
        list(mmau_pro.rows(pro_folder))
    notes: dict[str, Any] = {}
    rows = list(mmau_pro.rows(pro_folder, allow_missing=True, notes=notes))
    assert [row["id"] for row in rows] == ["closed", "open", "rules", "space"]
    assert notes["missing"] == ["several"]


def test_a_row_without_any_path_is_wrong(pro_folder: Path, edit_pro: Edit) -> None:
    edit_pro(pro_folder, lambda rows: rows[0].update(audio_path=[]))
    with pytest.raises(DatasetError, match=r"1 x no audio bytes \(closed\)"):
        mmau_pro.read_items(pro_folder)


def test_more_audio_than_parquet_reads_back_is_refused_before_decoding(
    pro_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (pro_folder / "data" / "0.wav").stat().st_size
    monkeypatch.setattr(mmau_pro, "BLOCK_BYTES", 3 * size)
    with pytest.raises(DatasetError, match=r"up to open 64 rows hold more than .* set a lower sample_rate"):
        next(mmau_pro.rows(pro_folder))
    monkeypatch.setattr(mmau_pro, "BLOCK_ROWS", 2)  # no two rows that are written together are too large
    assert len(list(mmau_pro.rows(pro_folder))) == 5
    monkeypatch.setattr(mmau_pro, "BLOCK_BYTES", 500)
    with pytest.raises(DatasetError, match="set a lower sample_rate"):
        list(mmau_pro.rows(pro_folder, sample_rate=8000))


def test_defects_are_noted_and_do_not_stop(pro_folder: Path, edit_pro: Edit) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[0]["answer"] = "d"
        rows[1]["choices"] = ["the first", "the first"]
        rows[3]["task_identifier"] = ""

    edit_pro(pro_folder, change)
    notes: dict[str, Any] = {}
    assert len(list(mmau_pro.rows(pro_folder, notes=notes))) == 5
    assert notes["defects"] == {
        "answer not among choices": ["closed"],
        "duplicate options": ["several"],
        "gold duplicated": ["several"],
        "neither answer nor task_identifier": ["rules"],
    }


def test_files_of_another_shape(pro_folder: Path, edit_pro: Edit) -> None:
    edit_pro(pro_folder, lambda rows: [{k: v for k, v in row.items() if k != "kwargs"} for row in rows])
    with pytest.raises(DatasetError, match=r"columns \['kwargs'\] are missing"):
        mmau_pro.read_items(pro_folder)
    edit_pro(pro_folder, lambda rows: rows[1].update(id="closed"))
    with pytest.raises(DatasetError, match=r"1 x duplicated id \(closed\)"):
        mmau_pro.read_items(pro_folder)
    edit_pro(pro_folder, lambda rows: rows[2].update(length_type="endless"))
    with pytest.raises(DatasetError, match="length_type is not short"):
        mmau_pro.read_items(pro_folder)
    edit_pro(pro_folder, lambda rows: [{**row, "kwargs": "N is 3"} for row in rows])
    with pytest.raises(DatasetError, match="row 0: kwargs is 'N is 3', not a mapping"):
        mmau_pro.read_items(pro_folder)
    (pro_folder / "test.parquet").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(DatasetError, match="does not read as Parquet"):
        mmau_pro.read_items(pro_folder)
    (pro_folder / "test.parquet").unlink()
    with pytest.raises(DatasetError, match=r"test\.parquet is missing"):
        mmau_pro.read_items(pro_folder)
    with pytest.raises(DatasetError, match="splits test, not 'valid'"):
        next(mmau_pro.rows(pro_folder, split="valid"))

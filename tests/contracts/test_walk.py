"""The walk of profile paper (`nox -s walk`) has a fake of all that the papers read."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.data.card import RAW
from core.data.inputs import WEIGHTS, inputs, reading_of, work_of
from tests.walk import official_checkpoints, official_data
from tests.walk.opened import Opened
from tests.walk.walk import PROFILE, Step, doctor_complaint, table

ROOT = Path(__file__).resolve().parents[2]
PAPERS = [path.parent.name for path in sorted((ROOT / "projects").glob("*/dvc.yaml"))]


@pytest.mark.parametrize("paper", PAPERS)
def test_every_data_set_and_checkpoint_has_a_fake(paper: str) -> None:
    reading = reading_of(work_of(ROOT, paper, profile=PROFILE), paper=paper)
    sets = {one.name for one in (*reading.sets, *((reading.bank,) if reading.bank else ()))}
    assert sets <= set(official_data.MAKERS)
    assert {one.name for one in reading.weights} <= set(official_checkpoints.MAKERS) <= set(WEIGHTS)


def test_opened_files_are_seen_and_compared_with_the_doctors_list(tmp_path: Path) -> None:
    known = inputs(ROOT, "compa", PROFILE)
    needed = [f"{one.path.split('|')[0]}" for one in known if one.needed]
    files = [f"{path}clip.wav" if path.endswith("/") else path for path in needed]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with Opened(tmp_path / RAW) as opened:
        for name in files:
            (tmp_path / name).read_bytes()
    if not opened.watching:
        pytest.skip("files that are opened can be seen on Linux only")
    assert {f"{RAW}/{name}" for name in opened.files} == set(files)
    assert doctor_complaint(ROOT, ["compa"], opened.files) == ""
    fewer = opened.files - {files[0].removeprefix(f"{RAW}/")}
    assert "named and not opened" in doctor_complaint(ROOT, ["compa"], fewer)
    assert "opened and not named: shared_data/raw/secret.csv" in doctor_complaint(
        ROOT, ["compa"], {*opened.files, "secret.csv"}
    )


def test_the_table_says_what_failed() -> None:
    text = table([Step("a", 1, 1.25, "ok"), Step("b", 2, 0.0, "exit code 1")])
    assert text.splitlines()[-2:] == ["| a | 1 | 1.2 | ok |", "| b | 2 | 0.0 | exit code 1 |"]

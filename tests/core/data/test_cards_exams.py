from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.cards import CARDS, CHECKPOINTS
from core.data.cards_exams import EXAM_CARDS, EXAM_CHECKPOINTS, LALMS, PRO_SCORERS
from core.data.doctor import diagnose
from core.data.findings import Finding, check_card, check_checkpoint
from core.data.schema import EXAMS
from tests.core.data.doctor_world import describe


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return describe(tmp_path)


def test_every_exam_has_a_card_and_no_name_is_taken() -> None:
    assert set(EXAM_CARDS) == set(EXAMS)
    assert not set(EXAM_CARDS) & set(CARDS)
    assert not set(EXAM_CHECKPOINTS) & set(CHECKPOINTS)
    assert set(LALMS) | set(PRO_SCORERS) == set(EXAM_CHECKPOINTS)
    for name, card in EXAM_CARDS.items():
        assert name == card.name
        assert all([card.licence, card.citation, card.protocol, card.homepage.startswith("https://")])
    for name, weights in EXAM_CHECKPOINTS.items():
        assert name == weights.name
        assert weights.command.startswith(f"hf download {name} --revision {weights.revision} ")
        assert len(weights.revision) == 40 or "No commit is pinned" in weights.notes


def test_the_doctor_knows_what_mmau_needs(root: Path) -> None:
    found = {finding.name: finding for finding in diagnose(root, "mmau", profile="paper")[0]}
    assert {*EXAM_CARDS, *EXAM_CHECKPOINTS} <= set(found)
    assert {found[name].status for name in EXAM_CARDS} == {"missing"}
    assert {found[name].status for name in EXAM_CHECKPOINTS} == {"note"}
    assert "github.com/Sakshi113/MMAU" in found["mmau"].next
    assert found["nvidia/audio-flamingo-3-hf"].licence.startswith("NVIDIA OneWay Noncommercial")


def mini(root: Path) -> Finding:
    return check_card(root, EXAM_CARDS["mmau"], splits=("test-mini",))


def test_mmau_from_json_to_imported(root: Path) -> None:
    card = EXAM_CARDS["mmau"]
    folder = root / card.folder
    (folder / "test-mini-audios").mkdir(parents=True)
    assert mini(root).detail.startswith("incomplete, not there: mmau-test-mini.json or ")
    (folder / "mmau-test-mini.json").write_text("[]")
    (folder / "test-mini-audios" / "a.wav").touch()
    assert mini(root).detail == "1 audio files of 1000 (test-mini)"
    for n in range(999):
        (folder / "test-mini-audios" / f"{n}.wav").touch()
    finding = mini(root)
    assert (finding.status, finding.next) == ("present", "python -m shared_data.exams mmau --profile paper")
    info = root / "shared_data" / "datasets" / "paper" / "mmau" / "info.json"
    info.parent.mkdir(parents=True)
    info.write_text(json.dumps({"counts": {"testmini": 990}, "notes": {"testmini": {"missing": ["a"] * 10}}}))
    assert mini(root).detail == "imported, 990 of 1000 rows of test-mini, 10 left out"
    info.write_text(json.dumps({"counts": {"testmini": 1000, "test": 9000}, "notes": {}}))
    both = check_card(root, card, splits=("test-mini", "test"))
    assert both.detail == "imported, 1000 of 1000 rows of test-mini; 9000 of 9000 rows of test"
    info.write_text(json.dumps({"counts": {"testmini": 1000, "test": 8999}, "notes": {}}))
    assert mini(root).status == "present", "this split is whole"
    both = check_card(root, card, splits=("test-mini", "test"))
    assert both.detail == "8999 rows of test imported, 0 left out; officially 9000"
    info.write_text(json.dumps({"counts": {"train": 5}, "notes": {}}))
    assert mini(root).status == "wrong"


def test_mmau_as_the_hubs_parquet(root: Path) -> None:
    card = EXAM_CARDS["mmau"]
    folder = root / card.folder
    folder.mkdir(parents=True)
    rows = [{"context": {"bytes": b"-", "path": None}, "instruction": "?"}] * 1000
    pq.write_table(pa.Table.from_pylist(rows), folder / "test_mini.parquet")
    finding = mini(root)
    assert (finding.status, finding.detail) == (
        "present",
        "official files there (1000 audio files), not imported yet",
    )
    pq.write_table(pa.Table.from_pylist(rows[:999]), folder / "test_mini.parquet")
    assert mini(root).detail == "999 audio files of 1000 (test-mini)"


def test_the_rows_of_mmau_pro_are_no_audio(root: Path) -> None:
    card = EXAM_CARDS["mmau_pro"]
    folder = root / card.folder
    (folder / "data").mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist([{"id": "a", "audio_path": ["data/a.wav"]}] * 5305), folder / "test.parquet"
    )
    assert check_card(root, card).detail == "0 audio files of 5305 (test)"


def test_a_sharded_checkpoint_needs_every_shard(root: Path) -> None:
    card = EXAM_CHECKPOINTS["Qwen/Qwen2-Audio-7B-Instruct"]
    folder = root / card.folder
    folder.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "preprocessor_config.json"):
        (folder / name).write_text("{}")
    index = {
        "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model-1.safetensors").write_bytes(b"weights")
    finding = check_checkpoint(root, card)
    assert finding.status == "missing"
    assert finding.detail.endswith("shards not there: model-2.safetensors")
    pointer = (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + hashlib.sha256(b"").hexdigest().encode()
    )
    (folder / "model-2.safetensors").write_bytes(pointer)
    finding = check_checkpoint(root, card)
    assert finding.status == "wrong"
    assert "Git LFS pointer instead of weights: model-2.safetensors" in finding.detail
    (folder / "model-2.safetensors").write_bytes(b"weights")
    assert check_checkpoint(root, card).status == "present"
    shutil.rmtree(folder)
    assert check_checkpoint(root, card).status == "missing"

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import resource
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest

from core.data import parquet
from core.data.parquet import read_dataset, read_info, write_dataset
from core.data.schema import CAPTIONED, CLASSIFIED, COMPARISON, DatasetError
from core.files import OutputError

INFO = {"name": "toy", "task": "captions", "licence": "CC0", "source": "here", "protocol": "none"}


def captioned(n: int, *, start: int = 0, size: int = 50) -> list[dict]:
    return [
        {
            "id": f"clip-{i}",
            "audio": {"bytes": random.Random(i).randbytes(size), "path": f"{i}.flac"},
            "captions": [f"a dog {i}", "a cat"],
            "clips": [f"bank:{i}"],
        }
        for i in range(start, start + n)
    ]


def comparison(**changes: object) -> dict:
    row = {"id": "a", "clips": ["x"]}
    for part in ("pair", "reversed", "triplet"):
        row[f"{part}_audio"] = {"bytes": b"sound", "path": "x.wav"}
        row[f"{part}_caption"] = "one then two"
    return {**row, **changes}


def write(
    folder: Path, rows: list[dict], *, features: datasets.Features = CAPTIONED, split: str = "test", **more
):
    return write_dataset(folder, rows, features=features, split=split, info=INFO, **more)


def test_round_trip_keeps_rows_and_does_not_decode(tmp_path: Path) -> None:
    rows = captioned(130)  # more than two row groups
    info = write(tmp_path / "toy", rows)
    read = read_dataset(tmp_path / "toy", "test", checksums=True)
    assert list(read) == rows
    assert read.features == CAPTIONED
    assert info == read_info(tmp_path / "toy")
    assert info == {**INFO, "counts": {"test": 130}, "notes": {}, "sha256": info["sha256"]}
    assert sorted(p.name for p in (tmp_path / "toy").iterdir()) == [
        "info.json",
        "test-00000-of-00001.parquet",
    ]


def test_load_dataset_reads_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "toy", captioned(3))
    read = datasets.load_dataset(str(tmp_path / "toy"), split="test", cache_dir=str(tmp_path / "cache"))
    assert read["id"][:] == ["clip-0", "clip-1", "clip-2"]
    assert read.features["audio"] == datasets.Audio(decode=False)


def test_shards_are_byte_for_byte_the_same_and_cut_by_size(tmp_path: Path) -> None:
    first = write(tmp_path / "a", captioned(300, size=2000), shard_bytes=200_000)
    second = write(tmp_path / "b", iter(captioned(300, size=2000)), shard_bytes=200_000)
    assert first["sha256"] == second["sha256"]
    assert len(first["sha256"]) > 1
    assert "test-00000-of-0000" in next(iter(first["sha256"]))
    for name, sha in first["sha256"].items():
        assert hashlib.sha256((tmp_path / "a" / name).read_bytes()).hexdigest() == sha
    assert read_dataset(tmp_path / "a")["id"][:] == [f"clip-{i}" for i in range(300)]


def test_another_split_is_kept_and_the_same_split_replaced(tmp_path: Path) -> None:
    write(tmp_path, captioned(300, size=2000), shard_bytes=200_000)
    write(tmp_path, captioned(4), split="train")
    write(tmp_path, captioned(2))
    assert read_info(tmp_path)["counts"] == {"test": 2, "train": 4}
    assert sorted(p.name for p in tmp_path.glob("*.parquet")) == [
        "test-00000-of-00001.parquet",
        "train-00000-of-00001.parquet",
    ]
    assert len(read_dataset(tmp_path, "train")) == 4


def test_columns_are_read_alone(tmp_path: Path) -> None:
    write(tmp_path, captioned(3))
    assert read_dataset(tmp_path, columns=["id", "captions"]).column_names == ["id", "captions"]


def test_a_large_split_is_memory_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "toy", captioned(5))
    monkeypatch.setattr(parquet, "IN_MEMORY_LIMIT", 10)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    read = read_dataset(tmp_path / "toy")
    assert read.cache_files
    assert list(read) == captioned(5)


def test_notes_filled_while_yielding_are_stored_by_split(tmp_path: Path) -> None:
    notes: dict = {}

    def rows(missing: str):
        yield from captioned(2)
        notes["missing"] = [missing]

    for split in ("test", "train"):
        source = rows(f"clip of {split}")
        write_dataset(tmp_path, source, features=CAPTIONED, split=split, info=INFO, notes=notes)
    write(tmp_path, captioned(1), split="valid")
    assert read_info(tmp_path)["notes"] == {
        "test": {"missing": ["clip of test"]},
        "train": {"missing": ["clip of train"]},
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (captioned(3) + captioned(2), r"2 x duplicated id \(clip-0, clip-1\)"),
        (captioned(70) + captioned(1), r"1 x duplicated id \(clip-0\); of 71 rows"),
        (
            [{**row, "audio": {"bytes": None, "path": "x"}} for row in captioned(5)],
            r"5 x caption without audio \(clip-0,",
        ),
        (
            [{**row, "audio": {"bytes": b"", "path": "x"}} for row in captioned(1)],
            "1 x caption without audio",
        ),
        ([{**row, "captions": []} for row in captioned(1)], "1 x audio without caption"),
        ([{**row, "captions": ["good", " "]} for row in captioned(1)], "1 x audio without caption"),
        ([{**row, "audio": None, "captions": []} for row in captioned(2)], r"2 x no audio bytes"),
        ([{**row, "id": ""} for row in captioned(1)], "1 x no id"),
        ([], "no rows"),
        ([{"id": "a"}], r"row 'a' lacks columns \['audio', 'captions', 'clips'\]"),
        ([{**captioned(1)[0], "extra": 1}], r"unknown \['extra'\]"),
        ([{**captioned(1)[0], "captions": [3]}], "rows 'clip-0' to 'clip-0'"),
    ],
)
def test_bad_rows_are_counted_and_named_and_leave_nothing(
    tmp_path: Path, rows: list[dict], message: str
) -> None:
    folder = tmp_path / "toy"
    with pytest.raises(DatasetError, match=message) as caught:
        write(folder, rows)
    assert str(folder) in str(caught.value)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"triplet_audio": None}, "caption without audio"),
        ({"triplet_caption": None}, "audio without caption"),
        ({"pair_audio": None, "pair_caption": None}, "no audio bytes"),
        ({"reversed_audio": {"bytes": None, "path": None}}, "caption without audio"),
    ],
)
def test_comparisons_need_both_sides(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        write(tmp_path, [comparison(**changes)], features=COMPARISON)


def test_a_pair_without_triplet_is_fine(tmp_path: Path) -> None:
    write(tmp_path, [comparison(triplet_audio=None, triplet_caption=None)], features=COMPARISON)
    assert read_dataset(tmp_path)[0]["triplet_audio"] is None


def test_a_label_is_demanded(tmp_path: Path) -> None:
    row = {"id": "a", "audio": {"bytes": b"x", "path": "x"}, "label": " ", "fold": 1, "clips": []}
    with pytest.raises(DatasetError, match=r"1 x no label \(a\)"):
        write(tmp_path, [row], features=CLASSIFIED)


def test_info_must_say_what_the_data_set_is(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="info lacks licence"):
        write_dataset(tmp_path, captioned(1), features=CAPTIONED, split="test", info={**INFO, "licence": ""})
    with pytest.raises(DatasetError, match="must be letters and digits"):
        write(tmp_path, captioned(1), split="a-b")


def test_an_error_in_the_source_keeps_the_old_data_set(tmp_path: Path) -> None:
    old = write(tmp_path, captioned(2))

    def rows():
        yield from captioned(200)
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        write_dataset(tmp_path, rows(), features=CAPTIONED, split="test", info=INFO)
    assert read_info(tmp_path) == old
    assert len(read_dataset(tmp_path, checksums=True)) == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".test.partial").mkdir()
    (tmp_path / ".test.partial" / "0.parquet").write_bytes(b"half")
    write(tmp_path, captioned(1))
    assert not (tmp_path / ".test.partial").exists()


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.ENOSPC, "is full: free some space"), (errno.EROFS, "is read-only for you")]
)
def test_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    def fail(self: object, table: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(OutputError, match=advice) as caught:
        write(tmp_path / "toy", captioned(3))
    assert str(tmp_path / "toy") in str(caught.value)
    assert list((tmp_path / "toy").iterdir()) == []


def test_a_real_write_limit_leaves_nothing_half_written(tmp_path: Path) -> None:
    old = write(tmp_path, captioned(2))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="is full"):
            write(tmp_path, captioned(500, size=5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_info(tmp_path) == old
    assert len(read_dataset(tmp_path, checksums=True)) == 2


def test_a_read_only_folder(tmp_path: Path) -> None:
    write(tmp_path / "warm", captioned(1))  # imports what writing needs
    tmp_path.chmod(0o500)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # permissions do not bind root
        with pytest.raises(OutputError, match="is read-only for you: make it writable or choose another"):
            write(tmp_path / "toy", captioned(1))
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)
    assert [path.name for path in tmp_path.iterdir()] == ["warm"]


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "toy").write_text("a file")
    with pytest.raises(OutputError, match="cannot write"):
        write(tmp_path / "toy", captioned(1))


def test_reading_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no data set here.*python -m shared_data.datasets"):
        read_dataset(tmp_path / "clotho")
    write(tmp_path, captioned(2))
    with pytest.raises(DatasetError, match="no split 'valid'; there is test"):
        read_dataset(tmp_path, "valid")


def test_a_missing_changed_or_damaged_shard(tmp_path: Path) -> None:
    info = write(tmp_path, captioned(300, size=2000), shard_bytes=200_000)
    shard = tmp_path / next(iter(info["sha256"]))
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    with pytest.raises(
        DatasetError, match=rf"1 of {len(info['sha256'])} shards have another SHA-256.*{shard.name}"
    ):
        read_dataset(tmp_path)
    shard.write_bytes(content[:500])
    with pytest.raises(DatasetError, match="is damaged"):
        read_dataset(tmp_path, checksums=False)
    shard.unlink()
    with pytest.raises(DatasetError, match=rf"1 of {len(info['sha256'])} shards missing.*{shard.name}"):
        read_dataset(tmp_path)


def test_shards_written_by_others_are_checked_on_reading(tmp_path: Path) -> None:
    info = write(tmp_path, captioned(3))
    shard = tmp_path / "test-00000-of-00001.parquet"
    table = pq.read_table(shard)
    pq.write_table(table.take([0, 1, 1]), shard)
    with pytest.raises(DatasetError, match=r"1 x duplicated id \(clip-1\)"):
        read_dataset(tmp_path, checksums=False)
    pq.write_table(table.slice(0, 2), shard)
    with pytest.raises(DatasetError, match=r"counts 3 rows in 'test', the shards hold 2"):
        read_dataset(tmp_path, checksums=False)
    (tmp_path / "info.json").write_text(json.dumps(info)[:-5])
    with pytest.raises(DatasetError, match=r"info\.json is damaged"):
        read_dataset(tmp_path)
    (tmp_path / "info.json").write_text(json.dumps({"counts": {"test": 3}}))
    with pytest.raises(DatasetError, match="no mapping with counts and sha256"):
        read_dataset(tmp_path)


def test_a_shard_swapped_for_another_of_as_many_rows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a", captioned(3))
    write(tmp_path / "b", captioned(3, start=3))
    name = "test-00000-of-00001.parquet"
    hashed: list[Path] = []
    sha256 = parquet._sha256
    monkeypatch.setattr(parquet, "_sha256", lambda path: hashed.append(path) or sha256(path))
    for columns in (None, ["id", "captions"], None):
        assert len(read_dataset(tmp_path / "a", columns=columns)) == 3
    assert hashed == [tmp_path / "a" / name]  # once, as long as the file is the same
    os.replace(tmp_path / "b" / name, tmp_path / "a" / name)
    for columns in (None, ["id", "captions"]):
        with pytest.raises(DatasetError, match="1 of 1 shards have another SHA-256"):
            read_dataset(tmp_path / "a", columns=columns)

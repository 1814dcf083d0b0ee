from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.contamination import ContaminationError, check_contamination, overlapping
from core.data.manifest import manifest_of, read_manifest, write_manifest
from core.data.schema import DatasetError


def frame(*rows: dict) -> pd.DataFrame:
    empty = {
        "youtube_id": "",
        "start": np.nan,
        "end": np.nan,
        "path": "a.wav",
        "caption": "a dog",
        "sha256": "",
    }
    return pd.DataFrame.from_records([{"source_dataset": "t", "clips": (), **empty, **row} for row in rows])


def video(name: str, start: float, end: float) -> dict:
    return {"id": f"{name}-{start}", "youtube_id": name, "start": start, "end": end}


def test_a_clean_pair_gives_a_report() -> None:
    test = frame({"id": "a", "clips": ("bank:1",)}, video("v", 0, 10))
    train = frame({"id": "b", "clips": ("bank:2",)}, video("v", 10, 20), video("w", 0, 10))
    report = check_contamination({"clotho": test}, {"part": train})
    assert report == {"tests": {"clotho": 2}, "manifests": {"part": 3}, "tolerance": 0.0, "found": {}}


@pytest.mark.parametrize(
    ("test", "train", "way"),
    [
        ({"id": "a"}, {"id": "a"}, "id"),
        ({"id": "a", "clips": ("freesound:7", "x")}, {"id": "b", "clips": ("y", "freesound:7")}, "clip"),
        ({"id": "a", **video("v", 30, 40)}, {"id": "b", **video("v", 39, 49)}, "time"),
        ({"id": "a", "sha256": "ff"}, {"id": "b", "sha256": "ff"}, "sha256"),
    ],
)
def test_each_way_is_found(test: dict, train: dict, way: str) -> None:
    test, train = {**test, "id": "a"}, {**train, "id": train["id"] if way == "id" else "b"}
    tests = {"esc50": frame({"id": "clean"}, test)}
    with pytest.raises(ContaminationError, match=rf"esc50 in wavcaps: 1 of 2 by {way} \(a\)") as caught:
        check_contamination(tests, {"clean": frame({"id": "c"}), "wavcaps": frame(train)})
    assert caught.value.report["found"] == {"esc50": {"wavcaps": {way: ["a"]}}}


def test_empty_ids_hashes_and_videos_never_match() -> None:
    check_contamination({"t": frame({"id": "a"})}, {"m": frame({"id": "b"})})


def test_the_same_id_of_another_source_is_not_the_same_clip() -> None:
    check_contamination({"t": frame({"id": "0"})}, {"m": frame({"id": "0", "source_dataset": "other"})})


def test_pieces_of_one_video_are_compared_by_time_only() -> None:
    test = manifest_of([{"id": "a", "clips": ["youtube:v@0-10"]}], source_dataset="t")
    same_piece = manifest_of([{"id": "b", "clips": ["youtube:v@0-10"]}], source_dataset="m")
    other_piece = manifest_of([{"id": "b", "clips": ["youtube:v@10-20"]}], source_dataset="m")
    whole_video = manifest_of([{"id": "b", "clips": ["youtube:v"]}], source_dataset="m")
    check_contamination({"t": test}, {"m": other_piece})
    for train in (same_piece, whole_video):
        with pytest.raises(ContaminationError, match=r"1 of 1 by time \(a\)"):
            check_contamination({"t": test}, {"m": train})


def test_overlap_agrees_with_brute_force() -> None:
    rng = np.random.default_rng(0)

    def intervals(n: int) -> pd.DataFrame:
        start = rng.integers(0, 60, n).astype(float)
        table = frame(*(video(f"v{rng.integers(40)}", s, s + rng.integers(1, 12)) for s in start))
        table.loc[rng.random(n) < 0.05, ["start", "end"]] = np.nan
        return table

    for tolerance in (0.0, 0.5, 3.0):
        test, train = intervals(200), intervals(150)
        a, b = test.fillna({"start": 0.0, "end": 1e6}), train.fillna({"start": 0.0, "end": 1e6})
        shared = np.minimum.outer(a.end.to_numpy(), b.end.to_numpy()) - np.maximum.outer(
            a.start.to_numpy(), b.start.to_numpy()
        )
        same = a.youtube_id.to_numpy(dtype=str)[:, None] == b.youtube_id.to_numpy(dtype=str)[None]
        want = (same & (shared > tolerance)).any(1)
        got = overlapping(test, train, tolerance=tolerance)
        assert 0 < want.sum() < len(want)
        np.testing.assert_array_equal(got, want)


def test_the_check_is_not_quadratic_in_memory() -> None:
    n = 60_000  # a table of N x M booleans would be 3.6 GB
    one_video = pd.DataFrame(
        {
            "id": np.arange(n).astype(str),
            "source_dataset": "m",
            "youtube_id": "v",
            "start": np.arange(n) * 2.0,
        }
    ).assign(end=lambda f: f.start + 1, clips=[()] * n, sha256="")
    test = one_video.assign(source_dataset="t", start=one_video.start + 1, end=one_video.start + 2)
    assert check_contamination({"t": test}, {"m": one_video})["found"] == {}


def test_the_manifest_of_a_data_set() -> None:
    rows = [
        {"id": "a", "pair_audio": {"bytes": b"1"}, "reversed_audio": {"bytes": b"2"}, "triplet_audio": None}
        | {"clips": ["youtube:v@1-2.5", "compa:1.wav"]}
    ]
    got = manifest_of(rows, source_dataset="compa")
    assert got["id"].tolist() == ["a", "a"]
    assert got["youtube_id"].tolist() == ["v", ""]
    assert (got.start[0], got.end[0]) == (1.0, 2.5)
    assert got["sha256"].str.len().tolist() == [64, 64]
    with pytest.raises(DatasetError, match="no rows to check"):
        manifest_of([], source_dataset="x")


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_manifests_round_trip(tmp_path: Path, ending: str) -> None:
    entity = "clotho:Geese1 - (Apollonia&#39;s sPA) 18.44 05.10.wav"
    rows = frame(
        {**video("aB3_dE-gH1k", 1, 2), "clips": ("a", "b")},
        {"id": "x", "sha256": "ff", "path": " a street.wav"},
        {"id": "y", "clips": (entity, "clotho:rain; at night.wav")},
    )
    path = tmp_path / f"manifest{ending}"
    write_manifest(path, rows)
    got = read_manifest(path)
    pd.testing.assert_frame_equal(got[sorted(got)], rows[sorted(rows)], check_dtype=False)


HEADER = "id,source_dataset,youtube_id,start,end,path,caption\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "id,path\n1,a.wav\n",
            r"columns \['source_dataset', 'youtube_id', 'start', 'end', 'caption'\] are missing",
        ),
        (HEADER + "1,s,,,,a.wav,a dog\n1,s,,,,b.wav,a cat\n", r"1 x duplicated id \(1\); of 2 rows"),
        (HEADER + "1,s,,,,,a dog\n", r"1 x caption without audio \(1\)"),
        (HEADER + "1,s,,,,a.wav,\n", r"1 x audio without caption \(1\)"),
        (HEADER + "1,s,v,9,3,a.wav,a dog\n", r"1 x end not after start \(1\)"),
        (HEADER + "1,s,v,-1,3,a.wav,a dog\n", r"1 x negative start \(1\)"),
        (HEADER + "1,s,v,soon,3,a.wav,a dog\n", r"start is not a number in 1 rows \(1\)"),
        (HEADER + ",s,,,,a.wav,a dog\n", "1 x no id"),
        ("", "does not read as a .csv file"),
    ],
)
def test_bad_manifests(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(content)
    with pytest.raises(DatasetError, match=message) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)


def test_a_manifest_with_a_byte_order_mark_and_missing_audio(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text("\ufeff" + HEADER + "1,s,,,,a.wav,a dog\n")
    assert read_manifest(path)["id"].tolist() == ["1"]
    with pytest.raises(DatasetError, match=r"1 x audio file missing \(1\)"):
        read_manifest(path, audio=True)
    with pytest.raises(DatasetError, match="no training manifest here"):
        read_manifest(tmp_path / "other.csv")


@pytest.mark.parametrize(
    "youtube_id", ["YaB3_dE-gH1k", "aB3_dE-gH1", "https://youtu.be/aB3_dE-gH1k", "#NAME?"]
)
def test_what_is_no_youtube_id_compares_with_nothing_and_is_refused(tmp_path: Path, youtube_id: str) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(HEADER + f"x,made_up,{youtube_id},30,40,a.wav,cap\n")
    with pytest.raises(DatasetError, match=r"1 x youtube_id is not eleven letters, digits, - or _ \(x\)"):
        read_manifest(path)
    path.write_text(HEADER.strip() + f",clips\nx,made_up,,,,a.wav,cap,youtube:{youtube_id}@30-40\n")
    with pytest.raises(DatasetError, match="1 x a clip of YouTube"):
        read_manifest(path)


def test_videos_that_only_the_clips_name_are_compared_by_time(tmp_path: Path) -> None:
    test = manifest_of([{"id": "a", "clips": ["youtube:aB3_dE-gH1k@30-40"]}], source_dataset="audiocaps")
    path = tmp_path / "manifest.csv"
    clips = "freesound:7;youtube:0123456789-@0-10;youtube:aB3_dE-gH1k@35-45"
    path.write_text(HEADER.strip() + f",clips\nx,made_up,,,,a.wav,cap,{clips}\n")
    train = read_manifest(path)
    assert train["youtube_id"].tolist() == ["0123456789-", "aB3_dE-gH1k"]
    with pytest.raises(ContaminationError) as caught:
        check_contamination({"t": test}, {"m": train})
    assert caught.value.report["found"] == {"t": {"m": {"time": ["a"]}}}


def test_an_entity_in_a_file_name_parts_no_clips(tmp_path: Path) -> None:
    name = "clotho:Geese1 - (Apollonia&#39;s sPA) 18.44 05.10.wav"
    path = tmp_path / "manifest.csv"
    path.write_text(HEADER.strip() + f",clips\nx,made_up,,,,a.wav,cap,{name};freesound:7\n")
    assert read_manifest(path)["clips"].tolist() == [(name, "freesound:7")]

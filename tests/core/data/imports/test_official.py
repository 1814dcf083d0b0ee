"""What each official layout has of its own."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from core.data.imports import compa, esc50, fsd50k, urbansound8k, vggsound
from core.data.imports.compa import order_rows
from core.data.manifest import manifest_of
from core.data.problems import DatasetError


def test_compa_order_joins_by_row_and_reads_triplets(official) -> None:
    triplet, pair = official("compa_order").rows_now()
    assert triplet["reversed_audio"]["path"] == "25_rev.wav"
    assert triplet["triplet_caption"] == "A dog then barks, a bell rings"
    assert triplet["clips"] == ["compa_order:34.wav", "compa_order:25_rev.wav", "compa_order:34_trip.wav"]
    assert (pair["triplet_audio"], pair["triplet_caption"]) == (None, None)
    assert (pair["id"], pair["pair_caption"]) == ("compa_order-001", "Rain followed by thunder")


def test_compa_order_in_the_archives_own_folder(official, tmp_path: Path) -> None:
    layout = official("compa_order")
    layout.folder.rename(tmp_path / "inner")
    layout.folder.mkdir()
    (tmp_path / "inner").rename(layout.folder / "CompA")
    assert len(layout.rows_now()) == 2


def test_captions_of_other_words_are_reported_and_kept(official, caplog: pytest.LogCaptureFixture) -> None:
    layout = official("compa_order")
    layout.csv.write_text(
        layout.csv.read_text().replace("Thunder followed by rain", "Thunder followed by hail")
    )
    notes: dict = {}
    assert len(layout.rows_now(notes=notes)) == 2
    assert notes == {"words_differ": ["compa_order-001"]}
    assert "captions of 1 instances differ in words (compa_order-001)" in caplog.text


def test_half_a_triplet_is_an_error(official) -> None:
    layout = official("compa_order")
    layout.csv.write_text(layout.csv.read_text().replace("34_trip.wav", "-"))
    with pytest.raises(
        DatasetError, match=r"1 rows have a caption without audio or audio without a caption \(row 1\)"
    ):
        layout.rows_now()


@pytest.mark.parametrize("repeated", [False, True])
def test_compa_attribute_reads_the_second_columns(official, repeated: bool) -> None:
    layout = official("compa_attribute")
    if repeated:
        layout.csv.write_text(layout.csv.read_text().replace(".1,", ",").replace("file.1\n", "file\n", 1))
        assert "pair_file,reversed_pair_file,pair_file,reversed_pair_file\n" in layout.csv.read_text()
    first, second = layout.rows_now()
    assert (first["pair_audio"]["path"], first["reversed_audio"]["path"]) == ("0.wav", "0_rev.wav")
    assert first["clips"][:2] == ["youtube:yt-one", "youtube:yt-two"]
    assert second["clips"] == ["youtube:yt-three", "compa_attribute:1.wav", "compa_attribute:1_rev.wav"]
    assert first["triplet_audio"] is None


def test_audiocaps_groups_captions_and_knows_its_times(official) -> None:
    first, second, third = official("audiocaps").rows_now()
    assert [len(row["captions"]) for row in (first, second, third)] == [5, 5, 5]
    assert all("vid-a" in caption for caption in first["captions"])
    assert [row["audio"]["path"] for row in (first, second, third)] == ["vid-a_30.wav", "57.wav", "vid_c.wav"]
    times = manifest_of([first], source_dataset="audiocaps").iloc[0]
    assert (times.youtube_id, times.start, times.end) == ("vid-a", 30.0, 40.0)


def test_audiocaps_wants_five_captions(official) -> None:
    layout = official("audiocaps")
    layout.csv.write_text("\n".join(layout.csv.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(DatasetError, match=r"1 clips do not have 5 captions \(vid_c_10\)"):
        layout.rows_now()


def test_audiocaps_does_not_guess_which_piece_of_a_video_a_file_is(official) -> None:
    layout = official("audiocaps")
    layout.csv.write_text(layout.csv.read_text().replace("vid_b,0", "vid_c,0"))
    with pytest.raises(DatasetError, match=r"1 of 3 clips have no audio .*\(vid_c_10"):
        layout.rows_now()


def test_a_time_that_is_no_number(official) -> None:
    for name, old, new in (("audiocaps", "vid-a,30", "vid-a,soon"), ("vggsound", "hqg,30", "hqg,soon")):
        layout = official(name)
        layout.csv.write_text(layout.csv.read_text().replace(old, new, 1))
        with pytest.raises(DatasetError, match="is not a number in 1 rows"):
            layout.rows_now()


def test_clotho_takes_freesound_ids_where_there_are_any(official) -> None:
    layout = official("clotho")
    assert [row["id"] for row in layout.rows_now()] == ["Rain, at night", "Santa Motor"]
    assert layout.rows_now()[0]["clips"] == ["clotho:Rain, at night.wav"]
    (layout.folder / "clotho_metadata_evaluation.csv").write_bytes(
        b'file_name,keywords,sound_id\n"Rain, at night.wav",caf\xe9,1234\nSanta Motor.wav,x,Not found\n'
    )
    assert [row["clips"] for row in layout.rows_now()] == [["freesound:1234"], ["clotho:Santa Motor.wav"]]


def test_esc50_and_urbansound8k_say_label_fold_and_recording(official) -> None:
    layout = official("esc50")
    got = [(row["id"], row["label"], row["fold"], row["clips"]) for row in layout.rows_now()]
    assert got[1] == ("2-101296-A-19", "thunderstorm", 2, ["freesound:101296"])
    assert esc50.labels(layout.folder) == ["dog", "thunderstorm"]
    layout = official("urbansound8k")
    got = [(row["id"], row["label"], row["fold"], row["clips"]) for row in layout.rows_now()]
    assert got[0] == ("100032-3-0-0", "dog bark", 5, ["freesound:100032"])
    assert urbansound8k.labels(layout.folder) == ["children playing", "dog bark"]


INDEXES = {"esc50": "esc50_index_2.0.json", "urbansound8k": "urbansound8k_index_1.0.json"}


@pytest.mark.parametrize("name", list(INDEXES))
def test_the_index_of_soundata_brings_checksums(official, soundata_index, name: str) -> None:
    layout = official(name)
    home = layout.csv.parent.parent
    md5 = {p: hashlib.md5(p.read_bytes()).hexdigest() for p in layout.audio}
    index = {p.stem: (str(p.relative_to(home)), md5[p]) for p in layout.audio}
    soundata_index(home / INDEXES[name], index)
    assert len(layout.rows_now()) == layout.rows
    layout.audio[1].unlink()
    assert len(layout.rows_now(allow_missing=True)) == layout.rows - 1
    layout.audio[0].write_bytes(layout.audio[0].read_bytes() + b"\0")
    with pytest.raises(DatasetError, match=rf"1 files in .* have another MD5 .*\({layout.audio[0].stem}\)"):
        layout.rows_now(allow_missing=True)
    soundata_index(home / INDEXES[name], {**index, "other": ("audio/other.wav", "0")})
    with pytest.raises(
        DatasetError, match=r"1 clips of soundata's index of .* are not in it \(other\), 0 are in it"
    ):
        layout.rows_now()


def test_a_csv_that_soundata_cannot_read(official) -> None:
    layout = official("esc50")
    layout.csv.write_text(layout.csv.read_text().replace("A-0.wav,1,0", "A-0.wav,one,0"))
    with pytest.raises(DatasetError, match=r"soundata cannot read it .*'one'"):
        layout.rows_now()


def test_vggsound_reads_one_split_and_all_labels(official, write_wav) -> None:
    layout = official("vggsound")
    assert [row["label"] for row in layout.rows_now()] == ["waterfall burbling", "train whistling"]
    write_wav(layout.folder / "audio" / "-1oRfe0FQI8_000060.wav")
    (train,) = layout.rows_now(split="train")
    assert (train["label"], train["clips"]) == ("railroad car, train wagon", ["youtube:-1oRfe0FQI8@60-70"])
    assert vggsound.labels(layout.folder) == [
        "railroad car, train wagon",
        "train whistling",
        "waterfall burbling",
    ]


def test_fsd50k_keeps_all_labels_of_a_clip_and_its_splits(official, write_wav) -> None:
    layout = official("fsd50k")
    assert [row["labels"] for row in layout.rows_now()] == [["Bark", "Dog"], ["Rain"]]
    assert fsd50k.labels(layout.folder) == ["Bark", "Dog", "Rain", "Water tap"]
    write_wav(layout.folder / "FSD50K.dev_audio" / "16399.wav")
    assert [row["id"] for row in layout.rows_now(split="valid")] == ["16399"]


def test_fsd50k_refuses_labels_outside_the_vocabulary(official) -> None:
    layout = official("fsd50k")
    layout.csv.write_text(layout.csv.read_text().replace("175151,Rain", "175151,Reign"))
    with pytest.raises(
        DatasetError, match=r"1 clips have no label or one that vocabulary.csv lacks \(175151\)"
    ):
        layout.rows_now()


def test_importers_are_lazy_about_audio(official, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = official("compa_order")
    read: list[Path] = []
    monkeypatch.setattr(
        "core.data.imports.layout.load_audio",
        lambda path, sample_rate: read.append(path) or {"path": path.name},
    )
    next(order_rows(layout.folder))
    assert len(read) == 3
    assert compa.FEATURES["pair_audio"].decode is False

"""How lists and disks spell one file, and lists that other programs have saved again."""

from __future__ import annotations

import json
import logging
import unicodedata
from pathlib import Path

import pytest

from core.data.imports import audiocaps, audioset, clotho, clothoaqa, fsd50k, tut2017, vggsound
from core.data.imports.names import Finder, below, plain_name, video_stems
from core.data.imports.plain import read_json, read_list
from core.data.schema import DatasetError

CAPTIONS = "file_name," + ",".join(f"caption_{i}" for i in range(1, 6)) + "\n"


def captioned(folder: Path, *names: str) -> Path:
    lines = [f'"{name}",a,b,c,d,e\n' for name in names]
    (folder / "clotho_captions_evaluation.csv").write_text(CAPTIONS + "".join(lines), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("listed", "stored"),
    [
        (" a street in a town.wav", " a street in a town.wav"),
        ("a street in a town.wav ", "a street in a town.wav"),
        ("a street in a town.wav", " a street in a town.wav"),
        ("café in Malmö.wav", unicodedata.normalize("NFD", "café in Malmö.wav")),
        (unicodedata.normalize("NFD", "café in Malmö.wav"), "café in Malmö.wav"),
        ("Rain, at; night 'x'.wav", "Rain, at; night 'x'.wav"),
        ("rain.wav", "rain.WAV"),
    ],
)
def test_a_file_is_found_however_it_is_spelt(tmp_path: Path, write_wav, listed: str, stored: str) -> None:
    write_wav(tmp_path / "evaluation" / stored)
    (row,) = clotho.rows(captioned(tmp_path, listed))
    assert row["id"] == plain_name(listed).removesuffix(".wav")
    assert row["clips"] == [f"clotho:{plain_name(listed)}"]
    assert row["audio"]["path"] == stored


def test_a_name_that_two_files_are_like_is_missing(tmp_path: Path, write_wav) -> None:
    for name in (" a.wav", "a.wav "):
        (tmp_path / name).touch()
    finder = Finder(tmp_path)
    assert finder.find([tmp_path / "a.wav"]) is None
    assert finder.find([tmp_path / "a.wav "]) == tmp_path / "a.wav "


@pytest.mark.parametrize("name", ["../../secret.wav", "/etc/secret.wav", "../../clotho_x/secret.wav"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, write_wav, name: str) -> None:
    folder = tmp_path / "clotho"
    write_wav(folder / "evaluation" / "a.wav")
    write_wav(tmp_path / "secret.wav")
    with pytest.raises(DatasetError, match=r"is not inside .*clotho: take the official file"):
        list(clotho.rows(captioned(folder, name), allow_missing=True))


@pytest.mark.parametrize("name", ["x" * 300 + ".wav", "x" * 300 + "/a.wav"])
def test_a_name_that_no_disk_takes_is_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="1 of 1 clips have no audio"):
        list(clotho.rows(captioned(tmp_path, name)))


def test_backslashes(tmp_path: Path, write_wav) -> None:
    home = tmp_path / "TUT-acoustic-scenes-2017-evaluation"
    write_wav(home / "audio" / "1.wav")
    (home / "meta.txt").write_text("audio\\1.wav\tbeach\n")
    assert len(list(tut2017.rows(tmp_path))) == 1
    assert below(tmp_path, ".\\test-mini-audios\\x.wav") == tmp_path / "test-mini-audios" / "x.wav"
    assert below(tmp_path, "C:\\data\\..\\x.wav") == tmp_path / "data" / "x.wav"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252"])
def test_clothos_metadata_in_any_encoding(tmp_path: Path, write_wav, encoding: str) -> None:
    name = "café’s.wav" if encoding != "latin-1" else "café.wav"
    write_wav(tmp_path / "evaluation" / name)
    (tmp_path / "clotho_metadata_evaluation.csv").write_text(
        f"file_name,sound_id\n{name},4242\n", encoding=encoding
    )
    (row,) = clotho.rows(captioned(tmp_path, name))
    assert row["clips"] == ["freesound:4242"]


def test_clothos_metadata_of_other_files_is_said(
    tmp_path: Path, write_wav, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        write_wav(tmp_path / "evaluation" / name)
    captioned(tmp_path, "a.wav", "b.wav", "c.wav")
    notes: dict = {}
    with caplog.at_level(logging.WARNING):
        list(clotho.rows(tmp_path, notes=notes))
    assert "compared by file names only" in caplog.text
    (tmp_path / "clotho_metadata_evaluation.csv").write_text(
        "file_name,sound_id\na.wav,1\nb.wav,Not found\nx.wav,2\n"
    )
    with caplog.at_level(logging.WARNING):
        rows = list(clotho.rows(tmp_path, notes=notes))
    assert [row["clips"][0] for row in rows] == ["freesound:1", "clotho:b.wav", "clotho:c.wav"]
    assert notes == {"without_metadata": ["c.wav"], "metadata_without_captions": ["x.wav"]}
    assert "1 files without metadata (c.wav)" in caplog.text


def test_clothoaqas_lists_and_archive_spell_two_files_differently(tmp_path: Path, write_wav) -> None:
    listed, stored = (
        "Geese1 - (Apollonia&#39;s sPA) 18.44 05.10.wav",
        "Geese1 - (Apollonia's sPA) 18_44 05_10.wav",
    )
    for name in (stored, "other.wav"):
        write_wav(tmp_path / "audio_files" / name)
    lines = "".join(f'"{listed}",Geese?,{answer},{sure}\n' for answer, sure in
                    (("yes", "Yes"), ("yes", "maybe"), ("yes", "no")))  # fmt: skip
    (tmp_path / "clotho_aqa_test.csv").write_text("file_name,QuestionText,answer,confidence\n" + lines)
    (tmp_path / "clotho_aqa_metadata.csv").write_text(
        ",file_name,keywords,sound_link,start_end_samples,manufacturer,license\n"
        '0,"Geese1 - (Apollonia&#39;s sPA) 18_44 05.10.wav",geese,https://freesound.org/people/x/sounds/9,,x,y\n'
    )
    notes: dict = {}
    (row,) = clothoaqa.rows(tmp_path, notes=notes)
    assert (row["audio"]["path"], row["clips"], row["answers"]) == (stored, ["freesound:9"], ["yes"] * 3)
    assert "without_metadata" not in notes


@pytest.mark.parametrize("header", ["index,label,mid\n", "0,1,2\n", ",label,mid\n", "id,name,code\n"])
def test_a_header_in_fsd50ks_vocabulary_is_no_class(tmp_path: Path, header: str) -> None:
    folder = tmp_path / "FSD50K.ground_truth"
    folder.mkdir()
    rows = "0,Bark,/m/05tny_\n1,Meow,/m/07qrkrw\n"
    (folder / "vocabulary.csv").write_text(header + rows)
    assert fsd50k.labels(tmp_path) == ["Bark", "Meow"]
    (folder / "vocabulary.csv").write_text(rows + header)
    with pytest.raises(DatasetError, match=r"1 rows are not what they should be \(row 3\)"):
        fsd50k.labels(tmp_path)
    (folder / "vocabulary.csv").write_text(",0,1,2\n0,0,Bark,/m/05tny_\n1,1,Meow,/m/07qrkrw\n")
    with pytest.raises(DatasetError, match="do not have 3 fields"):
        fsd50k.labels(tmp_path)


@pytest.mark.parametrize("header", ["youtube_id,start_seconds,label,split\n", "0,1,2,3\n", "a,b,c,d\n"])
def test_a_header_in_vggsounds_list_is_no_class(tmp_path: Path, write_wav, header: str) -> None:
    (tmp_path / "vggsound.csv").write_text(header + "aB3_dE-gH1k,30,cow lowing,test\n")
    assert vggsound.labels(tmp_path) == ["cow lowing"]
    write_wav(tmp_path / "test" / "aB3_dE-gH1k_000030.wav")
    assert [row["id"] for row in vggsound.rows(tmp_path)] == ["aB3_dE-gH1k_000030"]
    (tmp_path / "vggsound.csv").write_text("aB3_dE-gH1k,soon,cow lowing,test\n")
    with pytest.raises(DatasetError, match="start is not a number"):
        vggsound.labels(tmp_path)


SEGMENTS = (
    "# Segments csv created Sun Mar  5 10:54:25 2017\n# num_ytids=2, num_segs=2\n"
    "# YTID, start_seconds, end_seconds, positive_labels\n"
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (SEGMENTS + "a, 0, 10, x\n# a note\nb, 0, 10, x\n", ["a", "b"]),
        (SEGMENTS.replace("\n", "\r\n") + "a, 0, 10, x\r\n", ["a"]),
        ('"# YTID, start_seconds"\na, 0, 10, x\n', ["a"]),
        ("#YTID\na, 0, 10, x\n", ["a"]),
        (SEGMENTS + "a, 0, 10, x\n#b, 0, 10, x\n", ["a", "#b"]),
    ],
)
def test_comments_of_audioset(tmp_path: Path, text: str, rows: list[str]) -> None:
    path = tmp_path / "eval_segments.csv"
    path.write_text(text, newline="")
    table = read_list(path, columns=("id", "start", "end", "labels"), delimiter=",", comment="#")
    assert [row["id"] for row in table] == rows


@pytest.mark.parametrize(
    "text", ["a, 0, 10, x\n#NAME?, 0, 10, x\n", "#NAME?, 0, 10, x\n", '"#REF!",0,10,x\n']
)
def test_a_spreadsheets_error_is_no_comment(tmp_path: Path, text: str) -> None:
    path = tmp_path / "eval_segments.csv"
    path.write_text(SEGMENTS + text)
    with pytest.raises(DatasetError, match="1 rows hold #NAME"):
        read_list(path, columns=("id", "start", "end", "labels"), delimiter=",", comment="#")


def test_a_spreadsheets_error_in_any_csv(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("audiocap_id,youtube_id,start_time,caption\n1,#NAME?,30,a\n")
    with pytest.raises(DatasetError, match="1 rows hold #NAME"):
        list(audiocaps.rows(tmp_path))


@pytest.mark.parametrize(
    "stem",
    ["aB3_dE-gH1k", "YaB3_dE-gH1k", "aB3_dE-gH1k_30", "aB3_dE-gH1k_30000", "YaB3_dE-gH1k_30.000_40.000",
     "aB3_dE-gH1k_000030", "aB3_dE-gH1k_30_40", "aB3_dE-gH1k_30000_40000"],
)  # fmt: skip
def test_the_usual_names_of_pieces_of_videos(tmp_path: Path, write_wav, stem: str) -> None:
    (tmp_path / "test.csv").write_text(
        "audiocap_id,youtube_id,start_time,caption\n"
        + "".join(f"{i},aB3_dE-gH1k,30,c{i}\n" for i in range(5))
    )
    (tmp_path / "vggsound.csv").write_text("aB3_dE-gH1k,30,cow lowing,test\n")
    (tmp_path / "class_labels_indices.csv").write_text('index,mid,display_name\n0,/m/1,"Speech"\n')
    (tmp_path / "eval_segments.csv").write_text(SEGMENTS + 'aB3_dE-gH1k, 30.000, 40.000, "/m/1"\n')
    write_wav(tmp_path / "audio" / f"{stem}.wav")
    for read in (audiocaps.rows, vggsound.rows, audioset.rows):
        (row,) = read(tmp_path)
        assert row["clips"] == ["youtube:aB3_dE-gH1k@30-40"]


def test_a_bare_video_is_no_name_for_one_of_its_pieces() -> None:
    assert "aB3_dE-gH1k" in video_stems("aB3_dE-gH1k", 30, 40, alone=True)
    assert not {"aB3_dE-gH1k", "YaB3_dE-gH1k"} & set(video_stems("aB3_dE-gH1k", 30, 40, alone=False))


def test_a_y_before_the_id_is_left_out_of_the_provenance(tmp_path: Path, write_wav) -> None:
    (tmp_path / "vggsound.csv").write_text("YaB3_dE-gH1k,30,cow lowing,test\n")
    write_wav(tmp_path / "audio" / "YaB3_dE-gH1k_000030.wav")
    (row,) = vggsound.rows(tmp_path)
    assert row["clips"] == ["youtube:aB3_dE-gH1k@30-40"]


def test_json_lines_are_read_and_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    rows = [{"text": "one\u2028line"}, {"text": "two"}]
    path.write_bytes(
        b"\xef\xbb\xbf" + "\r\n".join(json.dumps(r, ensure_ascii=False) for r in rows).encode() + b"\n\n"
    )
    assert read_json(path) == rows
    path.write_text('{"text": 1}\n{"text": \n')
    with pytest.raises(DatasetError, match="as JSON lines, line 2 does not read"):
        read_json(path)
    path.write_text("[" * 100_000)
    with pytest.raises(DatasetError, match="does not read as JSON"):
        read_json(path)

"""What each official layout of the sets that GAMA is tested on has of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.data.imports import (
    audioset,
    beijing_opera,
    compa_r,
    dcase2017,
    gtzan,
    medley_solos,
    nsynth,
    tut2017,
    vocalsound,
)
from core.data.manifest import manifest_of
from core.data.schema import DatasetError


def edit(path: Path, old: str, new: str) -> None:
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))


def change_json(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_dcase_gathers_the_labels_of_a_clip_and_knows_its_times(official) -> None:
    layout = official("dcase2017")
    first, second, third = layout.rows_now()
    assert (first["id"], first["labels"]) == ("-JMT0mK0Dbg_30.000_40.000", ["Train horn"])
    assert second["labels"] == ["Train horn", "Air horn, truck horn"]
    assert third["labels"] == ["Air horn, truck horn"]  # also without its comma
    times = manifest_of([first, third], source_dataset="dcase2017")
    assert list(times["youtube_id"]) == ["-JMT0mK0Dbg", "a_6CZ2JaEuc"]
    assert (times["start"][0], times["end"][0], times["end"][1]) == (30.0, 40.0, 2.0)
    assert len(dcase2017.labels(layout.folder)) == 17
    edit(layout.csv, "Train horn", "Fog horn")
    with pytest.raises(DatasetError, match=r"1 lines have a label that is none of the 17 \(-JMT0mK0Dbg"):
        layout.rows_now()


def test_dcase_in_another_place_and_split(official, write_wav) -> None:
    layout = official("dcase2017")
    name = "groundtruth_weak_label_testing_set.csv"
    (layout.folder / name).write_text("abc_0.000_10.000.wav\t0.000\t10.000\tBus\n")
    write_wav(layout.folder / "testing" / "abc_0.000_10.000.wav")  # without the Y
    (row,) = layout.rows_now(split="valid")
    assert (row["labels"], row["clips"]) == (["Bus"], ["youtube:abc@0-10"])
    edit(layout.folder / name, "\t10.000", "\tten")
    with pytest.raises(DatasetError, match="end is not a number in 1 rows"):
        layout.rows_now(split="valid")


def test_vocalsound_says_labels_in_words_and_checks_them(official) -> None:
    layout = official("vocalsound")
    assert [(row["id"], row["label"]) for row in layout.rows_now()] == [
        ("f0003_0_cough", "cough"),
        ("m0117_0_throatclearing", "throat clearing"),
    ]
    assert vocalsound.labels(layout.folder) == ["cough", "laughter", "throat clearing"]
    content = layout.csv.read_text()
    edit(layout.csv, "/m/01b_21", "/m/01j3sz")
    with pytest.raises(DatasetError, match=r"label of 1 recordings is not the one .*\(f0003_0_cough\)"):
        layout.rows_now()
    layout.csv.write_text(content.replace("m0117_0_throatclearing", "f0003_0_cough"))
    with pytest.raises(DatasetError, match=r"1 duplicated ids \(f0003_0_cough\)"):
        layout.rows_now()


def test_tut2017_reads_both_parts(official, write_wav) -> None:
    layout = official("tut2017")
    assert [(r["label"], r["clips"]) for r in layout.rows_now()] == [
        ("cafe/restaurant", ["tut2017:evaluation/1"]),
        ("forest path", ["tut2017:evaluation/2"]),
    ]
    home = layout.folder / "TUT-acoustic-scenes-2017-development"
    write_wav(home / "audio" / "b020_90_100.wav")
    (home / "meta.txt").write_text("audio/b020_90_100.wav\tbeach\tb020\n")
    (row,) = layout.rows_now(split="train")
    assert (row["id"], row["label"], row["clips"]) == ("b020_90_100", "beach", ["tut2017:development/b020"])
    assert len(tut2017.labels(layout.folder)) == 15
    assert "metro station" in tut2017.labels(layout.folder)
    edit(layout.csv, "forest_path", "moor")
    with pytest.raises(DatasetError, match=r"1 clips have a scene that is none of the 15 \(2\)"):
        layout.rows_now()


def test_beijing_opera_speaks_english_and_refuses_other_files(official, write_wav) -> None:
    layout = official("beijing_opera")
    assert [(r["id"], r["label"], r["clips"]) for r in layout.rows_now()] == [
        ("205972", "large gong", ["freesound:205972"]),
        ("222146", "clapper drum", ["freesound:222146"]),
        ("222313", "small gong", ["freesound:222313"]),
    ]
    assert beijing_opera.labels(layout.folder) == ["clapper drum", "cymbals", "large gong", "small gong"]
    write_wav(layout.folder / "222146__ajaysm__naobo-1.wav")
    with pytest.raises(DatasetError, match=r"1 duplicated ids \(222146\)"):
        layout.rows_now()
    (layout.folder / "222146__ajaysm__naobo-1.wav").unlink()
    write_wav(layout.folder / "1__ajaysm__erhu-1.wav")
    with pytest.raises(DatasetError, match=r"1 files are not named .* \(1__ajaysm__erhu-1.wav\)"):
        layout.rows_now()
    with pytest.raises(DatasetError, match="no audio there"):
        next(beijing_opera.rows(layout.folder / "nothing"))


def test_nsynth_has_instrument_and_source(official) -> None:
    layout = official("nsynth")
    got = [(row["instrument"], row["source"]) for row in layout.rows_now()]
    assert got == [("bass", "synthetic"), ("synth lead", "electronic")]
    assert layout.rows_now()[0]["clips"] == ["nsynth:bass_synthetic_068-049-025"]
    assert len(nsynth.labels(layout.folder)) == 11
    assert nsynth.sources(layout.folder) == ["acoustic", "electronic", "synthetic"]
    change_json(layout.csv, lambda notes: notes["bass_synthetic_068-049-025"].pop("instrument_source_str"))
    with pytest.raises(DatasetError, match=r"1 notes lack a known .* \(bass_synthetic_068-049-025\)"):
        layout.rows_now()


def test_gtzan_wants_every_track(official, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = official("gtzan")
    rows = layout.rows_now()
    assert [row["label"] for row in rows] == gtzan.labels(layout.folder)
    assert (rows[4]["id"], rows[4]["label"]) == ("hiphop.00000", "hip hop")
    monkeypatch.setattr(gtzan, "TRACKS", 100)
    with pytest.raises(DatasetError, match=r"990 of 1000 clips have no audio .*\(blues.00001, "):
        layout.rows_now()


def test_medley_solos_reads_one_subset_and_all_labels(official) -> None:
    layout = official("medley_solos")
    assert [row["label"] for row in layout.rows_now()] == ["clarinet", "tenor saxophone"]
    assert medley_solos.labels(layout.folder) == ["clarinet", "tenor saxophone", "violin"]
    with pytest.raises(DatasetError, match=r"1 of 1 clips have no audio .*\(d07b1fc0"):
        layout.rows_now(split="train")
    with pytest.raises(DatasetError, match="no row of split 'valid'"):
        layout.rows_now(split="valid")
    (layout.folder / "annotation").mkdir()
    layout.csv.rename(layout.folder / "annotation" / layout.csv.name)
    assert len(layout.rows_now()) == 2


def test_audioset_names_its_codes_and_knows_its_times(official) -> None:
    layout = official("audioset")
    rows = layout.rows_now()
    assert rows[0]["labels"] == ["Speech", "Male speech, man speaking"]
    assert [row["clips"] for row in rows][2] == ["youtube:--U7joUcTCo@30-40"]
    assert audioset.labels(layout.folder) == ["Speech", "Male speech, man speaking", "Music"]
    edit(layout.csv, "/m/04rlf", "/m/0nothing")
    with pytest.raises(DatasetError, match=r"1 segments have no label or one that .* \(--BfvyPmVMo\)"):
        layout.rows_now()


def test_clothoaqa_keeps_every_answer_and_takes_freesound_ids(official) -> None:
    layout = official("clothoaqa")
    rows = layout.rows_now()
    assert [row["id"] for row in rows][1:3] == [
        "Geese1 - (Apollonia) 18.44-0",
        "Geese1 - (Apollonia) 18.44-1",
    ]
    assert rows[2]["question"] == "Are there, by any chance, people?"
    assert rows[2]["answers"] == ["no", "yes", "no"]
    assert rows[3]["answers"] == ["bell", "bells", "bell"]
    assert rows[0]["clips"] == ["clotho:river_mouth3.wav"]
    (layout.folder / "clotho_aqa_metadata.csv").write_bytes(
        b",file_name,keywords,sound_link,start_end_samples,manufacturer,license\n"
        b"0,river_mouth3.wav,caf\xe9,https://freesound.org/people/x/sounds/346641,,x,y\n"
        b'1,"Bells, far.wav",bell,Not found,,x,y\n'
    )
    clips = [row["clips"] for row in layout.rows_now()]
    assert (clips[0], clips[3]) == (["freesound:346641"], ["clotho:Bells, far.wav"])


def test_clothoaqa_counts_questions_without_three_answers(official, caplog: pytest.LogCaptureFixture) -> None:
    layout = official("clothoaqa")
    layout.csv.write_text("\n".join(layout.csv.read_text().splitlines()[:-1]) + "\n")
    notes: dict = {}
    assert len(layout.rows_now(notes=notes)) == 4
    assert notes["answers_not_three"] == ["Bells, far-0"]
    assert notes["counts"] == {"questions": 4, "unanimous": 1, "not_binary": 2}
    assert notes["differs"]["unanimous"] == "1 of 1109"
    assert "1 questions do not have three answers (Bells, far-0)" in caplog.text


def test_clothoaqa_finds_the_file_that_the_archive_spells_differently(official, write_wav) -> None:
    layout = official("clothoaqa")
    write_wav(layout.folder / "audio_files" / "souffle_me.tallique.wav")
    (layout.folder / "clotho_aqa_train.csv").write_text(
        "file_name,QuestionText,answer,confidence\n" + "souffle_me_tallique.wav,Metal?,yes,yes\n" * 3
    )
    (row,) = layout.rows_now(split="train")
    assert (row["id"], row["audio"]["path"]) == ("souffle_me_tallique-0", "souffle_me.tallique.wav")


def test_compa_r_has_caption_events_and_open_questions(official) -> None:
    layout = official("compa_r")
    first, second = layout.rows_now()
    assert (first["id"], first["clips"]) == ("YUChcduGcOSc", ["youtube:UChcduGcOSc"])
    assert first["caption"] == "A man speaks and snores."
    assert first["events"] == [
        {"label": "Male speech, man speaking", "onset": 0.0, "offset": 2.318},
        {"label": "Snoring", "onset": 2.5, "offset": 10.0},
    ]
    assert second["questions"][1] == {
        "instruction": "Deduce the place.",
        "output": "A home.",
        "task": "open-ended question",
        "key": "",
        "options": [],
    }


def test_compa_r_without_captions_or_readable_events_is_noted(
    official, caplog: pytest.LogCaptureFixture
) -> None:
    layout = official("compa_r")

    def strip(items: list[dict[str, Any]]) -> None:
        del items[0]["caption"], items[0]["timestamp_events"]
        items[1]["timestamp_events"] = "growling somewhere"

    change_json(layout.csv, strip)
    notes: dict = {}
    first, second = layout.rows_now(notes=notes)
    assert (first["caption"], first["events"], second["events"]) == ("", [], [])
    assert notes == {
        "without_caption": ["YUChcduGcOSc.wav"],
        "events_unread": ["YUChcduGcOSc.wav", "Y-0BIyqJj9ZU.wav"],
    }
    assert "events unread: 2 audio files" in caplog.text


def test_compa_r_training_groups_a_flat_file(official, write_wav) -> None:
    layout = official("compa_r")
    write_wav(layout.folder / "compa_r_train_audios" / "YUChcduGcOSc.wav")
    audio = "./compa_r_train_audios/YUChcduGcOSc.wav"
    pairs = [{"audio_id": audio, "instruction": f"Q{i}?", "output": f"A{i}."} for i in range(2)]
    (layout.folder / "CompA-R.json").write_text(json.dumps(pairs))
    (row,) = layout.rows_now(split="train")
    assert (row["caption"], row["events"]) == ("", [])
    assert [q["output"] for q in row["questions"]] == ["A0.", "A1."]


@pytest.mark.parametrize(
    ("stem", "origin"),
    [
        ("YUChcduGcOSc", "youtube:UChcduGcOSc"),
        ("UChcduGcOSc", "youtube:UChcduGcOSc"),
        ("YChcduGcOSc", "youtube:YChcduGcOSc"),  # an id may begin with Y itself
        ("YUChcduGcOSc_30000", "youtube:UChcduGcOSc"),
        ("street", "compa_r:street"),
    ],
)
def test_provenance_of_an_audioset_name(stem: str, origin: str) -> None:
    assert compa_r.provenance(stem) == origin


def test_openaqa_finds_audio_by_the_end_of_its_path(official) -> None:
    layout = official("openaqa")
    first, second = layout.rows_now()
    assert (first["id"], first["audio"]["path"]) == ("audio/0QYedLfOwcI", "0QYedLfOwcI.flac")
    assert [q["instruction"] for q in first["questions"]] == ["What sounds?", "Who?"]
    assert (second["id"], second["clips"]) == ("eval/37199", ["freesound:37199"])
    assert first["clips"] == ["youtube:0QYedLfOwcI"]
    content = json.loads(layout.csv.read_text())
    layout.csv.write_text(json.dumps([*content, {**content[0], "audio_id": "other/audio/0QYedLfOwcI.flac"}]))
    with pytest.raises(DatasetError, match="1 audio files share folder and name with another one"):
        layout.rows_now()

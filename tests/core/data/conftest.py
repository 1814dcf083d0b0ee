"""Every official layout, built small: `layout` runs a test once per importer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from core.data.imports import (
    audiocaps,
    audioset,
    beijing_opera,
    clotho,
    clothoaqa,
    compa,
    compa_r,
    dcase2017,
    esc50,
    fsd50k,
    gtzan,
    medley_solos,
    nsynth,
    openaqa,
    tut2017,
    urbansound8k,
    vggsound,
    vocalsound,
)

RATE = 8000


def wav(path: Path, *, seed: int = 0, rate: int = RATE, seconds: float = 0.1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, round(rate * seconds))
    soundfile.write(path, noise, rate, subtype="PCM_16")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """An official folder: its list (CSV, JSON, or the folder where there is none), its importer, the audio it
    holds, a column of the CSV and how many rows it makes."""

    name: str
    folder: Path
    csv: Path
    read: Callable[..., Iterator[dict[str, Any]]]
    audio: tuple[Path, ...]
    rows: int
    column: str | None  # one that may not be missing; None for a CSV without header
    accepts_bom: bool = True
    listed: bool = True  # a list says which audio there should be
    repeats: bool = False  # a repeated line is no repeated id

    def rows_now(self, **options: Any) -> list[dict[str, Any]]:
        return list(self.read(self.folder, **options))


def build_compa_order(folder: Path) -> Layout:
    files = ["34.wav", "25_rev.wav", "34_trip.wav", "7.wav", "8_rev.wav"]
    for i, name in enumerate(files):
        wav(folder / "CompA_order_files" / name, seed=i)
    (folder / "CompA_order_benchmark.csv").write_text(
        "pair_caption,reversed_pair_caption,triplet_caption,pair_file,reversed_pair_file,triplet_file\n"
        '"A dog barks, then a bell rings","A bell rings, then a dog barks","A dog then barks, a bell rings",'
        "34.wav,25_rev.wav,34_trip.wav\n"
        "Rain followed by thunder,Thunder followed by rain,-,7.wav,8_rev.wav,-\n"
    )
    return Layout(
        name="compa_order",
        folder=folder,
        csv=folder / "CompA_order_benchmark.csv",
        read=compa.order_rows,
        audio=tuple(folder / "CompA_order_files" / name for name in files),
        rows=2,
        column="reversed_pair_file",
    )


def build_compa_attribute(folder: Path) -> Layout:
    files = ["0.wav", "0_rev.wav", "1.wav", "1_rev.wav"]
    for i, name in enumerate(files):
        wav(folder / "CompA_attribute_files" / name, seed=i)
    csv = folder / "CompA_attribute" / "Compa-Attribute.csv"
    csv.parent.mkdir()
    csv.write_text(
        "pair_caption,reversed_pair_caption,pair_file,reversed_pair_file,pair_file.1,reversed_pair_file.1\n"
        "A baby cries while a woman laughs,A woman cries while a baby laughs,yt-one,yt-two,0.wav,0_rev.wav\n"
        "A man sneezes and a child talks,A child sneezes and a man talks,yt-three,-,1.wav,1_rev.wav\n"
    )
    return Layout(
        name="compa_attribute",
        folder=folder,
        csv=csv,
        read=compa.attribute_rows,
        audio=tuple(folder / "CompA_attribute_files" / name for name in files),
        rows=2,
        column="pair_file.1",
    )


def build_audiocaps(folder: Path) -> Layout:
    names = ["vid-a_30.wav", "57.wav", "vid_c.wav"]  # the three ways a file may be named
    for i, name in enumerate(names):
        wav(folder / "audio" / name, seed=i)
    lines = ["audiocap_id,youtube_id,start_time,caption"]
    for clip, (video, start) in enumerate([("vid-a", 30), ("vid_b", 0), ("vid_c", 10)]):
        lines += [f'{clip * 50 + i},{video},{start},"caption {i}, of {video}"' for i in range(5, 10)]
    lines[3], lines[9] = lines[9], lines[3]  # captions of one clip need not stand together
    (folder / "test.csv").write_text("\n".join(lines) + "\n")
    return Layout(
        name="audiocaps",
        folder=folder,
        csv=folder / "test.csv",
        read=audiocaps.rows,
        audio=tuple(folder / "audio" / name for name in names),
        rows=3,
        column="start_time",
    )


def build_clotho(folder: Path) -> Layout:
    names = ["Rain, at night.wav", "Santa Motor.wav"]
    for i, name in enumerate(names):
        wav(folder / "evaluation" / name, seed=i)
    lines = ["file_name," + ",".join(f"caption_{i}" for i in range(1, 6))]
    lines += [f'"{name}",' + ",".join(f'"one {i}, two"' for i in range(5)) for name in names]
    (folder / "clotho_captions_evaluation.csv").write_text("\n".join(lines) + "\n")
    return Layout(
        name="clotho",
        folder=folder,
        csv=folder / "clotho_captions_evaluation.csv",
        read=clotho.rows,
        audio=tuple(folder / "evaluation" / name for name in names),
        rows=2,
        column="caption_3",
    )


def build_esc50(folder: Path) -> Layout:
    home = folder / "ESC-50-master"
    names = ["1-100032-A-0.wav", "2-101296-A-19.wav"]
    for i, name in enumerate(names):
        wav(home / "audio" / name, seed=i)
    (home / "meta").mkdir()
    (home / "meta" / "esc50.csv").write_text(
        "filename,fold,target,category,esc10,src_file,take\n"
        "1-100032-A-0.wav,1,0,dog,True,100032,A\n"
        "2-101296-A-19.wav,2,19,thunderstorm,False,101296,A\n"
    )
    return Layout(
        name="esc50",
        folder=folder,
        csv=home / "meta" / "esc50.csv",
        read=esc50.rows,
        audio=tuple(home / "audio" / name for name in names),
        rows=2,
        column="src_file",
        accepts_bom=False,
    )


def build_urbansound8k(folder: Path) -> Layout:
    home = folder / "UrbanSound8K"
    names = ["fold5/100032-3-0-0.wav", "fold10/100263-2-0-117.wav"]
    for i, name in enumerate(names):
        wav(home / "audio" / name, seed=i)
    (home / "metadata").mkdir()
    (home / "metadata" / "UrbanSound8K.csv").write_text(
        "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
        "100032-3-0-0.wav,100032,0.0,0.317551,1,5,3,dog_bark\n"
        "100263-2-0-117.wav,100263,58.5,62.5,1,10,2,children_playing\n"
    )
    return Layout(
        name="urbansound8k",
        folder=folder,
        csv=home / "metadata" / "UrbanSound8K.csv",
        read=urbansound8k.rows,
        audio=tuple(home / "audio" / name for name in names),
        rows=2,
        column="fsID",
        accepts_bom=False,
    )


def build_vggsound(folder: Path) -> Layout:
    names = ["--0PQM4-hqg_000030.wav", "-2-wdcN5vOw_000017.wav"]
    for i, name in enumerate(names):
        wav(folder / "test" / name, seed=i)
    (folder / "vggsound.csv").write_text(
        "--0PQM4-hqg,30,waterfall burbling,test\n"
        '-1oRfe0FQI8,60,"railroad car, train wagon",train\n'
        "-2-wdcN5vOw,17,train whistling,test\n"
    )
    return Layout(
        name="vggsound",
        folder=folder,
        csv=folder / "vggsound.csv",
        read=vggsound.rows,
        audio=tuple(folder / "test" / name for name in names),
        rows=2,
        column=None,
    )


def build_fsd50k(folder: Path) -> Layout:
    names = ["37199.wav", "175151.wav"]
    for i, name in enumerate(names):
        wav(folder / "FSD50K.eval_audio" / name, seed=i)
    truth = folder / "FSD50K.ground_truth"
    truth.mkdir()
    (truth / "vocabulary.csv").write_text(
        "0,Bark,/m/05tny_\n1,Dog,/m/0bt9lr\n2,Rain,/m/06mb1\n3,Water_tap,/m/02jz0l\n"
    )
    (truth / "eval.csv").write_text(
        'fname,labels,mids\n37199,"Bark,Dog","/m/05tny_,/m/0bt9lr"\n175151,Rain,/m/06mb1\n'
    )
    (truth / "dev.csv").write_text(
        "fname,labels,mids,split\n64760,Rain,/m/06mb1,train\n16399,Dog,/m/0bt9lr,val\n"
    )
    return Layout(
        name="fsd50k",
        folder=folder,
        csv=truth / "eval.csv",
        read=fsd50k.rows,
        audio=tuple(folder / "FSD50K.eval_audio" / name for name in names),
        rows=2,
        column="labels",
    )


def build_dcase2017(folder: Path) -> Layout:
    names = ["-JMT0mK0Dbg_30.000_40.000", "YilfKdY7w6Y_60.000_70.000", "a_6CZ2JaEuc_0.000_2.000"]
    for i, name in enumerate(names):
        wav(folder / "evaluation" / f"Y{name}.wav", seed=i)
    path = folder / "groundtruth_release" / "groundtruth_weak_label_evaluation_set.csv"
    path.parent.mkdir()
    path.write_text(
        f"{names[0]}.wav\t30.000\t40.000\tTrain horn\n"
        f"{names[1]}.wav\t60.000\t70.000\tTrain horn\n"
        f"{names[1]}.wav\t60.000\t70.000\tAir horn, truck horn\n"
        f"{names[2]}.wav\t0.000\t2.000\tAir horn truck horn\n"
    )
    return Layout(
        name="dcase2017",
        folder=folder,
        csv=path,
        read=dcase2017.rows,
        audio=tuple(folder / "evaluation" / f"Y{name}.wav" for name in names),
        rows=3,
        column=None,
        repeats=True,
    )


def build_vocalsound(folder: Path) -> Layout:
    names = ["f0003_0_cough.wav", "m0117_0_throatclearing.wav"]
    for i, name in enumerate(names):
        wav(folder / "audio_16k" / name, seed=i)
    (folder / "class_labels_indices_vs.csv").write_text(
        'index,mid,display_name\n0,/m/01j3sz,"Laughter"\n2,/m/01b_21,"Cough"\n'
        '3,/m/0dl9sf8,"Throat clearing"\n'
    )
    path = folder / "datafiles" / "te.json"
    path.parent.mkdir()
    wavs = [f"/data/vocalsound/data_16k/{name}" for name in names]
    codes = ["/m/01b_21", "/m/0dl9sf8"]
    items = [{"wav": w, "labels": c} for w, c in zip(wavs, codes, strict=True)]
    path.write_text(json.dumps({"data": items}))
    return Layout(
        name="vocalsound",
        folder=folder,
        csv=path,
        read=vocalsound.rows,
        audio=tuple(folder / "audio_16k" / name for name in names),
        rows=2,
        column=None,
    )


def build_tut2017(folder: Path) -> Layout:
    home = folder / "TUT-acoustic-scenes-2017-evaluation"
    for i in (1, 2):
        wav(home / "audio" / f"{i}.wav", seed=i)
    (home / "meta.txt").write_text("audio/1.wav\tcafe/restaurant\naudio/2.wav\tforest_path\n")
    return Layout(
        name="tut2017",
        folder=folder,
        csv=home / "meta.txt",
        read=tut2017.rows,
        audio=(home / "audio" / "1.wav", home / "audio" / "2.wav"),
        rows=2,
        column=None,
    )


def build_beijing_opera(folder: Path) -> Layout:
    names = ["205972__ajaysm__daluo-01.wav", "222146__ajaysm__bangu-16.wav", "222313__ajaysm__xiaoluo-16.wav"]
    for i, name in enumerate(names):
        wav(folder / "audios" / name, seed=i)
    return Layout(
        name="beijing_opera",
        folder=folder,
        csv=folder,
        read=beijing_opera.rows,
        audio=tuple(folder / "audios" / name for name in names),
        rows=3,
        column=None,
        listed=False,
    )


def build_nsynth(folder: Path) -> Layout:
    home = folder / "nsynth-test"
    notes = {
        "bass_synthetic_068-049-025": ("bass", "synthetic"),
        "synth_lead_electronic_001-060-100": ("synth_lead", "electronic"),
    }
    examples = {}
    for i, (name, (family, source)) in enumerate(notes.items()):
        wav(home / "audio" / f"{name}.wav", seed=i)
        examples[name] = {
            "note_str": name,
            "pitch": 49,
            "velocity": 25,
            "instrument_family_str": family,
            "instrument_source_str": source,
        }
    (home / "examples.json").write_text(json.dumps(examples))
    return Layout(
        name="nsynth",
        folder=folder,
        csv=home / "examples.json",
        read=nsynth.rows,
        audio=tuple(home / "audio" / f"{name}.wav" for name in notes),
        rows=2,
        column=None,
    )


def build_gtzan(folder: Path) -> Layout:
    files = [folder / "genres" / genre / f"{genre}.00000.wav" for genre in gtzan.GENRES]
    files[1] = files[1].with_suffix(".au")
    for i, path in enumerate(files):
        wav(path, seed=i)
    return Layout(
        name="gtzan",
        folder=folder,
        csv=folder,
        read=gtzan.rows,
        audio=tuple(files),
        rows=10,
        column=None,
    )


def build_medley_solos(folder: Path) -> Layout:
    uuids = ["0a282672-c22c-59ff-faaa-ff9eb73fc8e6", "10e0ca95-ea8b-5b1f-e9a3-1d64f1b1a7f1"]
    names = [f"Medley-solos-DB_test-{n}_{uuid}.wav" for n, uuid in zip((0, 5), uuids, strict=True)]
    for i, name in enumerate(names):
        wav(folder / "Medley-solos-DB" / name, seed=i)
    (folder / "Medley-solos-DB_metadata.csv").write_text(
        "subset,instrument,instrument_id,song_id,uuid4\n"
        f"training,violin,7,12,d07b1fc0-567d-52c2-fef4-239f31c9d40e\ntest,clarinet,0,0,{uuids[0]}\n"
        f"test,tenor saxophone,5,101,{uuids[1]}\n"
    )
    return Layout(
        name="medley_solos",
        folder=folder,
        csv=folder / "Medley-solos-DB_metadata.csv",
        read=medley_solos.rows,
        audio=tuple(folder / "Medley-solos-DB" / name for name in names),
        rows=2,
        column="instrument_id",
    )


def build_audioset(folder: Path) -> Layout:
    names = ["--4gqARaEJE.wav", "Y--BfvyPmVMo.wav", "--U7joUcTCo_30000.wav", "-0BIyqJj9ZU_30.000_40.000.flac"]
    for i, name in enumerate(names):
        wav(folder / "eval" / name, seed=i)
    (folder / "class_labels_indices.csv").write_text(
        'index,mid,display_name\n0,/m/09x0r,"Speech"\n1,/m/05zppz,"Male speech, man speaking"\n'
        '137,/m/04rlf,"Music"\n'
    )
    (folder / "eval_segments.csv").write_text(
        "# Segments csv created Sun Mar  5 10:54:25 2017\n# num_ytids=4, num_segs=4, num_unique_labels=3\n"
        "# YTID, start_seconds, end_seconds, positive_labels\n"
        '--4gqARaEJE, 0.000, 10.000, "/m/09x0r,/m/05zppz"\n--BfvyPmVMo, 20.000, 30.000, "/m/04rlf"\n'
        '--U7joUcTCo, 30.000, 40.000, "/m/09x0r"\n-0BIyqJj9ZU, 30.000, 40.000, "/m/09x0r,/m/04rlf"\n'
    )
    return Layout(
        name="audioset",
        folder=folder,
        csv=folder / "eval_segments.csv",
        read=audioset.rows,
        audio=tuple(folder / "eval" / name for name in names),
        rows=4,
        column=None,
    )


def build_clothoaqa(folder: Path) -> Layout:
    names = ["river_mouth3.wav", "Geese1 - (Apollonia) 18.44.wav", "Bells, far.wav"]
    for i, name in enumerate(names):
        wav(folder / "audio_files" / name, seed=i)
    lines = ["file_name,QuestionText,answer,confidence"]
    asked = [
        (names[0], "Is it raining?", "no no no"),
        (names[1], "What animal is heard?", "goose geese birds"),
        (names[1], '"Are there, by any chance, people?"', "no yes no"),
        (f'"{names[2]}"', "What rings?", "bell bells bell"),
    ]
    lines += [f"{file},{question},{answer},yes" for file, question, said in asked for answer in said.split()]
    (folder / "clotho_aqa_test.csv").write_text("\n".join(lines) + "\n")
    return Layout(
        name="clothoaqa",
        folder=folder,
        csv=folder / "clotho_aqa_test.csv",
        read=clothoaqa.rows,
        audio=tuple(folder / "audio_files" / name for name in names),
        rows=4,
        column="QuestionText",
        repeats=True,
    )


def build_compa_r(folder: Path) -> Layout:
    names = ["YUChcduGcOSc.wav", "Y-0BIyqJj9ZU.wav"]
    for i, name in enumerate(names):
        wav(folder / "compa_r_test_audios" / name, seed=i)
    told = [
        ("A man speaks and snores.", "(Male speech, man speaking-0.0-2.318), (Snoring-2.5-10.0)"),
        ("A dog growls.", "(Growling-0.25-9)"),
    ]
    items = [
        {
            "audio_id": name,
            "caption": caption,
            "timestamp_events": events,
            "input": "",
            "dataset": "Audioset_Strong",
            "task": "open-ended question",
            "instruction_output": [
                {"instruction": f"What follows in {name}?", "output": "Sleep."},
                {"instruction": "Deduce the place.", "output": "A home."},
            ],
        }
        for name, (caption, events) in zip(names, told, strict=True)
    ]
    (folder / "CompA-R-test.json").write_text(json.dumps(items))
    return Layout(
        name="compa_r",
        folder=folder,
        csv=folder / "CompA-R-test.json",
        read=compa_r.rows,
        audio=tuple(folder / "compa_r_test_audios" / name for name in names),
        rows=2,
        column=None,
    )


def build_openaqa(folder: Path) -> Layout:
    paths = ["/data/sls/audioset/audio/0QYedLfOwcI.flac", "/data/sls/fsd50k/eval/37199.wav"]
    files = [folder / "audio" / "audioset" / "audio" / "0QYedLfOwcI.flac", folder / "audio" / "37199.wav"]
    for i, path in enumerate(files):
        wav(path, seed=i)
    asked = [
        (paths[0], "as_20k", "What sounds?"),
        (paths[1], "fsd50k_val", "Why?"),
        (paths[0], "as_20k", "Who?"),
    ]
    items = [
        {
            "instruction": question,
            "input": "",
            "dataset": dataset,
            "audio_id": audio,
            "output": "A horn.",
            "task": "question",
        }
        for audio, dataset, question in asked
    ]
    (folder / "openaqa_test.json").write_text(json.dumps(items))
    return Layout(
        name="openaqa",
        folder=folder,
        csv=folder / "openaqa_test.json",
        read=openaqa.rows,
        audio=tuple(files),
        rows=2,
        column=None,
    )


BUILDERS = {
    "compa_order": build_compa_order,
    "compa_attribute": build_compa_attribute,
    "audiocaps": build_audiocaps,
    "clotho": build_clotho,
    "esc50": build_esc50,
    "urbansound8k": build_urbansound8k,
    "vggsound": build_vggsound,
    "fsd50k": build_fsd50k,
    "dcase2017": build_dcase2017,
    "vocalsound": build_vocalsound,
    "tut2017": build_tut2017,
    "beijing_opera": build_beijing_opera,
    "nsynth": build_nsynth,
    "gtzan": build_gtzan,
    "medley_solos": build_medley_solos,
    "audioset": build_audioset,
    "clothoaqa": build_clothoaqa,
    "compa_r": build_compa_r,
    "openaqa": build_openaqa,
}
CSVS = [
    "compa_order",
    "compa_attribute",
    "audiocaps",
    "clotho",
    "esc50",
    "urbansound8k",
    "vggsound",
    "fsd50k",
    "medley_solos",
    "clothoaqa",
]
LISTS = ["dcase2017", "tut2017", "audioset"]
JSONS = ["vocalsound", "nsynth", "compa_r", "openaqa"]


def _build(name: str, tmp_path: Path) -> Layout:
    folder = tmp_path / name
    folder.mkdir(parents=True)
    return BUILDERS[name](folder)


@pytest.fixture(autouse=True)
def small_gtzan(monkeypatch: pytest.MonkeyPatch) -> None:
    """One track a genre instead of a hundred."""
    monkeypatch.setattr(gtzan, "TRACKS", 1)


@pytest.fixture(params=list(BUILDERS))
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> Layout:
    """One official folder per importer."""
    return _build(request.param, tmp_path)


@pytest.fixture(params=CSVS)
def csv_layout(request: pytest.FixtureRequest, tmp_path: Path) -> Layout:
    """One official folder per importer that reads a CSV."""
    return _build(request.param, tmp_path)


@pytest.fixture(params=LISTS)
def list_layout(request: pytest.FixtureRequest, tmp_path: Path) -> Layout:
    """One official folder per importer that reads a list without header."""
    return _build(request.param, tmp_path)


@pytest.fixture(params=JSONS)
def json_layout(request: pytest.FixtureRequest, tmp_path: Path) -> Layout:
    """One official folder per importer that reads JSON."""
    return _build(request.param, tmp_path)


@pytest.fixture
def official(tmp_path: Path) -> Callable[[str], Layout]:
    """Build the official folder of one data set by name."""
    return partial(_build, tmp_path=tmp_path)


@pytest.fixture
def write_wav() -> Callable[..., None]:
    return wav


@pytest.fixture
def soundata_index() -> Callable[..., None]:
    """Put the index that soundata would download beside the data."""

    def put(path: Path, clips: dict[str, tuple[str, str]]) -> None:
        index = {"version": "test", "clips": {i: {"audio": list(entry)} for i, entry in clips.items()}}
        path.write_text(json.dumps(index))

    return put

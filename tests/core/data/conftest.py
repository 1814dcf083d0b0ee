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

from core.data.imports import audiocaps, clotho, compa, esc50, fsd50k, urbansound8k, vggsound

RATE = 8000


def wav(path: Path, *, seed: int = 0, rate: int = RATE, seconds: float = 0.1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, round(rate * seconds))
    soundfile.write(path, noise, rate, subtype="PCM_16")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """An official folder: its CSV, its importer, the audio it holds, one row of the CSV and how many clips it
    has."""

    name: str
    folder: Path
    csv: Path
    read: Callable[..., Iterator[dict[str, Any]]]
    audio: tuple[Path, ...]
    rows: int
    column: str | None  # one that may not be missing; None for a CSV without header
    accepts_bom: bool = True

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


BUILDERS = {
    "compa_order": build_compa_order,
    "compa_attribute": build_compa_attribute,
    "audiocaps": build_audiocaps,
    "clotho": build_clotho,
    "esc50": build_esc50,
    "urbansound8k": build_urbansound8k,
    "vggsound": build_vggsound,
    "fsd50k": build_fsd50k,
}


def _build(name: str, tmp_path: Path) -> Layout:
    folder = tmp_path / name
    folder.mkdir(parents=True)
    return BUILDERS[name](folder)


@pytest.fixture(params=list(BUILDERS))
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> Layout:
    """One official folder per importer."""
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

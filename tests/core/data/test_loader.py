"""Training batches of captioned data sets: the same at any step, for any number of processes."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import soundfile

from core.audio.read import AudioErrors, write_flac
from core.data.loader import CaptionBatch, caption_batches
from core.data.parquet import read_dataset, write_dataset
from core.data.problems import DatasetError
from core.data.schema import CAPTIONED, CLASSIFIED

RATE = 8000
SIZES = {"first": 7, "second": 4}
INFO = {"name": "audiocaps", "task": "t", "licence": "l", "source": "s", "protocol": "p"}


def rows(name: str, count: int, *, bad: tuple[int, ...] = ()) -> Iterator[dict[str, Any]]:
    """Row i is a constant level of its own that lasts 100 + i samples, with i % 3 + 1 captions."""
    for i in range(count):
        wave = np.linspace(0, 0.05 + 0.05 * i, 100 + i, dtype=np.float32)
        audio = b"RIFF, but no sound" if i in bad else write_flac(wave, RATE)
        captions = [f"{name} {i} caption {j}" for j in range(i % 3 + 1)]
        yield {
            "id": f"{name}-{i}",
            "audio": {"bytes": audio, "path": "x.flac"},
            "captions": captions,
            "clips": [],
        }


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[datasets.Dataset]:
    folder = tmp_path_factory.mktemp("captioned")
    for name, count in SIZES.items():
        write_dataset(folder / name, rows(name, count), features=CAPTIONED, split="train", info=INFO)
    return [read_dataset(folder / name, "train") for name in SIZES]


def draw(parts: list[datasets.Dataset], *, count: int, step: int = 0, **options: Any) -> list[CaptionBatch]:
    options = {"batch_size": 4, "seed": 5, "sample_rate": RATE, "workers": 2, **options}
    return list(islice(caption_batches(parts, **options)(step), count))


def same(a: CaptionBatch, b: CaptionBatch) -> bool:
    waves = all(np.array_equal(x, y) for x, y in zip(a.waveforms, b.waveforms, strict=True))
    return waves and a.ids == b.ids and a.captions == b.captions


def test_waveform_and_caption_belong_to_the_id(parts: list[datasets.Dataset]) -> None:
    for batch in draw(parts, count=6):
        assert len(batch.ids) == len(batch.waveforms) == len(batch.captions) == 4
        for id, wave, caption in zip(batch.ids, batch.waveforms, batch.captions, strict=True):
            name, i = id.split("-")
            assert wave.dtype == np.float32
            assert wave.shape == (100 + int(i),)
            assert wave.max() == pytest.approx(0.05 + 0.05 * int(i), abs=1e-3)
            assert caption.startswith(f"{name} {i} caption ")


@pytest.mark.parametrize("step", [1, 2, 5, 11])
def test_resume_is_the_tail_of_the_whole_run(parts: list[datasets.Dataset], step: int) -> None:
    whole = draw(parts, count=14)
    tail = draw(parts, count=14 - step, step=step, workers=1, prefetch=1)
    assert all(same(a, b) for a, b in zip(whole[step:], tail, strict=True))
    assert not same(whole[0], whole[1])


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_the_batch_of_one(parts: list[datasets.Dataset], world: int) -> None:
    whole = draw(parts, count=5)
    ranks = [draw(parts, count=5, rank=rank, world=world) for rank in range(world)]
    for step, batch in enumerate(whole):
        union = CaptionBatch(
            ids=[x for rank in ranks for x in rank[step].ids],
            waveforms=[x for rank in ranks for x in rank[step].waveforms],
            captions=[x for rank in ranks for x in rank[step].captions],
        )
        assert same(batch, union)


def test_every_epoch_has_every_row_once_in_an_order_of_its_own(parts: list[datasets.Dataset]) -> None:
    total = sum(SIZES.values())
    ids = [id for batch in draw(parts, count=3 * total) for id in batch.ids]  # 12 epochs of 11 rows
    epochs = [ids[at : at + total] for at in range(0, len(ids), total)]
    everything = {f"{name}-{i}" for name, count in SIZES.items() for i in range(count)}
    assert all(set(epoch) == everything and len(epoch) == total for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 12
    other = [id for batch in draw(parts, count=3, seed=6) for id in batch.ids]
    assert other != ids[:12]


def test_captions_change_from_epoch_to_epoch(parts: list[datasets.Dataset]) -> None:
    said = Counter(c for batch in draw(parts, count=110) for c in batch.captions)  # 40 epochs
    assert set(said) == {
        f"{name} {i} caption {j}" for name, n in SIZES.items() for i in range(n) for j in range(i % 3 + 1)
    }
    assert max(said[f"first 5 caption {j}"] for j in range(3)) < 30


def test_other_sample_rates_are_resampled(parts: list[datasets.Dataset]) -> None:
    (batch,) = draw(parts, count=1, sample_rate=2 * RATE)
    assert [len(wave) for wave in batch.waveforms] == [2 * (100 + int(id.split("-")[1])) for id in batch.ids]


def test_bad_audio_is_named(tmp_path: Path, parts: list[datasets.Dataset]) -> None:
    write_dataset(tmp_path, rows("bad", 4, bad=(1, 3)), features=CAPTIONED, split="train", info=INFO)
    bad = read_dataset(tmp_path, "train")
    with pytest.raises(AudioErrors, match="2 of 4 audio sources cannot be used") as error:
        draw([bad], count=1)
    assert "bad-1 (row 1 of data set 0): " in str(error.value)
    assert "bad-3 (row 3 of data set 0): " in str(error.value)
    with pytest.raises(AudioErrors, match=r"bad-1 \(row 1 of data set 2\)"):
        draw([*parts, bad], count=4, batch_size=15)


def test_long_audio_is_refused_unless_asked_for(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.sin(np.arange(2 * RATE) / 9), RATE, format="WAV")
    row = {
        "id": "long",
        "audio": {"bytes": buffer.getvalue(), "path": None},
        "captions": ["a tone"],
        "clips": [],
    }
    write_dataset(tmp_path, [row], features=CAPTIONED, split="train", info=INFO)
    part = read_dataset(tmp_path, "train")
    with pytest.raises(AudioErrors, match=r"long .*over the limit of 1 s"):
        draw([part], count=1, batch_size=1, max_seconds=1.0)
    (batch,) = draw([part], count=1, batch_size=1, max_seconds=None)
    assert batch.waveforms[0].shape == (2 * RATE,)


def test_data_sets_that_cannot_train(tmp_path: Path, parts: list[datasets.Dataset]) -> None:
    row = {"id": "a", "audio": {"bytes": b"x", "path": None}, "label": "dog", "fold": 1, "clips": []}
    write_dataset(tmp_path, [row], features=CLASSIFIED, split="train", info=INFO)
    with pytest.raises(DatasetError, match=r"data set 1 has no column \['captions'\]"):
        draw([parts[0], read_dataset(tmp_path, "train")], count=1)
    with pytest.raises(DatasetError, match="11 rows in 2 data sets are less than one batch of 12"):
        draw(parts, count=1, batch_size=12)
    with pytest.raises(DatasetError, match="0 rows in 0 data sets"):
        draw([], count=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"world": 3}, "cannot be shared by 3 processes"),
        ({"world": 2, "rank": 2}, "as process 2"),
        ({"workers": 0}, "workers 0"),
        ({"step": -1}, "step -1"),
    ],
)
def test_options_that_make_no_sense(
    parts: list[datasets.Dataset], change: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        draw(parts, count=1, **change)

"""Data sets of streets, voices, places and everything: schema, balance, truth of the labels, provenance."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import soundfile

from core.data.schema import SCHEMAS
from core.scenes.bank import Bank
from core.scenes.comparisons import BenchmarkError
from core.scenes.compose import render
from core.scenes.places import PLACES
from shared_data.world.datasets import listening

Row = dict[str, Any]
Make = Callable[..., Iterator[Row]]
MAKERS: dict[str, Make] = {
    "dcase2017": listening.dcase2017,
    "vocalsound": listening.vocalsound,
    "tut2017": listening.tut2017,
    "audioset": listening.audioset,
}


def labels_of(row: Row, bank: Bank) -> set[str]:
    known = {clip.id: clip.label for clip in bank.clips}
    return {known[clip] for clip in row["clips"]}


@pytest.mark.parametrize("name", MAKERS)
def test_rows_have_the_official_schema_and_repeat_exactly(noise_bank: Bank, name: str) -> None:
    rows = list(MAKERS[name](noise_bank, n=6, seed=3))
    assert all(set(row) == set(SCHEMAS[name]) for row in rows)
    assert [row["id"] for row in rows] == [f"{name}-{index:05d}" for index in range(6)]
    assert rows == list(MAKERS[name](noise_bank, n=6, seed=3))
    assert rows[:4] == list(MAKERS[name](noise_bank, n=4, seed=3))
    assert rows != list(MAKERS[name](noise_bank, n=6, seed=4))
    for row in rows:
        wave, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
        assert (len(wave), rate) == (81_920, 16_000)
        assert np.abs(wave).max() == pytest.approx(0.5, abs=1e-3)
        assert row["audio"]["path"] == f"{row['id']}.flac"


@pytest.mark.parametrize("name", MAKERS)
def test_provenance_stays_in_the_split(noise_bank_of_splits: Bank, name: str) -> None:
    test = noise_bank_of_splits.split("test")
    known = {clip.id for clip in test.clips}
    for row in MAKERS[name](test, n=5, seed=0):
        assert row["clips"]
        assert set(row["clips"]) <= known
    with pytest.raises(BenchmarkError, match="one split"):
        next(MAKERS[name](noise_bank_of_splits, n=5, seed=0))


def test_streets_hold_vehicles_and_warnings(noise_bank: Bank) -> None:
    assert listening.traffic(noise_bank) == ("train", "car_horn")
    rows = list(listening.dcase2017(noise_bank, n=20, seed=0))
    assert {label for row in rows for label in row["labels"]} == {"train", "car horn"}
    for row in rows:
        assert set(row["labels"]) == {label.replace("_", " ") for label in labels_of(row, noise_bank)}
    assert {len(row["labels"]) for row in rows} == {1, 2}
    with pytest.raises(BenchmarkError, match=r"at least two vehicles are needed, the bank has .'train'"):
        next(listening.dcase2017(noise_bank.only(["train", "rain"]), n=1, seed=0))


def test_voices_are_told_by_what_they_do(noise_bank: Bank) -> None:
    rows = list(listening.vocalsound(noise_bank, n=36, seed=0))
    assert Counter(row["label"] for row in rows) == {"crying": 12, "laughing": 12, "coughing": 12}
    agents = Counter(label.split("_")[0] for row in rows for label in labels_of(row, noise_bank))
    assert set(agents.values()) == {12}
    verbs = {"crying": "cry", "laughing": "laugh", "coughing": "cough"}
    for row in rows:
        assert [label.split("_")[1] for label in labels_of(row, noise_bank)] == [verbs[row["label"]]]
    assert len({row["clips"][0] for row in rows}) == 36  # no clip twice while others are left
    with pytest.raises(BenchmarkError, match="at least two things that voices do"):
        next(listening.vocalsound(noise_bank.only(["rain", "baby_cry"]), n=1, seed=0))


def test_places_hold_only_their_own_sounds(noise_bank: Bank) -> None:
    known = listening.places(noise_bank)
    assert set(known) == {"home", "nursery"}
    rows = list(listening.tut2017(noise_bank, n=10, seed=0))
    assert Counter(row["label"] for row in rows) == {"home": 5, "nursery": 5}
    for row in rows:
        assert labels_of(row, noise_bank) == set(known[row["label"]])  # three events and more: each sound
        assert labels_of(row, noise_bank) <= set(PLACES[row["label"]].labels)
    with pytest.raises(BenchmarkError, match="at least two places with two sounds or more"):
        next(listening.tut2017(noise_bank.only(["cat_meow", "dog_bark"]), n=1, seed=0))


def test_everything_comes_equally_often_and_in_every_condition(
    noise_bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains: Counter[tuple[str, ...]] = Counter()
    real = listening.apply

    def spy(sound: np.ndarray, names: tuple[str, ...], **options: Any) -> np.ndarray:
        chains[tuple(names)] += 1
        return real(sound, names, **options)

    monkeypatch.setattr(listening, "apply", spy)
    rows = list(listening.audioset(noise_bank, n=60, seed=0))
    counts = Counter(label for row in rows for label in row["labels"])
    assert set(counts) == {label.replace("_", " ") for label in noise_bank.labels()}
    assert max(counts.values()) - min(counts.values()) <= 1
    assert {chain[0] for chain in chains} == set(listening.CONDITIONS)
    assert 0 < 60 - sum(chains.values()) < 20  # some stay clean
    for row in rows:
        assert set(row["labels"]) == {label.replace("_", " ") for label in labels_of(row, noise_bank)}


def test_a_condition_is_heard(noise_bank: Bank) -> None:
    scene = next(
        listening.balanced_scenes(
            noise_bank,
            n=1,
            seed=0,
            name="x",
            labels=["rain"],
            sizes=[1.0],
            duration=2.0,
            noise_db=None,
        )
    )
    clean, far = (
        soundfile.read(io.BytesIO(listening.heard(scene, noise_bank, chain)["bytes"]), dtype="float32")[0]
        for chain in ((), ("street",))
    )
    np.testing.assert_allclose(clean, render(scene, noise_bank), atol=1e-4)
    assert np.abs(far - clean).max() > 0.05


def test_scenes_have_their_sizes(noise_bank: Bank) -> None:
    options: dict[str, Any] = {"seed": 0, "name": "x", "duration": 5.0, "noise_db": (-30.0, -20.0)}
    endless = listening.balanced_scenes(
        noise_bank, n=None, labels=noise_bank.labels(), sizes=[0.25, 0.0, 0.75], **options
    )
    sizes = Counter(len(scene.events) for scene in islice(endless, 200))
    assert set(sizes) == {1, 3}
    assert 30 < sizes[1] < 70
    few = listening.balanced_scenes(noise_bank, n=5, labels=["rain", "saw"], sizes=[0, 0, 1], **options)
    assert [len(scene.events) for scene in few] == [2] * 5  # no more than there are labels

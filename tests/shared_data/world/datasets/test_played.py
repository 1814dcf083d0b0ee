"""Data sets of music: schema, balance, and splits that share nothing."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import soundfile

from core.data.schema import SCHEMAS
from core.scenes.bank import Bank
from core.scenes.comparisons import BenchmarkError
from core.scenes.places import GENRES
from shared_data.world.datasets import played
from shared_data.world.music import notes

MAKERS: dict[str, Callable[..., Iterator[dict[str, Any]]]] = {
    "beijing_opera": played.beijing_opera,
    "gtzan": played.gtzan,
    "medley_solos": played.medley_solos,
    "nsynth": played.nsynth,
}


@pytest.mark.parametrize("name", MAKERS)
def test_rows_have_the_official_schema_and_repeat_exactly(noise_bank: Bank, name: str) -> None:
    rows = list(MAKERS[name](noise_bank, n=5, seed=3, duration=2.0))
    assert all(set(row) == set(SCHEMAS[name]) for row in rows)
    assert [row["id"] for row in rows] == [f"{name}-{index:05d}" for index in range(5)]
    assert rows == list(MAKERS[name](noise_bank, n=5, seed=3, duration=2.0))
    assert rows[:3] == list(MAKERS[name](noise_bank, n=3, seed=3, duration=2.0))
    assert rows != list(MAKERS[name](noise_bank, n=5, seed=4, duration=2.0))
    for row in rows:
        wave, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
        assert (len(wave), rate) == (32_000, noise_bank.sample_rate)
        assert np.abs(wave).max() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("beijing_opera", set(notes.PERCUSSION)),
        ("gtzan", {genre.name for genre in GENRES.values()}),
        ("medley_solos", set(notes.SOLOISTS)),
    ],
)
def test_classes_are_balanced(noise_bank: Bank, name: str, classes: set[str]) -> None:
    rows = MAKERS[name](noise_bank, n=2 * len(classes), seed=0, duration=1.0)
    assert Counter(row["label"] for row in rows) == dict.fromkeys(classes, 2)


def test_notes_of_training_are_of_other_programs(noise_bank_of_splits: Bank) -> None:
    n = len(notes.PATCHES)
    train, test = (
        list(played.nsynth(noise_bank_of_splits.split(split), n=n, seed=0, name=name, duration=0.5))
        for split, name in (("train", "nsynth_train"), ("test", "nsynth"))
    )
    assert [(r["instrument"], r["source"]) for r in train] == [(r["instrument"], r["source"]) for r in test]
    assert {row["source"] for row in test} == {"acoustic", "electronic", "synthetic"}
    programs = [{row["clips"][0].split("/")[1][:3] for row in rows} for rows in (train, test)]
    assert not programs[0] & programs[1]
    assert not {row["id"] for row in train} & {row["id"] for row in test}
    with pytest.raises(BenchmarkError, match="one split"):
        next(played.nsynth(noise_bank_of_splits, n=1, seed=0))

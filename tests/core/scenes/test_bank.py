"""The bank: its rules, the clip preparation and the files on disk."""

from __future__ import annotations

import dataclasses
import errno
import json
import os

import numpy as np
import pytest

from core.files import OutputError
from core.scenes.bank import (
    Bank,
    BankError,
    BankMissingError,
    Clip,
    SilentClipError,
    prepare_clip,
    read_bank,
    write_bank,
)

RATE = 8000


def clip(name: str, *, split: str = "train", label: str = "dog_bark", group: str = "") -> Clip:
    return Clip(
        id=name, label=label, phrases=("a dog barking", "a dog barks", "a barking dog"), domain="sound",
        source="test", group=group or name, license="CC0-1.0", split=split,
    )  # fmt: skip


def tone(seconds: float = 0.5, freq: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * freq * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def small_bank() -> Bank:
    clips = (clip("a"), clip("b", label="cat_meow"), clip("c/1", split="test"), clip("d"))
    return Bank(clips, (tone(), tone(0.6), tone(0.7, 880), tone(0.8, 220)), RATE)


def test_split_and_by_label() -> None:
    bank = small_bank()
    assert bank.labels() == ("cat_meow", "dog_bark")
    assert bank.by_label() == {"cat_meow": (1,), "dog_bark": (0, 2, 3)}
    train = bank.split("train")
    assert [c.id for c in train.clips] == ["a", "b", "d"]
    assert len(train.waveforms[2]) == round(0.8 * RATE)
    with pytest.raises(BankError, match="no clip in split 'valid'"):
        bank.split("valid")


def test_disk_round_trip(tmp_path) -> None:
    bank = small_bank()
    bank = dataclasses.replace(
        bank, clips=(dataclasses.replace(bank.clips[0], agent="dog", action="bark"), *bank.clips[1:])
    )
    write_bank(bank, tmp_path)
    again = read_bank(tmp_path)
    assert [c.id for c in again.clips] == ["a", "b", "d", "c/1"]  # by split
    assert again.clips[0] == bank.clips[0]
    assert again.sample_rate == RATE
    for name, waveform in zip(("a", "b", "d", "c/1"), again.waveforms, strict=True):
        original = bank.waveforms[[c.id for c in bank.clips].index(name)]
        assert waveform.dtype == np.float32
        np.testing.assert_allclose(waveform, original, atol=1 / 32768)
    assert [c.id for c in read_bank(tmp_path, splits=["test"]).clips] == ["c/1"]


def test_the_hub_reader_sees_audio(tmp_path) -> None:
    import datasets

    write_bank(small_bank(), tmp_path)
    rows = datasets.Dataset.from_parquet(str(tmp_path / "train.parquet"), cache_dir=str(tmp_path / "cache"))
    assert isinstance(rows.features["audio"], datasets.Audio)
    assert rows.features["audio"].sampling_rate == RATE
    assert rows["label"][:] == ["dog_bark", "cat_meow", "dog_bark"]


def test_writing_again_leaves_no_old_split(tmp_path) -> None:
    write_bank(small_bank(), tmp_path)
    write_bank(small_bank().split("train"), tmp_path)
    assert not (tmp_path / "test.parquet").exists()
    assert read_bank(tmp_path).split("train").labels() == ("cat_meow", "dog_bark")


def test_duplicate_ids_are_named() -> None:
    with pytest.raises(BankError, match="1 clip ids occur more than once: a"):
        Bank((clip("a"), clip("a")), (tone(), tone()), RATE)


def test_a_group_stays_in_one_split() -> None:
    with pytest.raises(BankError, match="recording group must stay in one split"):
        Bank((clip("a", group="g"), clip("b", group="g", split="test")), (tone(), tone()), RATE)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"split": "dev"}, "'dev'"), ({"domain": "noise"}, "'noise'"), ({"phrases": ("x",)}, "at least 3")],
)
def test_wrong_fields_are_refused(change, message) -> None:
    with pytest.raises(BankError, match=message):
        Bank((dataclasses.replace(clip("a"), **change),), (tone(),), RATE)


def test_a_missing_bank_names_the_command(tmp_path) -> None:
    with pytest.raises(BankMissingError, match=r"python -m shared_data\.bank"):
        read_bank(tmp_path)


def test_an_unfinished_write_is_no_bank(tmp_path) -> None:
    write_bank(small_bank(), tmp_path)
    (tmp_path / "bank.json").unlink()
    with pytest.raises(BankMissingError, match="no finished bank"):
        read_bank(tmp_path)


def test_damaged_and_missing_files_are_named(tmp_path) -> None:
    write_bank(small_bank(), tmp_path)
    data = bytearray((tmp_path / "test.parquet").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "test.parquet").write_bytes(data)
    with pytest.raises(BankError, match=r"test\.parquet: checksum differs"):
        read_bank(tmp_path)
    read_bank(tmp_path, splits=["train"])
    (tmp_path / "test.parquet").unlink()
    with pytest.raises(BankMissingError, match=r"test\.parquet: missing"):
        read_bank(tmp_path)
    with pytest.raises(BankError, match="no split valid"):
        read_bank(tmp_path, splits=["valid"])


def test_bank_json_counts(tmp_path) -> None:
    write_bank(small_bank(), tmp_path)
    info = json.loads((tmp_path / "bank.json").read_text())["splits"]["train"]
    assert info["clips"] == 3
    assert info["labels"] == {"cat_meow": 1, "dog_bark": 2}
    assert info["seconds"] == pytest.approx(1.9)


def test_prepare_trims_centres_and_normalises() -> None:
    raw = np.concatenate([np.zeros(RATE), 3 * tone(0.6) + 0.0, np.zeros(RATE)]) + 0.2
    out = prepare_clip(raw, sample_rate=RATE)
    assert out.dtype == np.float32
    assert len(out) == pytest.approx(0.6 * RATE, abs=RATE // 50)
    assert np.abs(out).max() == pytest.approx(0.5, abs=1e-6)
    assert abs(out.mean()) < 1e-3


def test_prepare_bounds_the_length() -> None:
    assert len(prepare_clip(tone(4.0), sample_rate=RATE)) == round(2.5 * RATE)
    short = prepare_clip(tone(0.1), sample_rate=RATE)
    assert len(short) == round(0.4 * RATE)
    assert not short[round(0.11 * RATE) :].any()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (np.zeros(0), "empty"),
        (np.zeros(RATE), "silent"),
        (np.full(RATE, 0.7), "silent"),  # an offset is no sound
        (np.full(RATE, np.nan), "NaN"),
    ],
)
def test_silent_clips_are_refused(raw, message) -> None:
    with pytest.raises(SilentClipError, match=message):
        prepare_clip(raw, sample_rate=RATE)


def test_stereo_is_refused() -> None:
    with pytest.raises(BankError, match=r"mono, shape \(samples,\)"):
        prepare_clip(np.zeros((100, 2)), sample_rate=RATE)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_is_said_and_leaves_no_bank(tmp_path, monkeypatch, number: int) -> None:
    import pyarrow.parquet as pq

    write_bank(small_bank(), tmp_path)

    def refuse(table: object, where: object, **options: object) -> None:
        where.write_bytes(b"half")  # type: ignore[attr-defined]
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pq, "write_table", refuse)
    with pytest.raises(OutputError, match=r"cannot write the bank to .* run the same command again"):
        write_bank(small_bank(), tmp_path)
    assert not list(tmp_path.glob("*.tmp"))
    with pytest.raises(BankMissingError):
        read_bank(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sample_rate": "x", "splits": {}}', '{"splits": 3}'])
def test_a_damaged_bank_json(tmp_path, text: str) -> None:
    write_bank(small_bank(), tmp_path)
    (tmp_path / "bank.json").write_text(text)
    with pytest.raises(BankError, match=r"bank\.json is damaged"):
        read_bank(tmp_path)

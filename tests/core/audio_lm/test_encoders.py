"""Encoders as values: opened by their record, refused where they are not the same, one of one's own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core.adapters.prefix_lm import Features
from core.audio_lm.encoders import (
    OPENERS,
    Encoder,
    EncoderError,
    EncoderRecord,
    labels_of,
    listen,
    open_encoder,
    read_record,
    record_of,
    resampled,
    write_record,
)
from core.encoders.ast import write_front_end
from core.encoders.whisper import WhisperShape, make_whisper

CPU = torch.device("cpu")


def open_loudness(folder: Path, *, device: torch.device, parts: int, gain: float = 1.0) -> Encoder:
    """The level of each part of the audio, (B, parts, 2 layers, 1)."""

    def hear(waves: Sequence[np.ndarray], ids: Sequence[str]) -> Features:
        levels = [[gain * float(np.abs(part).mean()) for part in np.array_split(w, parts)] for w in waves]
        values = torch.tensor(levels, device=device)[:, :, None, None].repeat(1, 1, 2, 1)
        return Features(values, torch.ones(len(waves), parts, dtype=torch.bool))

    return Encoder("loudness", 4_000, hear, (folder / "gain.txt",), ("loud",))


KINDS = {**OPENERS, "loudness": open_loudness}


@pytest.fixture
def record(tmp_path: Path) -> EncoderRecord:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "gain.txt").write_text("1")
    return EncoderRecord(name="mine", kind="loudness", folder="made", options={"parts": 4})


def test_an_encoder_of_ones_own_is_opened_by_its_record(tmp_path: Path, record: EncoderRecord) -> None:
    encoder = open_encoder(record, root=tmp_path, device=CPU, openers=KINDS)
    assert (encoder.name, encoder.sample_rate) == ("mine", 4_000)
    whole = record_of(encoder, record)
    assert whole.labels == labels_of([dataclasses.replace(whole, name="tags")]) == ("loud",)
    write_record(tmp_path / "mine", whole)
    assert read_record(tmp_path / "mine") == whole
    open_encoder(whole, root=tmp_path, device=CPU, openers=KINDS)
    (tmp_path / "made" / "gain.txt").write_text("2")
    with pytest.raises(EncoderError, match="encoder mine in made is not the one"):
        open_encoder(whole, root=tmp_path, device=CPU, openers=KINDS)


def test_every_rate_is_asked_for_once_and_layers_come_first(tmp_path: Path, record: EncoderRecord) -> None:
    encoder = open_encoder(record, root=tmp_path, device=CPU, openers=KINDS)
    other = dataclasses.replace(encoder, name="other", sample_rate=8_000)
    rates: list[int] = []
    waves = [np.linspace(0, 1, 8_000, dtype=np.float32)]

    def waves_at(rate: int) -> list[np.ndarray]:
        rates.append(rate)
        return resampled(waves, 8_000)(rate)

    heard = listen([encoder, other, dataclasses.replace(encoder, name="third")], waves_at, ["a"])
    assert rates == [4_000, 8_000]
    assert heard["mine"].values.shape == (1, 2, 4, 1)
    torch.testing.assert_close(heard["mine"].values, heard["other"].values, atol=0.01, rtol=0)
    assert heard["other"].values[0, 0, :, 0].tolist() == pytest.approx([0.125, 0.375, 0.625, 0.875], abs=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "loudnes"}, "mine: no kind 'loudnes' of encoder; did you mean 'loudness'"),
        ({"options": {"parts": 4, "gian": 2.0}}, "mine.gian: no option of loudness; did you mean 'gain'"),
        ({"options": {}}, "mine: loudness needs the options parts"),
    ],
)
def test_what_cannot_be_opened_names_the_nearest(
    tmp_path: Path, record: EncoderRecord, change: dict[str, object], message: str
) -> None:
    with pytest.raises(EncoderError, match=message):
        open_encoder(
            dataclasses.replace(record, **change),  # type: ignore[arg-type]
            root=tmp_path,
            device=CPU,
            openers=KINDS,
        )


# --- whose weights they are

WHISPER = WhisperShape(hidden_size=8, layers=1, heads=2, intermediate_size=8, n_mels=8, max_frames=20)


def whisper(folder: Path, *, seed: int, kind: str) -> EncoderRecord:
    """A Whisper with its weights in one file of .safetensors or .bin, or in shards."""
    folder.mkdir()
    encoder = make_whisper(WHISPER, seed=seed)
    encoder.save_pretrained(folder, max_shard_size="1KB" if kind == "shards" else "1GB")
    write_front_end(folder, {"n_mels": 8, "max_seconds": 0.2})
    if "bin" in kind:
        whole = folder / "model.safetensors"
        weights = load_file(whole)
        whole.unlink()
        if kind == "bin":
            torch.save(weights, folder / "pytorch_model.bin")
        else:
            names, parts = sorted(weights), {}
            for place, name in enumerate(names):
                parts[name] = f"pytorch_model-{place % 2 + 1:05d}-of-00002.bin"
            for part in set(parts.values()):
                torch.save({name: weights[name] for name in names if parts[name] == part}, folder / part)
            index = {"metadata": {"total_size": 1}, "weight_map": parts}
            (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return EncoderRecord(name="listener", kind="whisper", folder=folder.name, options={"pool": 1})


@pytest.mark.parametrize("kind", ["safetensors", "shards", "bin", "shards of bin"])
def test_other_weights_are_another_encoder(tmp_path: Path, kind: str) -> None:
    made = [whisper(tmp_path / name, seed=seed, kind=kind) for name, seed in (("a", 1), ("b", 2))]
    opened = [open_encoder(one, root=tmp_path, device=CPU) for one in made]
    first, second = (record_of(encoder, one) for encoder, one in zip(opened, made, strict=True))
    assert len(first.sha256) == 64
    assert first.sha256 != second.sha256
    assert (len(opened[0].weights) > 1) == ("shards" in kind)
    with pytest.raises(EncoderError, match="is not the one that this was trained with"):
        open_encoder(dataclasses.replace(second, folder="a"), root=tmp_path, device=CPU)


def test_what_was_hashed_so_far_keeps_its_hash(tmp_path: Path) -> None:
    """All .safetensors of a folder in their order, and of a folder that also holds .bin those alone."""
    record = whisper(tmp_path / "a", seed=1, kind="shards")
    files = sorted((tmp_path / "a").glob("*.safetensors"))
    wanted = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    assert record_of(open_encoder(record, root=tmp_path, device=CPU), record).sha256 == wanted
    torch.save({"not": torch.zeros(1)}, tmp_path / "a" / "pytorch_model.bin")  # it is not read
    assert record_of(open_encoder(record, root=tmp_path, device=CPU), record).sha256 == wanted


def test_a_folder_that_was_not_heard_names_the_stage(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="stage `features ast`"):
        read_record(tmp_path / "ast")

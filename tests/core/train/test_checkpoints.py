"""Weights on disk: round trips, key reports, and files that are whole or as they were."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from core.run.files import OutputError
from core.train.checkpoints import (
    WeightsMismatch,
    describe_differences,
    load_model,
    random_state,
    save_model,
    set_random_state,
)


class Tied(nn.Module):
    """A parameter under two names, and buffers of other types."""

    def __init__(self, seed: int, rows: int = 5) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embed, self.head = nn.Embedding(rows, 3), nn.Linear(3, rows, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("steps", torch.tensor(seed))
        self.register_buffer("mask", torch.rand(4) < 0.5)
        self.register_buffer("derived", torch.rand(2), persistent=False)


def test_round_trip_with_tied_weights_and_buffers(tmp_path: Path) -> None:
    path = tmp_path / "new" / "model.safetensors"
    saved, loaded = Tied(1), Tied(2)
    save_model(saved, path)
    assert not load_model(loaded, path)
    for name, value in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert loaded.head.weight is loaded.embed.weight
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_mismatch_names_the_keys_and_copies_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(2, 2)}), path)
    model = nn.ModuleDict({"a": nn.Linear(2, 4), "c": nn.Linear(2, 2), "b": nn.Linear(2, 2, bias=False)})
    before = model["b"].weight.clone()
    with pytest.raises(WeightsMismatch) as error:
        load_model(model, path)
    for part in (
        "does not fit ModuleDict",
        "2 missing: c.weight, c.bias",
        "1 unexpected: b.bias",
        "2 of another shape: a.bias: (3,) in the file, (4,) in the model",
    ):
        assert part in str(error.value)
    assert torch.equal(model["b"].weight, before)

    report = load_model(model, path, strict=False)
    assert report.missing == ("c.weight", "c.bias")
    assert report.unexpected == ("b.bias",)
    assert not torch.equal(model["b"].weight, before)


def test_long_reports_are_cut(tmp_path: Path) -> None:
    save_model(nn.Linear(1, 1), tmp_path / "x")
    with pytest.raises(WeightsMismatch, match=r"20 missing: 0\.weight.*, and 12 more; 2 unexpected: "):
        load_model(nn.Sequential(*(nn.Linear(1, 1) for _ in range(10))), tmp_path / "x")


def test_absent_and_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(FileNotFoundError, match=r"no weights at .*run the stage that trains them"):
        load_model(Tied(0), path)
    save_model(Tied(0), path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(WeightsMismatch, match=r"as safetensors: it has .*make or fetch it again"):
        load_model(Tied(0), path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    save_model(Tied(1), path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match=r"No space left on device.*what was there before is whole"):
        save_model(Tied(2), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_half_weights_are_cast_to_the_model(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    save_model(nn.Linear(2, 2).bfloat16(), tmp_path / "x")
    assert not load_model(model, tmp_path / "x")
    assert model.weight.dtype == torch.float32


def test_random_state_survives_the_default_torch_load(tmp_path: Path) -> None:
    draw = lambda: (random.random(), float(np.random.normal()), float(torch.rand(())))  # noqa: E731, NPY002
    draw()
    torch.save(random_state(), tmp_path / "x")
    first = [draw() for _ in range(3)]
    set_random_state(torch.load(tmp_path / "x", weights_only=True))
    assert [draw() for _ in range(3)] == first


def test_differences_are_described() -> None:
    assert describe_differences({"a": 1, "b": [2]}, {"a": 1, "b": [2]}) == ""
    assert describe_differences({"a": 1, "b": 2}, {"a": 3, "c": 4}) == (
        "a: 1 then, 3 now; b: 2 then, absent now; c: absent then, 4 now"
    )

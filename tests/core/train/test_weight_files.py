"""Files of weights as people have them: told before they are opened, and nothing in them is run."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.train.weight_files import WeightFileError, check_weights, complaint, read_weights

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 249592\n"
PAGE = b"\n <!DOCTYPE html><html><head><title>Virus scan warning</title></head></html>"
WHOLE = {"a.weight": torch.arange(600.0), "b": torch.ones(2, 3)}


def saved(folder: Path, name: str) -> Path:
    path = folder / name
    if path.suffix == ".safetensors":
        save_file(WHOLE, path)
    else:
        torch.save(WHOLE, path)
    return path


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_whole_files_have_nothing_wrong(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path, name)
    (tmp_path / "config.json").write_text("{}")
    assert complaint(path) is None
    check_weights(tmp_path)
    assert {k: v.tolist() for k, v in read_weights(path).items()} == {k: v.tolist() for k, v in WHOLE.items()}


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize(
    ("content", "message"),
    [(POINTER, "git lfs pull"), (PAGE, "a web page and not the file"), (b"", "it is empty")],
)
def test_what_a_download_leaves_in_place_of_a_file(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for call in (lambda: check_weights(tmp_path), lambda: read_weights(path)):
        with pytest.raises(WeightFileError, match=message) as error:
            call()
        assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_cut_anywhere(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path, name)
    whole = path.read_bytes()
    for length in {1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(WeightFileError, match="fetch it again"):
            read_weights(path)


def test_longer_than_it_should_be(tmp_path: Path) -> None:
    path = saved(tmp_path, "model.safetensors")
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(WeightFileError, match=r"it has \d+ bytes of \d+"):
        read_weights(path)


@pytest.mark.parametrize("header", [b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a": {"data_offsets": 3}}'])
def test_hostile_headers_of_safetensors(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 8)
    assert complaint(path) is not None
    path.write_bytes((2**63).to_bytes(8, "little") + header)
    assert "no file of safetensors" in str(complaint(path))


def test_a_configuration_that_is_cut(tmp_path: Path) -> None:
    saved(tmp_path, "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "lla')
    with pytest.raises(WeightFileError, match=r"config\.json: it is cut or damaged"):
        check_weights(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "my notes.json").write_text("not JSON")  # nobody's business
    check_weights(tmp_path)


class Trap:
    """What runs when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.place),)


def test_objects_beside_the_weights_are_shells(tmp_path: Path) -> None:
    path, sprung = tmp_path / "training.ckpt", tmp_path / "sprung"
    beside = {
        "state_dict": {**WHOLE, "no tensor": 3},
        "hyper_parameters": argparse.Namespace(rate=1.0, path=Path("x")),
        "callbacks": {torch.nn.Linear: [Path("y")]},
    }
    torch.save(beside, path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    assert read_weights(path).keys() == WHOLE.keys()
    torch.save({**beside, "trap": Trap(sprung)}, path)
    with contextlib.suppress(WeightFileError):  # torch refuses some modules outright
        assert read_weights(path).keys() == WHOLE.keys()
    assert not sprung.exists()


@pytest.mark.parametrize(
    "content", [b"junk", pickle.dumps({"a": 1}), b"PK\x03\x04junk", json.dumps({"a": 1}).encode()]
)
def test_what_is_no_weights_is_told_with_its_checksum_and_never_opened_unsafely(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "HTSAT.ckpt"
    path.write_bytes(content)
    with pytest.raises(WeightFileError, match=r"SHA-256|cut short") as error:
        read_weights(path)
    assert "weights_only" not in str(error.value)


def test_a_pickle_trap_is_not_sprung(tmp_path: Path) -> None:
    path, sprung = tmp_path / "pytorch_model.bin", tmp_path / "sprung"
    path.write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(WeightFileError):
        read_weights(path)
    assert not sprung.exists()


def test_a_file_without_tensors(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "x.ckpt")
    with pytest.raises(WeightFileError, match="holds no tensors by name"):
        read_weights(tmp_path / "x.ckpt")
    torch.save([1, 2], tmp_path / "x.ckpt")
    with pytest.raises(WeightFileError, match="holds no tensors by name"):
        read_weights(tmp_path / "x.ckpt")
    with pytest.raises(FileNotFoundError):
        read_weights(tmp_path / "absent.bin")

"""Readers of GGUF, CTranslate2 and ONNX: what was written comes back, and damage is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shared_data.wheels.files import FormatError
from shared_data.wheels.read_ctranslate2 import read_ctranslate2
from shared_data.wheels.read_gguf import read_gguf
from shared_data.wheels.read_onnx import Node, read_onnx
from tests.shared_data.wheels.written import F16, F32, Q4_1, Q8_0, write_ctranslate2, write_gguf, write_onnx

DRAW = np.random.default_rng(0)
GRID = DRAW.normal(size=(3, 64)).astype(np.float32)


def gguf(path: Path) -> None:
    settings = {
        "a.count": 7,
        "a.share": 0.5,
        "a.on": True,
        "a.name": "é",
        "a.words": ["x", "yz"],
        "a.ids": [1, 2],
    }
    write_gguf(path, settings, {f"kind{kind}": (GRID, kind) for kind in (F32, F16, Q4_1, Q8_0)})


def ctranslate2(path: Path) -> None:
    arrays = {"a/weight": GRID.astype(np.float16), "a/heads": np.array(6, np.int16)}
    write_ctranslate2(path, arrays, aliases={"b/weight": "a/weight"})


def onnx(path: Path) -> None:
    arrays = {"big": GRID, "small": GRID[0, :5], "zero": np.zeros(3, np.int8)}
    write_onnx(path, [("Conv", ["x", "big", "small"], ["y"])], arrays)


READERS: dict[str, tuple[Callable[[Path], None], Callable[[Path], object]]] = {
    "gguf": (gguf, read_gguf),
    "ctranslate2": (ctranslate2, lambda path: read_ctranslate2(path, spec="WhisperSpec")),
    "onnx": (onnx, read_onnx),
}


def test_gguf_gives_settings_and_every_kind_of_tensor(tmp_path: Path) -> None:
    gguf(tmp_path / "a.gguf")
    found = read_gguf(tmp_path / "a.gguf")
    assert found.settings["a.count"] == 7
    assert found.settings["a.on"] is True
    assert (found.settings["a.name"], found.settings["a.words"]) == ("é", ["x", "yz"])
    assert all(tensor.shape == GRID.shape for tensor in found.tensors.values())
    np.testing.assert_array_equal(found.tensors["kind0"], GRID)
    np.testing.assert_allclose(found.tensors["kind1"], GRID, atol=2e-3)
    np.testing.assert_allclose(found.tensors["kind8"], GRID, atol=0.02)
    np.testing.assert_allclose(found.tensors["kind3"], GRID, atol=0.25)  # a fifteenth of the span is a step


def test_a_block_of_four_bits_has_its_first_half_in_the_low_nibbles(tmp_path: Path) -> None:
    ramp = np.arange(32, dtype=np.float32)[None] % 16
    write_gguf(tmp_path / "a.gguf", {"a": 1}, {"ramp": (ramp, Q4_1)})
    np.testing.assert_array_equal(read_gguf(tmp_path / "a.gguf").tensors["ramp"], ramp)


def test_ctranslate2_gives_arrays_and_aliases(tmp_path: Path) -> None:
    ctranslate2(tmp_path / "model.bin")
    found = read_ctranslate2(tmp_path / "model.bin", spec="WhisperSpec")
    np.testing.assert_array_equal(found["b/weight"], GRID.astype(np.float16))
    assert int(found["a/heads"]) == 6
    with pytest.raises(FormatError, match="'WhisperSpec', not a 'TransformerSpec'"):
        read_ctranslate2(tmp_path / "model.bin", spec="TransformerSpec")


def test_onnx_gives_nodes_and_floats_inside_and_beside(tmp_path: Path) -> None:
    onnx(tmp_path / "model.onnx")
    nodes, arrays = read_onnx(tmp_path / "model.onnx")
    assert nodes == [Node("Conv", ("x", "big", "small"), ("y",))]
    assert set(arrays) == {"big", "small"}
    np.testing.assert_array_equal(arrays["big"], GRID)
    np.testing.assert_array_equal(arrays["small"], GRID[0, :5])


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("kept", [0.2, 0.6, 0.97])
def test_a_file_cut_short_is_told(tmp_path: Path, kind: str, kept: float) -> None:
    write, read = READERS[kind]
    path = tmp_path / "model.onnx"
    write(path)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(FormatError, match=r"model\.onnx"):
        read(path)


@pytest.mark.parametrize("kind", READERS)
def test_what_is_no_such_file_is_told(tmp_path: Path, kind: str) -> None:
    (tmp_path / "model").write_bytes(b"<!doctype html><html>not found</html>")
    with pytest.raises(FormatError):
        READERS[kind][1](tmp_path / "model")


def test_data_beside_an_onnx_file_that_is_cut_short_is_told(tmp_path: Path) -> None:
    onnx(tmp_path / "model.onnx")
    (tmp_path / "model.data").write_bytes(b"\0" * 8)
    with pytest.raises(FormatError, match="big has 8 bytes"):
        read_onnx(tmp_path / "model.onnx")

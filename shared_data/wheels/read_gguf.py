"""GGUF, the file format of llama.cpp: its settings, and its tensors as float32 arrays.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Of the quantised kinds those are read that
the shipped file uses: Q4_1 and Q8_0.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared_data.wheels.files import FormatError

MAGIC = b"GGUF"
_TEXT, _ARRAY = 8, 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_BLOCK = 32  # values that share a scale
_BYTES = {0: (1, 4), 1: (1, 2), 3: (_BLOCK, 20), 8: (_BLOCK, 34)}  # kind -> values and bytes of a block


@dataclass(frozen=True)
class Gguf:
    """settings: key -> value; tensors: name -> float32 array, the axis that lies densest last."""

    settings: dict[str, Any]
    tensors: dict[str, np.ndarray]


def read_gguf(path: Path) -> Gguf:
    """Read a whole file. Raises FormatError."""
    content = path.read_bytes()
    if content[:4] != MAGIC:
        raise FormatError(f"{path}: no GGUF file (it begins with {content[:4]!r})")
    at = _At(content, 4)
    try:
        version = at.number("I")
        if version not in (2, 3):
            raise FormatError(f"{path}: GGUF of version {version}; 2 and 3 are read")
        count, keys = at.number("Q"), at.number("Q")
        settings = {at.text(): at.value(at.number("I")) for _ in range(keys)}
        places = [_place(at) for _ in range(count)]
        step = int(settings.get("general.alignment", 32))
        start = -(-at.place // step) * step
        tensors = {
            name: _values(content, start + offset, shape, kind) for name, shape, kind, offset in places
        }
    except (struct.error, UnicodeDecodeError, KeyError, IndexError, OverflowError) as error:
        raise FormatError(f"{path}: cut short or damaged ({error})") from error
    return Gguf(settings, tensors)


class _At:
    """A place in the content that moves on with what is read."""

    def __init__(self, content: bytes, place: int) -> None:
        self.content, self.place = content, place

    def number(self, form: str) -> Any:
        (value,) = struct.unpack_from(f"<{form}", self.content, self.place)
        self.place += struct.calcsize(f"<{form}")
        return value

    def text(self) -> str:
        length = self.number("Q")
        raw = self.content[self.place : self.place + length]
        if len(raw) != length:
            raise IndexError("a text runs beyond the end")
        self.place += length
        return raw.decode()

    def value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self.text()
        if kind == _ARRAY:
            inner, count = self.number("I"), self.number("Q")
            return [self.value(inner) for _ in range(count)]
        return self.number(_NUMBERS[kind])


def _place(at: _At) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape, kind and offset of a tensor; the file gives the densest axis first."""
    name = at.text()
    shape = tuple(at.number("Q") for _ in range(at.number("I")))[::-1]
    return name, shape, at.number("I"), at.number("Q")


def _values(content: bytes, start: int, shape: tuple[int, ...], kind: int) -> np.ndarray:
    if kind not in _BYTES:
        raise FormatError(f"a tensor of kind {kind}; read are {', '.join(map(str, _BYTES))}")
    values, size = _BYTES[kind]
    total = math.prod(shape)
    raw = np.frombuffer(content[start : start + total // values * size], np.uint8)
    if total % values or len(raw) != total // values * size:
        raise IndexError("a tensor runs beyond the end")
    if kind < 3:
        return raw.view("<f4" if kind == 0 else "<f2").astype(np.float32).reshape(shape)
    blocks = raw.reshape(-1, size)
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    if kind == 8:
        return (scale * blocks[:, 2:].copy().view(np.int8)).reshape(shape)
    least, packed = blocks[:, 2:4].copy().view("<f2").astype(np.float32), blocks[:, 4:]
    return (scale * np.concatenate([packed & 15, packed >> 4], axis=1) + least).reshape(shape)

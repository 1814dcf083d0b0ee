"""The graph of an ONNX file: its nodes, and its stored float32 arrays, inside or in the data file beside it.

Only what finding weights needs is read of the Protocol Buffers; field numbers are those of onnx.proto
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared_data.wheels.files import FormatError

_GRAPH = 7  # of the model
_NODE, _ARRAY = 1, 5  # of the graph
_INPUT, _OUTPUT, _OPERATION = 1, 2, 4  # of a node
_SHAPE, _KIND, _FLOATS, _NAME, _RAW, _OUTSIDE = 1, 2, 4, 8, 9, 13  # of an array
_FLOAT32 = 1


@dataclass(frozen=True)
class Node:
    """An operation and the names that it reads and gives."""

    operation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_onnx(path: Path) -> tuple[list[Node], dict[str, np.ndarray]]:
    """Nodes in their order, and name -> float32 array; other arrays are left out. Raises FormatError."""
    try:
        graph = next((value for key, value in _fields(path.read_bytes()) if key == _GRAPH), None)
        if not isinstance(graph, bytes):
            raise FormatError(f"{path}: it holds no graph of ONNX")
        parts = list(_fields(graph))
        nodes = [_node(value) for key, value in parts if key == _NODE and isinstance(value, bytes)]
        found = [_array(value, path) for key, value in parts if key == _ARRAY and isinstance(value, bytes)]
    except (IndexError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: cut short or damaged ({error})") from error
    return nodes, {name: array for name, array in found if array is not None}


def _node(raw: bytes) -> Node:
    named: dict[int, list[str]] = {_INPUT: [], _OUTPUT: [], _OPERATION: []}
    for key, value in _fields(raw):
        if key in named and isinstance(value, bytes):
            named[key].append(value.decode())
    return Node(named[_OPERATION][0], tuple(named[_INPUT]), tuple(named[_OUTPUT]))


def _array(raw: bytes, path: Path) -> tuple[str, np.ndarray | None]:
    shape, kind, name, content = [], 0, "", b""
    outside: dict[str, str] = {}
    for key, value in _fields(raw):
        if key == _SHAPE:
            shape += [value] if isinstance(value, int) else list(_numbers(value))
        elif key == _KIND and isinstance(value, int):
            kind = value
        elif isinstance(value, bytes):
            if key == _NAME:
                name = value.decode()
            elif key in (_FLOATS, _RAW):
                content += value
            elif key == _OUTSIDE:
                entry = {at: text.decode() for at, text in _fields(value) if isinstance(text, bytes)}
                outside[entry[1]] = entry[2]
    if kind != _FLOAT32:
        return name, None
    if outside:
        with (path.parent / Path(outside["location"]).name).open("rb") as file:
            file.seek(int(outside.get("offset", 0)))
            content = file.read(int(outside["length"]))
    if len(content) != 4 * math.prod(shape):
        raise IndexError(f"{name} has {len(content)} bytes for the shape {shape}")
    return name, np.frombuffer(content, "<f4").reshape(shape)


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of a message: a number, or the bytes of a text, a message or packed values."""
    place = 0
    while place < len(raw):
        tag, place = _number(raw, place)
        kind = tag & 7
        if kind == 0:
            value, place = _number(raw, place)
            yield tag >> 3, value
            continue
        if kind == 2:
            length, place = _number(raw, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise IndexError(f"a field of kind {kind}")
        if place + length > len(raw):
            raise IndexError("a field runs beyond the end")
        yield tag >> 3, raw[place : place + length]
        place += length


def _numbers(raw: bytes) -> Iterator[int]:
    place = 0
    while place < len(raw):
        value, place = _number(raw, place)
        yield value


def _number(raw: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place

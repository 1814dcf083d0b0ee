"""Writers of the three file formats, as small as their official descriptions allow."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

F32, F16, Q4_1, Q8_0 = 0, 1, 3, 8


def write_ctranslate2(
    path: Path, arrays: Mapping[str, np.ndarray], *, aliases: Mapping[str, str], spec: str = "WhisperSpec"
) -> None:
    """As `ModelSpec._serialize` of CTranslate2 writes."""
    kinds = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    content = struct.pack("<I", 6) + text(spec) + struct.pack("<II", 3, len(arrays))
    for name, array in arrays.items():
        content += text(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        content += struct.pack("<BI", kinds[array.dtype.name], array.nbytes) + array.tobytes()
    content += struct.pack("<I", len(aliases))
    for alias, name in aliases.items():
        content += text(alias) + text(name)
    path.write_bytes(content)


def write_gguf(
    path: Path, settings: Mapping[str, Any], tensors: Mapping[str, tuple[np.ndarray, int]]
) -> None:
    """tensors: name -> array and kind; those of 4 and 8 bits are packed as ggml's reference does."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def value(one: Any) -> bytes:
        if isinstance(one, bool):
            return struct.pack("<I?", 7, one)
        if isinstance(one, int):
            return struct.pack("<II", 4, one)
        if isinstance(one, float):
            return struct.pack("<If", 6, one)
        if isinstance(one, str):
            return struct.pack("<I", 8) + text(one)
        inner = [value(each) for each in one]
        return (
            struct.pack("<I", 9)
            + inner[0][:4]
            + struct.pack("<Q", len(inner))
            + b"".join(i[4:] for i in inner)
        )

    content = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(settings))
    for key, one in settings.items():
        content += text(key) + value(one)
    body = b""
    for name, (array, kind) in tensors.items():
        body += bytes(-len(body) % 32)
        content += text(name) + struct.pack(f"<I{array.ndim}Q", array.ndim, *array.shape[::-1])
        content += struct.pack("<IQ", kind, len(body))
        body += packed(array, kind)
    path.write_bytes(content + bytes(-len(content) % 32) + body)


def packed(array: np.ndarray, kind: int) -> bytes:
    """The bytes of a tensor."""
    if kind in (F32, F16):
        return array.astype(np.float32 if kind == F32 else np.float16).tobytes()
    blocks = array.astype(np.float32).reshape(-1, 32)
    if kind == Q8_0:
        scale = (np.abs(blocks).max(axis=1, keepdims=True) / 127).astype(np.float16)
        rounded = np.rint(blocks / scale.astype(np.float32)).astype(np.int8)
        return b"".join(s.tobytes() + r.tobytes() for s, r in zip(scale, rounded))
    least = blocks.min(axis=1, keepdims=True)
    scale = ((blocks.max(axis=1, keepdims=True) - least) / 15).astype(np.float16)
    rounded = np.clip(np.rint((blocks - least) / scale.astype(np.float32)), 0, 15).astype(np.uint8)
    halves = rounded[:, :16] | rounded[:, 16:] << 4
    return b"".join(
        s.tobytes() + m.tobytes() + h.tobytes() for s, m, h in zip(scale, least.astype(np.float16), halves)
    )


def write_onnx(
    path: Path, nodes: Sequence[tuple[str, list[str], list[str]]], arrays: Mapping[str, np.ndarray]
) -> None:
    """A graph; arrays of more than 100 values lie in model.data beside it."""

    def number(value: int) -> bytes:
        out = b""
        while value > 127:
            out, value = out + bytes([value & 127 | 128]), value >> 7
        return out + bytes([value])

    def part(key: int, value: bytes | str | int) -> bytes:
        if isinstance(value, int):
            return number(key << 3) + number(value)
        raw = value.encode() if isinstance(value, str) else value
        return number(key << 3 | 2) + number(len(raw)) + raw

    graph, data = b"", b""
    for operation, inputs, outputs in nodes:
        names = b"".join(part(1, name) for name in inputs) + b"".join(part(2, name) for name in outputs)
        graph += part(1, names + part(4, operation) + part(5, b"\x0a\x01a"))
    for name, array in arrays.items():
        kind = {"float32": 1, "int8": 3}[array.dtype.name]
        one = b"".join(part(1, size) for size in array.shape) + part(2, kind) + part(8, name)
        if array.size > 100:
            where = {"location": "model.data", "offset": str(len(data)), "length": str(array.nbytes)}
            one += b"".join(part(13, part(1, key) + part(2, text)) for key, text in where.items())
            data += array.tobytes()
        else:
            one += part(9, array.tobytes())
        graph += part(5, one)
    path.write_bytes(part(1, 11) + part(2, "maker") + part(7, graph))
    (path.parent / "model.data").write_bytes(data)

"""CTranslate2's model.bin: a table of named arrays, and names that stand for others.

Source: `ModelSpec._serialize` of CTranslate2 (python/ctranslate2/specs/model_spec.py), version 6 of the file.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from shared_data.wheels.files import FormatError

VERSION = 6
_KINDS = ("<f4", "<i1", "<i2", "<i4", "<f2")  # bfloat16, the sixth, is not read


def read_ctranslate2(path: Path, *, spec: str) -> dict[str, np.ndarray]:
    """name -> array, with aliases under both names. spec: what the model must be, such as "WhisperSpec".

    Raises FormatError.
    """
    content = path.read_bytes()
    place = 0

    def number(form: str) -> int:
        nonlocal place
        (value,) = struct.unpack_from(f"<{form}", content, place)
        place += struct.calcsize(f"<{form}")
        return int(value)

    def text() -> str:
        nonlocal place
        length = number("H")  # with the zero that ends it
        raw = content[place : place + length]
        place += length
        return raw[:-1].decode()

    def array() -> np.ndarray:
        nonlocal place
        shape = [number("I") for _ in range(number("B"))]
        kind, size = np.dtype(_KINDS[number("B")]), number("I")
        raw = content[place : place + size]
        if len(raw) != size or size != math.prod(shape) * kind.itemsize:
            raise IndexError("an array runs beyond the end")
        place += size
        return np.frombuffer(raw, kind).reshape(shape)

    try:
        version = number("I")
        if version != VERSION:
            raise FormatError(f"{path}: version {version} of CTranslate2's format, {VERSION} is read")
        if (found := text()) != spec:
            raise FormatError(f"{path}: it holds a {found!r}, not a {spec!r}")
        number("I")  # revision of the spec
        arrays = {text(): array() for _ in range(number("I"))}
        for _ in range(number("I")):
            alias, name = text(), text()
            arrays[alias] = arrays[name]
    except (struct.error, UnicodeDecodeError, IndexError, KeyError) as error:
        raise FormatError(f"{path}: cut short or damaged ({error})") from error
    return arrays

"""JSON lines, read and written in one way: UTF-8, one object a line, lines end at \\n and nowhere else.

`str.splitlines` also cuts at U+2028, U+2029, U+0085 and others, which JSON leaves as they are inside a text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from core.run.files import write_bytes_atomic

Line: TypeAlias = dict[str, Any]
_BOM = b"\xef\xbb\xbf"


class LineError(ValueError):
    """A line that is no JSON object; the message says why, and never what the line holds."""


def read_lines(path: Path) -> list[Line]:
    """The objects of a file, in order; blank lines hold none, and a byte-order mark is no text.

    Raises FileNotFoundError, and LineError with file and line for what is cut, no UTF-8, no JSON (NaN too),
    nested too deep or no object.
    """
    lines: list[Line] = []
    for number, content in enumerate(split_lines(path.read_bytes()), start=1):
        try:
            lines += [parse_line(content)] if content.strip() else []
        except LineError as error:
            raise LineError(f"{path}: line {number} is {error}") from None
    return lines


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]], *, compact: bool = False) -> None:
    """Write a line an object, all at once; compact: without blanks between values. ValueError for NaN."""
    write_bytes_atomic(path, b"".join(encode_line(line, compact=compact) for line in lines))


def encode_line(line: Mapping[str, Any], *, compact: bool = False) -> bytes:
    """An object as its line. Half a surrogate pair, which has no UTF-8, becomes a question mark."""
    separators = (",", ":") if compact else None
    text = json.dumps(line, ensure_ascii=False, allow_nan=False, separators=separators)
    return text.encode("utf-8", errors="replace") + b"\n"


def split_lines(content: bytes) -> list[bytes]:
    """The lines of a file, without their ends; the last may lack its own."""
    lines = content.removeprefix(_BOM).split(b"\n")
    return lines if lines[-1] else lines[:-1]


def parse_line(content: bytes, *, nan: bool = False) -> Line:
    """The object that a line holds; nan: NaN and infinities are taken, as Python writes them.

    Raises LineError that completes "line 3 is ...".
    """
    try:
        value = json.loads(
            content.decode("utf-8"),
            parse_constant=None if nan else _refuse,
            parse_float=None if nan else _finite,
        )
    except UnicodeDecodeError as error:
        raise LineError(f"not UTF-8 (byte {error.start + 1})") from None
    except RecursionError:
        raise LineError("nested too deep") from None
    except json.JSONDecodeError as error:
        raise LineError(f"cut or damaged ({error.msg}, character {error.pos + 1})") from None
    except LineError:
        raise
    except ValueError:  # more digits than Python reads
        raise LineError("damaged (a number too long)") from None
    if not isinstance(value, dict):
        raise LineError(f"no object but {type(value).__name__}")
    return value


def _refuse(name: str) -> Any:
    raise LineError(f"no JSON, it holds {name}")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise LineError("no JSON that can be kept, it holds a number too large")
    return value

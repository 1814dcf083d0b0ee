"""JSON as people have it: with a byte-order mark, or one value a line, as `datasets` writes it by default."""

from __future__ import annotations

import contextlib
import json
from typing import Any


class JsonTextError(ValueError):
    """Bytes that are neither JSON nor JSON lines."""


def parse_json(content: bytes) -> Any:
    """The value of a JSON file; of JSON lines the list of their values.

    Lines end at a line feed only: texts may hold U+2028 and the like. Raises JsonTextError, also for JSON
    that is nested too deeply.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise JsonTextError(str(error)) from error
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        lines = [line for line in text.split("\n") if line.strip()]
        read: list[Any] = []
        with contextlib.suppress(json.JSONDecodeError, RecursionError):
            for line in lines if len(lines) > 1 else ():
                read.append(json.loads(line))
            if read:
                return read
        where = f"; as JSON lines, line {len(read) + 1} does not read" if read else ""
        raise JsonTextError(f"{error}{where}") from error

"""What works on the Python of a developer and not, or not rightly, on 3.11.0."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOPS = ("core", "projects", "shared_data", "template")
LATER = re.compile(
    r"extractall\([^)]*filter=|unpack_archive\([^)]*filter="  # tarfile has filters from 3.11.4 on
    r"|re\.compile\([^#\n]*\)[*+?]\+"  # (...)++ matches too much before 3.11.5: write (?>(...)+)
    r"|\bimport (batched|override)\b|\.walk\(top_down|\bonexc="  # and these from 3.12 on
    r"|^type \w+ =|^(def|class) \w+\[",
    re.MULTILINE,
)


def test_sources_run_on_python_3_11_0() -> None:
    sources = [path for top in TOPS for path in (ROOT / top).rglob("*.py")]
    assert len(sources) > 100
    found = {path.name: match[0] for path in sources if (match := LATER.search(path.read_text("utf-8")))}
    assert not found


@pytest.mark.parametrize(
    "text",
    [
        'tar.extractall(folder, filter="data")',
        're.compile(r"(?:ab?c)++")',
        "from itertools import batched",
        "type X = int",
    ],
)
def test_what_is_later_is_found(text: str) -> None:
    assert LATER.search(text)

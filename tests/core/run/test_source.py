"""What two texts of a module have in common: comments, docstrings and blank lines mean nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.run import source
from core.run.source import CodeError, meaning, read_source

SAME = {
    "comment": ("x = 1\n", "x = 1  # one\n"),
    "comment at the end without a newline": ("x = 1\n", "x = 1\n# é"),
    "comment behind a docstring": ("x = 1\n", '"""A docstring."""  # and a comment\nx = 1\n'),
    "comment behind the last line of a docstring": ("x = 1\n", '"""A\ndocstring."""  # a comment\nx = 1\n'),
    "blank lines": ("x = 1\ny = 2\n", "\nx = 1\n\n   \ny = 2\n\n"),
    "space at the end of a line": ("x = 1\n", "x = 1   \n"),
    "form feed between lines": ("x = 1\ny = 2\n", "x = 1\n\x0c\ny = 2\n"),
    "line ends of Windows": ('x = """a\n\nb"""\ny = 2\n', 'x = """a\r\n\r\nb"""\r\ny = 2\r\n'),
    "line ends of old": ("x = 1\ny = 2\n", "x = 1\r# more\ry = 2\r"),
    "docstring of a function": (
        "def f():\n    'a'\n    return 1\n",
        "def f():\n    'b\\n# b'\n    return 1\n",
    ),
    "docstring of a coroutine": (
        "async def f():\n    'a'\n    return 1\n",
        "async def f():\n    'b'\n    return 1\n",
    ),
    "docstring of a class": (
        "class A:\n    'a'\n    x = 1\n",
        'class A:\n    """b\n\n    # c\n    """\n\n    x = 1\n',
    ),
    "docstring of a nested function": (
        "def f():\n    def g():\n        'a'\n        return 1\n    return g\n",
        "def f():\n    def g():\n        'b'  # c\n        return 1\n    return g\n",
    ),
    "docstring behind a name that is not ASCII": (
        "def é(ü): 'a'; x = 1\n",
        "def é(ü): 'ö\u2028ö'; x = 1  # ß\n",
    ),
    "docstring of several strings": ("def f():\n    ('a' 'b')\n", "def f():\n    ('ccc' 'd')\n"),
    "U+2028 in a docstring": ("'''a'''\nx = 1\n", "'''a\u2028b\n\u2028\n'''\nx = 1\n"),
    "words behind a line with U+2028": ("x = '\u2028'\ny = 2\n", "x = '\u2028'\ny = 2  # two\n"),
    "words behind a form feed": ("x = '\x0c'\ny = 2\n", "x = '\x0c'\ny = 2  # two\n"),
}
DIFFERENT = {
    "number": ("x = 1\n", "x = 2\n"),
    "indentation": ("if a:\n    x = 1\n    y = 2\n", "if a:\n    x = 1\ny = 2\n"),
    "behind a docstring on its line": ("'a'; x = 1\n", "'a'; x = 2\n"),
    "behind a docstring of several lines": ("'''a\nb'''; x = 1\n", "'''a\nb'''; x = 2\n"),
    "behind a docstring that is not ASCII": ("def é(): 'ü'; return 1\n", "def é(): 'ü'; return 2\n"),
    "string that is no docstring": ("x = 'a'\n", "x = 'b'\n"),
    "string behind the docstring": ("'a'\n'b'\n", "'a'\n'c'\n"),
    "# in a string": ("x = 'a # b'\n", "x = 'a # c'\n"),
    "# in an f-string": ("x = f'{a} # {b}'\n", "x = f'{a} # {c}'\n"),
    "# in an f-string of several lines": ('x = f"""{a}\n# b\n"""\n', 'x = f"""{a}\n# c\n"""\n'),
    "blank line in a string": ('x = """a\nb"""\n', 'x = """a\n\nb"""\n'),
    "space at a line's end in a string": ('x = """a\nb"""\n', 'x = """a \nb"""\n'),
    "blank line in an f-string": ('x = f"""{a}\nb"""\n', 'x = f"""{a}\n\nb"""\n'),
    "space at a line's end in an f-string": ('x = f"""{a}\nb"""\n', 'x = f"""{a} \nb"""\n'),
    "after U+2028 in a string": ("x = 'a\u2028b'  # c\n", "x = 'a\u2028d'  # c\n"),
    "after a form feed": ("\x0cx = 1  # a\n", "\x0cx = 2  # a\n"),
}


@pytest.mark.parametrize("name", SAME)
def test_what_means_the_same(name: str) -> None:
    one, other = SAME[name]
    assert meaning(one) == meaning(other)


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_means_something_else(name: str) -> None:
    one, other = DIFFERENT[name]
    assert meaning(one) != meaning(other)


def test_what_is_left_is_the_code() -> None:
    text = '"""Top."""  # a\n\nclass A:\n    """A."""\n\n    x = "#"  # b\n\n    y = """\n\n # \n"""\n# end'
    assert meaning(text) == '\nclass A:\n    x = "#"\n    y = """\n\n # \n"""'.lstrip("\n")


def test_imports_of_a_source(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(
        "from typing import TYPE_CHECKING\nimport numpy as np\nif TYPE_CHECKING:\n    import torch\n"
        "def f():\n    from core.run import files\n    import scipy.signal\n"
    )
    assert set(read_source(file).imports) == {
        *("typing", "typing.TYPE_CHECKING", "numpy", "core.run", "core.run.files", "scipy.signal")
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"def f(:\n", "invalid syntax"),
        (b"x = '\xff'\n", "utf-8"),
        (b"from . import files\n", "line 1: a relative import"),
        (b"from ..run.files import write_json\n", "line 1: a relative import"),
    ],
)
def test_source_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(content)
    with pytest.raises(CodeError, match=rf"a\.py: cannot be read: .*{said}"):
        read_source(file)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "tmp" / "code.json"
    path.parent.mkdir()
    monkeypatch.setattr(source, "_MEMORY", path)
    forget()
    yield path
    forget()


def forget(kept: tuple[Any, ...] = (source._source, source._remembered)) -> None:
    """As a new process does."""
    for function in kept:
        function.cache_clear()


def test_memory_is_believed_for_the_same_file_and_the_same_way_of_reading(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1\n")
    one = read_source(file)
    source.remember()
    forget()
    monkeypatch.setattr(source, "meaning", lambda text: "read anew")
    assert read_source(file) == one
    stat = file.stat()
    file.write_text("x = 11\n")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a clock of coarse ticks gives it
    assert read_source(file) != one
    file.write_text("x = 1\n")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    forget()
    monkeypatch.setattr(source, "_reader", lambda: "another way of reading")
    assert read_source(file) != one


@pytest.mark.parametrize("content", ["", "[]", "{", '{"modules": {}}', '{"reader": "x", "modules": 1}'])
def test_damaged_memory_costs_time_only(tmp_path: Path, memory: Path, content: str) -> None:
    memory.write_text(content)
    file = tmp_path / "a.py"
    file.write_text("import numpy\n")
    assert read_source(file).imports == ("numpy",)

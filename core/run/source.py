"""What is read of one source file: a hash of its meaning, and the modules that it imports.

A comment, a docstring and a blank line mean nothing. The hash is of text, not of a syntax tree, so that every
Python gives the same.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import json
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from core.run.files import write_json

_MEMORY = Path(__file__).resolve().parents[2] / ".dvc" / "tmp" / "code.json"


class CodeError(ValueError):
    """A stage whose code cannot be followed; the message names the module."""


@dataclass(frozen=True)
class Source:
    """hash: short, of the meaning. imports: dotted names, `from a import b` as a and a.b."""

    hash: str
    imports: tuple[str, ...]


def read_source(path: Path) -> Source:
    """Read a file, or remember it from an earlier process. Raises CodeError, which names the file."""
    stat = path.stat()
    return _source(path, stat.st_mtime_ns, stat.st_size)


def meaning(source: str) -> str:
    """The source with comments and docstrings blanked, and without blank lines and space at line ends.

    What a string holds, its blank lines and spaces at line ends included, is kept. Raises SyntaxError.
    """
    source = source.replace("\r\n", "\n").replace("\r", "\n")  # as Python reads it
    tree = ast.parse(source)
    lines = source.split("\n")  # splitlines() cuts at form feeds and U+2028 too, which end no line of Python
    kept: set[int] = set()  # lines that end inside a string
    opened: list[int] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind, (row, column), end_row = tokenize.tok_name[token.type], token.start, token.end[0]
        if kind == "COMMENT":
            lines[row - 1] = lines[row - 1][:column]
        elif kind == "STRING":
            kept.update(range(row - 1, end_row - 1))
        elif kind.endswith("STRING_START"):  # of f-strings, from Python 3.12
            opened.append(row - 1)
        elif kind.endswith("STRING_END"):
            kept.update(range(opened.pop(), end_row - 1))
    for docstring in _docstrings(tree):  # after the comments, which stand behind them
        start, end = docstring.lineno - 1, (docstring.end_lineno or docstring.lineno) - 1
        before = lines[start].encode()[: docstring.col_offset].decode()  # offsets of ast count bytes
        after = lines[end].encode()[docstring.end_col_offset :].decode()
        lines[start : end + 1] = [before + after, *[""] * (end - start)]
        kept.difference_update(range(start, end))
    return "\n".join(
        line if number in kept else line.rstrip()
        for number, line in enumerate(lines)
        if number in kept or line.strip()
    )


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                yield first.value


def _imports(source: str) -> Iterator[str]:
    """Dotted names that a source imports, `from a import b` as a and a.b; not those for type checkers.

    Raises SyntaxError for a relative import, which would have to know where the source stands.
    """
    todo: list[ast.AST] = [ast.parse(source)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            todo += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise SyntaxError(f"line {node.lineno}: a relative import; write the module's whole name")
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)
        todo += ast.iter_child_nodes(node)


@cache
def _source(path: Path, changed: int, size: int) -> Source:
    known = _remembered().get(str(path))
    if known is not None and known[:2] == [changed, size]:
        return Source(known[2], tuple(known[3]))
    try:
        source = path.read_text(encoding="utf-8")
        digest = hashlib.sha256(meaning(source).encode()).hexdigest()[:16]
        read = Source(digest, tuple(dict.fromkeys(_imports(source))))
    except (SyntaxError, UnicodeDecodeError, tokenize.TokenError) as error:
        raise CodeError(f"{path}: cannot be read: {error}") from error
    _remembered()[str(path)] = [changed, size, read.hash, list(read.imports)]
    return read


@cache
def _reader() -> str:
    """This file's own hash: another way of reading must not believe what the last one remembered."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]


@cache
def _remembered() -> dict[str, list[Any]]:
    """Path -> time of change, size, hash, imports, of earlier processes: to tokenize the repository takes
    seconds."""
    try:
        found = json.loads(_MEMORY.read_text(encoding="utf-8"))
        return dict(found["modules"]) if found["reader"] == _reader() else {}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def remember() -> None:
    """Keep what was read for the next process."""
    if _MEMORY.parent.is_dir():
        with contextlib.suppress(OSError):  # a memory that cannot be kept costs time only
            write_json(_MEMORY, {"reader": _reader(), "modules": _remembered()})

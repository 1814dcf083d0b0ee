"""JSON lines: what survives, and how a line that is none is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.run.jsonl import LineError, encode_line, parse_line, read_lines, split_lines, write_lines

BREAKS = "\u2028 \u2029 \x85 \x0b \x0c \x1c \x1d \x1e \r \r\n \n"


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    lines = [{"id": mark, "said": f"one{mark}two"} for mark in BREAKS.split(" ")]
    path = tmp_path / "said.jsonl"
    write_lines(path, lines)
    assert read_lines(path) == lines
    assert len(path.read_text(encoding="utf-8").splitlines()) > len(lines)  # what would have been cut


def test_bytes_are_those_of_json_dumps(tmp_path: Path) -> None:
    lines = [{"id": "a", "said": "Käse \u2028", "scores": [0.5, 1e-7]}, {"id": "b", "n": None}]
    path = tmp_path / "a.jsonl"
    write_lines(path, iter(lines))
    assert path.read_text("utf-8") == "".join(json.dumps(x, ensure_ascii=False) + "\n" for x in lines)
    write_lines(path, lines, compact=True)
    wanted = "\n".join(json.dumps(x, ensure_ascii=False, separators=(",", ":")) for x in lines) + "\n"
    assert path.read_text("utf-8") == wanted
    write_lines(path, [])
    assert (path.read_bytes(), read_lines(path)) == (b"", [])


def test_byte_order_mark_carriage_returns_blank_lines_and_no_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": 1}\r\n\r\n{"id": 2}\r\n \n{"id": 3}')
    assert read_lines(path) == [{"id": 1}, {"id": 2}, {"id": 3}]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"id": "b", "said": "secr', "cut or damaged \\(Unterminated string"),
        (b'{"id": "b"} {"id": "secret"}', "cut or damaged \\(Extra data"),
        (b'{"id": "secret\xe9"}', r"not UTF-8 \(byte 15\)"),
        (b'{"id": NaN, "said": "secret"}', "no JSON, it holds NaN"),
        (b'{"id": [-Infinity]}', "no JSON, it holds -Infinity"),
        (b'{"id": 1e999}', "a number too large"),
        (b'{"id": ' + b"9" * 5000 + b"}", "a number too long"),
        (b'{"id": ' + b"[" * 100_000, "nested too deep"),
        (b'["secret"]', "no object but list"),
        (b'"secret"', "no object but str"),
        (b"null", "no object but NoneType"),
    ],
)
def test_a_line_that_is_none_is_named_and_not_shown(tmp_path: Path, line: bytes, said: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b'{"id": "a"}\n\n' + line + b"\n")
    with pytest.raises(LineError, match=f"answers.jsonl: line 3 is .*{said}") as raised:
        read_lines(path)
    assert "secr" not in str(raised.value)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_lines(tmp_path / "none.jsonl")


def test_nothing_is_written_that_could_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_lines(path, [{"id": "old"}])
    with pytest.raises(ValueError, match="JSON compliant"):
        write_lines(path, [{"id": "new"}, {"loss": float("nan")}])
    assert read_lines(path) == [{"id": "old"}]
    assert encode_line({"half": "\ud800"}) == b'{"half": "?"}\n'


def test_nan_where_it_is_asked_for() -> None:
    line = parse_line(b'{"loss": NaN, "best": Infinity}', nan=True)
    assert line["loss"] != line["loss"]
    assert line["best"] == float("inf")


def test_lines_of_a_file() -> None:
    assert split_lines(b"") == []
    assert split_lines(b"a\n\nb") == [b"a", b"", b"b"]
    assert split_lines(b"a\x85\n") == [b"a\x85"]

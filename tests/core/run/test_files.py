"""core.run.files: an output is whole or absent, and a full or read-only folder says so."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.run import files
from core.run.files import OutputError, write_bytes_atomic, write_json, write_text_atomic


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_writes_text_and_json_and_makes_folders(tmp_path: Path) -> None:
    write_text_atomic(tmp_path / "a" / "b.txt", "Ünï\n")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "Ünï\n".encode()
    write_json(tmp_path / "c.json", {"x": [1, "é"]})
    assert json.loads((tmp_path / "c.json").read_text(encoding="utf-8")) == {"x": [1, "é"]}
    assert names(tmp_path) == ["a", "c.json"]


def test_nan_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "c.json", {"x": float("nan")})
    assert names(tmp_path) == []


def test_full_disk_keeps_the_old_file_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.json"
    write_text_atomic(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot write .*table\.json: No space left on device; make room"):
        write_text_atomic(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["table.json"]


def test_file_size_limit_of_the_system_leaves_nothing_half_written(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; from pathlib import Path; from core.run.files import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_bytes_atomic(Path(sys.argv[1]), b'x' * 100_000)\n"
        "except OutputError as error: print(error)\n"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "big")]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert "cannot write" in done.stdout
    assert "File too large" in done.stdout
    assert names(tmp_path) == []


def test_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_text_atomic(tmp_path / "results" / "table.json", "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into read-only folders")
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        write_text_atomic(tmp_path / "x", "x")


def test_read_only_file_system_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(
        OutputError, match="Read-only file system; make room there or make the folder writable"
    ):
        write_text_atomic(tmp_path / "x", "x")
    assert names(tmp_path) == []


def test_killed_writer_leaves_old_or_new_and_its_temporary_goes_with_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "value"
    code = (
        "import sys; from pathlib import Path; from core.run.files import *\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for c in b'ab': write_bytes_atomic(Path(sys.argv[1]), bytes([c]) * 2_000_000)\n"
    )
    for pause in (0.05, 0.11, 0.17):
        writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        while not path.exists():
            time.sleep(0.005)
        time.sleep(pause)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        content = path.read_bytes()
        assert len(content) == 2_000_000
        assert len(set(content)) == 1
    write_bytes_atomic(path, b"after")
    assert names(tmp_path) == ["value"]

"""Progress on stderr: rate and time left, once in a while, in the main process only."""

from __future__ import annotations

import pytest

from core.run import progress


def test_progress_without_terminal_prints_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False)
    assert list(progress.progress(range(4), desc="scenes", unit="scene")) == [0, 1, 2, 3]
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "scenes: 2/4, 0:20 left, 0.1 scene/s",
        "scenes: 4/4, 0:00 left, 0.1 scene/s",
        "scenes: 4 scene in 0:50, 0.08 scene/s",
    ]


def test_progress_is_silent_beside_the_main_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(progress, "PLAIN_PROGRESS_EVERY", 0.0)
    assert list(progress.progress(iter(range(3)))) == [0, 1, 2]
    assert capsys.readouterr().err == ""

"""Every fault of the table is injected, and its promise must hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import COUNTS
from tests.faults.table import FAULTS, Fault, Scene
from tests.faults.tiny import Forks


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.fault)
def test_the_promise_holds(
    fault: Fault,
    tmp_path: Path,
    forks: Forks,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    COUNTS["rows"] += 1
    COUNTS["injected"] += fault.inject(Scene(tmp_path, forks, monkeypatch, capfd))
    COUNTS["held"] += 1


def test_every_row_says_what_is_promised() -> None:
    assert len({fault.fault for fault in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        assert all((fault.fault, fault.command, fault.promise)), fault

"""Counts what was injected and what survived, and says so at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.tiny import Forks

COUNTS = {"rows": 0, "held": 0, "injected": 0}


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """The process that runs tiny trainings."""
    server = Forks()
    yield server
    server.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if COUNTS["rows"]:
        lost = COUNTS["rows"] - COUNTS["held"]
        terminalreporter.write_line(
            f"faults: {COUNTS['rows']} kinds, injected {COUNTS['injected']} times; "
            f"{COUNTS['held']} promises held, {lost} did not"
        )

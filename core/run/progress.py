"""How far a loop has come, on stderr: it shows, and hands its items on as they are."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

from core.run import hardware

T = TypeVar("T")

PLAIN_PROGRESS_EVERY = 15.0  # seconds between progress lines when stderr is no terminal


def progress(
    iterable: Iterable[T], *, total: int | None = None, desc: str = "", unit: str = "it"
) -> Iterator[T]:
    """Yield from `iterable`, showing throughput and the time left on stderr, in the main process only.

    A bar on a terminal; elsewhere (DVC, CI, a log file) one plain line every PLAIN_PROGRESS_EVERY seconds.
    """
    if not hardware.is_main_process():
        yield from iterable
    elif sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(iterable, total=_length(iterable, total), desc=desc, unit=unit, dynamic_ncols=True)
    else:
        yield from _plain_progress(iterable, _length(iterable, total), desc, unit)


def _plain_progress(iterable: Iterable[T], total: int | None, desc: str, unit: str) -> Iterator[T]:
    began = said = time.monotonic()
    done = 0
    for item in iterable:
        yield item
        done += 1
        now = time.monotonic()
        if now - said >= PLAIN_PROGRESS_EVERY:
            said = now
            rate = done / (now - began)
            left = f"/{total}, {_duration((total - done) / rate)} left" if total is not None else ""
            _say(f"{desc}: {done}{left}, {rate:.3g} {unit}/s".lstrip(": "))
    spent = time.monotonic() - began
    if said != began:  # something was said, so say the end
        _say(
            f"{desc}: {done} {unit} in {_duration(spent)}, {done / max(spent, 1e-9):.3g} {unit}/s".lstrip(
                ": "
            )
        )


def _length(iterable: Iterable[Any], total: int | None) -> int | None:
    return len(iterable) if total is None and isinstance(iterable, Sized) else total


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)

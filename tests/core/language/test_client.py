"""Messages on the wire, sums over replies, and calls in parallel."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.language.client import (
    Absent,
    Audio,
    EndpointError,
    Message,
    Reply,
    Text,
    Totals,
    Usage,
    in_parallel,
    totals,
    wire,
)

ROOT = Path(__file__).parents[3]


def test_audio_can_be_written_by_its_hash() -> None:
    messages = [Message("user", (Text("?"), Audio(b"abc", "mp3")))]
    hashed = wire(messages, audio="sha256")[0]["content"][1]["input_audio"]
    assert hashed["sha256"].startswith("ba7816bf")
    assert hashed["format"] == "mp3"
    assert "data" not in hashed


def test_cached_replies_cost_nothing_and_unknown_costs_are_counted() -> None:
    replies = [
        Reply(text="a", usage=Usage(10, 2), cost=0.5),
        Reply(text="b", usage=Usage(99, 9), cost=0.25, cached=True),
        Reply(text="c"),
    ]
    assert totals(replies) == Totals(
        calls=2, cached=1, prompt_tokens=10, completion_tokens=2, cost=0.5, saved=0.25, unpriced=1
    )


def test_absent_model_says_why() -> None:
    with pytest.raises(EndpointError, match="no key"):
        Absent({"model": "m"}, "no key").complete([Message("user", "x")])


def test_parallel_calls_keep_order_and_raise_where_the_item_stands() -> None:
    def call(number: int) -> int:
        if number == 3:
            raise KeyError("third")
        return number

    results = in_parallel(call, range(10), concurrency=4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="third"):
        next(results)


def test_parallel_calls_take_only_a_few_items_ahead() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield number

    results = in_parallel(lambda number: number, items(), concurrency=2)
    assert next(results) == 0
    assert taken <= 8
    results.close()  # type: ignore[attr-defined]


def test_items_not_begun_are_dropped_when_the_consumer_stops() -> None:
    begun: list[int] = []
    gate = threading.Event()

    def call(number: int) -> int:
        begun.append(number)
        if number > 0:
            gate.wait(10)
        return number

    results = in_parallel(call, range(100), concurrency=1)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    gate.set()
    assert set(begun) <= {0, 1}


def test_no_concurrency_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        next(in_parallel(str, [1], concurrency=0))


def test_a_process_ends_although_a_call_hangs() -> None:
    program = (
        "import time\n"
        "from core.language.client import in_parallel\n"
        "for _ in in_parallel(lambda n: n if n == 0 else time.sleep(600), range(9), concurrency=2):\n"
        "    raise SystemExit(7)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60).returncode == 7


def test_clients_and_judge_need_no_torch() -> None:
    modules = "core.language.http, core.language.cache, core.language.structured, core.metrics.judge"
    program = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60).returncode == 0

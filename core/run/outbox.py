"""A bounded queue that a background thread empties; what cannot be delivered is kept in a file.

Used by core.run.tracking, which says what an operation is and how one is delivered. Nothing here waits for
the receiver: `put` returns at once, and after a failure deliveries pause while operations go to the file.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from core.run.files import write_bytes_atomic
from core.run.jsonl import LineError, parse_line, split_lines
from core.run.secrets import redact_tracking

Operation = dict[str, Any]

QUEUE_LENGTH = 10_000  # operations; further ones go to the file
BATCH = 1000  # metrics in one operation: MLflow's limit for one request
LINGER = 0.5  # seconds that the thread waits for more before it sends
LOCK_TIMEOUT = 5.0  # seconds for another process to let go of the pending file
RETRY_AFTER = 30.0  # seconds without another try after a failure


class Outbox:
    """Sends operations in the background, in order; never raises and never waits, except in `close`."""

    def __init__(self, deliver: Callable[[Operation], None], *, pending: Path, receiver: str) -> None:
        self._deliver = deliver
        self._pending = pending
        self._receiver = receiver
        self._queue: queue.Queue[Operation | None] = queue.Queue(maxsize=QUEUE_LENGTH)
        self._in_flight: list[Operation] = []
        self._lock = threading.Lock()  # guards _in_flight
        self._given_up = threading.Event()
        self._quiet_until = 0.0
        self._said: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="outbox", daemon=True)
        self._thread.start()

    def put(self, operation: Operation) -> None:
        """Queue `operation`; when the queue is full, keep it in the file instead."""
        try:
            self._queue.put_nowait(operation)
        except queue.Full:
            self._complain("slow", f"{self._receiver} is too slow")
            self.keep([operation])

    def keep(self, operations: list[Operation]) -> None:
        """Append `operations` to the pending file."""
        try:
            append_pending(self._pending, operations)
        except OSError as error:
            self.say(
                "file", f"tracking: cannot write {self._pending} ({error.strerror}); logged values are lost"
            )

    def hold(self) -> None:
        """Deliver nothing from now on: all goes to the file, which another process delivers."""
        self._quiet_until = math.inf

    @property
    def holds(self) -> bool:
        """Whether another process delivers."""
        return self._quiet_until == math.inf

    def failed(self, error: BaseException) -> None:
        """Say (once) that the receiver fails, and pause deliveries for a while."""
        self._quiet_until = time.monotonic() + RETRY_AFTER
        self._complain("down", f"{self._receiver} does not take what the run logs ({_short(error)})")

    def say(self, kind: str, message: str) -> None:
        """Print `message` on stderr, once for each `kind`."""
        if kind not in self._said:
            self._said.add(kind)
            print(message, file=sys.stderr, flush=True)

    def close(self, *, timeout: float) -> None:
        """Deliver what is queued, at most `timeout` seconds long; what is left then is kept in the file."""
        deadline = time.monotonic() + timeout
        with suppress(queue.Full):
            self._queue.put(None, timeout=timeout)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if not self._thread.is_alive():
            return
        with self._lock:
            self._given_up.set()
            left = self._in_flight + self._drain(wait=False)
        if left:
            self._complain("slow", f"{self._receiver} is too slow")
            self.keep(left)

    def _complain(self, kind: str, what: str) -> None:
        self.say(
            kind,
            f"tracking: {what}; the run goes on. What it logs is kept in {self._pending}; "
            "deliver it later with: python -m core.run.tracking resend",
        )

    def _work(self) -> None:
        last = False
        while not last:
            with self._lock:
                self._in_flight = []
            operations = self._drain(wait=True)
            last = operations[-1]["op"] == "last"
            operations = merge_metrics(operations[:-1] if last else operations)
            with self._lock:
                missed = self._given_up.is_set()  # `close` came between and did not see these
                self._in_flight = [] if missed else operations
            if missed:
                self.keep(operations)
                return
            self._send()

    def _send(self) -> None:
        while self._in_flight and not self._given_up.is_set():
            operation = self._in_flight[0]
            kept = time.monotonic() < self._quiet_until
            if not kept:
                try:
                    self._deliver(operation)
                except Exception as error:  # whatever the receiver does, the run goes on
                    self.failed(error)
                    kept = True
            with self._lock:
                if self._given_up.is_set():
                    return
                self._in_flight.pop(0)
            if kept:
                self.keep([operation])

    def _drain(self, *, wait: bool) -> list[Operation]:
        """Return what is queued; the end of the queue is the operation "last"."""
        operations: list[Operation] = []
        deadline = time.monotonic() + LINGER
        while True:
            try:
                if not wait:
                    operation = self._queue.get_nowait()
                elif operations:
                    operation = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
                else:
                    operation = self._queue.get()
                    deadline = time.monotonic() + LINGER
            except queue.Empty:
                return operations
            if operation is None:
                return [*operations, {"op": "last"}] if wait else operations
            operations.append(operation)
            if wait and len(operations) >= BATCH:
                return operations


def merge_metrics(operations: list[Operation]) -> list[Operation]:
    """Join neighbouring "metrics" operations of one run, up to BATCH metrics in one; order is kept."""
    merged: list[Operation] = []
    for operation in operations:
        before = merged[-1] if merged else None
        if (
            before is not None
            and operation["op"] == before["op"] == "metrics"
            and operation["run"] == before["run"]
            and len(before["metrics"]) + len(operation["metrics"]) <= BATCH
        ):
            merged[-1] = {**before, "metrics": before["metrics"] + operation["metrics"]}
        else:
            merged.append(operation)
    return merged


def append_pending(path: Path, operations: list[Operation]) -> None:
    """Append `operations` to the file, whole lines only, whoever else writes there."""
    text = "".join(json.dumps(operation) + "\n" for operation in operations)
    with locked(path), open(path, "ab+") as file:
        if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
            text = "\n" + text  # a line that a kill or a full disk cut stays alone
        file.write(text.encode("utf-8"))


def take_pending(path: Path) -> tuple[list[Operation], int]:
    """Move the pending file aside and return its operations and the number of unreadable (cut) lines.

    The moved file `<name>.sending` stays until `settle_pending`, so a killed delivery loses nothing.
    """
    aside = path.with_name(path.name + ".sending")
    with locked(path):
        old = aside.read_bytes() if aside.exists() else b""
        new = path.read_bytes() if path.exists() else b""
        if old + new:
            write_bytes_atomic(aside, old + new if old.endswith(b"\n") else old + b"\n" * bool(old) + new)
        path.unlink(missing_ok=True)
    operations, cut = [], 0
    for line in split_lines(old + new):
        try:
            operations.append(parse_line(line, nan=True))
        except LineError:
            cut += 1
    return operations, cut


def settle_pending(path: Path, left: list[Operation]) -> None:
    """After take_pending: put the operations that are `left` back in front of what came meanwhile."""
    with locked(path):
        text = "".join(json.dumps(operation) + "\n" for operation in left).encode("utf-8")
        if path.exists():
            text += path.read_bytes()
        if text:
            write_bytes_atomic(path, text)
        path.with_name(path.name + ".sending").unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Hold the lock file `<path>.lock` against other processes. Raises TimeoutError (an OSError)."""
    deadline = time.monotonic() + timeout
    with open(path.with_name(path.name + ".lock"), "a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(errno.ETIMEDOUT, f"another process holds {file.name}") from None
                time.sleep(0.02)
        yield


def _short(error: BaseException) -> str:
    text = redact_tracking(" ".join(str(error).split())) or type(error).__name__  # before it is cut
    return text if len(text) <= 160 else text[:157] + "..."

"""Cached replies against asking a server on this machine, and calls in parallel against one after another."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from core.language.cache import CachedChat
from core.language.client import Message, in_parallel
from core.language.http import HttpChat

pytestmark = pytest.mark.bench
HITS, MISSES, CALLS, LATENCY = 4000, 400, 64, 0.05
BODY = json.dumps({"choices": [{"message": {"content": "fine " * 100}, "finish_reason": "stop"}]}).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(LATENCY if self.path.startswith("/slow") else 0.0)
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def conversation(number: int) -> list[Message]:
    return [Message("system", "rules " * 200), Message("user", f"item {number}")]


def test_cache_hits(tmp_path: Path, url: str, record: Callable[..., None]) -> None:
    with HttpChat(url, "m") as http:
        chat = CachedChat(http, tmp_path)
        start = time.perf_counter()
        for number in range(MISSES):
            http.complete(conversation(number))
        asked = MISSES / (time.perf_counter() - start)
        for number in range(MISSES):
            chat.complete(conversation(number))
        start = time.perf_counter()
        hits = [chat.complete(conversation(number % MISSES)).cached for number in range(HITS)]
        found = HITS / (time.perf_counter() - start)
    assert all(hits)
    record(
        "language: cache hits against a server without model",
        found / asked, found, asked, "replies/s", target=">= 2000/s",
    )  # fmt: skip


def test_calls_in_parallel(url: str, record: Callable[..., None]) -> None:
    with httpx.Client(trust_env=False) as plain:
        start = time.perf_counter()
        for number in range(CALLS // 4):
            messages = [{"role": m.role, "content": m.content} for m in conversation(number)]
            plain.post(f"{url}/slow/chat/completions", json={"model": "m", "messages": messages}).json()
        theirs = CALLS / 4 / (time.perf_counter() - start)
    with HttpChat(f"{url}/slow", "m", concurrency=8) as chat:
        start = time.perf_counter()
        replies = list(in_parallel(lambda n: chat.complete(conversation(n)), range(CALLS), concurrency=8))
        ours = CALLS / (time.perf_counter() - start)
    assert len(replies) == CALLS
    record(
        "language: 8 calls at a time against one (50 ms a call)",
        ours / theirs, ours, theirs, "replies/s", target=">= 6",
    )  # fmt: skip

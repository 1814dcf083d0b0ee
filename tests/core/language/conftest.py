"""A chat server on this machine that does what a test tells it to, request by request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Act = Callable[[BaseHTTPRequestHandler], None]


def send(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None
) -> None:
    handler.send_response(status)
    for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


class Server:
    """`acts` are performed one a request; when they are used up every request is answered by its echo."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.acts: list[Act] = []
        self.running = self.most_running = 0
        self.release = threading.Event()  # set at the end, so that hanging acts end
        self.reply: Callable[[dict[str, Any]], str] = lambda request: str(request["messages"][-1]["content"])
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    server.requests.append(request)
                    server.headers.append({name.lower(): value for name, value in self.headers.items()})
                    server.paths.append(self.path)
                    act = server.acts.pop(0) if server.acts else server.answer
                    server.running += 1
                    server.most_running = max(server.running, server.most_running)
                try:
                    self.request_body = request
                    act(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True
                finally:
                    with server._lock:
                        server.running -= 1

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.say(self.reply(handler.request_body))(handler)  # type: ignore[attr-defined]

    def say(self, text: object, *, finish: str = "stop", usage: Any = (7, 3), **more: Any) -> Act:
        """An ordinary answer."""
        body: dict[str, Any] = {
            "choices": [{"message": {"role": "assistant", "content": text, **more}, "finish_reason": finish}]
        }
        if usage is not None:
            body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
        return lambda handler: send(handler, 200, json.dumps(body).encode())

    def fail(self, status: int, body: bytes = b"", **headers: str) -> Act:
        """A status, and headers whose names have underscores for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return lambda handler: send(handler, status, body, named)

    def cut(self, handler: BaseHTTPRequestHandler) -> None:
        """Half an answer, then the connection ends."""
        send(handler, 200, b'{"choices": [{"mess', {"Content-Length": "500"})
        handler.close_connection = True

    def hang(self, handler: BaseHTTPRequestHandler) -> None:
        """No answer at all."""
        self.release.wait(20)
        handler.close_connection = True

    def drip(self, handler: BaseHTTPRequestHandler) -> None:
        """A byte now and then: no single wait is long, the whole never ends."""
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not self.release.wait(0.05):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    def stop(self) -> None:
        self.release.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()

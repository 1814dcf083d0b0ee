"""One HTTP request with a deadline for all of it and a largest size, for many threads at a time.

Threads alone keep no deadline: a read that gets a byte now and then never ends. Requests are therefore tasks
of one event loop in a thread of its own, where a task can be cancelled wherever it waits.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

LARGEST = 32 * 2**20  # bytes of a reply; what is longer is no answer of a chat
LARGEST_ERROR = 64 * 2**10  # bytes that are read of an error's page


class NoAnswerError(Exception):
    """Nothing whole came in time; another attempt may fare better."""


class WrongAnswerError(Exception):
    """What came would come again: it has no end, or is coded in a way that was not asked for."""


class ClosedError(Exception):
    """The transport was closed by another thread."""


@dataclass(frozen=True)
class Answered:
    """A response, its body decoded."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Transport:
    """Posts JSON to one address. timeout: seconds that an attempt may take, from connecting to its last byte.

    Errors quote the server as it spoke: hide secrets before they are shown.
    """

    def __init__(
        self, url: str, *, headers: Mapping[str, str], timeout: float, connections: int, trust_env: bool
    ) -> None:
        self._url, self._timeout = url, timeout
        self._http = httpx.AsyncClient(
            timeout=timeout,
            headers={"Accept-Encoding": "identity", "Content-Type": "application/json", **headers},
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=trust_env,
        )
        self._closed = threading.Event()
        self._under_way: set[concurrent.futures.Future[Answered]] = set()

    def close(self) -> None:
        """Drop the connections; calls under way raise ClosedError."""
        self._closed.set()
        for future in list(self._under_way):
            future.cancel()
        with contextlib.suppress(concurrent.futures.TimeoutError, RuntimeError):
            asyncio.run_coroutine_threadsafe(self._http.aclose(), _loop()).result(5.0)

    def post(self, body: bytes) -> Answered:
        """One attempt. Raises NoAnswerError, WrongAnswerError and ClosedError."""
        try:
            future = asyncio.run_coroutine_threadsafe(self._attempt(body), _loop())
            self._under_way.add(future)
            try:
                if self._closed.is_set():
                    future.cancel()
                return future.result()
            except BaseException:  # Ctrl-C: nobody waits for it any more
                future.cancel()
                raise
            finally:
                self._under_way.discard(future)
        except (concurrent.futures.CancelledError, RuntimeError):  # httpx says so of a closed client
            if self._closed.is_set():
                raise ClosedError from None
            raise

    async def _attempt(self, body: bytes) -> Answered:
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.stream("POST", self._url, content=body) as response,
            ):
                content = await _content(response)
                return Answered(response.status_code, response.headers, content)
        except (TimeoutError, httpx.TimeoutException):
            raise NoAnswerError(f"no whole answer within {self._timeout:g} s") from None
        except httpx.RequestError as error:  # refused, reset, cut off
            raise NoAnswerError(f"{type(error).__name__}: {_cause(error)}") from None


async def _content(response: httpx.Response) -> bytes:
    """The decoded body. It is decoded here, piece by piece: a small one may decode to more than fits."""
    coding = response.headers.get("content-encoding", "").strip().lower()
    inflate = zlib.decompressobj(wbits=47) if coding in ("gzip", "x-gzip", "deflate") else None
    if inflate is None and coding not in ("", "identity"):
        raise WrongAnswerError(f"answers in the coding {coding!r}, which was not asked for")
    limit = LARGEST if response.status_code == 200 else LARGEST_ERROR
    content = bytearray()
    async for piece in response.aiter_raw():
        try:
            content += piece if inflate is None else inflate.decompress(piece, limit + 1 - len(content))
        except zlib.error as error:
            raise NoAnswerError(f"the answer does not decode ({error})") from None
        if len(content) <= limit:
            continue
        if response.status_code != 200:
            break
        begin = bytes(content[:4096]).decode("utf-8", "replace")
        raise WrongAnswerError(f"sends more than {limit / 2**20:g} MiB, which is no answer: {begin}")
    return bytes(content)


def _cause(error: BaseException) -> str:
    """What lies at the bottom of an error of the network: "Connection refused" rather than "all failed"."""
    said, below = str(error), error.__cause__ or error.__context__
    while below is not None:
        if isinstance(below, BaseExceptionGroup):
            below = below.exceptions[0]
        said = str(below) if isinstance(below, OSError) and str(below) else said
        below = below.__cause__ or below.__context__
    return said


_LOOPS: dict[int, asyncio.AbstractEventLoop] = {}
_ONE = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    """This process's loop: a fork has none of its parent's threads."""
    with _ONE:
        loop = _LOOPS.get(os.getpid())
        if loop is None:
            loop = _LOOPS[os.getpid()] = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="http", daemon=True).start()
        return loop

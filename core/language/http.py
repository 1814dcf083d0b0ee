"""A language model behind an OpenAI-compatible HTTP endpoint, which may be slow, busy, or break off.

Waits and asks again after 408, 409, 425, 429, 5xx, timeouts and answers cut off on the way; keeps to
Retry-After in all threads; never follows redirects, and never shows the key.
"""

from __future__ import annotations

import contextlib
import email.utils
import ipaddress
import json
import os
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import httpx

from core.language.client import EndpointError, Message, Options, Reply, ReplyError, Usage, wire

BUSY = (408, 409, 425, 429)  # and every 5xx: asking again may help
SPENT = ("insufficient_quota", "billing_hard_limit_reached")  # a 429 that waiting does not mend
SHOWN = 300  # characters of a server's message that an error repeats


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers; the part of a stage's configuration. `connect` opens it.

    url: up to and with "/v1". key_variable: the environment variable that holds the key; empty sends none.
    timeout: seconds a call may take. retries: how often more it is asked. prices: per million tokens of
    prompt and of completion. structured: how the server is told of a JSON schema, if at all. extra: further
    fields of every request, such as {"reasoning_effort": "low"}.
    """

    url: str = ""
    model: str = ""
    key_variable: str = ""
    timeout: float = 120.0
    retries: int = 5
    concurrency: int = 8
    prices: tuple[float, float] | None = None
    structured: Literal["off", "json_object", "json_schema"] = "off"
    extra: dict[str, Any] | None = None


def unusable(endpoint: Endpoint) -> str:
    """Why there is no one to ask, "" when the endpoint can be tried."""
    if not endpoint.url or not endpoint.model:
        lacking = " and ".join(name for name in ("url", "model") if not getattr(endpoint, name))
        return f"no language model is configured ({lacking} of the endpoint empty)"
    if endpoint.key_variable and not os.environ.get(endpoint.key_variable):
        return f"the environment variable {endpoint.key_variable}, which should hold the key, is not set"
    return ""


def connect(endpoint: Endpoint) -> HttpChat:
    """Open the endpoint; nothing is asked yet. Raises EndpointError where `unusable` names a reason."""
    if reason := unusable(endpoint):
        raise EndpointError(reason)
    return HttpChat(
        endpoint.url,
        endpoint.model,
        key=os.environ[endpoint.key_variable] if endpoint.key_variable else "",
        timeout=endpoint.timeout,
        retries=endpoint.retries,
        concurrency=endpoint.concurrency,
        prices=endpoint.prices,
        structured=endpoint.structured,
        extra=endpoint.extra,
    )


class _Again(Exception):
    """This attempt failed in a way that another may not. after: seconds that the server asked to wait."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class HttpChat:
    """A Chat over HTTP; a context manager. At most `concurrency` requests are under way at a time.

    backoff: seconds before the first repeat, doubled each time up to longest_wait, less a random part so that
    threads do not return together. A Retry-After of more than longest_wait seconds ends the run.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key: str = "",
        timeout: float = 120.0,
        retries: int = 5,
        backoff: float = 1.0,
        longest_wait: float = 120.0,
        concurrency: int = 8,
        prices: tuple[float, float] | None = None,
        structured: Literal["off", "json_object", "json_schema"] = "off",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self._url = url.rstrip("/") + "/chat/completions"
        try:
            parts = httpx.URL(self._url)
        except httpx.InvalidURL as error:
            raise EndpointError(f"{url!r} is no address ({error})") from None
        if parts.scheme not in ("http", "https") or not parts.host:
            raise EndpointError(f"{url!r} is no address such as https://host/v1")
        self._key, self._timeout, self._retries = key, timeout, retries
        self._backoff, self._longest, self._prices = backoff, longest_wait, prices
        self._structured, self._extra = structured, dict(extra or {})
        self._http = httpx.Client(
            timeout=timeout,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
            trust_env=not _is_loopback(parts.host),  # a proxy cannot reach this machine's own servers
        )
        self._slots = threading.BoundedSemaphore(concurrency)
        self._closed = threading.Event()
        self._not_before = 0.0  # monotonic; a server that asks one thread to wait means all of them
        self._random = random.Random()

    def __enter__(self) -> HttpChat:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connections; calls that wait to ask again raise EndpointError."""
        self._closed.set()
        self._http.close()

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's name and the extra fields. Not the address: two servers of one model share a cache."""
        return {"model": self.model, **({"extra": self._extra} if self._extra else {})}

    def complete(self, messages: Sequence[Message], *, options: Options | None = None) -> Reply:
        """Ask, and ask again where that may help. Raises ReplyError and EndpointError (see Chat)."""
        body = self._body(messages, options or Options())
        with self._slots:
            for attempt in range(self._retries + 1):
                self._sleep(self._not_before - time.monotonic())
                try:
                    return self._ask(body)
                except _Again as again:
                    last = again
                if attempt < self._retries:
                    self._wait(last, attempt)
        raise EndpointError(
            f"{self._url} gave no answer in {self._retries + 1} attempts; the last: {last}. See whether the "
            "server runs and is not overloaded, then run the same command again"
        )

    def _body(self, messages: Sequence[Message], options: Options) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": wire(messages),
            "temperature": options.temperature,
            "top_p": options.top_p,
            "max_tokens": options.max_tokens,
        }
        if options.seed is not None:
            body["seed"] = options.seed
        if options.schema is not None and self._structured == "json_object":
            body["response_format"] = {"type": "json_object"}
        elif options.schema is not None and self._structured == "json_schema":
            schema = {"name": "answer", "schema": dict(options.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body | self._extra

    def _ask(self, body: Mapping[str, Any]) -> Reply:
        """One attempt. The whole answer must arrive in time, not only each of its pieces."""
        deadline = time.monotonic() + self._timeout
        content = bytearray()
        try:
            with self._http.stream("POST", self._url, json=body) as response:
                for piece in response.iter_bytes():
                    content += piece
                    if time.monotonic() > deadline:
                        raise _Again(f"the answer did not end within {self._timeout:g} s")
        except httpx.TimeoutException:
            raise _Again(f"no answer within {self._timeout:g} s") from None
        except httpx.RequestError as error:  # refused, reset, cut off, not decodable
            raise _Again(f"{type(error).__name__}: {error}") from None
        except RuntimeError:  # httpx says so when another thread has closed the client
            if self._closed.is_set():
                raise EndpointError(f"{self._url}: the client was closed") from None
            raise
        if response.status_code != 200:
            self._refuse(response.status_code, response.headers, bytes(content))
        try:
            answer = json.loads(content)
        except ValueError:
            raise _Again(f"the answer is cut off or no JSON ({len(content)} bytes)") from None
        return self._reply(answer)

    def _refuse(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        """Raise what a status other than 200 means."""
        said, code = _error_of(content)
        if self._key:
            said = said.replace(self._key, "***")
        told = f"{self._url} answered {status}" + (f": {said}" if said else "")
        if code in SPENT:
            raise EndpointError(f"{told}. The account's quota is used up; waiting does not help")
        if status in BUSY or status >= 500:
            raise _Again(told, _retry_after(headers))
        if status in (401, 403):
            raise EndpointError(f"{told}. Check the key and what it may use")
        if status == 404 or status < 400:
            raise EndpointError(f"{told}. Check the url (it should end in /v1) and the model {self.model!r}")
        raise ReplyError(f"the server answered {status}" + (f": {said}" if said else ""))

    def _reply(self, answer: Any) -> Reply:
        try:
            choice = answer["choices"][0]
            text, finish = choice["message"]["content"], choice.get("finish_reason") or "stop"
        except (KeyError, IndexError, TypeError, AttributeError):
            # some routers send the error of the server behind them with status 200
            raise _Again(f"the answer holds no choice: {json.dumps(answer)[:SHOWN]}") from None
        if isinstance(text, list):
            text = "".join(part.get("text", "") for part in text if isinstance(part, dict))
        if not isinstance(text, str) or finish == "content_filter":
            why = choice["message"].get("refusal") or f"finish reason {finish!r}"
            raise ReplyError(f"the model gave no text: {why}")
        usage, cost = None, None
        with contextlib.suppress(KeyError, TypeError, ValueError):
            usage = Usage(int(answer["usage"]["prompt_tokens"]), int(answer["usage"]["completion_tokens"]))
        if usage is not None and self._prices is not None:
            cost = (usage.prompt * self._prices[0] + usage.completion * self._prices[1]) / 1e6
        return Reply(text=text, usage=usage, cost=cost, finish=finish)

    def _wait(self, again: _Again, attempt: int) -> None:
        if again.after is not None:
            if again.after > self._longest:
                raise EndpointError(f"{again}; it asks to come back in {again.after:.0f} s")
            self._not_before = max(self._not_before, time.monotonic() + again.after)
            return
        self._sleep(min(self._longest, self._backoff * 2**attempt) * self._random.uniform(0.5, 1.0))

    def _sleep(self, seconds: float) -> None:
        if self._closed.wait(max(seconds, 0.0)):
            raise EndpointError(f"{self._url}: the client was closed")


def _error_of(content: bytes) -> tuple[str, str]:
    """Message and code of a server's error, in OpenAI's form or whatever it sent."""
    try:
        error = json.loads(content)["error"]
        said, code = (error["message"], error.get("code")) if isinstance(error, dict) else (error, "")
        return str(said)[:SHOWN], str(code or "")
    except (ValueError, KeyError, TypeError):
        return content.decode("utf-8", "replace").strip()[:SHOWN], ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header, which holds a number or a date; None where it holds neither."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

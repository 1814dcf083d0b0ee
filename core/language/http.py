"""A language model behind an OpenAI-compatible HTTP endpoint, which may be slow, busy, or break off.

Waits and asks again after 408, 409, 425, 429, 5xx, timeouts and answers cut off on the way; keeps to
Retry-After in all threads; never follows redirects, and never shows the key. An attempt has one deadline for
all of it, and a reply a largest size, so that no server can hold a run or fill the memory.
"""

from __future__ import annotations

import base64
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

from core.language.client import (
    DeclinedError,
    EndpointError,
    Message,
    Options,
    Reply,
    ReplyError,
    wire,
)
from core.language.completions import NotACompletionError, as_text, read_completion, read_error
from core.language.transport import (
    LARGEST_ERROR,
    ClosedError,
    NoAnswerError,
    Transport,
    WrongAnswerError,
)
from core.run.secrets import redact, redact_fields, secret_values, secrets_of

BUSY = (408, 409, 425, 429)  # and every 5xx: asking again may help
SPENT = ("insufficient_quota", "billing_hard_limit_reached")  # a 429 that waiting does not mend
SHOWN = 300  # characters of a server's message that an error repeats


LimitName = Literal["max_tokens", "max_completion_tokens"]


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers; the part of a stage's configuration. `connect` opens it.

    url: up to and with "/v1". key_variable: the environment variable that holds the key; empty sends none.
    timeout: seconds a call may take. retries: how often more it is asked. prices: per million tokens of
    prompt and of completion. structured: how the server is told of a JSON schema, if at all. limit_name: the
    field that limits the answer's tokens; some servers take max_completion_tokens only. extra: further fields
    of every request, such as {"reasoning_effort": "low"}; null leaves one out ({"temperature": null}).
    """

    url: str = ""
    model: str = ""
    key_variable: str = ""
    timeout: float = 120.0
    retries: int = 5
    concurrency: int = 8
    prices: tuple[float, float] | None = None
    structured: Literal["off", "json_object", "json_schema"] = "off"
    limit_name: LimitName = "max_tokens"
    extra: dict[str, Any] | None = None


def unusable(endpoint: Endpoint) -> str:
    """Why there is no one to ask, "" when the endpoint can be tried."""
    if not endpoint.url or not endpoint.model:
        lacking = " and ".join(name for name in ("url", "model") if not getattr(endpoint, name))
        return f"no language model is configured ({lacking} of the endpoint empty)"
    if endpoint.key_variable and not _key_of(endpoint):
        return f"the environment variable {endpoint.key_variable}, which should hold the key, is not set"
    if not _sendable(_key_of(endpoint)):
        return f"the environment variable {endpoint.key_variable} holds {_UNSENDABLE}"
    return ""


_UNSENDABLE = "a key with a line break, a blank or a letter that no header can carry: set it again"


def _key_of(endpoint: Endpoint) -> str:
    return os.environ.get(endpoint.key_variable, "").strip() if endpoint.key_variable else ""


def _sendable(key: str) -> bool:
    return key.isascii() and key.isprintable() and " " not in key


def connect(endpoint: Endpoint) -> HttpChat:
    """Open the endpoint; nothing is asked yet. Raises EndpointError where `unusable` names a reason."""
    if reason := unusable(endpoint):
        raise EndpointError(reason)
    return HttpChat(
        endpoint.url,
        endpoint.model,
        key=_key_of(endpoint),
        timeout=endpoint.timeout,
        retries=endpoint.retries,
        concurrency=endpoint.concurrency,
        prices=endpoint.prices,
        structured=endpoint.structured,
        limit_name=endpoint.limit_name,
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
        limit_name: LimitName = "max_tokens",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        key, self._url = key.strip(), url.strip().rstrip("/") + "/chat/completions"
        self._secrets = (key, *secrets_of(url), *secret_values(extra or {}))
        self._shown_url = self._hide(self._url)
        try:
            parts = httpx.URL(self._url)
        except (httpx.InvalidURL, UnicodeError) as error:
            why = "" if "@" in url else f" ({error})"  # it may quote a piece of a password
            raise EndpointError(f"{_without_user(url)!r} is no address{why}") from None
        if parts.scheme not in ("http", "https") or not parts.host:
            raise EndpointError(f"{_without_user(url)!r} is no address such as https://host/v1")
        if not _sendable(key):
            raise EndpointError(f"what was given is {_UNSENDABLE}")
        self._retries = retries
        self._backoff, self._longest, self._prices = backoff, longest_wait, prices
        self._structured, self._limit_name, self._extra = structured, limit_name, dict(extra or {})
        bearer = f"Bearer {key}" if key else ""
        user = f"{parts.username}:{parts.password}" if parts.userinfo else ""
        basic = f"Basic {base64.b64encode(user.encode()).decode('ascii')}" if user else ""
        try:
            self._transport = Transport(
                str(parts.copy_with(userinfo=b"")),  # a library's log shows the address
                headers={"Authorization": basic or bearer} if basic or bearer else {},
                timeout=timeout,
                connections=concurrency,
                trust_env=not _is_loopback(parts.host),  # a proxy cannot reach this machine's own servers
            )
        except (ValueError, ImportError) as error:
            said = self._shown(_without_user(str(error)))
            raise EndpointError(f"HTTP_PROXY, HTTPS_PROXY or ALL_PROXY cannot be used: {said}") from None
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
        """Drop the connections; calls that are under way or wait to ask again raise EndpointError."""
        self._closed.set()
        self._transport.close()

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's name and the extra fields, secrets among them hidden. Not the address: two servers of
        one model share a cache."""
        return {"model": self.model, **({"extra": redact_fields(self._extra)} if self._extra else {})}

    def complete(self, messages: Sequence[Message], *, options: Options | None = None) -> Reply:
        """Ask, and ask again where that may help. Raises ReplyError and EndpointError (see Chat)."""
        body = json.dumps(self._body(messages, options or Options())).encode("ascii")
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
            f"{self._shown_url} gave no answer in {self._retries + 1} attempts; the last: {last}. See "
            "whether the server runs and is not overloaded, then run the same command again"
        )

    def _body(self, messages: Sequence[Message], options: Options) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": wire(messages),
            "temperature": options.temperature,
            "top_p": options.top_p,
            self._limit_name: options.max_tokens,
        }
        if options.seed is not None:
            body["seed"] = options.seed
        if options.schema is not None and self._structured == "json_object":
            body["response_format"] = {"type": "json_object"}
        elif options.schema is not None and self._structured == "json_schema":
            schema = {"name": "answer", "schema": dict(options.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return {name: value for name, value in (body | self._extra).items() if value is not None}

    def _ask(self, body: bytes) -> Reply:
        """One attempt."""
        try:
            answered = self._transport.post(body)
        except NoAnswerError as error:
            raise _Again(self._shown(str(error))) from None
        except WrongAnswerError as error:
            raise EndpointError(
                f"{self._shown_url} {self._shown(str(error))}. Check the url and the server"
            ) from None
        except ClosedError:
            raise EndpointError(f"{self._shown_url}: the client was closed") from None
        if answered.status != 200:
            self._refuse(answered.status, answered.headers, answered.content)
        try:
            answer = json.loads(answered.content)
        except (ValueError, RecursionError):
            raise self._no_json(answered.headers, answered.content) from None
        return self._reply(answer)

    def _hide(self, text: str) -> str:
        return redact(text, *self._secrets)

    def _shown(self, text: str) -> str:
        """A server's words in one short line, without secrets; hidden before it is cut."""
        return self._hide(" ".join(text[:LARGEST_ERROR].split()))[:SHOWN]

    def _no_json(self, headers: Mapping[str, str], content: bytes) -> Exception:
        """What is raised for an answer that does not read: a page or a stream comes again, others may not."""
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        begin = content[:4096].decode("utf-8", "replace").lstrip("\ufeff \r\n\t")
        said = f"{self._shown(begin)!r} ({len(content)} bytes of {self._shown(kind) or 'no stated type'})"
        if kind in ("text/event-stream", "application/x-ndjson") or begin.startswith(("data:", "event:")):
            return EndpointError(
                f"{self._shown_url} answers with a stream, which was not asked for: {said}. Turn streaming "
                'off there, or send the field {"stream": false} (`extra` of the endpoint)'
            )
        if kind in ("text/html", "application/xhtml+xml") or (kind and begin.startswith("<")):
            return EndpointError(
                f"{self._shown_url} answers with a page instead of JSON: {said}. Check the url (it should "
                "end in /v1), and whether a proxy wants a sign-in"
            )
        return _Again(f"the answer is cut off or no JSON: {said}")

    def _refuse(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        """Raise what a status other than 200 means."""
        said, code = read_error(content)
        said = self._shown(said)
        told = f"{self._shown_url} answered {status}" + (f": {said}" if said else "")
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
            found = read_completion(answer)
        except NotACompletionError:
            # some routers send the error of the server behind them with status 200
            raise _Again(f"the answer holds no choice: {self._shown(as_text(answer))}") from None
        if found.declined:
            raise DeclinedError(f"the model gave no text: {self._shown(found.declined)}")
        if found.lacking:
            raise ReplyError(f"the model gave no text{self._shown(found.lacking)}")
        text, usage, cost = found.text, found.usage, None
        if usage is not None and self._prices is not None:
            cost = (usage.prompt * self._prices[0] + usage.completion * self._prices[1]) / 1e6
        for secret in self._secrets:
            # no word of an answer, but a server that repeats the key in it
            if len(secret) >= 16 or (len(secret) >= 8 and any(letter.isdigit() for letter in secret)):
                text = text.replace(secret, "***")
        return Reply(text=text, usage=usage, cost=cost, finish=found.finish, thoughts=found.thoughts)

    def _wait(self, again: _Again, attempt: int) -> None:
        if again.after is not None:
            if again.after > self._longest:
                raise EndpointError(f"{again}; it asks to come back in {again.after:.6g} s")
            self._not_before = max(self._not_before, time.monotonic() + again.after)
            return
        self._sleep(min(self._longest, self._backoff * 2**attempt) * self._random.uniform(0.5, 1.0))

    def _sleep(self, seconds: float) -> None:
        if self._closed.wait(max(seconds, 0.0)):
            raise EndpointError(f"{self._shown_url}: the client was closed")


def _without_user(text: str) -> str:
    """What is no address, without anything that may have been meant as a user and password."""
    return redact(text.rpartition("@")[2])


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header, which holds a number or a date; None where it holds neither."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError, IndexError):  # no date, or one beyond the calendar
        return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

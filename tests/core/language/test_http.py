"""The HTTP client against a server that is busy, slow, broken or gone."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from typing import Any

import pytest

from core.language import http
from core.language.client import (
    Audio,
    EndpointError,
    Message,
    Options,
    Reply,
    ReplyError,
    Text,
    Usage,
    in_parallel,
)
from core.language.http import Endpoint, HttpChat, connect, unusable

HELLO = [Message("user", "hello")]


def chat_with(server: Any, **options: Any) -> HttpChat:
    return HttpChat(server.url, "m", **{"backoff": 0.01, "timeout": 5.0, **options})


def test_reply_holds_text_tokens_and_cost(server: Any) -> None:
    server.acts = [server.say("hi", usage=(1000, 10))]
    with chat_with(server, prices=(2.0, 30.0)) as chat:
        reply = chat.complete(HELLO)
    assert reply == Reply(text="hi", usage=Usage(1000, 10), cost=pytest.approx(0.0023))
    assert server.paths == ["/v1/chat/completions"]


def test_request_says_all_that_was_asked(server: Any) -> None:
    options = Options(temperature=0.5, top_p=0.9, max_tokens=9, seed=4, schema={"type": "array"})
    with chat_with(server, key="secret", structured="json_schema", extra={"reasoning_effort": "low"}) as chat:
        chat.complete([Message("system", "be brief"), *HELLO], options=options)
    assert server.requests == [
        {
            "model": "m",
            "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}],
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 9,
            "seed": 4,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": {"type": "array"}},
            },
            "reasoning_effort": "low",
        }
    ]
    assert server.headers[0]["authorization"] == "Bearer secret"


def test_plain_request_has_no_optional_fields_and_no_key(server: Any) -> None:
    with chat_with(server) as chat:
        chat.complete(HELLO, options=Options(schema={"type": "array"}))
    assert set(server.requests[0]) == {"model", "messages", "temperature", "top_p", "max_tokens"}
    assert "authorization" not in server.headers[0]


def test_audio_goes_as_an_input_audio_part(server: Any) -> None:
    server.reply = lambda request: "heard"
    with chat_with(server) as chat:
        chat.complete([Message("user", (Text("What is this?"), Audio(b"RIFF\x00\xff")))])
    assert server.requests[0]["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?"},
        {
            "type": "input_audio",
            "input_audio": {"data": base64.b64encode(b"RIFF\x00\xff").decode(), "format": "wav"},
        },
    ]


@pytest.mark.parametrize(
    "trouble",
    ["408", "409", "429", "500", "503", "529", "cut", "hang", "drip", "no json", "no choice", "hang up"],
)
def test_passing_trouble_is_asked_again(server: Any, trouble: str) -> None:
    acts = {
        "cut": server.cut,
        "hang": server.hang,
        "drip": server.drip,
        "no json": server.fail(200, b"<html>one moment</html>"),
        "no choice": server.fail(200, b'{"error": {"message": "upstream is busy"}}'),
        "hang up": lambda handler: setattr(handler, "close_connection", True),
    }
    server.acts = [acts.get(trouble) or server.fail(int(trouble)), server.say("at last")]
    with chat_with(server, timeout=0.3) as chat:
        assert chat.complete(HELLO).text == "at last"
    assert len(server.requests) == 2


def test_trouble_that_does_not_pass_ends_with_its_last_reason(server: Any) -> None:
    server.acts = [server.fail(500), server.fail(502), server.fail(503, b'{"error": "too busy"}')]
    with (
        chat_with(server, retries=2) as chat,
        pytest.raises(EndpointError, match=r"3 attempts.*503: too busy"),
    ):
        chat.complete(HELLO)
    assert len(server.requests) == 3


def test_dead_endpoint_is_one_clear_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with (
        HttpChat(url, "m", retries=1, backoff=0.01) as chat,
        pytest.raises(
            EndpointError, match=r"no answer in 2 attempts.*ConnectError.*run the same command again"
        ),
    ):
        chat.complete(HELLO)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, b'{"error": {"message": "bad key secret"}}', r"401: bad key \*\*\*.*Check the key"),
        (403, b"", "Check the key"),
        (404, b'{"error": {"message": "no such model"}}', "no such model.*Check the url"),
        (307, b"", "307.*Check the url"),
        (429, b'{"error": {"message": "pay", "code": "insufficient_quota"}}', "quota is used up"),
    ],
)
def test_what_no_repeat_mends_ends_at_once(server: Any, status: int, body: bytes, says: str) -> None:
    server.acts = [server.fail(status, body, Location="/elsewhere")]
    with chat_with(server, key="secret") as chat, pytest.raises(EndpointError, match=says) as caught:
        chat.complete(HELLO)
    assert len(server.requests) == 1
    assert "secret" not in str(caught.value)


def test_refused_request_concerns_this_request_alone(server: Any) -> None:
    server.acts = [
        server.fail(400, b'{"error": {"message": "too long"}}'),
        server.say(None, refusal="I would rather not"),
        server.say("bad", finish="content_filter"),
    ]
    with chat_with(server) as chat:
        for says in ("400: too long", "rather not", "content_filter"):
            with pytest.raises(ReplyError, match=says):
                chat.complete(HELLO)
        assert chat.complete(HELLO).text == "hello"


def test_text_cut_at_max_tokens_is_marked_and_parts_are_joined(server: Any) -> None:
    parts = [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]
    server.acts = [server.say("once upon", finish="length", usage=None), server.say(parts)]
    with chat_with(server, prices=(1.0, 1.0)) as chat:
        assert chat.complete(HELLO) == Reply(
            text="once upon", finish="length"
        )  # unknown tokens, unknown cost
        assert chat.complete(HELLO).text == "a b"


def test_retry_after_holds_back_every_thread(server: Any) -> None:
    arrived: list[float] = []
    server.reply = lambda request: arrived.append(time.monotonic()) or "ok"

    def refuse(handler: Any) -> None:
        arrived.append(time.monotonic())
        server.fail(429, Retry_After="0.4")(handler)

    server.acts = [refuse]
    with chat_with(server, concurrency=2) as chat:
        first = threading.Thread(target=chat.complete, args=(HELLO,))
        first.start()
        while not chat._not_before:
            time.sleep(0.005)
        chat.complete(HELLO)
        first.join()
    assert len(arrived) == 3
    assert min(arrived[1:]) >= arrived[0] + 0.35  # what the server asked for, less rounding


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        ("-1", 0.0),
        ("soon", None),
        ("", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 60.0),
        ("Sun, 06 Nov 1994 08:40:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(
    value: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http.time, "time", lambda: 784111717.0)  # 08:48:37 of that day
    assert http._retry_after({"retry-after": value}) == seconds


def test_unreasonable_retry_after_ends_the_run(server: Any) -> None:
    server.acts = [server.fail(429, Retry_After="86400")]
    with chat_with(server) as chat, pytest.raises(EndpointError, match="come back in 86400 s"):
        chat.complete(HELLO)


def test_no_more_requests_at_a_time_than_allowed_and_results_in_order(server: Any) -> None:
    def slow(request: dict[str, Any]) -> str:
        time.sleep(0.02)
        return request["messages"][0]["content"]

    server.reply = slow
    texts = [f"item {number}" for number in range(24)]
    with chat_with(server, concurrency=3) as chat:
        replies = list(in_parallel(lambda t: chat.complete([Message("user", t)]).text, texts, concurrency=8))
    assert replies == texts
    assert server.most_running == 3


def test_closing_ends_the_wait_for_another_attempt(server: Any) -> None:
    server.acts = [server.fail(503)]
    chat = chat_with(server, backoff=1000.0, longest_wait=1000.0)
    failed: list[Exception] = []

    def ask() -> None:
        try:
            chat.complete(HELLO)
        except EndpointError as error:
            failed.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    while not server.requests:
        time.sleep(0.005)
    chat.close()
    asking.join(timeout=10)
    assert not asking.is_alive()
    assert "closed" in str(failed[0])


def test_waits_grow_and_stay_below_the_longest(monkeypatch: pytest.MonkeyPatch, server: Any) -> None:
    waits: list[float] = []
    server.acts = [server.fail(500)] * 5
    with chat_with(server, backoff=2.0, longest_wait=10.0, retries=5) as chat:
        monkeypatch.setattr(chat, "_sleep", lambda seconds: waits.append(seconds))
        chat.complete(HELLO)
    backoffs = [wait for wait in waits if wait > 0]
    assert len(backoffs) == 5
    assert all(limit / 2 <= wait <= limit for wait, limit in zip(backoffs, (2, 4, 8, 10, 10), strict=True))


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://host/v1", "http://", "http://host:port/v1"])
def test_bad_address_is_refused(url: str) -> None:
    with pytest.raises(EndpointError, match="is no address"):
        HttpChat(url, "m")


def test_own_servers_are_asked_without_a_proxy(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with chat_with(server, retries=0) as chat:
        assert chat.complete(HELLO).text == "hello"


def test_endpoint_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch, server: Any) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    assert "url and model" in unusable(Endpoint())
    lacking = Endpoint(url=server.url, model="m", key_variable="A_KEY")
    assert "A_KEY" in unusable(lacking)
    with pytest.raises(EndpointError, match="A_KEY"):
        connect(lacking)
    monkeypatch.setenv("A_KEY", "k1")
    assert unusable(lacking) == ""
    with connect(lacking) as chat:
        assert chat.complete(HELLO).text == "hello"
    assert server.headers[0]["authorization"] == "Bearer k1"
    assert "k1" not in json.dumps(dict(chat.identity))

"""The HTTP client against a server that is busy, slow, broken or gone."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import socket
import threading
import time
import zlib
from typing import Any

import pytest

from core.language import http, transport
from core.language.client import (
    Audio,
    DeclinedError,
    EndpointError,
    Message,
    Options,
    Reply,
    ReplyError,
    Text,
    Totals,
    Usage,
    in_parallel,
    totals,
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


def test_a_proxy_that_is_none_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "foo://ann:hunter22@host:9")
    with pytest.raises(EndpointError, match="HTTPS_PROXY") as caught:
        HttpChat("https://example.invalid/v1", "m")
    assert "hunter" not in str(caught.value)


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


# --- hostile and broken servers: an attempt ends in time, and its memory is bounded


def dripping(begin: bytes, piece: bytes, server: Any) -> Any:
    """Writes `begin` and then `piece` again and again."""

    def act(handler: Any) -> None:
        handler.wfile.write(begin)
        while not server.release.wait(0.02):
            handler.wfile.write(piece)
            handler.wfile.flush()
        handler.close_connection = True

    return act


SLOW = {
    "status": (b"HTTP/1.1 2", b""),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "a header": (b"HTTP/1.1 200 OK\r\nX-A: ", b"b"),
    "early hints": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b" "),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "gzip that yields nothing": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 99999\r\n\r\n"
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
        b"\x00\x00\x00\xff\xff",
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_an_attempt_has_one_deadline(server: Any, name: str) -> None:
    server.acts = [dripping(*SLOW[name], server), server.say("at last")]
    began = time.monotonic()
    with chat_with(server, timeout=0.3) as chat:
        assert chat.complete(HELLO).text == "at last"
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_an_endless_reply_ends_at_a_largest_size(
    server: Any, coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "LARGEST", 2**20)
    piece = b" " * 2**16 if coding == "identity" else gzip.compress(b" " * 2**26)

    def act(handler: Any) -> None:
        handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n\r\n".encode())
        while True:  # until the client hangs up
            handler.wfile.write(piece)

    server.acts = [act]
    with chat_with(server) as chat, pytest.raises(EndpointError, match="sends more than 1 MiB"):
        chat.complete(HELLO)
    assert len(server.requests) == 1


def test_of_an_endless_error_the_beginning_is_read(server: Any) -> None:
    def act(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 400 No\r\n\r\n")
        while True:
            handler.wfile.write(b"too long " * 1000)

    server.acts = [act]
    with chat_with(server) as chat, pytest.raises(ReplyError, match="400: too long too long") as caught:
        chat.complete(HELLO)
    assert len(str(caught.value)) < 400


def test_compressed_answers_are_read_and_unknown_codings_refused(server: Any) -> None:
    body = b'{"choices": [{"message": {"content": "hi"}}]}'
    server.acts = [
        server.fail(200, gzip.compress(body), Content_Encoding="gzip"),
        server.fail(200, zlib.compress(body), Content_Encoding="deflate"),
        server.fail(200, b"no gzip", Content_Encoding="gzip"),
        server.fail(200, body),
        server.fail(200, body, Content_Encoding="br"),
    ]
    with chat_with(server) as chat:
        assert [chat.complete(HELLO).text for _ in range(3)] == ["hi"] * 3
        with pytest.raises(EndpointError, match="coding 'br'"):
            chat.complete(HELLO)


def test_closing_ends_a_request_that_is_under_way(server: Any) -> None:
    server.acts = [server.hang]
    chat = chat_with(server, timeout=60.0)
    failed: list[str] = []

    def ask() -> None:
        with pytest.raises(EndpointError) as caught:
            chat.complete(HELLO)
        failed.append(str(caught.value))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    while not server.requests:
        time.sleep(0.005)
    chat.close()
    asking.join(timeout=5)
    assert "closed" in failed[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"choices": ' + b"9" * 5000 + b"}",
        b"null",
        b"1e999",
        b'{"choices": [null]}',
        b'{"choices": [{"message": {"content": 7}}]}',
        b'{"choices": {"0": 1}}',
    ],
)
def test_damaged_json_is_asked_again(server: Any, answer: bytes) -> None:
    server.acts = [server.fail(200, answer), server.say("at last")]
    with chat_with(server) as chat:
        assert chat.complete(HELLO).text == "at last"


@pytest.mark.parametrize("usage", [("1e999", 1), (float("inf"), 2), (-1, 2), (None, 2), ([], {}), (True, 1)])
def test_tokens_that_are_no_counts_are_unknown(server: Any, usage: Any) -> None:
    server.acts = [server.say("hi", usage=usage)]
    with chat_with(server, prices=(1.0, 1.0)) as chat:
        assert chat.complete(HELLO) == Reply(text="hi")


@pytest.mark.parametrize("status", [400, 429, 200])
def test_deep_errors_are_shown_as_far_as_they_go(server: Any, status: int) -> None:
    server.acts = [server.fail(status, b'{"error": {"message": ' + b"[" * 100_000)]
    with chat_with(server, retries=0) as chat, pytest.raises((EndpointError, ReplyError)) as caught:
        chat.complete(HELLO)
    assert len(str(caught.value)) < 600


# --- what is an answer


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": None}, {"type": "text", "text": "Woman"}], "Woman"),
        (
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": "B"},
            ],
            "B",
        ),
        ([{"type": "reasoning", "text": "A?"}, {"type": "output_text", "text": "B"}], "B"),
        ([{"text": "a"}, "b", 7, None], "ab"),
    ],
)
def test_the_text_among_the_parts_is_the_answer(server: Any, content: Any, text: str) -> None:
    server.acts = [server.say(content)]
    with chat_with(server) as chat:
        assert chat.complete(HELLO).text == text


@pytest.mark.parametrize("finish", ["length", "MAX_TOKENS", "model_length"])
def test_every_name_of_the_limit_is_a_cut(server: Any, finish: str) -> None:
    server.acts = [server.say("once upon", finish=finish)]
    with chat_with(server) as chat:
        assert chat.complete(HELLO).finish == "length"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
@pytest.mark.parametrize("content", [None, "", " \n"])
def test_an_answer_among_the_thoughts_is_named(server: Any, field: str, content: str | None) -> None:
    server.acts = [
        server.say(content, **{field: "The answer is A."}),
        server.say(content, **{field: "First I"}, finish="length"),
        server.say("A", **{field: "Hm."}),
    ]
    with chat_with(server) as chat:
        with pytest.raises(ReplyError, match=f"16 characters of reasoning in {field}.*--reasoning-parser"):
            chat.complete(HELLO)
        with pytest.raises(ReplyError, match=r"7 characters of reasoning.*cut at the limit of tokens"):
            chat.complete(HELLO)
        reply = chat.complete(HELLO)
    assert (reply.text, reply.thoughts) == ("A", 3)
    assert totals([reply, Reply(text="<think>x</think>B", finish="length")]) == Totals(
        calls=2, prompt_tokens=7, completion_tokens=3, unpriced=2, cut=1, thinking=2
    )


def test_a_model_that_declines_is_told_from_a_server_that_refuses(server: Any) -> None:
    server.acts = [
        server.say(None, refusal="No."),
        server.say("x", finish="content_filter"),
        server.fail(400),
        server.say(None),
        server.say([{"type": "text", "text": None}]),
    ]
    with chat_with(server) as chat:
        for kind in (DeclinedError, DeclinedError, ReplyError, ReplyError, ReplyError):
            with pytest.raises(ReplyError) as caught:
                chat.complete(HELLO)
            assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("kind", "body", "says"),
    [
        ("text/event-stream", b'data: {"choices": []}\n\n', "answers with a stream.*data:"),
        ("application/x-ndjson", b'{"done": false}\n{"done": true}\n', "answers with a stream"),
        ("text/html; charset=utf-8", b"<html><title>Sign in</title>", "answers with a page.*Sign in"),
        ("text/plain", b"<!DOCTYPE html>", "answers with a page"),
    ],
)
def test_a_page_or_a_stream_is_shown_and_not_asked_for_again(
    server: Any, kind: str, body: bytes, says: str
) -> None:
    server.acts = [server.fail(200, body, Content_Type=kind)]
    with chat_with(server) as chat, pytest.raises(EndpointError, match=says):
        chat.complete(HELLO)
    assert len(server.requests) == 1


def test_fields_can_be_renamed_and_left_out(server: Any) -> None:
    extra = {"temperature": None, "top_p": None, "reasoning_effort": "low"}
    with chat_with(server, limit_name="max_completion_tokens", extra=extra) as chat:
        chat.complete(HELLO, options=Options(max_tokens=9))
    assert set(server.requests[0]) == {"model", "messages", "max_completion_tokens", "reasoning_effort"}


def test_half_a_surrogate_pair_can_be_asked(server: Any) -> None:
    server.reply = lambda request: "ok"
    with chat_with(server) as chat:
        assert chat.complete([Message("user", "half \ud800")]).text == "ok"


@pytest.mark.parametrize(
    "value", ["Fri, 31 Dec 9999 23:59:59 -9959", "Mon, 99 Foo 20206 99:99:99 GMT", "1e999", "9" * 400]
)
def test_a_retry_after_beyond_the_calendar_is_no_traceback(server: Any, value: str) -> None:
    server.acts = [server.fail(429, Retry_After=value)]
    with chat_with(server) as chat, contextlib.suppress(EndpointError):  # told when to come back, or none
        assert chat.complete(HELLO).text == "hello"


# --- secrets

KEY = "sk-0123456789/abcdefghij+KLMNOPQRST"
ECHOES = {
    "error": lambda s: s.fail(400, json.dumps({"error": {"message": f"bad {KEY}"}}).encode()),
    "at the cut": lambda s: s.fail(400, json.dumps({"error": {"message": "x" * 285 + KEY}}).encode()),
    "cut by the server": lambda s: s.fail(400, ("x" * 200 + KEY[:-3]).encode()),
    "busy": lambda s: s.fail(500, f"Authorization: Bearer {KEY}".encode()),
    "denied": lambda s: s.fail(401, f"<p>{KEY}</p>".encode()),
    "object": lambda s: s.fail(400, json.dumps({"error": {"message": {"key": KEY}}}).encode()),
    "refusal": lambda s: s.say(None, refusal=f"I will not use {KEY}"),
    "finish": lambda s: s.say(None, finish=KEY),
    "no choice": lambda s: s.fail(
        200, json.dumps({"key": KEY, "b": base64.b64encode(KEY.encode()).decode()}).encode()
    ),
    "no json": lambda s: s.fail(200, f"key {KEY} unknown".encode()),
    "page": lambda s: s.fail(200, f"<b>{KEY}".encode(), Content_Type="text/html"),
    "password": lambda s: s.fail(500, b"hunter%4022 or hunter@22 or YW5uOmh1bnRlckAyMg=="),
}


@pytest.mark.parametrize("name", ECHOES)
def test_no_secret_that_a_server_repeats_is_shown(server: Any, name: str) -> None:
    server.acts = [ECHOES[name](server)]
    url = server.url.replace("//", "//ann:hunter%4022@")
    with (
        HttpChat(url, "m", key=KEY, retries=0, timeout=5.0) as chat,
        pytest.raises((EndpointError, ReplyError)) as caught,
    ):
        chat.complete(HELLO)
    assert "***" in str(caught.value)
    for secret in (KEY[:12], KEY[-8:], base64.b64encode(KEY.encode()).decode(), "hunter", "YW5uOmh1"):
        assert secret not in str(caught.value)


def test_an_address_with_a_password_asks_with_it_and_logs_none(
    server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    extra = {"api_key": "word-of-the-extra-field"}
    server.acts = [server.fail(400, b"word-of-the-extra-field")]
    with HttpChat(server.url.replace("//", "//ann:hunter%4022@"), "m", extra=extra) as chat:
        with pytest.raises(ReplyError, match=r"400: \*\*\*"):
            chat.complete(HELLO)
        assert chat.complete(HELLO).text == "hello"
    assert server.headers[1]["authorization"] == "Basic YW5uOmh1bnRlckAyMg=="
    assert server.requests[1]["api_key"] == "word-of-the-extra-field"
    assert "hunter" not in caplog.text
    assert "YW5uOmh1" not in caplog.text


def test_a_key_that_a_server_puts_into_its_text_is_kept_nowhere(server: Any) -> None:
    server.acts = [server.say(f"invalid key {KEY}")]
    with chat_with(server, key=KEY) as chat:
        assert chat.complete(HELLO).text == "invalid key ***"


def test_a_key_read_from_a_file_loses_its_line_end(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", f"{KEY}\r\n")
    with connect(Endpoint(url=server.url, model="m", key_variable="A_KEY")) as chat:
        chat.complete(HELLO)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "key", ["sk-01234\r56789", "sk-01234\n56789", "sk-01234 56789", "sk-01234é56789", "sk-\x00"]
)
def test_a_key_that_no_header_carries_is_refused_and_not_shown(
    server: Any, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "\x00" not in key:
        monkeypatch.setenv("A_KEY", key)
        with pytest.raises(EndpointError, match="A_KEY holds a key with a line break") as caught:
            connect(Endpoint(url=server.url, model="m", key_variable="A_KEY"))
        assert "01234" not in str(caught.value)
    with pytest.raises(EndpointError, match="set it again") as caught:
        HttpChat(server.url, "m", key=key)
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["ann:hunter22@host/v1", "ftp://ann:hunter22@h/v1", "http://ann:hun/ter22@h:x/v1"]
)
def test_a_bad_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(EndpointError, match="is no address") as caught:
        HttpChat(url, "m")
    assert "hun" not in str(caught.value)


def test_identity_holds_no_secret() -> None:
    extra = {"api_key": "abc", "user": "me", "proxy": {"url": "http://ann:word@host"}}
    with HttpChat("http://ann:word@127.0.0.1:9/v1", "m", key=KEY, extra=extra) as chat:
        assert chat.identity == {
            "model": "m",
            "extra": {"api_key": "***", "user": "me", "proxy": {"url": "http://host"}},
        }

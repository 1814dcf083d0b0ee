"""The cache: what makes two requests the same, what survives, what is asked again."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.language.cache import CachedChat, request_key, request_of
from core.language.client import (
    Absent,
    Audio,
    EndpointError,
    Message,
    Options,
    Reply,
    ReplyError,
    Text,
    Usage,
)

HELLO = [Message("user", "hello")]


class Counting:
    """Answers with the number of the call; refuses what it is told to."""

    def __init__(self, identity: Mapping[str, Any] | None = None) -> None:
        self.identity = identity or {"model": "m"}
        self.calls = 0
        self.fail = False

    def complete(self, messages: Sequence[Message], *, options: Options | None = None) -> Reply:
        self.calls += 1
        if self.fail:
            raise ReplyError("refused")
        return Reply(text=f"answer {self.calls}", usage=Usage(5, 2), cost=0.125, finish="length")


def test_second_request_is_answered_from_disk_by_any_process(tmp_path: Path) -> None:
    inner = Counting()
    first = CachedChat(inner, tmp_path).complete(HELLO)
    again = CachedChat(inner, tmp_path).complete(HELLO, options=Options())
    assert inner.calls == 1
    assert not first.cached
    assert again == replace(first, cached=True)


@pytest.mark.parametrize(
    "other",
    [
        {"messages": [Message("user", "hello ")]},
        {"messages": [Message("system", "hello")]},
        {"messages": [Message("user", (Text("hello"),))]},
        {"options": Options(temperature=0.1)},
        {"options": Options(max_tokens=5)},
        {"options": Options(seed=0)},
        {"options": Options(schema={})},
        {"identity": {"model": "n"}},
        {"identity": {"model": "m", "extra": {"a": 1}}},
    ],
)
def test_whatever_decides_the_reply_is_another_request(tmp_path: Path, other: dict[str, Any]) -> None:
    CachedChat(Counting(), tmp_path).complete(HELLO)
    inner = Counting(other.get("identity"))
    CachedChat(inner, tmp_path).complete(other.get("messages", HELLO), options=other.get("options"))
    assert inner.calls == 1


def test_audio_is_told_apart_by_content_and_not_stored(tmp_path: Path) -> None:
    inner = Counting()
    chat = CachedChat(inner, tmp_path)
    for content in (b"one", b"two", b"one"):
        chat.complete([Message("user", (Audio(content),))])
    assert inner.calls == 2
    stored = [json.loads(path.read_text()) for path in tmp_path.rglob("*.json")]
    held = [entry["request"]["messages"][0]["content"][0]["input_audio"] for entry in stored]
    assert all(set(one) == {"sha256", "format"} for one in held)


def test_key_never_changes() -> None:
    """A changed key would make every cache worthless."""
    request = request_of({"model": "m"}, HELLO, Options())
    assert request_key(request) == "4dc7d5d7a097e9c12e8ebabbe3ce77dcee26d877062f676c68312e3678d595e1"


def test_failures_are_not_kept(tmp_path: Path) -> None:
    inner = Counting()
    inner.fail = True
    chat = CachedChat(inner, tmp_path)
    with pytest.raises(ReplyError):
        chat.complete(HELLO)
    inner.fail = False
    assert chat.complete(HELLO).text == "answer 2"


@pytest.mark.parametrize("damage", [b"", b'{"reply": {"te', b"[]", b'{"reply": {"text": "x"}}', b"\xff\xfe"])
def test_damaged_entry_is_said_and_asked_again(
    tmp_path: Path, damage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = Counting()
    chat = CachedChat(inner, tmp_path)
    chat.complete(HELLO)
    (path,) = tmp_path.rglob("*.json")
    path.write_bytes(damage)
    assert chat.complete(HELLO).text == "answer 2"
    assert "damaged" in capsys.readouterr().err
    assert chat.complete(HELLO).cached


def test_threads_that_ask_the_same_pay_once(tmp_path: Path) -> None:
    begun, go = threading.Event(), threading.Event()

    class Slow(Counting):
        def complete(self, messages: Sequence[Message], *, options: Options | None = None) -> Reply:
            begun.set()
            go.wait(10)
            return super().complete(messages, options=options)

    inner = Slow()
    chat = CachedChat(inner, tmp_path)
    replies: list[Reply] = []
    threads = [threading.Thread(target=lambda: replies.append(chat.complete(HELLO))) for _ in range(5)]
    for thread in threads:
        thread.start()
    begun.wait(10)
    go.set()
    for thread in threads:
        thread.join()
    assert inner.calls == 1
    assert sorted(reply.cached for reply in replies) == [False, True, True, True, True]


def test_what_is_kept_is_answered_without_a_model(tmp_path: Path) -> None:
    CachedChat(Counting(), tmp_path).complete(HELLO)
    offline = CachedChat(Absent({"model": "m"}, "no key is set"), tmp_path)
    assert offline.complete(HELLO).text == "answer 1"
    with pytest.raises(EndpointError, match="no key is set"):
        offline.complete([Message("user", "something else")])


def test_any_text_can_be_kept(tmp_path: Path) -> None:
    class Odd(Counting):
        def complete(self, messages: Sequence[Message], *, options: Options | None = None) -> Reply:
            return Reply(text="\u2028 \x00 雨 \ud800")

    chat = CachedChat(Odd(), tmp_path)
    chat.complete([Message("user", "half a pair \ud800")])
    assert chat.complete([Message("user", "half a pair \ud800")]).cached


USABLE = {"text": "answer 1", "usage": [5, 2], "cost": 0.125, "finish": "length", "thoughts": 0}
WRONG = {
    "text": [None, 7, ["a"], {"a": 1}],
    "finish": [None, 3],
    "usage": [[5], [5, 2, 1], ["5", "2"], [5.5, 2], [True, 2], [-1, 2], {"prompt": 5}, 7, "52"],
    "cost": ["0.1", -1, True, [], "Infinity"],
    "thoughts": ["", -1, None, 1.5],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in WRONG for value in WRONG[name]])
def test_an_entry_of_a_wrong_type_is_damaged(tmp_path: Path, name: str, value: Any) -> None:
    inner = Counting()
    chat = CachedChat(inner, tmp_path)
    chat.complete(HELLO)
    (path,) = tmp_path.rglob("*.json")
    entry = json.loads(path.read_text())
    assert entry["reply"] == USABLE
    path.write_text(json.dumps(entry | {"reply": USABLE | {name: value}}).replace('"Infinity"', "1e999"))
    assert chat.complete(HELLO).text == "answer 2"
    assert chat.complete(HELLO).cached


@pytest.mark.parametrize("damage", [b"[" * 100_000, b"null", b'"reply"', b'{"reply": null}', b"1e999"])
def test_an_entry_that_is_no_entry_is_damaged(tmp_path: Path, damage: bytes) -> None:
    chat = CachedChat(Counting(), tmp_path)
    chat.complete(HELLO)
    (path,) = tmp_path.rglob("*.json")
    path.write_bytes(damage)
    assert chat.complete(HELLO).text == "answer 2"


def test_an_entry_in_anothers_place_is_not_answered_from(tmp_path: Path) -> None:
    chat = CachedChat(Counting(), tmp_path)
    chat.complete(HELLO)
    (first,) = tmp_path.rglob("*.json")
    chat.complete([Message("user", "who?")])
    (second,) = set(tmp_path.rglob("*.json")) - {first}
    second.write_bytes(first.read_bytes())
    assert chat.complete([Message("user", "who?")]).text == "answer 3"


def test_entries_of_before_thoughts_were_counted_are_read(tmp_path: Path) -> None:
    chat = CachedChat(Counting(), tmp_path)
    chat.complete(HELLO)
    (path,) = tmp_path.rglob("*.json")
    entry = json.loads(path.read_text())
    del entry["reply"]["thoughts"]
    path.write_text(json.dumps(entry))
    assert chat.complete(HELLO).cached

"""Replies of language models on disk, by the content of what was asked: nothing is paid for twice.

A file a reply, written whole or not at all, <folder>/<two digits>/<hash>.json, with the request beside it
(audio only by its hash). A killed run goes on where it stopped; several processes may share a folder.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.language.client import Chat, Message, Options, Reply, Usage, wire
from core.run.files import write_text_atomic


class CachedChat:
    """A Chat that asks `chat` only what `folder` does not hold. Failures are not kept.

    Two threads that ask the same wait for one answer.
    """

    def __init__(self, chat: Chat, folder: Path) -> None:
        self._chat, self._folder = chat, folder
        self._asking: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    @property
    def identity(self) -> Mapping[str, Any]:
        """That of the chat inside."""
        return self._chat.identity

    def complete(self, messages: Sequence[Message], *, options: Options | None = None) -> Reply:
        """The reply kept for this request, else a new one, kept."""
        options = options or Options()
        request = request_of(self._chat.identity, messages, options)
        key = request_key(request)
        path = self._folder / key[:2] / f"{key}.json"
        kept = _read(path, request)
        if kept is not None:
            return kept
        with self._guard:
            lock = self._asking.setdefault(key, threading.Lock())
        try:
            with lock:
                kept = _read(path, request)  # another thread may have asked meanwhile
                if kept is None:
                    reply = self._chat.complete(messages, options=options)
                    _write(path, request, reply)
                    return reply
        finally:
            with self._guard:
                self._asking.pop(key, None)
        return kept


def request_of(
    identity: Mapping[str, Any], messages: Sequence[Message], options: Options
) -> dict[str, object]:
    """All that decides a reply, as JSON can hold it."""
    return {
        "chat": dict(identity),
        "messages": wire(messages, audio="sha256"),
        "options": {
            "temperature": options.temperature,
            "top_p": options.top_p,
            "max_tokens": options.max_tokens,
            "seed": options.seed,
            "schema": options.schema,
        },
    }


def request_key(request: Mapping[str, object]) -> str:
    """SHA-256 of a request, the same on every machine."""
    text = json.dumps(request, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _read(path: Path, request: Mapping[str, object]) -> Reply | None:
    """The reply kept at `path`; None where there is none, or none that this program has written."""
    try:
        entry = json.loads(path.read_bytes())
        # the second comparison is slow, and for the rare request that UTF-8 or JSON changed
        if entry["request"] != request and entry["request"] != json.loads(_written(request)):
            raise ValueError("it answers another request")
        return _reply(entry["reply"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        print(f"{path} is damaged ({error!r}) and is asked for again", file=sys.stderr)
        return None


def _reply(held: Mapping[str, Any]) -> Reply:
    """Raises ValueError, KeyError or TypeError for values that no reply has."""
    usage, cost, thoughts = held["usage"], held["cost"], held.get("thoughts", 0)
    if not isinstance(held["text"], str) or not isinstance(held["finish"], str):
        raise TypeError("its text is no text")
    if usage is not None and not (len(usage) == 2 and all(_counts(count) for count in usage)):
        raise ValueError("its tokens are not two counts")
    if cost is not None and (
        isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost < math.inf
    ):
        raise ValueError("its cost is no amount")
    if not _counts(thoughts):
        raise ValueError("the length of its thoughts is no count")
    return Reply(
        text=held["text"],
        usage=None if usage is None else Usage(*usage),
        cost=cost,
        cached=True,
        finish=held["finish"],
        thoughts=thoughts,
    )


def _counts(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _written(content: Mapping[str, object]) -> str:
    """JSON as it comes back from UTF-8, which half a surrogate pair does not have."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode("utf-8")


def _write(path: Path, request: Mapping[str, object], reply: Reply) -> None:
    held = asdict(reply)
    del held["cached"]
    write_text_atomic(path, _written({"request": request, "reply": held}) + "\n")

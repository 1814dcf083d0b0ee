"""Replies of language models on disk, by the content of what was asked: nothing is paid for twice.

A file a reply, written whole or not at all, <folder>/<two digits>/<hash>.json, with the request beside it
(audio only by its hash). A killed run goes on where it stopped; several processes may share a folder.
"""

from __future__ import annotations

import hashlib
import json
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
        kept = _read(path)
        if kept is not None:
            return kept
        with self._guard:
            lock = self._asking.setdefault(key, threading.Lock())
        try:
            with lock:
                kept = _read(path)  # another thread may have asked meanwhile
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


def _read(path: Path) -> Reply | None:
    try:
        held = json.loads(path.read_bytes())["reply"]
        usage = None if held["usage"] is None else Usage(*held["usage"])
        return Reply(text=held["text"], usage=usage, cost=held["cost"], cached=True, finish=held["finish"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        print(f"{path} is damaged ({error!r}) and is asked for again", file=sys.stderr)
        return None


def _write(path: Path, request: Mapping[str, object], reply: Reply) -> None:
    held = asdict(reply)
    del held["cached"]
    text = json.dumps({"request": request, "reply": held}, indent=1, ensure_ascii=False)
    write_text_atomic(path, text.encode("utf-8", "replace").decode("utf-8") + "\n")

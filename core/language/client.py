"""A language model as one call: messages in; text, tokens and cost out. Also: many calls at a time, and sums.

Whatever answers is a `Chat`: core.language.http over the network, core.language.cache around it. Messages
may carry audio for models that hear.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from core.language.thoughts import after_thoughts

T = TypeVar("T")
R = TypeVar("R")

Role = Literal["system", "user", "assistant"]


class EndpointError(OSError):
    """No model can be asked: the endpoint is down, refuses the key, or does not exist. Ends a whole run."""


class ReplyError(ValueError):
    """The model was asked and this one request has no usable reply. The caller counts it and goes on."""


class DeclinedError(ReplyError):
    """The model itself would not answer: a refusal in its words, or a filter of what it said."""


@dataclass(frozen=True)
class Text:
    """A part of a message that is text."""

    text: str


@dataclass(frozen=True)
class Audio:
    """A part of a message that is sound: the bytes of an encoded file."""

    content: bytes = field(repr=False)
    format: Literal["wav", "mp3", "flac"] = "wav"


@dataclass(frozen=True)
class Message:
    """One turn of a conversation; a string is one text part."""

    role: Role
    content: str | tuple[Text | Audio, ...]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to decode; greedy by default. seed asks for one of several samples, told apart in a cache.

    schema: JSON schema of the wanted answer, for servers that can hold a model to it.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int | None = None
    schema: Mapping[str, Any] | None = None


class Usage(NamedTuple):
    """Tokens of one call, as the server counted them."""

    prompt: int
    completion: int


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back. usage is None where the server does not say, cost where no price is known.

    cost is what the call cost when it was made; a cached reply keeps it but costs nothing again.
    finish "length": the text was cut at max_tokens. thoughts: characters of what the model thought, where the
    server keeps them apart from the text.
    """

    text: str
    usage: Usage | None = None
    cost: float | None = None
    cached: bool = False
    finish: str = "stop"
    thoughts: int = 0


class Chat(Protocol):
    """A language model. `complete` may be called from several threads.

    It raises ReplyError for this request alone and EndpointError where nothing can be asked. `identity` is
    what, beside messages and options, decides the reply: model, revision.
    """

    @property
    def identity(self) -> Mapping[str, Any]: ...

    def complete(self, messages: Sequence[Message], *, options: Options = ...) -> Reply: ...


@dataclass(frozen=True)
class Absent:
    """A Chat that cannot be asked: around it a cache still answers what it holds, the rest is `reason`."""

    identity: Mapping[str, Any]
    reason: str

    def complete(self, messages: Sequence[Message], *, options: Options | None = None) -> Reply:
        raise EndpointError(f"this request is not in the cache and cannot be made: {self.reason}")


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums over replies. cost: spent now; saved: what the cached ones once cost.

    unpriced: calls made now whose cost nobody knows; their tokens or prices were not said. cut: replies that
    ended at max_tokens. thinking: replies with thoughts, apart from their text or marked in it.
    """

    calls: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    saved: float = 0.0
    unpriced: int = 0
    cut: int = 0
    thinking: int = 0


def totals(replies: Iterable[Reply]) -> Totals:
    """What replies took together; tokens are those of calls made now, not of cached ones."""
    every = list(replies)
    made = [reply for reply in every if not reply.cached]
    used = [reply.usage for reply in made if reply.usage is not None]
    return Totals(
        calls=len(made),
        cached=len(every) - len(made),
        prompt_tokens=sum(usage.prompt for usage in used),
        completion_tokens=sum(usage.completion for usage in used),
        cost=sum(reply.cost or 0.0 for reply in made),
        saved=sum(reply.cost or 0.0 for reply in every if reply.cached),
        unpriced=sum(reply.cost is None for reply in made),
        cut=sum(reply.finish == "length" for reply in every),
        thinking=sum(bool(reply.thoughts) or after_thoughts(reply.text) != reply.text for reply in every),
    )


def wire(messages: Sequence[Message], *, audio: Literal["data", "sha256"] = "data") -> list[dict[str, Any]]:
    """Messages as the OpenAI chat format writes them; audio as base64, or only its hash for keys and logs."""

    def part(one: Text | Audio) -> dict[str, Any]:
        if isinstance(one, Text):
            return {"type": "text", "text": one.text}
        if audio == "data":
            held = {"data": base64.b64encode(one.content).decode("ascii")}
        else:
            held = {"sha256": hashlib.sha256(one.content).hexdigest()}
        return {"type": "input_audio", "input_audio": {**held, "format": one.format}}

    return [
        {"role": m.role, "content": m.content if isinstance(m.content, str) else [part(p) for p in m.content]}
        for m in messages
    ]


def in_parallel(call: Callable[[T], R], items: Iterable[T], *, concurrency: int) -> Iterator[R]:
    """Yield call(item) in the order of `items`, up to `concurrency` at a time, in threads.

    Items are taken a few ahead of the results, so a long iterable is never held whole. The first exception
    is raised where its item stands, and what has not begun is dropped.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency {concurrency} must be at least 1")
    jobs: SimpleQueue[tuple[Future[R], T] | None] = SimpleQueue()
    waiting: deque[Future[R]] = deque()

    def work() -> None:
        while (job := jobs.get()) is not None:
            future, item = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call(item))
                except BaseException as error:
                    future.set_exception(error)

    # daemons, unlike a ThreadPoolExecutor's: Ctrl-C need not wait for a server that does not answer
    for _ in range(concurrency):
        threading.Thread(target=work, daemon=True).start()
    try:
        for item in items:
            waiting.append(Future())
            jobs.put((waiting[-1], item))
            if len(waiting) >= 4 * concurrency:  # so that one slow item does not leave the others idle
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        for _ in range(concurrency):
            jobs.put(None)

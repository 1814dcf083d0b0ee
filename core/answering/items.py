"""Items of a benchmark, what is asked of each, and the hash of all that its outputs depend on."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from core.answering.question import PromptStyle, Question, make_prompt

Audios: TypeAlias = Callable[[], Sequence[bytes]] | Sequence[bytes]
Orders: TypeAlias = tuple[tuple[int, ...], ...]


class ItemError(ValueError):
    """Items that cannot be asked: none, one id twice, audio that is missing or cannot be loaded."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """A question of a benchmark, its options in the data set's order.

    audios: encoded files, or what loads them, called just before they are needed and in another thread;
    () for none; None where files are missing. seconds: length, by which batches are formed; 0 is unknown.
    """

    id: str
    question: str
    choices: tuple[str, ...]
    audios: Audios | None = field(repr=False)
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How items are put. shuffles: how often, the options each time in another order.

    own_order_first: the first order is the data set's.
    """

    shuffles: int = 1
    seed: int = 0
    style: PromptStyle = "public"
    own_order_first: bool = True

    def __post_init__(self) -> None:
        if self.shuffles < 1:
            raise ValueError(f"shuffles {self.shuffles}: every item is asked at least once")


def option_order(id: str, k: int, n: int, *, seed: int, own_order_first: bool = True) -> tuple[int, ...]:
    """The k-th order of the n options of item `id`: a permutation drawn from (seed, id, k) alone.

    Options are sorted by hashes, so that no version of a random generator decides.
    """
    if own_order_first and k == 0:
        return tuple(range(n))
    keys = [hashlib.sha256(json.dumps([seed, id, k, place]).encode()).digest() for place in range(n)]
    return tuple(sorted(range(n), key=keys.__getitem__))


def identity_hash(identity: Mapping[str, Any]) -> str:
    """An identity as one hash, whatever the order of its keys. Raises ValueError where it is no JSON."""
    try:
        return hashlib.sha256(json.dumps(identity, sort_keys=True, allow_nan=False).encode()).hexdigest()
    except (TypeError, ValueError) as error:
        raise ValueError(f"identity {dict(identity)!r} must be JSON: {error}") from None


def load_audios(item: Item) -> tuple[bytes, ...]:
    """The encoded files of an item, also those of 0 bytes: who decodes them says so. Raises ItemError."""
    try:
        audios = item.audios() if callable(item.audios) else item.audios
        heard = (audios,) if isinstance(audios, bytes) else tuple(audios or ())
        if wrong := [type(audio).__name__ for audio in heard if not isinstance(audio, bytes)]:
            raise TypeError(f"bytes of a file are needed, not {wrong[0]}")
    except Exception as error:
        raise ItemError(
            f"{item.id}: its audio cannot be loaded ({type(error).__name__}: {error}); put the file in its "
            "place, or leave the item out as missing, and run the same command again"
        ) from error
    return heard


def questions(item: Item, plan: Plan, *, identity: str) -> tuple[list[Question], Orders, str]:
    """What is asked of an item, one question an order, with its audio; the orders; and the hash of it all.

    An item without two options to exchange has one order. Raises ItemError where audio cannot be loaded.
    """
    heard = load_audios(item)
    n = len(item.choices)
    orders = tuple(
        option_order(item.id, k, n, seed=plan.seed, own_order_first=plan.own_order_first)
        for k in range(plan.shuffles if n > 1 else 1)
    )
    asked = []
    for order in orders:
        choices = tuple(item.choices[place] for place in order)
        prompt = make_prompt(item.question, choices, style=plan.style)
        asked.append(
            Question(id=item.id, prompt=prompt, question=item.question, choices=choices, audios=heard)
        )
    content = [
        identity,
        item.id,
        item.question,
        item.choices,
        plan.seed,
        orders,
        [question.prompt for question in asked],
        [hashlib.sha256(audio).hexdigest() for audio in heard],
    ]
    # 64 bits: enough to tell that something changed, and short in the files
    return asked, orders, hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def check(items: Sequence[Item], *, allow_missing: bool) -> int:
    """How many items lack their audio. Raises ItemError where that is not allowed, and for wrong items."""
    if not items:
        raise ItemError("there are no items to ask; check the data set, its split and any limit")
    if twice := [id for id, count in Counter(item.id for item in items).items() if count > 1]:
        raise ItemError(f"{len(twice)} ids are there more than once ({_some(twice)}): give each item its own")
    missing = [item.id for item in items if item.audios is None]
    if missing and not allow_missing:
        raise ItemError(
            f"{len(missing)} of {len(items)} items have no audio ({_some(missing)}); put the files in their "
            "place, or allow missing audio to ask the rest only, and say so beside the result"
        )
    if len(missing) == len(items):
        raise ItemError(f"none of {len(items)} items has its audio; check the folder of the audio")
    return len(missing)


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")

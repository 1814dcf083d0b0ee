"""What scores without hearing: answers that look at the options only, and items with their audio replaced.

A benchmark's score means something beside these. The answers are Answers for core.answering.harness; the
replacements map items to items, so that the hash of an item covers the audio that was put to the model.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from core.answering.items import Item, load_audios
from core.answering.question import Answer, Question
from core.audio.read import read_audio, write_wav

NOISE_RMS = 0.1  # of full scale, -20 dBFS


class ControlError(ValueError):
    """A control that these items do not allow."""


def random_choice(*, seed: int) -> Answer:
    """A uniformly drawn option; a function of seed, item and the order shown, not of what else is asked."""

    def pick(asked: Question) -> int:
        drawn = hashlib.sha256(json.dumps([seed, asked.id, asked.choices]).encode()).digest()
        return int.from_bytes(drawn[:16], "big") % len(asked.choices)

    return _picking(pick)


def first() -> Answer:
    """Always the option shown first."""
    return _picking(lambda asked: 0)


def longest() -> Answer:
    """Always the option with most characters; of several the one shown first."""
    return _picking(
        lambda asked: max(range(len(asked.choices)), key=lambda at: (len(asked.choices[at]), -at))
    )


def most_frequent(golds: Iterable[tuple[str, Sequence[str]]]) -> Answer:
    """Always the place (A, B, C, ...) at which the right option stands most often in `golds`.

    golds: pairs of an answer and its options, for instance of test-mini, whose answers are public. MMAU's
    paper prints a baseline of this name and does not define it. A gold that is there twice counts at its
    first place; of places equally frequent the earlier wins; a question with fewer options gets its last.
    Raises ControlError where no answer is among its options.
    """
    places = Counter(list(choices).index(answer) for answer, choices in golds if answer in choices)
    if not places:
        raise ControlError(
            "no answer is among its options, so that no place is the most frequent: give questions whose "
            "answers are public"
        )
    place = min(places, key=lambda at: (-places[at], at))
    return _picking(lambda asked: min(place, len(asked.choices) - 1))


def named(name: str, *, seed: int, golds: Iterable[tuple[str, Sequence[str]]]) -> Answer:
    """The control of that name: random, first, longest or most_frequent. Raises ControlError for another."""
    if name == "random":
        return random_choice(seed=seed)
    if name == "most_frequent":
        return most_frequent(golds)
    if name not in ("first", "longest"):
        raise ControlError(f"no control {name!r}; there are random, first, longest and most_frequent")
    return first() if name == "first" else longest()


def noise_audio(items: Iterable[Item], *, seed: int, level: float | Literal["rms"] = "rms") -> list[Item]:
    """Items whose audio is Gaussian noise of the same length and sample rate, mono, as float WAV.

    level: "rms" keeps the root mean square of the (mono) original, a number such as NOISE_RMS is that of all,
    as a share of full scale; MMAU's paper states neither. A function of seed, item and place among its
    audios. The original is loaded and decoded when the item's audio is asked for.
    """

    def noisy(item: Item) -> Item:
        return item if item.audios is None else replace(item, audios=lambda: _noise(item, seed, level))

    return [noisy(item) for item in items]


def other_audio(items: Sequence[Item], *, seed: int, groups: Sequence[Hashable] | None = None) -> list[Item]:
    """Items with the audio of another item: no item keeps its own, each audio is used once.

    groups: one value an item, such as its task; audio is exchanged within a group only. A function of seed
    and of the whole list. Items without audio stay as they are. Raises ControlError for a group of one item.
    """
    keys = [None] * len(items) if groups is None else list(groups)
    if len(keys) != len(items):
        raise ControlError(f"{len(keys)} groups for {len(items)} items: give one for each")
    members: dict[Hashable, list[int]] = {}
    for place, (item, key) in enumerate(zip(items, keys)):
        if item.audios is not None and (callable(item.audios) or len(item.audios)):
            members.setdefault(key, []).append(place)
    exchanged = list(items)
    for key, places in members.items():
        if len(places) == 1:
            raise ControlError(
                f"group {key!r} has only item {items[places[0]].id} with audio: none to exchange it with"
            )
        # one cycle through all of them, in an order drawn by hashes: nothing stays in its place
        cycle = sorted(
            places, key=lambda at: hashlib.sha256(json.dumps([seed, items[at].id]).encode()).digest()
        )
        for at, source in zip(cycle, cycle[1:] + cycle[:1]):
            exchanged[at] = replace(items[at], audios=items[source].audios, seconds=items[source].seconds)
    return exchanged


def without_audio(items: Iterable[Item]) -> list[Item]:
    """Items as text alone, also those whose audio is missing."""
    return [replace(item, audios=(), seconds=0.0) for item in items]


def _picking(pick: Callable[[Question], int]) -> Answer:
    def answer(asked: Sequence[Question]) -> list[str]:
        return [question.choices[pick(question)] if question.choices else "" for question in asked]

    return answer


def _noise(item: Item, seed: int, level: float | Literal["rms"]) -> tuple[bytes, ...]:
    made = []
    for place, audio in enumerate(load_audios(item)):
        wave, rate = read_audio(
            audio,
            sample_rate=None,
            max_seconds=None,
            accept=("silent", "truncated"),
            name=f"{item.id} (audio {place})",
        )
        key = hashlib.sha256(json.dumps([seed, item.id, place]).encode()).digest()
        noise = np.random.default_rng(int.from_bytes(key[:16], "big")).standard_normal(len(wave))
        wanted = float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if level == "rms" else level
        noise *= wanted / np.sqrt(np.mean(noise**2))
        made.append(write_wav(noise.astype(np.float32), rate, subtype="FLOAT"))
    return tuple(made)

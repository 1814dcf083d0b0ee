from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from core.scenes.bank import Bank
from core.scenes.captions import phrase_book
from core.scenes.timeline import Event, Scene
from shared_data.world.datasets.text import HINT_SENTENCE, context_line, draw_timeline, know, weighted

Book = dict[str, tuple[str, ...]]


@pytest.fixture(scope="module")
def book(noise_bank: Bank) -> Book:
    return phrase_book(noise_bank)


def test_contexts_are_sometimes_told_in_another_order(book: Book) -> None:
    rng = np.random.default_rng(0)
    lines = [context_line(draw_timeline(tuple(book), rng=rng), book, rng=rng) for _ in range(600)]
    starts = [re.findall(r" from (\d\.\d) to", line) for line in lines]
    several = [times for times in starts if len(times) > 1]
    shuffled = np.mean([times != sorted(times) for times in several])
    assert 0.1 < shuffled < 0.3  # SHUFFLED of them, of which half or fewer come out sorted


def test_the_hint_is_the_one_of_instruction_tuning() -> None:
    soft_prompt = pytest.importorskip("core.adapters.soft_prompt")
    assert soft_prompt.hint_sentence(["dog bark", "rain"]) == HINT_SENTENCE.format("dog bark, rain")


def test_context_by_hand(book: Book) -> None:
    events = (
        Event(clip=0, label="rain", start=1.5, end=4.0),
        Event(clip=0, label="dog_bark", start=0.4, end=1.2),
    )
    scene = Scene(id="x", events=events, duration=5.0, noise_db=-10.0)
    seen = {context_line(scene, book, rng=np.random.default_rng(seed)) for seed in range(60)}
    assert (
        "Sounds: a dog bark sounding from 0.4 to 1.2 seconds (0.8 long); "
        "a rain sounding from 1.5 to 4.0 seconds (2.5 long); noisy background." in seen
    )
    assert any(line.startswith("Sounds: a rain sounding") for line in seen)  # shuffled
    assert any("a dog bark sounds from" in line for line in seen)  # another phrase


def test_timelines_have_their_sounds_once_within_the_duration(book: Book) -> None:
    rng = np.random.default_rng(0)
    sizes: Counter[int] = Counter()
    for _ in range(500):
        scene = draw_timeline(tuple(book), rng=rng, duration=4.0)
        names = [event.label for event in scene.events]
        assert len(set(names)) == len(names)
        assert all(abs(10 * t - round(10 * t)) < 1e-6 for e in scene.events for t in (e.start, e.end))
        sizes[len(names)] += 1
    assert set(sizes) == {1, 2, 3, 4}


def test_knowledge_is_a_sentence_or_a_question(book: Book) -> None:
    rng = np.random.default_rng(0)
    known = [know(book, tuple(book), {}, rng) for _ in range(300)]
    assert {bool(prompt) for prompt, _ in known} == {True, False}
    assert any("Which sounds belong" in prompt for prompt, _ in known)
    assert not any("voice" in answer for _, answer in known)


def test_weighted_keys_come_by_their_shares() -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(weighted({"a": 3.0, "b": 0.0, "c": 1.0}, rng) for _ in range(2000))
    assert set(drawn) == {"a", "c"}
    assert 0.7 < drawn["a"] / 2000 < 0.8

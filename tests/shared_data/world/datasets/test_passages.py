"""Passages: what the line tells settles every answer, all tasks are asked, lines for tests are for tests."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

from core.scenes.bank import Bank
from core.scenes.captions import phrase_book
from core.scenes.draw import voice_attributes
from core.scenes.facts import homes
from core.scenes.phrasings import PHRASINGS
from shared_data.world.datasets.passages import Passage, held_out, passages

RESPONSE = "\n\n### Response:\n"
SOUND = re.compile(r"(?:Sounds: |; )(.+?) from (\d\.\d) to (\d\.\d) seconds \((\d\.\d) long\)")
Book = dict[str, tuple[str, ...]]


@pytest.fixture(scope="module")
def book(noise_bank: Bank) -> Book:
    return phrase_book(noise_bank)


@pytest.fixture(scope="module")
def drawn(noise_bank: Bank, book: Book) -> list[Passage]:
    return list(passages(book=book, voices=voice_attributes(noise_bank), seed=1, n=1200))


def test_the_same_seed_gives_the_same_passages_and_fewer_are_the_first(
    noise_bank: Bank, book: Book, drawn: list[Passage]
) -> None:
    voices = voice_attributes(noise_bank)
    assert list(passages(book=book, voices=voices, seed=1, n=50)) == drawn[:50]
    assert list(passages(book=book, voices=voices, seed=2, n=50)) != drawn[:50]


def test_all_kinds_of_texts_are_there(drawn: list[Passage]) -> None:
    assert 0.8 < sum(bool(one.context) for one in drawn) / len(drawn) < 0.92
    assert all(1 <= len(one.asked) <= 6 for one in drawn)
    texts = [text for one in drawn for text in one.texts()]
    assert all(text.count(RESPONSE) == text.count("### Instruction:\n") <= 1 for text in texts)
    assert all(text.strip() == text and text.partition(RESPONSE)[2] for text in texts if RESPONSE in text)
    bare = [text for text in texts if RESPONSE not in text]
    assert 100 < len(bare) < 0.1 * len(texts)
    for one in drawn:
        assert len({asked.prompt for asked in one.asked}) == len(one.asked) or not one.context


def test_every_task_is_asked_in_every_form(drawn: list[Passage]) -> None:
    prompts = [asked.prompt for one in drawn for asked in one.asked]
    for task, wordings in PHRASINGS.items():
        starts = [w.partition("{")[0] for w in wordings]
        assert any(start in prompt for prompt in prompts for start in starts), task
    tasks = {asked.task for one in drawn for asked in one.asked}
    assert {"when", "length", "by_length", "by_end", "tags", "knowledge", "sentence"} <= tasks
    forms = Counter(asked.form for one in drawn for asked in one.asked)
    assert min(forms["words"], forms["letters"]) > 300
    voiced = [asked for one in drawn for asked in one.asked if "{" in asked.prompt]
    assert not voiced


def test_lines_for_tests_are_for_tests(noise_bank: Bank, book: Book, drawn: list[Passage]) -> None:
    voices = voice_attributes(noise_bank)
    tests = list(passages(book=book, voices=voices, seed=1, n=30, asked=1, split="test", lookups=False))
    assert all(held_out(one.context) for one in tests if one.context)
    assert not any(held_out(one.context) for one in drawn if one.context)
    assert not {"when", "length", "by_length", "by_end"} & {one.asked[0].task for one in tests}


def test_answers_can_be_read_off_the_line(drawn: list[Passage], book: Book) -> None:
    """From the line's own words and times, and never two answers to a question."""
    labels = {phrase: label for label, phrases in book.items() for phrase in phrases}
    checked: Counter[str] = Counter()
    for one in drawn:
        if not one.context:
            continue
        heard = {labels[p]: (float(s), float(e), float(n)) for p, s, e, n in SOUND.findall(one.context)}
        assert heard
        assert all(abs(e - s - n) < 0.01 and 0 <= s < e <= 5.0 for s, e, n in heard.values())
        for asked in one.asked:
            said = asked.answer.rstrip(".")
            if asked.form != "open":
                continue
            if asked.task == "presence":
                phrase = next(p for p in sorted(labels, key=len, reverse=True) if f" {p}" in asked.prompt)
                assert said == ("yes" if labels[phrase] in heard else "no")
            elif asked.task == "first":
                assert labels[said] == min(heard, key=lambda name: heard[name][0])
            elif asked.task == "last":
                assert labels[said] == max(heard, key=lambda name: heard[name][1])
            elif asked.task == "count":
                assert said == ("one", "two", "three", "four")[len(heard) - 1]
            elif asked.task == "when":
                phrase = asked.prompt.partition("When is ")[2].partition(" heard?")[0]
                start, end, length = heard[labels[phrase]]
                assert said == f"from {start:.1f} to {end:.1f} seconds ({length:.1f} long)"
            elif asked.task == "by_length":
                names = sorted(heard, key=lambda name: -heard[name][2])
                assert said == "; ".join(f"{book[name][0]} {heard[name][2]:.1f}" for name in names)
            else:
                continue
            checked[asked.task] += 1
    assert min(checked.values()) >= 20
    assert len(checked) == 6


def test_of_several_sounds_of_a_place_the_first_is_named(drawn: list[Passage], book: Book) -> None:
    home, plain = homes(tuple(book)), {phrases[0]: label for label, phrases in book.items()}
    labels = {phrase: label for label, phrases in book.items() for phrase in phrases}
    shared = 0
    for one in drawn:
        heard = [(labels[p], float(s)) for p, s, _, _ in SOUND.findall(one.context)]
        for asked in one.asked:
            named = asked.answer.partition("there is a sound of ")[2].rstrip(".")
            if asked.task in ("where", "why") and named in plain:
                place = home[plain[named]]
                begins = {name: start for name, start in heard if home.get(name) == place}
                assert begins[plain[named]] == min(begins.values())
                shared += len(begins) > 1
    assert shared > 5


def test_hints_name_tags_and_without_a_line_only_true_ones(drawn: list[Passage], book: Book) -> None:
    words = {label.replace("_", " ") for label in book}
    hinted = defaultdict(list)
    for one in drawn:
        for asked in one.asked:
            if "<hint>" in asked.prompt:
                tags = asked.prompt.partition("following tags: ")[2].partition(". ")[0].split(", ")
                assert set(tags) <= words
                hinted[asked.task].append((tags, asked.answer))
    assert len(hinted["tags"]) > 20
    for tags, answer in hinted["tags"]:
        assert answer in ("yes.", "no.", "; ".join(tags) + ".")
    assert len(hinted["caption"]) > 20


def test_a_bank_without_voices_asks_no_one(noise_bank_without_voices: Bank) -> None:
    plain = phrase_book(noise_bank_without_voices)
    found = list(passages(book=plain, voices={}, seed=0, n=80))
    assert not any("Who" in text for one in found for text in one.texts())

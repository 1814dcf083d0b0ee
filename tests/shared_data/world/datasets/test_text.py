from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from core.scenes.bank import Bank
from core.scenes.captions import phrase_book
from core.scenes.draw import voice_attributes
from core.scenes.phrasings import PHRASINGS
from core.scenes.places import GENRES, PLACES
from core.scenes.timeline import Event, Scene
from shared_data.world.datasets.text import HINT_SENTENCE, context_line, corpus, draw_timeline, paraphrases

RESPONSE = "\n\n### Response:\n"
Book = dict[str, tuple[str, ...]]


@pytest.fixture(scope="module")
def book(noise_bank: Bank) -> Book:
    return phrase_book(noise_bank)


@pytest.fixture(scope="module")
def texts(noise_bank: Bank, book: Book) -> list[str]:
    return list(corpus(book=book, voices=voice_attributes(noise_bank), seed=1, n=4000))


def test_the_same_seed_gives_the_same_texts_and_fewer_are_the_first(
    noise_bank: Bank, book: Book, texts: list[str]
) -> None:
    voices = voice_attributes(noise_bank)
    assert list(corpus(book=book, voices=voices, seed=1, n=50)) == texts[:50]
    assert list(corpus(book=book, voices=voices, seed=2, n=50)) != texts[:50]
    assert len(set(texts)) > 0.9 * len(texts)


def test_all_kinds_of_texts_are_there(texts: list[str]) -> None:
    contexts = [text for text in texts if text.startswith("Sounds: ")]
    prompts = [text for text in texts if RESPONSE in text]
    assert 0.7 < len(contexts) / len(texts) < 0.85
    assert len(prompts) - len(contexts) > 100  # knowledge, or tags alone
    assert len(texts) - len(prompts) > 200  # sentences
    assert all(
        text.count("### Instruction:\n") == text.count(RESPONSE) == (RESPONSE in text) for text in texts
    )
    assert all(text.strip() == text and text.partition(RESPONSE)[2] != "" for text in prompts)


def test_every_task_is_asked(texts: list[str]) -> None:
    for task, wordings in PHRASINGS.items():
        starts = [w.partition("{")[0] for w in wordings]
        assert any(start in text for text in texts for start in starts), task


def test_answers_can_be_read_off_the_context(texts: list[str], book: Book) -> None:
    """Presence, first, last and count, from the context's own words and times."""
    labels = {phrase: label for label, phrases in book.items() for phrase in phrases}
    sound = re.compile(r"(?:Sounds: |; )(.+?) from (\d\.\d) to (\d\.\d) seconds \((\d\.\d) long\)")
    checked: Counter[str] = Counter()
    for text in texts:
        context, _, rest = text.partition("\n### Instruction:\n")
        if not context.startswith("Sounds: "):
            continue
        found = [(labels[p], float(s), float(e), float(n)) for p, s, e, n in sound.findall(context)]
        assert found
        assert all(abs(e - s - n) < 0.01 and 0 <= s < e <= 5.0 for _, s, e, n in found)
        question, _, answer = rest.partition(RESPONSE)
        if match := re.search(
            r"(?:Can you hear|Do you hear|Can) (.+?)(?: be heard in the audio| in this clip)?\?$", question
        ):
            if match[1] in labels:
                assert answer == ("yes." if labels[match[1]] in {f[0] for f in found} else "no.")
                checked["presence"] += 1
        elif "Which sound comes first?" in question or "What is heard first?" in question:
            assert labels[answer.rstrip(".")] == min(found, key=lambda f: f[1])[0]
            checked["first"] += 1
        elif "What does the audio end with?" in question:
            assert labels[answer.rstrip(".")] == max(found, key=lambda f: f[2])[0]
            checked["last"] += 1
        elif "How many" in question:
            assert answer == ("one.", "two.", "three.", "four.")[len(found) - 1]
            checked["count"] += 1
    assert min(checked[kind] for kind in ("presence", "first", "last", "count")) >= 30


def test_contexts_are_sometimes_told_in_another_order(texts: list[str]) -> None:
    starts = [re.findall(r" from (\d\.\d) to", text.partition("\n")[0]) for text in texts]
    several = [times for times in starts if len(times) > 1]
    shuffled = np.mean([times != sorted(times) for times in several])
    assert 0.1 < shuffled < 0.3  # SHUFFLED of them, of which half or fewer come out sorted


def test_hints_name_tags_and_without_a_context_only_true_ones(texts: list[str], book: Book) -> None:
    words = {label.replace("_", " ") for label in book}
    hinted = [text for text in texts if "<hint>" in text]
    assert 0.05 < len(hinted) / len(texts) < 0.2
    alone = 0
    for text in hinted:
        tags = text.partition("following tags: ")[2].partition(". ")[0].split(", ")
        assert set(tags) <= words
        if not text.startswith("Sounds: ") and ";" in text.partition(RESPONSE)[2]:
            alone += 1
            assert text.partition(RESPONSE)[2] == "; ".join(tags) + "."
    assert alone > 5


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


def test_a_bank_without_voices_asks_no_one(noise_bank_without_voices: Bank) -> None:
    plain = phrase_book(noise_bank_without_voices)
    texts = list(corpus(book=plain, voices={}, seed=0, n=300))
    assert len(texts) == 300
    assert not any("Who" in text for text in texts)


def test_paraphrases_mean_the_same_and_differ(book: Book) -> None:
    """Both texts name the same labels; or one is a place or genre and the other a sound of it."""
    phrases = sorted(
        ((p, label) for label, ps in book.items() for p in (*ps, label.replace("_", " "))),
        key=lambda x: -len(x[0]),
    )

    def named(text: str) -> set[str]:
        found: set[str] = set()
        for phrase, label in phrases:
            if re.search(rf"\b{phrase}\b", text):
                text, found = re.sub(rf"\b{phrase}\b", "#", text), found | {label}
        return found

    scenery = {said: p.labels for name, p in PLACES.items() for said in (name, f"sound of {name}", p.phrase)}
    scenery |= {
        said: g.instruments for name, g in GENRES.items() for said in (name, f"sound of {name}", g.name)
    }
    pairs = list(paraphrases(book=book, seed=0, n=2000))
    assert pairs[:100] == list(paraphrases(book=book, seed=0, n=100))
    placed = 0
    for one, two in pairs:
        assert one != two
        known = next((t for t in (one, two) if t in scenery), None)
        if known is None:
            assert named(one) == named(two) != set(), (one, two)
        else:
            placed += 1
            assert named(two if known == one else one) <= set(scenery[known])
    assert 200 < placed < 400

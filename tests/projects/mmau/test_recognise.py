"""The language model's chances by hand, what is left out of it, and speech that is understood."""

from __future__ import annotations

import importlib.util
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from core.foundations.transcribing import errors
from projects.mmau import recognise
from projects.mmau.recognise import (
    RATE,
    Model,
    Recogniser,
    RecogniserError,
    RecogniserMissingError,
    bigrams,
    common_words,
    learn_language,
    sentences,
    spoken,
)
from shared_data.world.speech import espeak as say

SAID = ["The doctor called my uncle.", "The doctor lost three green gloves.", "My uncle lost the doctor."]
VOICE = say.VOICES["train"][0]
voiced = pytest.mark.skipif(say.why_absent() is not None, reason="no synthetic voice")


def chances(arpa: str) -> tuple[dict[str, tuple[float, float]], dict[tuple[str, str], float]]:
    """Single words -> (chance, back-off weight), pairs -> chance, of an ARPA text."""
    single: dict[str, tuple[float, float]] = {}
    pairs: dict[tuple[str, str], float] = {}
    for fields in map(str.split, arpa.splitlines()):
        if len(fields) == 3 and fields[0].startswith("-"):
            try:
                single[fields[1]] = (10 ** float(fields[0]), 10 ** float(fields[2]))
            except ValueError:
                pairs[fields[1], fields[2]] = 10 ** float(fields[0])
        elif len(fields) == 3 and fields[0] == "0.0000":
            pairs[fields[1], fields[2]] = 1.0
    return single, pairs


@pytest.mark.parametrize("general", [{}, {"doctor": 0.1, "zebra": 0.3}])
def test_chances_after_every_word_sum_to_one(general: dict[str, float]) -> None:
    said = [words for text in SAID for words in sentences(text)]
    single, pairs = chances(bigrams(said, general, share=0.3 if general else 0.0))
    words = [word for word in single if word != "<s>"]
    assert math.isclose(sum(single[word][0] for word in words), 1.0, abs_tol=2e-3)
    after: dict[str, set[str]] = defaultdict(set)
    for first, second in pairs:
        after[first].add(second)
    for first in after:
        seen = sum(pairs[first, second] for second in after[first])
        unseen = sum(single[first][1] * single[word][0] for word in words if word not in after[first])
        assert math.isclose(seen + unseen, 1.0, abs_tol=5e-3), first


def test_seen_pairs_are_likelier_than_the_same_word_elsewhere() -> None:
    single, pairs = chances(bigrams([["my", "uncle"], ["the", "door"]], {}, share=0.0))
    assert pairs["my", "uncle"] == pytest.approx(0.5, abs=1e-3)  # one of one, half of it discounted
    assert single["my"][1] * single["door"][0] < 0.2


@pytest.mark.parametrize(
    ("reference", "heard", "wrong"),
    [("a b c", "a b c", 0), ("a b c", "a c", 1), ("a b", "a x b", 1), ("a b c", "x y", 3), ("", "a", 1)],
)
def test_errors(reference: str, heard: str, wrong: int) -> None:
    assert errors(reference.split(), heard.split()) == wrong


def test_spoken_words_of_facts() -> None:
    facts = 'A man says sadly: "It\'s ten o\'clock. Go!" He adds: "pig, fig."'
    assert spoken(facts) == ["It's ten o'clock. Go!", "pig, fig."]
    assert [sentences(text) for text in spoken(facts)] == [
        [["it's", "ten", "o'clock"], ["go"]],
        [["pig", "fig"]],
    ]


def test_sentences_with_unknown_words_are_left_out_and_counted(tmp_path: Path) -> None:
    model, unknown = learn_language(tmp_path, [*SAID, "Kobadisu, masubode.", "The zzyzzx barks."], common=0)
    assert unknown == 3
    entries = {line.split()[0].split("(")[0] for line in Path(model.dictionary).read_text().splitlines()}
    assert entries == {word for text in SAID for words in sentences(text) for word in words}
    with pytest.raises(RecogniserError, match="nothing to learn"):
        learn_language(tmp_path, ["Kobadisu."], common=0)


def test_common_words_are_the_most_probable_ones() -> None:
    found = common_words(50)
    assert len(found) == 50
    assert {"the", "to", "and"} <= set(found)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert 0 < found["the"] < 0.2


@voiced
def test_a_sentence_of_a_small_language_is_understood(tmp_path: Path) -> None:
    model, _ = learn_language(tmp_path, SAID, common=0)
    sound = say.say(SAID[1], voice=VOICE, sample_rate=RATE, rate=150)
    sound = sound + 1e-3 * np.random.default_rng(0).standard_normal(len(sound)).astype(np.float32)
    ear = Recogniser(model)
    words = ear.words(sound, name="item")
    assert errors(["the", "doctor", "lost", "three", "green", "gloves"], [word.text for word in words]) <= 1
    assert all(word.start < word.stop for word in words)
    assert words[-1].stop <= len(sound) / RATE + 0.05
    assert ear.words(sound, name="item") == words  # nothing is kept from one utterance to the next


@pytest.mark.parametrize("sound", [np.zeros(RATE, np.float32), np.ones(100, np.float32)])
def test_sound_without_speech_is_an_error_that_names_the_item(sound: np.ndarray, tmp_path: Path) -> None:
    model, _ = learn_language(tmp_path, SAID, common=0)
    with pytest.raises(RecogniserError, match="item-7"):
        Recogniser(model).words(sound, name="item-7")


def test_without_pocketsphinx_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        recognise.importlib.util, "find_spec", lambda name: None if name == "pocketsphinx" else real(name)
    )
    with pytest.raises(RecogniserMissingError, match="install the package pocketsphinx"):
        Recogniser(Model()).words(np.ones(RATE, np.float32), name="x")

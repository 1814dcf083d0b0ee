"""Turns in words: who, how, what; what training facts say; a small ear learnt and used."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from projects.mmau import talk
from projects.mmau.recognise import RATE, Model, Word
from projects.mmau.talk import Ear, Heard, HeardTurn, Recording, Said, describe, hear, in_workers, learn, told
from projects.mmau.voices import Turn
from shared_data.world.exams import exam
from shared_data.world.exams.item import Draft
from shared_data.world.speech import espeak as say
from shared_data.world.speech import makers as speech
from tests.shared_data.world.exams.worlds import make_world


class First:
    """Classifies by the first or second measure: an index into `names`."""

    def __init__(self, place: int, *names: str) -> None:
        self.place, self.names = place, names

    def predict(self, measures: Sequence[np.ndarray]) -> list[str]:
        return [self.names[int(one[self.place])] for one in measures]


EAR = Ear(Model(), First(1, "man", "woman"), First(2, "calm", "sad"), {})


def turn(
    kind: int, feeling: int, words: str, *, pitch: float = 0.0, pauses: tuple[int, ...] = (), stress: str = ""
) -> HeardTurn:
    return HeardTurn(np.array([pitch, kind, feeling]), tuple(words.split()), pauses, tuple(stress.split()))


def test_two_people_in_words() -> None:
    heard = Heard(
        (
            turn(0, 1, "my heart is broken"),
            turn(1, 0, "thomas lost three gloves", stress="three"),
            turn(1, 0, "really"),
            turn(0, 1, ""),
        ),
        noisy=True,
    )
    assert describe(heard, EAR) == (
        'A man says sadly: "My heart is broken." A woman says calmly, stressing three: "Thomas lost three '
        'gloves." She adds calmly: "Really." The man speaks sadly. There is background noise.'
    )


def test_calm_voices_of_one_kind_are_told_apart_by_pitch() -> None:
    heard = Heard(
        (turn(0, 0, "one", pitch=0), turn(0, 0, "two", pitch=6), turn(0, 0, "three", pitch=0.5)), noisy=False
    )
    said = describe(heard, EAR)
    assert said.count("The first man says") == 2
    assert said.count("The second man says") == 1
    felt = Heard((turn(0, 0, "one", pitch=0), turn(0, 1, "two", pitch=6)), noisy=False)
    assert describe(felt, EAR) == 'A man says calmly: "One." He adds sadly: "Two."'


def test_pauses_make_lists_and_sentences() -> None:
    words = "pig dig fig wig"
    listed = Heard((turn(0, 0, words, pauses=(0, 1, 2)),), noisy=False)
    assert describe(listed, EAR) == 'A man says calmly: "pig, dig, fig, wig."'
    said = Heard((turn(0, 0, "the bus is late they will come soon", pauses=(3,)),), noisy=False)
    assert describe(said, EAR) == 'A man says calmly: "The bus is late. They will come soon."'
    spans = Turn(((0.0, 0.5), (0.8, 1.5), (1.8, 2.0)))
    at = [Word("a", 0.0, 0.2), Word("b", 0.2, 0.5), Word("c", 0.9, 1.4)]
    assert talk._pauses(spans, at) == (1,)  # nothing is heard in the last stretch


def test_stress_of_most_words_is_melody() -> None:
    heard = Heard((turn(0, 0, "three green gloves", stress="three green gloves"),), noisy=False)
    assert "stressing" not in describe(heard, EAR)


def test_facts_of_training_items() -> None:
    facts = (
        'The first man says, stressing lorry and old: "The old lorry." '
        'The second man says: "A." He adds: "B." '
        'A woman says fearfully: "C." She adds happily: "D." There is background noise.'
    )
    assert told(facts) == [
        Said("first man", "man", "calm"),
        Said("second man", "man", "calm"),  # "He adds" in the same voice is the same turn
        Said("woman", "woman", "afraid"),
        Said("woman", "woman", "happy"),
    ]
    assert told("A dog barks, then rain falls.") == []


def process_of(number: int) -> tuple[int, int]:
    return number, os.getpid()


def test_workers_keep_the_order() -> None:
    alone = list(in_workers(process_of, range(5), workers=1))
    assert alone == [(number, os.getpid()) for number in range(5)]
    both = list(in_workers(process_of, range(23), workers=2))
    assert [number for number, _ in both] == list(range(23))
    assert os.getpid() not in {process for _, process in both}


@pytest.fixture(scope="module")
def drafts() -> list[Draft]:
    if say.why_absent():
        pytest.skip("no synthetic voice")
    world = make_world("train", labels=("rain",))
    skills = ["Emotion State summarisation", "Conversational Fact Retrieval"]
    assert set(skills) <= set(speech.MAKERS)
    return list(exam.draw(world, skills=skills, n=dict.fromkeys(skills, 8), seed=1))


def test_an_ear_is_learnt_and_hears_alike_in_any_order(tmp_path: Path, drafts: list[Draft]) -> None:
    given = [Recording(f"r{at}", one.sound(RATE), one.facts) for at, one in enumerate(drafts)]
    texts = [text for one in drafts for text in talk.spoken(one.facts)]
    ear = learn(given[:12], texts, folder=tmp_path, common_words=0, workers=1)
    assert ear.notes["aligned"] >= 4
    assert ear.notes["turns learnt"] >= 12
    asked = [(ear.model, Recording(one.name, one.sound)) for one in given[12:]]
    heard = [hear(task) for task in asked]
    again = [hear(task) for task in asked[::-1]][::-1]
    said = [describe(one, ear) for one in heard]
    assert said == [describe(one, ear) for one in again]
    truth = [told(one.facts) for one in given[12:]]
    kinds = [
        ([turn.kind for turn in told(text)], [turn.kind for turn in real]) for text, real in zip(said, truth)
    ]
    assert sum(a == b for a, b in kinds) >= 3, kinds
    words = [set(" ".join(talk.spoken(one.facts)).lower().replace(".", "").split()) for one in given[12:]]
    found = [set(" ".join(talk.spoken(text)).lower().replace(".", "").split()) for text in said]
    assert sum(len(a & b) for a, b in zip(words, found)) > 0.4 * sum(map(len, words))


def test_nothing_to_tell_apart_is_an_error(tmp_path: Path, drafts: list[Draft]) -> None:
    one = next(draft for draft in drafts if len(told(draft.facts)) == 2)
    facts = one.facts.replace("woman", "man")
    with pytest.raises(talk.TalkError, match="more recordings"):
        learn(
            [Recording("r", one.sound(RATE), facts)],
            talk.spoken(facts),
            folder=tmp_path,
            common_words=0,
            workers=1,
        )

"""The ten speech skills: one option is true and three false, and the text does not tell which."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from core.data.choices import SKILLS
from shared_data.world.exams.item import DIFFICULTIES, Difficulty, ItemError, Rng, Split, check_sound
from shared_data.world.speech.espeak import NATIVE_RATE, VOICES, speak, why_absent
from shared_data.world.speech.feelings import NEUTRAL, SHORT, WORDED
from shared_data.world.speech.lists import INITIALS, KINDS, RHYMES, STRESSABLE, TURNS, UNLIKE, VOWELS
from shared_data.world.speech.makers import MAKERS, TEXTS, UNBUILT
from shared_data.world.speech.prosody import EMOTIONS, Script, perform
from shared_data.world.speech.scripts import Task, cast, describe, draft, verify
from shared_data.world.speech.talk import said
from shared_data.world.speech.texts import ASIDES, HAPPENINGS, MATTERS, REPLIES, ROLES, TOPICS
from tests.shared_data.world.exams.worlds import make_world

pytestmark = pytest.mark.skipif(why_absent() is not None, reason=str(why_absent()))
SPLITS: tuple[Split, ...] = ("train", "test")
every_skill = pytest.mark.parametrize("skill", list(TEXTS))
every_difficulty = pytest.mark.parametrize("difficulty", DIFFICULTIES)


def _rng(*seed: int) -> Rng:
    return np.random.default_rng(seed)


def _scripts(skill: str, difficulty: Difficulty, n: int = 30) -> list[tuple[Task, Script, str]]:
    """`n` tasks of either split, each with the script of every one of its options."""
    found = []
    for split in SPLITS:
        for seed in range(n):
            task = TEXTS[skill](_rng(seed, 1), difficulty, split)
            found += [(task, task.script(_rng(seed, 2), option), option) for option in task.options]
    return found


def test_the_ten_official_skills_are_built() -> None:
    official = {name for name, skill in SKILLS.items() if skill.domain == "speech"}
    assert set(MAKERS) == set(TEXTS) == official
    assert len(official) == 10
    assert not UNBUILT


@every_skill
@every_difficulty
def test_any_option_of_a_text_can_be_the_one_true_one(skill: str, difficulty: Difficulty) -> None:
    """So the text cannot tell the gold: the same text is made with each of its options as gold."""
    scripts = _scripts(skill, difficulty)
    assert len(scripts) == 2 * 30 * 4
    for task, script, gold in scripts:
        verify(task, script, gold)
        for option in task.options:
            if option != gold:
                with pytest.raises(ItemError, match="should be the one true option"):
                    verify(task, script, option)


@every_skill
@every_difficulty
def test_makers_keep_the_rules_of_items(skill: str, difficulty: Difficulty) -> None:
    for split in SPLITS:
        world = make_world(split)
        golds: Counter[int] = Counter()
        for seed in range(30):
            made = MAKERS[skill](_rng(seed), difficulty, world)  # which checks the text
            again = MAKERS[skill](_rng(seed), difficulty, world)
            assert replace(made, sound=abs) == replace(again, sound=abs)  # type: ignore[arg-type]
            assert (made.skill, made.difficulty) == (skill, difficulty)
            assert {clip.split("/")[1] for clip in made.clips} <= {voice.name for voice in VOICES[split]}
            golds[made.choices.index(made.answer)] += 1
        assert len(golds) == 4


@every_skill
@every_difficulty
def test_the_gold_is_uniform_for_a_fixed_text(skill: str, difficulty: Difficulty) -> None:
    def fixed(rng: Rng, level: Difficulty, split: Split) -> Task:
        return TEXTS[skill](_rng(5), level, split)

    world = make_world("test")
    drafts = [draft(_rng(seed), difficulty, world, skill=skill, text=fixed) for seed in range(200)]
    assert len({(made.question, frozenset(made.choices)) for made in drafts}) == 1
    for counts in (
        Counter(made.answer for made in drafts),
        Counter(made.choices.index(made.answer) for made in drafts),
    ):
        assert len(counts) == 4
        assert sum((n - 50) ** 2 / 50 for n in counts.values()) < 21.1  # p = 0.0001


@every_skill
@every_difficulty
def test_sounds_are_speech_of_the_right_length(skill: str, difficulty: Difficulty) -> None:
    for split, seed in (("train", 0), ("test", 1)):
        made = MAKERS[skill](_rng(seed), difficulty, make_world(split))  # type: ignore[arg-type]
        sound = check_sound(made.sound(16000), sample_rate=16000, what=skill)
        assert 2.0 <= len(sound) / 16000 <= 9.01
        assert np.array_equal(sound, made.sound(16000))


def test_the_longest_scripts_fit_into_nine_seconds() -> None:
    """The lists, asides, rhymes and events with the most words, in the slowest voices."""
    for skill in (
        "Key highlight Extraction",
        "Counting",
        "Emotion Flip Detection",
        "Event-Based Knowledge Retrieval",
    ):
        scripts = [script for _, script, _ in _scripts(skill, "hard", n=40)]
        letters = [sum(len(line.text) * (1 + (line.emotion == "sad")) for line in s.lines) for s in scripts]
        for at in np.argsort(letters)[-2:]:
            assert perform(scripts[int(at)], NATIVE_RATE).size <= 9.01 * NATIVE_RATE


@every_skill
def test_hard_items_are_in_noise_and_easy_ones_are_not(skill: str) -> None:
    for difficulty in DIFFICULTIES:
        noisy = {script.noise_db is not None for _, script, _ in _scripts(skill, difficulty, n=10)}
        assert noisy == {difficulty == "hard"}


def test_hard_talk_names_or_tells_other_options_too() -> None:
    for skill, least in (("Conversational Fact Retrieval", 4), ("Key highlight Extraction", 2)):
        for task, script, _ in _scripts(skill, "hard"):
            text = " ".join(line.text for line in script.lines)
            assert sum(option in text for option in task.options) >= least
    for task, script, _ in _scripts("Phonological Sequence Decoding", "hard"):
        if "after" in task.question or "follow" in task.question:
            assert set(task.options) < set(script.lines[0].text.strip(".").split(", "))


def test_length_does_not_tell_a_count() -> None:
    for difficulty in DIFFICULTIES:
        by_skill: dict[str, set[int]] = {}
        for task, script, _ in _scripts("Counting", difficulty):
            kind = "speakers" if len(script.lines) > 1 else "words"
            n = len(script.lines) if kind == "speakers" else len(script.lines[0].text.split())
            by_skill.setdefault(kind, set()).add(n)
            assert task.options
        assert all(len(sizes) == 1 for sizes in by_skill.values())


def test_no_spoken_sentence_is_in_both_splits() -> None:
    def all_of(split: Split) -> set[str]:
        texts = {*UNLIKE[split], *(w for family in RHYMES[split] for w in family), *TURNS[split]}
        texts |= {word for lists in (*INITIALS.values(), *KINDS.values()) for word in lists[split]}
        texts |= {*(text for text, _ in STRESSABLE[split]), *NEUTRAL[split], *SHORT[split], *REPLIES[split]}
        texts |= {text for lists in (*WORDED.values(), *ROLES.values()) for text in lists[split]}
        texts |= {*(topic[split] for topic in TOPICS.values()), *ASIDES[split]}
        texts |= {text for told in HAPPENINGS for text in told.told[split]}
        exchanges = (e for m in MATTERS for e in (m.simple[split], m.each[split], m.corrected[split]))
        return texts | {text for exchange in exchanges for text in exchange}

    assert len(all_of("train")) > 200
    assert not {text.lower() for text in all_of("train")} & {text.lower() for text in all_of("test")}


@pytest.mark.parametrize("split", SPLITS)
def test_words_that_are_told_apart_sound_different(split: Split) -> None:
    """By espeak-ng's own phonemes: no homophones among options, and every word starts with its sound."""
    voice = VOICES[split][0]

    def sounds(words: tuple[str, ...]) -> list[str]:
        spoken = [speak(word, voice=voice, sample_rate=NATIVE_RATE).phonemes for word in words]
        return ["".join(p.text for p in marks if "_" not in p.text).replace("'", "") for marks in spoken]

    for family in RHYMES[split]:
        heard = sounds(family)
        assert len(set(heard)) == len(family)
        assert len({sound[1:] for sound in heard} | {sound[2:] for sound in heard}) < 2 * len(family)
    assert len(set(sounds(UNLIKE[split]))) == len(UNLIKE[split])
    for option, lists in INITIALS.items():
        assert {sound[0] for sound in sounds(lists[split])} == {option[0]}


def test_a_made_up_word_bears_its_stress_where_the_item_says() -> None:
    found = set()
    for task, script, gold in _scripts("Phonemic Stress Pattern Analysis", "hard"):
        line = script.lines[0]
        if line.phonemes is not None:
            before, *_ = line.phonemes.split("'")
            syllable = sum(before.count(vowel) for vowel in VOWELS.values())
            assert gold == task.options[syllable]
            found.add(syllable)
    assert found == {0, 1, 2, 3}


def test_two_speakers_of_a_kind_are_a_third_apart() -> None:
    for split in SPLITS:
        for seed in range(50):
            people = cast(_rng(seed), split, ("man", "woman", "woman", "man"))
            assert len({person.voice for person in people}) == 4
            for kind in ("man", "woman"):
                pair = [person for person in people if person.voice.kind == kind]
                low, high = sorted(p.voice.hertz * 2 ** (p.pitch / 50) for p in pair)
                assert high > 2 ** (1 / 3) * low


def test_facts_tell_who_says_what_how_with_which_stress_and_in_what() -> None:
    seen = " ".join(
        describe(script, felt=task.felt)
        for skill in TEXTS
        for difficulty in DIFFICULTIES
        for task, script, _ in _scripts(skill, difficulty, n=8)
    )
    for part in (
        "A man says",
        "A woman says",
        "The first man says",
        "The second woman says",
        "He adds",
        "She adds",
    ):
        assert part in seen
    for emotion in EMOTIONS:
        assert emotion in ("afraid",) or f"{emotion.rstrip('y')}" in seen
    assert ", stressing the third syllable:" in seen
    assert seen.count("There is background noise.") > 100
    task, script, _ = _scripts("Emotion State summarisation", "medium", n=1)[0]
    told = describe(script, felt=True)
    for line in script.lines:
        assert f'"{line.text}"' in told
    assert task.felt


def test_what_was_said_is_read_off_the_sentences() -> None:
    task, script, gold = _scripts("Conversational Fact Retrieval", "easy", n=1)[0]
    exchange = next(m.simple["train"] for m in MATTERS if gold in m.values)
    assert said(script, exchange) == {"gold": gold}
    other = replace(script, lines=(script.lines[0], replace(script.lines[1], text="Who knows?")))
    assert said(other, exchange) == {}
    assert task.holds(script, gold)

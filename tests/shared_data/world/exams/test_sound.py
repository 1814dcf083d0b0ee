"""The seven sound skills: every text with every gold, at every difficulty."""

from __future__ import annotations

import re

import numpy as np
import pytest

from core.scenes.timeline import Scene
from shared_data.world.exams.item import DIFFICULTIES, Difficulty, Draft, ItemError, check_sound
from shared_data.world.exams.layout import Played, is_bed
from shared_data.world.exams.plan import finish, verify
from shared_data.world.exams.sound import MAKERS, PLANNERS, UNBUILT
from tests.shared_data.world.exams.worlds import RATE, make_world

OFFICIAL = {
    "Eco-Acoustic Knowledge",
    "Sound-Based Event Recognition",
    "Acoustic Source Inference",
    "Event-Based Sound Reasoning",
    "Ambient Sound Interpretation",
    "Acoustic Scene Reasoning",
    "Temporal Event Reasoning",
}
EACH = pytest.mark.parametrize(
    ("skill", "difficulty"), [(skill, level) for skill in sorted(OFFICIAL) for level in DIFFICULTIES]
)


def _scene(draft: Draft) -> Scene:
    assert isinstance(draft.sound, Played)
    return draft.sound.scene


def test_all_official_skills_are_made() -> None:
    assert set(MAKERS) | set(UNBUILT) == OFFICIAL
    assert not UNBUILT


@EACH
def test_every_gold_of_every_text_is_alone_true(skill: str, difficulty: Difficulty) -> None:
    world = make_world("test")
    for seed in range(30):
        for gold in range(4):
            plan = PLANNERS[skill](np.random.default_rng(seed), difficulty, world)
            draft = finish(
                plan, gold, np.random.default_rng(seed + 99), world, skill=skill, difficulty=difficulty
            )
            assert draft.answer == draft.choices[gold]
            for other in {0, 1, 2, 3} - {gold}:
                with pytest.raises(ItemError, match="should be"):
                    verify(plan, other, _scene(draft))


@EACH
def test_facts_name_every_sound_and_clips_are_of_the_split(skill: str, difficulty: Difficulty) -> None:
    world = make_world("test")
    for seed in range(30):
        draft = MAKERS[skill](np.random.default_rng(seed), difficulty, world)
        scene = _scene(draft)
        for event in scene.events:
            assert world.bank.clips[event.clip].phrases[2] in draft.facts.lower()
        assert len(draft.clips) == len(scene.events)
        assert all(clip.startswith("bank/") and "/test/" in clip for clip in draft.clips)


@EACH
def test_the_same_seed_is_the_same_item_and_sound(skill: str, difficulty: Difficulty) -> None:
    world = make_world("test")
    one, two = (MAKERS[skill](np.random.default_rng(7), difficulty, world) for _ in range(2))
    assert (one.question, one.choices, one.answer, one.clips) == (
        two.question,
        two.choices,
        two.answer,
        two.clips,
    )
    sound = check_sound(one.sound(RATE), sample_rate=RATE, what=skill)
    np.testing.assert_array_equal(sound, two.sound(RATE))
    assert len(sound) == round(_scene(one).duration * RATE)


@pytest.mark.audit
def test_the_gold_is_independent_of_a_text_that_comes_again() -> None:
    """Group questions always have the same four options: each is right as often, at each place as often."""
    world = make_world("test")
    drafts = [
        MAKERS["Eco-Acoustic Knowledge"](np.random.default_rng(seed), "easy", world) for seed in range(1500)
    ]
    answers = [
        d.answer for d in drafts if set(d.choices) == {"a mammal", "a bird", "an amphibian", "an insect"}
    ]
    share = len(answers) / 4
    assert share > 80
    assert all(abs(answers.count(group) - share) < 4 * np.sqrt(0.75 * share) for group in set(answers))


def test_train_and_test_items_share_no_clip() -> None:
    clips = {
        split: {
            clip
            for make in MAKERS.values()
            for seed in range(20)
            for clip in make(np.random.default_rng(seed), "hard", make_world(split)).clips
        }
        for split in ("train", "test")
    }
    assert clips["train"]
    assert not clips["train"] & clips["test"]


@pytest.mark.parametrize("skill", sorted(OFFICIAL))
def test_hard_items_hold_more_sounds_or_less_clear_ones(skill: str) -> None:
    """Mean number of sounds and background noise, and no longer texts."""
    world = make_world("test")
    load: dict[str, tuple[float, float, float]] = {}
    for level in ("easy", "hard"):
        drafts = [MAKERS[skill](np.random.default_rng(seed), level, world) for seed in range(60)]
        scenes = [_scene(draft) for draft in drafts]
        noise = np.mean([scene.noise_db for scene in scenes])
        sounds = np.mean([len(scene.events) for scene in scenes])
        words = np.mean([len(draft.question.split()) for draft in drafts])
        load[level] = (float(sounds), float(noise), float(words))
    assert load["hard"][0] > load["easy"][0]
    assert load["hard"][1] > load["easy"][1] - 1
    assert load["hard"][2] < load["easy"][2] + 4


@pytest.mark.parametrize(
    ("pattern", "place"),
    [("heard first|starts the|comes first", 0), ("heard last|ends the|comes last", -1), ("third", 2)],
)
def test_order_is_that_of_the_starts(pattern: str, place: int) -> None:
    """Against a plain reading of the events, without the code that checks the plans."""
    world = make_world("test")
    asked = 0
    for seed in range(60):
        for level in DIFFICULTIES:
            draft = MAKERS["Temporal Event Reasoning"](np.random.default_rng(seed), level, world)
            if re.search(pattern, draft.question):
                asked += 1
                event = sorted(_scene(draft).events, key=lambda event: event.start)[place]
                assert world.bank.clips[event.clip].phrases[0] == draft.answer
    assert asked > 5


def test_backgrounds_are_under_the_other_sounds_and_missing_sounds_are_not_there() -> None:
    world = make_world("test")
    for seed in range(40):
        draft = MAKERS["Ambient Sound Interpretation"](np.random.default_rng(seed), "hard", world)
        beds = [event for event in _scene(draft).events if is_bed(event)]
        assert draft.answer in {world.bank.clips[event.clip].phrases[0] for event in beds}
        assert all(event.gain_db == -10 for event in beds)
        draft = MAKERS["Sound-Based Event Recognition"](np.random.default_rng(seed), "medium", world)
        there = draft.answer in {world.bank.clips[event.clip].phrases[0] for event in _scene(draft).events}
        assert there != bool(re.search(r"not (heard|occur)|missing", draft.question))


@pytest.mark.parametrize("skill", sorted(OFFICIAL))
def test_a_bank_with_too_few_labels_is_refused(skill: str) -> None:
    world = make_world("test", labels=("dog_bark", "cat_meow"))
    with pytest.raises(ItemError, match="the bank"):
        MAKERS[skill](np.random.default_rng(0), "hard", world)

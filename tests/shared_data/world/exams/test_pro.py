"""The mini MMAU-Pro: golds that no text gives away, several and long recordings, official columns."""

from __future__ import annotations

import io
import json
import warnings
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core.data.choices import mmau_pro_problems
from core.data.parquet import read_dataset, write_dataset
from core.data.schema import MMAU_PRO
from core.metrics.choice_rules import words as word_set
from core.metrics.instruction_following import Ruled, check, official_name, read_kwargs
from shared_data.world.exams import exam, pro, sound
from shared_data.world.exams.exam import SkillsAbsentWarning, makers
from shared_data.world.exams.item import ItemError
from shared_data.world.exams.pro import COUNTS, ProDraft, draw, row, rows
from shared_data.world.exams.pro_instructions import TASKS
from shared_data.world.exams.pro_long import LENGTHY, LONG, _apart
from shared_data.world.exams.pro_plan import ProPlan, carry_out
from shared_data.world.exams.pro_several import SEVERAL
from tests.shared_data.world.exams.worlds import make_world

PLANNERS = SEVERAL + LENGTHY


@pytest.fixture(autouse=True)
def _sound_skills_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no voice and no font is needed."""
    monkeypatch.setattr(pro, "makers", lambda: (sound.MAKERS, {}))


def said(draft: ProDraft) -> tuple[object, ...]:
    return pro._content(draft)


@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize("seed", range(30))
def test_every_option_of_a_text_can_be_the_gold(planner: Callable[..., ProPlan], seed: int) -> None:
    world = make_world("test")
    plan = planner(np.random.default_rng(seed), world)
    for gold in range(4):
        scenes = carry_out(plan, gold, np.random.default_rng(seed + 1))
        assert [plan.holds(key, scenes) for key in plan.keys] == [place == gold for place in range(4)]
        if planner in LENGTHY:
            (scene,) = scenes
            assert LONG[0] <= scene.duration <= LONG[1]
            assert all(a.label != b.label for a, b in pairwise(scene.events))
            assert all(b.start - a.end >= 0.29 for a, b in pairwise(scene.events))
        else:
            assert len(scenes) in (2, 3)
            assert all(scene.duration <= 9.1 for scene in scenes)


def test_a_recording_that_tells_another_truth_is_refused() -> None:
    world = make_world("test")
    plan = SEVERAL[0](np.random.default_rng(0), world)
    wrong = ProPlan(**{**vars(plan), "lay": lambda gold, rng: plan.lay((gold + 1) % 4, rng)})
    with pytest.raises(ItemError, match="is true of the timelines, the answer should be"):
        carry_out(wrong, 0, np.random.default_rng(0))
    twins = ProPlan(**{**vars(plan), "options": ("only the first", "the only first", "both", "none")})
    with pytest.raises(ItemError, match="different sets of words"):
        carry_out(twins, 0, np.random.default_rng(0))
    wordy = ProPlan(**{**vars(plan), "question": "why " * 20})
    with pytest.raises(ItemError, match="too many words"):
        carry_out(wordy, 0, np.random.default_rng(0))


def test_golds_lie_at_every_place_and_are_every_word() -> None:
    drafts = list(draw(make_world("test"), n={"multi": 300, "long": 200}, seed=0))
    places = Counter(draft.choices.index(str(draft.answer)) for draft in drafts)
    expected = len(drafts) / 4
    assert (
        sum((count - expected) ** 2 / expected for count in (places[p] for p in range(4))) < 16.3
    )  # p 0.001
    words = Counter(draft.answer for draft in drafts if draft.sub in ("which of two", "order in two"))
    assert len(words) == 4
    total = sum(words.values())
    assert sum((count - total / 4) ** 2 / (total / 4) for count in words.values()) < 16.3
    assert all(len({word_set(choice) for choice in draft.choices}) == 4 for draft in drafts)


def test_counts_groups_and_mixture() -> None:
    drafts = list(draw(make_world("test"), seed=0))
    assert Counter(draft.group for draft in drafts) == COUNTS
    assert len(set(map(said, drafts))) == sum(COUNTS.values()) == 60
    assert len({draft.group for draft in drafts[:20]}) > 3  # a prefix is not of one kind
    assert {draft.category for draft in drafts} == {"sound", "multi", "open", "instruction following"}
    assert {len(draft.sounds) for draft in drafts if draft.group == "multi"} == {2, 3}
    assert {draft.skill for draft in drafts if draft.group == "closed"} == set(sound.MAKERS)


def test_deterministic_and_longer_holds_shorter() -> None:
    world = make_world("test")
    few = list(draw(world, n={"multi": 3, "long": 2, "open": 2}, seed=1))
    again = list(draw(world, n={"multi": 3, "long": 2, "open": 2}, seed=1))
    more = list(draw(world, n={"multi": 6, "long": 4, "open": 4, "closed": 3}, seed=1))
    assert list(map(said, few)) == list(map(said, again))
    assert set(map(said, few)) < set(map(said, more))
    assert set(map(said, few)).isdisjoint(
        map(said, draw(world, n={"multi": 3, "long": 2, "open": 2}, seed=2))
    )


def test_ids_do_not_change_with_the_names_of_modules() -> None:
    assert str(pro._NAMESPACE) == "bda7e6a6-1af9-5345-8ff5-d3af76fa6ea4"
    assert str(exam._NAMESPACE) == "96f708ea-d161-5add-b212-4be3957402b7"


def test_splits_share_no_clip() -> None:
    clips = [{c for d in draw(make_world(s), seed=0) for c in d.clips} for s in ("train", "test")]
    assert clips[0].isdisjoint(clips[1])


def test_rows_are_of_the_official_columns_and_hold_what_they_say(tmp_path: Path) -> None:
    made = list(
        rows(
            make_world("test"),
            n={"closed": 2, "multi": 4, "long": 2, "open": 2, "instructions": 3},
            seed=0,
            sample_rate=8000,
        )
    )
    for one, facts in made:
        assert list(one) == list(MMAU_PRO)
        assert mmau_pro_problems(one) == []
        seconds = []
        for audio in one["audios"]:
            wave, rate = soundfile.read(io.BytesIO(audio["bytes"]), dtype="float32")
            assert rate == 8000
            assert np.isfinite(wave).all()
            assert 0.4 < np.abs(wave).max() <= 1
            seconds.append(len(wave) / rate)
        assert one["length_type"] == ("long" if max(seconds) >= 30 else "short")
        assert facts
        if one["category"] == "open":
            assert (one["answer"], one["choices"]) == (facts, [])
        elif one["category"] == "instruction following":
            assert (one["answer"], one["choices"]) == (None, [])
            assert official_name(one["task_identifier"])
        else:
            assert one["answer"] in one["choices"]
            assert (one["task_identifier"], one["kwargs"]) == ("", "{}")
    by_class = {one["task_classification"]: one for one, _ in made}
    assert by_class["long"]["length_type"] == "long"
    assert by_class["multi"]["category"] == "multi"
    assert len({one["id"] for one, _ in made}) == len(made)
    info = dict.fromkeys(("name", "task", "licence", "source", "protocol"), "test")
    write_dataset(tmp_path, [one for one, _ in made], features=MMAU_PRO, split="test", info=info)
    stored = read_dataset(tmp_path)
    assert stored.features == MMAU_PRO
    assert stored["answer"] == [one["answer"] for one, _ in made]
    assert "Recording 2:" in next(facts for one, facts in made if one["category"] == "multi")


def test_two_renderings_are_equal() -> None:
    (draft,) = draw(make_world("test"), n={"multi": 1}, seed=3)
    assert row(draft, sample_rate=8000) == row(draft, sample_rate=8000)


def test_instructions_take_each_rule_before_one_comes_again() -> None:
    drafts = list(draw(make_world("test"), n={"instructions": 27}, seed=0))
    assert sorted(draft.task for draft in drafts) == sorted(TASKS)
    for draft in drafts:
        assert draft.answer is None
        ruled = Ruled(
            id="x",
            task=draft.task,
            kwargs=read_kwargs(json.dumps(dict(draft.kwargs)), id="x"),
            prompt=draft.question,
        )
        assert check("Anything at all", ruled).rule == draft.task  # nothing is missing


def test_unknown_group() -> None:
    with pytest.raises(ItemError, match="no such group: spatial"):
        list(draw(make_world("test"), n={"spatial": 1}, seed=0))  # type: ignore[dict-item]


def test_absent_skills_are_said_and_the_others_take_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pro, "makers", lambda: (sound.MAKERS, {"Counting": "espeak-ng is missing"}))
    with pytest.warns(SkillsAbsentWarning, match="1 skills are left out. espeak-ng is missing"):
        drafts = list(draw(make_world("test"), n={"closed": 7}, seed=0))
    assert {draft.skill for draft in drafts} == set(sound.MAKERS)


def test_a_silent_recording_is_refused() -> None:
    (draft,) = draw(make_world("test"), n={"open": 1}, seed=0)
    mute = ProDraft(**{**vars(draft), "sounds": (lambda rate: np.zeros(rate, np.float32),)})
    with pytest.raises(ItemError, match="silent or not finite"):
        row(mute, sample_rate=8000)


def test_skills_of_all_domains_that_can_be_made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pro, "makers", makers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkillsAbsentWarning)
        built, _ = makers()
        drafts = list(draw(make_world("test"), n={"closed": 27}, seed=0))
    assert {draft.skill for draft in drafts} == set(built)


@pytest.mark.parametrize("labels", ["aaabbb", "aaaab", "aabbccdd", "a", ""])
def test_apart(labels: str) -> None:
    rng = np.random.default_rng(0)
    if labels == "aaaab":
        with pytest.raises(ItemError, match="without equal neighbours"):
            _apart(rng, list(labels))
        return
    orders = ["".join(_apart(rng, list(labels))) for _ in range(200)]
    assert {"".join(sorted(order)) for order in orders} == {labels}
    assert all(a != b for order in orders for a, b in pairwise(order))
    assert len(set(orders)) > 1 or len(labels) < 2

"""Drawing an exam: numbers, difficulties, ids, rows of the official columns, skills that are absent."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core.data.choices import SKILLS, mmau_problems
from core.data.parquet import REQUIRED_INFO, read_dataset, write_dataset
from core.data.schema import MMAU
from shared_data.world.exams import exam
from shared_data.world.exams.exam import (
    SkillsAbsentError,
    SkillsAbsentWarning,
    draw,
    item_id,
    levels,
    makers,
    rows,
)
from shared_data.world.exams.item import Draft, ItemError
from shared_data.world.exams.sound import MAKERS
from tests.shared_data.world.exams.worlds import make_world

SOUND = tuple(MAKERS)


def _text(draft: Draft) -> tuple[object, ...]:
    return draft.skill, draft.difficulty, draft.question, draft.choices, draft.answer, draft.clips


@pytest.mark.parametrize("n", [0, 1, 4, 7, 400])
def test_difficulties_keep_their_shares_and_a_longer_list_begins_with_the_shorter(n: int) -> None:
    counts = Counter(levels(n))
    assert sum(counts.values()) == n
    for level, share in (("easy", 0.25), ("medium", 0.5), ("hard", 0.25)):
        assert abs(counts[level] - share * n) < 1
    assert levels(401)[:n] == levels(n)


def test_other_shares_and_impossible_ones() -> None:
    assert set(levels(5, shares=(0, 0, 2))) == {"hard"}
    for n, shares in ((-1, (1, 1, 1)), (3, (1, 1)), (3, (0, 0, 0)), (3, (1, -1, 1))):
        with pytest.raises(ItemError, match="three shares"):
            levels(n, shares=shares)


def test_numbers_are_those_asked_for_and_items_differ() -> None:
    n = {skill: 8 + 4 * place for place, skill in enumerate(SOUND)}
    drafts = list(draw(make_world("test"), skills=SOUND, n=n, seed=0))
    assert Counter(draft.skill for draft in drafts) == n
    for skill, count in n.items():
        found = Counter(draft.difficulty for draft in drafts if draft.skill == skill)
        assert found == {"easy": count // 4, "medium": count // 2, "hard": count // 4}
    assert len(set(map(_text, drafts))) == len(drafts)
    half = Counter(draft.skill for draft in drafts[: len(drafts) // 2])
    assert set(half) == set(SOUND)  # not one skill after the other


def test_items_depend_on_seed_split_skill_and_number_alone() -> None:
    world = make_world("test")
    few = set(map(_text, draw(world, skills=SOUND[:2], n=dict.fromkeys(SOUND, 6), seed=0)))
    many = set(map(_text, draw(world, skills=SOUND, n=dict.fromkeys(SOUND, 12), seed=0)))
    assert len(few) == 12
    assert few <= many
    other = set(map(_text, draw(world, skills=SOUND, n=dict.fromkeys(SOUND, 12), seed=1)))
    assert len(many & other) < 5


def test_the_order_is_the_same_each_time() -> None:
    one, two = (
        [_text(d) for d in draw(make_world("test"), skills=SOUND, n=dict.fromkeys(SOUND, 5), seed=3)]
        for _ in range(2)
    )
    assert one == two


def test_splits_share_no_clip_and_no_id() -> None:
    found = {
        split: [row for row, _ in _rows(split, "train" if split == "train" else "test")]
        for split in ("train", "test-mini", "test")
    }
    clips = {split: {clip for row in part for clip in row["clips"]} for split, part in found.items()}
    ids = {split: {row["id"] for row in part} for split, part in found.items()}
    assert clips["train"]
    assert not clips["train"] & (clips["test"] | clips["test-mini"])
    assert not ids["test"] & ids["test-mini"]
    assert not ids["train"] & ids["test"]


def _rows(split: str, world: str) -> list[tuple[dict[str, object], str]]:
    return list(
        rows(
            make_world(world),  # type: ignore[arg-type]
            skills=SOUND,
            n=dict.fromkeys(SOUND, 3),
            seed=0,
            sample_rate=16_000,
            split=split,  # type: ignore[arg-type]
        )
    )


def test_rows_are_those_of_the_official_columns(tmp_path: Path) -> None:
    found = _rows("test-mini", "test")
    assert len(found) == 3 * len(SOUND)
    for row, facts in found:
        assert not mmau_problems(row)
        assert set(row) == set(MMAU)
        assert row["category"] == SKILLS[str(row["sub-category"])].type
        assert 1 <= len(facts.split()) <= 60
        audio = row["audio"]
        assert isinstance(audio, dict)
        sound, rate = soundfile.read(io.BytesIO(audio["bytes"]))
        assert (rate, audio["path"]) == (16_000, f"{row['id']}.flac")
        assert 0.5 <= np.abs(sound).max() <= 0.95
    info = dict.fromkeys(REQUIRED_INFO, "x")
    folder = tmp_path / "mmau"
    write_dataset(folder, (row for row, _ in found), features=MMAU, split="testmini", info=info)
    back = read_dataset(folder, "testmini")
    assert [dict(row) for row in back] == [row for row, _ in found]
    assert [row for row, _ in _rows("test-mini", "test")] == [row for row, _ in found]


def test_an_id_is_of_all_that_a_draft_says() -> None:
    one, two = draw(make_world("test"), skills=SOUND[:1], n={SOUND[0]: 2}, seed=0)
    assert len({item_id(one, split="test"), item_id(two, split="test"), item_id(one, split="train")}) == 3


def test_rows_of_another_split_than_the_world_are_refused() -> None:
    for split, world in (("train", "test"), ("test", "train"), ("test-mini", "train")):
        with pytest.raises(ItemError, match="cannot be made"):
            _rows(split, world)


def test_all_skills_are_made_or_explained() -> None:
    found, absent = makers()
    assert set(found) | set(absent) == set(SKILLS)
    assert not set(found) & set(absent)
    assert all(absent.values())
    assert list(found) == [name for name in SKILLS if name in found]
    assert set(SOUND) <= set(found)


def test_an_exam_goes_on_without_a_voice_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "shared_data.world.speech.espeak.why_absent", lambda: "espeak-ng is missing: install it"
    )
    _, absent = makers()
    wordy = {name for name, skill in SKILLS.items() if skill.domain == "speech"} | {"Lyrical Reasoning"}
    assert wordy <= set(absent)
    assert {absent[name] for name in wordy} == {"espeak-ng is missing: install it"}
    with pytest.warns(SkillsAbsentWarning, match=r"2 skills are left out.*Counting: espeak-ng is missing"):
        drafts = list(
            draw(
                make_world("test"),
                skills=["Counting", "Lyrical Reasoning", SOUND[0]],
                n={"Counting": 2, "Lyrical Reasoning": 2, SOUND[0]: 2},
                seed=0,
            )
        )
    assert {draft.skill for draft in drafts} == {SOUND[0]}
    with pytest.raises(SkillsAbsentError, match=r"none of the skills.*espeak-ng is missing"):
        list(draw(make_world("test"), skills=["Counting"], n={"Counting": 2}, seed=0))


def test_unknown_skills_and_missing_numbers_are_refused() -> None:
    world = make_world("test")
    with pytest.raises(SkillsAbsentError, match="Singing"):
        list(draw(world, skills=["Singing"], n={"Singing": 1}, seed=0))
    with pytest.raises(SkillsAbsentError, match=SOUND[0]):
        list(draw(world, skills=SOUND[:1], n={}, seed=0))


def test_a_maker_that_repeats_itself_or_answers_for_another_skill_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, skill = make_world("test"), SOUND[0]
    same = MAKERS[skill](np.random.default_rng(0), "easy", world)
    monkeypatch.setattr(exam, "makers", lambda: ({skill: lambda *_: same}, {}))
    with pytest.raises(ItemError, match="draws gave nothing new"):
        list(draw(world, skills=[skill], n={skill: 2}, seed=0, shares=(1, 0, 0)))
    with pytest.raises(ItemError, match=r"the maker of .* \(hard\) made .* \(easy\)"):
        list(draw(world, skills=[skill], n={skill: 1}, seed=0, shares=(0, 0, 1)))

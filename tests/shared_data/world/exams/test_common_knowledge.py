"""Tables of common knowledge: nothing in them is true of two options at once."""

from __future__ import annotations

from itertools import combinations

import pytest

from core.metrics.choice_rules import words
from shared_data.world.exams.common_knowledge import (
    ACTIVITIES,
    BACKGROUNDS,
    CAUSES,
    CONFUSED,
    CRIES,
    GROUPS,
    NEUTRAL,
    PLACES,
    SOURCES,
    Setting,
)
from shared_data.world.exams.item import OPTION_WORDS


def test_a_riddle_belongs_to_one_name_and_a_name_to_one_riddle() -> None:
    pairs = {(source.name, source.riddle) for source in SOURCES.values()}
    assert len({name for name, _ in pairs}) == len({riddle for _, riddle in pairs}) == len(pairs)
    assert len({words(riddle) for _, riddle in pairs}) == len(pairs)


def test_options_are_short_and_animals_have_a_group() -> None:
    texts = [text for source in SOURCES.values() for text in (source.name, source.riddle)]
    texts += [*CAUSES.values(), *(s.option for s in (*PLACES.values(), *ACTIVITIES.values()))]
    assert max(len(text.split()) for text in texts) <= OPTION_WORDS
    assert {s.group for s in SOURCES.values() if s.family == "animal"} == set(GROUPS)
    assert not {s.group for s in SOURCES.values() if s.family != "animal"} - {""}


@pytest.mark.parametrize("table", [PLACES, ACTIVITIES], ids=["places", "activities"])
def test_a_sound_tells_one_place_or_activity(table: dict[str, Setting]) -> None:
    for (_, one), (_, two) in combinations(table.items(), 2):
        assert not set(one.labels) & set(two.labels)
        assert words(one.option) != words(two.option)
        assert not set(one.labels) & set(NEUTRAL)


def test_confused_pairs_exist_and_stories_are_short() -> None:
    assert all(len(pair) == 2 for pair in CONFUSED)
    assert all(pair <= set(PLACES) or pair <= set(ACTIVITIES) for pair in CONFUSED)
    longest = max(len(f"{cause} made {cry}".split()) for cause in CAUSES.values() for cry in CRIES.values())
    assert longest <= OPTION_WORDS
    assert set(BACKGROUNDS) <= set(SOURCES)

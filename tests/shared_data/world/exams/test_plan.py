"""Plans: every gold of one text can be carried out, and a timeline that says otherwise is refused."""

from __future__ import annotations

import numpy as np
import pytest

from shared_data.world.exams.item import ItemError, World
from shared_data.world.exams.layout import in_turn, lay_out
from shared_data.world.exams.plan import Plan, draw, family, finish, heard, kin, known, maker, verify
from tests.shared_data.world.exams.worlds import make_world

LABELS = ("dog_bark", "cat_meow", "siren", "rain", "baby_cry", "baby_laugh", "man_cry", "piano")


@pytest.fixture
def world() -> World:
    return make_world("test", labels=LABELS)


def _plan(world: World, *, also: str | None = None) -> Plan:
    keys = LABELS[:4]
    return Plan(
        question="Which sound is heard?",
        options=keys,
        keys=keys,
        lay=lambda gold, rng: lay_out(rng, world, in_turn([keys[gold], *([also] if also else [])])),
        holds=lambda key, scene: heard(key, scene) > 0,
    )


@pytest.mark.parametrize("gold", range(4))
def test_every_gold_of_a_text_is_carried_out(world: World, gold: int) -> None:
    rng = np.random.default_rng(0)
    draft = finish(_plan(world), gold, rng, world, skill="s", difficulty="easy")
    assert (draft.answer, draft.choices) == (LABELS[gold], LABELS[:4])
    assert [clip.split("/")[:2] for clip in draft.clips] == [["bank", LABELS[gold]]]


def test_a_second_true_option_and_a_false_answer_are_refused(world: World) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ItemError, match=r"\['dog_bark', 'siren'\] is true"):
        finish(_plan(world, also="siren"), 0, rng, world, skill="s", difficulty="easy")
    plan = _plan(world)
    with pytest.raises(ItemError, match="the answer should be 'rain'"):
        verify(plan, 3, plan.lay(0, rng))
    with pytest.raises(ItemError, match="no option is true"):
        verify(plan, 3, lay_out(rng, world, in_turn(["piano"])))


def test_a_maker_draws_its_gold_uniformly(world: World) -> None:
    make = maker("s", lambda rng, difficulty, world: _plan(world))
    answers = [make(np.random.default_rng(seed), "easy", world).answer for seed in range(400)]
    counts = [answers.count(label) for label in LABELS[:4]]
    assert max(abs(count - 100) for count in counts) < 35  # 4 standard deviations


def test_labels_of_one_source_are_kin(world: World) -> None:
    assert kin("baby_cry", world) == kin("baby_laugh", world) != kin("man_cry", world)
    assert [family(label, world) for label in ("dog_bark", "baby_cry")] == ["animal", "voice"]
    assert known(world, "animal", "nature") == ["cat_meow", "dog_bark", "rain"]
    for seed in range(20):
        drawn = draw(np.random.default_rng(seed), LABELS, 4, world, avoid=["baby_cry"])
        assert len({kin(label, world) for label in drawn}) == 4
        assert not {"baby_cry", "baby_laugh"} & set(drawn)
        assert not {"cat_meow", "dog_bark"} <= set(
            draw(np.random.default_rng(seed), LABELS, 4, world, alike=family)
        )


def test_too_few_labels_are_named(world: World) -> None:
    with pytest.raises(ItemError, match="4 sounds of different sources are needed, the bank has 1"):
        draw(np.random.default_rng(0), ["baby_cry", "baby_laugh", "cow_moo"], 4, world)

"""The text alone never tells the gold of our items; where it does, the checks find it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from core.data.choices import SKILLS
from shared_data.world.exams.blind import first, gold_places, learn, longest, overlap, report, score
from shared_data.world.exams.exam import draw, makers
from shared_data.world.exams.item import Draft, ItemError
from tests.shared_data.world.exams.worlds import make_world

SURE = 3.5  # standard errors: with 27 skills and 4 checks, wrong about once in twenty times
QUICK = ("Sound-Based Event Recognition", "Melodic Structure Interpretation", "Conversational Fact Retrieval")


def _drafts(n: int = 200, seed: int = 0) -> list[Draft]:
    skill = "Sound-Based Event Recognition"
    return list(draw(make_world("test"), skills=[skill], n={skill: n}, seed=seed))


def _answered(draft: Draft, place: int) -> Draft:
    return dataclasses.replace(draft, answer=draft.choices[place])


@pytest.mark.parametrize(
    "skill",
    [pytest.param(skill, marks=[] if skill in QUICK else pytest.mark.audit) for skill in SKILLS],
)
def test_no_check_is_better_than_chance_on_any_skill(skill: str) -> None:
    if skill not in makers()[0]:
        pytest.skip(makers()[1][skill])
    train, test = (
        list(draw(make_world(split), skills=[skill], n={skill: 400}, seed=0)) for split in ("train", "test")
    )
    found = report(train, test, z=SURE)[skill]
    assert set(found) == {"first", "longest", "overlap", "text model"}
    off = {name: blind.accuracy for name, blind in found.items() if not blind.near(0.25)}
    assert not off
    assert all(blind.n == 400 for blind in found.values())
    counts, p = gold_places(train + test)
    assert sum(counts) == 800
    assert p > 1e-3


def test_rules_pick_what_they_say() -> None:
    draft = dataclasses.replace(
        _drafts(1)[0],
        question="Which animal is heard while rain falls?",
        choices=("a dog", "thunder and rain", "two purring cats and more", "an owl"),
        answer="an owl",
    )
    assert [choose(draft) for choose in (first, longest, overlap)] == [0, 2, 1]
    equal = dataclasses.replace(draft, choices=("aa", "bb", "cc", "dd"), answer="aa")
    assert [choose(equal) for choose in (longest, overlap)] == [0, 0]


@pytest.mark.parametrize("choose", [first, longest, overlap])
def test_an_exam_that_leans_to_a_rule_is_found(choose: object) -> None:
    assert callable(choose)
    leaning = [_answered(draft, choose(draft)) for draft in _drafts()]
    blind = score(leaning, choose)  # type: ignore[arg-type]
    assert (blind.correct, blind.accuracy) == (200, 1.0)
    assert not blind.near(0.25)


def test_the_text_model_finds_answers_that_depend_on_question_and_option() -> None:
    """Of 'heard' and 'not heard' questions, the gold is the alphabetically first or last option."""

    def lean(draft: Draft) -> Draft:
        absent = "not" in draft.question.split()
        order = sorted(range(4), key=lambda place: draft.choices[place])
        return _answered(draft, order[-1 if absent else 0])

    train, test = (list(map(lean, _drafts(400, seed))) for seed in (0, 1))
    found = report(train, test)["Sound-Based Event Recognition"]
    assert found["text model"].accuracy > 0.6
    assert found["first"].near(0.25)


def test_the_text_model_is_at_the_minimum_of_its_loss() -> None:
    """The gradient, written out anew: expected minus observed features plus the weights is zero."""
    drafts = _drafts(30)
    model = learn(drafts, strength=2.0)
    gradient = 2.0 * model.weights.copy()
    from shared_data.world.exams.blind import _features

    for draft in drafts:
        features = _features(draft)
        scores = np.array([sum(model.weights[model.columns[f]] for f in own) for own in features])
        share = np.exp(scores - scores.max())
        share /= share.sum()
        for place, own in enumerate(features):
            for name in own:
                gradient[model.columns[name]] += share[place] - (draft.choices[place] == draft.answer)
    assert np.abs(gradient).max() < 1e-3


def test_the_interval_is_wilsons() -> None:
    drafts = [_answered(draft, 0 if number < 30 else 1) for number, draft in enumerate(_drafts(100))]
    blind = score(drafts, first)
    assert (blind.low, blind.high) == pytest.approx((0.2189, 0.3958), abs=2e-4)
    assert score(drafts[:30], first).high == pytest.approx(1.0)


def test_uneven_gold_places_are_found() -> None:
    drafts = _drafts(100)
    counts, p = gold_places([_answered(draft, number % 2) for number, draft in enumerate(drafts)])
    assert counts == (50, 50, 0, 0)
    assert p < 1e-10
    even = gold_places([_answered(draft, number % 4) for number, draft in enumerate(drafts)])
    assert even == ((25, 25, 25, 25), 1.0)


def test_nothing_is_said_of_no_items() -> None:
    for check in (lambda: learn([]), lambda: score([], first), lambda: gold_places([])):
        with pytest.raises(ItemError, match="no items"):
            check()

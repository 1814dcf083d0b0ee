"""ClothoAQA's two accuracies, counted by hand."""

from __future__ import annotations

import math

import pytest

from core.metrics.clotho_aqa import AnswerError, clotho_aqa_scores, normalise, yes_or_no

QUESTIONS = [  # output, the annotators' answers
    ("Yes, a dog barks.", ["yes", "Yes", "yes."]),  # unanimous, right
    ("It is raining, so no... or yes", ["yes", "yes", "yes"]),  # the first counts: no
    ("I cannot tell", ["no", "no", "no"]),  # neither: not answered
    ("no", ["yes", "no", "no"]),  # disagreement: in neither accuracy
    ("The dog.", ["dog", "puppy", "animal"]),  # exact, article and full stop aside
    ("two dogs", ["dogs", "two", "three"]),  # exact: no; contained: yes
    ("catdog", ["dog", "dog", "cat"]),  # no word of it
    ("", ["rain", "rain", "rain"]),
    ("yes", ["yes", "dog", "maybe"]),  # not everyone said yes or no: an open question
    ("no", ["four", "four", "five"]),
]


def scores(**how):
    return clotho_aqa_scores([output for output, _ in QUESTIONS], [given for _, given in QUESTIONS], **how)


def test_unanimous_yes_and_no_apart_from_the_rest():
    ours = scores()
    assert ours.binary.tolist() == [True] * 4 + [False] * 6
    assert ours.unanimous.tolist() == [True] * 3 + [False] * 7
    assert ours.hit.tolist() == [True, False, False, True, True, False, False, False, True, False]
    assert ours.answered.tolist() == [True, True, False, True, True, True, True, False, True, True]
    assert ours.accuracy("unanimous") == pytest.approx(1 / 3)
    assert ours.accuracy("open") == pytest.approx(2 / 6)
    assert (ours.coverage("unanimous"), ours.coverage("open")) == pytest.approx((0.3, 0.6))


def test_contained_answers_are_whole_words():
    ours, exact = scores(match="contained"), scores()
    assert (ours.hit != exact.hit).nonzero()[0].tolist() == [5]
    assert ours.accuracy("open") == pytest.approx(3 / 6)


def test_normalising():
    assert normalise("  The DOG's  bark! ") == "dog s bark"
    assert normalise("a") == "a"
    assert yes_or_no("Well: NO!") == "no"
    assert yes_or_no("nobody; yesterday, know") is None


def test_audio_flamingos_protocol_takes_whole_outputs() -> None:
    outputs = ["Yes.", "Yes, a dog barks.", "no", "Two", "3", "dog"]
    answers = [
        ["yes"] * 3,
        ["yes"] * 3,
        ["yes"] * 3,
        ["two", "three", "two"],
        ["2", "four", "2"],
        ["dog", "two", "cat"],
    ]
    first = clotho_aqa_scores(outputs, answers)
    whole = clotho_aqa_scores(outputs, answers, yes_no="whole")
    assert first.hit.tolist() == [True, True, False, True, False, True]
    assert whole.hit.tolist() == [True, False, False, True, False, True]
    assert whole.answered.tolist() == [True, False, True, True, True, True]
    assert whole.numerical.tolist() == [False, False, False, True, True, False]
    assert whole.accuracy("unanimous") == pytest.approx(1 / 3)
    assert (whole.accuracy("numerical"), whole.coverage("numerical")) == pytest.approx((1 / 2, 2 / 6))
    with pytest.raises(AnswerError, match="'first' or 'whole'"):
        clotho_aqa_scores(["x"], [["dog"]], yes_no="last")


def test_a_part_without_questions_has_no_accuracy():
    ours = clotho_aqa_scores(["dog"], [["dog"]])
    assert math.isnan(ours.accuracy("unanimous"))
    assert (ours.coverage("unanimous"), ours.accuracy("open")) == (0.0, 1.0)


def test_bad_input_names_the_item():
    with pytest.raises(AnswerError, match="q7 has no answers"):
        clotho_aqa_scores(["x", "y"], [["dog"], []], ids=["q6", "q7"])
    with pytest.raises(AnswerError, match="item 0 has no answers"):
        clotho_aqa_scores(["x"], [["dog", "..."]])
    with pytest.raises(AnswerError, match="2 outputs for 1 questions"):
        clotho_aqa_scores(["x", "y"], [["dog"]])
    with pytest.raises(AnswerError, match="no questions"):
        clotho_aqa_scores([], [])
    with pytest.raises(AnswerError, match="'exact' or 'contained'"):
        clotho_aqa_scores(["x"], [["dog"]], match="first")

"""The rules against small questions in the shapes where MMAU's script surprises, and against plain loops."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import numpy as np
import pytest

from core.metrics.choice import (
    RULES,
    ChoiceError,
    Coverage,
    Marks,
    Reading,
    Rule,
    coverage,
    problems,
    read,
    score,
    score_votes,
    vote,
)
from core.metrics.choice_rules import correct_official_2024, correct_official_2025

WHO = ["Man", "Woman", "Child", "Robot"]
PLACE = ["In a kitchen", "On the train", "It is outdoors", "At b flat"]
ORDER = ["first: neutral, second: angry", "first: angry, second: neutral", "both: sad"]
COUNT = ["one thousand ninety", "one thousand ninety-one", "two hundred"]
TWICE = ["Rain", "Wind", "Rain", "Hail"]


@pytest.mark.parametrize(
    ("output", "answer", "choices", "in_2025", "in_2024"),
    [
        ("Man", "Man", WHO, True, True),
        ("man.", "Man", WHO, True, True),
        ("Woman", "Woman", WHO, True, False),  # "man" is in it
        ("", "Man", WHO, False, False),
        ("?!", "Man", WHO, False, False),
        ("B", "Woman", WHO, False, False),  # the letter alone
        ("(B) Woman", "Woman", WHO, True, False),
        ("(A) Robot", "Robot", WHO, True, True),  # rules do not read letters
        ("(B) On the train", "On the train", PLACE, False, True),  # "b" is a word of another option
        ("A. On the train", "On the train", PLACE, False, True),  # and "a"
        ("C. On the train", "On the train", PLACE, True, True),
        ("The answer is Man.", "Man", WHO, True, True),
        ("The answer is On the train.", "On the train", PLACE, False, True),  # "is"
        ("The answer: In a kitchen", "In a kitchen", PLACE, False, True),  # "the"
        ("Man or Child", "Man", WHO, False, False),
        ("A man and a woman", "Man", WHO, False, False),
        ("Not a robot", "Robot", WHO, True, True),  # negation counts for nothing
        ("mankind", "Man", WHO, False, True),
        ("second: angry, first: neutral", "first: neutral, second: angry", ORDER, True, False),
        ("first: angry, second: neutral", "first: neutral, second: angry", ORDER, True, False),
        ("neutral first, then angry second", "first: angry, second: neutral", ORDER, True, False),
        ("one thousand ninety", "one thousand ninety", COUNT, True, True),
        ("one thousand ninety", "one thousand ninety-one", COUNT, True, False),
        (
            "one thousand ninety-one",
            "one thousand ninety",
            COUNT,
            True,
            False,
        ),  # "one" is a word of it already
        ("one thousand ninety-one", "one thousand ninety-one", COUNT, True, False),
        ("Rain", "Rain", TWICE, True, True),
        ("rain and wind", "Rain", TWICE, False, False),
        ("man", "man", ["Man", "man", "dog"], True, False),  # another string, the same words
        ("the dog", "cat", ["cat", "dog"], False, False),
        ("dog", "fish", ["cat", "dog"], False, False),  # an answer that is no option
        ("fish", "fish", ["cat", "dog"], True, True),
        ("fish", "", ["cat", "dog"], True, True),  # a withheld answer: all but the options is right
        ("dog", "", ["cat", "dog"], False, False),
        ("?", "?", ["?", "!"], False, True),
        ("x", "?", ["?", "!"], True, False),
        ("dog", "dog", ["dog", ""], True, False),  # the empty option is in every text
        ("dog", "dog", [], True, True),
        (" ", "dog", [], False, False),
        ("DOG_BARK", "dog_bark", ["dog_bark", "dog"], True, False),  # an underscore joins
        ("it's a dog", "it’s a dog", ["it’s a dog", "cat"], True, False),
        ("Straße", "STRASSE", ["STRASSE", "Weg"], False, False),  # lower case, not folded
        ("Café", "cafe\u0301", ["cafe\u0301", "bar"], False, False),  # nor composed
        ("男人。", "男人", ["男人", "女人"], True, True),
        ("这是男人", "男人", ["男人", "女人"], False, True),  # no blanks, no words
        ("ДОМ", "дом", ["дом", "лес"], True, True),
        ("٣", "٣", ["٣", "٤"], True, True),
    ],
)
def test_official_rules(output: str, answer: str, choices: list[str], in_2025: bool, in_2024: bool) -> None:
    assert correct_official_2025(output, answer, choices) is in_2025
    assert correct_official_2024(output, answer, choices) is in_2024


def by_words(output: str, answer: str, choices: Sequence[str]) -> bool:
    """official_2025 as its description reads, one word at a time."""

    def split(text: str) -> list[str]:
        return [match.group(0) for match in re.finditer(r"\b\w+\b", text.lower())]

    if len(split(output)) == 0:
        return False
    for word in split(answer):
        if word not in split(output):
            return False
    for choice in choices:
        if sorted(set(split(choice))) == sorted(set(split(answer))):
            continue
        for word in split(choice):
            if word not in split(answer) and word in split(output):
                return False
    return True


def by_substrings(output: str, answer: str, choices: Sequence[str]) -> bool:
    """official_2024 likewise."""
    if len(output) == 0 or output.lower().find(answer.lower()) < 0:
        return False
    others = [choice for choice in choices if choice != answer]
    return sum(output.lower().count(other.lower()) for other in others) == 0


PIECES = [
    "a",
    "b",
    "A",
    "man",
    "Man",
    "wo",
    "-",
    " ",
    ", ",
    "_",
    "'",
    "’",
    "1",
    "91",
    "ß",
    "ẞ",
    "İ",
    "ı",
    "é",
]
PIECES += [
    "e\u0301",
    "男",
    "。",
    "Σ",
    "ς",
    "ſ",
    "\n",
    "\u200b",
    "\u00a0",
    "राम",
    "١",
    "²",
    "#",
    "🙂",
    "(B)",
    "",
]


def random_text(rng: random.Random, longest: int) -> str:
    return "".join(rng.choices(PIECES, k=rng.randint(0, longest)))


@pytest.mark.parametrize("seed", range(8))
def test_official_rules_are_the_plain_loops(seed: int) -> None:
    rng = random.Random(seed)
    right = 0
    for _ in range(120):
        choices = [random_text(rng, 4) for _ in range(rng.randint(0, 5))]
        answer = rng.choice([*choices, random_text(rng, 3)])
        said = [*choices, answer, answer + random_text(rng, 3), random_text(rng, 6), answer.upper()]
        for output in (*said, " ".join(rng.sample(answer.split(), len(answer.split())))):
            expected = by_words(output, answer, choices), by_substrings(output, answer, choices)
            got = (
                correct_official_2025(output, answer, choices),
                correct_official_2024(output, answer, choices),
            )
            assert got == expected, (output, answer, choices)
            marks = score([output], [answer], [choices], rules=("official_2025", "official_2024"))
            assert (marks["official_2025"].correct[0], marks["official_2024"].correct[0]) == expected
            for rule, correct in (("official_2025", by_words), ("official_2024", by_substrings)):
                stated = {c for c in choices if correct(output, c, choices)}
                reading = read(output, choices, rule=rule)
                if len(stated) == 1:
                    assert reading == Reading(option=choices.index(stated.pop()), status="answered")
                else:
                    assert reading == Reading(option=None, status="ambiguous" if stated else "unparsed")
            right += sum(expected)
    assert right > 100


@pytest.mark.parametrize(
    ("output", "choices", "expected"),
    [
        ("woman", WHO, 1),
        (' "Woman." ', WHO, 1),
        ("“Woman”", WHO, 1),
        ("Woman.\n", WHO, 1),
        ("‘woman.’", WHO, 1),
        ("A woman", WHO, None),
        ("B", WHO, None),
        ("(B) Woman", WHO, None),
        ("", WHO, None),
        (".", WHO, None),
        ("Rain", TWICE, 0),
        ("Cm", ["CM", "Cm"], 1),
        ("Cm.", ["CM", "Cm"], 1),
        ("cm", ["CM", "Cm"], "ambiguous"),
        ("Yes.", ["Yes", "Yes."], 1),
        ("Yes", ["Yes", "Yes."], 0),
        ("yes", ["Yes", "Yes."], "ambiguous"),
        ("STRASSE", ["Weg", "Straße"], 1),
        ("男人。", ["女人", "男人"], 1),
        ("first: angry, second: neutral", ORDER, 1),
        ("2", ["1", "2"], 1),
        (".5", ["5", ".5"], 1),
        ("Dr. No", ["Dr. No", "Dr No"], 0),
    ],
)
def test_option_exact(output: str, choices: list[str], expected: int | str | None) -> None:
    reading = read(output, choices, rule="option_exact")
    assert (reading.option if expected is None or isinstance(expected, int) else reading.status) == expected
    assert (reading.status == "answered") == isinstance(expected, int)


def test_official_2025_cannot_tell_orders_of_words_apart() -> None:
    reading = read("first: neutral, second: angry", ORDER, rule="official_2025")
    assert reading == Reading(option=None, status="ambiguous")
    assert read("both: sad", ORDER, rule="official_2025").option == 2


def test_marks_of_all_rules() -> None:
    outputs = ["Man", "(B) Woman", "C", "", "Man or Child", "Robot, I think"]
    answers = ["Man", "Woman", "Child", "Robot", "Man", "Man"]
    marks = score(outputs, answers, [WHO] * 6)
    assert tuple(marks) == RULES
    assert {rule: each.correct.tolist() for rule, each in marks.items()} == {
        "official_2025": [True, True, False, False, False, False],
        "official_2024": [True, False, False, False, False, False],
        "option_exact": [True, False, False, False, False, False],
        "letter_aware": [True, True, True, False, False, False],
    }
    assert marks["letter_aware"].option.tolist() == [0, 1, 2, -1, -1, 3]
    assert marks["letter_aware"].status.tolist() == [*["answered"] * 3, "unparsed", "ambiguous", "answered"]
    assert marks["official_2025"].option.tolist() == [0, 1, -1, -1, -1, 3]
    assert marks["letter_aware"].accuracy == 0.5
    counts = Coverage(answered=4, unparsed=0, ambiguous=1, said_nothing=1)
    assert coverage(marks["letter_aware"]) == counts
    assert coverage(marks["official_2025"]) == Coverage(answered=3, unparsed=2, ambiguous=0, said_nothing=1)


def test_only_the_rules_asked_for() -> None:
    assert tuple(score(["Man"], ["Man"], [WHO], rules=("letter_aware", "official_2024"))) == (
        "letter_aware",
        "official_2024",
    )


def test_always_the_first_option_scores_what_the_keys_say() -> None:
    rng = random.Random(0)
    choices = [rng.sample(WHO, 4) for _ in range(200)]
    answers = [rng.choices(shown, weights=(4, 1, 1, 1))[0] for shown in choices]
    first = sum(answer == shown[0] for answer, shown in zip(answers, choices))
    marks = score([shown[0] for shown in choices], answers, choices)
    for rule in ("official_2025", "option_exact", "letter_aware"):
        assert marks[rule].correct.sum() == first
        assert marks[rule].option.tolist() == [0] * 200


def test_gold_is_right_under_every_rule_that_can_tell_it() -> None:
    questions = [(WHO, "Man"), (PLACE, "On the train"), (TWICE, "Rain"), (COUNT, "two hundred")]
    marks = score([gold for _, gold in questions], [gold for _, gold in questions], [c for c, _ in questions])
    assert all(each.correct.all() for each in marks.values())


def test_a_letter_and_the_option_at_its_place() -> None:
    marks = score(["B", "B"], ["Woman", "Woman"], [WHO, WHO[::-1]])["letter_aware"]
    assert marks.correct.tolist() == [True, False]
    assert marks.option.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("options", "winner"),
    [
        ([1, 1, 0], 1),
        ([0, 1, 1, 0], 1),  # had two first
        ([0, 1, 2], 0),
        ([None, 2, None], 2),
        ([3, None, 1, 1, 3, 3], 3),
        ([None, None], None),
        ([], None),
    ],
)
def test_vote(options: list[int | None], winner: int | None) -> None:
    assert vote(options) == winner


def test_votes_are_counted_in_the_data_sets_order() -> None:
    orders = [[0, 1, 2, 3], [1, 0, 3, 2], [3, 2, 1, 0]]
    outputs = ["A", "B", "Child"]  # man, man, child
    marks = score_votes([outputs], [orders], ["Man"], [WHO])
    assert marks["letter_aware"].correct.tolist() == [True]
    assert marks["letter_aware"].option.tolist() == [0]
    assert marks["official_2025"].option.tolist() == [2]  # it reads no letters
    assert not marks["official_2025"].correct[0]


def test_one_output_is_scored_by_the_rule_itself() -> None:
    said = "first: angry, second: neutral"
    marks = score_votes([[said]], [[[2, 1, 0]]], [ORDER[0]], [ORDER])
    assert marks["official_2025"].correct[0]
    assert marks["official_2025"].status[0] == "ambiguous"
    assert (marks["option_exact"].option[0], marks["option_exact"].correct[0]) == (1, False)


def test_votes_take_the_same_words_for_the_same_option() -> None:
    orders = [[0, 1, 2], [1, 0, 2], [2, 1, 0]]
    outputs = [ORDER[1], ORDER[0], "both: sad"]
    for answer, right in ((ORDER[0], True), (ORDER[1], True), (ORDER[2], False)):
        marks = score_votes([outputs], [orders], [answer], [ORDER])["official_2025"]
        assert (marks.correct[0], marks.status[0], marks.option[0]) == (right, "answered", 0)


def test_votes_for_a_duplicate_are_for_its_first() -> None:
    orders = [[0, 1, 2, 3], [2, 1, 0, 3], [1, 3, 0, 2]]
    for outputs in (["A", "A", "B"], ["Rain", "Rain", "Hail"]):
        marks = score_votes([outputs], [orders], ["Rain"], [TWICE])["letter_aware"]
        assert (marks.correct[0], marks.option[0]) == (True, 0)


def test_votes_that_all_abstain() -> None:
    orders = [[0, 1, 2, 3], [1, 0, 3, 2]]
    marks = score_votes([["", " "], ["Man or Woman", ""], ["?", ""]], [orders] * 3, ["Man"] * 3, [WHO] * 3)
    each = marks["letter_aware"]
    assert each.status.tolist() == ["unparsed", "ambiguous", "unparsed"]
    assert each.said_nothing.tolist() == [True, False, False]
    assert not each.correct.any()
    assert coverage(each) == Coverage(answered=0, unparsed=1, ambiguous=1, said_nothing=1)


@pytest.mark.parametrize("seed", range(5))
def test_votes_against_a_count_by_hand(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(40):
        choices = rng.sample([f"sound {n}" for n in range(20)], rng.randint(2, 6))
        orders = [rng.sample(range(len(choices)), len(choices)) for _ in range(rng.randint(2, 6))]
        meant = [rng.choice([None, *range(len(choices))]) for _ in orders]
        outputs = []
        for order, option in zip(orders, meant):
            letter = "" if option is None else "ABCDEF"[order.index(option)]
            outputs.append("" if option is None else rng.choice([letter, f"({letter})", choices[option]]))
        counts = [meant.count(option) for option in range(len(choices))]
        (marks,) = score_votes([outputs], [orders], [choices[0]], [choices], rules=("letter_aware",)).values()
        if max(counts) == 0:
            assert marks.option[0] == -1
        else:
            assert counts[marks.option[0]] == max(counts)
        assert marks.correct[0] == (marks.option[0] == 0)


@pytest.mark.parametrize("bad", [None, 3, b"Man", ["Man"], float("nan")])
def test_output_that_is_no_text(bad: object) -> None:
    with pytest.raises(ChoiceError, match=r"output 1 is .* no text"):
        score(["Man", bad], ["Man", "Man"], [WHO, WHO])  # type: ignore[list-item]
    with pytest.raises(ChoiceError, match="output 1 of item 0"):
        score_votes([["Man", bad]], [[[0, 1, 2, 3]] * 2], ["Man"], [WHO])  # type: ignore[list-item]
    with pytest.raises(ChoiceError, match="the output"):
        read(bad, WHO, rule="letter_aware")  # type: ignore[arg-type]


def test_what_does_not_belong_together() -> None:
    with pytest.raises(ChoiceError, match="2 outputs, 1 answers"):
        score(["Man", "Man"], ["Man"], [WHO])
    with pytest.raises(ChoiceError, match="order 0 of item 0"):
        score_votes([["Man"]], [[[0, 1, 1, 2]]], ["Man"], [WHO])
    with pytest.raises(ChoiceError, match="item 0 has outputs"):
        score_votes([["Man"]], [[[0, 1, 2, 3]] * 2], ["Man"], [WHO])
    with pytest.raises(ChoiceError, match="item 0 has outputs"):
        score_votes([[]], [[]], ["Man"], [WHO])
    with pytest.raises(ChoiceError, match="options of item 0"):
        score(["Man"], ["Man"], ["Man"])
    with pytest.raises(ChoiceError, match="options of item 0"):
        score(["Man"], ["Man"], [["Man", None]])  # type: ignore[list-item]
    with pytest.raises(ChoiceError, match="answer 0"):
        score(["Man"], [None], [WHO])  # type: ignore[list-item]
    with pytest.raises(ChoiceError, match="no rule 'official'"):
        score(["Man"], ["Man"], [WHO], rules=("official",))  # type: ignore[arg-type]
    with pytest.raises(ChoiceError, match="no items"):
        assert score([], [], [])["official_2025"].accuracy


@pytest.mark.parametrize("rule", RULES)
def test_blank_and_optionless(rule: Rule) -> None:
    assert read("", WHO, rule=rule) == Reading(option=None, status="unparsed")
    assert read("\n ", WHO, rule=rule) == Reading(option=None, status="unparsed")
    assert read("Man", [], rule=rule) == Reading(option=None, status="unparsed")


def test_arrays_are_options_too() -> None:
    marks = score(np.array(["Man"]), np.array(["Man"]), np.array([WHO]))  # type: ignore[arg-type]
    assert all(isinstance(each, Marks) and each.correct.all() for each in marks.values())


@pytest.mark.parametrize(
    ("choices", "answer", "kinds"),
    [
        (WHO, "Man", []),
        (WHO, "man", ["answer not among choices"]),
        (WHO, "", ["answer not among choices"]),
        (["Man"], "Man", ["fewer than two options"]),
        ([], "", ["fewer than two options", "answer not among choices"]),
        (TWICE, "Wind", ["duplicate options"]),
        (TWICE, "Rain", ["gold duplicated"]),
        (["Yes", "yes.", "No"], "No", ["options differ only by case or punctuation"]),
        (["ninety-one", "ninety one"], "ninety one", ["options differ only by case or punctuation"]),
        (ORDER, "both: sad", ["options with the same words"]),
        (
            ["one thousand ninety", "one thousand ninety-one"],
            "one thousand ninety",
            ["options with the same words"],
        ),
        (["Man", ""], "Man", ["option without words"]),
    ],
)
def test_problems_of_a_question(choices: list[str], answer: str, kinds: list[str]) -> None:
    assert [problem.partition(":")[0] for problem in problems(choices, answer)] == kinds


def test_problems_say_what_is_near() -> None:
    (problem,) = problems(WHO, "man.")
    assert "'Man' differs only by case" in problem

"""Each of the 27 rules accepts and rejects; where the two readings differ; rows with faults."""

from __future__ import annotations

from typing import Any

import pytest

from core.metrics.instruction_following import (
    IFEVAL,
    RULES,
    Checked,
    Ruled,
    RuleError,
    check,
    check_all,
    failures,
    official_name,
    read_kwargs,
)
from core.metrics.sentences import count_sentences

PROMPT = "What do you hear? Repeat this first."
# rule: kwargs, answers that obey in both readings, answers that do not
CASES: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "Include Keywords": (
        {"keywords": "dog, loud noise"},
        ["A Dog makes a LOUD noise.", "Hotdogs; loud noises"],
        ["A dog.", "loud noise", "A dog is loud, a noise."],
    ),
    "Keyword Frequency": (
        {"keyword": "rain", "N": 2},
        ["Rain, then rain.", "RAIN rain-soaked"],
        ["rain", "rain rain rain", "rain rains", "nothing"],
    ),
    "Forbidden Words": (
        {"forbidden_words": "dog, cat"},
        ["A bird sings.", "A do g"],
        ["A DOG barks.", "A bird and a cat.", "We concatenate."],
    ),
    "Number Paragraphs": (
        {"N": 2},
        ["One. *** Two.", "One\n***\nTwo\n***\n"],
        ["One.\n\nTwo.", "One *** Two *** Three", "***"],
    ),
    "Number Words (at least)": ({"N": 3}, ["one two three", "a b c d"], ["one two", "one-two-three"]),
    "Number Words (at most)": ({"N": 3}, ["one two three", "one"], ["a b c d"]),
    "Number Words (range)": ({"N1": 2, "N2": 3}, ["one two", "one  two\nthree"], ["one", "a b c d"]),
    "Number Sentences (at least)": ({"N": 2}, ["Rain. Wind.", "A? B! C."], ["Rain and wind."]),
    "Number Sentences (at most)": ({"N": 2}, ["Rain. Wind.", "Rain"], ["Rain. Wind. Hail."]),
    "Number Sentences (range)": (
        {"N1": 2, "N2": 3},
        ["Rain. Wind.", "A dog. A cat. A cow."],
        ["Rain.", "Rain. Wind. Hail. Snow."],
    ),
    "Postscript": (
        {"postscript_marker": "P.S."},
        ["It rains.\n\nP.S. Bring a coat.", "It rains. p. s.: coat", "It rains. PS coat"],
        ["It rains.", "P and then S? no: P, x, S"],
    ),
    "Number Placeholder": (
        {"N": 2},
        ["[name] lives at [address].", "[a][b][c]"],
        ["[name] lives here.", "[] [", "(name) (address)"],
    ),
    "Number Bullets": (
        {"N": 2},
        ["* rain\n* wind", "Heard:\n  * rain\n  * wind"],
        ["* rain", "* rain\n* wind\n* hail", "- rain\n- wind", "*rain\n*wind"],
    ),
    "Title": ({}, ["<<Rain at night>>\nIt rains.", "It rains. <<End>>"], ["Rain at night", "<Rain>", "<<>>"]),
    "Minimum Number Highlighted Section": (
        {"N": 2},
        ["*rain* and *strong wind*", "**rain** and *wind* and *hail*", "*a* *b*"],
        ["*rain* and wind", "rain", "** **"],
    ),
    "Multiple Sections": (
        {"N": 2, "section_splitter": "SECTION"},
        ["SECTION rain SECTION wind", "rain\nSECTION\nwind"],
        ["SECTION rain", "a SECTION b SECTION c", "section a section b"],
    ),
    "Repeat Prompt": (
        {},
        [f"{PROMPT} Rain.", f"\n {PROMPT.upper()}\nRain."],
        ["Rain.", f"Rain. {PROMPT}", "What do you hear? Rain."],
    ),
    "Two Responses": (
        {},
        ["Rain.\n******\nWind.", "Rain****** Wind"],
        ["Rain.", "Rain ****** rain ", "Rain ****** Wind ****** Hail", "Rain *** Wind"],
    ),
    "All Uppercase": ({}, ["IT RAINS.", "RAIN 3"], ["It rains.", "IT RAINs", "123"]),
    "All Lowercase": ({}, ["it rains.", "rain 3"], ["It rains.", "iT RAINS", "123"]),
    "All-capital Words (at least)": ({"N": 2}, ["RAIN and WIND", "I hear A B"], ["RAIN and wind", "Rain"]),
    "All-capital Words (at most)": ({"N": 1}, ["RAIN and wind", "rain"], ["RAIN and WIND", "I hear A"]),
    "All-capital Words (range)": (
        {"N1": 1, "N2": 2},
        ["RAIN", "RAIN and WIND!"],
        ["rain", "RAIN WIND HAIL"],
    ),
    "Start Checker": (
        {"start_phrase": "I hear:"},
        ["I hear rain.", "i hear, as asked, rain", "I HEAR: rain"],
        ["Rain is what I hear", "We hear rain", "I  do hear rain"],
    ),
    "End Checker": (
        {"end_phrase": "That is all."},
        ["Rain. That is all.", "Rain; that is all", "THAT IS ALL!"],
        ["That is all. Rain.", "That is all folks", "Rain."],
    ),
    "Quotation": ({}, ['"It rains."', ' "a" and "b" \n'], ["It rains.", '"It rains.', "'It rains.'"]),
    "No Commas": ({}, ["Rain and wind.", "rain; wind"], ["Rain, wind.", ","]),
}
# strict, release
DIFFER: list[tuple[str, dict[str, Any], str, bool, bool]] = [
    ("No Commas", {}, "", False, True),
    ("Number Words (at most)", {"N": 3}, " \n", False, True),
    ("Forbidden Words", {"forbidden_words": "dog"}, "", False, True),
    ("Postscript", {"postscript_marker": "P.S."}, "Two lamps.", False, True),
    ("Postscript", {"postscript_marker": "P.S."}, "Stop. So it ends.", False, True),
    ("Minimum Number Highlighted Section", {"N": 1}, "* rain\n* wind", False, True),
    ("Minimum Number Highlighted Section", {"N": 1}, "2 * 3 * 4", False, True),
    ("Title", {}, "<< >>", False, True),
    ("Two Responses", {}, "Rain ******", False, True),
    ("Quotation", {}, '"', False, True),
    ("Quotation", {}, '""', False, True),
    ("Quotation", {}, "“It rains.”", True, False),
    ("Start Checker", {"start_phrase": "No"}, "Nothing.", False, True),
    ("Start Checker", {"start_phrase": "Да"}, "Nothing.", False, True),
    ("Start Checker", {"start_phrase": "I hear"}, " I hear rain", True, False),
    ("End Checker", {"end_phrase": "the end"}, "In the weekend: bathe end", False, True),
    ("End Checker", {"end_phrase": "the end"}, "This is the end. ", True, False),
    ("Start Checker", {"start_phrase": "***"}, "*** rain", True, True),
    ("Start Checker", {"start_phrase": "***"}, "rain", False, True),
    ("Keyword Frequency", {"keyword": "C++", "N": 1}, "It is C++.", True, False),
    ("Include Keywords", {"keywords": "rain,wind"}, "wind and rain", True, False),
    ("Include Keywords", {"keywords": "rain,wind"}, "rain,wind", True, True),
    ("Include Keywords", {"keywords": "rain,  wind"}, "rain;wind", True, False),
    ("Include Keywords", {"keywords": "1, 000"}, "000 1", True, True),
    ("Forbidden Words", {"forbidden_words": "rain,the wind"}, "the wind", False, True),
    ("Forbidden Words", {"forbidden_words": "rain, "}, "sun", True, False),
    ("Multiple Sections", {"N": 1, "section_splitter": " - "}, "a-b", False, True),
    ("Multiple Sections", {"N": 2, "section_splitter": " - "}, "a - b", True, True),
    ("Multiple Sections", {"N": 2, "section_splitter": "-"}, "a-b", True, True),
    ("Multiple Sections", {"N": 2, "section_splitter": "\n\n"}, "a\n\n\n\nb", True, True),
    ("Number Paragraphs", {"N": "2"}, "a *** b", True, False),
    ("Number Words (at least)", {"N": "2"}, "a b", True, False),
    ("Number Words (at most)", {"N": "2"}, "a b", True, False),
    ("Number Words (range)", {"N1": "1", "N2": 3}, "a b", True, False),
    ("no commas", {}, "a b", True, False),
    ("punctuation:no_comma", {}, "a b", True, False),
]


def ruled(task: str, kwargs: dict[str, Any], prompt: str = PROMPT) -> Ruled:
    return Ruled(id="q7", task=task, kwargs=kwargs, prompt=prompt)


def test_all_27_rules_have_cases() -> None:
    assert len(RULES) == 27
    assert set(CASES) == set(RULES)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("reading", ["strict", "release"])
def test_rule_accepts_and_rejects(rule: str, reading: Any) -> None:
    kwargs, good, bad = CASES[rule]
    for answer in good + bad:
        done = check(answer, ruled(rule, kwargs), reading=reading, sentences=count_sentences)
        assert done == Checked(id="q7", rule=rule, passed=answer in good), answer


@pytest.mark.parametrize(("rule", "kwargs", "answer", "strict", "release"), DIFFER)
def test_readings_differ(rule: str, kwargs: dict[str, Any], answer: str, strict: bool, release: bool) -> None:
    assert check(answer, ruled(rule, kwargs), reading="strict").passed is strict
    assert check(answer, ruled(rule, kwargs), reading="release").passed is release


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("blank", ["", " \n\t"])
def test_blank_never_passes(rule: str, blank: str) -> None:
    assert check(blank, ruled(rule, CASES[rule][0])) == Checked(
        id="q7", rule=rule, passed=False, reason="said nothing"
    )


@pytest.mark.parametrize("rule", [rule for rule in RULES if CASES[rule][0]])
def test_missing_kwargs_name_the_item(rule: str) -> None:
    kwargs = CASES[rule][0]
    for absent in kwargs:
        rest = {key: value for key, value in kwargs.items() if key != absent}
        for held in (rest, {**rest, absent: None}):
            with pytest.raises(RuleError, match=rf"item q7 \(.*kwargs lack {absent}"):
                check("It rains.", ruled(rule, held))
            with pytest.raises(RuleError, match="item q7"):
                check("", ruled(rule, held))  # whatever the model says


def test_wrong_kwargs_are_refused() -> None:
    for n in ("three", 2.5, -1, True, [3]):
        with pytest.raises(RuleError, match=r"item q7.*whole number"):
            check("x", ruled("Number Bullets", {"N": n}))
    with pytest.raises(RuleError, match="N1 5 is above N2 2"):
        check("x", ruled("Number Words (range)", {"N1": 5, "N2": 2}))
    with pytest.raises(RuleError, match="not a text"):
        check("x", ruled("Start Checker", {"start_phrase": " "}))
    with pytest.raises(RuleError, match="names nothing"):
        check("x", ruled("Include Keywords", {"keywords": " , "}))
    with pytest.raises(RuleError, match="no prompt"):
        check("x", ruled("Repeat Prompt", {}, prompt=" "))
    with pytest.raises(RuleError, match="none of strict, release"):
        check("x", ruled("No Commas", {}), reading="lenient")  # type: ignore[arg-type]


def test_numbers_and_lists_as_data_frames_write_them() -> None:
    for n in (2, 2.0, "2"):
        assert check("* a\n* b", ruled("Number Bullets", {"N": n})).passed
    assert check("rain, 1,000 drops", ruled("Include Keywords", {"keywords": "rain, 1,000"})).passed
    assert check("rain wind", ruled("Include Keywords", {"keywords": ["rain", "wind"]})).passed
    assert not check("1 and 000", ruled("Include Keywords", {"keywords": "1,000"})).passed


def test_numbers_as_the_release_compares_them() -> None:
    for n, rule, passed in ((2.0, "Number Bullets", True), (2.5, "Number Words (at least)", True)):
        assert check("* a\n* b", ruled(rule, {"N": n}), reading="release").passed is passed
    impossible = ruled("Number Words (range)", {"N1": 5, "N2": 2})
    assert not check("a b c", impossible, reading="release").passed


def test_names() -> None:
    for rule in RULES:
        for written in (rule, rule.lower(), rule.upper().replace(" ", "_"), f"some category: {rule}"):
            assert official_name(written) == rule
    for ifeval, rule in IFEVAL.items():
        assert official_name(ifeval) == official_name(ifeval.partition(":")[2]) == rule
    for stranger in ("", "Number", "keywords:frequency", "language:response_language", "Number Words"):
        assert official_name(stranger) is None


def test_unknown_type_fails_and_is_counted() -> None:
    done = check_all(
        ["x", "x", "", "a,b"],
        [ruled("Rhymes", {}), ruled("No Commas", {}), ruled("No Commas", {}), ruled("No Commas", {})],
    )
    assert [one.passed for one in done] == [False, True, False, False]
    assert [one.rule for one in done] == ["", *["No Commas"] * 3]
    assert failures(done) == {"unknown rule 'Rhymes'": 1, "said nothing": 1}


def test_check_all_names_every_fault() -> None:
    rules = [
        Ruled(id="a", task="Number Bullets", kwargs={}),
        Ruled(id="b", task="Title", kwargs={}),
        Ruled(id="c", task="Repeat Prompt", kwargs={}),
    ]
    with pytest.raises(RuleError, match=r"2 of 3 .*item a .*item c"):
        check_all(["x", "x", "x"], rules)
    with pytest.raises(RuleError, match="2 answers for 3"):
        check_all(["x", "x"], rules)


def test_sentences_are_counted_by_what_is_given() -> None:
    assert check("One.", ruled("Number Sentences (at least)", {"N": 5}), sentences=lambda text: 5).passed


def test_kwargs_of_every_form() -> None:
    assert read_kwargs(None, id="q") == read_kwargs("", id="q") == read_kwargs("null", id="q") == {}
    assert read_kwargs('{"N": 3}', id="q") == read_kwargs({"N": 3}, id="q") == {"N": 3}
    with pytest.raises(RuleError, match="item q: kwargs are no JSON"):
        read_kwargs("{N: 3}", id="q")
    with pytest.raises(RuleError, match="item q: kwargs are list"):
        read_kwargs("[3]", id="q")

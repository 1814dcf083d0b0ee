"""MMAU-Pro's scores by hand on a dozen rows; predictions that do not fit are refused."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from core.metrics.instruction_following import RuleError
from core.metrics.open_judge import CRITERIA, OpenVerdict
from core.report.scoring import PredictionError
from projects.mmau.pro import OURS, RELEASE, Part, kind_of, open_cases, overall, score, table
from projects.mmau.pro_outputs import Output, outputs_from_column, outputs_from_lines

PETS = ["dog", "cat", "cow", "hen"]


def row(
    id: str, category: str, answer: str | None = "dog", choices: list[str] | None = None, **more: Any
) -> dict:
    base = {"id": id, "category": category, "question": "Which animal is heard?", "answer": answer}
    empty = {"choices": PETS if choices is None else choices, "task_identifier": "", "kwargs": "{}"}
    return {**base, **empty, **more}


ROWS: list[dict] = [
    row("s1", "sound"),
    row("s2", "sound", "cat"),
    row("s3", "sound", "hen"),
    row("s4", "sound", choices=[]),
    row("m1", "multi", "cow"),
    row("o1", "open", "A dog barks at a cat.", []),
    row("o2", "open", "Rain.", []),
    row("o3", "open", "Wind.", []),
    row("i1", "instruction following", None, [], task_identifier="No Commas"),
    row("i2", "instruction following", None, [], task_identifier="Number Bullets", kwargs='{"N": 2}'),
    row("i3", "instruction following", None, [], task_identifier="Quotation"),
]
SAID = {
    "s1": "the dog",
    "s2": "",
    "s3": "cow",
    "s4": "dog",
    "m1": "cow",
    "o1": "A dog.",
    "o2": "Rain.",
    "o3": "",
    "i1": "",
    "i2": "* a\n* b",
    "i3": "“quoted”",
}


def encode(texts: list[str]) -> np.ndarray:
    """Words as hashed places; nothing for a blank."""
    table = np.zeros((len(texts), 512))
    for place, text in enumerate(texts):
        for word in text.lower().split():
            table[place, zlib.crc32(word.encode()) % 512] += 1
    return table


def lines(said: Mapping[str, str] = SAID) -> list[dict]:
    return [{"id": id, "answers": [text]} for id, text in said.items()]


def verdicts() -> list[OpenVerdict]:
    return [
        OpenVerdict(id="o1", scores=dict.fromkeys(CRITERIA, 4.0)),
        OpenVerdict(id="o2", scores={}, error="unusable: no JSON"),
        OpenVerdict(id="o3", scores=dict.fromkeys(CRITERIA, 1.0), unanswered=True),
    ]


def scored(**changes: Any) -> list[Part]:
    options: dict[str, Any] = {"encode": encode, "verdicts": verdicts(), **changes}
    return score(ROWS, outputs_from_lines(lines(), ROWS), **options)


def part(parts: list[Part], category: str, protocol: str) -> Part:
    (found,) = [p for p in parts if (p.category, p.protocol) == (category, protocol)]
    return found


def by_id(part: Part) -> dict[str, float]:
    return dict(zip(part.ids, part.scores.tolist()))


def test_categories_by_hand() -> None:
    parts = scored()
    assert {kind_of(r["category"]) for r in ROWS} == {"closed", "open", "instructions"}
    sound = part(parts, "sound", OURS)
    assert by_id(sound) == {"s1": 1, "s2": 0, "s3": 0}
    assert (sound.items, sound.unscored, sound.unanswered) == (4, {"fewer than two options": ("s4",)}, 1)
    assert by_id(part(parts, "multi", OURS)) == {"m1": 1}
    judged = part(parts, "open", OURS)
    assert by_id(judged) == {"o1": 0.8, "o3": 0.2}
    assert (judged.unscored, judged.unanswered) == ({"no verdict": ("o2",)}, 1)
    assert by_id(part(parts, "instruction following", OURS)) == {"i1": 0, "i2": 1, "i3": 1}


def test_release_beside_ours() -> None:
    parts = scored()
    # a blank has no direction, so it is nearest to the first option, "dog"
    assert by_id(part(parts, "sound", RELEASE)) == {"s1": 1, "s2": 0, "s3": 0}
    assert by_id(part(parts, "open", RELEASE)) == {"o1": 0.8, "o2": 0.6, "o3": 0.2}
    assert by_id(part(parts, "instruction following", RELEASE)) == {"i1": 1, "i2": 1, "i3": 0}
    lucky = [row("x", "sound", "dog")]
    both = score(lucky, [Output(texts=("",), orders=((0, 1, 2, 3),))], encode=encode, verdicts=None)
    assert [part(both, "sound", p).scores.tolist() for p in (OURS, RELEASE)] == [[0.0], [1.0]]


def test_rules_of_mmau_beside_the_embedding() -> None:
    parts = scored()
    assert by_id(part(parts, "sound", "official_2025")) == {"s1": 1, "s2": 0, "s3": 0}
    assert by_id(part(parts, "sound", "option_exact")) == {"s1": 0, "s2": 0, "s3": 0}
    letters = outputs_from_lines(lines({**SAID, "s2": "(B)"}), ROWS)
    got = score(ROWS, letters, encode=encode, verdicts=None)
    assert by_id(part(got, "sound", "letter_aware"))["s2"] == 1
    assert by_id(part(got, "sound", "official_2025"))["s2"] == 0


def test_overall_is_weighted_by_scored_items() -> None:
    parts = scored()
    ours, release = overall(parts), overall(parts, protocol=RELEASE)
    assert (ours.n, ours.items) == (9, 11)
    assert ours.unscored == {"fewer than two options": 1, "no verdict": 1}
    assert ours.value is not None
    assert ours.value.value == pytest.approx((1 + 1 + 0.8 + 0.2 + 2) / 9)
    assert ours.value.low < ours.value.value < ours.value.high
    categories = [p for p in parts if p.protocol == OURS]
    weighted = sum(p.scores.mean() * len(p.ids) for p in categories) / sum(len(p.ids) for p in categories)
    assert ours.value.value == pytest.approx(weighted)
    assert release.value is not None
    assert release.value.value == pytest.approx((1 + 1 + 1.6 + 2) / 10)
    with pytest.raises(PredictionError, match="nothing is scored under 'theirs'"):
        overall(parts, protocol="theirs")


def test_what_is_not_given_is_left_out_and_said() -> None:
    parts = scored(encode=None, verdicts=None)
    whole = overall(parts)
    assert (whole.n, whole.items) == (3, 11)
    assert whole.unscored == {"fewer than two options": 1, "no embedding model": 4, "no verdict": 3}
    assert part(parts, "sound", OURS).interval is None
    assert by_id(part(parts, "sound", "official_2025"))["s1"] == 1
    shown = table(parts)
    assert "left out: 4 items, no embedding model" in shown
    assert "3 of 11" in shown


def test_table_shows_both_numbers() -> None:
    shown = table(scored()).splitlines()
    overall_line = next(line for line in shown if line.startswith("overall"))
    assert "9 of 11" in overall_line
    assert "55.6" in overall_line
    assert "56.0" in overall_line
    assert [line.split()[0] for line in shown[1:5]] == ["sound", "multi", "open", "instruction"]


def test_several_orders_vote() -> None:
    orders = ((0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 3, 2))
    three = [row("a", "sound", "dog"), row("b", "sound", "dog"), row("c", "sound", "dog")]
    outputs = [
        Output(texts=("cat", "dog", "dog"), orders=orders),
        Output(texts=("", "cat", "dog"), orders=orders),  # the blank abstains, the first of equals wins
        Output(texts=("(A)", "(D)", "(B)"), orders=orders),  # all three are the dog
    ]
    parts = score(three, outputs, encode=encode, verdicts=None)
    ours = by_id(part(parts, "sound", OURS))
    assert (ours["a"], ours["b"]) == (1, 0)
    assert by_id(part(parts, "sound", RELEASE))["a"] == 0
    assert by_id(part(parts, "sound", "letter_aware"))["c"] == 1


def test_open_cases_are_what_the_judge_sees() -> None:
    outputs = outputs_from_lines(lines(), ROWS)
    assert [(c.id, c.reference, c.answer) for c in open_cases(ROWS, outputs)] == [
        ("o1", "A dog barks at a cat.", "A dog."),
        ("o2", "Rain.", "Rain."),
        ("o3", "Wind.", ""),
    ]
    with pytest.raises(PredictionError, match=r"1 verdicts are of no open question \(first: s1\)"):
        scored(verdicts=[OpenVerdict(id="s1", scores={})])


def test_predictions_that_do_not_fit_are_refused() -> None:
    good = lines()
    with pytest.raises(PredictionError, match="11 of 11 predictions hold no list of texts"):
        outputs_from_lines([{"id": line["id"], "hash": ""} for line in good], ROWS)
    with pytest.raises(PredictionError, match="1 of 11 predictions hold no list"):
        outputs_from_lines([{**good[0], "answers": [None]}, *good[1:]], ROWS)
    with pytest.raises(PredictionError, match=r"1 missing \(i3\) of 11"):
        outputs_from_lines(good[:-1], ROWS)
    with pytest.raises(PredictionError, match=r"1 of other items \(z\)"):
        outputs_from_lines([*good, {"id": "z", "answers": ["x"]}], ROWS)
    with pytest.raises(PredictionError, match=r"1 predicted twice \(s1\)"):
        outputs_from_lines([*good, good[0]], ROWS)
    with pytest.raises(PredictionError, match="item s1: 1 outputs for 2 orders"):
        outputs_from_lines([{**good[0], "orders": [[0, 1, 2, 3]] * 2}, *good[1:]], ROWS)


def test_missing_predictions_may_be_allowed_and_are_counted() -> None:
    outputs = outputs_from_lines(lines()[1:], ROWS, allow_missing=True)
    assert outputs[0] == Output(texts=(), orders=())
    whole = overall(score(ROWS, outputs, encode=encode, verdicts=verdicts()))
    assert (whole.n, whole.unscored["no prediction"]) == (8, 1)


def test_a_missing_column_is_refused_and_never_the_answers_scored() -> None:
    with pytest.raises(PredictionError, match=r"no column 'model_output'.*answer"):
        outputs_from_column(ROWS, "model_output")
    filled = [{**r, "model_output": SAID[r["id"]] or None} for r in ROWS]
    assert outputs_from_column(filled, "model_output") == outputs_from_lines(lines(), ROWS)
    with pytest.raises(PredictionError, match=r"1 rows lack the column 'model_output' \(first: s1\)"):
        outputs_from_column([ROWS[0], *filled[1:]], "model_output")
    with pytest.raises(PredictionError, match=r"1 predictions in 'model_output' are no text"):
        outputs_from_column([{**filled[0], "model_output": 3}, *filled[1:]], "model_output")


def test_instruction_with_a_fault_names_its_item() -> None:
    rows = [row("i9", "instruction following", None, [], task_identifier="Number Bullets", kwargs="{}")]
    with pytest.raises(RuleError, match="item i9"):
        score(rows, [Output(texts=("x",), orders=((),))], encode=None, verdicts=None)
    unknown = [row("i9", "instruction following", None, [], task_identifier="Rhymes", kwargs=json.dumps({}))]
    got = score(unknown, [Output(texts=("x",), orders=((),))], encode=None, verdicts=None)
    assert part(got, "instruction following", OURS).scores.tolist() == [0.0]


def test_no_rows() -> None:
    with pytest.raises(PredictionError, match="no rows"):
        score([], [], encode=None, verdicts=None)


def test_release_reads_the_judges_lines_and_rates_blanks() -> None:
    bold = "\n".join(f"**{name.upper()}:** 5" for name in CRITERIA)
    judged = [
        OpenVerdict(id="o1", scores=dict.fromkeys(CRITERIA, 5.0), lines=bold),
        OpenVerdict(id="o2", scores={"clarity": 4.0}, error="without a score: overall", lines="CLARITY: 4.9"),
        OpenVerdict(id="o3", scores=dict.fromkeys(CRITERIA, 1.0), unanswered=True, lines="OVERALL: 2"),
    ]
    parts = scored(verdicts=judged)
    assert by_id(part(parts, "open", OURS)) == {"o1": 1.0, "o3": 0.2}
    assert by_id(part(parts, "open", RELEASE)) == {"o1": 0.6, "o2": 0.65, "o3": 0.4}

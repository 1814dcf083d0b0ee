"""Claims: verdicts from intervals, the paired test behind them, and what happens where it cannot be made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml

from core.report.cells import Cell, Items
from core.report.claims import MIN_UNITS, Claim, Side, check_claim, printed_effect, read_claims, verdict
from core.report.paper import PaperError, Reported, parse_paper

PAPER = parse_paper(
    {
        "title": "t",
        "name": "Demo",
        "venue": "v",
        "year": 2024,
        "url": "u",
        "licence": "MIT",
        "status": "planned",
        "tables": {
            "main": {
                "title": "Main",
                "columns": {"x": {"label": "X"}, "y": {"label": "Y"}},
                "groups": {"both": ["x", "y"]},
                "rows": {
                    "a": {"label": "A"},
                    "b": {"label": "B"},
                    "random": {"label": "R", "derived": "1/4"},
                },
            }
        },
    },
    key="demo",
    where="paper.yaml",
)


def claim(kind="greater", margin=0.0, columns=("x",), left="a", right="b") -> Claim:
    return Claim(
        id="one",
        text="A beats B",
        source="s",
        table="main",
        kind=kind,
        left=Side(row=left, columns=columns),
        right=Side(row=right, columns=columns),
        margin=margin,
    )


def scored(
    row: str,
    column: str,
    *scores: np.ndarray,
    dataset: str = "demo",
    ids: tuple[str, ...] = (),
    units: tuple[str, ...] = (),
) -> tuple[Cell, Items]:
    values = tuple(100 * float(s.mean()) for s in scores)
    value = sum(values) / len(values)
    cell = Cell(
        row=row,
        column=column,
        value=value,
        low=value - 1,
        high=value + 1,
        n=len(scores[0]),
        seeds=values,
        scale="mini",
        protocol="p",
    )
    ids = ids or tuple(f"i{i}" for i in range(len(scores[0])))
    return cell, Items(row=row, column=column, dataset=dataset, scores=scores, ids=ids, units=units)


def check(claim_: Claim, *pairs: tuple[Cell, Items | None]):
    cells = {(c.row, c.column): c for c, _ in pairs}
    items = {(i.row, i.column): i for _, i in pairs if i is not None}
    return check_claim(claim_, cells=cells, items=items)


@pytest.mark.parametrize(
    ("kind", "margin", "low", "high", "expected"),
    [
        ("greater", 0, 0.1, 5, "holds"),
        ("greater", 0, -5, -0.1, "does not hold"),
        ("greater", 0, -5, 0, "does not hold"),
        ("greater", 0, -1, 5, "undecided"),
        ("not_worse", 2, -1.9, 0, "holds"),
        ("not_worse", 2, -5, -2.1, "does not hold"),
        ("not_worse", 2, -3, 1, "undecided"),
        ("equivalent", 2, -1.9, 1.9, "holds"),
        ("equivalent", 2, 2.1, 4, "does not hold"),
        ("equivalent", 2, -4, -2.1, "does not hold"),
        ("equivalent", 2, -1, 2.1, "undecided"),
        ("equivalent", 2, -3, 3, "undecided"),
    ],
)
def test_verdicts(kind, margin, low, high, expected):
    assert verdict(claim(kind, margin), low, high) == expected


def test_two_rows_are_compared_item_by_item():
    rng = np.random.default_rng(0)
    b = [(rng.random(200) < 0.4).astype(float) for _ in range(3)]
    a = [np.maximum(s, rng.random(200) < 0.1) for s in b]
    outcome = check(claim(), scored("a", "x", *a), scored("b", "x", *b))
    assert outcome.verdict == "holds"
    assert (outcome.n, outcome.agree, outcome.seeds) == (200, 3, 3)
    difference = 100 * (np.mean(a, axis=0) - np.mean(b, axis=0))
    half = 1.972 * difference.std(ddof=1) / 200**0.5
    assert outcome.effect is not None
    assert outcome.effect.effect == pytest.approx(difference.mean())
    assert half < (outcome.effect.high - outcome.effect.low) / 2 < 1.1 * half
    back = check(claim(left="b", right="a"), scored("a", "x", *a), scored("b", "x", *b))
    assert (back.verdict, back.agree) == ("does not hold", 0)


def test_columns_are_averaged_over_data_sets():
    rng = np.random.default_rng(1)
    pairs = []
    for column, dataset in (("x", "one"), ("y", "two")):
        size = 100 if column == "x" else 150
        b = (rng.random(size) < 0.5).astype(float)
        pairs += [scored("a", column, b, dataset=dataset), scored("b", column, 1 - b, dataset=dataset)]
    outcome = check(claim("equivalent", 40.0, columns=("x", "y")), *pairs)
    cells = {(c.row, c.column): c.value for c, _ in pairs}
    effect = np.mean([cells["a", c] - cells["b", c] for c in ("x", "y")])
    assert outcome.effect is not None
    assert outcome.effect.effect == pytest.approx(effect)
    assert outcome.n == 100
    assert outcome.verdict == "holds"


def test_a_derived_row_is_a_constant():
    hits = (np.arange(400) % 10 == 0).astype(float)
    random = Cell(
        row="random",
        column="x",
        value=25.0,
        low=25.0,
        high=25.0,
        n=400,
        seeds=(25.0,),
        scale="mini",
        protocol="1/4",
    )
    outcome = check(claim(left="random", right="a"), (random, None), scored("a", "x", hits, hits, hits))
    assert outcome.verdict == "holds"
    assert outcome.effect is not None
    assert outcome.effect.effect == pytest.approx(15.0)
    assert (outcome.agree, outcome.seeds) == (3, 3)


def test_contributions_are_paired_by_their_units():
    rng = np.random.default_rng(2)
    shared = rng.normal(0.5, 0.3, size=80)  # what both rows owe to the same clips
    a, b = shared + 0.01 + rng.normal(0, 0.001, size=80), shared
    order = rng.permutation(80)
    pairs = []
    for row, values, places in (("a", a, np.arange(80)), ("b", b, order)):
        cell, made = scored(row, "x", values[places], ids=tuple(f"i{i}" for i in places))
        pairs.append((cell, replace(made, kind="contributions")))
    outcome = check(claim(), *pairs)
    assert outcome.verdict == "holds"
    assert outcome.effect is not None
    assert outcome.effect.high - outcome.effect.low < 1


def test_rows_that_lack_different_items_are_compared_on_those_that_both_have():
    rng = np.random.default_rng(3)
    right = (rng.random(60) < 0.5).astype(float)
    names = [f"i{i}" for i in range(60)]
    a = scored("a", "x", right[5:], ids=tuple(names[5:]))
    b = scored("b", "x", right[:-5][::-1], ids=tuple(names[:-5][::-1]))
    outcome = check(claim(), a, b)
    assert outcome.effect is not None
    assert (outcome.effect.effect, outcome.effect.p) == (0.0, 1.0)  # the same answers to the same items
    assert outcome.n == 50
    assert outcome.reason == "a/x and b/x: over the 50 items that both have, of 55 and 55"
    statistic = [(cell, replace(made, kind="contributions")) for cell, made in (a, b)]
    assert "different items of demo" in check(claim(), *statistic).reason
    apart = scored("b", "x", right, ids=tuple(f"j{i}" for i in range(60)))
    assert check(claim(), a, apart).reason == "a/x and b/x share no item of demo"


def test_parts_of_one_exam_are_compared_without_pairs():
    easy = scored("a", "x", np.repeat([1.0, 0.0], [80, 20]), dataset="demo/easy")
    hard_ids = tuple(f"h{i}" for i in range(50))
    hard = scored("b", "x", np.repeat([1.0, 0.0], [20, 30]), dataset="demo/hard", ids=hard_ids)
    outcome = check(claim(), easy, hard)
    assert outcome.effect is not None
    half = 1.976 * 100 * (0.8 * 0.2 / 100 + 0.4 * 0.6 / 50) ** 0.5
    assert outcome.effect.effect == pytest.approx(40.0)
    assert half < outcome.effect.high - 40.0 < 1.2 * half  # few events leave something open
    assert outcome.n == 50  # of the smaller part


def test_three_questions_about_a_clip_count_once():
    rng = np.random.default_rng(4)
    pair = [(rng.random(150) < share).astype(float) for share in (0.55, 0.45)]
    units = tuple(f"demo:{i // 3}" for i in range(450))
    once = check(claim(), *(scored(row, "x", one) for row, one in zip("ab", pair)))
    thrice = check(claim(), *(scored(r, "x", np.repeat(one, 3), units=units) for r, one in zip("ab", pair)))
    assert once.effect is not None
    assert thrice.effect is not None
    assert thrice.n == 150
    assert (thrice.effect.low, thrice.effect.high) == pytest.approx((once.effect.low, once.effect.high))


def test_too_few_items_test_nothing():
    for n in (1, 2, MIN_UNITS - 1):
        outcome = check(claim(), scored("a", "x", np.ones(n)), scored("b", "x", np.zeros(n)))
        assert (outcome.verdict, outcome.effect) == ("not tested", None)
        assert outcome.reason == f"too few items: {n} in the smallest set, fewer than {MIN_UNITS}"
    enough = check(claim(), scored("a", "x", np.ones(20)), scored("b", "x", np.zeros(20)))
    assert enough.verdict == "holds"
    large = [scored(row, "y", np.tile([0.0, 1.0], 100), dataset="large") for row in "ab"]
    small = [scored(row, "x", np.ones(5)) for row in "ab"]
    outcome = check(claim(columns=("x", "y")), *large, *small)
    assert outcome.reason.startswith("too few items: 5 in the smallest set")


def test_the_same_answers_are_not_equivalent_for_certain():
    """Two rows that agree on all of 40 items may still differ on 1 of 20."""
    same = (np.arange(40) % 2).astype(float)
    outcome = check(claim("equivalent", 4.0), scored("a", "x", same), scored("b", "x", same))
    assert outcome.verdict == "undecided"
    many = (np.arange(400) % 2).astype(float)
    assert check(claim("equivalent", 4.0), scored("a", "x", many), scored("b", "x", many)).verdict == "holds"


def test_equivalence_is_not_shown_by_a_lack_of_data():
    few = np.tile([1.0, 0.0], 6)
    outcome = check(claim("equivalent", 2.0), scored("a", "x", few), scored("b", "x", 1 - few))
    assert outcome.verdict == "undecided"


def test_what_cannot_be_tested_says_why():
    hits = np.arange(10) % 2 == 0.0
    a, b = scored("a", "x", hits), scored("b", "x", hits)
    assert check(claim(), a).reason == "b/x has no number in this profile"
    assert "b/x has no item scores" in check(claim(), a, (b[0], None)).reason
    other = scored("b", "x", hits, dataset="other")
    assert "scored on different data (demo, other)" in check(claim(), a, other).reason
    assert "different units" in check(claim(), a, (replace(b[0], unit="s"), b[1])).reason
    untested = check(claim(), a)
    assert (untested.verdict, untested.effect) == ("not tested", None)


def test_the_printed_effect_needs_all_of_its_numbers():
    def printed(row: str, column: str, value: float) -> Reported:
        return Reported(table="main", row=row, column=column, value=value, text=str(value), source="s")

    numbers = {
        ("main", r, c): printed(r, c, v) for r, c, v in [("a", "x", 30.0), ("b", "x", 10.0), ("a", "y", 6.0)]
    }
    assert printed_effect(claim(), numbers) == 20.0
    assert printed_effect(claim(columns=("x", "y")), numbers) is None
    numbers["main", "b", "y"] = printed("b", "y", 5.0)
    assert printed_effect(claim(columns=("x", "y")), numbers) == 10.5


GOOD = {
    "id": "one",
    "text": "A beats B",
    "source": "abstract",
    "table": "main",
    "comparison": {
        "kind": "greater",
        "left": {"row": "a", "columns": ["x"]},
        "right": {"row": "b", "columns": ["x"]},
    },
}


def test_reads_claims(tmp_path):
    assert read_claims(tmp_path, paper=PAPER) == ()
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump([GOOD]))
    (read,) = read_claims(tmp_path, paper=PAPER)
    assert read.left == Side(row="a", columns=("x",))
    assert (read.kind, read.margin) == ("greater", 0.0)


def test_a_group_of_columns_is_named_once(tmp_path):
    sides = {side: {"row": row, "columns": "both"} for side, row in (("left", "a"), ("right", "b"))}
    text = yaml.safe_dump([{**GOOD, "comparison": {"kind": "greater", **sides}}])
    (tmp_path / "claims.yaml").write_text(text)
    (read,) = read_claims(tmp_path, paper=PAPER)
    assert read.left == Side(row="a", columns=("x", "y"))
    (tmp_path / "claims.yaml").write_text(text.replace("both", "bath"))
    with pytest.raises(PaperError, match=r"left.columns: .* name of a group .*'bath'; did you mean 'both'"):
        read_claims(tmp_path, paper=PAPER)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tabel": "main"}, r"\(one\): tabel: unknown key; did you mean 'table'"),
        ({"table": "mian"}, "unknown table 'mian'; did you mean 'main'"),
        (
            {"comparison": None},
            "comparison: expected a mapping with kind, left, right, margin, why_margin, got nothing",
        ),
        (
            {"kind": "better"},
            r"comparison.kind: 'better' \(str\) is not a choice; did you mean 'greater'\? known: greater",
        ),
        ({"left": {"row": "aa", "columns": ["x"]}}, "has no row 'aa'; did you mean 'a'"),
        ({"left": {"row": "a", "columns": ["z"]}}, "has no column 'z'"),
        ({"left": {"row": "a", "columns": ["x", "y"]}}, "same number of columns"),
        (
            {"left": {"row": "a", "columns": "x"}},
            r"left.columns: expected a list of strings or the name of a group of columns, found 'x'",
        ),
        ({"margin": 2}, "greater takes neither"),
        ({"kind": "not_worse"}, "need a margin above 0 and a why_margin"),
        ({"kind": "not_worse", "margin": 2.0}, "need a margin above 0 and a why_margin"),
    ],
)
def test_a_wrong_claim_says_where(tmp_path, changes, message):
    bad = {**GOOD, "comparison": dict(GOOD["comparison"])}
    for key, value in changes.items():
        (bad["comparison"] if key in ("kind", "left", "margin") else bad)[key] = value
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump([bad]))
    with pytest.raises(PaperError, match=message) as error:
        read_claims(tmp_path, paper=PAPER)
    assert "claim 1 (one)" in str(error.value)


def test_the_same_id_twice_is_an_error(tmp_path):
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump([GOOD, GOOD]))
    with pytest.raises(PaperError, match="the id 'one' is given twice"):
        read_claims(tmp_path, paper=PAPER)


def test_every_wrong_claim_is_listed(tmp_path):
    other = {**GOOD, "id": "two", "table": "mian"}
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump([{**GOOD, "text": 3}, other, GOOD, GOOD]))
    with pytest.raises(PaperError) as error:
        read_claims(tmp_path, paper=PAPER)
    first, second, third = str(error.value).splitlines()
    assert "claim 1 (one): text: expected str, got 3 (int); quote it" in first
    assert "claim 2 (two): unknown table 'mian'" in second
    assert "the id 'one' is given twice" in third

"""Claims: verdicts from intervals, the paired test behind them, and what happens where it cannot be made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml

from core.metrics.bootstrap import dataset_seed, paired_bootstrap
from core.report.cells import Cell, Items
from core.report.claims import Claim, Side, check_claim, printed_effect, read_claims, verdict
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


def scored(row: str, column: str, *scores: np.ndarray, dataset: str = "demo") -> tuple[Cell, Items]:
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
    return cell, Items(row=row, column=column, dataset=dataset, scores=scores)


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
    expected = paired_bootstrap(a, b, seed=dataset_seed("demo"))
    assert outcome.effect is not None
    assert outcome.effect.effect == pytest.approx(100 * expected.effect)
    assert (outcome.effect.low, outcome.effect.high) == pytest.approx(
        (100 * expected.low, 100 * expected.high), abs=1
    )
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


def test_replicates_are_paired_as_they_were_drawn():
    rng = np.random.default_rng(2)
    shared = rng.normal(50, 10, size=2000)  # what both rows owe to the drawn items
    pairs = []
    for row, shift in (("a", 1.0), ("b", 0.0)):
        value = 50.0 + shift
        cell = Cell(
            row=row,
            column="x",
            value=value,
            low=30,
            high=70,
            n=80,
            seeds=(value,),
            scale="mini",
            protocol="mAP",
        )
        draws = (shared + shift + rng.normal(0, 0.1, size=2000),)
        pairs.append((cell, Items(row=row, column="x", dataset="d", scores=draws, kind="replicates")))
    outcome = check(claim(), *pairs)
    assert outcome.verdict == "holds"
    assert outcome.effect is not None
    assert outcome.effect.high - outcome.effect.low < 1


def test_equivalence_is_not_shown_by_a_lack_of_data():
    few = np.array([1.0, 0.0, 1.0, 0.0, 1.0])
    outcome = check(claim("equivalent", 2.0), scored("a", "x", few), scored("b", "x", 1 - few))
    assert outcome.verdict == "undecided"


def test_what_cannot_be_tested_says_why():
    hits = np.arange(10) % 2 == 0.0
    a, b = scored("a", "x", hits), scored("b", "x", hits)
    assert check(claim(), a).reason == "b/x has no number in this profile"
    assert "b/x has no item scores" in check(claim(), a, (b[0], None)).reason
    other = scored("b", "x", hits, dataset="other")
    assert "scored on different data (demo, other)" in check(claim(), a, other).reason
    assert "different kinds or numbers" in check(claim(), a, scored("b", "x", hits[:5])).reason
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
            r"comparison.left.columns: expected tuple\[str, ...\], got 'x' \(str\)",
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

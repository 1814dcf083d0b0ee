"""How often intervals cover the truth and claims hold wrongly, counted over simulated test sets.

Three data sets of a setting run with every test; the counts behind the stated rates run with `nox -s audit`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from core.metrics.bootstrap import resample_counts
from core.metrics.classification import macro_average_precision
from core.report.cells import Cell, Items
from core.report.claims import Claim, Side, check_claim
from core.report.join import average_cell
from core.report.scoring import map_cell, mean_cell

# clips, classes, share of positives, distance of their scores: few positives a class, weak and strong models
MAPS = [
    (100, 5, 0.2, 1.0),
    (100, 20, 0.05, 1.0),
    (200, 40, 0.03, 0.5),
    (200, 40, 0.03, 2.0),
    (60, 20, 0.08, 1.5),
]
SIZES = (10, 20, 40, 75)
HOW = {"scale": "mini", "protocol": "simulated"}


def ids(n: int) -> list[str]:
    return [f"i{i}" for i in range(n)]


def drawn_map(rng: np.random.Generator, n: int, classes: int, share: float, distance: float):
    labels = rng.random((n, classes)) < share
    labels[0, 0] = True
    return rng.normal(size=(n, classes)) + distance * labels, labels


def map_coverage(setting, *, sets: int) -> tuple[float, int]:
    """The share of intervals that cover the mean of macro mAP over test sets of this size, and how many leave
    their own value outside."""
    rng = np.random.default_rng(0)
    truth = 100 * np.mean([macro_average_precision(*drawn_map(rng, *setting)).value for _ in range(500)])
    covered = outside = 0
    for _ in range(sets):
        scores, labels = drawn_map(rng, *setting)
        cell, _ = map_cell("a", "map", "set", [scores], labels, ids(len(labels)), **HOW)
        covered += cell.low <= truth <= cell.high
        outside += not cell.low <= cell.value <= cell.high
    return covered / sets, outside


@pytest.mark.parametrize("setting", MAPS)
def test_no_macro_map_lies_outside_its_interval(setting):
    assert map_coverage(setting, sets=3)[1] == 0


@pytest.mark.audit
@pytest.mark.parametrize("setting", MAPS)
def test_macro_map_is_covered(setting):
    share, outside = map_coverage(setting, sets=400)
    assert share >= 0.93
    assert outside == 0


@pytest.mark.audit
def test_the_bootstrap_of_macro_map_is_not():
    """Why intervals of macro mAP are not resampled: a clip drawn twice ranks beside itself."""
    rng, setting = np.random.default_rng(0), MAPS[2]
    truth = np.mean([macro_average_precision(*drawn_map(rng, *setting)).value for _ in range(300)])
    counts = np.concatenate(list(resample_counts(setting[0], seed=1, replicates=200))).astype(int)
    covered = 0
    for _ in range(40):
        scores, labels = drawn_map(rng, *setting)
        places = [np.repeat(np.arange(setting[0]), row) for row in counts]
        replicates = [macro_average_precision(scores[p], labels[p]).value for p in places]
        low, high = np.quantile(replicates, [0.025, 0.975])
        covered += low <= truth <= high
    assert covered / 40 < 0.85


def scored(
    row: str, column: str, scores: np.ndarray, units: list[str] | None = None, dataset: str = "set"
) -> tuple[Cell, Items]:
    return mean_cell(row, column, dataset, [scores], ids(len(scores)), units=units or (), **HOW)


def outcomes(
    kind, margin: float, draw: Callable, *, n: int, sets: int, columns: tuple[str, ...] = ("x",)
) -> list[str]:
    """Verdicts of a claim over the mean of `columns`, each of a data set of its own of n items."""
    side = {row: Side(row=row, columns=columns) for row in "ab"}
    claim = Claim(
        id="c", text="t", source="s", table="main", kind=kind, left=side["a"], right=side["b"], margin=margin
    )
    rng, found = np.random.default_rng(n), []
    for _ in range(sets):
        pair = [
            scored(row, column, one, dataset=column)
            for column in columns
            for row, one in zip("ab", draw(rng, n))
        ]
        found.append(
            check_claim(
                claim,
                cells={(c.row, c.column): c for c, _ in pair},
                items={(i.row, i.column): i for _, i in pair},
            ).verdict
        )
    return found


def better(gain: float, loss: float) -> Callable:
    """Two rows: only the first is right on `gain` of the items, only the second on `loss` of them."""

    def draw(rng: np.random.Generator, n: int):
        right, u = rng.random(n) < 0.5, rng.random(n)
        first, second = right.copy(), right.copy()
        first[u < gain], second[u < gain] = True, False
        swapped = (u >= gain) & (u < gain + loss)
        first[swapped], second[swapped] = False, True
        return first.astype(float), second.astype(float)

    return draw


@pytest.mark.parametrize("n", SIZES)
def test_three_small_sets_do_not_show_equivalence(n):
    assert "holds" not in outcomes("equivalent", 4.0, better(0.05, 0.0), n=n, sets=3)


@pytest.mark.audit
@pytest.mark.parametrize("n", [*SIZES, 50, 60, 100, 150, 400])
@pytest.mark.parametrize("rates", [(0.05, 0.0), (0.08, 0.03), (0.15, 0.10), (0.30, 0.25)])
def test_equivalence_holds_wrongly_at_most_as_often_as_stated(n, rates):
    """The true difference is 5 points, the margin 4."""
    found = outcomes("equivalent", 4.0, better(*rates), n=n, sets=500)
    assert found.count("holds") / len(found) <= 0.05


@pytest.mark.audit
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("columns", [("x", "y", "z"), tuple("abcdefghijkl")])
def test_a_mean_over_data_sets_holds_wrongly_at_most_as_often_as_stated(n, columns):
    equal = outcomes("equivalent", 4.0, better(0.05, 0.0), n=n, sets=200, columns=columns)
    assert equal.count("holds") / len(equal) <= 0.06
    none = outcomes("greater", 0.0, better(0.05, 0.05), n=n, sets=200, columns=columns)
    assert none.count("holds") / len(none) <= 0.06


@pytest.mark.audit
@pytest.mark.parametrize("n", [*SIZES, 150, 400])
@pytest.mark.parametrize("rate", [0.02, 0.05, 0.15, 0.30])
def test_a_difference_that_is_none_holds_wrongly_at_most_as_often_as_stated(n, rate):
    found = outcomes("greater", 0.0, better(rate, rate), n=n, sets=500)
    assert found.count("holds") / len(found) <= 0.05


@pytest.mark.audit
def test_a_difference_is_found_where_there_are_items_enough():
    found = outcomes("greater", 0.0, better(0.30, 0.05), n=75, sets=200)
    assert found.count("holds") / len(found) >= 0.9
    same = outcomes("equivalent", 4.0, better(0.01, 0.01), n=400, sets=200)
    assert same.count("holds") / len(same) >= 0.9


def average_coverage(*, sets: int, n: int = 100) -> float:
    """Three questions about each answer: one average over columns that share their items."""
    rng, covered = np.random.default_rng(5), 0
    for _ in range(sets):
        ability = rng.normal(size=n)
        parts = [
            scored("a", column, (ability + rng.normal(scale=0.5, size=n) > 0).astype(float))
            for column in "xyz"
        ]
        average = average_cell(parts, column="mean")
        assert average is not None
        covered += average.low <= 50.0 <= average.high
    return covered / sets


@pytest.mark.audit
def test_an_average_over_the_same_answers_is_covered():
    assert 0.93 <= average_coverage(sets=600) <= 0.985


@pytest.mark.audit
def test_clips_with_several_questions_are_covered():
    rng, covered, sets = np.random.default_rng(6), 0, 400
    units = [f"set:{i // 3}" for i in range(300)]
    for _ in range(sets):
        easy = np.repeat(rng.random(100), 3)
        cell, _ = scored("a", "x", (rng.random(300) < easy).astype(float), units)
        covered += cell.low <= 50.0 <= cell.high
    assert covered / sets >= 0.92

"""NaN and infinity are errors that name the items, never answers."""

from __future__ import annotations

import pytest
import torch

from core.train.finite import FiniteScores, NotFiniteError, check_finite

IDS = ["a", "b", "c"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_at_any_step_name_their_item(bad: float) -> None:
    watch = FiniteScores()
    good = torch.zeros(3, 5)
    good[:, 4] = -float("inf")  # a token that is not allowed
    assert watch(torch.zeros(3, 1), good) is good
    watch.check(IDS)
    later = good.clone()
    later[1, 2] = bad
    watch(torch.zeros(3, 2), later)
    watch(torch.zeros(3, 3), good)
    with pytest.raises(NotFiniteError, match=r"not finite \(NaN or infinity\) for b:"):
        watch.check(IDS)


def test_nothing_watched_is_nothing_wrong() -> None:
    FiniteScores().check(IDS)


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 2, 2)])
def test_values_name_their_rows(shape: tuple[int, ...]) -> None:
    values = torch.zeros(shape)
    check_finite(values, IDS)
    values[2] = float("-inf")
    with pytest.raises(NotFiniteError, match="for c:"):
        check_finite(values, IDS)

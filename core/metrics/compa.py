"""CompA's text, audio and group scores (ICLR 2024), with its triplets, and what guessing scores on them."""

from __future__ import annotations

from fractions import Fraction
from math import factorial, prod
from typing import Literal

import numpy as np

Triplets = Literal["paper", "pairs_only"]
SCORES = ("text", "audio", "group")


def compa_scores(
    similarity: np.ndarray, has_triplet: np.ndarray, *, triplets: Triplets = "paper"
) -> dict[str, np.ndarray]:
    """Score each instance of a CompA benchmark; report 100 times the mean.

    text:  every audio prefers its own caption,  s(C_j, A_j) > s(C_i, A_j) for all i != j;
    audio: every caption prefers its own audio,  s(C_i, A_i) > s(C_i, A_j) for all j != i;
    group: both. The comparison is strict, so a tie loses.

    Args:
        similarity: (N, 3, 3), `similarity[n, i, j]` = s(caption i, audio j); the third row and column are
        read only
            where `has_triplet` says so and may hold anything (NaN) elsewhere.
        has_triplet: (N,) bool, the instance has a third caption and audio (the overlapping events).
        triplets: "paper" demands all three of a triplet to win, which reproduces the random baseline that the
        paper
            prints (19.70); "pairs_only" ignores the third pair, as the released script does.

    Returns:
        {"text", "audio", "group"}: (N,) bool each.

    Raises:
        ValueError: on other shapes, or a similarity that is needed and not finite (a broken embedding is no
        answer).
    """
    similarity, has_triplet = np.asarray(similarity), np.asarray(has_triplet)
    if similarity.ndim != 3 or similarity.shape[1:] != (3, 3) or not len(similarity):
        raise ValueError(f"similarity has shape {similarity.shape}; it must be (N, 3, 3) with N > 0")
    if has_triplet.shape != similarity.shape[:1] or has_triplet.dtype != np.bool_:
        raise ValueError(
            f"has_triplet is {has_triplet.dtype} of shape {has_triplet.shape}; "
            f"it must be bool of shape ({len(similarity)},)"
        )
    three = has_triplet if _checked(triplets) == "paper" else np.zeros_like(has_triplet)
    used = np.ones(similarity.shape, dtype=bool)
    used[~three, 2, :] = used[~three, :, 2] = False
    broken = np.flatnonzero((used & ~np.isfinite(similarity)).any(axis=(1, 2)))
    if broken.size:
        raise ValueError(
            f"{broken.size} of {len(similarity)} instances have a similarity that is not finite, "
            f"the first at index {broken[0]}; look for NaN in the embeddings of that instance"
        )
    own = np.diagonal(similarity, axis1=1, axis2=2)  # (N, 3)
    rival = used & ~np.eye(3, dtype=bool)
    # A rival that does not exist cannot beat anybody; an own pair that does not exist has no rivals left.
    text: np.ndarray = np.all((own[:, None, :] > similarity) | ~rival, axis=(1, 2))
    audio: np.ndarray = np.all((own[:, :, None] > similarity) | ~rival, axis=(1, 2))
    return {"text": text, "audio": audio, "group": text & audio}


def random_baseline(n_pairs: int, n_triplets: int, *, triplets: Triplets = "paper") -> dict[str, Fraction]:
    """The exact expectation (a probability, not a percentage) of each score for independent continuous
    similarities.

    With k pairs, text and audio ask k independent choices among k: (1/k)^k. Group asks every diagonal entry
    to be the largest of its row and its column. Fix the order of the diagonal entries: an off-diagonal entry
    must then lie below the smaller of its two, so the constraints form a tree and the hook-length formula
    counts its orderings. The m smallest diagonal entries stand above m + k(k-1) - (k-m)(k-m-1) entries
    (themselves included), hence P = k! / prod_m (m + k(k-1) - (k-m)(k-m-1)): 1/6 for pairs, 1/60 for
    triplets.

    CompA-order (300 pairs, 100 triplets): 19.68, 19.68 and 12.92 %. The paper prints 19.70, 19.70 and 16.67:
    its group value is the one of pairs alone.
    """
    if n_pairs < 0 or n_triplets < 0 or n_pairs + n_triplets == 0:
        raise ValueError(
            f"cannot average over {n_pairs} pairs and {n_triplets} triplets; there must be at least one"
        )
    sizes = {2: n_pairs, 3: n_triplets} if _checked(triplets) == "paper" else {2: n_pairs + n_triplets}
    total = n_pairs + n_triplets
    one_side = sum((Fraction(n, total) * Fraction(1, k) ** k for k, n in sizes.items()), Fraction(0))
    group = sum((Fraction(n, total) * _group_chance(k) for k, n in sizes.items()), Fraction(0))
    return {"text": one_side, "audio": one_side, "group": group}


def _group_chance(k: int) -> Fraction:
    below = [m + k * (k - 1) - (k - m) * (k - m - 1) for m in range(1, k + 1)]
    return Fraction(factorial(k), prod(below))


def _checked(triplets: str) -> str:
    if triplets not in ("paper", "pairs_only"):
        raise ValueError(f"triplets is {triplets!r}; it must be 'paper' or 'pairs_only'")
    return triplets

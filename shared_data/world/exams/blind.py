"""Can the text alone give the answer? Rules and a learned model that never hear the sound.

Text first (`shared_data.world.exams.item`) makes all of them guess: with four options each is right in 25 %
of the items up to chance. MMAU itself is not so: always the first option is right in 39.8 % of its published
file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.metrics.choice_rules import words
from shared_data.world.exams.item import Draft, ItemError

Choose = Callable[[Draft], int]  # an item's text -> the place of the option it picks
CONTENT = 3  # letters: shorter words ("a", "is") are no overlap


@dataclass(frozen=True)
class Blind:
    """How often a check was right, with a Wilson interval."""

    correct: int
    n: int
    low: float
    high: float

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1."""
        return self.correct / self.n

    def near(self, chance: float) -> bool:
        """Whether the interval holds `chance`."""
        return self.low <= chance <= self.high


def first(draft: Draft) -> int:
    """The option shown first."""
    return 0


def longest(draft: Draft) -> int:
    """The option with the most characters, the earlier of equals."""
    return max(range(len(draft.choices)), key=lambda place: (len(draft.choices[place]), -place))


def overlap(draft: Draft) -> int:
    """The option that shares the most words with the question and the other options."""
    asked = words(draft.question)

    def shared(place: int) -> tuple[int, int, int]:
        others = [words(choice) for at, choice in enumerate(draft.choices) if at != place]
        own = {word for word in words(draft.choices[place]) if len(word) >= CONTENT}
        return len(own & asked), sum(len(own & other) for other in others), -place

    return max(range(len(draft.choices)), key=shared)


@dataclass(frozen=True)
class TextModel:
    """A conditional logistic regression over words of the option, alone and paired with those asked."""

    columns: Mapping[str, int]
    weights: np.ndarray  # (F,)

    def __call__(self, draft: Draft) -> int:
        """The option with the highest score, the first of equals."""
        scores = [
            sum(float(self.weights[self.columns[f]]) for f in features if f in self.columns)
            for features in _features(draft)
        ]
        return int(np.argmax(scores))


def learn(drafts: Sequence[Draft], *, strength: float = 1.0) -> TextModel:
    """Fit the text model: softmax over each item's options, squared weights times `strength` / 2 as penalty.

    Raises ItemError without items.
    """
    from scipy.optimize import minimize
    from scipy.sparse import csr_matrix

    if not drafts:
        raise ItemError("no items to learn from: draw some of the train split")
    options = [features for draft in drafts for features in _features(draft)]
    columns = {name: at for at, name in enumerate(sorted({f for features in options for f in features}))}
    places = np.array([columns[f] for features in options for f in features])
    starts = np.cumsum([0, *map(len, options)])
    table = csr_matrix((np.ones(len(places)), places, starts), shape=(len(options), len(columns)))
    sizes = np.array([len(draft.choices) for draft in drafts])
    edges = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    gold = edges + np.array([draft.choices.index(draft.answer) for draft in drafts])
    item = np.repeat(np.arange(len(drafts)), sizes)
    right = np.zeros(len(options))
    right[gold] = 1.0

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = table @ weights
        scores = scores - np.maximum.reduceat(scores, edges)[item]
        share = np.exp(scores)
        total = np.add.reduceat(share, edges)
        value = float(np.log(total).sum() - scores[gold].sum() + 0.5 * strength * weights @ weights)
        return value, table.T @ (share / total[item] - right) + strength * weights

    fitted = minimize(loss, np.zeros(len(columns)), jac=True, method="L-BFGS-B", options={"maxiter": 100})
    return TextModel(columns=columns, weights=fitted.x)


def score(drafts: Iterable[Draft], choose: Choose, *, z: float = 1.96) -> Blind:
    """How often `choose` picks the answer, with the Wilson interval of `z` standard errors."""
    hits = [draft.choices[choose(draft)] == draft.answer for draft in drafts]
    if not hits:
        raise ItemError("no items to score")
    n, share = len(hits), sum(hits) / len(hits)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Blind(sum(hits), n, centre - half, centre + half)


def report(train: Sequence[Draft], test: Sequence[Draft], *, z: float = 1.96) -> dict[str, dict[str, Blind]]:
    """skill -> check -> its score on `test`; a skill's text model is learnt from its items of `train`."""
    found: dict[str, dict[str, Blind]] = {}
    for skill in dict.fromkeys(draft.skill for draft in test):
        own = [draft for draft in test if draft.skill == skill]
        checks: dict[str, Choose] = {"first": first, "longest": longest, "overlap": overlap}
        checks["text model"] = learn([draft for draft in train if draft.skill == skill])
        found[skill] = {name: score(own, choose, z=z) for name, choose in checks.items()}
    return found


def gold_places(drafts: Iterable[Draft]) -> tuple[tuple[int, ...], float]:
    """How often the answer stands at each place, and the chi-square p-value of all places being equal."""
    from scipy.stats import chi2

    at = [draft.choices.index(draft.answer) for draft in drafts]
    counts = np.bincount(at, minlength=4) if at else np.zeros(4, int)
    if not at:
        raise ItemError("no items to count")
    expected = len(at) / len(counts)
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return tuple(int(count) for count in counts), float(chi2.sf(statistic, len(counts) - 1))


def _features(draft: Draft) -> list[set[str]]:
    """Of each option: its words, its pairs of words, its text, its place and length, and question pairs."""
    asked = words(draft.question)
    lengths = [len(choice) for choice in draft.choices]
    found = []
    for place, choice in enumerate(draft.choices):
        own = words(choice)
        features = {f"place {place}", f"text {choice}", f"rank {sum(n < lengths[place] for n in lengths)}"}
        features |= {f"word {word}" for word in own}
        features |= {f"{word} | {other}" for word in own for other in asked}
        features |= {f"asked {word}" for word in own & asked}
        found.append(features)
    return found

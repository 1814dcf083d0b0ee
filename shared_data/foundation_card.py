"""The card of a foundation: what it was trained on, from which recipe, in how long, and how good it is.

Cards lie in git beside the foundations, `cards/<name>.json`, with a page that says the same to people. They
are no part of what DVC tracks of a foundation: where a card alone changes, nothing that stands on the weights
is stale.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.run.files import write_json, write_text_atomic

CARDS, SCORES = "cards", "scores.csv"


class CardError(ValueError):
    """A card that cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """A number with its 95 % interval. n: units; on: what it was measured on, in a phrase; goal: what was
    aimed at before training, if anything was."""

    name: str
    value: float
    low: float
    high: float
    n: int
    on: str
    goal: float | None = None


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a training read. recipe: fingerprint of how it is made; content: of its bytes."""

    recipe: str
    content: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a training is made of. code: file -> hash by meaning; libraries: name -> version."""

    code: Mapping[str, str]
    config: Mapping[str, Any]
    inputs: Mapping[str, Input]
    libraries: Mapping[str, str] = field(default_factory=dict)

    def changes(self, other: Recipe) -> list[str]:
        """What of `other` would train another model; empty for the same recipe.

        An input of which the recipe or the content is the same has not changed: another machine can give
        other bytes. Neither do libraries count: see `elsewhere`.
        """
        found = [path for path in sorted({*self.code, *other.code}) if _differ(self.code, other.code, path)]
        keys = sorted({*self.config, *other.config})
        found += [f"configuration: {key}" for key in keys if _differ(self.config, other.config, key)]
        for name in sorted({*self.inputs, *other.inputs}):
            mine, yours = self.inputs.get(name), other.inputs.get(name)
            if (
                mine is None
                or yours is None
                or (mine.content != yours.content and mine.recipe != yours.recipe)
            ):
                found.append(name)
        return found

    def elsewhere(self, other: Recipe) -> list[str]:
        """What differs though the recipe is the same: bytes of inputs, and libraries."""
        names = sorted({*self.inputs} & {*other.inputs})
        found = [name for name in names if self.inputs[name].content != other.inputs[name].content]
        return found + [
            f"{name} {self.libraries[name]} here {other.libraries[name]}"
            for name in sorted({*self.libraries} & {*other.libraries})
            if self.libraries[name] != other.libraries[name]
        ]


@dataclass(frozen=True, kw_only=True)
class Card:
    """first_loss: the first one that the training logged, by which `shared_data.again keep` tells whether
    changed code still trains alike; minutes: on `threads` threads."""

    name: str
    data: str
    licence: str
    parameters: int
    minutes: float
    threads: int
    first_loss: float | None
    scores: tuple[Score, ...]
    recipe: Recipe


def read_card(folder: Path) -> Card | None:
    """The card of the foundation in `folder`; None where there is none. Raises CardError."""
    place = card_path(folder)
    if not place.is_file():
        return None
    try:
        told = json.loads(place.read_text(encoding="utf-8"))
        recipe = told.pop("recipe")
        inputs = {name: Input(**one) for name, one in recipe.pop("inputs").items()}
        scores = tuple(Score(**one) for one in told.pop("scores"))
        return Card(**told, scores=scores, recipe=Recipe(**recipe, inputs=inputs))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CardError(
            f"{place} is no card ({error}): `git checkout -- {place}` brings the committed one back"
        ) from error


def write_card(folder: Path, card: Card) -> None:
    """Write the card of the foundation in `folder`, its page, and the scores of all cards beside it."""
    place = card_path(folder)
    write_json(place, asdict(card))
    write_text_atomic(place.with_suffix(".md"), page(card))
    _write_scores(place.parent)


def card_path(folder: Path) -> Path:
    """Where the card of the foundation in `folder` lies."""
    return folder.parent / CARDS / f"{folder.name}.json"


def _write_scores(cards_folder: Path) -> None:
    """Write scores.csv: those with a goal, for pages that quote them."""
    names = sorted(path.stem for path in cards_folder.glob("*.json"))
    cards = [card for name in names if (card := read_card(cards_folder.parent / name))]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("score", "value", "95 % interval", "n", "goal", "on"))
    for card in cards:
        for one in card.scores:
            if one.goal is not None:
                interval = f"{one.low:.3f} to {one.high:.3f}"
                writer.writerow(
                    (f"{card.name}: {one.name}", f"{one.value:.3f}", interval, one.n, f"{one.goal:g}", one.on)
                )
    write_text_atomic(cards_folder / SCORES, text.getvalue())


def page(card: Card) -> str:
    """The card for people."""
    threads = f"{card.threads} thread{'s' if card.threads > 1 else ''}"
    lines = [
        f"# {card.name}",
        "",
        f"Trained on: {card.data.rstrip('.')}. {card.parameters:,} parameters, stored in half precision; "
        f"{card.minutes:.0f} minutes of training on {threads}. Licence: {card.licence}.",
        "",
        *table(card.scores),
        "",
        "Scores are those of the weights as they are stored. `nox -s foundations` makes them; their recipe "
        f"stands in `{card.name}.json`.",
        "",
    ]
    return "\n".join(lines)


def table(scores: Sequence[Score]) -> list[str]:
    """Lines of a Markdown table."""
    lines = ["| score | value | 95 % interval | n | goal | on |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    for one in scores:
        goal = "" if one.goal is None else f"{one.goal:g}"
        interval = f"{one.low:.3f} to {one.high:.3f}"
        lines.append(f"| {one.name} | {one.value:.3f} | {interval} | {one.n} | {goal} | {one.on} |")
    return lines


def _differ(mine: Mapping[str, Any], yours: Mapping[str, Any], key: str) -> bool:
    return (key in mine) != (key in yours) or mine.get(key) != yours.get(key)

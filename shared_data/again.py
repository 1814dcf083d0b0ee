"""Train a shipped foundation again and compare, or keep it although its code changed.

    python -m shared_data.again compare tagger     trains it from nothing beside the shipped one
    python -m shared_data.again keep tagger        after an edit that changes no number

`compare` prints the scores of both, and changes nothing. `keep` trains up to the first loss that the training
logs: where it is the shipped one's, the card takes over the new recipe, and the weights stay.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from core.run import config as configuration
from core.run import hardware
from core.run.code import REPOSITORY
from core.run.stage import Context, seed_all
from core.run.tracking import Tracker, off
from shared_data import language_model, listener, tagger, text_tower
from shared_data.foundation import Inputs, Trained, bank_input, first_loss, recipe_of, save_small
from shared_data.foundation_card import Card, read_card, write_card
from shared_data.phrases import words_input

MODULES: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module for module in (tagger, listener, language_model, text_tower)
}
INPUTS: dict[str, Inputs] = {
    "tagger": bank_input,
    "listener": bank_input,
    "language_model": words_input,
    "text_tower": words_input,
}
CLOSE = 1e-3  # of the first loss: other machines round differently


class AgainError(ValueError):
    """A foundation that cannot be compared or kept; the message says why."""


class _FirstLoss(Exception):
    """The first loss has been logged."""


class _Until(Tracker):
    """Stops the training at the first loss that it logs."""

    def __init__(self) -> None:
        super().__init__(None, None, "")

    def log_metrics(self, metrics: Any, step: int = 0) -> None:
        if "loss" in metrics:
            raise _FirstLoss


def compare(name: str, *, root: Path, profile: str) -> str:
    """Train from nothing in a temporary folder: lines with the scores of the shipped and the new weights."""
    module, config, context, card = _open(name, root=root, profile=profile)
    with tempfile.TemporaryDirectory() as folder:
        seed_all(config.seed)
        made: Trained = module.train(config, context=context, folder=Path(folder) / "run")
        ready = Path(folder) / "ready"
        save_small(made, ready)
        shipped = context.path("foundations", name)
        same = all((shipped / path.name).read_bytes() == path.read_bytes() for path in ready.iterdir())
    lines = [f"{name}: {'the same bytes' if same else 'other weights'}", "", "| score | shipped | again |"]
    old = {one.name: one for one in card.scores}
    lines.append("| --- | ---: | ---: |")
    for new in made.scores:
        was = f"{old[new.name].value:.3f}" if new.name in old else ""
        lines.append(f"| {new.name} | {was} | {new.value:.3f} ({new.low:.3f} to {new.high:.3f}) |")
    return "\n".join(lines)


def keep(name: str, *, root: Path, profile: str) -> str:
    """Give the card today's recipe, if the training still begins with the same loss. Raises AgainError."""
    module, config, context, card = _open(name, root=root, profile=profile)
    recipe = recipe_of(config, context=context, inputs=INPUTS[name](context))
    changed = card.recipe.changes(recipe)
    if not changed:
        return f"{name}: nothing to keep, the recipe is the shipped one's"
    old, new = card.recipe.config, recipe.config
    if any(old[key] != new[key] for key in {*old} & {*new}):  # an option that came or went is code
        raise AgainError(f"{name}: the configuration changed ({'; '.join(changed)}): train it again")
    if card.first_loss is None:
        raise AgainError(f"{name}: its card has no first loss to compare with: train it again")
    noting, noted = first_loss(replace(context, tracker=_Until()))
    seed_all(config.seed)
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(_FirstLoss):
        module.train(config, context=noting, folder=Path(folder))
    if not noted or not math.isclose(noted[0], card.first_loss, rel_tol=CLOSE):
        raise AgainError(
            f"{name}: the first loss is {noted[0] if noted else 'not logged'}, of the shipped weights it was "
            f"{card.first_loss}: the edit changes numbers ({'; '.join(changed)}); train it again"
        )
    write_card(context.path("foundations", name), replace(card, recipe=recipe))
    return f"{name}: kept; first loss {noted[0]:.6f} as shipped; the card has the new recipe"


def _open(name: str, *, root: Path, profile: str) -> tuple[ModuleType, Any, Context, Card]:
    module = MODULES[name]
    folder = root / "shared_data"
    config = configuration.load(module.Config, folder=folder, profile=profile, stage=name, variant=None)
    context = Context(
        paper="shared_data",
        stage=name,
        variant=None,
        profile=profile,
        root=root,
        tracker=off(),
        seed=config.seed,
    )
    card = read_card(context.path("foundations", name))
    if card is None or config.training is None:
        raise AgainError(f"{name}: no weights of profile {profile} were trained here")
    return module, config, context, card


def main(argv: list[str] | None = None) -> int:
    """Command line: 0, or 2 with what cannot be done and why."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("compare", "keep"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODULES)}; default: all")
    parser.add_argument("--profile", default=configuration.default_profile(REPOSITORY))
    arguments = parser.parse_args(argv)
    if strange := sorted(set(arguments.names) - set(MODULES)):
        parser.error(f"no foundation {', '.join(strange)}; there are {', '.join(MODULES)}")
    hardware.limit_threads()
    act = compare if arguments.what == "compare" else keep
    for name in arguments.names or MODULES:
        try:
            print(act(name, root=REPOSITORY, profile=arguments.profile))
        except AgainError as error:
            print(error, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

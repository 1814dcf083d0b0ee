"""How a foundation is made: verified where it is public; else kept as it is shipped, or trained anew.

Weights that were trained here lie in git, small and in half precision, each with its card. They are trained
again only when their code by meaning, their configuration or what they read changed. A bank with other bytes
from the same recipe comes from another machine, and keeps them. What only runs a stage (`core.run`) and this
frame do not count: they move no weight.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from core.foundations.public import card_of, check_whole, is_trained, record_trained, resolve, share_trained
from core.run import hardware
from core.run.code import REPOSITORY, code_of
from core.run.files import remove_tree, write_json
from core.run.resume import close_folder, open_folder, run_identity
from core.run.stage import Context, seed_all
from core.run.tracking import Tracker
from core.scenes.bank import read_content, read_recipe
from core.train.optimisation import TrainingOptions
from shared_data.foundation_card import Card, Input, Recipe, Score, read_card, table, write_card

if TYPE_CHECKING:
    from torch import nn

ASIDE = ("core/run/", "core/foundations/public.py", "core/data/card", "shared_data/foundation")
WORK = "training"  # beside the foundations of a profile: what a killed run resumes from
SECONDS = "seconds.json"


class FoundationConfigError(ValueError):
    """A configuration that neither names a checkpoint nor says how to train."""


class Configured(Protocol):
    """What the configuration of every foundation has."""

    @property
    def checkpoint(self) -> str: ...
    @property
    def training(self) -> TrainingOptions | None: ...
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training gives. save: writes configuration, model.safetensors and front end or tokenizer into a
    folder; scores: of the halved weights; data: a sentence on what it was trained on, for the card."""

    save: Callable[[Path], None]
    scores: tuple[Score, ...]
    data: str
    licence: str


Inputs = Callable[[Context], Mapping[str, Input]]
Train = Callable[..., Trained]  # train(config, context=..., folder=...): checkpoints go into the folder


def make(
    name: str, config: Configured, *, context: Context, inputs: Inputs, train: Train, shipped: str = ""
) -> None:
    """Resolve, share, keep or train the foundation `name` of this profile.

    inputs: says what the training reads beside code and configuration, such as `bank_input`. shipped: another
    profile whose weights serve this one too.
    Raises FoundationConfigError; FoundationError for shipped weights that are damaged.
    """
    out = context.path("foundations", name)
    if config.checkpoint:
        if hardware.is_main_process():
            record = resolve(out, card_of(config.checkpoint), root=context.root)
            print(f"{name}: {record.name} at {record.revision} ({record.licence}), in {record.path}")
        return
    if shipped:
        if hardware.is_main_process():
            record = share_trained(context.root, context.profile, name, of=shipped)
            print(f"{name}: that of profile {shipped}, in {record.path}")
        return
    if config.training is None:
        raise FoundationConfigError(f"{name}: name a checkpoint, or say in `training` how to train one")
    recipe = recipe_of(config, context=context, inputs=inputs(context))
    card = read_card(out) if is_trained(context.root, context.profile, name) else None
    if card is not None and not (changed := card.recipe.changes(recipe)):
        check_whole(context.root, context.profile, name)
        note = card.recipe.elsewhere(recipe)
        print(
            f"{name}: kept as shipped"
            + (f"; of the same recipe, but other: {'; '.join(note)}" if note else "")
        )
        return
    if card is not None:
        print(
            f"{name}: changed since it was trained: {'; '.join(changed)}. It is trained again, which took "
            f"{card.minutes:.0f} minutes on {card.threads} threads; until then the old weights stay"
        )
    _train(name, config, recipe, out, context=context, train=train)


def recipe_of(config: Configured, *, context: Context, inputs: Mapping[str, Input]) -> Recipe:
    """What a training by this configuration is made of here and now."""
    code, libraries = code_of(context.module, root=REPOSITORY)
    plain = json.loads(json.dumps(asdict(config), sort_keys=True, default=str))  # type: ignore[call-overload]
    return Recipe(
        code={path: hash for path, hash in code.items() if not path.startswith(ASIDE)},
        config=plain,
        inputs=dict(inputs),
        libraries=libraries,
    )


def bank_input(context: Context) -> dict[str, Input]:
    """The bank as an input of a training."""
    folder = context.path("bank")
    return {"bank": Input(recipe=read_recipe(folder) or "", content=read_content(folder))}


def halve(model: nn.Module) -> None:
    """Round all weights through half precision, in place, so that scores are those of what is stored."""
    import torch

    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(tensor.to(torch.float16))


def first_loss(context: Context) -> tuple[Context, list[float]]:
    """The context with a tracker that also notes the first loss, and the list that it is noted in."""
    noted: list[float] = []
    return replace(context, tracker=_Noting(context.tracker, noted)), noted


class _Noting(Tracker):
    """Hands everything on to a tracker; of the losses it keeps the first."""

    def __init__(self, tracker: Tracker, noted: list[float]) -> None:
        super().__init__(None, None, "")
        self._tracker, self._noted = tracker, noted

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        if "loss" in metrics and not self._noted:
            self._noted.append(float(metrics["loss"]))
        self._tracker.log_metrics(metrics, step)


def _train(
    name: str, config: Configured, recipe: Recipe, out: Path, *, context: Context, train: Train
) -> None:
    work = context.path("foundations", WORK, name)
    identity = run_identity(context, config=recipe.config)
    if open_folder(work, identity):  # killed after it was published, or the published one is gone
        if hardware.is_main_process():
            remove_tree(work)
        open_folder(work, identity)
    seed_all(config.seed)
    before, began = _seconds(work), time.monotonic()
    noting, noted = first_loss(context)
    try:
        made = train(config, context=noting, folder=work / "run")
    except BaseException:
        if hardware.is_main_process():
            _note_seconds(work, before + time.monotonic() - began, noted)
        raise
    if not hardware.is_main_process():
        return
    seconds = before + time.monotonic() - began
    context.tracker.log_metrics({f"score/{one.name}": one.value for one in made.scores})
    print("\n".join([f"{name}: {seconds / 60:.1f} minutes", *table(made.scores)]))
    _publish(made, work / "ready", out)
    record_trained(out, root=context.root, name=name, revision=identity, licence=made.licence)
    card = Card(
        name=name,
        data=made.data,
        licence=made.licence,
        parameters=_parameters(out),
        minutes=round(seconds / 60, 1),
        threads=_threads(),
        first_loss=_first(work, noted),
        scores=made.scores,
        recipe=recipe,
    )
    write_card(out, card)
    close_folder(work, identity)
    remove_tree(work)


def _publish(made: Trained, ready: Path, out: Path) -> None:
    """Save, halve, and put the files in place of the old ones."""
    save_small(made, ready)
    out.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in ready.iterdir()}
    for old in out.iterdir():
        if old.is_file() and old.name not in names:
            old.unlink()
    for path in sorted(ready.iterdir()):
        path.replace(out / path.name)


def save_small(made: Trained, folder: Path) -> None:
    """Save what was trained, its weights in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    made.save(folder)
    for weights in folder.glob("*.safetensors"):
        store_in_half(weights)


def store_in_half(weights: Path) -> None:
    """Rewrite a .safetensors file in float16. Raises OverflowError for a weight that does not fit."""
    import torch
    from safetensors.torch import load_file, save_file

    tensors = {}
    for key, tensor in load_file(weights).items():
        half = tensor.to(torch.float16) if tensor.is_floating_point() else tensor
        if not torch.isfinite(half).all():
            raise OverflowError(f"{weights}: {key} has weights that half precision does not hold")
        tensors[key] = half.contiguous()
    save_file(tensors, weights, metadata={"format": "pt"})


def _parameters(folder: Path) -> int:
    from safetensors import safe_open

    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="numpy") as file:
            for key in file.keys():  # noqa: SIM118, it is no dictionary
                total += math.prod(file.get_slice(key).get_shape())
    return total


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _seconds(work: Path) -> float:
    """Seconds that earlier, stopped runs took."""
    return float(_noted(work).get("seconds", 0.0))


def _first(work: Path, noted: list[float]) -> float | None:
    """The training's first loss, noted by this run or by the one that began it."""
    return _noted(work).get("first_loss", noted[0] if noted else None)


def _note_seconds(work: Path, seconds: float, noted: list[float]) -> None:
    told: dict[str, Any] = _noted(work) | {"seconds": seconds}
    if noted:
        told.setdefault("first_loss", noted[0])
    write_json(work / SECONDS, told)


def _noted(work: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((work / SECONDS).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}

"""Training of one model through phases, each from the weights of the one before."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.adapters.prefix_lm import AudioPrefixLM, LongTexts, load_trained, save_trained
from core.audio_lm.artefact import Artefact, read_artefact, write_artefact
from core.audio_lm.batches import Hints, Mix, check_lengths, instruction_batches, read_mix
from core.audio_lm.branches import BRANCHES, Branch
from core.audio_lm.encoders import TAGS, labels_of
from core.audio_lm.encoders import read_record as read_encoder
from core.audio_lm.features import open_store, read_truth
from core.audio_lm.model import Architecture, heard_by, load_language_model, make_model
from core.audio_lm.turns import FORMATS
from core.foundations.public import foundation_path, read_record
from core.run import hardware
from core.run.resume import close_folder, open_folder, run_identity
from core.run.stage import Context, seed_all
from core.run.tracking import Tracker
from core.train.loop import BatchSource, fit
from core.train.optimisation import TrainingOptions
from core.train.terms import Mean

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One stage of the curriculum. mix: instruction file -> weight; parts: globs of what trains.

    epochs: passes over the files of the mix, in place of options.steps (core.audio_lm.batches.Mix). loss_on
    "all" is the release's train_on_inputs, "answer" ours. max_tokens: of instruction and answer, the
    release's cutoff_len; long_texts: what happens to longer ones, "cut" in the release.
    """

    mix: dict[str, float]
    parts: tuple[str, ...]
    options: TrainingOptions
    batch_size: int
    epochs: float | None = None
    loss_on: Literal["answer", "all"] = "answer"
    max_tokens: int = 108
    long_texts: LongTexts = "refuse"


def train_row(
    architecture: Architecture,
    phases: Mapping[str, Phase],
    *,
    sets: tuple[str, ...],
    seeds: tuple[int, ...],
    hints: Hints | None,
    features: Path,
    instructions: Path,
    parent: Path | None,
    starts: Mapping[str, Path],
    context: Context,
    branches: Mapping[str, Branch] = BRANCHES,
) -> None:
    """Train every seed through its phases and write checkpoints/<profile>/<variant>/seed<n>/.

    features: the folder of `core.audio_lm.features`; instructions: that of the files which the mixes name.
    parent: the folder of a model whose last weights are continued; without one the branches in `starts` begin
    with the weights in those files, and the rest anew. branches: all that are known. A killed run continues
    in the phase where it was.
    """
    encoders = heard_by(architecture, branches)
    records = tuple(read_encoder(features / name) for name in encoders)
    store = open_store(features, sets, encoders)
    labels = labels_of(records)
    mixes = {
        name: read_mix(instructions, phase.mix, known=store.knows, epochs=phase.epochs is not None)
        for name, phase in phases.items()
    }
    gold = read_truth(features, sets) if hints is not None and hints.source == "gold" else {}
    fresh = {} if parent else {name: starts[name] for name in architecture.branches if name in starts}
    lm_record = read_record(context.root, context.profile, "language_model")
    artefact = Artefact(
        architecture=architecture,
        encoders=records,
        widths={name: width for name, width in store.widths().items() if name != TAGS},
        language_model=lm_record.path,
        language_model_sha256=lm_record.sha256,
        hints=hints,
    )
    mine, form = artefact.identity, FORMATS[architecture.prompt]
    for seed in seeds:
        folder = context.path("checkpoints", str(context.variant), f"seed{seed}")
        settings = {
            "architecture": asdict(architecture),
            "phases": {n: asdict(p) for n, p in phases.items()},
            "seed": seed,
        }
        identity = run_identity(
            context,
            config=settings | {"sets": sets, "hints": asdict(hints) if hints else None},
        )
        if open_folder(folder, identity):
            print(f"{context.variant} seed {seed} is complete")
            continue
        seed_all(seed)
        lm, tokenizer = load_language_model(
            foundation_path(context.root, context.profile, "language_model"), dtype=architecture.bridge.dtype
        )
        model = make_model(
            architecture,
            widths=artefact.widths,
            lm=lm,
            tokenizer=tokenizer,
            starts=fresh,
            branches=branches,
        )
        if parent:
            load_parent(model, parent / f"seed{seed}", identity=mine)
        if hardware.is_main_process():
            write_artefact(folder, artefact)
        told: dict[str, Any] = {"hints": hints, "labels": labels, "gold": gold, "form": form}
        say_lengths(phases, mixes, tokenizer, tag_logits=store.tag_logits, **told)
        with context.tracker.child(f"{context.variant} seed {seed}", params={"seed": seed}) as run:
            for number, (name, phase) in enumerate(phases.items()):
                batches = instruction_batches(
                    mixes[name],
                    store,
                    tokenizer,
                    branches=architecture.branches,
                    known=branches,
                    batch_size=phase.batch_size,
                    max_tokens=phase.max_tokens,
                    long_texts=phase.long_texts,
                    loss_on=phase.loss_on,
                    **told,
                    seed=1000 * seed + number,
                    accumulation=phase.options.accumulation,
                )
                run_phase(
                    model,
                    phase,
                    batches=batches,
                    steps=steps_of(phase, mixes[name].size),
                    folder=folder / name,
                    seed=seed,
                    run=run,
                )
                if hardware.is_main_process():
                    save_trained(model, folder / f"{name}.safetensors", identity=mine)
        if hardware.is_main_process():
            save_trained(model, folder / "model.safetensors", identity=mine)
        close_folder(folder, identity)


def say_lengths(phases: Mapping[str, Phase], mixes: Mapping[str, Mix], tokenizer: Any, **told: Any) -> None:
    """Say of each file how many of its texts are cut, each file once. Raises ContextTooLong, see there."""
    known = set[tuple[int, int, str]]()
    for name, phase in phases.items():
        for file, title in zip(mixes[name].files, phase.mix, strict=True):
            key = (id(file), phase.max_tokens, phase.long_texts)
            if key in known:
                continue
            known.add(key)
            limits: dict[str, Any] = {"max_tokens": phase.max_tokens, "long_texts": phase.long_texts}
            found = check_lengths(Mix((file,), (1.0,)), tokenizer, **limits, **told)
            if found.cut and hardware.is_main_process():
                print(f"{title}: {found} at {phase.max_tokens} tokens")


def run_phase(
    model: AudioPrefixLM,
    phase: Phase,
    *,
    batches: BatchSource,
    steps: int,
    folder: Path,
    seed: int,
    run: Tracker,
) -> None:
    """Train the parts of one phase and log how many parameters that were; a row without any skips it."""
    names = [name for name, value in model.named_parameters() if value.requires_grad]
    globs = tuple(glob for glob in phase.parts if fnmatch.filter(names, glob))
    if not globs:
        print(f"{folder.name}: nothing of {', '.join(phase.parts)} in this row, skipped")
        return
    trained = {name for glob in globs for name in fnmatch.filter(names, glob)}
    sizes: dict[str, int] = {}
    for name, value in model.named_parameters():
        if name in trained:
            part = "lora" if "lora_" in name else ".".join(name.split(".")[:2])
            sizes[part] = sizes.get(part, 0) + value.numel()
    run.log_metrics({f"{folder.name}/trainable/{part}": float(size) for part, size in sizes.items()})

    def log(values: dict[str, float], step: int) -> None:
        run.log_metrics({f"{folder.name}/{key}": value for key, value in values.items()}, step)

    history = fit(
        model,
        loss=text_loss,
        batches=batches,
        options=replace(phase.options, seed=seed, steps=steps, trainable=globs),
        folder=folder,
        log=log,
    )
    losses = history.losses
    print(
        f"{folder.name}: {sum(sizes.values())} parameters trained for {steps} steps, loss {losses[0]:.3f} -> "
        f"{sum(losses[-3:]) / len(losses[-3:]):.3f}"
    )


def steps_of(phase: Phase, items: int) -> int:
    """Steps of a phase: its own, or those of its epochs over `items`."""
    if phase.epochs is None:
        return phase.options.steps
    return max(1, math.ceil(phase.epochs * items / (phase.batch_size * phase.options.accumulation)))


def load_parent(model: AudioPrefixLM, folder: Path, *, identity: Mapping[str, Any]) -> None:
    """The weights of another row of the same branches, in `folder`; a soft prompt that it lacks keeps its
    start."""
    prompt = model.soft_prompt
    if not read_artefact(folder).architecture.soft_prompt:
        model.soft_prompt = None
    try:
        load_trained(model, folder / "model.safetensors", identity=identity)
    finally:
        model.soft_prompt = prompt


def text_loss(network: Any, batch: Mapping[str, Any]) -> dict[str, Tensor | Mean]:
    """The answers' loss, a mean over the tokens that have a label, with the exact numbers of tokens."""
    made: dict[str, Tensor] = network(batch["features"], batch["text"])
    values = {name: value.float() for name, value in made.items()}
    tokens = values.pop("loss_tokens")
    return {**values, "loss": Mean(values["loss"], tokens)}

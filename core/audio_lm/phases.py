"""Training of one row through phases, each from the weights of the one before."""

from __future__ import annotations

import fnmatch
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from core.adapters.prefix_lm import AudioPrefixLM, load_trained, save_trained
from core.audio_lm.artefact import Artefact, read_artefact, write_artefact
from core.audio_lm.batches import Hints, Mix, check_lengths, instruction_batches, read_mix
from core.audio_lm.ears import HEARING, read_hearing
from core.audio_lm.model import Row, encoders_of, load_language_model, make_model
from core.audio_lm.store import open_store, read_truth
from core.foundations.public import foundation_path, read_record
from core.run import hardware as machine
from core.run.resume import close_folder, fingerprint, imported_files, open_folder
from core.run.stage import Context, seed_all
from core.run.tracking import Tracker
from core.train.loop import BatchSource, fit
from core.train.optimisation import TrainingOptions


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One stage of the curriculum. mix: instruction file -> weight; parts: globs of what trains.

    epochs: passes over the files of the mix, in place of options.steps. loss_on "all" is the release's
    train_on_inputs, "answer" ours.
    """

    mix: dict[str, float]
    parts: tuple[str, ...]
    options: TrainingOptions
    batch_size: int
    epochs: float | None = None
    loss_on: Literal["answer", "all"] = "answer"


def train_row(
    row: Row,
    phases: Mapping[str, Phase],
    *,
    sets: tuple[str, ...],
    seeds: tuple[int, ...],
    hints: Hints | None,
    features: Path,
    instructions: Path,
    parent: Path | None,
    qformer: Path | None,
    code: str,
    context: Context,
    max_tokens: int | None = None,
) -> None:
    """Train every seed through its phases and write checkpoints/<profile>/<variant>/seed<n>/.

    features: the folder of `core.audio_lm.store`; instructions: that of the files which the mixes name.
    parent: the folder of a row whose last weights are continued; without one a branch `qformer` starts from
    the file `qformer` and the rest anew. code: `__file__` of the stage. max_tokens: of instruction and
    answer, in place of the bridge's. A killed run continues in the phase where it was.
    """
    encoders = encoders_of(row)
    store = open_store(features, sets, encoders)
    labels = json.loads((features / "labels.json").read_text(encoding="utf-8"))
    mixes = {
        name: read_mix(instructions, phase.mix, known=store.place.__contains__)
        for name, phase in phases.items()
    }
    gold = read_truth(features, sets) if hints is not None and hints.source == "gold" else {}
    fresh = qformer if parent is None and "qformer" in row.branches else None
    lm_record = read_record(context.root, context.profile, "language_model")
    artefact = Artefact(
        row=row,
        hearing=read_hearing(features),
        widths=store.widths(),
        language_model=lm_record.path,
        language_model_sha256=lm_record.sha256,
        hints=hints,
    )
    mine = artefact.identity
    longest = max_tokens or row.bridge.max_tokens
    for seed in seeds:
        folder = context.path("checkpoints", str(context.variant), f"seed{seed}")
        shared = context.root / "shared_data" / "foundations" / context.profile
        inputs = [
            *([parent / f"seed{seed}" / "model.safetensors"] if parent else []),
            *([fresh] if fresh else []),
            features / HEARING,
            shared / "language_model" / "record.json",
            *(instructions / f"{file}.json" for phase in phases.values() for file in phase.mix),
            *(features / name / f"{encoder}.npy" for name in sets for encoder in encoders),
        ]
        settings = {"row": asdict(row), "phases": {n: asdict(p) for n, p in phases.items()}, "seed": seed}
        identity = fingerprint(
            context.root,
            config=settings
            | {"sets": sets, "hints": asdict(hints) if hints else None, "max_tokens": longest},
            inputs=inputs,
            code=imported_files(code),
        )
        if open_folder(folder, identity):
            print(f"{context.variant} seed {seed} is complete")
            continue
        seed_all(seed)
        lm, tokenizer = load_language_model(
            foundation_path(context.root, context.profile, "language_model"), dtype=row.bridge.dtype
        )
        model = make_model(row, widths=store.widths(), lm=lm, tokenizer=tokenizer, qformer=fresh)
        if parent:
            load_parent(model, parent / f"seed{seed}", identity=mine)
        if machine.is_main_process():
            write_artefact(folder, artefact)
        files = {
            id(file): file for mix in mixes.values() for file in mix.files
        }  # each once, not once a phase
        whole = Mix(tuple(files.values()), (1.0,) * len(files))
        check_lengths(whole, tokenizer, max_tokens=longest)
        with context.tracker.child(f"{context.variant} seed {seed}", params={"seed": seed}) as run:
            for number, (name, phase) in enumerate(phases.items()):
                batches = instruction_batches(
                    mixes[name],
                    store,
                    tokenizer,
                    branches=row.branches,
                    batch_size=phase.batch_size,
                    max_tokens=longest,
                    loss_on=phase.loss_on,
                    hints=hints,
                    labels=labels,
                    gold=gold,
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
                if machine.is_main_process():
                    save_trained(model, folder / f"{name}.safetensors", identity=mine)
        if machine.is_main_process():
            save_trained(model, folder / "model.safetensors", identity=mine)
        close_folder(folder, identity)


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
    if not read_artefact(folder).row.soft_prompt:
        model.soft_prompt = None
    try:
        load_trained(model, folder / "model.safetensors", identity=identity)
    finally:
        model.soft_prompt = prompt


def text_loss(network: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
    """The answers' loss, with the exact numbers of tokens."""
    made = network(batch["features"], batch["text"])
    return {name: value.float() for name, value in made.items()}

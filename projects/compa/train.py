"""Train one variant, all its seeds. Reads: checkpoints/<profile>/<parent>, data/<profile> and the bank or the
training data sets; writes: checkpoints/<profile>/<variant>/seed<k>/.

The three stages of CompA are variants with a parent: vanilla (contrastive) <- hard_negatives <- compa_clap
(modular). Each has its own steps, schedule and trainable parameters; nothing of the parent but its weights is
carried over. A killed run goes on from its last checkpoint and ends with the same weights.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from core.audio.crop import position
from core.audio.read import read_audio
from core.data.loader import caption_batches
from core.data.parquet import read_dataset
from core.encoders.batch_norm import sync_batch_norms
from core.encoders.clap import Clap
from core.encoders.clap_folder import Shape, make_front_end, make_model, read_shape, tokenize, weights_of
from core.losses.contrastive import Masking
from core.metrics.compa import compa_scores
from core.metrics.retrieval import retrieval_ranks, retrieval_scores
from core.run import hardware
from core.run.resume import close_folder, open_folder, run_identity
from core.run.stage import Context, seed_all
from core.scenes.bank import Bank, read_bank
from core.scenes.comparisons import compa_order
from core.train.checkpoints import load_model, save_model
from core.train.history import History
from core.train.loop import fit
from core.train.optimisation import TrainingOptions
from projects.compa.batches import CONNECTIVES, Batch, SceneMix, bank_mels, scene_batches
from projects.compa.objectives import Objective, compa_loss


@dataclass(frozen=True)
class Config:
    """One variant. batch_size is global; options.seed is replaced by each of `seeds` in turn.

    source: "scenes" of the bank, or the official caption `train_sets` (contrastive stage only). normalise,
    masking, neg_scope, neg_directions, positives_as and gather are the points where the paper and its release
    differ or may be varied; the defaults are the paper's.

    Two that the paper does not mention, both True in the release: sync_batch_norm normalises over the batches
    of all processes; mark_longer has one clip of a process's batch pass through fusion, as if it were longer
    than the window, where none is (of `train_sets` only: scenes fit the window).
    """

    parent: str
    objective: Objective
    options: TrainingOptions
    seeds: tuple[int, ...]
    batch_size: int
    source: Literal["scenes", "datasets"] = "scenes"
    train_sets: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()  # of the bank; empty is all
    workers: int = 4
    mix: SceneMix = field(default_factory=SceneMix)
    normalise: bool = True
    masking: Masking = "additive"
    neg_scope: Literal["own", "all"] = "own"
    neg_directions: Literal["a2t", "both"] = "a2t"
    positives_as: Literal["mean_logit", "mean_logprob"] = "mean_logit"
    gather: bool = True
    sync_batch_norm: bool = False
    mark_longer: bool = False
    validation_scenes: int = 200


def train(config: Config, *, context: Context) -> None:
    """Train every seed and write its weights."""
    shape, tokenizer = read_shape(context.path("checkpoints", "init"))
    bank = read_bank(context.root / "shared_data" / "bank" / context.profile, splits=["train", "valid"]).only(
        config.labels
    )
    make_batches = batch_source(config, shape, tokenizer, bank, context=context)
    validate = validation(bank, shape, tokenizer, config)
    loss = functools.partial(
        compa_loss,
        objective=config.objective,
        normalise=config.normalise,
        masking=config.masking,
        neg_scope=config.neg_scope,
        neg_directions=config.neg_directions,
        positives_as=config.positives_as,
        gather=config.gather,
    )
    for seed in config.seeds:
        folder = context.path("checkpoints", str(context.variant), f"seed{seed}")
        start = weights_of(context.path("checkpoints"), config.parent, seed)
        identity = run_identity(context, config=asdict(config) | {"seeds": seed})
        if open_folder(folder, identity):
            print(f"{context.variant} seed {seed} is complete")
            continue
        seed_all(seed)
        model = make_model(shape)
        load_model(model, start)
        if config.sync_batch_norm:
            sync_batch_norms(model)
        with context.tracker.child(f"{context.variant} seed {seed}", params={"seed": seed}) as run:
            history = fit(
                model,
                loss=loss,
                batches=make_batches(seed),
                options=replace(config.options, seed=seed),
                folder=folder,
                evaluate=validate,
                log=run.log_metrics,
            )
        if hardware.is_main_process():
            save_model(model, folder / "model.safetensors")
        close_folder(folder, identity)
        print(f"{context.variant} seed {seed}: {_last(history)}")


def batch_source(
    config: Config, shape: Shape, tokenizer: Tokenizer, bank: Bank, *, context: Context
) -> Callable[[int], Callable[[int], Iterator[Batch]]]:
    """seed -> batches(step), from scenes or from caption data sets."""
    mel = make_front_end(shape.front_end)
    text: dict[str, Any] = {"max_tokens": shape.text.max_tokens, "pad_to_max": shape.pooling == "padded"}
    if config.source == "scenes":
        part = bank.split("train")
        mels = bank_mels(part, shape.front_end, mel)
        return lambda seed: scene_batches(
            part,
            mels,
            tokenizer,
            mix=config.mix,
            objective=config.objective,
            front_end=shape.front_end,
            batch_size=config.batch_size,
            seed=seed,
            accumulation=config.options.accumulation,
            **text,
        )
    if config.objective != "contrastive":
        raise ValueError("source: datasets has no negatives; the stages with negatives need source: scenes")
    sets = [
        read_dataset(context.root / "shared_data" / "datasets" / context.profile / name, "train")
        for name in config.train_sets
    ]

    def of_seed(seed: int) -> Callable[[int], Iterator[Batch]]:
        def batches(step: int) -> Iterator[Batch]:
            from accelerate import PartialState

            state = PartialState()
            source = caption_batches(
                sets,
                batch_size=config.batch_size,
                seed=seed,
                sample_rate=shape.front_end.sample_rate,
                rank=state.process_index,
                world=state.num_processes,
                workers=config.workers,
            )
            front_end = mel.to(state.device)
            nothing = torch.empty(config.batch_size // state.num_processes, 0, dtype=torch.int64)
            first = step * config.options.accumulation
            for number, batch in enumerate(source(first), start=first):
                # another crop of a long clip at every batch, the same one when a run is resumed
                drawn = hash((seed, number))
                marked = position(len(batch.ids), seed=drawn, item=batch.ids[0])
                heard = front_end(
                    batch.waveforms,
                    seed=drawn,
                    items=batch.ids,
                    mark_longer=marked if config.mark_longer else None,
                )
                ids, mask = tokenize(tokenizer, batch.captions, **text)
                yield {
                    "ids": list(batch.ids),
                    "features": heard.input_features,
                    "is_longer": heard.is_longer,
                    "input_ids": ids,
                    "attention_mask": mask,
                    "positives": nothing,
                    "negatives": nothing,
                }

        return batches

    return of_seed


def validation(
    bank: Bank, shape: Shape, tokenizer: Tokenizer, config: Config
) -> Callable[[torch.nn.Module], dict[str, float]] | None:
    """CompA-order and retrieval on mixtures of the validation clips; test items are never looked at."""
    part = bank.split("valid")
    if config.source != "scenes" or config.validation_scenes == 0:
        return None
    front_end = shape.front_end
    rows = list(
        compa_order(
            part,
            n=config.validation_scenes,
            seed=0,
            triplet_share=0.0,
            duration=front_end.max_seconds,
            noise_db=config.mix.noise_db,
            connectives=CONNECTIVES[config.mix.connectives],
            name="validation",
        )
    )
    audios = [row[f"{kind}_audio"]["bytes"] for row in rows for kind in ("pair", "reversed")]
    waves = [read_audio(content, sample_rate=front_end.sample_rate)[0] for content in audios]
    heard = make_front_end(front_end)(waves, items=[str(i) for i in range(len(waves))])
    captions = [row[f"{kind}_caption"] for row in rows for kind in ("pair", "reversed")]
    ids, mask = tokenize(
        tokenizer, captions, max_tokens=shape.text.max_tokens, pad_to_max=shape.pooling == "padded"
    )
    order = np.zeros((len(rows), 3, 3))

    def evaluate(model: torch.nn.Module) -> dict[str, float]:
        assert isinstance(model, Clap)
        device = model.log_scale.device
        a = F.normalize(model.embed_audio(heard.input_features.to(device), heard.is_longer.to(device)), dim=1)
        t = F.normalize(model.embed_text(ids.to(device), mask.to(device)), dim=1)
        audio, text = a.float().cpu().numpy(), t.float().cpu().numpy()
        order[:, :2, :2] = np.einsum("nid,njd->nij", *(x.reshape(len(rows), 2, -1) for x in (text, audio)))
        scores = compa_scores(order, np.zeros(len(rows), dtype=bool), triplets="paper")
        # One audio of each row: the other has the same sounds.
        ranks = retrieval_ranks(text[::2], audio[::2], np.arange(len(rows)))
        recalls = retrieval_scores(ranks)
        return {
            **{f"valid/{name}": float(np.mean(values)) for name, values in scores.items()},
            **{f"valid/{name}": float(np.mean(recalls[name])) for name in ("t2a_r1", "t2a_r10", "a2t_r1")},
        }

    return evaluate


def _last(history: History) -> str:
    """The last evaluation and loss in words."""
    parts: dict[str, Any] = {"loss": history.losses[-1] if history.losses else math.nan}
    if history.evaluations:
        parts |= {k: v for k, v in history.evaluations[-1].items() if k.startswith("valid")}
    return ", ".join(f"{name} {value:.3f}" for name, value in parts.items())


if __name__ == "__main__":
    from core.run.stage import run

    run(train, Config, processes=True)

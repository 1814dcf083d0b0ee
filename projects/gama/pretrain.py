"""Pre-train the audio Q-Former. Reads: data/<profile>/{features,instructions/captions.json}, the text tower
and the language model; writes: checkpoints/<profile>/pretrain/{bridging,generative}/.

Stage 1 (bridging): contrast, matching and grounded generation on captions, from the text tower's weights.
Stage 2 (generative): the queries, projected, are the prefix of the frozen language model, which captions.
GAMA, appendix E, after BLIP-2.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from core.adapters.bert_start import copy_text_tower
from core.adapters.prefix_lm import AudioPrefixLM, LongTexts
from core.adapters.projector import Projector
from core.adapters.qformer import AudioQFormer, QFormerShape
from core.audio_lm.batches import Mix, check_lengths, instruction_batches, read_mix
from core.audio_lm.branches import QFormerBranch
from core.audio_lm.features import Store, open_store
from core.audio_lm.model import load_language_model
from core.audio_lm.phases import text_loss
from core.audio_lm.turns import FORMATS
from core.foundations.public import foundation_path
from core.losses.bridging import bridging_losses
from core.run import hardware
from core.run.resume import close_folder, open_folder, run_identity
from core.run.stage import Context, seed_all
from core.train.checkpoints import save_model
from core.train.loop import fit
from core.train.optimisation import TrainingOptions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Config:
    """shape: its feature_size and vocab_size are those of tagger and text tower, whatever stands here.

    start: "text_tower" starts the layers from its weights (BERT in the paper), "random" does not. prompt: a
    format of core.audio_lm.turns. dtype: of the frozen language model.
    """

    shape: QFormerShape
    sets: tuple[str, ...]
    bridging: TrainingOptions
    generative: TrainingOptions
    start: Literal["text_tower", "random"] = "text_tower"
    batch_size: int = 192
    generative_batch_size: int = 128
    max_tokens: int = 32  # of a caption
    max_prompt_tokens: int = 108
    long_texts: LongTexts = "refuse"  # of stage 2; the release cuts
    epochs: float | None = None  # passes over the captions, in place of both stages' options.steps
    label_smoothing: float = 0.1
    prefix_scale: float = 1.0
    prompt: Literal["alpaca", "plain", "chatml"] = "alpaca"
    dtype: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0


def pretrain(config: Config, *, context: Context) -> None:
    """Both stages, one after the other."""
    store = open_store(context.path("data", "features", "train"), config.sets, ("ast",))
    folder = context.path("data", "instructions")
    passes = config.epochs is not None
    mix = read_mix(folder, {"captions": 1.0}, known=store.knows, epochs=passes)
    tower = foundation_path(context.root, context.profile, "text_tower")
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(tower, local_files_only=True, trust_remote_code=False)
    shape = replace(config.shape, feature_size=store.widths()["ast"], vocab_size=len(words))
    out = context.path("checkpoints", "pretrain")
    identity = run_identity(context, config=asdict(config))
    if open_folder(out, identity):
        print(f"{out} is complete")
        return
    seed_all(config.seed)
    model = AudioQFormer(shape)
    if config.start == "text_tower":
        print(f"started from the text tower: {copy_text_tower(model, tower)}")
    with context.tracker.child("bridging") as run:
        history = fit(
            Bridging(model, label_smoothing=config.label_smoothing),
            loss=bridging_loss,
            batches=lambda step: caption_batches(mix, store, words, step=step, config=config),
            options=stage_options(config.bridging, config.batch_size, mix, config),
            folder=out / "bridging",
            log=run.log_metrics,
        )
    if hardware.is_main_process():
        save_model(model, out / "bridging.safetensors")
    print(f"bridging: loss {history.losses[0]:.3f} -> {history.losses[-1]:.3f}")

    seed_all(config.seed)
    lm, tokenizer = load_language_model(
        foundation_path(context.root, context.profile, "language_model"), dtype=config.dtype
    )
    lm.requires_grad_(False)
    limits: dict[str, Any] = {"max_tokens": config.max_prompt_tokens, "long_texts": config.long_texts}
    limits["form"] = FORMATS[config.prompt]
    print(f"captions: {check_lengths(mix, tokenizer, **limits)} at {config.max_prompt_tokens} tokens")
    width = lm.get_input_embeddings().weight.shape[1]
    speaking = AudioQFormer(shape)
    speaking.load_state_dict(model.state_dict())  # not from the file, which another process writes
    speaking.drop_text()
    branch = QFormerBranch(speaking, Projector(shape.hidden_size, width, scale=config.prefix_scale))
    with context.tracker.child("generative") as run:
        history = fit(
            AudioPrefixLM(lm, {"qformer": branch}),
            loss=text_loss,
            batches=instruction_batches(
                mix,
                store,
                tokenizer,
                branches=("qformer",),
                batch_size=config.generative_batch_size,
                **limits,
                loss_on="answer",
                hints=None,
                labels=(),
                seed=config.seed,
                accumulation=config.generative.accumulation,
            ),
            options=stage_options(config.generative, config.generative_batch_size, mix, config),
            folder=out / "generative",
            log=run.log_metrics,
        )
    if hardware.is_main_process():
        save_model(branch, out / "generative.safetensors")
    print(f"generative: loss {history.losses[0]:.3f} -> {history.losses[-1]:.3f}")
    close_folder(out, identity)


def stage_options(options: TrainingOptions, batch_size: int, mix: Mix, config: Config) -> TrainingOptions:
    """A stage's options with the pre-training's seed, and the steps of its epochs where these are given."""
    steps = options.steps
    if config.epochs is not None:
        steps = max(1, math.ceil(config.epochs * mix.size / (batch_size * options.accumulation)))
    return replace(options, seed=config.seed, steps=steps)


class Bridging(nn.Module):
    """The losses of stage 1 as a forward pass: in several processes the wrapper around it must be called."""

    def __init__(self, model: AudioQFormer, *, label_smoothing: float) -> None:
        super().__init__()
        self.model, self.label_smoothing = model, label_smoothing

    def forward(
        self, features: Tensor, mask: Tensor, ids: Tensor, text_mask: Tensor, captions: Tensor
    ) -> dict[str, Tensor]:
        made = bridging_losses(
            self.model,
            features,
            mask,
            ids,
            text_mask,
            caption_ids=captions,
            label_smoothing=self.label_smoothing,
        )
        names = ("loss", "contrastive", "matching", "generation")
        return {name: getattr(made, name) for name in names} | {"matched": made.matching_accuracy}


def bridging_loss(network: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
    """See `Bridging`."""
    made: dict[str, Tensor] = network(
        batch["features"], batch["mask"], batch["input_ids"], batch["attention_mask"], batch["captions"]
    )
    return made


def caption_batches(
    mix: Mix, store: Store, words: PreTrainedTokenizerBase, *, step: int, config: Config
) -> Iterator[dict[str, Any]]:
    """Captions and AST's last layer, one caption an audio and batch where the draw allows it."""
    from accelerate import PartialState

    state = PartialState()
    for number in itertools.count(step * config.bridging.accumulation):
        items = mix.draw(
            seed=config.seed,
            step=number,
            n=config.batch_size,
            rank=state.process_index,
            world=state.num_processes,
        )
        text = words(
            [item.output for item in items],
            padding=True,
            truncation=True,
            max_length=config.max_tokens,
            return_tensors="pt",
        )
        heard = store.read("ast", [item.audio_id for item in items])
        yield {
            "ids": [item.audio_id for item in items],
            "features": heard.values[:, 0],
            "mask": heard.mask,
            "input_ids": text["input_ids"],
            "attention_mask": text["attention_mask"],
            # the same number for the same caption, in every process
            "captions": torch.tensor([zlib.crc32(item.output.lower().encode()) for item in items]),
        }


if __name__ == "__main__":
    from core.run.stage import run

    run(pretrain, Config, processes=True)

"""Make the language model of a profile. Reads: shared_data/bank/<profile>/ (or shared_data/raw/checkpoints/);
writes: shared_data/foundations/<profile>/language_model/.

Where the configuration names a public checkpoint it is verified and recorded; else a small Llama is trained
on texts about the sounds of the bank, and tested on questions of another seed that their first line answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from core.foundations.language_model import (
    LmShape,
    TokenPredictor,
    corpus_loss,
    encode_corpus,
    exact_answers,
    make_language_model,
    text_batches,
    train_tokenizer,
)
from core.foundations.public import card_of, record_trained, resolve
from core.run import hardware
from core.run.resume import close_folder, open_folder, run_identity
from core.run.stage import Context, seed_all
from core.scenes.bank import read_bank
from core.scenes.captions import phrase_book
from core.scenes.draw import voice_attributes
from core.train.loop import fit
from core.train.optimisation import TrainingOptions
from core.train.terms import Mean
from shared_data.world.datasets.text import corpus

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

CONTEXT = "Sounds:"  # how a text begins whose question is answered from its first line
LICENCE = "Apache-2.0"
TRAINING = "training"  # the folder that a killed run resumes from


@dataclass(frozen=True, kw_only=True)
class Config:
    """checkpoint: a public one by its card's name (core/data/cards.py); empty trains here, and then
    shape: of the network; training: the optimisation; texts: of the corpus; vocab_size: tokens; max_tokens:
    of the longest text; batch_size: texts a step; prompt_share: of the prompts' tokens that are in the loss
    beside the answers; duration: seconds of the scenes told; test_texts: questions with a context, of another
    seed, that are answered in the end; answer: most tokens of an answer.
    """

    checkpoint: str = ""
    shape: LmShape = field(default_factory=LmShape)
    training: TrainingOptions | None = None
    texts: int = 40000
    vocab_size: int = 1000
    max_tokens: int = 256
    batch_size: int = 8
    prompt_share: float = 0.1
    duration: float = 5.0
    test_texts: int = 500
    answer: int = 80
    seed: int = 0


class LanguageModelConfigError(ValueError):
    """A configuration that neither names a checkpoint nor says how to train."""


def language_model(config: Config, *, context: Context) -> None:
    """Record the public checkpoint, or train a model, save it in the Hub's layout and log its answers."""
    out = context.path("foundations", "language_model")
    if config.checkpoint:
        if hardware.is_main_process():
            record = resolve(out, card_of(config.checkpoint), root=context.root)
            print(f"language_model: {record.name} at {record.revision} ({record.licence}), in {record.path}")
        return
    if config.training is None:
        raise LanguageModelConfigError(
            "language_model: name a checkpoint, or say in `training` how to train one"
        )
    bank_folder = context.path("bank")
    identity = run_identity(context, config=asdict(config))
    if open_folder(out, identity):
        print(f"{out} is complete")
        return
    seed_all(config.seed)
    texts, tests = read_texts(config, bank_folder)
    model, tokenizer = train(config, config.training, texts, folder=out / TRAINING, context=context)
    right = exact_answers(model.eval(), tokenizer, tests, max_new_tokens=config.answer)
    scores = {"test/exact_answers": sum(right) / len(right), "test/n": float(len(right))}
    context.tracker.log_metrics(scores)
    print(f"{sum(right)} of {len(right)} answers from a context exactly right")
    if hardware.is_main_process():
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)
        record_trained(out, root=context.root, name="language_model", revision=identity, licence=LICENCE)
    close_folder(out, identity, scratch=(TRAINING,))


def read_texts(config: Config, bank_folder: Path) -> tuple[list[str], list[str]]:
    """Training texts, and test texts with a context, which are not among them."""
    bank = read_bank(bank_folder, splits=["train"])
    book, voices = phrase_book(bank), voice_attributes(bank)

    def draw(seed: int, n: int) -> Iterator[str]:
        return corpus(book=book, voices=voices, seed=seed, n=n, duration=config.duration)

    texts = list(draw(config.seed, config.texts))
    known = set(texts)
    # about two thirds of all texts have a context
    tests = [
        x for x in draw(config.seed + 1, 3 * config.test_texts) if x.startswith(CONTEXT) and x not in known
    ]
    return texts, tests[: config.test_texts]


def train(
    config: Config, options: TrainingOptions, texts: list[str], *, folder: Path, context: Context
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Tokenizer and model, trained on the texts."""
    tokenizer = train_tokenizer(texts, vocab_size=config.vocab_size)
    tokenizer.model_max_length = config.shape.max_positions
    encoded = encode_corpus(tokenizer, texts, max_tokens=config.max_tokens)
    model = make_language_model(config.shape, tokenizer, seed=config.seed)

    def batches(step: int) -> Iterator[dict[str, Any]]:
        return text_batches(encoded, batch_size=config.batch_size, seed=config.seed, step=step)

    def loss(network: nn.Module, batch: dict[str, Any]) -> dict[str, Mean]:
        return corpus_loss(network, batch, prompt_share=config.prompt_share)

    fit(
        TokenPredictor(model),
        loss=loss,
        batches=batches,
        options=options,
        folder=folder,
        log=context.tracker.log_metrics,
    )
    return model, tokenizer


if __name__ == "__main__":
    from core.run.stage import run

    run(language_model, Config, processes=True)

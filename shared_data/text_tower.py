"""Make the text tower of a profile. Reads: shared_data/bank/<profile>/ (or shared_data/raw/checkpoints/);
writes: shared_data/foundations/<profile>/text_tower/.

Where the configuration names a public checkpoint it is verified and recorded; else a small BERT is trained on
pairs of texts that mean the same, and tested by finding the other text of pairs of another seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.foundations.public import card_of, record_trained, resolve
from core.foundations.text_tower import (
    PairEncoder,
    SentenceEncoder,
    TowerShape,
    make_text_tower,
    pair_batches,
    pair_loss,
    retrieval_at_1,
    train_text_tokenizer,
)
from core.run import hardware
from core.run.resume import close_folder, open_folder, run_identity
from core.run.stage import Context, seed_all
from core.scenes.bank import read_bank
from core.scenes.captions import phrase_book
from core.scenes.draw import voice_attributes
from core.train.loop import fit
from core.train.optimisation import TrainingOptions
from shared_data.world.datasets.text import corpus, paraphrases

if TYPE_CHECKING:
    from transformers import BertModel, PreTrainedTokenizerFast

LICENCE = "Apache-2.0"
TRAINING = "training"  # the folder that a killed run resumes from


@dataclass(frozen=True, kw_only=True)
class Config:
    """checkpoint: a public one by its card's name (core/data/cards.py); empty trains here, and then
    shape: of the network; training: the optimisation; pairs: to train on; test_pairs: of another seed; texts:
    of the language model's corpus, so that the tokenizer knows the words of questions and answers too;
    vocab_size: tokens; batch_size: pairs a step.
    """

    checkpoint: str = ""
    shape: TowerShape = field(default_factory=TowerShape)
    training: TrainingOptions | None = None
    pairs: int = 20000
    test_pairs: int = 500
    texts: int = 4000
    vocab_size: int = 900
    batch_size: int = 32
    seed: int = 0


class TextTowerConfigError(ValueError):
    """A configuration that neither names a checkpoint nor says how to train."""


def text_tower(config: Config, *, context: Context) -> None:
    """Record the public checkpoint, or train a tower, save it as the Hub lays it out and log its recall."""
    out = context.path("foundations", "text_tower")
    if config.checkpoint:
        if hardware.is_main_process():
            record = resolve(out, card_of(config.checkpoint), root=context.root)
            print(f"text_tower: {record.name} at {record.revision} ({record.licence}), in {record.path}")
        return
    if config.training is None:
        raise TextTowerConfigError("text_tower: name a checkpoint, or say in `training` how to train one")
    bank_folder = context.path("bank")
    identity = run_identity(context, config=asdict(config))
    if open_folder(out, identity):
        print(f"{out} is complete")
        return
    seed_all(config.seed)
    bank = read_bank(bank_folder, splits=["train"])
    book = phrase_book(bank)
    pairs = list(paraphrases(book=book, seed=config.seed, n=config.pairs))
    texts = list(corpus(book=book, voices=voice_attributes(bank), seed=config.seed, n=config.texts))
    tower, tokenizer = train(config, config.training, pairs, texts, folder=out / TRAINING, context=context)
    encoder = SentenceEncoder(tower, tokenizer, max_tokens=config.shape.max_tokens)
    tests = list(paraphrases(book=book, seed=config.seed + 1, n=config.test_pairs))
    score = retrieval_at_1(encoder, tests)
    context.tracker.log_metrics({"test/recall_at_1": score, "test/n": float(len(tests))})
    print(f"the other text of {len(tests)} pairs comes first for {score:.1%}")
    if hardware.is_main_process():
        tower.save_pretrained(out)
        tokenizer.save_pretrained(out)
        record_trained(out, root=context.root, name="text_tower", revision=identity, licence=LICENCE)
    close_folder(out, identity, scratch=(TRAINING,))


def train(
    config: Config,
    options: TrainingOptions,
    pairs: list[tuple[str, str]],
    texts: list[str],
    *,
    folder: Path,
    context: Context,
) -> tuple[BertModel, PreTrainedTokenizerFast]:
    """Tokenizer and tower, trained on the pairs."""
    spoken = [text for pair in pairs for text in pair]
    tokenizer = train_text_tokenizer(spoken + texts, vocab_size=config.vocab_size)
    tokenizer.model_max_length = config.shape.max_tokens
    tower = make_text_tower(config.shape, tokenizer, seed=config.seed)

    def batches(step: int) -> Iterator[dict[str, Any]]:
        return pair_batches(
            tokenizer,
            pairs,
            batch_size=config.batch_size,
            max_tokens=config.shape.max_tokens,
            seed=config.seed,
            step=step,
        )

    fit(
        PairEncoder(tower),
        loss=pair_loss,
        batches=batches,
        options=options,
        folder=folder,
        log=context.tracker.log_metrics,
    )
    return tower, tokenizer


if __name__ == "__main__":
    from core.run.stage import run

    run(text_tower, Config, processes=True)

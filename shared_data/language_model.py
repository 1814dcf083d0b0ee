"""Make the language model of a profile. Reads: shared_data/bank/<profile>/ and the recorded bank's phrases
(or shared_data/raw/checkpoints/); writes: shared_data/foundations/<profile>/language_model/.

Where the configuration names a public checkpoint it is verified and recorded; else a small Llama is trained
on questions about what is heard, which a line of text tells, and tested on lines that it has not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from core.foundations.language_model import (
    LmShape,
    TokenPredictor,
    corpus_loss,
    exact_answers,
    make_language_model,
    train_tokenizer,
)
from core.foundations.packed_texts import Asked, packed_batches
from core.metrics.bootstrap import dataset_seed, mean_interval
from core.run.stage import Context
from core.scenes.algebra import Attributes
from core.scenes.bank import read_bank
from core.scenes.draw import voice_attributes
from core.train.loop import fit
from core.train.optimisation import TrainingOptions
from core.train.terms import Mean
from shared_data.foundation import Trained, halve, make
from shared_data.foundation_card import Score
from shared_data.phrases import read_book, words_input
from shared_data.world.datasets.passages import Passage, passages
from shared_data.world.datasets.text import Book

GOAL = 0.85  # of answers in words of its own
LICENCE = "Apache-2.0"
FORMS = {"open": "questions", "words": "with options, by the option", "letters": "with options, by letter"}


@dataclass(frozen=True, kw_only=True)
class Config:
    """checkpoint: a public one by its card's name (core/data/cards.py); shipped: a profile whose weights
    serve this one; where both are empty it is trained here, and then
    shape: of the network; training: the optimisation; words: passages that the tokenizer learns from;
    vocab_size: tokens; max_tokens: of the longest context and question; batch_size: passages a step; asked:
    questions of a passage; prompt_share: of the prompts' tokens that are in the loss beside the answers;
    even: how far long answers weigh no more than short ones (`corpus_loss`);
    duration: seconds of the scenes told; test_questions: each about a line of its own, answered in the end;
    answer: most tokens of an answer.
    """

    checkpoint: str = ""
    shipped: str = ""
    shape: LmShape = field(default_factory=LmShape)
    training: TrainingOptions | None = None
    words: int = 6000
    vocab_size: int = 1200
    max_tokens: int = 256
    batch_size: int = 12
    asked: int = 6
    prompt_share: float = 0.1
    even: float = 0.5
    duration: float = 5.0
    test_questions: int = 2000
    answer: int = 80
    seed: int = 0


def language_model(config: Config, *, context: Context) -> None:
    """Record the public checkpoint, or keep or train a model in the Hub's layout."""
    make("language_model", config, context=context, inputs=words_input, train=train, shipped=config.shipped)


def train(config: Config, *, context: Context, folder: Path) -> Trained:
    """Tokenizer and model, trained on fresh passages and scored on held-out lines."""
    if config.training is None:
        raise ValueError("language_model: `training` says how")
    bank = read_bank(context.path("bank"), splits=["train"])
    book, voices = read_book(bank, root=context.root), voice_attributes(bank)

    def drawn(seed: tuple[int, ...], n: int) -> list[Passage]:
        return list(
            passages(book=book, voices=voices, seed=seed, n=n, asked=config.asked, duration=config.duration)
        )

    words = [text for passage in drawn((config.seed, 1), config.words) for text in passage.texts()]
    tokenizer = train_tokenizer(words, vocab_size=config.vocab_size)
    tokenizer.model_max_length = config.shape.max_positions
    model = make_language_model(config.shape, tokenizer, seed=config.seed)

    def batches(step: int) -> Iterator[dict[str, Any]]:
        return packed_batches(
            lambda number, n: [one.parts() for one in drawn((config.seed, 0, number), n)],
            tokenizer,
            batch_size=config.batch_size,
            max_tokens=config.max_tokens,
            seed=config.seed,
            step=step,
        )

    def loss(network: nn.Module, batch: dict[str, Any]) -> dict[str, Mean]:
        return corpus_loss(network, batch, prompt_share=config.prompt_share, even=config.even)

    fit(
        TokenPredictor(model),
        loss=loss,
        batches=batches,
        options=config.training,
        folder=folder,
        log=context.tracker.log_metrics,
    )
    halve(model.eval())
    tests = test_questions(config, book, voices)
    right = exact_answers(model, tokenizer, [one for _, _, one in tests], max_new_tokens=config.answer)

    def save(out: Path) -> None:
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)

    return Trained(
        save=save,
        scores=scores_of([(form, task) for form, task, _ in tests], right),
        data=(
            "Questions about scenes that a line of text tells, with and without options, drawn anew for each "
            f"step, on {len(book)} labels, those of the bank and of the recorded bank."
        ),
        licence=LICENCE,
    )


def test_questions(config: Config, book: Book, voices: Attributes) -> list[tuple[str, str, Asked]]:
    """(form, task, (prompt, answer)), each about a held-out line of its own."""
    found: dict[str, tuple[str, str, Asked]] = {}
    drawn = passages(
        book=book,
        voices=voices,
        seed=(config.seed, 2),
        n=None,
        asked=1,
        split="test",
        lookups=False,
        duration=config.duration,
    )
    for passage in drawn:
        if passage.context and len(found) < config.test_questions:
            (one,) = passage.asked
            found[passage.context] = (one.form, one.task, (f"{passage.context}\n{one.prompt}", one.answer))
        if len(found) == config.test_questions:
            break
    return list(found.values())


def scores_of(kinds: Sequence[tuple[str, str]], right: Sequence[bool]) -> tuple[Score, ...]:
    """Shares of exactly right answers: by form, then, of questions without options, by task."""
    hits = np.array(right, float)
    groups = {name: [form == kind for form, _ in kinds] for kind, name in FORMS.items()}
    for task in sorted({task for form, task in kinds if form == "open"}):
        groups[task] = [kind == ("open", task) for kind in kinds]
    scores = []
    for name, rows in groups.items():
        if any(rows):
            found = mean_interval([hits[rows]], seed=dataset_seed(name), method="wilson")
            score = Score(
                name=f"exact answers, {name}",
                value=found.value,
                low=found.low,
                high=found.high,
                n=found.n,
                on="held-out lines, greedy answers, letter by letter",
                goal=GOAL if name == FORMS["open"] else None,
            )
            scores.append(score)
    return tuple(scores)


if __name__ == "__main__":
    from core.run.stage import run

    run(language_model, Config, processes=True)

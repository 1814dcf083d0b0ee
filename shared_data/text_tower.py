"""Make the text tower of a profile. Reads: shared_data/bank/<profile>/ and the recorded bank's phrases
(or shared_data/raw/checkpoints/); writes: shared_data/foundations/<profile>/text_tower/.

Where the configuration names a public checkpoint it is verified and recorded; else a small BERT is trained on
pairs of texts that mean the same, and tested by finding a text of the same meaning among others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core.foundations.text_tower import (
    Drawn,
    PairEncoder,
    SentenceEncoder,
    TowerShape,
    make_text_tower,
    pair_batches,
    pair_loss,
    train_text_tokenizer,
)
from core.metrics.bootstrap import dataset_seed, mean_interval
from core.run.stage import Context
from core.scenes.bank import read_bank
from core.scenes.draw import voice_attributes
from core.train.loop import fit
from core.train.optimisation import TrainingOptions
from shared_data.foundation import Trained, halve, make
from shared_data.foundation_card import Score
from shared_data.phrases import read_book, words_input
from shared_data.world.datasets.paraphrases import alike, draw_pairs, twin_captions
from shared_data.world.datasets.passages import passages
from shared_data.world.datasets.text import Book

GOAL = 0.8  # of all paraphrases
LICENCE = "Apache-2.0"
KINDS = {
    "names": "two names of a sound",
    "captions": "two captions of a scene",
    "labels": "a caption and its labels",
    "places": "a place or genre and a sound of it",
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """checkpoint: a public one by its card's name (core/data/cards.py); shipped: a profile whose weights
    serve this one; where both are empty it is trained here, and then
    shape: of the network; training: the optimisation; words: pairs that the tokenizer learns from, beside as
    many passages of the language model's, so that it knows the words of questions and answers too;
    vocab_size: tokens; batch_size: pairs a step; twins: share of the captions that have the same labels in
    another order beside them; test_pairs: of another seed.
    """

    checkpoint: str = ""
    shipped: str = ""
    shape: TowerShape = field(default_factory=TowerShape)
    training: TrainingOptions | None = None
    words: int = 6000
    vocab_size: int = 900
    batch_size: int = 64
    twins: float = 0.7
    test_pairs: int = 2000
    seed: int = 0


def text_tower(config: Config, *, context: Context) -> None:
    """Record the public checkpoint, or keep or train a tower in the Hub's layout."""
    make("text_tower", config, context=context, inputs=words_input, train=train, shipped=config.shipped)


def train(config: Config, *, context: Context, folder: Path) -> Trained:
    """Tokenizer and tower, trained on fresh pairs and scored on others."""
    if config.training is None:
        raise ValueError("text_tower: `training` says how")
    bank = read_bank(context.path("bank"), splits=["train"])
    book = read_book(bank, root=context.root)
    said = passages(book=book, voices=voice_attributes(bank), seed=(config.seed, 1), n=config.words, asked=1)
    words = [text for passage in said for text in passage.texts()]
    words += [
        text for pair in draw_pairs(book=book, seed=(config.seed, 1), n=config.words) for text in pair.texts
    ]
    tokenizer = train_text_tokenizer(words, vocab_size=config.vocab_size)
    tokenizer.model_max_length = config.shape.max_tokens
    tower = make_text_tower(config.shape, tokenizer, seed=config.seed)

    def draw(step: int) -> Drawn:
        seed = (config.seed, 0, step)
        pairs = draw_pairs(book=book, seed=seed, n=config.batch_size, twins=config.twins)
        means = [pair.means[side] for side in (0, 1) for pair in pairs]
        return Drawn([pair.texts for pair in pairs], alike(means, means))

    def batches(step: int) -> Iterator[dict[str, Any]]:
        return pair_batches(draw, tokenizer, max_tokens=config.shape.max_tokens, step=step)

    fit(
        PairEncoder(tower),
        loss=pair_loss,
        batches=batches,
        options=config.training,
        folder=folder,
        log=context.tracker.log_metrics,
    )
    halve(tower.eval())
    encode = SentenceEncoder(tower, tokenizer, max_tokens=config.shape.max_tokens)

    def save(out: Path) -> None:
        tower.save_pretrained(out)
        tokenizer.save_pretrained(out)

    return Trained(
        save=save,
        scores=scores_of(encode, book, config),
        data=(
            "Pairs of texts that mean the same, drawn anew for each step: names of sounds, captions, labels, "
            f"places and genres, on {len(book)} labels, those of the bank and of the recorded bank."
        ),
        licence=LICENCE,
    )


def scores_of(encode: SentenceEncoder, book: Book, config: Config) -> tuple[Score, ...]:
    """How often the nearest of all right texts means the same as a left one, and which of two captions is
    nearer: one of the same scene, or one of the same labels in another order."""
    pairs = draw_pairs(
        book=book, seed=(config.seed, 2), n=config.test_pairs, split="test", twins=config.twins
    )
    lefts, rights = (encode([pair.texts[side] for pair in pairs]) for side in (0, 1))
    nearest = (lefts @ rights.T).argmax(axis=1)
    known = alike([pair.means[0] for pair in pairs], [pair.means[1] for pair in pairs])
    hits = known[np.arange(len(pairs)), nearest].astype(float)
    # pairs of one sound or place are not independent
    units = [pair.means[0].name for pair in pairs]
    on = f"the nearest of {len(pairs)} texts of another seed; captions of labels never seen together"
    scores = [_score("paraphrase first", hits, units, on=on, goal=GOAL)]
    for kind, name in KINDS.items():
        rows = [row for row, pair in enumerate(pairs) if pair.kind == kind]
        if rows:
            scores.append(_score(name, hits[rows], [units[row] for row in rows], on=on))
    triples = twin_captions(book=book, seed=(config.seed, 3), n=max(1, config.test_pairs // 4))
    one, two, twin = (encode(texts) for texts in map(list, zip(*triples, strict=True)))
    nearer = ((one * two).sum(axis=1) > (one * twin).sum(axis=1)).astype(float)
    named = [str(number) for number in range(len(triples))]
    on = "captions of the same labels, in order or at once; chance is 0.5"
    return *scores, _score("the true one of two captions", nearer, named, on=on)


def _score(name: str, hits: np.ndarray, units: list[str], *, on: str, goal: float | None = None) -> Score:
    found = mean_interval([hits], seed=dataset_seed(name), units=units)
    return Score(name=name, value=found.value, low=found.low, high=found.high, n=found.n, on=on, goal=goal)


if __name__ == "__main__":
    from core.run.stage import run

    run(text_tower, Config, processes=True)

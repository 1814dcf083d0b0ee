"""Batches of fresh scenes: the same for a seed, a step and a rank, and true to their timelines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from core.encoders.clap_folder import Shape, make_front_end, tokenize
from core.scenes.algebra import holds
from core.scenes.bank import Bank
from core.scenes.captions import parse_caption, phrase_book
from core.scenes.compose import ClipMels, render
from core.scenes.draw import voice_attributes
from projects.compa.batches import (
    Batch,
    SceneMix,
    Texts,
    bank_mels,
    log_mels,
    scene_batches,
    scene_source,
    write_texts,
)
from projects.compa.objectives import Objective

TWINS = SceneMix(twins=True, attribute_share=0.3, same_words=0.4, reversed_share=0.4, connectives="train")
SINGLES = SceneMix(singles=0.4, same_words=0.4, longer_share=0.5)
LOUDNESS = SceneMix(attribute_share=1.0, attribute_kind="loudness")
Batches = Callable[[int], Iterator[Batch]]


@pytest.fixture(scope="module")
def mels(training: Bank, shape: Shape) -> ClipMels:
    return bank_mels(training, shape.front_end, make_front_end(shape.front_end))


@pytest.fixture
def make(training: Bank, mels: ClipMels, shape: Shape, tokenizer: Tokenizer) -> Callable[..., Batches]:
    def batches(objective: Objective, mix: SceneMix, *, seed: int = 3, pad_to_max: bool = False) -> Batches:
        return scene_batches(
            training,
            mels,
            tokenizer,
            mix=mix,
            objective=objective,
            front_end=shape.front_end,
            batch_size=8,
            max_tokens=shape.text.max_tokens,
            pad_to_max=pad_to_max,
            seed=seed,
        )

    return batches


def equal(one: Batch, other: Batch) -> bool:
    same = [
        torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
        for key, value in one.items()
    ]
    return one.keys() == other.keys() and all(same)


@pytest.mark.parametrize(
    ("objective", "mix"), [("contrastive", SINGLES), ("hard_negatives", TWINS), ("modular", TWINS)]
)
def test_a_batch_depends_on_seed_and_step_alone(
    make: Callable[..., Batches], objective: Objective, mix: SceneMix
) -> None:
    first = list(islice(make(objective, mix)(0), 4))
    later = list(islice(make(objective, mix)(2), 2))
    assert equal(first[2], later[0])
    assert equal(first[3], later[1])
    assert not torch.equal(first[0]["features"], first[1]["features"])
    other = next(make(objective, mix, seed=4)(0))
    assert not torch.equal(first[0]["features"], other["features"])


def test_processes_share_the_batch_of_one(
    make: Callable[..., Batches], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = make("hard_negatives", TWINS)
    whole = next(batches(5))
    parts = []
    for rank in range(2):
        state = SimpleNamespace(process_index=rank, num_processes=2)
        monkeypatch.setattr("accelerate.PartialState", lambda state=state: state)
        parts.append(next(batches(5)))
    assert [len(part["ids"]) for part in parts] == [4, 4]
    assert parts[0]["ids"] + parts[1]["ids"] == whole["ids"]
    assert len(set(whole["ids"])) == 8
    assert torch.equal(torch.cat([part["features"] for part in parts]), whole["features"])
    assert said(parts[0]) + said(parts[1]) == said(whole)


def said(batch: Batch) -> list[list[list[list[int]]]]:
    """The tokens of each scene's caption, positives and negatives."""
    texts = [ids[mask.bool()].tolist() for ids, mask in zip(batch["input_ids"], batch["attention_mask"])]
    return [
        [
            [texts[row]],
            *([texts[i] for i in batch[name][row] if i >= 0] for name in ("positives", "negatives")),
        ]
        for row in range(len(batch["ids"]))
    ]


@pytest.mark.parametrize("pad_to_max", [False, True])
def test_shapes(make: Callable[..., Batches], shape: Shape, pad_to_max: bool) -> None:
    batch = next(make("modular", TWINS, pad_to_max=pad_to_max)(0))
    front_end = shape.front_end
    assert batch["features"].shape == (8, 1, front_end.frames, front_end.n_mels)
    assert batch["features"].dtype == torch.float32
    assert batch["is_longer"].shape == (8, 1)
    assert not batch["is_longer"].any()
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    assert (batch["input_ids"].shape[1] == shape.text.max_tokens) == pad_to_max
    texts = len(batch["input_ids"])
    for name in ("positives", "negatives"):
        index = batch[name]
        assert index.dtype == torch.int64
        assert len(index) == 8
        assert ((index == -1) | ((index >= 8) & (index < texts))).all()
        real = index >= 0
        assert (real[:, :-1] | ~real[:, 1:]).all()  # padding stands at the end
    assert (batch["positives"][:, 0] >= 0).all()


def drawn_texts(
    bank: Bank, shape: Shape, objective: Objective, mix: SceneMix, *, n: int = 60
) -> tuple[list[Any], Texts]:
    source = scene_source(bank, mix, seconds=shape.front_end.max_seconds, seed=1, rank=0, world=1)
    drawn = source.draw(0, n)
    texts = write_texts(
        drawn,
        objective=objective,
        mix=mix,
        book=phrase_book(bank),
        attributes=voice_attributes(bank),
        rng=np.random.default_rng(0),
    )
    return drawn, texts


@pytest.mark.parametrize("mix", [TWINS, SINGLES, LOUDNESS], ids=["twins", "singles", "loudness"])
@pytest.mark.parametrize("objective", ["contrastive", "hard_negatives", "modular"])
def test_every_text_is_true_or_false_of_its_timeline(
    training: Bank, shape: Shape, objective: Objective, mix: SceneMix
) -> None:
    drawn, texts = drawn_texts(training, shape, objective, mix)
    book = phrase_book(training)

    def truths(text: str, scene: Any) -> set[bool]:
        return {holds(reading, scene) for reading in parse_caption(text, book)}

    for place, (scene, _) in enumerate(drawn):
        assert truths(texts.texts[place], scene) == {True}, texts.texts[place]
        for index in texts.positives[place]:
            assert truths(texts.texts[index], scene) == {True}, texts.texts[index]
        for index in texts.negatives[place]:
            assert truths(texts.texts[index], scene) == {False}, texts.texts[index]
    extra = {index for rows in (texts.positives, texts.negatives) for row in rows for index in row}
    assert extra == set(range(len(drawn), len(texts.texts)))  # nothing is embedded for nothing
    assert len(set(texts.texts[len(drawn) :])) == len(texts.texts) - len(drawn)


def test_numbers_of_texts(training: Bank, shape: Shape) -> None:
    drawn, plain = drawn_texts(training, shape, "contrastive", TWINS)
    assert len(plain.texts) == len(drawn)
    assert plain.positives == plain.negatives == [[]] * len(drawn)
    _, hard = drawn_texts(training, shape, "hard_negatives", dataclasses.replace(TWINS, hard_negatives=2))
    assert {len(row) for row in hard.negatives} == {2}
    _, modular = drawn_texts(training, shape, "modular", dataclasses.replace(TWINS, cap=2))
    assert {len(row) for row in modular.positives} == {1, 2}
    assert max(map(len, modular.negatives)) == 2
    drawn, alone = drawn_texts(training, shape, "modular", SINGLES)
    singles = [place for place, (scene, _) in enumerate(drawn) if len(scene.events) == 1]
    assert singles
    for place in singles:  # its own caption is its only positive
        assert [alone.texts[index] for index in alone.positives[place]] == [alone.texts[place]]
        assert alone.negatives[place] == []


def test_ids_are_the_written_texts(
    make: Callable[..., Batches], training: Bank, shape: Shape, tokenizer: Tokenizer
) -> None:
    batch = next(make("modular", TWINS, seed=7)(4))
    source = scene_source(training, TWINS, seconds=shape.front_end.max_seconds, seed=7, rank=0, world=1)
    texts = write_texts(
        source.draw(4, 8),
        objective="modular",
        mix=TWINS,
        book=phrase_book(training),
        attributes=voice_attributes(training),
        rng=np.random.default_rng((7, 4, 0, 1)),
    )
    ids, mask = tokenize(tokenizer, texts.texts, max_tokens=shape.text.max_tokens, pad_to_max=False)
    assert torch.equal(batch["input_ids"], ids)
    assert torch.equal(batch["attention_mask"], mask)
    for name, rows in (("positives", texts.positives), ("negatives", texts.negatives)):
        assert [[i for i in row if i >= 0] for row in batch[name].tolist()] == rows


def test_mixtures_sound_like_rendered_audio(training: Bank, mels: ClipMels, shape: Shape) -> None:
    mix = SceneMix(noise_db=(-30.0, -25.0))
    source = scene_source(training, mix, seconds=shape.front_end.max_seconds, seed=2, rank=0, world=1)
    scenes = [scene for scene, _ in source.draw(0, 16)]
    quick = log_mels(scenes, mels, shape.front_end)
    heard = make_front_end(shape.front_end)([render(scene, training) for scene in scenes]).input_features
    assert quick.shape == heard.shape
    own = np.corrcoef(quick.flatten(1).numpy(), heard.flatten(1).numpy())[:16, 16:]
    assert np.diag(own).min() > 0.8
    assert (own.argmax(axis=1) == np.arange(16)).all()
    assert abs(float((quick - heard).mean())) < 3.0  # the same level, in dB

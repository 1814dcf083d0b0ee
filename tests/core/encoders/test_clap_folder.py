"""The model on disk: tokenizer, shape, weights and front end."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from core.encoders.clap_folder import (
    FrontEnd,
    ModelError,
    Shape,
    make_front_end,
    make_model,
    read_shape,
    tokenize,
    weights_of,
    write_shape,
)
from core.scenes.bank import Bank
from core.scenes.captions import TRAIN, phrase_book


def test_every_word_of_the_grammar_is_one_token(tokenizer: Tokenizer, training: Bank) -> None:
    said = [phrase for phrases in phrase_book(training).values() for phrase in phrases]
    said += [*TRAIN.sequence, *TRAIN.overlay, *TRAIN.reversed]
    words = {word for text in said for word in text.split()}
    assert len(words) > 30
    split = {word: tokenizer.encode(word).tokens for word in words if len(tokenizer.encode(word).ids) != 2}
    assert split == {}
    unknown = tokenizer.token_to_id("<unk>")
    assert all(unknown not in tokenizer.encode(text).ids for text in said)


def test_texts_end_with_the_end_token_and_ignore_case(tokenizer: Tokenizer) -> None:
    ids, mask = tokenize(
        tokenizer, ["A dog BARKING", "a dog barking", "rain"], max_tokens=40, pad_to_max=False
    )
    end = tokenizer.token_to_id("</s>")
    assert ids.dtype == mask.dtype == torch.int64
    assert torch.equal(ids[0], ids[1])
    assert mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 0, 0]]
    assert ids[:2, 3].tolist() == [end, end]
    assert ids[2, 1:].tolist() == [end, 0, 0]  # T5's padding is token 0
    assert tokenizer.token_to_id("<pad>") == 0


def test_padding_to_the_maximum_and_truncation(tokenizer: Tokenizer) -> None:
    text = "a dog barking and then rain falling"
    whole, _ = tokenize(tokenizer, [text], max_tokens=40, pad_to_max=False)
    assert whole.shape == (1, 8)
    ids, mask = tokenize(tokenizer, [text], max_tokens=12, pad_to_max=True)
    assert ids.shape == mask.shape == (1, 12)
    assert torch.equal(ids[:, :8], whole)
    assert mask.sum() == 8
    cut, mask = tokenize(tokenizer, [text], max_tokens=4, pad_to_max=True)
    assert mask.all()
    assert torch.equal(cut[0, :3], whole[0, :3])
    assert cut[0, 3] == tokenizer.token_to_id("</s>")  # a cut text still ends
    again, _ = tokenize(tokenizer, [text], max_tokens=40, pad_to_max=False)
    assert torch.equal(again, whole)  # what one call sets does not stay for the next


def test_shape_and_tokenizer_come_back_from_disk(
    tmp_path: Path, shape: Shape, tokenizer: Tokenizer, captions: list[str]
) -> None:
    written = dataclasses.replace(shape, temperature=0.05, front_end=FrontEnd(hop=640))
    write_shape(tmp_path, written, tokenizer)
    read, again = read_shape(tmp_path)
    assert read == written
    assert [e.ids for e in again.encode_batch(captions[:20])] == [
        e.ids for e in tokenizer.encode_batch(captions[:20])
    ]
    torch.manual_seed(0)
    model = make_model(shape)
    torch.manual_seed(0)
    other = make_model(dataclasses.replace(read, front_end=shape.front_end, temperature=shape.temperature))
    assert {name: x.shape for name, x in model.state_dict().items()} == {
        name: x.shape for name, x in other.state_dict().items()
    }
    assert all(torch.equal(x, other.state_dict()[name]) for name, x in model.state_dict().items())


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=re.escape(str(tmp_path)) + ".*run the stage that makes it"):
        read_shape(tmp_path)
    with pytest.raises(ModelError, match=r"vanilla/seed2: run the stage that trains 'vanilla' with seed 2"):
        weights_of(tmp_path, "vanilla", 2)
    for folder in ("init", "vanilla/seed2"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "model.safetensors").touch()
    assert weights_of(tmp_path, "vanilla", 2) == tmp_path / "vanilla" / "seed2" / "model.safetensors"
    with pytest.raises(ModelError, match="with seed 1"):
        weights_of(tmp_path, "vanilla", 1)
    assert weights_of(tmp_path, "init", 1) == weights_of(tmp_path, "init", 0)  # shared by all seeds


@pytest.mark.parametrize(
    "front_end",
    [
        FrontEnd(),
        FrontEnd(sample_rate=16_000, hop=640, fmax=7800.0, max_seconds=5.0, truncation="rand_trunc"),
        FrontEnd(sample_rate=8000, hop=300, fmax=3900.0, max_seconds=1.333, n_mels=16),
    ],
    ids=["paper", "mini", "uneven"],
)
def test_frames_are_those_of_the_front_end(front_end: FrontEnd) -> None:
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, front_end.sample_rate // 2).astype(np.float32)
    heard = make_front_end(front_end)([wave])
    channels = 4 if front_end.truncation == "fusion" else 1
    assert heard.input_features.shape == (1, channels, front_end.frames, front_end.n_mels)
    assert heard.input_features.dtype == torch.float32

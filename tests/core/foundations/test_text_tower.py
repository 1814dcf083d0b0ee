"""The sentence encoder: padding and order change nothing, pairs train it, public ones are read likewise."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import MPNetConfig, MPNetModel, PreTrainedTokenizerFast

from core.foundations.text_tower import (
    Drawn,
    PairEncoder,
    SentenceEncoder,
    TextTowerError,
    TowerShape,
    load_sentence_encoder,
    make_text_tower,
    pair_batches,
    pair_loss,
    pool,
    train_text_tokenizer,
)

NAMES = ("dog", "cat", "rain", "bell", "siren", "train", "owl", "frog")
PAIRS = [(f"a {name} is heard", f"sound of {name}") for name in NAMES] + [
    (f"we hear a {name}", f"sound of {name}") for name in NAMES
]
SHAPE = TowerShape(hidden_size=32, layers=1, heads=2, intermediate_size=32, max_tokens=16)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_text_tokenizer([text for pair in PAIRS for text in pair], vocab_size=320)


@pytest.fixture
def encoder(tokenizer: PreTrainedTokenizerFast) -> SentenceEncoder:
    tower = make_text_tower(SHAPE, tokenizer, seed=0)
    return SentenceEncoder(tower, tokenizer, max_tokens=16, batch_size=3)


def draw(step: int) -> Drawn:
    """Six pairs of a step: two of them, of the same name, are alike."""
    chosen = np.random.default_rng(step).permutation(len(NAMES))[:5]
    rows = [*chosen, chosen[0] + len(NAMES)]
    names = np.array([NAMES[row % len(NAMES)] for row in (*rows, *rows)])
    return Drawn([PAIRS[row] for row in rows], names[:, None] == names[None])


def batches(tokenizer: PreTrainedTokenizerFast, *, step: int) -> Iterator[dict[str, Any]]:
    return pair_batches(draw, tokenizer, max_tokens=16, step=step)


def test_texts_have_a_summary_token_and_an_end_and_no_case(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer("A Dog")["input_ids"]
    assert tokenizer.convert_ids_to_tokens([ids[0], ids[-1]]) == ["[CLS]", "[SEP]"]
    assert ids == tokenizer("a dog")["input_ids"]
    assert (tokenizer.cls_token, tokenizer.sep_token, tokenizer.pad_token_id) == ("[CLS]", "[SEP]", 0)


def test_pool_is_the_mean_over_valid_tokens() -> None:
    states = torch.tensor([[[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]]])
    assert torch.allclose(pool(states, torch.tensor([[1, 1, 0]])), torch.tensor([[0.6, 0.8]]))


def test_vectors_are_unit_in_order_and_independent_of_the_batch(encoder: SentenceEncoder) -> None:
    texts = ["a dog is heard", "owl", "we hear a frog and a train", "owl", "rain", "OWL"]
    vectors = encoder(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (6, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(vectors, np.concatenate([encoder([text]) for text in texts]), atol=1e-5)
    np.testing.assert_array_equal(vectors[1], vectors[3])
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01
    assert encoder([]).shape == (0, 32)


def test_each_distinct_text_is_read_once(encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    read, forward = [], encoder.model.forward
    monkeypatch.setattr(
        encoder.model,
        "forward",
        lambda input_ids, **rest: (read.append(len(input_ids)), forward(input_ids, **rest))[1],
    )
    encoder(["owl", "frog"] * 50)
    assert sum(read) == 2


def test_long_texts_are_refused_or_cut_and_counted(tokenizer: PreTrainedTokenizerFast) -> None:
    tower, long = make_text_tower(SHAPE, tokenizer, seed=0), "we hear a dog " * 9
    with pytest.raises(TextTowerError, match="1 of 2 texts have more than 16 tokens, such as 'we hear"):
        SentenceEncoder(tower, tokenizer, max_tokens=16)(["owl", long])
    encoder = SentenceEncoder(tower, tokenizer, max_tokens=16, cut=True)
    vectors = encoder(["owl", long])
    assert encoder.was_cut == 1
    assert np.isfinite(vectors).all()


def test_batches_are_a_function_of_the_step(tokenizer: PreTrainedTokenizerFast) -> None:
    drawn = list(islice(batches(tokenizer, step=0), 9))
    again = next(batches(tokenizer, step=7))
    assert again["input_ids"].shape[0] == 12
    assert again["ids"] == drawn[7]["ids"]
    assert torch.equal(again["input_ids"], drawn[7]["input_ids"])


def test_what_is_alike_is_no_negative(tokenizer: PreTrainedTokenizerFast) -> None:
    """Vectors by hand: each text's mate at cosine 1, a text alike to it too, which costs nothing."""

    class Given(torch.nn.Module):
        def forward(self, ids: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.eye(3)[[0, 0, 1, 0, 0, 1]], torch.tensor(20.0)

    names = np.array([0, 0, 1, 0, 0, 1])
    batch = {"input_ids": torch.zeros(6, 2), "attention_mask": torch.ones(6, 2)}
    same = torch.from_numpy(names[:, None] == names[None])
    assert pair_loss(Given(), batch | {"alike": same})["loss"] == pytest.approx(0.0, abs=1e-6)
    strangers = torch.zeros(6, 6, dtype=torch.bool)
    assert pair_loss(Given(), batch | {"alike": strangers})["loss"] == pytest.approx(
        4 / 6 * np.log(3), abs=1e-6
    )


def found(encode: SentenceEncoder) -> float:
    """Share of the left texts whose nearest right text is theirs."""
    rights = sorted({right for _, right in PAIRS})
    nearest = (encode([left for left, _ in PAIRS]) @ encode(rights).T).argmax(axis=1)
    return float(np.mean([rights[at] == right for at, (_, right) in zip(nearest, PAIRS, strict=True)]))


def test_training_brings_pairs_together_and_survives_the_disk(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tower = make_text_tower(SHAPE, tokenizer, seed=0)
    model = PairEncoder(tower)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    before = found(SentenceEncoder(tower, tokenizer, max_tokens=16))
    tower.train()
    for batch in islice(batches(tokenizer, step=0), 60):
        pair_loss(model, batch)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    tower.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    encoder = load_sentence_encoder(tmp_path)
    assert found(encoder) == 1.0 > before
    np.testing.assert_allclose(
        encoder(["owl"]), SentenceEncoder(tower, tokenizer, max_tokens=16)(["owl"]), atol=1e-6
    )


def test_public_sentence_encoders_are_read_by_the_same_recipe(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """The classes of all-mpnet-base-v2: mean over the tokens of the last layer, unit norm."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = MPNetModel(MPNetConfig(vocab_size=len(tokenizer), max_position_embeddings=24, **sizes)).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    ids = tokenizer("a dog is heard", return_tensors="pt")["input_ids"]
    expected = model(ids).last_hidden_state.mean(dim=1)[0]
    got = load_sentence_encoder(tmp_path)(["a dog is heard", "owl"])[0]
    np.testing.assert_allclose(got, (expected / expected.norm()).detach().numpy(), atol=1e-5)


def test_missing_tower_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no text tower in"):
        load_sentence_encoder(tmp_path)

"""Packed questions are read as if each stood alone; batches repeat, alike in length, from any step on."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from core.adapters.prefix_lm import IGNORED, ContextTooLong
from core.foundations.language_model import LmShape, make_language_model, train_tokenizer
from core.foundations.packed_texts import collate, may_attend, pack, packed_batches

ASKED = [
    (f"\n### Instruction:\n{question}\n\n### Response:\n", answer)
    for question, answer in (("first?", "a dog."), ("last?", "rain falling."), ("how many?", "two."))
]
PASSAGES = [("a dog barking from 0.4 to 1.2; rain falling.", ASKED), ("", [("", "rain falls on a farm")])]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    texts = [context + prompt + answer for context, asked in PASSAGES for prompt, answer in asked]
    return train_tokenizer(texts, vocab_size=280)


def test_each_part_gives_what_it_gives_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    shape = LmShape(hidden_size=32, layers=2, heads=2, intermediate_size=48, max_positions=128)
    model = make_language_model(shape, tokenizer, seed=0).eval()
    batch = collate(pack(tokenizer, PASSAGES, max_tokens=128), pad=0)
    with torch.no_grad():
        logits = model(
            input_ids=batch["input_ids"],
            attention_mask=may_attend(batch["parts"]),
            position_ids=batch["position_ids"],
        ).logits
        for row, (context, asked) in enumerate(PASSAGES):
            for part, (prompt, answer) in enumerate(asked, 1):
                ids = [*tokenizer(context + prompt + answer)["input_ids"], tokenizer.eos_token_id]
                here = (batch["parts"][row] == 0) | (batch["parts"][row] == part)
                assert batch["input_ids"][row][here].tolist() == ids
                alone = model(input_ids=torch.tensor([ids])).logits[0]
                torch.testing.assert_close(logits[row][here], alone, atol=1e-5, rtol=1e-4)


def test_labels_are_on_answers(tokenizer: PreTrainedTokenizerFast) -> None:
    batch = collate(pack(tokenizer, PASSAGES, max_tokens=128), pad=0)
    told = [tokenizer.decode(row[row != IGNORED]) for row in batch["labels"]]
    assert told == ["a dog.</s>rain falling.</s>two.</s>", "rain falls on a farm</s>"]


def test_a_part_that_reaches_too_far_is_named(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ContextTooLong, match=r"of 'a dog.*first\?.*: raise max_tokens"):
        pack(tokenizer, PASSAGES, max_tokens=8)


def test_batches_are_a_function_of_seed_and_step(tokenizer: PreTrainedTokenizerFast) -> None:
    def draw(number: int, n: int) -> list[tuple[str, list[tuple[str, str]]]]:
        return [(f"{number} dog" * (1 + place % 7), [("?", str(place))]) for place in range(n)]

    def batches(step: int, seed: int = 1) -> list[tuple[list[str], torch.Tensor]]:
        source = packed_batches(draw, tokenizer, batch_size=3, max_tokens=128, seed=seed, step=step)
        return [(batch["ids"], batch["input_ids"]) for batch in islice(source, 40 - step)]

    all_of_them = batches(0)
    assert len({name for names, _ in all_of_them[:16] for name in names}) == 48
    for (ids, tokens), (names, again) in zip(all_of_them[19:], batches(19), strict=True):
        assert ids == names
        assert torch.equal(tokens, again)
    assert [names for names, _ in batches(0, seed=2)] != [names for names, _ in all_of_them]
    assert max((tokens == 0).float().mean() for _, tokens in all_of_them) < 0.5

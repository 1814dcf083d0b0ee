"""The small language model: its tokenizer loses nothing, batches repeat, and it learns to read a context."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

from core.adapters.prefix_lm import IGNORED
from core.audio_lm.model import load_language_model
from core.foundations.language_model import (
    LanguageModelError,
    LmShape,
    TokenPredictor,
    corpus_loss,
    exact_answers,
    make_language_model,
    train_tokenizer,
    write_answers,
)
from core.foundations.packed_texts import collate, pack

SOUNDS = ("dog", "rain", "bell", "siren")
SHAPE = LmShape(hidden_size=32, layers=1, heads=2, intermediate_size=48, max_positions=64)


Passage = tuple[str, list[tuple[str, str]]]
PASSAGES: list[Passage] = [
    (
        f"Sounds: {a} from 0.4 to 1.2; {b}.",
        [
            ("\n### Instruction:\nFirst?\n\n### Response:\n", f"{a}."),
            ("\n### Instruction:\nLast?\n\n### Response:\n", f"{b}."),
        ],
    )
    for a in SOUNDS
    for b in SOUNDS
    if a != b
]
TEXTS = [context + "".join(asked[0]) for context, asked in PASSAGES]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS * 4, vocab_size=330)


@pytest.mark.parametrize("text", [*TEXTS[:2], "never seen: Ünïcode, 名前 and\ttabs  or 17.25 & <hint>!", ""])
def test_texts_come_back_as_they_were(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer(text)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids[1:]) == text


def test_special_tokens_times_and_headings_are_one_token(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.convert_tokens_to_ids(["<pad>", "<s>", "</s>", "<hint>"]) == [0, 1, 2, 3]
    assert (tokenizer.pad_token, tokenizer.eos_token) == ("<pad>", "</s>")
    assert tokenizer.encode("to <hint>,", add_special_tokens=False).count(3) == 1
    for piece in (" 0.4", "\n\n### Response:\n"):
        assert len(tokenizer.encode(piece, add_special_tokens=False)) == 1


def test_a_vocabulary_must_hold_all_bytes() -> None:
    with pytest.raises(LanguageModelError, match="at least 260"):
        train_tokenizer(TEXTS, vocab_size=259)


def packed(tokenizer: PreTrainedTokenizerFast, passages: list[Passage]) -> dict[str, Any]:
    return collate(pack(tokenizer, passages, max_tokens=64), pad=0)


def test_the_loss_is_the_models_own_of_answers_and_of_a_share_of_prompts(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    """One question a context, so that nothing is shared: what the stock class computes of the whole text."""
    model = make_language_model(SHAPE, tokenizer, seed=0).eval()
    batch = packed(tokenizer, [(context, asked[:1]) for context, asked in PASSAGES])
    ids, parts = batch["input_ids"], batch["parts"]
    mask = (parts >= 0).long()
    # the first token of a part has no loss
    begins = nn.functional.pad(parts[:, 1:] != parts[:, :-1], (1, 0), value=True)
    everything = ids.masked_fill((parts < 0) | begins, IGNORED)
    for share, labels in ((0.0, batch["labels"]), (1.0, everything)):
        ours = corpus_loss(TokenPredictor(model), batch, prompt_share=share)
        theirs = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        assert ours["loss"].value.item() == pytest.approx(theirs.item(), abs=1e-5)
    answers = corpus_loss(TokenPredictor(model), batch, prompt_share=0.0)["loss"]
    assert ours["answer"].value.item() == pytest.approx(answers.value.item(), abs=1e-5)
    assert ours["answer"].over == answers.over == (batch["labels"] != IGNORED).sum()
    assert ours["loss"].over == (everything != IGNORED).sum()


def test_even_answers_weigh_alike_whatever_their_length(tokenizer: PreTrainedTokenizerFast) -> None:
    """With one token of loss in one answer and several in another, by hand from the model's own logits."""
    model = make_language_model(SHAPE, tokenizer, seed=0).eval()
    passages: list[Passage] = [("dog", [("? ", "rain."), ("! ", "dog from 0.4 to 1.2; rain.")])]
    batch = packed(tokenizer, passages)
    logits = TokenPredictor(model)(
        batch["input_ids"],
        batch["parts"],
        batch["position_ids"],
        torch.ones(1, batch["parts"].shape[1] - 1, dtype=torch.bool),
    )
    each = nn.functional.cross_entropy(logits, batch["input_ids"][0, 1:], reduction="none")
    answer = batch["labels"][0, 1:] != IGNORED
    means = [each[answer & (batch["parts"][0, 1:] == part)].mean() for part in (1, 2)]
    found = corpus_loss(TokenPredictor(model), batch, prompt_share=0.0, even=1.0)["loss"]
    assert found.value.item() == pytest.approx(float(sum(means) / 2), abs=1e-5)
    assert float(found.over) == pytest.approx(int(answer.sum()))


def test_it_learns_to_answer_from_a_context_and_survives_the_disk(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model = make_language_model(SHAPE, tokenizer, seed=0)
    network, optimizer = TokenPredictor(model), torch.optim.Adam(model.parameters(), lr=5e-3)
    batch = packed(tokenizer, PASSAGES)
    asked = [(context + prompt, answer) for context, parts in PASSAGES for prompt, answer in parts]
    before = exact_answers(model, tokenizer, asked, max_new_tokens=6)
    for _ in range(60):
        corpus_loss(network, batch, prompt_share=0.1)["loss"].value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert not any(before)
    assert all(exact_answers(model.eval(), tokenizer, asked, max_new_tokens=6))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, same = load_language_model(tmp_path)
    assert all(exact_answers(again, same, asked, max_new_tokens=6))
    assert same.pad_token_id == 0


def test_answers_keep_the_order_of_their_prompts(tokenizer: PreTrainedTokenizerFast) -> None:
    model = make_language_model(SHAPE, tokenizer, seed=3).eval()
    prompts = [text.removesuffix(".") + "rain " * (n % 3) for n, text in enumerate(TEXTS[:12])]
    together = write_answers(model, tokenizer, prompts, max_new_tokens=5, batch_size=4)
    order = np.random.default_rng(0).permutation(12)
    alone = [write_answers(model, tokenizer, [prompts[i]], max_new_tokens=5)[0] for i in order]
    assert alone == [together[i] for i in order]


def test_missing_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no language model in"):
        load_language_model(tmp_path)

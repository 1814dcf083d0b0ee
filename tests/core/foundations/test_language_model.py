"""The small language model: its tokenizer loses nothing, batches repeat, and it learns to read a context."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

from core.adapters.prefix_lm import IGNORED, ContextTooLong
from core.foundations.language_model import (
    LanguageModelError,
    LmShape,
    TokenPredictor,
    corpus_loss,
    encode_corpus,
    exact_answers,
    load_language_model,
    make_language_model,
    split_text,
    text_batches,
    train_tokenizer,
    write_answers,
)

SOUNDS = ("dog", "rain", "bell", "siren")
SHAPE = LmShape(hidden_size=32, layers=1, heads=2, intermediate_size=48, max_positions=64)


def question(sound: str, other: str) -> str:
    return f"Sounds: {sound} from 0.4 to 1.2; {other}.\n### Instruction:\nFirst?\n\n### Response:\n{sound}."


TEXTS = [question(a, b) for a in SOUNDS for b in SOUNDS if a != b] + ["a dog barks", "rain falls on a farm"]


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


def test_split_text_at_the_last_response() -> None:
    assert split_text(TEXTS[0]) == (TEXTS[0].removesuffix("dog."), "dog.")
    assert split_text("a caption") == ("", "a caption")


def test_labels_are_on_answers_and_on_bare_texts(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    batch = encode_corpus(tokenizer, [TEXTS[0], "a dog barks"], max_tokens=64)
    learnt = [tokenizer.decode(row[row != IGNORED]) for row in batch.labels]
    assert learnt == ["dog.</s>", "a dog barks</s>"]
    with pytest.raises(ContextTooLong, match="text 0"):
        encode_corpus(tokenizer, [TEXTS[0], "a dog barks"], max_tokens=12)


def test_batches_show_every_text_once_an_epoch_and_resume(tokenizer: PreTrainedTokenizerFast) -> None:
    corpus = encode_corpus(tokenizer, TEXTS, max_tokens=64)
    batches = list(islice(text_batches(corpus, batch_size=3, seed=1, step=0), 8))
    first = [name for batch in batches[:4] for name in batch["ids"]]
    assert len(set(first)) == 12
    assert first != [name for batch in batches[4:] for name in batch["ids"]]
    again = list(islice(text_batches(corpus, batch_size=3, seed=1, step=3), 5))
    for a, b in zip(batches[3:], again, strict=True):
        assert a["ids"] == b["ids"]
        assert torch.equal(a["input_ids"], b["input_ids"])
    for batch in batches:
        assert batch["attention_mask"].sum(dim=1).max() == batch["input_ids"].shape[1]
    with pytest.raises(LanguageModelError, match="do not fill a batch of 50"):
        next(text_batches(corpus, batch_size=50, seed=1, step=0))


def test_loss_is_that_of_transformers_on_answers_and_on_everything(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    model = make_language_model(SHAPE, tokenizer, seed=0).eval()
    batch = encode_corpus(tokenizer, TEXTS, max_tokens=64)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    everything = batch.input_ids.masked_fill(batch.attention_mask == 0, IGNORED)
    values = inputs | {"labels": batch.labels}
    for share, labels in ((0.0, batch.labels), (1.0, everything)):
        ours = corpus_loss(TokenPredictor(model), values, prompt_share=share)
        assert ours["loss"].value.item() == pytest.approx(
            model(**inputs, labels=labels).loss.item(), abs=1e-5
        )
    answers = corpus_loss(TokenPredictor(model), values, prompt_share=0.0)["loss"]
    assert ours["answer"].value.item() == pytest.approx(answers.value.item(), abs=1e-5)
    assert ours["answer"].over == answers.over == (batch.labels[:, 1:] != IGNORED).sum()
    assert ours["loss"].over == batch.attention_mask[:, 1:].sum()


def test_it_learns_to_answer_from_a_context_and_survives_the_disk(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model = make_language_model(SHAPE, tokenizer, seed=0)
    texts = TEXTS[:12]
    network, optimizer = TokenPredictor(model), torch.optim.Adam(model.parameters(), lr=5e-3)
    source = text_batches(encode_corpus(tokenizer, texts, max_tokens=64), batch_size=12, seed=0, step=0)
    before = exact_answers(model, tokenizer, texts, max_new_tokens=6)
    for batch in islice(source, 60):
        corpus_loss(network, batch, prompt_share=0.1)["loss"].value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert not any(before)
    assert all(exact_answers(model.eval(), tokenizer, texts, max_new_tokens=6))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, same = load_language_model(tmp_path)
    assert all(exact_answers(again, same, texts, max_new_tokens=6))
    assert same.pad_token_id == 0


def test_answers_keep_the_order_of_their_prompts(tokenizer: PreTrainedTokenizerFast) -> None:
    model = make_language_model(SHAPE, tokenizer, seed=3).eval()
    prompts = [split_text(text)[0] + "rain " * (n % 3) for n, text in enumerate(TEXTS[:12])]
    together = write_answers(model, tokenizer, prompts, max_new_tokens=5, batch_size=4)
    order = np.random.default_rng(0).permutation(12)
    alone = [write_answers(model, tokenizer, [prompts[i]], max_new_tokens=5)[0] for i in order]
    assert alone == [together[i] for i in order]


def test_missing_models_and_bare_texts_are_named(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no language model in"):
        load_language_model(tmp_path)
    model = make_language_model(SHAPE, tokenizer, seed=0)
    with pytest.raises(LanguageModelError, match="1 texts have no"):
        exact_answers(model, tokenizer, ["a dog barks"], max_new_tokens=2)

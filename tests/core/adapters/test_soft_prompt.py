"""The soft prompt: the vector, the sentence, the choice of tags, the token."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from core.adapters.soft_prompt import HINT, SoftPrompt, choose_tags, ensure_hint_token, hint_sentence

LABELS = [f"label {n}" for n in range(20)]


def tokenizer(special: list[str] | None = None, words: list[str] | None = None) -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<unk>", "</s>", *(special or [])],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(["according to the hint, a dog barks", *(words or [])], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", eos_token="</s>")


def test_only_hints_are_replaced_and_only_the_vector_learns_from_them() -> None:
    prompt = SoftPrompt(4, hint_id=9, start=torch.tensor([1.0, 2.0, 3.0, 4.0]))
    ids = torch.tensor([[9, 3, 9], [1, 2, 3]])
    embeddings = torch.zeros(2, 3, 4, requires_grad=True)
    out = prompt(ids, embeddings)
    assert out[0].tolist() == [[1, 2, 3, 4], [0, 0, 0, 0], [1, 2, 3, 4]]
    assert out[1].abs().sum() == 0
    out.sum().backward()
    assert prompt.vector.grad.tolist() == [2.0] * 4
    assert embeddings.grad[..., 0].tolist() == [[0, 1, 0], [1, 1, 1]]


def test_the_start_is_copied_and_the_dtype_is_that_of_the_embeddings() -> None:
    start = torch.ones(4)
    prompt = SoftPrompt(4, hint_id=0, start=start)
    start.zero_()
    out = prompt(torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 1, 4, dtype=torch.bfloat16))
    assert out.dtype == torch.bfloat16
    assert out.flatten().tolist() == [1.0] * 4


def test_refuses_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="do not go together"):
        SoftPrompt(4, hint_id=0)(torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 3, 4))
    with pytest.raises(ValueError, match="width 4"):
        SoftPrompt(4, hint_id=0, start=torch.zeros(5))


def test_sentence_is_the_papers() -> None:
    assert hint_sentence(["dog bark", "rain"]) == (
        "According to <hint>, you are allowed to use or partially use the following tags: dog bark, rain."
    )
    assert hint_sentence([]) == ""


def test_modes_of_tags() -> None:
    predicted, gold = LABELS[:3], LABELS[3:5]
    assert choose_tags(predicted, gold, LABELS, mode="predicted") == predicted
    assert choose_tags(predicted, gold, LABELS, mode="gold") == gold
    assert choose_tags(predicted, gold, LABELS, mode="none") == []
    with pytest.raises(ValueError, match="rng"):
        choose_tags(predicted, gold, LABELS, mode="random")
    with pytest.raises(ValueError, match="'guess'"):
        choose_tags(predicted, gold, LABELS, mode="guess")  # type: ignore[arg-type]


def test_random_tags_are_as_many_distinct_repeatable_and_even() -> None:
    def draw(seed: int, count: int = 3) -> list[str]:
        rng = np.random.default_rng(seed)
        return choose_tags(LABELS[:count], [], LABELS, mode="random", rng=rng)

    assert draw(5) == draw(5)
    draws = [draw(seed) for seed in range(400)]
    assert all(len(set(tags)) == 3 for tags in draws)
    counts = [sum(label in tags for tags in draws) for label in LABELS]  # 60 expected, 7 standard deviation
    assert min(counts) > 30
    assert max(counts) < 90
    assert choose_tags(LABELS, [], ["a", "b"], mode="random", rng=np.random.default_rng(0)) in (
        ["a", "b"],
        ["b", "a"],
    )


def test_the_hint_becomes_one_token_once() -> None:
    bare = tokenizer()
    size = len(bare)
    identity = ensure_hint_token(bare)
    assert identity == size
    assert ensure_hint_token(bare) == identity
    assert len(bare) == size + 1
    ids = bare(hint_sentence(["dog"]))["input_ids"]
    assert ids.count(identity) == 1

    ready = tokenizer([HINT])
    size = len(ready)
    assert ensure_hint_token(ready) == ready.get_vocab()[HINT]
    assert len(ready) == size


def test_other_special_tokens_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tokenizer()
    bare.add_special_tokens({"additional_special_tokens": ["<other>"]})
    ensure_hint_token(bare)
    assert bare.encode("<other>", add_special_tokens=False) == [bare.get_vocab()["<other>"]]
    assert "<other>" in bare.all_special_tokens


def test_a_hint_that_running_text_never_gives_is_refused() -> None:
    raw = Tokenizer(models.WordLevel({"<unk>": 0, HINT: 1, "a": 2}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(ValueError, match="splits it"):
        ensure_hint_token(PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>"))

"""LoRA: identity at the start, what trains, merging, counts against the paper's number."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from core.adapters.lora import Count, add_lora, count_parameters, merge, trainable_names

LLAMA = LlamaConfig(
    vocab_size=30,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
)


@pytest.fixture
def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LLAMA).eval()


@pytest.fixture
def ids() -> Tensor:
    return torch.arange(14).reshape(2, 7)


def test_nothing_changes_at_first_and_only_the_updates_train(llama: LlamaForCausalLM, ids: Tensor) -> None:
    before = llama(ids).logits
    model = add_lora(llama, rank=2)
    torch.testing.assert_close(model(ids).logits, before, rtol=0, atol=0)
    names = trainable_names(model)
    assert len(names) == 2 * 2 * 2  # layers, targets, A and B
    assert all("lora_" in name and ("q_proj" in name or "v_proj" in name) for name in names)


def test_training_and_merging(llama: LlamaForCausalLM, ids: Tensor) -> None:
    frozen = llama.model.layers[0].self_attn.q_proj.weight.clone()
    model = add_lora(llama, rank=2, dropout=0.0)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    first = model(ids, labels=ids).loss
    for _ in range(5):
        optimizer.zero_grad()
        loss = model(ids, labels=ids).loss
        loss.backward()
        optimizer.step()
    assert loss < first
    adapted = model(ids).logits
    plain = merge(model)
    assert type(plain) is LlamaForCausalLM
    assert not any("lora_" in name for name, _ in plain.named_parameters())
    torch.testing.assert_close(plain(ids).logits, adapted, rtol=1e-4, atol=1e-5)
    assert not torch.equal(plain.model.layers[0].self_attn.q_proj.weight, frozen)


def test_alpha_over_rank_scales_the_update(llama: LlamaForCausalLM) -> None:
    base = llama.model.layers[0].self_attn.q_proj.weight.clone()
    model = add_lora(llama, rank=4, alpha=12)
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    nn.init.normal_(layer.lora_B["default"].weight)
    update = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    merged = merge(model).model.layers[0].self_attn.q_proj.weight
    torch.testing.assert_close(merged, base + 3 * update)


def test_refuses_unknown_targets_and_a_second_time(llama: LlamaForCausalLM) -> None:
    with pytest.raises(ValueError, match=r"\['query'\].*q_proj"):
        add_lora(llama, targets=("q_proj", "query"))
    with pytest.raises(ValueError, match="none given"):
        add_lora(llama, targets=())
    assert len(trainable_names(llama)) == len(list(llama.named_parameters()))  # untouched so far
    with pytest.raises(ValueError, match="already"):
        add_lora(add_lora(llama))


def test_layers_of_gpt2_are_targets_too(ids: Tensor) -> None:
    lm = GPT2LMHeadModel(GPT2Config(vocab_size=30, n_embd=16, n_layer=1, n_head=2, n_positions=16)).eval()
    before = lm(ids).logits
    model = add_lora(lm, targets=("c_attn",))
    torch.testing.assert_close(model(ids).logits, before)
    assert len(trainable_names(model)) == 2


def test_the_papers_size_on_a_7b_llama() -> None:
    """GAMA: 4.2 M parameters, with LLaMA-2-7B's sizes."""
    with torch.device("meta"):
        lm = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=32000,
                hidden_size=4096,
                intermediate_size=11008,
                num_hidden_layers=32,
                num_attention_heads=32,
            )
        )
        model = add_lora(lm)
    counts = count_parameters(model)
    assert counts["lora"] == Count(32 * 2 * 2 * 8 * 4096, 32 * 2 * 2 * 8 * 4096)
    assert round(counts["lora"].trainable / 1e6, 1) == 4.2
    assert sum(c.total for c in counts.values()) == 6_738_415_616 + counts["lora"].total


def test_counts_by_part_add_up_and_shared_weights_count_once() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.free = nn.Parameter(torch.zeros(3))
            self.branches = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 3)})
            self.words = nn.Embedding(4, 2)
            self.head = nn.Linear(2, 4, bias=False)
            self.head.weight = self.words.weight
            self.words.requires_grad_(False)

    model = Model()
    assert count_parameters(model) == {
        "free": Count(3, 3),
        "branches": Count(15, 15),
        "words": Count(0, 8),
    }
    assert count_parameters(model, depth=2)["branches.b"] == Count(9, 9)

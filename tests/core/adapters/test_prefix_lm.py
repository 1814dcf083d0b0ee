"""The audio prefix: packing changes no number, counts are exact, a batch answers as its items do alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from core.adapters.lora import add_lora
from core.adapters.prefix_lm import (
    IGNORED,
    AdapterMismatch,
    AudioPrefixLM,
    ContextTooLong,
    Features,
    Prefix,
    PrefixError,
    Sampling,
    TextBatch,
    encode_texts,
    load_trained,
    save_trained,
)
from core.foundations.language_model import train_tokenizer

VOCABULARY, WIDTH, END = 40, 16, 2
SIZES = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
COMMON = {"vocab_size": VOCABULARY, "eos_token_id": END, "initializer_range": 0.5}


def llama(positions: int = 64) -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**SIZES, **COMMON, max_position_embeddings=positions, pad_token_id=0))


def gpt2() -> PreTrainedModel:
    return GPT2LMHeadModel(GPT2Config(**COMMON, n_embd=WIDTH, n_layer=2, n_head=2, n_positions=64))


def qwen2() -> PreTrainedModel:
    return Qwen2ForCausalLM(Qwen2Config(**SIZES, **COMMON, num_key_value_heads=1, max_position_embeddings=64))


def lora() -> PreTrainedModel:
    model = add_lora(llama(), rank=2, dropout=0.0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # which starts at 0 and would leave the plain model
            nn.init.normal_(weight)
    return model


MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": llama,
    "gpt2": gpt2,
    "qwen2": qwen2,
    "lora": lora,
}


class Branch(nn.Module):
    """A linear layer, with the mask of the features."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.layer = nn.Linear(5, width)

    def forward(self, values: Tensor, mask: Tensor) -> Prefix:
        return Prefix(self.layer(values), mask)


class Summary(nn.Module):
    """Two tokens whatever the length, all valid, and therefore no mask."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 2 * WIDTH)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        return self.layer((values * mask[..., None]).sum(dim=1)).view(len(values), 2, WIDTH)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=list(MODELS))
def lm(request: pytest.FixtureRequest) -> PreTrainedModel:
    return MODELS[request.param]().eval()


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(["a dog barks", "what is heard?"] * 3, vocab_size=280)


def audio() -> dict[str, Features]:
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]]).bool()
    return {
        "time": Features(torch.randn(3, 4, 5), mask),
        "whole": Features(torch.randn(3, 6, 5), torch.ones(3, 6).bool()),
    }


def text() -> TextBatch:
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 6 + [0]])
    ids = torch.randint(3, VOCABULARY, (3, 7))
    labels = ids.masked_fill(mask == 0, IGNORED)
    labels[:, :3] = IGNORED
    return TextBatch(ids, mask, labels)


def make(lm: PreTrainedModel, **options: object) -> AudioPrefixLM:
    return AudioPrefixLM(lm, {"time": Branch(), "whole": Summary()}, **options).eval()  # type: ignore[arg-type]


def one(features: dict[str, Features], row: int) -> dict[str, Features]:
    return {name: Features(f.values[row : row + 1], f.mask[row : row + 1]) for name, f in features.items()}


@pytest.mark.parametrize("padding", ["left", "right"])
def test_loss_is_that_of_the_items_one_by_one_without_padding(lm: PreTrainedModel, padding: str) -> None:
    model, features, batch = make(lm, padding=padding), audio(), text()
    total, tokens = 0.0, 0
    with torch.no_grad():
        got = model(features, batch)["loss"]
        for row in range(3):
            prefix = model.prefix(one(features, row), batch=1)
            length = int(batch.attention_mask[row].sum())
            words = lm.get_input_embeddings()(batch.input_ids[row : row + 1, :length])
            joined = torch.cat([prefix.embeddings[:, prefix.mask[0]], words], dim=1)
            logits = lm(inputs_embeds=joined).logits[0, -length:]
            for place in range(3, length):
                chances = logits[place - 1].log_softmax(dim=0)
                total -= float(chances[batch.labels[row, place]])
                tokens += 1
    assert got.item() == pytest.approx(total / tokens, abs=1e-4)


def test_what_is_masked_changes_nothing_even_nan() -> None:
    model, features, batch = make(llama()), audio(), text()
    clean = model(features, batch)["loss"]
    values = features["time"].values.masked_fill(~features["time"].mask[..., None], float("nan"))
    ids = batch.input_ids.masked_fill(batch.attention_mask == 0, 7)
    dirty = model(
        features | {"time": Features(values, features["time"].mask)}, batch._replace(input_ids=ids)
    )["loss"]
    assert torch.equal(clean, dirty)


def test_audio_reaches_the_loss_and_the_branches_get_gradients(lm: PreTrainedModel) -> None:
    for weight in lm.parameters():
        weight.requires_grad_(False)
    model, features, batch = make(lm), audio(), text()
    features["time"].values.requires_grad_(True)
    loss = model(features, batch)["loss"]
    loss.backward()
    grads = [weight.grad for weight in model.branches.parameters()]
    assert all(grad is not None and torch.isfinite(grad).all() and grad.abs().sum() > 0 for grad in grads)
    assert all(weight.grad is None for weight in lm.parameters())
    reached = features["time"].values.grad.abs().sum(dim=2) > 0  # type: ignore[union-attr]
    assert torch.equal(reached, features["time"].mask)


def test_counts_are_exact() -> None:
    counts = make(llama())(audio(), text())
    assert counts["prefix_tokens"] == 4 + 2 + 0 + 3 * 2
    assert counts["answer_tokens"] == 4 + 2 + 3
    assert counts["instruction_tokens"] == 9


def test_paper_prefix_has_96_tokens() -> None:
    class Fixed(nn.Module):
        def __init__(self, count: int) -> None:
            super().__init__()
            self.tokens = nn.Parameter(torch.randn(1, count, WIDTH))

        def forward(self, values: Tensor, mask: Tensor) -> Tensor:
            return self.tokens.expand(len(values), -1, -1)

    model = AudioPrefixLM(llama(256), {"qformer": Fixed(32), "aggregator": Fixed(64)})
    same = Features(torch.randn(3, 4, 5), torch.ones(3, 4).bool())
    counts = model({"qformer": same, "aggregator": same}, text())
    assert counts["prefix_tokens"] == 3 * 96


def test_batched_answers_are_those_one_by_one(lm: PreTrainedModel) -> None:
    model, features, batch = make(lm), audio(), text()
    together = model.generate(features, batch.input_ids, batch.attention_mask, max_new_tokens=12)
    for row in range(3):
        alone = model.generate(
            one(features, row),
            batch.input_ids[row : row + 1],
            batch.attention_mask[row : row + 1],
            max_new_tokens=12,
        )
        assert alone == [together[row]]
    assert len({tuple(answer) for answer in together}) == 3


def test_greedy_answers_are_those_without_a_cache(lm: PreTrainedModel) -> None:
    model, features, batch = make(lm), audio(), text()
    answers = model.generate(features, batch.input_ids, batch.attention_mask, max_new_tokens=6)
    for row, answer in enumerate(answers):
        prefix = model.prefix(one(features, row), batch=1)
        ids = batch.input_ids[row : row + 1, : int(batch.attention_mask[row].sum())]
        for token in [*answer, *([END] if len(answer) < 6 else [])]:
            words = lm.get_input_embeddings()(ids)
            joined = torch.cat([prefix.embeddings[:, prefix.mask[0]], words], dim=1)
            assert int(lm(inputs_embeds=joined).logits[0, -1].argmax()) == token
            ids = torch.cat([ids, torch.tensor([[token]])], dim=1)


def test_generation_stops_at_the_end_token() -> None:
    lm = llama()
    with torch.no_grad():
        lm.lm_head.weight.zero_()
        lm.lm_head.weight[5] = 0.1
    model, batch = AudioPrefixLM(lm, {}).eval(), text()
    before = model.generate({}, batch.input_ids, batch.attention_mask, max_new_tokens=4)
    lm.generation_config.eos_token_id = [END, 5]  # a checkpoint may have several
    lm.generation_config.do_sample = True  # and wishes, which greedy decoding ignores
    assert {len(answer) for answer in before} <= {0, 4}
    after = model.generate({}, batch.input_ids, batch.attention_mask, max_new_tokens=4)
    assert all(5 not in answer and END not in answer for answer in after)
    assert after != before


def test_sampling_follows_its_seed_and_leaves_the_random_state() -> None:
    model, features, batch = make(llama()), audio(), text()

    def draw(seed: int) -> list[list[int]]:
        return model.generate(
            features,
            batch.input_ids,
            batch.attention_mask,
            max_new_tokens=10,
            sample=Sampling(temperature=2.0, top_p=1.0),
            seed=seed,
        )

    state = torch.get_rng_state()
    first = draw(1)
    assert torch.equal(state, torch.get_rng_state())
    assert draw(1) == first
    assert draw(2) != first


def test_text_alone_is_the_plain_language_model() -> None:
    lm, batch = llama(), text()
    ours = AudioPrefixLM(lm, {}, padding="right")({}, batch)
    plain = lm(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels).loss
    assert ours["loss"].item() == pytest.approx(plain.item(), abs=1e-5)
    assert ours["prefix_tokens"] == 0


def test_soft_prompt_replaces_embeddings() -> None:
    class Zero(nn.Module):
        def forward(self, ids: Tensor, embeddings: Tensor) -> Tensor:
            return torch.where((ids == 7)[..., None], 0.0, embeddings)

    lm, batch = llama(), text()
    batch.input_ids[:, 1] = 7
    plain, soft = AudioPrefixLM(lm, {})({}, batch), AudioPrefixLM(lm, {}, soft_prompt=Zero())({}, batch)
    with torch.no_grad():
        lm.get_input_embeddings().weight[7] = 0.0
    assert plain["loss"] != soft["loss"]
    assert AudioPrefixLM(lm, {})({}, batch)["loss"] == soft["loss"]


def test_wrong_features_and_branches_are_named() -> None:
    features, batch = audio(), text()
    with pytest.raises(PrefixError, match="no features for time, whole; given: other"):
        make(llama())({"other": features["time"]}, batch)
    with pytest.raises(PrefixError, match=r"branch time gives \(3, 4, 8\)"):
        AudioPrefixLM(llama(), {"time": Branch(8)})(features, batch)
    with pytest.raises(PrefixError, match="padding"):
        make(llama(), padding="both")


def test_too_long_a_sequence_is_refused() -> None:
    model, features, batch = make(llama(12)), audio(), text()
    with pytest.raises(ContextTooLong, match=r"13 prefix and text tokens and 0 to generate exceed .* 12"):
        model(features, batch)
    with pytest.raises(ContextTooLong, match="and 9 to generate exceed the language model's 15"):
        make(llama(15)).generate(features, batch.input_ids, batch.attention_mask, max_new_tokens=9)


def test_encoded_texts_have_labels_on_answers_and_the_end(tokenizer: PreTrainedTokenizerFast) -> None:
    batch = encode_texts(
        tokenizer, ["what is heard?", "what"], ["a dog", "a dog barks"], ids=["x", "y"], max_tokens=40
    )
    for row, (prompt, answer) in enumerate([("what is heard?", "a dog"), ("what", "a dog barks")]):
        tokens = batch.input_ids[row, : int(batch.attention_mask[row].sum())].tolist()
        assert tokens[0] == tokenizer.bos_token_id
        assert tokens[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(tokens, skip_special_tokens=True) == prompt + answer
        learnt = batch.labels[row][batch.labels[row] != IGNORED].tolist()
        assert tokenizer.decode(learnt[:-1]) == answer
        assert learnt[-1] == tokenizer.eos_token_id
        assert batch.answer_tokens is not None
        assert batch.answer_tokens[row] == len(learnt)


def test_loss_on_all_leaves_out_the_first_token_only(tokenizer: PreTrainedTokenizerFast) -> None:
    answer, both = (
        encode_texts(tokenizer, ["what"], ["a dog"], ids=["x"], max_tokens=40, loss_on=where)  # type: ignore[arg-type]
        for where in ("answer", "all")
    )
    assert torch.equal(both.labels[0, 1:], both.input_ids[0, 1:])
    assert both.labels[0, 0] == IGNORED
    assert both.answer_tokens == answer.answer_tokens
    model = AudioPrefixLM(LlamaForCausalLM(LlamaConfig(**SIZES, vocab_size=280, eos_token_id=END)), {})
    assert model({}, both)["answer_tokens"] == model({}, answer)["answer_tokens"]


def test_a_prompt_to_generate_from_is_the_prompt_trained_with(tokenizer: PreTrainedTokenizerFast) -> None:
    ended = train_tokenizer(["a dog"], vocab_size=280, ends=True)  # adds </s> to whatever it reads
    for which in (tokenizer, ended):
        prompt = encode_texts(which, ["what is"], None, ids=["x"], max_tokens=40)
        full = encode_texts(which, ["what is"], [" heard"], ids=["x"], max_tokens=40)
        head = prompt.input_ids[0].tolist()
        assert full.input_ids[0, : len(head)].tolist() == head
        assert which.eos_token_id not in head
        assert full.input_ids[0].tolist().count(which.eos_token_id) == 1
        assert (prompt.labels == IGNORED).all()


def test_long_texts_are_named_before_training(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ContextTooLong, match=r"1 of 2 texts exceed 12 tokens: clip 7 \(\d+ tokens\)"):
        encode_texts(
            tokenizer, ["a", "what is heard? " * 5], ["dog"] * 2, ids=["clip 1", "clip 7"], max_tokens=12
        )
    with pytest.raises(PrefixError, match="2 prompts, 1 answers"):
        encode_texts(tokenizer, ["a", "b"], ["c"], ids=["1", "2"], max_tokens=9)


def trained_part() -> AudioPrefixLM:
    model = make(llama())
    for weight in model.lm.parameters():
        weight.requires_grad_(False)
    return model


def test_only_what_is_trained_is_saved_and_comes_back(tmp_path: Path) -> None:
    model, path = trained_part(), tmp_path / "a" / "trained.safetensors"
    save_trained(model, path, identity={"row": "gama", "layers": [4, 8]})
    assert set(load_file(path)) == {name for name, p in model.named_parameters() if p.requires_grad}
    other = trained_part()
    frozen = other.lm.get_input_embeddings().weight.clone()
    load_trained(other, path, identity={"row": "gama", "layers": (4, 8)})
    for name, weight in other.branches.named_parameters():
        assert torch.equal(weight, model.branches.get_parameter(name))
    assert torch.equal(frozen, other.lm.get_input_embeddings().weight)


def test_what_does_not_fit_is_refused_before_anything_is_copied(tmp_path: Path) -> None:
    path, model = tmp_path / "trained.safetensors", trained_part()
    save_trained(model, path, identity={"row": "gama"})
    other = trained_part()
    before = {name: p.clone() for name, p in other.named_parameters()}
    with pytest.raises(AdapterMismatch, match="another configuration: row: gama then, ltu now"):
        load_trained(other, path, identity={"row": "ltu"})
    other.branches["time"].layer.bias.requires_grad_(False)
    with pytest.raises(AdapterMismatch, match=r"1 not trainable here: branches\.time\.layer\.bias"):
        load_trained(other, path, identity={"row": "gama"})
    other.branches["time"].layer.bias.requires_grad_(True)
    other.lm.get_input_embeddings().weight.requires_grad_(True)
    with pytest.raises(AdapterMismatch, match="1 not in the file"):
        load_trained(other, path, identity={"row": "gama"})
    assert all(torch.equal(p, before[name]) for name, p in other.named_parameters())
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(AdapterMismatch, match="cannot be read"):
        load_trained(other, path, identity={"row": "gama"})
    with pytest.raises(FileNotFoundError, match="no trained weights"):
        load_trained(other, tmp_path / "none", identity={})


def test_nothing_trainable_is_an_error(tmp_path: Path) -> None:
    model = trained_part().requires_grad_(False)
    with pytest.raises(AdapterMismatch, match="no parameter is trainable"):
        save_trained(model, tmp_path / "x", identity={})
    save_trained(trained_part(), tmp_path / "y", identity={})
    with pytest.raises(AdapterMismatch, match="not trainable here"):
        load_trained(model, tmp_path / "y", identity={})

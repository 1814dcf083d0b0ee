"""The rows' models: prefixes of the right size, gradients everywhere, the paper's numbers of parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from core.adapters.lora import count_parameters
from core.adapters.prefix_lm import AudioPrefixLM, Features, encode_texts
from core.adapters.qformer import QFormerShape
from core.audio_lm.branches import BRANCHES, Branch, BranchError, Bridge, make_branch
from core.audio_lm.features import Store, open_store
from core.audio_lm.model import Architecture, heard_by, load_language_model, make_model, read_features
from core.data.instructions import alpaca
from core.train.checkpoints import save_model

WIDTHS = {"ast": 8, "listener": 6, "clap": 5, "tags": 4}
EVERY = tuple(BRANCHES)
# valid prefix tokens of audios with 5 and 4 steps of AST, 10 and 8 of the listener, windows of 2
PREFIX = {
    "qformer": [3, 3],
    "aggregator": [5, 4],
    "last_layer": [5, 4],
    "clap": [1, 1],
    "ast_linear": [5, 4],
    "clap_prefix": [4, 4],
    "listener": [10, 8],
    "window_qformer": [5, 4],
}


@pytest.fixture
def store(fresh: Path) -> Store:
    folder = fresh / "projects" / "gama" / "data" / "mini" / "features" / "train"
    return open_store(folder, ("scenes",), ("ast", "listener", "clap", "tags"))


def language_model(root: Path) -> Any:
    return load_language_model(root / "shared_data" / "foundations" / "mini" / "language_model")


def build(root: Path, bridge: Bridge, *branches: str, soft_prompt: bool = False) -> tuple[AudioPrefixLM, Any]:
    torch.manual_seed(0)
    lm, tokenizer = language_model(root)
    row = Architecture(branches=branches, bridge=bridge, soft_prompt=soft_prompt)
    return make_model(row, widths=WIDTHS, lm=lm, tokenizer=tokenizer), tokenizer


def text(tokenizer: Any, prompt: str = "Which sound comes first?", n: int = 2) -> Any:
    prompts = [alpaca(prompt)] * n
    return encode_texts(tokenizer, prompts, ["The rain."] * n, ids=["a", "b"][:n], max_tokens=200)


@pytest.mark.parametrize("branch", EVERY)
def test_every_branch_has_its_prefix_and_learns(
    fresh: Path, store: Store, bridge: Bridge, branch: str
) -> None:
    model, tokenizer = build(fresh, bridge, branch)
    features = read_features(store, (branch,), ["scenes:sc0", "scenes:sc1"])
    prefix = model.prefix(features, batch=2)
    assert prefix.mask.sum(dim=1).tolist() == PREFIX[branch]
    assert prefix.embeddings.shape[2] == 16
    made = model(features, text(tokenizer))
    assert int(made["prefix_tokens"]) == sum(PREFIX[branch])
    made["loss"].backward()
    silent = [
        name
        for name, value in model.named_parameters()
        if value.requires_grad and (value.grad is None or not value.grad.any())
    ]
    # LoRA's A learns from the second step on, since B is 0; a key's bias never matters, and where a window
    # has one query, nothing of its self-attention's weights does
    spared = ("lora_A", ".key.bias", *(("attention.attention.",) if branch == "window_qformer" else ()))
    assert [name for name in silent if not any(each in name for each in spared)] == []
    learns = {name for name, value in model.named_parameters() if value.grad is not None}
    assert all("lora_" in name for name in learns if name.startswith("lm."))


def test_prefixes_follow_the_order_of_the_row(fresh: Path, store: Store, bridge: Bridge) -> None:
    names = ("qformer", "aggregator")
    model, _ = build(fresh, bridge, *names)
    model.eval()
    features = read_features(store, names, ["scenes:sc0"])
    whole = model.prefix(features, batch=1).embeddings
    alone = [model.branches[name](*features[name]) for name in names]
    torch.testing.assert_close(whole[:, :3], alone[0])
    torch.testing.assert_close(whole[:, 3:], alone[1].embeddings)


def test_the_papers_prefix_has_96_tokens(bridge: Bridge, noise: Callable[..., torch.Tensor]) -> None:
    """32 queries and 64 time tokens of ten seconds."""
    wide = dataclasses.replace(bridge, qformer=dataclasses.replace(bridge.qformer, queries=32))
    values, mask = noise((1, 3, 64, 8)), torch.ones(1, 64, dtype=torch.bool)
    made = [
        make_branch(name, wide, widths=WIDTHS, out_width=16)(values, mask)
        for name in ("qformer", "aggregator")
    ]
    assert made[0].shape == (1, 32, 16)
    assert made[1].embeddings.shape == (1, 64, 16)
    assert made[0].shape[1] + int(made[1].mask.sum()) == 96
    assert QFormerShape().queries == 32


def test_the_release_lets_no_middle_layer_through(
    fresh: Path, store: Store, bridge: Bridge, noise: Callable[..., torch.Tensor]
) -> None:
    for wiring, reaches in (("paper", True), ("release", False)):
        model, _ = build(fresh, dataclasses.replace(bridge, wiring=wiring), "aggregator")
        model.eval()
        values, mask = read_features(store, ("aggregator",), ["scenes:sc0"])["aggregator"]
        other = values.clone()
        other[:, 1:] = noise(tuple(values[:, 1:].shape))
        with torch.inference_mode():
            before, after = (
                model.prefix({"aggregator": Features(each, mask)}, batch=1).embeddings
                for each in (values, other)
            )
        assert bool((before != after).any()) is reaches


def test_two_encoders_share_a_time_axis(store: Store) -> None:
    audios = ["scenes:sc0", "scenes:sc1"]
    listener, ast = (store.read(name, audios) for name in ("listener", "ast"))
    both = read_features(store, ("window_qformer",), audios)["window_qformer"]
    assert both.values.shape == (2, 10, 14)
    assert torch.equal(both.mask, listener.mask)
    assert torch.equal(both.values[..., :6], listener.values)
    # twice as many steps: each of AST's last layer stands beside two of the listener's
    assert torch.equal(both.values[0, :, 6:], ast.values[0, 0].repeat_interleave(2, dim=0))
    assert torch.equal(both.values[1, :8, 6:], ast.values[1, 0, :4].repeat_interleave(2, dim=0))


def test_alignment_does_not_depend_on_the_batch(tmp_path: Path, noise: Callable[..., torch.Tensor]) -> None:
    """Encoders pad by windows of their own: the ratio of the padded lengths is not that of an item's."""
    from core.audio_lm.features import write_set

    steps = {"listener": [9, 4], "ast": [3, 3]}
    for name, lengths in steps.items():
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        with write_set(tmp_path / name / "a") as writer:
            writer.append(["long", "short"], Features(noise((2, max(lengths), WIDTHS[name])), mask))
    store = open_store(tmp_path, ("a",), tuple(steps))
    together = read_features(store, ("window_qformer",), ["a:long", "a:short"])["window_qformer"]
    alone = read_features(store, ("window_qformer",), ["a:short"])["window_qformer"]
    assert torch.equal(together.values[1, :4], alone.values[0])


def test_no_branch_makes_a_blind_model(fresh: Path, bridge: Bridge) -> None:
    model, tokenizer = build(fresh, bridge)
    made = model({}, text(tokenizer))
    assert int(made["prefix_tokens"]) == 0
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        name for name, _ in model.named_parameters() if "lora_" in name
    }


def test_the_soft_prompt_stands_for_the_hint_alone(fresh: Path, bridge: Bridge) -> None:
    model, tokenizer = build(fresh, bridge, soft_prompt=True)
    assert model.soft_prompt is not None
    plain, hinted = (
        text(tokenizer, prompt, n=1) for prompt in ("Which sound?", "According to <hint>, which sound?")
    )
    start = model.lm.get_input_embeddings().weight.mean(dim=0)
    torch.testing.assert_close(model.soft_prompt.vector.detach(), start)
    model.eval()
    with torch.no_grad():
        before = [model({}, batch)["loss"] for batch in (plain, hinted)]
        model.soft_prompt.vector += 1.0
        after = [model({}, batch)["loss"] for batch in (plain, hinted)]
    assert before[0] == after[0]
    assert before[1] != after[1]
    model({}, hinted)["loss"].backward()
    assert model.soft_prompt.vector.grad.any()


def test_a_qformer_starts_from_its_pretraining(fresh: Path, bridge: Bridge, tmp_path: Path) -> None:
    torch.manual_seed(1)
    branch = make_branch("qformer", bridge, widths=WIDTHS, out_width=16)
    save_model(branch, tmp_path / "generative.safetensors")
    torch.manual_seed(2)
    lm, tokenizer = language_model(fresh)
    built = Architecture(branches=("qformer", "aggregator"), bridge=bridge, soft_prompt=False)
    starts = {"qformer": tmp_path / "generative.safetensors", "another": tmp_path / "nowhere"}
    made = make_model(built, widths=WIDTHS, lm=lm, tokenizer=tokenizer, starts=starts)
    again = made.branches["qformer"].state_dict()
    for name, value in branch.state_dict().items():
        assert torch.equal(again[name], value), name


def test_a_branch_of_ones_own_needs_no_edit_here(fresh: Path, store: Store, bridge: Bridge) -> None:
    """As AF2 and AF3 bring theirs."""

    class Doubled(torch.nn.Module):
        def __init__(self, width: int, out_width: int) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(width, out_width)

        def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.linear(values[:, :1]).repeat(1, 2, 1)
            return made

    mine = {**BRANCHES, "mine": Branch(("clap", "listener"), lambda width, out, _: Doubled(width, out))}
    built = Architecture(branches=("mine", "qformer"), bridge=bridge, soft_prompt=False)
    assert heard_by(built, mine) == ["ast", "clap", "listener"]
    lm, tokenizer = language_model(fresh)
    model = make_model(built, widths=WIDTHS, lm=lm, tokenizer=tokenizer, branches=mine)
    features = read_features(store, built.branches, ["scenes:sc0", "scenes:sc1"], mine)
    assert features["mine"].values.shape == (2, 1, WIDTHS["clap"] + WIDTHS["listener"])
    assert model.prefix(features, batch=2).mask.sum(dim=1).tolist() == [5, 5]
    with pytest.raises(BranchError, match="no branch 'qfromer'; did you mean 'qformer'"):
        make_branch("qfromer", bridge, widths=WIDTHS, out_width=16)


def test_a_model_hears_by_the_encoders_of_its_branches_alone(bridge: Bridge) -> None:
    def heard(*branches: str, soft_prompt: bool = False) -> list[str]:
        return heard_by(Architecture(branches=branches, bridge=bridge, soft_prompt=soft_prompt))

    assert heard() == []
    assert heard("qformer", "aggregator") == ["ast"]
    assert heard("window_qformer") == ["ast", "listener"]
    assert heard("clap", soft_prompt=True) == ["clap", "tags"]


def test_a_tokenizer_without_padding_or_hint_gets_both(fresh: Path, tmp_path: Path) -> None:
    """As LLaMA-2's: the model then grows by one row."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"</s>": 0, "a": 1, ",": 2, "b": 3}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="a"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>").save_pretrained(tmp_path)
    config = LlamaConfig(
        vocab_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    lm, tokenizer = load_language_model(tmp_path, dtype="bfloat16")
    assert tokenizer.pad_token == "</s>"
    assert len(tokenizer) == lm.get_input_embeddings().weight.shape[0] == 5
    assert lm.dtype == torch.bfloat16


class HintTokenizer:
    """All that `make_model` asks of a tokenizer."""

    def get_vocab(self) -> dict[str, int]:
        return {"<hint>": 0}

    def convert_tokens_to_ids(self, token: str) -> int:
        return self.get_vocab()[token]

    def encode(self, text: str, **_: Any) -> list[int]:
        return [0] * text.count("<hint>")


def test_the_papers_model_has_the_papers_parameters() -> None:
    """Llama-2-7b, AST-base, a Q-Former of BERT-base's sizes; no memory is taken."""
    with torch.device("meta"):
        llama = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=32_000,
                hidden_size=4096,
                num_hidden_layers=32,
                num_attention_heads=32,
                intermediate_size=11_008,
            )
        )
        model = make_model(
            Architecture(branches=("qformer", "aggregator"), bridge=Bridge(), soft_prompt=True),
            widths={"ast": 768},
            lm=llama,
            tokenizer=HintTokenizer(),  # type: ignore[arg-type]
        )
    counts = count_parameters(model, depth=3)
    for part, count in counts.items():
        print(f"{part}: {count.trainable:,} of {count.total:,} train")
    width, wide, out = 768, 3072, 4096
    norm, square, feed = 2 * width, width * width + width, 2 * width * wide + width + wide
    attention = 4 * square + norm
    # twelve layers, of which six attend to the features, a norm each of the features and of the queries
    qformer = 12 * (attention + feed + norm) + 6 * attention + 2 * norm + 32 * width
    aggregator = 2 * (2 * attention + feed + norm) + 2 * norm
    projector = width * out + out + out * out + out
    assert {part: count.trainable for part, count in counts.items()} == {
        "lm.base_model.model": 0,
        "lora": 4_194_304,
        "branches.qformer.qformer": qformer,
        "branches.qformer.projector": projector,
        "branches.aggregator.aggregator": aggregator,
        "branches.aggregator.projector": projector,
        "soft_prompt": out,
    }
    assert counts["lm.base_model.model"].total == 6_738_415_616
    assert qformer == 99_265_536
    assert aggregator == 18_906_624
    assert projector == 19_931_136

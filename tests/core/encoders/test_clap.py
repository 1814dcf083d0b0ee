"""CLAP against the classes of `transformers` on small random weights: embeddings, positions, sizes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import ClapAudioModel, T5EncoderModel

from core.encoders.clap import AudioTower, TextTower, build_clap
from tests.small_clap import AUDIO, TEXT, mels, tokens


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_pooling_over_all_positions_or_over_real_tokens() -> None:
    ids, mask = tokens()
    model = build_clap(audio=AUDIO, text=TEXT).eval()
    with torch.no_grad():
        states = model.text(input_ids=ids, attention_mask=mask).last_hidden_state
        padded = model.embed_text(ids, mask)
        model.pooling = "valid"
        valid = model.embed_text(ids, mask)
        alone = model.embed_text(ids[1:2, :4], mask[1:2, :4])
    torch.testing.assert_close(padded, model.text_head(states.mean(dim=1)))
    by_hand = torch.stack([states[row, :length].mean(dim=0) for row, length in enumerate((7, 4, 1))])
    torch.testing.assert_close(valid, model.text_head(by_hand))
    torch.testing.assert_close(valid[1:2], alone)  # how long the batch is does not matter
    assert torch.allclose(padded[0], valid[0])  # no padding here
    assert not torch.allclose(padded[1], valid[1], atol=1e-4)


def test_gradients_reach_towers_heads_positions_and_temperature() -> None:
    model = build_clap(audio=replace(AUDIO, position_std=0.5), text=replace(TEXT, position_std=0.5))
    ids, mask = tokens()
    audio, text, scale = model(mels(3, fusion=True), ids, mask, torch.tensor([[True], [True], [False]]))
    logits = scale * nn.functional.normalize(audio, dim=-1) @ nn.functional.normalize(text, dim=-1).T
    nn.functional.cross_entropy(logits, torch.arange(3)).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A softmax ignores what is added to all of a row: the keys' biases get rounding errors or nothing.
    assert [name for name in without if not name.endswith("attention.self.key.bias")] == []
    assert model.log_scale.grad is not None


@pytest.mark.parametrize(("value", "scale"), [(9.0, 100.0), (-1.0, 1.0), (math.log(20), 20.0)])
def test_temperature_is_clamped_and_can_come_back(value: float, scale: float) -> None:
    model = build_clap(audio=AUDIO, text=TEXT)
    assert model.logit_scale.item() == pytest.approx(1 / 0.07, rel=1e-5)
    with torch.no_grad():
        model.log_scale.fill_(value)
    model.logit_scale.backward()
    assert model.logit_scale.item() == pytest.approx(scale, rel=1e-5)
    assert model.log_scale.grad is not None
    assert model.log_scale.grad.item() == pytest.approx(scale, rel=1e-5)


def test_positions_make_order_heard_and_read() -> None:
    """Fresh towers tell a sequence from its reverse by their positions alone; none is what the paper has."""

    def turned(std: float) -> tuple[float, float]:
        torch.manual_seed(1)
        audio = replace(AUDIO, enable_fusion=False, position_std=std)
        model = build_clap(audio=audio, text=replace(TEXT, position_std=std)).eval()
        model.text.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight.data.zero_()
        sounds = torch.randn(2, 1, 8, 16).repeat_interleave(8, dim=2)  # 8 sounds, each of two patches
        words = torch.randint(2, 40, (2, 8))
        with torch.no_grad():
            a, b = (model.embed_audio(x) for x in (sounds, sounds.flip(2)))
            c, d = (model.embed_text(x, torch.ones_like(x)) for x in (words, words.flip(1)))
        return ((a - b).norm() / a.norm()).item(), ((c - d).norm() / c.norm()).item()

    heard, read = turned(0.0)
    heard_with, read_with = turned(1.0)
    assert read < 1e-5 < 0.01 < read_with
    assert heard_with > 5 * heard


def test_text_longer_than_its_positions_is_refused() -> None:
    model = build_clap(audio=AUDIO, text=replace(TEXT, position_std=1.0))
    ids = torch.ones(1, 13, dtype=torch.long)
    with pytest.raises(ValueError, match="13 tokens, but this tower has 12 positions"):
        model.embed_text(ids, ids)


def test_without_positions_the_towers_are_the_published_classes() -> None:
    plain = build_clap(audio=AUDIO, text=TEXT)
    published = ClapAudioModel(plain.audio.config), T5EncoderModel(plain.text.config)
    for ours, theirs in zip((plain.audio, plain.text), published, strict=True):
        shapes = {name: value.shape for name, value in theirs.state_dict().items()}
        assert {name: value.shape for name, value in ours.state_dict().items()} == shapes
    own = {name.split(".")[0] for name, _ in plain.named_parameters()}
    assert own == {"audio", "text", "audio_head", "text_head", "log_scale"}
    positioned = build_clap(audio=replace(AUDIO, position_std=1.0), text=replace(TEXT, position_std=1.0))
    more = sum(p.numel() for p in positioned.parameters()) - sum(p.numel() for p in plain.parameters())
    assert more == 8 * 8 * 8 + 12 * 16  # a grid of 8 x 8 patches of width 8, 12 tokens of width 16


def test_towers_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of num_mel_bins 24"):
        build_clap(audio=replace(AUDIO, num_mel_bins=24), text=TEXT)


def test_size_of_the_paper() -> None:
    """HTS-AT tiny with fusion and Flan-T5-large's encoder, counted without memory for them."""
    with torch.device("meta"):
        model = build_clap(audio=AudioTower(), text=TextTower())

    def count(part: nn.Module) -> int:
        return sum(p.numel() for p in part.parameters())

    parts = {name: count(getattr(model, name)) for name in ("audio", "text", "audio_head", "text_head")}
    print(parts, count(model))
    assert parts == {
        "audio": 27_549_128,
        "text": 341_231_104,
        "audio_head": 768 * 512 + 512 + 512 * 512 + 512,
        "text_head": 1024 * 512 + 512 + 512 * 512 + 512,
    }
    assert count(model) == 370_224_073  # the temperature is one

"""CLAP against the classes of `transformers` on small random weights: embeddings, names of weights, sizes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import ClapAudioModel, ClapConfig, ClapModel, T5Config, T5EncoderModel

from core.encoders.clap import (
    AudioTower,
    TextTower,
    WeightsError,
    build_clap,
    htsat_state,
    load_htsat,
    load_laion,
    load_strict,
    load_t5,
)

AUDIO = AudioTower(
    num_mel_bins=16,
    spec_size=32,
    patch_embeds_hidden_size=8,
    depths=(2, 2),
    num_attention_heads=(2, 4),
    window_size=4,
)
TEXT = TextTower(vocab_size=40, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, max_tokens=12)
FRAMES = 60  # of the 64 that fill the image: HTS-AT stretches the rest


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def perturb(model: nn.Module) -> None:
    """Give every weight and statistic a value of its own: fresh biases, norms and tables are 0 or 1."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                noise = 0.1 * torch.randn_like(value)
                value.add_(noise.abs() if name.endswith("running_var") else noise)


def mels(batch: int, *, fusion: bool) -> Tensor:
    return torch.randn(batch, 4 if fusion else 1, FRAMES, 16)


def tokens() -> tuple[Tensor, Tensor]:
    """Three texts of 7, 4 and 1 tokens, and their mask; 1 is RoBERTa's padding."""
    ids, mask = torch.randint(2, 40, (3, 7)), torch.ones(3, 7, dtype=torch.long)
    for row, length in enumerate((7, 4, 1)):
        ids[row, length:], mask[row, length:] = 1, 0
    return ids, mask


def laion(folder: Path, *, fusion: bool) -> ClapModel:
    config = ClapConfig(
        text_config={
            "vocab_size": 40,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 24,
            "max_position_embeddings": 20,
        },
        audio_config={
            "num_mel_bins": 16,
            "spec_size": 32,
            "patch_embeds_hidden_size": 8,
            "hidden_size": 16,
            "depths": [2, 2],
            "num_attention_heads": [2, 4],
            "num_hidden_layers": 2,
            "window_size": 4,
            "enable_fusion": fusion,
            "fusion_type": "aff_2d" if fusion else None,
        },
        projection_dim=12,
    )
    model = ClapModel(config).eval()
    perturb(model)
    model.save_pretrained(folder)
    return model


def edit(folder: Path, *, remove: tuple[str, ...] = (), **add: Tensor) -> None:
    weights = load_file(folder / "model.safetensors")
    weights = {key: value for key, value in weights.items() if key not in remove}
    save_file(weights | add, folder / "model.safetensors")


@pytest.mark.parametrize("fusion", [True, False])
def test_laion_gives_the_embeddings_of_clap_model(tmp_path: Path, fusion: bool) -> None:
    theirs = laion(tmp_path, fusion=fusion)
    ours = load_laion(tmp_path).eval()
    features, (ids, mask) = mels(4, fusion=fusion), tokens()
    longer = torch.tensor([[True], [False], [False], [True]]) if fusion else None
    with torch.no_grad():
        audio, text, scale = ours(features, ids, mask, longer)
        wanted_audio = theirs.get_audio_features(input_features=features, is_longer=longer).pooler_output
        wanted_text = theirs.get_text_features(input_ids=ids, attention_mask=mask).pooler_output
        head = theirs.audio_projection(theirs.audio_model(features, is_longer=longer).pooler_output)
    torch.testing.assert_close(audio, head, rtol=1e-5, atol=1e-6)
    # Theirs are of unit length since transformers 5, ours are not: the losses normalise, or must not.
    torch.testing.assert_close(nn.functional.normalize(audio, dim=-1), wanted_audio, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(nn.functional.normalize(text, dim=-1), wanted_text, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(audio.norm(dim=-1), torch.ones(4), atol=1e-3)
    assert scale.item() == pytest.approx(theirs.logit_scale_a.exp().item(), rel=1e-5)
    if fusion:  # the flag matters, and none given means none longer
        with torch.no_grad():
            short = ours.embed_audio(features, torch.zeros(4, 1, dtype=torch.bool))
            torch.testing.assert_close(ours.embed_audio(features), short, rtol=0, atol=0)
        assert [torch.equal(a, s) for a, s in zip(audio, short, strict=True)] == [False, True, True, False]


def test_laion_is_loaded_strictly(tmp_path: Path) -> None:
    laion(tmp_path, fusion=True)
    gone = "audio_model.audio_encoder.layers.0.blocks.1.attention.self.query.weight"
    edit(tmp_path, remove=(gone, "text_projection.linear2.bias"), **{"text_model.extra": torch.zeros(1)})
    with pytest.raises(WeightsError) as error:
        load_laion(tmp_path)
    assert gone.replace("audio_model.", "audio.") in str(error.value)
    assert "keys missing 2" in str(error.value)
    assert "text_head.2.bias" in str(error.value)
    assert "left over 1 (text.extra)" in str(error.value)


def test_laion_needs_a_config_its_weights_and_their_shapes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_laion(tmp_path)
    laion(tmp_path, fusion=False)
    edit(tmp_path, **{"audio_projection.linear1.bias": torch.zeros(13)})
    with pytest.raises(WeightsError, match=r"of another shape 1 \(audio_head\.0\.bias \[13\]\)"):
        load_laion(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        load_laion(tmp_path)


def test_laion_reads_an_older_file_of_weights(tmp_path: Path) -> None:
    """`pytorch_model.bin`, with the index buffers that older versions stored."""
    laion(tmp_path, fusion=False)
    weights = load_file(tmp_path / "model.safetensors")
    wanted = load_laion(tmp_path).state_dict()
    (tmp_path / "model.safetensors").unlink()
    old = {"text_model.embeddings.position_ids": torch.arange(99)[None]}
    torch.save(weights | old, tmp_path / "pytorch_model.bin")
    found = load_laion(tmp_path).state_dict()
    assert all(torch.equal(found[key], value) for key, value in wanted.items())


def test_nothing_is_loaded_when_something_does_not_fit() -> None:
    model = nn.Linear(2, 2)
    before = model.weight.clone()
    with pytest.raises(WeightsError, match="missing 1 \\(bias\\)"):
        load_strict(model, {"weight": torch.zeros(2, 2)}, origin="here")
    assert torch.equal(model.weight, before)


def t5(folder: Path) -> T5EncoderModel:
    fields = {"vocab_size": 40, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}
    model = T5EncoderModel(T5Config(**fields, feed_forward_proj="gated-gelu")).eval()
    perturb(model)
    model.save_pretrained(folder)
    return T5EncoderModel.from_pretrained(folder).eval()


def test_t5_gives_the_states_of_t5_encoder_model(tmp_path: Path) -> None:
    theirs = t5(tmp_path)
    ours = build_clap(audio=AUDIO, text=TEXT).eval()
    load_t5(ours, tmp_path)
    ids, mask = tokens()
    wanted = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(ours.text(input_ids=ids, attention_mask=mask).last_hidden_state, wanted)


@pytest.mark.parametrize("stored", ["shared.weight", "encoder.embed_tokens.weight"])
def test_t5_takes_the_encoder_of_a_whole_t5(tmp_path: Path, stored: str) -> None:
    """The embeddings may stand under either name, and a decoder beside the encoder."""
    theirs = t5(tmp_path)
    weights = {
        k: v for k, v in load_file(tmp_path / "model.safetensors").items() if "block" in k or "norm" in k
    }
    embeddings = theirs.get_input_embeddings().weight.detach().clone()
    save_file(
        weights | {stored: embeddings, "decoder.x": torch.zeros(1), "lm_head.weight": torch.zeros(1)},
        tmp_path / "model.safetensors",
    )
    ours = build_clap(audio=AUDIO, text=TEXT)
    load_t5(ours, tmp_path)
    assert torch.equal(ours.text.get_input_embeddings().weight, embeddings)
    wanted = theirs.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in ours.text.state_dict().items())


def test_t5_is_loaded_strictly(tmp_path: Path) -> None:
    t5(tmp_path)
    gone = "encoder.block.1.layer.1.layer_norm.weight"
    edit(tmp_path, remove=(gone,), **{"encoder.block.2.x": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"left over 1 \(encoder\.block\.2\.x\)") as error:
        load_t5(build_clap(audio=AUDIO, text=TEXT), tmp_path)
    assert f"keys missing 1 ({gone})" in str(error.value)
    edit(tmp_path, remove=("shared.weight", "encoder.embed_tokens.weight", "encoder.block.2.x"))
    with pytest.raises(WeightsError, match=r"keys missing 3 .*shared\.weight"):
        load_t5(build_clap(audio=AUDIO, text=TEXT), tmp_path)


def original_htsat(model: ClapAudioModel) -> dict[str, Tensor]:
    """The weights of `model` under the names of HTS-AT's own code, with all else that such a file holds."""
    short = [
        (".attention.output.dense.", ".attn.proj."),
        (".attention.self.", ".attn."),
        (".intermediate.dense.", ".mlp.fc1."),
        (".output.dense.", ".mlp.fc2."),
        (".layernorm_before.", ".norm1."),
        (".layernorm_after.", ".norm2."),
    ]
    state: dict[str, Tensor] = {}
    weights = model.state_dict()
    for full, value in weights.items():
        key = full.removeprefix("audio_encoder.").replace("batch_norm.", "bn0.")
        if "fusion_model" in key or "mel_conv2d" in key:
            continue
        for name, old in short:
            key = key.replace(name, old)
        if ".attn.query." in key:
            parts = [weights[full.replace(".query.", f".{part}.")] for part in ("query", "key", "value")]
            state[key.replace(".query.", ".qkv.")] = torch.cat(parts)
        elif ".attn.key." not in key and ".attn.value." not in key:
            state[key] = value
    state |= {
        "spectrogram_extractor.stft.conv_real.weight": torch.zeros(9, 1, 16),
        "logmel_extractor.melW": torch.zeros(9, 16),
        "layers.0.blocks.1.attn_mask": torch.zeros(4, 16, 16),
        "tscam_conv.weight": torch.zeros(5, 16, 2, 3),
        "head.weight": torch.zeros(5, 5),
        "head.bias": torch.zeros(5),
    }
    return {f"sed_model.{key}": value for key, value in state.items()}


@pytest.fixture
def trained() -> ClapAudioModel:
    model = build_clap(audio=replace(AUDIO, enable_fusion=False), text=TEXT).audio.eval()
    perturb(model)
    return model


@pytest.mark.parametrize("fusion", [True, False])
def test_htsat_in_its_own_names_gives_the_same_output(
    tmp_path: Path, trained: ClapAudioModel, fusion: bool
) -> None:
    state = original_htsat(trained)
    assert "sed_model.layers.0.blocks.1.attn.qkv.weight" in state
    assert "sed_model.layers.0.downsample.reduction.weight" in state
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "htsat.ckpt")
    ours = build_clap(audio=replace(AUDIO, enable_fusion=fusion), text=TEXT).eval()
    before = {key: value.clone() for key, value in ours.audio.state_dict().items()}
    load_htsat(ours, tmp_path / "htsat.ckpt")
    features = mels(3, fusion=False)
    wanted = trained(input_features=features).pooler_output
    longer = torch.zeros(3, 1, dtype=torch.bool)
    found = ours.audio(
        input_features=features.repeat(1, 4 if fusion else 1, 1, 1), is_longer=longer
    ).pooler_output
    torch.testing.assert_close(found, wanted)
    kept = {key for key, value in ours.audio.state_dict().items() if torch.equal(before[key], value)}
    learned = {key for key in kept if "fusion" not in key and "mel_conv2d" not in key}
    assert all(key.endswith(("relative_position_index", "num_batches_tracked")) for key in learned)
    assert any("mel_conv2d" in key for key in kept) == fusion


@pytest.mark.parametrize(
    ("stray", "kept"),
    [
        ("layers.0.head.weight", "audio_encoder.layers.0.head.weight"),
        ("overhead.weight", "audio_encoder.overhead.weight"),
        ("layers.0.tscam_conv.weight", "audio_encoder.layers.0.tscam_conv.weight"),
        ("layers.0.bn0.weight", "audio_encoder.layers.0.bn0.weight"),
        ("attn_mask_scale", "audio_encoder.attn_mask_scale"),
    ],
)
def test_htsat_ignores_its_own_extras_only(
    tmp_path: Path, trained: ClapAudioModel, stray: str, kept: str
) -> None:
    state = original_htsat(trained) | {f"sed_model.{stray}": torch.zeros(1)}
    assert {key for key in htsat_state(state) if key not in trained.state_dict()} == {kept}
    torch.save(state, tmp_path / "htsat.ckpt")  # without Lightning's wrapping
    with pytest.raises(WeightsError, match=f"left over 1 \\({kept}\\)"):
        load_htsat(build_clap(audio=AUDIO, text=TEXT), tmp_path / "htsat.ckpt")


def test_htsat_that_lacks_weights_is_a_page_or_holds_objects(tmp_path: Path, trained: ClapAudioModel) -> None:
    path = tmp_path / "htsat.ckpt"
    with pytest.raises(FileNotFoundError, match="put the original"):
        load_htsat(build_clap(audio=AUDIO, text=TEXT), path)
    state = original_htsat(trained)
    del state["sed_model.patch_embed.proj.bias"]
    torch.save({"state_dict": state}, path)
    with pytest.raises(WeightsError, match=r"keys missing 1 \(audio_encoder\.patch_embed\.proj\.bias\)"):
        load_htsat(build_clap(audio=AUDIO, text=TEXT), path)
    path.write_bytes(b"<!DOCTYPE html><title>Virus scan warning</title>")
    with pytest.raises(WeightsError, match="a web page and not the file"):
        load_htsat(build_clap(audio=AUDIO, text=TEXT), path)
    state = original_htsat(trained)
    torch.save({"state_dict": state, "callbacks": {nn.Linear: path}}, path)  # the training's, not opened
    model = build_clap(audio=AUDIO, text=TEXT)
    load_htsat(model, path)
    whole = build_clap(audio=AUDIO, text=TEXT)
    torch.save(state, path)
    load_htsat(whole, path)
    name = "audio_encoder.patch_embed.proj.weight"
    assert torch.equal(model.audio.state_dict()[name], whole.audio.state_dict()[name])


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

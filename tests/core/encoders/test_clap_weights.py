"""Public weights in layouts of others against the classes of `transformers`, on small random weights."""

from __future__ import annotations

import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import ClapAudioModel, ClapConfig, ClapModel, T5Config, T5EncoderModel

from core.encoders.clap import build_clap
from core.encoders.clap_weights import htsat_state, load_htsat, load_laion, load_t5
from core.encoders.strict import WeightsError, load_strict
from tests.small_clap import AUDIO, TEXT, mels, original_htsat, perturb, released, tokens


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


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


def test_htsat_that_names_classes_of_an_absent_library(tmp_path: Path, trained: ClapAudioModel) -> None:
    """Lightning's checkpoints hold its callbacks, by classes that need not be installed here."""
    path = tmp_path / "htsat.ckpt"
    absent = types.ModuleType("pytorch_lightning_of_old")
    absent.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": absent.__name__})  # type: ignore[attr-defined]
    sys.modules[absent.__name__] = absent
    try:
        made = absent.ModelCheckpoint()
        made.best, made.state = Path("x"), {"mAP": 0.47}
        callbacks = {absent.ModelCheckpoint: made}
        torch.save({"state_dict": original_htsat(trained), "callbacks": callbacks, "epoch": 9}, path)
    finally:
        del sys.modules[absent.__name__]
    model = build_clap(audio=AUDIO, text=TEXT)
    load_htsat(model, path)
    name = "audio_encoder.layers.1.blocks.0.attention.self.key.weight"
    assert torch.equal(model.audio.state_dict()[name], trained.state_dict()[name])
    assert absent.__name__ not in sys.modules


# --- LAION's own files


@pytest.mark.parametrize("fusion", [True, False])
def test_laions_own_file_gives_the_embeddings_of_clap_model(tmp_path: Path, fusion: bool) -> None:
    theirs = released(tmp_path, fusion=fusion)
    ours = load_laion(tmp_path / "best.pt").eval()
    wanted = theirs.audio_model.config
    for name in (
        "depths",
        "num_attention_heads",
        "window_size",
        "spec_size",
        "num_mel_bins",
        "enable_fusion",
    ):
        assert getattr(ours.audio.config, name) == getattr(wanted, name), name
    features, (ids, mask) = torch.randn(2, 4 if fusion else 1, 1001, 64), tokens()
    longer = torch.tensor([[True], [False]]) if fusion else None
    with torch.no_grad():
        audio, text, scale = ours(features, ids, mask, longer)
        wanted_audio = theirs.get_audio_features(input_features=features, is_longer=longer).pooler_output
        wanted_text = theirs.get_text_features(input_ids=ids, attention_mask=mask).pooler_output
    torch.testing.assert_close(nn.functional.normalize(audio, dim=-1), wanted_audio, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(nn.functional.normalize(text, dim=-1), wanted_text, rtol=1e-5, atol=1e-6)
    assert scale.item() == pytest.approx(theirs.logit_scale_a.exp().item(), rel=1e-5)


def test_laions_own_file_and_the_folder_of_the_hub_are_one_model(tmp_path: Path) -> None:
    released(tmp_path, fusion=True).save_pretrained(tmp_path)
    file, folder = load_laion(tmp_path / "best.pt").state_dict(), load_laion(tmp_path).state_dict()
    assert list(file) == list(folder)
    assert [name for name in file if not torch.equal(file[name], folder[name])] == []


def test_laions_own_file_is_loaded_strictly(tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    with pytest.raises(FileNotFoundError, match="name the official"):
        load_laion(path)
    released(tmp_path, fusion=False, extra={"audio_branch.layers.0.x": torch.zeros(1), "y": torch.zeros(1)})
    with pytest.raises(WeightsError, match="keys missing 0, left over 2") as error:
        load_laion(path)
    assert "audio.audio_encoder.layers.0.x" in str(error.value)
    released(tmp_path, fusion=True)
    stored = torch.load(path, weights_only=False)
    del stored["state_dict"]["module.audio_branch.patch_embed.mel_conv2d.bias"]
    torch.save(stored, path)
    with pytest.raises(
        WeightsError, match=r"missing 1 \(audio\.audio_encoder\.patch_embed\.mel_conv2d\.bias"
    ):
        load_laion(path)
    torch.save({"state_dict": {"module.audio_branch.conv_block1.conv1.weight": torch.zeros(1)}}, path)
    with pytest.raises(WeightsError, match="no LAION-CLAP of HTS-AT and RoBERTa"):
        load_laion(path)
    path.write_bytes(b"<!DOCTYPE html><title>Sign in</title>")
    with pytest.raises(WeightsError, match="a web page and not the file"):
        load_laion(path)

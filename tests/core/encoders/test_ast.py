"""AST against `ASTForAudioClassification` on random weights; windows, masks, tags and folders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import ASTFeatureExtractor, ASTForAudioClassification

from core.audio.mel import KaldiFbank
from core.encoders.ast import (
    AstEncoder,
    AstError,
    AstShape,
    AudioTooLongError,
    encode_long,
    load_ast,
    make_ast,
    read_fbank,
    tags,
    write_front_end,
)

SHAPE = AstShape(
    hidden_size=16,
    layers=3,
    heads=2,
    intermediate_size=24,
    n_mels=24,
    max_frames=58,
    patch_size=16,
    frequency_stride=8,
    time_stride=10,
    labels=("rain", "siren", "dog"),
    initializer_range=0.2,
    position_std=0.2,
)
RATE, HOP, FRAME = 16_000, 160, 400
FIT = (58 - 1) * HOP + FRAME  # samples of one window
STEP = 5 * 10 * HOP  # from one window to the next: 5 tokens of 10 frames


@pytest.fixture(scope="module")
def model() -> ASTForAudioClassification:
    return make_ast(SHAPE, seed=0)


@pytest.fixture(scope="module")
def front_end() -> KaldiFbank:
    return KaldiFbank(n_mels=24, max_frames=58)


def sound(samples: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def test_logits_and_last_features_are_those_of_transformers(model: ASTForAudioClassification) -> None:
    fbank = torch.randn(2, 58, 24)
    output = AstEncoder(model, taps=(3, 1))(fbank)
    theirs = model(fbank, output_hidden_states=True)
    last = model.audio_spectrogram_transformer(fbank).last_hidden_state
    torch.testing.assert_close(output.logits, theirs.logits)
    # 2 frequency rows of 5 time steps, after the class and distillation tokens
    torch.testing.assert_close(output.features[0], (last[:, 2:7] + last[:, 7:12]) / 2)
    middle = theirs.hidden_states[1]
    torch.testing.assert_close(output.features[1], (middle[:, 2:7] + middle[:, 7:12]) / 2)


def test_the_first_tap_is_what_the_first_layer_gives(model: ASTForAudioClassification) -> None:
    fbank = torch.randn(1, 58, 24)
    ast = model.audio_spectrogram_transformer
    states = ast.layers[0](ast.embeddings(fbank))
    feature = AstEncoder(model, taps=(1,))(fbank).features[0]
    torch.testing.assert_close(feature, (states[:, 2:7] + states[:, 7:12]) / 2)


def test_features_are_in_time_order(model: ASTForAudioClassification) -> None:
    """A change in one stretch of time shows in the patch embeddings of its tokens alone."""
    embed = model.audio_spectrogram_transformer.embeddings.patch_embeddings
    fbank = torch.randn(1, 58, 24)
    changed = fbank.clone()
    changed[:, 40:58] += 1.0
    difference = (embed(changed) - embed(fbank)).abs().sum(-1).unflatten(1, (-1, 5)).sum(1)[0]
    assert (difference > 1e-3).tolist() == [False, False, False, True, True]


@pytest.mark.parametrize("taps", [(), (0,), (4,), (3, -1)])
def test_a_tap_that_is_no_layer_is_an_error(model: ASTForAudioClassification, taps: tuple[int, ...]) -> None:
    with pytest.raises(AstError, match="from 1 to 3"):
        AstEncoder(model, taps=taps)


def test_features_of_another_size_are_an_error(model: ASTForAudioClassification) -> None:
    with pytest.raises(AstError, match="58, 24"):
        AstEncoder(model, taps=(3,))(torch.randn(1, 59, 24))


def test_weights_are_a_function_of_the_seed() -> None:
    state = torch.random.get_rng_state()
    one, same, other = (make_ast(SHAPE, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["classifier.dense.weight"], other["classifier.dense.weight"])
    plain = make_ast(replace(SHAPE, position_std=0.0), seed=1).audio_spectrogram_transformer.embeddings
    assert not plain.position_embeddings.any()


@pytest.mark.parametrize("change", [{"labels": ()}, {"labels": ("a", "a")}, {"heads": 3}, {"n_mels": 8}])
def test_shapes_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(AstError):
        make_ast(replace(SHAPE, **change), seed=0)  # type: ignore[arg-type]


def test_a_folder_gives_back_the_network_and_its_front_end(
    model: ASTForAudioClassification, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    write_front_end(tmp_path, {"n_mels": 24, "max_frames": 58, "mean": -3.0, "std": 2.0})
    encoder = load_ast(tmp_path, taps=(3, 1, 2))
    fbank = torch.randn(1, 58, 24)
    assert torch.equal(encoder(fbank).logits, model(fbank).logits)
    assert (encoder.labels, encoder.time_tokens, encoder.hidden_size) == (SHAPE.labels, 5, 16)
    assert not encoder.training
    fbank_of_folder = read_fbank(tmp_path)
    assert (fbank_of_folder.mean, fbank_of_folder.std, fbank_of_folder.max_frames) == (-3.0, 2.0, 58)


def test_the_front_end_of_a_checkpoint_of_the_hub_is_its_extractor(tmp_path: Path) -> None:
    extractor = ASTFeatureExtractor(num_mel_bins=24, max_length=58, mean=-3.0, std=2.5)
    extractor.save_pretrained(tmp_path)
    wave = sound(6000)
    theirs = extractor(wave, sampling_rate=RATE, return_tensors="pt")["input_values"]
    torch.testing.assert_close(read_fbank(tmp_path)([wave]), theirs, atol=1e-4, rtol=1e-4)


def test_folders_without_what_is_needed_say_so(model: ASTForAudioClassification, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.json and model\.safetensors"):
        load_ast(tmp_path, taps=(1,))
    with pytest.raises(FileNotFoundError, match=r"neither front_end\.json"):
        read_fbank(tmp_path)
    write_front_end(tmp_path, {"bands": 24})
    with pytest.raises(AstError, match="no option bands"):
        read_fbank(tmp_path)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 4}))
    with pytest.raises(AstError, match="missing"):
        load_ast(tmp_path, taps=(1,))
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "whisper"}))
    with pytest.raises(AstError, match="'whisper'"):
        load_ast(tmp_path, taps=(1,))


def test_every_key_of_a_folder_must_fit(model: ASTForAudioClassification, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(
        weights | {"audio_spectrogram_transformer.extra.bias": torch.zeros(1)}, tmp_path / "model.safetensors"
    )
    with pytest.raises(
        AstError, match=r"keys missing 0, left over 1 \(audio_spectrogram_transformer\.extra\.bias"
    ):
        load_ast(tmp_path, taps=(1,))
    del weights["classifier.dense.bias"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(AstError, match=r"keys missing 1 \(classifier\.dense\.bias\), left over 0"):
        load_ast(tmp_path, taps=(1,))


def test_a_clip_that_is_not_finite_is_named(model: ASTForAudioClassification, front_end: KaldiFbank) -> None:
    bad = sound(2 * FIT)
    bad[FIT + 7] = np.nan  # in the second window
    with pytest.raises(ValueError, match=r"^street-3: NaN or infinite"):
        encode_long(AstEncoder(model, taps=(3,)), [sound(FIT), bad], front_end, items=["rain", "street-3"])


def encode(model: ASTForAudioClassification, front_end: KaldiFbank, waves: list[np.ndarray]) -> list[Tensor]:
    features, mask, logits = encode_long(AstEncoder(model, taps=(3, 1)), waves, front_end)
    return [*features, mask, logits]


def test_audio_of_one_window_is_what_the_encoder_gives(
    model: ASTForAudioClassification, front_end: KaldiFbank
) -> None:
    waves = [sound(FIT), sound(4000, seed=1)]
    last, first, mask, logits = encode(model, front_end, waves)
    output = AstEncoder(model, taps=(3, 1))(front_end(waves))
    torch.testing.assert_close(last, output.features[0].detach())
    torch.testing.assert_close(first, output.features[1].detach())
    torch.testing.assert_close(logits, output.logits.detach())
    # 4000 samples are 23 frames: tokens begin at frames 0, 10 and 20
    assert mask.tolist() == [[True] * 5, [True, True, True, False, False]]


def test_longer_audio_is_windowed_on_an_even_grid(
    model: ASTForAudioClassification, front_end: KaldiFbank
) -> None:
    wave = sound(STEP + FIT - 20 * HOP)  # the second window lacks 20 frames
    short = sound(FIT, seed=1)
    last, _, mask, logits = encode(model, front_end, [short, wave])
    windows = AstEncoder(model, taps=(3,))(front_end([wave[:FIT], wave[STEP:]]))
    torch.testing.assert_close(last[1], windows.features[0].detach().flatten(0, 1))
    torch.testing.assert_close(logits[1], windows.logits.detach().amax(dim=0))
    assert mask.sum(dim=1).tolist() == [5, 9]
    assert not last[0, 5:].any()


def test_a_clip_does_not_depend_on_its_neighbours(
    model: ASTForAudioClassification, front_end: KaldiFbank
) -> None:
    waves = [sound(2 * FIT), sound(5000, seed=1), sound(FIT + HOP, seed=2)]
    together = encode_long(AstEncoder(model, taps=(3,)), waves, front_end, batch_size=2)
    for place, wave in enumerate(waves):
        alone = encode_long(AstEncoder(model, taps=(3,)), [wave], front_end)
        tokens = alone.features[0].shape[1]
        torch.testing.assert_close(together.features[0][place, :tokens], alone.features[0][0])
        torch.testing.assert_close(together.logits[place], alone.logits[0])
        assert torch.equal(together.mask[place, :tokens], alone.mask[0])


def test_longer_audio_can_be_refused_by_name(model: ASTForAudioClassification, front_end: KaldiFbank) -> None:
    encoder = AstEncoder(model, taps=(3,))
    encode_long(encoder, [sound(FIT)], front_end, long_audio="refuse")
    with pytest.raises(AudioTooLongError, match="street-3"):
        encode_long(encoder, [sound(FIT + HOP)], front_end, long_audio="refuse", items=["street-3"])


def test_the_front_end_of_another_encoder_is_refused(model: ASTForAudioClassification) -> None:
    with pytest.raises(AstError, match="1024 frames"):
        encode_long(AstEncoder(model, taps=(3,)), [sound(FIT)], KaldiFbank(n_mels=24))


def test_tags_are_the_probable_labels_in_their_order() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [-9.0, -8.0, -7.0]])
    labels = ("rain", "siren", "dog")
    assert tags(logits, labels) == [["siren", "dog", "rain"], []]
    assert tags(logits, labels, threshold=0.6, limit=5) == [["siren", "dog"], []]
    assert tags(logits, labels, limit=1) == [["siren"], []]
    with pytest.raises(AstError, match="2 labels"):
        tags(logits, labels[:2])

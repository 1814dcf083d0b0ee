"""Whisper's encoder against `transformers` on random weights; windows, masks and folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from core.audio.mel import WhisperMel
from core.encoders.ast import AudioTooLongError, write_front_end
from core.encoders.whisper import (
    WhisperError,
    WhisperFeatures,
    WhisperShape,
    hear_long,
    load_whisper,
    make_whisper,
    read_whisper_mel,
)

SHAPE = WhisperShape(
    hidden_size=16,
    layers=2,
    heads=2,
    intermediate_size=24,
    n_mels=20,
    max_frames=40,
    initializer_range=0.2,
)
HOP = 160
FIT = 40 * HOP


@pytest.fixture(scope="module")
def features() -> WhisperFeatures:
    return WhisperFeatures(make_whisper(SHAPE, seed=0), pool=4)


@pytest.fixture(scope="module")
def front_end() -> WhisperMel:
    return WhisperMel(n_mels=20, max_seconds=0.4)


def sound(samples: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def whole_whisper() -> WhisperForConditionalGeneration:
    config = WhisperConfig(
        d_model=16,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        num_mel_bins=20,
        max_source_positions=20,
        vocab_size=30,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        init_std=0.2,
    )
    return WhisperForConditionalGeneration(config).eval()


def test_features_are_means_of_neighbours_of_the_last_states() -> None:
    encoder = make_whisper(SHAPE, seed=0)
    mels = torch.randn(2, 20, 40)
    states = encoder(mels).last_hidden_state
    assert torch.equal(WhisperFeatures(encoder)(mels), states)
    pooled = WhisperFeatures(encoder, pool=4)
    torch.testing.assert_close(pooled(mels)[:, 1], states[:, 4:8].mean(dim=1))
    assert (pooled.time_tokens, pooled.hidden_size, pooled.max_frames) == (5, 16, 40)


def test_a_whole_whisper_gives_its_encoder(tmp_path: Path) -> None:
    whole = whole_whisper()
    whole.save_pretrained(tmp_path)
    mels = torch.randn(1, 20, 40)
    loaded = load_whisper(tmp_path)
    assert torch.equal(loaded(mels), whole.model.encoder(mels).last_hidden_state)
    assert not loaded.training


@pytest.mark.parametrize(
    "stray",
    ["model.encoder.layers.0.decoder.weight", "model.extra.weight", "model.encoder.layers.0.proj_out.weight"],
)
def test_of_a_whole_whisper_its_decoder_alone_is_left_out(tmp_path: Path, stray: str) -> None:
    whole_whisper().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    assert any(key.startswith("model.decoder.") for key in weights)
    save_file(weights | {stray: torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(WhisperError, match="keys missing 0, left over 1 ") as error:
        load_whisper(tmp_path)
    assert stray.split(".", 2)[-1] in str(error.value)
    del weights["model.encoder.layer_norm.bias"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(WhisperError, match=r"keys missing 1 \(layer_norm\.bias\), left over 0"):
        load_whisper(tmp_path)


def test_a_clip_that_is_not_finite_is_named(features: WhisperFeatures, front_end: WhisperMel) -> None:
    bad = sound(2 * FIT)
    bad[FIT + 7] = np.inf
    with pytest.raises(ValueError, match=r"^street-3: NaN or infinite"):
        hear_long(features, [sound(FIT), bad], front_end, items=["rain", "street-3"])


def test_a_folder_gives_back_the_encoder_and_its_front_end(tmp_path: Path) -> None:
    encoder = make_whisper(SHAPE, seed=3)
    encoder.save_pretrained(tmp_path)
    write_front_end(tmp_path, {"n_mels": 20, "max_seconds": 0.4, "hop": 160})
    mels = torch.randn(1, 20, 40)
    assert torch.equal(load_whisper(tmp_path)(mels), encoder(mels).last_hidden_state)
    assert read_whisper_mel(tmp_path).max_samples == FIT


def test_the_front_end_of_a_checkpoint_of_the_hub_is_its_extractor(tmp_path: Path) -> None:
    extractor = WhisperFeatureExtractor(feature_size=20, chunk_length=1)
    extractor.save_pretrained(tmp_path)
    theirs = extractor(sound(9000), sampling_rate=16_000, return_tensors="pt")["input_features"]
    torch.testing.assert_close(read_whisper_mel(tmp_path)([sound(9000)]), theirs, atol=1e-4, rtol=1e-4)


def test_folders_without_what_is_needed_say_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no Whisper"):
        load_whisper(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"front_end\.json"):
        read_whisper_mel(tmp_path)
    write_front_end(tmp_path, {"bands": 20})
    with pytest.raises(WhisperError, match="bands"):
        read_whisper_mel(tmp_path)


@pytest.mark.parametrize("pool", [0, 3])
def test_a_pool_that_does_not_divide_the_window_is_an_error(pool: int) -> None:
    with pytest.raises(WhisperError, match="20 steps"):
        WhisperFeatures(make_whisper(SHAPE, seed=0), pool=pool)


def test_shapes_and_mels_that_do_not_fit_are_refused(features: WhisperFeatures) -> None:
    with pytest.raises(WhisperError, match="even"):
        make_whisper(replace(SHAPE, max_frames=41), seed=0)
    with pytest.raises(WhisperError, match="bands before frames"):
        features(torch.randn(1, 40, 20))


def test_weights_are_a_function_of_the_seed() -> None:
    one, same, other = (make_whisper(SHAPE, seed=seed).conv1.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_longer_audio_is_windowed_end_to_end(features: WhisperFeatures, front_end: WhisperMel) -> None:
    wave, short = sound(FIT + 1000), sound(2000, seed=1)
    heard, mask = hear_long(features, [short, wave], front_end, batch_size=2)
    windows = features(front_end([wave[:FIT], wave[FIT:], short])).detach()
    torch.testing.assert_close(heard[1], windows[:2].flatten(0, 1))
    torch.testing.assert_close(heard[0, :5], windows[2])
    assert not heard[0, 5:].any()
    # a step is 4 states of 2 frames of 160 samples: 2000 samples reach into the second
    assert mask.sum(dim=1).tolist() == [2, 6]


def test_longer_audio_can_be_refused_by_name(features: WhisperFeatures, front_end: WhisperMel) -> None:
    hear_long(features, [sound(FIT)], front_end, long_audio="refuse")
    with pytest.raises(AudioTooLongError, match="street-3"):
        hear_long(features, [sound(FIT + 1)], front_end, long_audio="refuse", items=["street-3"])


def test_the_front_end_of_another_encoder_is_refused(features: WhisperFeatures) -> None:
    with pytest.raises(WhisperError, match="40"):
        hear_long(features, [sound(FIT)], WhisperMel(n_mels=20))

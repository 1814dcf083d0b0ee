"""YAMNet: its front end against the formula, patches of any length, taps of one width, strict weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from core.audio_lm.encoders import EncoderRecord, open_encoder, record_of
from core.encoders.ast import AstError
from core.encoders.strict import WeightsError
from core.encoders.yamnet import RATE, Yamnet, YamnetError, YamnetMel, hear_patches, load_yamnet

LABELS = ("dog", "rain", "car")
DRAW = np.random.default_rng(0)


@pytest.fixture
def model() -> Yamnet:
    torch.manual_seed(0)
    return Yamnet(LABELS, taps=(14, 5, 10), width=2).eval()


@pytest.fixture
def folder(tmp_path: Path, model: Yamnet) -> Path:
    (tmp_path / "yamnet").mkdir()
    save_file(model.state_dict(), tmp_path / "yamnet" / "model.safetensors")
    config = {"model_type": "yamnet", "width": 2, "labels": list(LABELS)}
    (tmp_path / "yamnet" / "config.json").write_text(json.dumps(config))
    return tmp_path / "yamnet"


def noise(seconds: float) -> np.ndarray:
    return DRAW.normal(size=round(seconds * RATE)).astype(np.float32) * 0.1


def test_the_front_end_is_the_release_formula() -> None:
    wave = noise(1.2)
    padded = np.concatenate([wave, np.zeros(15600 + 7680 - len(wave))]).astype(np.float64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = np.stack([padded[at : at + 400] * window for at in range(0, len(padded) - 399, 160)])
    magnitude = np.abs(np.fft.rfft(frames, 512))
    mel = 1127 * np.log1p(np.linspace(0, 8000, 257) / 700)
    edges = np.linspace(1127 * np.log1p(125 / 700), 1127 * np.log1p(7500 / 700), 66)
    rise = (mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
    logs = np.log(magnitude @ np.maximum(0, np.minimum(rise, fall)) + 0.001)
    found = YamnetMel()(torch.from_numpy(wave))
    assert found.shape == (2, 96, 64)
    np.testing.assert_allclose(found[0], logs[:96], atol=1e-5)
    np.testing.assert_allclose(found[1], logs[48:144], atol=1e-5)


@pytest.mark.parametrize(
    ("samples", "patches"), [(1, 1), (15600, 1), (15601, 2), (23280, 2), (80000, 10), (160000, 20)]
)
def test_nothing_is_cut(samples: int, patches: int) -> None:
    assert YamnetMel().count(samples) == len(YamnetMel()(torch.zeros(samples))) == patches


def test_each_tap_has_the_same_width_and_the_last_is_the_mean_of_all(model: Yamnet) -> None:
    features, logits = model(torch.randn(3, 96, 64))
    assert features.shape == (3, 3, 64)
    assert logits.shape == (3, 3)
    torch.testing.assert_close(model.classifier(features[:, 0]), logits)
    for tap in range(1, 15):
        assert Yamnet(LABELS, taps=(tap,), width=2)(torch.randn(1, 96, 64))[0].shape == (1, 1, 64)


def test_padding_is_tensorflows_same(model: Yamnet) -> None:
    """An even length and a stride of two: the extra zero stands behind, so that the first output sees no zero
    before it."""
    first = model.layers[0]
    patches = torch.zeros(1, 1, 96, 64)
    patches[0, 0, :3, :3] = torch.randn(3, 3)
    wanted = (first.first.weight[:, 0] * patches[0, 0, :3, :3]).sum(dim=(1, 2)) + first.first.bias
    torch.testing.assert_close(first(patches)[0, :, 0, 0], wanted.relu())


def test_clips_of_any_length_do_not_depend_on_each_other(model: Yamnet) -> None:
    waves = [noise(0.3), noise(2.0), noise(5.0)]
    made = hear_patches(model, waves, YamnetMel(), batch_size=4)
    assert made.mask.sum(dim=1).tolist() == [1, 4, 10]
    for place, wave in enumerate(waves):
        alone = hear_patches(model, [wave], YamnetMel())
        for together, one in zip(made.features, alone.features):
            torch.testing.assert_close(together[place, : one.shape[1]], one[0])
        torch.testing.assert_close(made.logits[place], alone.logits[0])
    finer = hear_patches(model, waves[2:], YamnetMel(hop=24))
    torch.testing.assert_close(finer.features[0][0, ::2], made.features[0][2, :9])


def test_it_opens_by_its_records(tmp_path: Path, folder: Path) -> None:
    cpu = torch.device("cpu")
    layers = EncoderRecord(name="ast", kind="yamnet", folder="yamnet", options={"taps": [14, 5, 10]})
    tags = EncoderRecord(name="tags", kind="yamnet_tags", folder="yamnet")
    waves = [noise(1.0), noise(3.0)]
    heard = open_encoder(layers, root=tmp_path, device=cpu).hear(waves, ["a", "b"])
    assert heard.values.shape == (2, 6, 3, 64)
    tagger = open_encoder(tags, root=tmp_path, device=cpu)
    assert tagger.hear(waves, ["a", "b"]).values.shape == (2, 1, 3)
    assert record_of(tagger, tags).labels == LABELS


def test_what_does_not_fit_is_refused(folder: Path, model: Yamnet) -> None:
    with pytest.raises(YamnetError, match="layers from 1 to 14"):
        load_yamnet(folder, taps=(15,))
    with pytest.raises(YamnetError, match="takes"):
        model(torch.zeros(1, 64, 96))
    with pytest.raises(YamnetError, match="hop=0"):
        YamnetMel(hop=0)
    state = model.state_dict()
    del state["classifier.bias"]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"classifier\.bias"):
        load_yamnet(folder, taps=(14,))
    (folder / "config.json").write_text('{"model_type": "bert", "labels": []}')
    with pytest.raises(AstError, match="'bert'"):
        load_yamnet(folder, taps=(14,))

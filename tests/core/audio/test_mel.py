"""The mel front ends against the `transformers` extractors of the same name."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import ASTFeatureExtractor, ClapFeatureExtractor, WhisperFeatureExtractor

from core.audio import spectrum
from core.audio.mel import ClapMel, KaldiFbank, WhisperMel
from core.audio.spectrum import mel_filters, to_db

SMALL = {"sample_rate": 16_000, "n_fft": 512, "hop": 160, "n_mels": 32, "fmax": 7_000.0, "max_seconds": 1.0}


def noise(*lengths: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(0.2 * rng.standard_normal(length)).astype(np.float32) for length in lengths]


def tone(length: int, *, rate: int, hertz: float = 997.0) -> np.ndarray:
    """A pure tone in digital silence: 120 dB between its band and the others."""
    wave = 0.9 * np.sin(2 * np.pi * hertz * np.arange(length) / rate)
    wave[: length // 3] = 0.0
    return wave.astype(np.float32)


def clap_extractor(**options: object) -> ClapFeatureExtractor:
    return ClapFeatureExtractor(frequency_min=50, **options)


def small_extractor(truncation: str, padding: str) -> ClapFeatureExtractor:
    # 64 mels here too: the extractor resizes the whole spectrogram to 64 bands whatever its feature_size.
    return ClapFeatureExtractor(
        sampling_rate=16_000,
        hop_length=160,
        max_length_s=1,
        fft_window_size=512,
        frequency_min=50,
        frequency_max=7_000,
        truncation=truncation,
        padding=padding,
    )


@pytest.mark.parametrize("truncation", ["fusion", "rand_trunc"])
def test_clap_parity_at_full_size(truncation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The extractor's random choices: always the second of each range of crop positions, never a marked clip.
    monkeypatch.setattr(np.random, "choice", lambda values: values[1])
    monkeypatch.setattr(np.random, "randint", lambda low, high: 1)
    clips = [*noise(100, 130_001, 480_000, 480_100, 700_123), tone(200_000, rate=48_000)]
    theirs = clap_extractor(truncation=truncation)(clips, sampling_rate=48_000, return_tensors="pt")
    spare = 700_123 // 480 + 1 - 1001
    first = 1 + spare // 3 + 1  # first frame of the middle third, of spare + 1 positions
    back = first + (spare + 1) // 3 + (1 if (spare + 1) % 3 > 1 else 0)
    thirds = (1, first + (0 if (spare + 1) % 3 else -1) + 1, back + (0 if (spare + 1) % 3 else -1) + 1)
    parts = np.array_split(np.arange(spare + 1), 3)
    thirds = tuple(int(part[1]) for part in parts)
    longer = thirds if truncation == "fusion" else (1,)
    short = None if truncation == "fusion" else (1,)
    ours = ClapMel(truncation=truncation)(clips, positions=[None, None, None, short, longer, None])
    assert ours.input_features.shape == theirs["input_features"].shape
    assert ours.input_features.dtype == theirs["input_features"].dtype == torch.float32
    torch.testing.assert_close(ours.input_features, theirs["input_features"], atol=1e-4, rtol=0)
    assert torch.equal(ours.is_longer, theirs["is_longer"].bool())


@pytest.mark.parametrize("padding", ["repeatpad", "repeat", "pad"])
@pytest.mark.parametrize("truncation", ["fusion", "rand_trunc"])
def test_clap_parity_of_a_small_one(truncation: str, padding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np.random, "choice", lambda values: values[-1])
    monkeypatch.setattr(np.random, "randint", lambda low, high: 0)
    clips = noise(1, 7, 255, 256, 257, 5_333, 8_000, 15_999, 16_000, 16_001, 16_159, 16_160, 16_320, 31_999)
    theirs = small_extractor(truncation, padding)(clips, sampling_rate=16_000, return_tensors="pt")
    front = ClapMel(**{**SMALL, "n_mels": 64}, truncation=truncation, padding=padding)
    positions: list[tuple[int, ...] | None] = [None] * len(clips)
    for i, clip in enumerate(clips):
        spare = len(clip) // 160 + 1 - 101
        if truncation == "rand_trunc" and len(clip) > 16_000:
            positions[i] = (0,)
        elif truncation == "fusion" and spare > 0:
            parts = np.array_split(np.arange(spare + 1), 3)
            positions[i] = tuple(int(part[-1]) if len(part) else 0 for part in parts)
    ours = front(clips, positions=positions)
    torch.testing.assert_close(ours.input_features, theirs["input_features"], atol=1e-4, rtol=0)
    assert torch.equal(ours.is_longer, theirs["is_longer"].bool())


def test_clap_marks_a_short_clip_only_when_told() -> None:
    clips = noise(1_000, 2_000)
    front = ClapMel(**SMALL)
    assert front(clips).is_longer.tolist() == [[False], [False]]
    assert front(clips, mark_longer=1).is_longer.tolist() == [[False], [True]]
    assert front([*clips, *noise(40_000)], mark_longer=1).is_longer.tolist() == [[False], [False], [True]]


def test_clap_crops_follow_seed_and_item() -> None:
    clips = noise(80_000, 80_000)
    clips[1] = clips[0]
    front = ClapMel(**SMALL)
    features = front(clips, seed=1, items=["a", "b"]).input_features
    assert torch.equal(features, front(clips, seed=1, items=["a", "b"]).input_features)
    swapped = front(clips[::-1], seed=1, items=["b", "a"]).input_features
    assert torch.equal(features, swapped.flip(0))  # not of the place in the batch
    assert torch.equal(features[0, 0], features[1, 0])  # the whole, resized
    assert not torch.equal(features[0, 1:], features[1, 1:])
    assert not torch.equal(features, front(clips, seed=2, items=["a", "b"]).input_features)


def test_clap_int16_round_trip_is_that_of_the_release() -> None:
    (clip,) = noise(16_000)
    clip[:2] = 1.5, -1.5
    release = (np.clip(clip, -1.0, 1.0) * 32767.0).astype(np.int16)
    release = (release / 32767.0).astype(np.float32)
    exact = ClapMel(**SMALL)([release]).input_features
    assert torch.equal(ClapMel(**SMALL, int16_round_trip=True)([clip]).input_features, exact)
    assert not torch.equal(ClapMel(**SMALL)([clip]).input_features, exact)


def test_power_mel_is_what_forward_takes_the_decibels_of() -> None:
    front = ClapMel(**SMALL)
    (clip,) = noise(16_000)
    torch.testing.assert_close(to_db(front.power_mel([clip])), front([clip]).input_features[:, 0])


def test_power_mel_of_a_clip_in_silence_is_that_part_of_the_scene() -> None:
    """Scenes are composed from clips' powers: a clip at a whole number of hops keeps its power, shifted."""
    front = ClapMel(**SMALL)
    (clip,) = noise(3_200)
    scene = np.zeros(16_000, np.float32)
    scene[4_800:8_000] = clip
    whole, part = front.power_mel([scene], margin="zero")[0], front.power_mel([clip], margin="zero")[0]
    torch.testing.assert_close(whole[30 : 30 + len(part)], part)
    assert len(part) == 21


def test_power_mel_pads_with_zeros() -> None:
    power = ClapMel(**SMALL).power_mel(noise(100, 3_200))
    assert power.shape == (2, 21, 32)
    assert (power[0, 0] > 0).all()
    assert not power[0, 1:].any()


@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")  # AST's lowest
@pytest.mark.parametrize(
    "options", [{}, {"normalize": False}, {"mean": -5.081, "std": 4.4849 / 2, "max_frames": 64}]
)
def test_kaldi_parity(options: dict[str, object]) -> None:
    names = {"normalize": "do_normalize", "max_frames": "max_length"}
    clips = [*noise(400, 559, 560, 12_345, 80_000, 163_840, 170_000), tone(90_000, rate=16_000)]
    clips[3] = clips[3] + np.float32(0.5)  # an offset, which each frame loses
    extractor = ASTFeatureExtractor(**{names.get(name, name): value for name, value in options.items()})
    theirs = extractor(clips, sampling_rate=16_000, return_tensors="pt")["input_values"]
    ours = KaldiFbank(**options)(clips)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_gama_normalisation() -> None:
    clips = noise(32_000)
    raw = KaldiFbank(normalize=False, max_frames=None)(clips)
    gama = KaldiFbank(mean=-5.081, std=4.4849 / 2, max_frames=None)(clips)
    torch.testing.assert_close(gama, (raw + 5.081) / 4.4849)


def test_kaldi_frames_counts_the_frames_with_sound() -> None:
    front = KaldiFbank(normalize=False, max_frames=100)
    for length in (400, 559, 560, 9_999, 50_000):
        frames = front.frames(length)
        fbank = front(noise(length))[0]
        assert fbank[frames - 1].any()
        assert not fbank[frames:].any()


@pytest.mark.parametrize("n_mels", [80, 128])
def test_whisper_parity(n_mels: int) -> None:
    clips = [*noise(201, 16_000, 163_840, 479_700, 479_900, 480_000, 500_000), tone(90_000, rate=16_000)]
    extractor = WhisperFeatureExtractor(feature_size=n_mels)
    theirs = extractor(clips, sampling_rate=16_000, return_tensors="pt")["input_features"]
    ours = WhisperMel(n_mels=n_mels)(clips)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("length", [201, 16_000, 16_159, 50_001])
def test_whisper_parity_without_padding(length: int) -> None:
    clips = noise(length)
    theirs = WhisperFeatureExtractor()(clips, sampling_rate=16_000, return_tensors="pt", padding="do_not_pad")
    front = WhisperMel(max_seconds=None)
    ours = front(clips)
    torch.testing.assert_close(ours, theirs["input_features"], atol=1e-4, rtol=0)
    assert ours.shape[2] == front.frames(length)


FRONTS = {
    "clap": ClapMel(**SMALL),
    "clap rand_trunc pad": ClapMel(**SMALL, truncation="rand_trunc", padding="pad"),
    "kaldi": KaldiFbank(max_frames=200),
    "kaldi, longest": KaldiFbank(max_frames=None),
    "whisper": WhisperMel(max_seconds=2.0),
    "whisper, longest": WhisperMel(max_seconds=None, n_mels=128),
}
LENGTHS = (400, 5_000, 16_000, 16_001, 40_000, 401)


def features(front: torch.nn.Module, clips: object, **options: object) -> torch.Tensor:
    out = front(clips, **options)
    out = out if isinstance(out, torch.Tensor) else out.input_features
    return out.transpose(1, 2) if isinstance(front, WhisperMel) else out


@pytest.mark.parametrize("name", FRONTS)
def test_a_batch_is_its_clips_one_by_one(name: str) -> None:
    front, clips = FRONTS[name], noise(*LENGTHS)
    together = features(front, clips)
    for i, clip in enumerate(clips):
        alone = features(front, [clip])[0]
        dim = 1 if alone.ndim == 3 else 0
        assert torch.equal(together[i].narrow(dim, 0, alone.shape[dim]), alone)


@pytest.mark.parametrize("name", FRONTS)
def test_a_list_and_a_padded_batch_are_the_same(name: str) -> None:
    front, clips = FRONTS[name], noise(*LENGTHS)
    padded = torch.full((len(clips), max(LENGTHS)), float("nan"))  # what lies beyond a length is never read
    for row, clip in zip(padded, clips):
        row[: len(clip)] = torch.from_numpy(clip)
    assert torch.equal(features(front, padded, lengths=LENGTHS), features(front, clips))


@pytest.mark.parametrize("name", FRONTS)
def test_laying_clips_end_to_end_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path that a GPU takes, on the CPU: one transform over all clips in blocks that cut through them."""
    front, clips = FRONTS[name], noise(*LENGTHS)
    expected = features(front, clips)
    monkeypatch.setattr(spectrum.MelPower, "one_by_one", lambda self: False)
    monkeypatch.setattr(spectrum, "CPU_BLOCK", 37 * 512)
    torch.testing.assert_close(features(front, clips), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("name", FRONTS)
def test_the_gpu_gives_the_same_numbers(name: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device: the front ends were checked on the CPU only")
    front, clips = FRONTS[name], noise(*LENGTHS)
    there = features(copy.deepcopy(front).cuda(), clips)
    assert there.is_cuda
    torch.testing.assert_close(there.cpu(), features(front, clips), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", FRONTS)
def test_a_model_in_bfloat16_and_autocast_leave_the_features_alone(name: str) -> None:
    front, clips = FRONTS[name], noise(*LENGTHS)
    model = torch.nn.Sequential(copy.deepcopy(front)).to(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(features(model[0], clips), features(front, clips))


def test_front_ends_add_nothing_to_a_checkpoint() -> None:
    assert not any(front.state_dict() for front in FRONTS.values())


def test_float32_transform_is_close_on_noise() -> None:
    clips = noise(16_000)
    rough = ClapMel(**SMALL, transform=torch.float32)(clips).input_features
    torch.testing.assert_close(rough, ClapMel(**SMALL)(clips).input_features, atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([], "no waveforms"),
        ([np.zeros(0, np.float32)], "waveform 0 is empty"),
        ([np.zeros(800, np.int16)], "give floats"),
        ([np.zeros((2, 800), np.float32)], "mono"),
    ],
)
@pytest.mark.parametrize("name", ["clap", "kaldi", "whisper"])
def test_bad_waveforms_are_named(name: str, clips: list[np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FRONTS[name](clips)


@pytest.mark.parametrize("name", ["clap", "kaldi", "whisper"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_waveforms_that_are_not_finite_are_named(name: str, value: float) -> None:
    clips = noise(1000, 900, 800)
    clips[1] = clips[1].copy()
    clips[1][899] = value
    with pytest.raises(ValueError, match=r"^waveform 1: NaN or infinite samples"):
        FRONTS[name](clips)
    with pytest.raises(ValueError, match=r"^street: NaN or infinite"):
        FRONTS[name](clips, items=["rain", "street", "dog"])
    FRONTS[name]([clips[1]], lengths=[899])  # what is left off does not matter
    clips[0] = clips[2] = clips[1].astype(np.float64)
    with pytest.raises(ValueError, match=r"^rain, street, dog: NaN"):
        FRONTS[name](clips, items=["rain", "street", "dog"])
    with pytest.raises(ValueError, match="2 items for 3 waveforms"):
        FRONTS[name](clips, items=["rain", "street"])


def test_a_number_too_large_for_float32_is_infinite() -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        FRONTS["whisper"]([np.full(500, 1e200)])


def test_bad_options_are_named() -> None:
    with pytest.raises(ValueError, match="truncation='fuse' is not one of fusion, rand_trunc"):
        ClapMel(truncation="fuse")
    with pytest.raises(ValueError, match="lower fmax"):
        ClapMel(sample_rate=16_000)
    with pytest.raises(ValueError, match="less than a frame of 400"):
        FRONTS["kaldi"](noise(399))
    with pytest.raises(ValueError, match="1 items for 2 waveforms"):
        FRONTS["clap"](noise(500, 500), items=["a"])
    with pytest.raises(ValueError, match=r"must be 3 within 0\.\.100"):
        FRONTS["clap"](noise(32_000), positions=[(0, 50, 101)])
    with pytest.raises(ValueError, match="length 501 of waveform 0"):
        FRONTS["clap"](noise(500), lengths=[501])


def test_filters_of_unit_area_weigh_white_noise_equally() -> None:
    filters = mel_filters(
        n_fft=4096, n_mels=20, sample_rate=16_000, fmin=0, fmax=8_000, scale="slaney", unit_area=True
    )
    np.testing.assert_allclose(filters.sum(axis=0) * 16_000 / 4096, 1.0, rtol=0.01)

"""YAMNet (Plakal and Ellis, 2020): features and AudioSet's 521 event classes of patches of 0.96 s.

A MobileNet v1 with the batch norms folded into its convolutions. Source: research/audioset/yamnet of
github.com/tensorflow/models, for the network (`yamnet.py`) and for the front end (`features.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.audio.spectrum import Waveforms, hann, mel_filters, waveform_rows
from core.encoders.ast import Encoded, check_folder
from core.encoders.strict import load_strict
from core.train.weight_files import check_weights, read_weights

RATE = 16_000
PATCH, HOP = 96, 48  # frames of 10 ms
WIDTH = 32  # channels of the first layer
# channels as multiples of the first layer's, and the stride
LAYERS = (
    (1, 2), (2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), (16, 1), (16, 1), (16, 1), (16, 1), (16, 1),
    (32, 2), (32, 1),
)  # fmt: skip
_FRAME, _STEP, _FFT, _BANDS, _OFFSET = 400, 160, 512, 64, 0.001


class YamnetError(ValueError):
    """Patches, taps or a checkpoint that do not fit YAMNet."""


class YamnetMel(nn.Module):
    """Waveforms at 16 kHz -> patches: log(magnitude in 64 mel bands of 125 to 7500 Hz + 0.001).

    As in the release, the end is padded with zeros to whole patches, one every `hop` frames: nothing is cut.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, *, hop: int = HOP) -> None:
        super().__init__()
        if not 1 <= hop <= PATCH:
            raise YamnetError(f"hop={hop}: between patches lie 1 to {PATCH} frames")
        self.hop = hop
        filters = mel_filters(
            n_fft=_FFT, n_mels=_BANDS, sample_rate=RATE, fmin=125.0, fmax=7500.0, scale="kaldi"
        )
        self.register_buffer("window", torch.from_numpy(hann(_FRAME)), persistent=False)
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)

    def count(self, samples: int) -> int:
        """How many patches a waveform gives."""
        beyond = samples - _samples(PATCH)
        return 1 + max(0, math.ceil(beyond / (self.hop * _STEP)))

    @torch.no_grad()
    def forward(self, row: Tensor) -> Tensor:
        """One waveform (N,) -> patches (T, 96, 64), float32."""
        count = self.count(len(row))
        padded = F.pad(row.double(), (0, _samples(PATCH + (count - 1) * self.hop) - len(row)))
        framed = padded.unfold(0, _FRAME, _STEP) * self.window
        logs = torch.log(torch.fft.rfft(framed, n=_FFT).abs() @ self.filters + _OFFSET).float()
        return logs.unfold(0, PATCH, self.hop).transpose(1, 2).contiguous()


class Layer(nn.Module):
    """A convolution of 3 by 3 in each channel and one across channels; the first layer is one convolution."""

    def __init__(self, before: int, after: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.first = nn.Conv2d(before, after if before == 1 else before, 3, stride=stride, groups=before)
        self.second = None if before == 1 else nn.Conv2d(before, after, 1)

    def forward(self, states: Tensor) -> Tensor:
        # TensorFlow's "same": of an even length a stride of two takes its extra zero from behind
        ends = [
            side
            for length in (states.shape[3], states.shape[2])
            for side in ((0, 1) if self.stride == 2 and length % 2 == 0 else (1, 1))
        ]
        states = F.relu(self.first(F.pad(states, ends)))
        return states if self.second is None else F.relu(self.second(states))


class Yamnet(nn.Module):
    """Patches (N, 96, 64) -> features of each tap (N, L, D) and logits (N, C), with D = 32 `width` (1024).

    taps: layers from 1 to 14. A layer's map of C' channels is averaged over the patch's time and within
    D / C' bands of its frequencies, so that each has D values; of the last two layers this is YAMNet's own
    embedding, the mean of all. Raises YamnetError for a tap that is no layer.
    """

    def __init__(self, labels: Sequence[str], *, taps: tuple[int, ...], width: int = WIDTH) -> None:
        super().__init__()
        if not taps or any(not 1 <= tap <= len(LAYERS) for tap in taps):
            raise YamnetError(f"taps {taps}: give layers from 1 to {len(LAYERS)}, at least one")
        self.labels, self.taps, self.hidden_size = tuple(labels), taps, 32 * width
        channels = [1, *(times * width for times, _ in LAYERS)]
        self.layers = nn.ModuleList(
            Layer(before, after, stride=stride)
            for before, after, (_, stride) in zip(channels, channels[1:], LAYERS)
        )
        self.classifier = nn.Linear(self.hidden_size, len(self.labels))

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        if patches.ndim != 3 or patches.shape[1:] != (PATCH, _BANDS):
            raise YamnetError(
                f"patches have shape {tuple(patches.shape)}, YAMNet takes (N, {PATCH}, {_BANDS})"
            )
        states, maps = patches[:, None], {}
        for number, layer in enumerate(self.layers, start=1):
            states = layer(states)
            if number in self.taps:
                bands = self.hidden_size // states.shape[1]
                maps[number] = F.adaptive_avg_pool2d(states, (1, bands)).flatten(1)
        return torch.stack([maps[tap] for tap in self.taps], 1), self.classifier(states.mean(dim=(2, 3)))


def load_yamnet(folder: Path, *, taps: tuple[int, ...]) -> Yamnet:
    """YAMNet from config.json (labels) and model.safetensors, in evaluation mode; every key must fit.

    Raises FileNotFoundError where there is none, AstError for another model, WeightsError for other weights.
    """
    check_folder(folder, what="YAMNet", model_type="yamnet")
    check_weights(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model = Yamnet(config["labels"], taps=taps, width=config.get("width", WIDTH))
    state = {name: value.float() for name, value in read_weights(folder / "model.safetensors").items()}
    load_strict(model, state, origin=str(folder))
    return model.eval()


@torch.no_grad()
def hear_patches(
    model: Yamnet,
    waveforms: Waveforms,
    front_end: YamnetMel,
    *,
    items: Sequence[str] | None = None,
    batch_size: int = 256,
) -> Encoded:
    """Waveforms of any length -> features of each tap (B, T, D), a step a patch; mask (B, T); logits (B, C).

    Of each class the logit is the largest over the patches. batch_size: patches at a time.
    """
    rows = waveform_rows(waveforms, None, device=front_end.window.device, items=items)
    patches = [front_end(row) for row in rows]
    counts = [len(part) for part in patches]
    device = model.classifier.weight.device
    parts = [model(part.to(device)) for part in torch.cat(patches).split(batch_size)]
    features = torch.cat([part[0] for part in parts]).split(counts)
    logits = torch.cat([part[1] for part in parts]).split(counts)
    whole = nn.utils.rnn.pad_sequence(list(features), batch_first=True)  # (B, T, L, D)
    mask = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
    best = torch.stack([part.amax(dim=0) for part in logits])
    return Encoded(tuple(whole.unbind(dim=2)), mask.to(device), best)


def _samples(frames: int) -> int:
    """Samples that so many frames cover."""
    return (frames - 1) * _STEP + _FRAME

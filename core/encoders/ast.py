"""Audio Spectrogram Transformer (Gong et al., Interspeech 2021): features of chosen layers, and event tags.

The network is `ASTForAudioClassification` of `transformers`: the published AudioSet checkpoint, or a small
configuration that `core.foundations.tagger` trains.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from core.audio.mel import KaldiFbank
from core.audio.spectrum import Waveforms, name_of, waveform_rows
from core.encoders.strict import complaint_of_loading
from core.run.files import write_json
from core.train.weight_files import check_weights

if TYPE_CHECKING:
    from transformers import ASTForAudioClassification

FRONT_END = "front_end.json"
LongAudio = Literal["window", "refuse"]


class AstError(ValueError):
    """A shape, a tap or a checkpoint that does not fit AST."""


class AudioTooLongError(ValueError):
    """Audio beyond the encoder's window where `long_audio` is "refuse"."""


@dataclass(frozen=True, kw_only=True)
class AstShape:
    """Shape of an AST; the defaults are the published one, without its labels.

    `initializer_range` and `position_std` serve small networks trained from scratch: the weights of
    `transformers` (0.02) are too small for a narrow network to leave its first plateau, and its positions
    start at zero, where the published network starts from those of a vision transformer.
    """

    hidden_size: int = 768
    layers: int = 12
    heads: int = 12
    intermediate_size: int = 3072
    n_mels: int = 128
    max_frames: int = 1024
    patch_size: int = 16
    frequency_stride: int = 10
    time_stride: int = 10
    labels: tuple[str, ...] = ()
    initializer_range: float = 0.02
    position_std: float = 0.0


class AstOutput(NamedTuple):
    """features: of each tap in the order asked for, (B, T', D), in time order; logits: (B, C)."""

    features: tuple[Tensor, ...]
    logits: Tensor


class Encoded(NamedTuple):
    """features: of each tap (B, T', D), windows one after the other; mask: (B, T') bool, True where a token
    holds sound; logits: (B, C), of each label the largest over the windows.
    """

    features: tuple[Tensor, ...]
    mask: Tensor
    logits: Tensor


class AstEncoder(nn.Module):
    """AST with its middle layers in reach: fbank (B, T, F) -> `AstOutput`.

    `taps` are layers counted from 1, such as GAMA's (12, 4, 8). The last layer is read after the final layer
    norm (`last_hidden_state` of `ASTModel`), the others as they are. Class and distillation tokens are left
    out, and the frequency rows of each time step are averaged. Raises AstError for a tap that is no layer.
    """

    def __init__(self, model: ASTForAudioClassification, *, taps: tuple[int, ...]) -> None:
        super().__init__()
        layers = model.config.num_hidden_layers
        if not taps or any(not 1 <= tap <= layers for tap in taps):
            raise AstError(f"taps {taps}: give layers from 1 to {layers}, at least one")
        self.model, self.taps = model, taps

    @property
    def hidden_size(self) -> int:
        """D."""
        return int(self.model.config.hidden_size)

    @property
    def labels(self) -> tuple[str, ...]:
        """The label of each logit."""
        names = self.model.config.id2label
        return tuple(names[place] for place in range(len(names)))

    @property
    def max_frames(self) -> int:
        """Frames of one window."""
        return int(self.model.config.max_length)

    @property
    def time_tokens(self) -> int:
        """T': time steps that a window's features have."""
        config = self.model.config
        return int((config.max_length - config.patch_size) // config.time_stride + 1)

    def forward(self, fbank: Tensor) -> AstOutput:
        """Log filter banks (B, max_frames, n_mels) -> features and logits."""
        config = self.model.config
        if fbank.ndim != 3 or fbank.shape[1:] != (config.max_length, config.num_mel_bins):
            raise AstError(
                f"fbank has shape {tuple(fbank.shape)}, this AST takes (B, {config.max_length}, "
                f"{config.num_mel_bins}): pad or window it (encode_long), or use the front end of its folder"
            )
        output = self.model.audio_spectrogram_transformer(fbank, output_hidden_states=True)
        maps = []
        for tap in self.taps:
            last = tap == config.num_hidden_layers
            states = output.last_hidden_state if last else output.hidden_states[tap]
            # patches lie frequency row by frequency row, after the class and distillation tokens
            maps.append(states[:, 2:].unflatten(1, (-1, self.time_tokens)).mean(dim=1))
        return AstOutput(tuple(maps), self.model.classifier(output.pooler_output))


def make_ast(shape: AstShape, *, seed: int) -> ASTForAudioClassification:
    """An AST with fresh weights, a function of shape and seed. Raises AstError for a shape without labels."""
    if not shape.labels or len(set(shape.labels)) < len(shape.labels):
        raise AstError(f"labels {shape.labels}: name each class once, at least one")
    if min(shape.n_mels, shape.max_frames) < shape.patch_size or shape.hidden_size % shape.heads:
        raise AstError(f"{shape}: a patch must fit the spectrogram, and heads must divide hidden_size")
    from transformers import ASTConfig, ASTForAudioClassification

    config = ASTConfig(
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate_size,
        num_mel_bins=shape.n_mels,
        max_length=shape.max_frames,
        patch_size=shape.patch_size,
        frequency_stride=shape.frequency_stride,
        time_stride=shape.time_stride,
        initializer_range=shape.initializer_range,
        id2label=dict(enumerate(shape.labels)),
        label2id={label: place for place, label in enumerate(shape.labels)},
        attn_implementation="sdpa",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ASTForAudioClassification(config)
        if shape.position_std > 0:
            nn.init.normal_(
                model.audio_spectrogram_transformer.embeddings.position_embeddings, std=shape.position_std
            )
    return model.eval()


def load_ast(folder: Path, *, taps: tuple[int, ...]) -> AstEncoder:
    """AST from a folder in the layout of the Hub, in evaluation mode; nothing is fetched.

    Every key must fit, the classifier's too, since tags are its logits. Raises FileNotFoundError where there
    is none, AstError for another model or weights that do not fit.
    """
    check_folder(folder, what="AST", model_type="audio-spectrogram-transformer")
    from transformers import ASTForAudioClassification

    check_weights(folder)
    model, info = ASTForAudioClassification.from_pretrained(
        folder,
        local_files_only=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # so that they are told
        attn_implementation="sdpa",
        dtype=torch.float32,  # weights may be stored in half precision
    )
    if (what := complaint_of_loading(info, origin=str(folder))) is not None:
        raise AstError(what)
    return AstEncoder(model, taps=taps).eval()


def check_folder(folder: Path, *, what: str, model_type: str) -> None:
    """Raise FileNotFoundError or AstError unless `folder` holds a configuration of that type, and weights."""
    config = folder / "config.json"
    weights = [*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")]
    if not config.is_file() or not weights:
        raise FileNotFoundError(
            f"no {what} in {folder}: it needs config.json and model.safetensors; run the stage that makes "
            "this foundation, or put the checkpoint there"
        )
    found = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    if found != model_type:
        raise AstError(f"{folder} holds a model of type {found!r}, not {model_type!r}")


def write_front_end(folder: Path, options: Mapping[str, Any]) -> None:
    """Write front_end.json: the arguments of the front end that the weights in `folder` were trained with."""
    write_json(folder / FRONT_END, dict(options))


def read_fbank(folder: Path) -> KaldiFbank:
    """The front end of the AST in `folder`: from front_end.json, or of a checkpoint of the Hub from its
    preprocessor_config.json. Raises FileNotFoundError where there is neither, AstError for unknown keys.
    """
    own, hub = folder / FRONT_END, folder / "preprocessor_config.json"
    if own.is_file():
        options = json.loads(own.read_text(encoding="utf-8"))
        if strange := set(options) - set(inspect.signature(KaldiFbank).parameters):
            raise AstError(f"{own}: KaldiFbank has no option {', '.join(sorted(strange))}")
        return KaldiFbank(**options)
    if not hub.is_file():
        raise FileNotFoundError(f"{folder} has neither {FRONT_END} nor preprocessor_config.json")
    given = json.loads(hub.read_text(encoding="utf-8"))
    names = {
        "sampling_rate": "sample_rate",
        "num_mel_bins": "n_mels",
        "max_length": "max_frames",
        "mean": "mean",
        "std": "std",
        "do_normalize": "normalize",
    }
    return KaldiFbank(**{own: given[theirs] for theirs, own in names.items() if theirs in given})


@torch.no_grad()
def encode_long(
    encoder: AstEncoder,
    waveforms: Waveforms,
    front_end: KaldiFbank,
    *,
    long_audio: LongAudio = "window",
    lengths: Sequence[int] | None = None,
    items: Sequence[str] | None = None,
    batch_size: int = 32,
) -> Encoded:
    """Waveforms of any length -> `Encoded`. Nothing is cut: longer audio is windowed, or refused.

    Windows follow each other so that their tokens lie on one even grid of `time_stride` frames. Shorter audio
    is zero-padded, and its mask says which tokens begin within it. `items` names the clips in errors.
    Raises AudioTooLongError, and AstError when the front end is not of this encoder.
    """
    config = encoder.model.config
    if front_end.max_frames != encoder.max_frames:
        raise AstError(
            f"the front end gives {front_end.max_frames} frames, the encoder takes {encoder.max_frames}"
        )
    power = front_end.power
    device = power.window.device
    fit = (encoder.max_frames - 1) * power.hop + len(power.window)  # samples of a window
    step = encoder.time_tokens * config.time_stride * power.hop  # from one window to the next
    rows = waveform_rows(waveforms, lengths, device=device, items=items)
    windows: list[Tensor] = []
    counts: list[int] = []
    for place, row in enumerate(rows):
        frames = power.frames(len(row))
        if frames > encoder.max_frames and long_audio == "refuse":
            raise AudioTooLongError(
                f"{name_of(items, place)}: {len(row)} samples, the encoder's window holds {fit}; shorten it, "
                'or window it (long_audio="window")'
            )
        beyond = frames - encoder.max_frames
        counts.append(1 + max(0, math.ceil(beyond / (encoder.time_tokens * config.time_stride))))
        windows += [row[first : first + fit] for first in range(0, counts[-1] * step, step)]
    parts = [
        encoder(front_end(windows[first : first + batch_size]).to(_device(encoder)))
        for first in range(0, len(windows), batch_size)
    ]
    logits = torch.cat([part.logits for part in parts])
    longest = max(counts) * encoder.time_tokens
    ends = torch.tensor(counts).cumsum(0).tolist()
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for place, row in enumerate(rows):
        tokens = math.ceil(max(power.frames(len(row)), 1) / config.time_stride)
        mask[place, : min(tokens, counts[place] * encoder.time_tokens)] = True
    features = []
    for tap in range(len(encoder.taps)):
        stream = torch.cat([part.features[tap] for part in parts])
        whole = stream.new_zeros(len(rows), longest, encoder.hidden_size)
        for place, (count, end) in enumerate(zip(counts, ends)):
            whole[place, : count * encoder.time_tokens] = stream[end - count : end].flatten(0, 1)
        features.append(whole)
    best = torch.stack([logits[end - count : end].amax(dim=0) for count, end in zip(counts, ends)])
    return Encoded(tuple(features), mask.to(best.device), best)


def tags(
    logits: Tensor, labels: Sequence[str], *, threshold: float = 0.5, limit: int | None = None
) -> list[list[str]]:
    """Event tags of each clip from its logits (B, C): labels whose probability reaches `threshold`, the most
    probable first, at most `limit`. A clip may have none.
    """
    if logits.ndim != 2 or logits.shape[1] != len(labels):
        raise AstError(f"logits of shape {tuple(logits.shape)} for {len(labels)} labels")
    probabilities = logits.detach().float().sigmoid().cpu()
    order = probabilities.argsort(dim=1, descending=True, stable=True)
    return [
        [labels[place] for place in ranked[:limit] if row[place] >= threshold]
        for row, ranked in zip(probabilities.tolist(), order.tolist())
    ]


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device

"""Features of a Whisper encoder (Radford et al., ICML 2023): frames of a window of audio, thinned by a mean.

The network is `WhisperEncoder` of `transformers`: that of a published checkpoint, or a small one that
`core.foundations.listener` trains.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from core.audio.mel import WhisperMel
from core.audio.spectrum import Waveforms, name_of, waveform_rows
from core.encoders.ast import FRONT_END, AudioTooLongError, LongAudio, check_folder
from core.encoders.strict import complaint_of_loading
from core.train.weight_files import check_weights

if TYPE_CHECKING:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

STRIDE = 2  # mel frames a step of the encoder: of its second convolution


class WhisperError(ValueError):
    """A shape, a pooling or a checkpoint that does not fit Whisper's encoder."""


@dataclass(frozen=True, kw_only=True)
class WhisperShape:
    """Shape of a Whisper encoder; the defaults are large-v2's. `max_frames`: mel frames of a window.

    `initializer_range` is for small networks trained from scratch (0.02 is the published one).
    """

    hidden_size: int = 1280
    layers: int = 32
    heads: int = 20
    intermediate_size: int = 5120
    n_mels: int = 80
    max_frames: int = 3000
    initializer_range: float = 0.02


class Heard(NamedTuple):
    """features: (B, T', D), windows one after the other; mask: (B, T') bool, True where there is sound."""

    features: Tensor
    mask: Tensor


class WhisperFeatures(nn.Module):
    """Mels (B, F, T) as `WhisperMel` gives them -> (B, T / 2 / pool, D): the encoder's last hidden states,
    each the mean of `pool` neighbours. Raises WhisperError when `pool` does not divide the window.
    """

    def __init__(self, encoder: WhisperEncoder, *, pool: int = 1) -> None:
        super().__init__()
        positions = int(encoder.config.max_source_positions)
        if pool < 1 or positions % pool:
            raise WhisperError(f"pool={pool} must divide the encoder's {positions} steps")
        self.encoder, self.pool = encoder, pool

    @property
    def hidden_size(self) -> int:
        """D."""
        return int(self.encoder.config.d_model)

    @property
    def max_frames(self) -> int:
        """Mel frames of one window."""
        return int(self.encoder.config.max_source_positions) * STRIDE

    @property
    def time_tokens(self) -> int:
        """T': steps that a window's features have."""
        return int(self.encoder.config.max_source_positions) // self.pool

    def forward(self, mels: Tensor) -> Tensor:
        """Log-mels (B, n_mels, max_frames) -> features (B, time_tokens, D)."""
        wanted = (self.encoder.config.num_mel_bins, self.max_frames)
        if mels.ndim != 3 or tuple(mels.shape[1:]) != wanted:
            raise WhisperError(
                f"mels have shape {tuple(mels.shape)}, this encoder takes (B, {wanted[0]}, {wanted[1]}), "
                "bands before frames: use the front end of its folder"
            )
        states = self.encoder(mels).last_hidden_state
        return states if self.pool == 1 else states.unflatten(1, (-1, self.pool)).mean(dim=2)


def make_whisper(shape: WhisperShape, *, seed: int) -> WhisperEncoder:
    """A Whisper encoder with fresh weights, a function of shape and seed."""
    if shape.max_frames % STRIDE or shape.hidden_size % shape.heads:
        raise WhisperError(f"{shape}: max_frames must be even, and heads must divide hidden_size")
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = WhisperConfig(
        d_model=shape.hidden_size,
        encoder_layers=shape.layers,
        encoder_attention_heads=shape.heads,
        encoder_ffn_dim=shape.intermediate_size,
        num_mel_bins=shape.n_mels,
        max_source_positions=shape.max_frames // STRIDE,
        init_std=shape.initializer_range,
        attn_implementation="sdpa",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = WhisperEncoder(config)
    return encoder.eval()


def load_whisper(folder: Path, *, pool: int = 1) -> WhisperFeatures:
    """The encoder of a Whisper from a folder in the Hub's layout, in evaluation mode; nothing is fetched.

    A whole Whisper gives its encoder; its decoder and output layer are left out, and no other key. Raises
    FileNotFoundError where there is none, AstError for another model, WhisperError for weights that do not
    fit.
    """
    check_folder(folder, what="Whisper", model_type="whisper")
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    class _EncoderAlone(WhisperEncoder):
        # all that a whole Whisper holds besides
        _keys_to_ignore_on_load_unexpected = (r"^(model\.)?decoder\.", r"^proj_out\.")

    check_weights(folder)
    encoder, info = _EncoderAlone.from_pretrained(
        folder,
        local_files_only=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # so that they are told
        attn_implementation="sdpa",
        key_mapping={r"^(model\.)?encoder\.": ""},
        dtype=torch.float32,  # weights may be stored in half precision
    )
    if (what := complaint_of_loading(info, origin=str(folder))) is not None:
        raise WhisperError(what)
    return WhisperFeatures(encoder, pool=pool).eval()


def read_whisper_mel(folder: Path) -> WhisperMel:
    """The front end of the Whisper in `folder`: from front_end.json, or of a checkpoint of the Hub from its
    preprocessor_config.json. Raises FileNotFoundError where there is neither, WhisperError for unknown keys.
    """
    own, hub = folder / FRONT_END, folder / "preprocessor_config.json"
    if own.is_file():
        options = json.loads(own.read_text(encoding="utf-8"))
        if strange := set(options) - set(inspect.signature(WhisperMel).parameters):
            raise WhisperError(f"{own}: WhisperMel has no option {', '.join(sorted(strange))}")
        return WhisperMel(**options)
    if not hub.is_file():
        raise FileNotFoundError(f"{folder} has neither {FRONT_END} nor preprocessor_config.json")
    given = json.loads(hub.read_text(encoding="utf-8"))
    names = {
        "sampling_rate": "sample_rate",
        "feature_size": "n_mels",
        "n_fft": "n_fft",
        "hop_length": "hop",
        "chunk_length": "max_seconds",
    }
    return WhisperMel(**{ours: given[theirs] for theirs, ours in names.items() if theirs in given})


@torch.no_grad()
def hear_long(
    listener: WhisperFeatures,
    waveforms: Waveforms,
    front_end: WhisperMel,
    *,
    long_audio: LongAudio = "window",
    lengths: Sequence[int] | None = None,
    items: Sequence[str] | None = None,
    batch_size: int = 32,
) -> Heard:
    """Waveforms of any length -> `Heard`. Nothing is cut: longer audio is windowed end to end, or refused.

    A rest shorter than one step of the features after the last whole window is padded like any other. `items`
    names the clips in errors. Raises AudioTooLongError, and WhisperError for another front end.
    """
    fit, hop = front_end.max_samples, front_end.power.hop
    if fit is None or fit // hop != listener.max_frames:
        raise WhisperError(
            f"the front end gives {None if fit is None else fit // hop} frames, the encoder takes "
            f"{listener.max_frames}"
        )
    rows = waveform_rows(waveforms, lengths, device=front_end.power.window.device, items=items)
    windows: list[Tensor] = []
    counts = [max(1, math.ceil(len(row) / fit)) for row in rows]
    for place, (row, count) in enumerate(zip(rows, counts)):
        if count > 1 and long_audio == "refuse":
            raise AudioTooLongError(
                f"{name_of(items, place)}: {len(row)} samples, the encoder's window holds {fit}; shorten it, "
                'or window it (long_audio="window")'
            )
        windows += [row[first * fit : (first + 1) * fit] for first in range(count)]
    device = next(listener.parameters()).device
    stream = torch.cat(
        [
            listener(front_end(windows[first : first + batch_size]).to(device))
            for first in range(0, len(windows), batch_size)
        ]
    )
    longest = max(counts) * listener.time_tokens
    features = stream.new_zeros(len(rows), longest, listener.hidden_size)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    end = 0
    for place, (row, count) in enumerate(zip(rows, counts)):
        features[place, : count * listener.time_tokens] = stream[end : end + count].flatten(0, 1)
        mask[place, : max(1, math.ceil(len(row) / (hop * STRIDE * listener.pool)))] = True
        end += count
    return Heard(features, mask.to(features.device))

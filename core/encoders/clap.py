"""Contrastive language-audio pretraining: an HTS-AT audio tower, a text tower, two heads, one temperature.

The towers are the classes of `transformers`: `ClapAudioModel` (HTS-AT) and `T5EncoderModel` (CompA uses
Flan-T5-large) or `ClapTextModel` (RoBERTa, LAION-CLAP). Small configurations of the same classes are what
the embedded profile trains.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from core.encoders.fusion import make_fusion_trainable

if TYPE_CHECKING:
    from transformers import ClapAudioConfig, ClapAudioModel, ClapTextModel, T5EncoderModel

Pooling = Literal["padded", "valid", "pooler"]


@dataclass(frozen=True, kw_only=True)
class AudioTower:
    """Shape of HTS-AT. The defaults are HTS-AT tiny with fusion, as CompA uses it.

    `position_std` > 0 adds a learned absolute position to every patch, drawn at that scale. HTS-AT has only
    relative positions inside its windows, starting at 0: enough when an AudioSet checkpoint is continued, but
    a small tower trained from scratch then stays on the saddle of a bag of sounds. 0 is HTS-AT as published.
    `initializer_factor` scales the initialisation of `transformers`, whose weights are too small for a tower
    this narrow to leave its first plateau; `patch_norm` False keeps the level of a patch, which the layer
    norm after the patch embedding takes away.
    """

    num_mel_bins: int = 64
    spec_size: int = 256
    patch_size: int = 4
    patch_stride: tuple[int, ...] = (4, 4)
    patch_embeds_hidden_size: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_attention_heads: tuple[int, ...] = (4, 8, 16, 32)
    window_size: int = 8
    enable_fusion: bool = True
    drop_path_rate: float = 0.0
    position_std: float = 0.0
    initializer_factor: float = 1.0
    patch_norm: bool = True

    @property
    def width(self) -> int:
        """Width of the pooled output: the patch width doubled at every merge."""
        return int(self.patch_embeds_hidden_size * 2 ** (len(self.depths) - 1))


@dataclass(frozen=True, kw_only=True)
class TextTower:
    """Shape of a T5 encoder. The defaults are Flan-T5-large.

    `position_std` > 0 adds a learned absolute position to every token, as above; 0 is T5 as published.
    """

    vocab_size: int = 32128
    d_model: int = 1024
    d_kv: int = 64
    d_ff: int = 2816
    num_layers: int = 24
    num_heads: int = 16
    max_tokens: int = 77
    dropout_rate: float = 0.1
    position_std: float = 0.0


class Clap(nn.Module):
    """Two towers with two-layer heads into one joint space; cosine similarity over a learned temperature.

    Args:
        audio: HTS-AT tower; its pooled output is (B, audio_width).
        text: T5 encoder (mean of token states) or RoBERTa of LAION-CLAP (its pooler).
        joint_dim: D, width of the joint space.
        pooling: `padded` means over all positions, padding included (CompA's release), `valid` over real
            tokens, `pooler` takes the text model's own pooled output.
        temperature: sigma at the start; log(1/sigma) is learned and clamped to [0, ln 100].
        text_positions: (L, d_model), added to the token embeddings (a T5 tower trained from scratch).
    """

    def __init__(
        self,
        audio: ClapAudioModel,
        text: T5EncoderModel | ClapTextModel,
        *,
        joint_dim: int = 512,
        pooling: Pooling = "padded",
        temperature: float = 0.07,
        text_positions: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.audio = audio
        self.text = text
        self.pooling = pooling
        self.text_positions = None if text_positions is None else nn.Parameter(text_positions)
        audio_width = int(audio.config.patch_embeds_hidden_size * 2 ** (len(audio.config.depths) - 1))
        text_width = text.config.d_model if text.config.model_type == "t5" else text.config.hidden_size
        self.audio_head = _head(audio_width, joint_dim)
        self.text_head = _head(text_width, joint_dim)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))

    @property
    def logit_scale(self) -> Tensor:
        """1/sigma, between 1 and 100."""
        # Past a limit the value is clamped but its gradient is not, or the temperature could never come back.
        clamped = self.log_scale.detach().clamp(0.0, math.log(100.0))
        return (self.log_scale + (clamped - self.log_scale.detach())).exp()

    def embed_audio(self, features: Tensor, is_longer: Tensor | None = None) -> Tensor:
        """Audio embeddings (B, D), not normalised, of log-mel features (B, 1 or 4, T, F).

        `is_longer` (B, 1) marks clips beyond the window; only a tower with fusion reads it.
        """
        if self.audio.config.enable_fusion and is_longer is None:
            is_longer = torch.zeros(len(features), 1, dtype=torch.bool, device=features.device)
        pooled = self.audio(input_features=features, is_longer=is_longer).pooler_output
        return self.audio_head(pooled)

    def embed_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Text embeddings (B, D), not normalised, of tokens (B, L) and their mask (B, L)."""
        if self.text_positions is None:
            output = self.text(input_ids=input_ids, attention_mask=attention_mask)
        else:
            if input_ids.shape[1] > len(self.text_positions):
                raise ValueError(
                    f"{input_ids.shape[1]} tokens, but this tower has {len(self.text_positions)} positions: "
                    "truncate the texts, or build it with more max_tokens"
                )
            tokens = self.text.get_input_embeddings()(input_ids) + self.text_positions[: input_ids.shape[1]]
            output = self.text(inputs_embeds=tokens, attention_mask=attention_mask)
        if self.pooling == "pooler":
            return self.text_head(output.pooler_output)
        states = output.last_hidden_state
        if self.pooling == "padded":
            return self.text_head(states.mean(dim=1))
        weights = attention_mask.unsqueeze(-1).to(states.dtype)
        return self.text_head((states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0))

    def forward(
        self, features: Tensor, input_ids: Tensor, attention_mask: Tensor, is_longer: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Audio embeddings (B, D), text embeddings (N, D) and 1/sigma; both towers in one call, for DDP."""
        return (
            self.embed_audio(features, is_longer),
            self.embed_text(input_ids, attention_mask),
            self.logit_scale,
        )


def build_clap(
    *,
    audio: AudioTower,
    text: TextTower,
    joint_dim: int = 512,
    pooling: Pooling = "padded",
    temperature: float = 0.07,
) -> Clap:
    """A `Clap` with fresh weights (draw them under `torch.manual_seed`, or build it on the meta device).

    Raises:
        ValueError: the tower's spectrogram does not divide into its patches and windows.
    """
    grid = audio.spec_size // audio.patch_stride[0]
    if audio.spec_size % audio.num_mel_bins or grid % 2 ** (len(audio.depths) - 1):
        raise ValueError(
            f"AudioTower: spec_size {audio.spec_size} must be a multiple of num_mel_bins "
            f"{audio.num_mel_bins} and its grid of {grid} patches must halve {len(audio.depths) - 1} times; "
            "change spec_size or depths."
        )
    from transformers import ClapAudioModel, T5Config, T5EncoderModel

    audio_model = make_fusion_trainable(ClapAudioModel(audio_config(audio)))
    text_fields = {k: v for k, v in asdict(text).items() if k not in ("max_tokens", "position_std")}
    text_model = T5EncoderModel(
        T5Config(**text_fields, feed_forward_proj="gated-gelu", is_encoder_decoder=False, use_cache=False)
    )
    positions = None
    if text.position_std > 0:
        positions = torch.randn(text.max_tokens, text.d_model) * text.position_std
    if audio.position_std > 0:
        encoder = audio_model.audio_encoder
        encoder.patch_embed = PositionedPatches(encoder.patch_embed, std=audio.position_std)
    return Clap(
        audio_model,
        text_model,
        joint_dim=joint_dim,
        pooling=pooling,
        temperature=temperature,
        text_positions=positions,
    )


class PositionedPatches(nn.Module):
    """HTS-AT's patch embedding plus a learned absolute position per patch: (B, C, H, W) -> (B, N, D)."""

    def __init__(self, patches: Any, *, std: float) -> None:
        super().__init__()
        self.patches = patches
        self.patch_stride = patches.patch_stride  # read by the encoder that this stands in for
        width = patches.proj.out_channels
        self.positions = nn.Parameter(torch.randn(1, patches.num_patches, width) * std)

    def forward(self, spectrogram: Tensor, is_longer_index: Tensor | None = None) -> Tensor:
        return self.patches(spectrogram, is_longer_index) + self.positions


def audio_config(tower: AudioTower) -> ClapAudioConfig:
    """The configuration of `transformers` for a tower of this shape."""
    fields = {k: v for k, v in asdict(tower).items() if k not in ("position_std", "patch_norm")}
    fields |= {k: list(fields[k]) for k in ("patch_stride", "depths", "num_attention_heads")}
    from transformers import ClapAudioConfig

    return ClapAudioConfig(
        **fields,
        hidden_size=tower.width,
        num_hidden_layers=len(tower.depths),
        enable_patch_layer_norm=tower.patch_norm,
        fusion_type="aff_2d" if tower.enable_fusion else None,
        enable_patch_fusion=tower.enable_fusion,
    )


def _head(width: int, joint_dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, joint_dim), nn.ReLU(), nn.Linear(joint_dim, joint_dim))

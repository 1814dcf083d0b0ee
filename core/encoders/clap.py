"""Contrastive language-audio pretraining: an HTS-AT audio tower, a text tower, two heads, one temperature.

The towers are the classes of `transformers`: `ClapAudioModel` (HTS-AT) and `T5EncoderModel` (CompA uses
Flan-T5-large) or `ClapTextModel` (RoBERTa, LAION-CLAP). Small configurations of the same classes are what
the embedded profile trains.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import ClapAudioConfig, ClapAudioModel, ClapConfig, ClapTextModel, T5Config, T5EncoderModel

from core.train.weight_files import WeightFileError, read_weights

Pooling = Literal["padded", "valid", "pooler"]

BUFFERS = (".position_ids", ".relative_position_index", ".token_type_ids")  # rebuilt by the classes
FUSION = ("audio_encoder.patch_embed.fusion_model.", "audio_encoder.patch_embed.mel_conv2d.")


class WeightsError(ValueError):
    """A checkpoint does not fit the model; the message lists the keys."""


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
        text_width = text.config.d_model if isinstance(text, T5EncoderModel) else text.config.hidden_size
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
    audio_model = ClapAudioModel(_audio_config(audio))
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


def load_laion(folder: Path) -> Clap:
    """LAION-CLAP (`laion/clap-htsat-fused` or `-unfused`) from a folder in the layout of the Hub.

    Every key must fit; `transformers`' `ClapModel` and this class give the same embeddings (tested).

    Raises:
        FileNotFoundError: no `config.json` or weights in `folder`.
        WeightsError: keys are missing or left over, or the heads are not LAION-CLAP's.
    """
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"No LAION-CLAP in {folder}: put config.json and model.safetensors of the Hub there."
        )
    config = ClapConfig(**json.loads((folder / "config.json").read_text()))
    if config.projection_hidden_act != "relu":
        raise WeightsError(
            f"{folder}: heads with {config.projection_hidden_act!r}; those of LAION-CLAP have 'relu'."
        )
    model = Clap(
        ClapAudioModel(config.audio_config),
        ClapTextModel(config.text_config),
        joint_dim=config.projection_dim,
        pooling="pooler",
    )
    load_strict(model, laion_state(_read_weights(folder)), origin=str(folder))
    return model


def load_t5(model: Clap, folder: Path) -> None:
    """Put the encoder of a T5 checkpoint (`google/flan-t5-large`) into the text tower, strictly."""
    weights = _read_weights(folder)
    encoder = {k: v for k, v in weights.items() if k.startswith("encoder.") or k == "shared.weight"}
    tied = ("shared.weight", "encoder.embed_tokens.weight")  # one matrix, stored under either name
    for name, other in (tied, tied[::-1]):
        if other in encoder:
            encoder.setdefault(name, encoder[other])
    load_strict(model.text, encoder, origin=str(folder))


def load_htsat(model: Clap, checkpoint: Path) -> None:
    """Put HTS-AT's AudioSet checkpoint (the original `.ckpt`) into the audio tower.

    Only the fusion layers, which that checkpoint lacks, keep their fresh weights.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: keys are missing or left over, or the file holds no weights. Other objects in it (the
            training's callbacks) are not opened.
    """
    if not checkpoint.is_file():
        raise FileNotFoundError(f"No HTS-AT checkpoint at {checkpoint}: put the original .ckpt there.")
    try:
        state = htsat_state(read_weights(checkpoint))
    except WeightFileError as error:
        raise WeightsError(str(error)) from error
    load_strict(model.audio, state, origin=str(checkpoint), fresh=FUSION)


def laion_state(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keys of `ClapModel` renamed to those of `Clap`."""
    renamed = {
        "audio_model.": "audio.",
        "text_model.": "text.",
        "audio_projection.linear1.": "audio_head.0.",
        "audio_projection.linear2.": "audio_head.2.",
        "text_projection.linear1.": "text_head.0.",
        "text_projection.linear2.": "text_head.2.",
    }
    state: dict[str, Tensor] = {}
    for key, value in weights.items():
        if key == "logit_scale_a":
            state["log_scale"] = value
        # The second temperature serves LAION's unused `mlp_loss`; index buffers are rebuilt by the classes.
        elif key != "logit_scale_t" and not key.endswith(BUFFERS):
            prefix = next((p for p in renamed if key.startswith(p)), "")
            state[renamed.get(prefix, "") + key.removeprefix(prefix)] = value
    return state


def htsat_state(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keys of the original HTS-AT (one `qkv` matrix, short names) renamed to those of `ClapAudioModel`."""
    names = [
        (".attn.proj.", ".attention.output.dense."),
        (".attn.", ".attention.self."),
        (".mlp.fc1.", ".intermediate.dense."),
        (".mlp.fc2.", ".output.dense."),
        (".norm1.", ".layernorm_before."),
        (".norm2.", ".layernorm_after."),
    ]
    ignored = ("spectrogram_extractor.", "logmel_extractor.", "tscam_conv.", "head.")  # front end, classifier
    state: dict[str, Tensor] = {}
    for original, value in weights.items():
        key = original.removeprefix("sed_model.")
        if key.startswith(ignored) or key.endswith((".attn_mask", *BUFFERS)):
            continue
        if key.startswith("bn0."):
            key = "batch_norm." + key.removeprefix("bn0.")
        for old, new in names:
            key = key.replace(old, new)
        key = "audio_encoder." + key
        if ".qkv." in key:
            for name, part in zip(("query", "key", "value"), value.chunk(3), strict=True):
                state[key.replace(".qkv.", f".{name}.")] = part
        else:
            state[key] = value
    return state


def load_strict(
    model: nn.Module, state: Mapping[str, Tensor], *, origin: str, fresh: tuple[str, ...] = ()
) -> None:
    """Load weights where every key and shape must fit, apart from index buffers that the classes rebuild.

    `fresh`: beginnings of keys that may be missing and then keep their weights. On error nothing is loaded.
    Raises WeightsError.
    """
    own = model.state_dict()
    missing = [k for k in own if k not in state and not k.endswith(BUFFERS) and not k.startswith(fresh)]
    left_over = [k for k in state if k not in own and not k.endswith(BUFFERS)]
    if missing or left_over:
        raise WeightsError(_key_report(origin, missing, left_over))
    known = {k: v for k, v in state.items() if k in own and not k.endswith(BUFFERS)}
    if wrong := [f"{k} {list(v.shape)}" for k, v in known.items() if v.shape != own[k].shape]:
        raise WeightsError(_key_report(origin, [], [], wrong))
    model.load_state_dict(known, strict=False)


def _audio_config(tower: AudioTower) -> ClapAudioConfig:
    fields = {k: v for k, v in asdict(tower).items() if k not in ("position_std", "patch_norm")}
    fields |= {k: list(fields[k]) for k in ("patch_stride", "depths", "num_attention_heads")}
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


def _read_weights(folder: Path) -> dict[str, Tensor]:
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return read_weights(folder / name)
    raise FileNotFoundError(f"No weights in {folder}: put model.safetensors or pytorch_model.bin there.")


def _key_report(origin: str, missing: list[str], left_over: list[str], wrong: list[str] | None = None) -> str:
    def first(keys: list[str]) -> str:
        return f"{len(keys)}" + (
            f" ({', '.join(keys[:5])}{', ...' if len(keys) > 5 else ''})" if keys else ""
        )

    return (
        f"The weights of {origin} do not fit this model: keys missing {first(missing)}, "
        f"left over {first(left_over)}, of another shape {first(wrong or [])}. "
        "Check that the checkpoint is the one its card names and that the configuration is its own."
    )

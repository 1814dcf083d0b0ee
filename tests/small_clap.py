"""A small CLAP for tests: shapes, inputs, weights under the names of others."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import ClapAudioModel, ClapConfig, ClapModel

from core.encoders.clap import AudioTower, TextTower

AUDIO = AudioTower(
    num_mel_bins=16,
    spec_size=32,
    patch_embeds_hidden_size=8,
    depths=(2, 2),
    num_attention_heads=(2, 4),
    window_size=4,
)
TEXT = TextTower(vocab_size=40, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, max_tokens=12)
FRAMES = 60  # of the 64 that fill the image: HTS-AT stretches the rest


def perturb(model: nn.Module) -> None:
    """Give every weight and statistic a value of its own: fresh biases, norms and tables are 0 or 1."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                noise = 0.1 * torch.randn_like(value)
                value.add_(noise.abs() if name.endswith("running_var") else noise)


def mels(batch: int, *, fusion: bool) -> Tensor:
    return torch.randn(batch, 4 if fusion else 1, FRAMES, 16)


def tokens() -> tuple[Tensor, Tensor]:
    """Three texts of 7, 4 and 1 tokens, and their mask; 1 is RoBERTa's padding."""
    ids, mask = torch.randint(2, 40, (3, 7)), torch.ones(3, 7, dtype=torch.long)
    for row, length in enumerate((7, 4, 1)):
        ids[row, length:], mask[row, length:] = 1, 0
    return ids, mask


def original_htsat(model: ClapAudioModel, *, fusion: bool = False) -> dict[str, Tensor]:
    """The weights of `model` under the names of HTS-AT's own code, with all else that such a file holds.

    fusion: with the fusion layers, which AudioSet's checkpoint lacks.
    """
    short = [
        (".attention.output.dense.", ".attn.proj."),
        (".attention.self.", ".attn."),
        (".intermediate.dense.", ".mlp.fc1."),
        (".output.dense.", ".mlp.fc2."),
        (".layernorm_before.", ".norm1."),
        (".layernorm_after.", ".norm2."),
    ]
    state: dict[str, Tensor] = {}
    weights = model.state_dict()
    for full, value in weights.items():
        key = full.removeprefix("audio_encoder.").replace("batch_norm.", "bn0.")
        if not fusion and ("fusion_model" in key or "mel_conv2d" in key):
            continue
        for name, old in short:
            key = key.replace(name, old)
        if ".attn.query." in key:
            parts = [weights[full.replace(".query.", f".{part}.")] for part in ("query", "key", "value")]
            state[key.replace(".query.", ".qkv.")] = torch.cat(parts)
        elif ".attn.key." not in key and ".attn.value." not in key:
            state[key] = value
    state |= {
        "spectrogram_extractor.stft.conv_real.weight": torch.zeros(9, 1, 16),
        "logmel_extractor.melW": torch.zeros(9, 16),
        "layers.0.blocks.1.attn_mask": torch.zeros(4, 16, 16),
        "tscam_conv.weight": torch.zeros(5, 16, 2, 3),
        "head.weight": torch.zeros(5, 5),
        "head.bias": torch.zeros(5),
    }
    return {f"sed_model.{key}": value for key, value in state.items()}


def released(folder: Path, *, fusion: bool, extra: dict[str, Tensor] | None = None) -> ClapModel:
    """A small LAION-CLAP, and beside it the file that LAION's own code would have written of it."""
    text = {"vocab_size": 40, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1}
    text |= {"intermediate_size": 24, "max_position_embeddings": 20}
    audio: dict[str, object] = {"spec_size": 256, "num_mel_bins": 64, "patch_embeds_hidden_size": 8}
    audio |= {"hidden_size": 64, "depths": [2, 1, 2, 1], "num_attention_heads": [1, 2, 2, 4]}
    audio |= {
        "enable_fusion": fusion,
        "fusion_type": "aff_2d" if fusion else None,
        "enable_patch_layer_norm": True,
    }
    config = ClapConfig(text_config=text | {"layer_norm_eps": 1e-5}, audio_config=audio, projection_dim=12)
    model = ClapModel(config).eval()
    perturb(model)
    weights = model.state_dict()
    state = {
        f"audio_branch.{key.removeprefix('sed_model.')}": value
        for key, value in original_htsat(model.audio_model, fusion=True).items()
    }
    for key, value in weights.items():
        if key.startswith("text_model."):
            state[key.replace("text_model.", "text_branch.")] = value
        elif "_projection." in key:
            state[key.replace("linear1", "0").replace("linear2", "2")] = value
    state["text_branch.embeddings.position_ids"] = torch.arange(20)[None]
    state |= {"logit_scale_a": weights["logit_scale_a"], "logit_scale_t": torch.tensor(3.0)}
    for unused in ("audio_transform", "text_transform"):
        state |= {f"{unused}.sequential.{place}.weight": torch.zeros(12, 12) for place in (0, 3)}
    state = {f"module.{key}": value for key, value in (state | (extra or {})).items()}
    torch.save(
        {"epoch": 4, "name": "x", "state_dict": state, "scaler": {nn.Linear: folder}}, folder / "best.pt"
    )
    return model

"""Whisper from CTranslate2's file to the names and settings of `transformers`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.run.files import write_json
from shared_data.wheels.files import FormatError, save
from shared_data.wheels.read_ctranslate2 import read_ctranslate2


def write_whisper(source: Path, *, folder: Path) -> None:
    """Encoder and decoder; projections that CTranslate2 joins are taken apart. Raises FormatError."""
    arrays = read_ctranslate2(source, spec="WhisperSpec")
    state: dict[str, np.ndarray] = {}

    def copy(theirs: str, ours: str) -> None:
        for ending in ("weight", "bias"):
            state[f"{ours}.{ending}"] = arrays[f"{theirs}/{ending}"]

    def norm(theirs: str, ours: str) -> None:
        state[f"{ours}.weight"], state[f"{ours}.bias"] = arrays[f"{theirs}/gamma"], arrays[f"{theirs}/beta"]

    def joined(theirs: str, ours: str, *parts: str) -> None:
        weights = np.split(arrays[f"{theirs}/weight"], len(parts))
        offsets = np.split(arrays[f"{theirs}/bias"], len(parts))
        for part, weight, offset in zip(parts, weights, offsets):
            state[f"{ours}.{part}_proj.weight"] = weight
            if part != "k":  # Whisper's keys have no bias, CTranslate2 writes zeros
                state[f"{ours}.{part}_proj.bias"] = offset

    def layer(theirs: str, ours: str, *, crossed: bool) -> None:
        norm(f"{theirs}/self_attention/layer_norm", f"{ours}.self_attn_layer_norm")
        joined(f"{theirs}/self_attention/linear_0", f"{ours}.self_attn", "q", "k", "v")
        copy(f"{theirs}/self_attention/linear_1", f"{ours}.self_attn.out_proj")
        if crossed:
            norm(f"{theirs}/attention/layer_norm", f"{ours}.encoder_attn_layer_norm")
            joined(f"{theirs}/attention/linear_0", f"{ours}.encoder_attn", "q")
            joined(f"{theirs}/attention/linear_1", f"{ours}.encoder_attn", "k", "v")
            copy(f"{theirs}/attention/linear_2", f"{ours}.encoder_attn.out_proj")
        norm(f"{theirs}/ffn/layer_norm", f"{ours}.final_layer_norm")
        copy(f"{theirs}/ffn/linear_0", f"{ours}.fc1")
        copy(f"{theirs}/ffn/linear_1", f"{ours}.fc2")

    try:
        layers = _count(arrays, "encoder/layer_"), _count(arrays, "decoder/layer_")
        for side, count in zip(("encoder", "decoder"), layers):
            for place in range(count):
                layer(f"{side}/layer_{place}", f"model.{side}.layers.{place}", crossed=side == "decoder")
            norm(f"{side}/layer_norm", f"model.{side}.layer_norm")
            positions = arrays[f"{side}/position_encodings/encodings"]
            state[f"model.{side}.embed_positions.weight"] = positions
        copy("encoder/conv1", "model.encoder.conv1")
        copy("encoder/conv2", "model.encoder.conv2")
        state["model.decoder.embed_tokens.weight"] = arrays["decoder/embeddings/weight"]
        heads = int(arrays["encoder/num_heads"])
    except (KeyError, ValueError) as error:
        raise FormatError(f"{source}: no Whisper, {error} is not as expected") from error
    if strange := [name for name, value in state.items() if value.dtype.kind != "f"]:
        raise FormatError(
            f"{source}: {strange[0]} is in whole numbers; weights in float32 or float16 are read"
        )
    write_json(folder / "config.json", _whisper_config(state, heads=heads, layers=layers))
    write_json(folder / "preprocessor_config.json", _whisper_front_end(state))
    save(state, folder, np.float16)


def _whisper_config(
    state: Mapping[str, np.ndarray], *, heads: int, layers: tuple[int, int]
) -> dict[str, Any]:
    inner, width = state["model.encoder.layers.0.fc1.weight"].shape
    vocabulary = len(state["model.decoder.embed_tokens.weight"])
    end = vocabulary - 1608  # of text; behind it stand languages, tasks and 1501 times
    return {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
        "d_model": int(width),
        "encoder_layers": layers[0],
        "decoder_layers": layers[1],
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "encoder_ffn_dim": int(inner),
        "decoder_ffn_dim": int(inner),
        "num_mel_bins": int(state["model.encoder.conv1.weight"].shape[1]),
        "max_source_positions": len(state["model.encoder.embed_positions.weight"]),
        "max_target_positions": len(state["model.decoder.embed_positions.weight"]),
        "vocab_size": vocabulary,
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": end + 1,
    }


def _whisper_front_end(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    steps = len(state["model.encoder.embed_positions.weight"])
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "sampling_rate": 16000,
        "feature_size": int(state["model.encoder.conv1.weight"].shape[1]),
        "n_fft": 400,
        "hop_length": 160,
        "chunk_length": steps * 2 * 160 // 16000,
        "padding_value": 0.0,
        "return_attention_mask": False,
    }


def _count(names: Mapping[str, Any], start: str) -> int:
    found = {name.removeprefix(start).split("/")[0] for name in names if name.startswith(start)}
    return sum(part.isdigit() for part in found)  # "layer_norm" is none of them

"""Public weights in layouts of others, put into a `Clap`: LAION-CLAP, T5, HTS-AT. Every key must fit.

LAION-CLAP is on the Hub in the layout of `transformers`, and was released as `.pt` with the names of its own
code, which is also that of HTS-AT. Nothing that such a file holds beside tensors is opened.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from core.encoders.clap import AudioTower, Clap, audio_config
from core.encoders.fusion import make_fusion_trainable
from core.encoders.strict import BUFFERS, WeightsError, load_strict
from core.train.weight_files import WeightFileError, read_weights

FUSION = ("audio_encoder.patch_embed.fusion_model.", "audio_encoder.patch_embed.mel_conv2d.")
# of HTS-AT's own code: its front end, its AudioSet classifier, masks that follow from the shapes
HTSAT_EXTRAS = ("spectrogram_extractor.", "logmel_extractor.", "tscam_conv.", "head.")
# of LAION's own code: heads and second temperature of its unused `mlp_loss`
LAION_EXTRAS = ("audio_transform.", "text_transform.", "logit_scale_t")
SPEC_SIZE = 256  # of every HTS-AT that was released; the weights do not tell
HEAD_WIDTH = 64  # of RoBERTa-base
ROBERTA_EPS = 1e-5  # RoBERTa-base's own; `ClapTextConfig` has 1e-12 where a config.json gives none


def load_laion(source: Path) -> Clap:
    """LAION-CLAP with or without fusion, from a folder in the layout of the Hub (`laion/clap-htsat-fused`,
    `-unfused`), or from an official file (`630k-audioset-fusion-best.pt`).

    Every key must fit. `transformers`' `ClapModel` and this class give the same embeddings (tested).

    Raises:
        FileNotFoundError: no such file, or no `config.json` or weights in the folder.
        WeightsError: keys are missing or left over, or the model is another one than LAION-CLAP.
    """
    if source.is_file():
        return _load_released(source)
    if not (source / "config.json").is_file():
        raise FileNotFoundError(
            f"No LAION-CLAP in {source}: put config.json and model.safetensors of the Hub there, or name the "
            "official .pt file."
        )
    from transformers import ClapAudioModel, ClapConfig, ClapTextModel

    config = ClapConfig(**json.loads((source / "config.json").read_text()))
    if config.projection_hidden_act != "relu":
        raise WeightsError(
            f"{source}: heads with {config.projection_hidden_act!r}; those of LAION-CLAP have 'relu'."
        )
    model = Clap(
        make_fusion_trainable(ClapAudioModel(config.audio_config)),
        ClapTextModel(config.text_config),
        joint_dim=config.projection_dim,
        pooling="pooler",
    )
    load_strict(model, laion_state(_read_folder(source)), origin=str(source))
    return model


def load_t5(model: Clap, folder: Path) -> None:
    """Put the encoder of a T5 checkpoint (`google/flan-t5-large`) into the text tower, strictly."""
    weights = _read_folder(folder)
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
    state = htsat_state(_read_file(checkpoint))
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
    state: dict[str, Tensor] = {}
    for original, value in weights.items():
        key = original.removeprefix("sed_model.")
        if key.startswith(HTSAT_EXTRAS) or key.endswith((".attn_mask", *BUFFERS)):
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


def released_state(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keys of LAION's own code (`audio_branch`, `text_branch`, `*_projection`) renamed to those of `Clap`."""
    heads = {"audio_projection.": "audio_head.", "text_projection.": "text_head."}
    branch = "audio_branch."
    state: dict[str, Tensor] = {}
    htsat: dict[str, Tensor] = {}
    for key, value in weights.items():
        if key.startswith(branch):
            htsat[key.removeprefix(branch)] = value
        elif key == "logit_scale_a":
            state["log_scale"] = value
        elif key.startswith("text_branch."):
            if not key.endswith(BUFFERS):
                state["text." + key.removeprefix("text_branch.")] = value
        elif not key.startswith(LAION_EXTRAS):
            prefix = next((p for p in heads if key.startswith(p)), "")
            state[heads.get(prefix, "") + key.removeprefix(prefix)] = value
    return state | {f"audio.{key}": value for key, value in htsat_state(htsat).items()}


def _load_released(file: Path) -> Clap:
    # "module." is of DistributedDataParallel
    weights = {key.removeprefix("module."): value for key, value in _read_file(file).items()}
    try:
        model = _released_shape(weights)
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise WeightsError(
            f"{file} is no LAION-CLAP of HTS-AT and RoBERTa (it lacks {error}): fetch it again, or give the "
            "folder of the Hub"
        ) from error
    load_strict(model, released_state(weights), origin=str(file))
    return model


def _released_shape(weights: Mapping[str, Tensor]) -> Clap:
    """A `Clap` with fresh weights of the shape that the weights of an official file have."""
    from transformers import ClapAudioModel, ClapTextConfig, ClapTextModel

    layers = _count(weights, r"audio_branch\.layers\.(\d+)\.")
    tables = [
        weights[f"audio_branch.layers.{layer}.blocks.0.attn.relative_position_bias_table"]
        for layer in range(layers)
    ]
    patches = weights["audio_branch.patch_embed.proj.weight"]  # (D, 1, patch, patch)
    tower = AudioTower(
        num_mel_bins=len(weights["audio_branch.bn0.weight"]),
        spec_size=SPEC_SIZE,
        patch_size=patches.shape[-1],
        patch_stride=(patches.shape[-1], patches.shape[-1]),
        patch_embeds_hidden_size=len(patches),
        depths=tuple(
            _count(weights, rf"audio_branch\.layers\.{layer}\.blocks\.(\d+)\.") for layer in range(layers)
        ),
        num_attention_heads=tuple(table.shape[1] for table in tables),
        window_size=(math.isqrt(len(tables[0])) + 1) // 2,  # a table has (2 window - 1)^2 rows
        enable_fusion=any(key.startswith("audio_branch.patch_embed.fusion_model.") for key in weights),
    )
    words = weights["text_branch.embeddings.word_embeddings.weight"]
    text = ClapTextConfig(
        vocab_size=len(words),
        hidden_size=words.shape[1],
        num_hidden_layers=_count(weights, r"text_branch\.encoder\.layer\.(\d+)\."),
        num_attention_heads=words.shape[1] // HEAD_WIDTH,
        intermediate_size=len(weights["text_branch.encoder.layer.0.intermediate.dense.weight"]),
        max_position_embeddings=len(weights["text_branch.embeddings.position_embeddings.weight"]),
        type_vocab_size=len(weights["text_branch.embeddings.token_type_embeddings.weight"]),
        layer_norm_eps=ROBERTA_EPS,
    )
    return Clap(
        make_fusion_trainable(ClapAudioModel(audio_config(tower))),
        ClapTextModel(text),
        joint_dim=len(weights["audio_projection.0.weight"]),
        pooling="pooler",
    )


def _count(weights: Mapping[str, Tensor], pattern: str) -> int:
    """How many numbers stand in the keys that begin with `pattern`."""
    return len({match[1] for key in weights if (match := re.match(pattern, key))})


def _read_file(file: Path) -> dict[str, Tensor]:
    try:
        return read_weights(file)
    except WeightFileError as error:
        raise WeightsError(str(error)) from error


def _read_folder(folder: Path) -> dict[str, Tensor]:
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return _read_file(folder / name)
    raise FileNotFoundError(f"No weights in {folder}: put model.safetensors or pytorch_model.bin there.")

"""Starting a Q-Former from a BERT checkpoint, which knows words before the first audio is heard."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import BertConfig

from core.adapters.qformer import AudioQFormer, QFormerShape
from core.train.weight_files import read_weights

SEGMENTS = "embeddings.token_type_embeddings.weight"


class TextTowerMismatch(ValueError):
    """The text tower has other sizes than the Q-Former that was to start from it; the message names them."""


class Copied(NamedTuple):
    """What a text tower gave to a Q-Former: for the log, so that nothing is left fresh unnoticed."""

    copied: tuple[str, ...]  # names in the Q-Former
    fresh: tuple[str, ...]  # names in the Q-Former that keep their random start
    left: tuple[str, ...]  # names in the tower that the Q-Former has no place for

    def __str__(self) -> str:
        def short(names: tuple[str, ...]) -> str:
            return f"{len(names)}" + (f" ({', '.join(_patterns(names))})" if names else "")

        return f"copied {short(self.copied)}; fresh {short(self.fresh)}; left {short(self.left)}"


def from_text_tower(
    folder: Path,
    *,
    feature_size: int,
    queries: int = 32,
    joint_size: int = 256,
    cross_every: int = 2,
    dropout: float | None = None,
) -> tuple[AudioQFormer, Copied]:
    """A Q-Former of the sizes of a BERT checkpoint (a folder in the Hub's layout), started from its weights.

    dropout: by default the checkpoint's. The rest is as in `copy_text_tower`.
    """
    config = _tower_config(folder)
    shape = QFormerShape(
        feature_size=feature_size,
        queries=queries,
        hidden_size=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        intermediate_size=config["intermediate_size"],
        cross_every=cross_every,
        vocab_size=config["vocab_size"],
        max_tokens=config["max_position_embeddings"],
        joint_size=joint_size,
        dropout=config.get("hidden_dropout_prob", 0.1) if dropout is None else dropout,
        initializer_range=config.get("initializer_range", 0.02),
        layer_norm_eps=config.get("layer_norm_eps", 1e-12),
        pad_id=config.get("pad_token_id") or 0,
    )
    model = AudioQFormer(shape)
    return model, copy_text_tower(model, folder)


def copy_text_tower(model: AudioQFormer, folder: Path) -> Copied:
    """Start a Q-Former from a BERT checkpoint where the names fit, as BLIP-2 does.

    The feed-forward goes to text and queries alike. Fresh are queries, cross-attention, norm of the features,
    contrastive and matching heads, the row of the token that starts a generated text, and the output
    transform where the checkpoint has none. The vector of BERT's first segment is added to its positions, so
    that the text branch gives exactly what BERT gives (LAVIS drops it).

    Raises FileNotFoundError without `config.json` or weights, TextTowerMismatch where sizes differ; nothing
    is copied then. A Q-Former may have fewer positions, and fewer or more layers, than the tower.
    """
    config, shape = _tower_config(folder), model.shape
    same = {
        "hidden_size": shape.hidden_size,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate_size,
        "vocab_size": shape.vocab_size,
        "hidden_act": "gelu",
    }
    wrong = [
        f"{key}: {config.get(key)!r}, not {ours!r}" for key, ours in same.items() if config.get(key) != ours
    ]
    if config.get("max_position_embeddings", 0) < shape.max_tokens:
        wrong.append(f"max_position_embeddings: {config.get('max_position_embeddings')} < {shape.max_tokens}")
    if wrong:
        raise TextTowerMismatch(f"the text tower in {folder} does not fit the Q-Former: {'; '.join(wrong)}")
    tower = _tower_weights(folder)
    positions = "embeddings.position_embeddings.weight"
    segments = tower.get(SEGMENTS)
    if segments is not None and positions in tower:
        tower[positions] = tower[positions] + segments[0]

    copied, fresh, used = [], [], set()
    for name, value in model.named_parameters():
        source = _tower_name(name)
        if source not in tower:
            fresh.append(name)
            continue
        given = tower[source][: len(value)]
        with torch.no_grad():
            value[: len(given)].copy_(given)
        copied.append(name)
        used.add(source)
    if not copied:
        raise TextTowerMismatch(f"{folder} holds no weight of a BERT encoder: {_patterns(sorted(tower))[:8]}")
    if segments is not None and positions in used:
        used.add(SEGMENTS)
    return Copied(tuple(copied), tuple(fresh), tuple(sorted(set(tower) - used)))


def _tower_name(name: str) -> str:
    """The name of a Q-Former's parameter in a BERT checkpoint, which may not have it."""
    name = name.replace("text.lm_transform.", "cls.predictions.transform.")
    name = name.replace("text.embeddings.", "embeddings.").replace(
        "layers.layernorm.", "embeddings.LayerNorm."
    )
    name = name.replace("lm_bias", "cls.predictions.bias")
    name = name.replace(".attention.attention.", ".attention.self.")
    name = name.replace("intermediate_query.", "intermediate.").replace("output_query.", "output.")
    return name.removeprefix("layers.")


def _tower_config(folder: Path) -> dict[str, Any]:
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"no text tower in {folder}: config.json and model.safetensors belong there")
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    if config.get("model_type") != "bert":
        raise TextTowerMismatch(
            f"{folder}: a Q-Former starts from a BERT, not from {config.get('model_type')!r}"
        )
    return BertConfig(**config).to_dict()


def _tower_weights(folder: Path) -> dict[str, Tensor]:
    """Weights by the names of `BertModel`; checkpoints of the first years say gamma and beta."""
    if (folder / "model.safetensors").is_file():
        stored = read_weights(folder / "model.safetensors")
    elif (folder / "pytorch_model.bin").is_file():
        stored = read_weights(folder / "pytorch_model.bin")
    else:
        raise FileNotFoundError(f"no weights in {folder}: put model.safetensors or pytorch_model.bin there")
    names = {name: name.removeprefix("bert.") for name in stored}
    names = {k: v.replace(".gamma", ".weight").replace(".beta", ".bias") for k, v in names.items()}
    return {names[k]: v for k, v in stored.items() if v.is_floating_point()}


def _patterns(names: Sequence[str]) -> list[str]:
    """Names with * for the numbers of layers, each once."""
    return list(dict.fromkeys(re.sub(r"\.\d+\.", ".*.", name) for name in names))

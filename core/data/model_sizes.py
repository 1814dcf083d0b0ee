"""Sizes of the models that papers train: parameters by name, bytes of what encoders hear, of activations.

Parameters are counted on the modules themselves, without memory ("meta"). Shapes of public checkpoints are
read from their config.json where it is there; else they are those below.
"""

from __future__ import annotations

import fnmatch
import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from torch import device, nn

from core.data.card import CheckpointCard

RATE = 16_000  # Hz, of AST's and Whisper's front ends
HOP = 160  # samples a frame of both
FBANK_WINDOW = 400  # samples of AST's
WHISPER_STRIDE = 2  # frames a step of its encoder
HALF, SINGLE = 2, 4  # bytes a value: features and bfloat16; float32

# config.json of public checkpoints
SHAPES: Mapping[str, Mapping[str, int]] = {
    "MIT/ast-finetuned-audioset-10-10-0.4593": {"hidden_size": 768, "time_stride": 10, "labels": 527},
    "openai/whisper-large-v2": {"d_model": 1280},
    "google-bert/bert-base-uncased": {"vocab_size": 30_522},
    "meta-llama/Llama-2-7b-hf": {
        "hidden_size": 4096,
        "intermediate_size": 11_008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": 32_000,
    },
}


def shape_of(root: Path, card: CheckpointCard) -> dict[str, Any]:
    """What config.json of a checkpoint says, or what is known of it; {} of one that is neither there nor
    known."""
    file = root / card.folder / "config.json"
    known: dict[str, Any] = dict(SHAPES.get(card.name, {}))
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError:
        found = {}
    if "id2label" in found:
        found["labels"] = len(found["id2label"])
    return known | found


def ast_steps(seconds: float, *, stride: int) -> int:
    """Time tokens of AST for so much sound: one begins every `stride` frames."""
    frames = max(1, 1 + (round(seconds * RATE) - FBANK_WINDOW) // HOP)
    return math.ceil(frames / stride)


def whisper_steps(seconds: float, *, pool: int) -> int:
    """Steps of Whisper's encoder for so much sound, `pool` of them averaged into one."""
    return max(1, math.ceil(round(seconds * RATE) / (HOP * WHISPER_STRIDE * pool)))


def feature_values(
    kind: str, seconds: float, *, shape: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[int, str] | None:
    """(values that an encoder stores of so much sound, the factors in words); None for an unknown kind.

    kind, options: as in a paper's stage `features` (core.audio_lm.encoders).
    """
    if kind == "ast":
        steps, layers = ast_steps(seconds, stride=int(shape["time_stride"])), len(options["taps"])
        width = int(shape["hidden_size"])
        return steps * layers * width, f"{steps} steps x {layers} layers x {width}"
    if kind == "whisper":
        steps, width = whisper_steps(seconds, pool=int(options.get("pool", 2))), int(shape["d_model"])
        return steps * width, f"{steps} steps x {width}"
    if kind == "tagger":
        return int(shape["labels"]), f"{shape['labels']} labels"
    if kind == "clap":
        return int(shape["joint_dim"]), f"{shape['joint_dim']}"
    return None


def clap_sizes(shape: Mapping[str, Any]) -> dict[str, int]:
    """Parameter -> its number of values, of a CLAP as `init` of CompA builds it."""
    return _clap_sizes(json.dumps(dict(shape), sort_keys=True))


@cache  # seconds a call, and several rows have one shape
def _clap_sizes(shape_json: str) -> dict[str, int]:
    from core.encoders.clap import AudioTower, TextTower, build_clap

    shape = json.loads(shape_json)
    with _unmade():
        model = build_clap(
            audio=AudioTower(**(shape.get("audio") or {})),
            text=TextTower(**(shape.get("text") or {})),
            joint_dim=int(shape.get("joint_dim", 512)),
            pooling=shape.get("pooling", "padded"),
            temperature=float(shape.get("temperature", 0.07)),
        )
    return _named(model)


def former_sizes(shape: Mapping[str, Any], *, text: bool) -> dict[str, int]:
    """Parameter -> number of values, of the audio Q-Former with or without what only pre-training needs."""
    from core.adapters.qformer import AudioQFormer, QFormerShape

    with _unmade():
        former = AudioQFormer(QFormerShape(**shape))
    if not text:
        former.drop_text()
    return _named(former)


def row_sizes(
    branches: Iterable[str],
    *,
    widths: Mapping[str, int],
    lm: Mapping[str, Any],
    bridge: Mapping[str, Any],
    soft_prompt: bool,
) -> dict[str, int]:
    """Parameter -> number of values, of all that a row may train beside its frozen language model.

    widths: encoder -> D. bridge: of the configuration (core.audio_lm.branches.Bridge). Raises KeyError for a
    branch that is not of BRANCHES.
    """
    sizes: dict[str, int] = {}
    for name in branches:
        made = branch_sizes(name, widths=widths, out=int(lm["hidden_size"]), bridge=bridge)
        sizes |= {f"branches.{name}.{inner}": size for inner, size in made.items()}
    for target in bridge.get("lora_targets", ("q_proj", "v_proj")):
        into, out = _projection(target, lm)
        rank = int(bridge.get("lora_rank", 8))
        sizes[f"lm.{target}.lora_"] = int(lm["num_hidden_layers"]) * rank * (into + out)
    return sizes | ({"soft_prompt.vector": int(lm["hidden_size"])} if soft_prompt else {})


def branch_sizes(
    name: str, *, widths: Mapping[str, int], out: int, bridge: Mapping[str, Any]
) -> dict[str, int]:
    """Parameter -> number of values of one branch. out: the language model's width. Raises KeyError."""
    return _branch_sizes(name, json.dumps(dict(widths)), out, json.dumps(dict(bridge)))


@cache
def _branch_sizes(name: str, widths_json: str, out: int, bridge_json: str) -> dict[str, int]:
    widths, bridge = json.loads(widths_json), json.loads(bridge_json)
    from core.adapters.aggregator import MultiLayerAggregator
    from core.adapters.projector import LinearProjector, Projector

    ast, clap, listener = (widths.get(one, 0) for one in ("ast", "clap", "listener"))
    shape = dict(bridge.get("qformer") or {})
    hidden = int(shape.get("hidden_size", 768))
    with _unmade():
        if name in ("qformer", "window_qformer"):
            window = {"queries": 1} if name == "window_qformer" else {}
            width = listener + ast if window else ast
            former = former_sizes({**shape, "feature_size": width, **window}, text=False)
            end = LinearProjector(hidden, out) if window else Projector(hidden, out)
            made = {f"qformer.{inner}": size for inner, size in former.items()}
            return made | {f"projector.{inner}": size for inner, size in _named(end).items()}
        parts: dict[str, dict[str, nn.Module]] = {
            "aggregator": {
                "aggregator": MultiLayerAggregator(
                    ast,
                    heads=int(bridge.get("aggregator_heads", 12)),
                    intermediate_size=int(bridge.get("aggregator_intermediate", 3072)),
                ),
                "projector": Projector(ast, out),
            }
            if name == "aggregator"
            else {},
            "last_layer": {"projector": Projector(ast, out)},
            "clap": {"projector": Projector(clap, out)},
            "ast_linear": {"projector": LinearProjector(ast, out)},
            "listener": {"projector": LinearProjector(listener, out)},
            "clap_prefix": {
                "hidden": nn.Linear(clap, out),
                "output": nn.Linear(out, out * int(bridge.get("clap_tokens", 40))),
            },
        }
        return _named(nn.ModuleDict(parts[name]))


def prefix_tokens(name: str, seconds: float, *, bridge: Mapping[str, Any], stride: int, pool: int) -> int:
    """Positions before the text that a branch takes for so much sound. Raises KeyError."""
    window = int(bridge.get("window", 17))
    return {
        "qformer": int((bridge.get("qformer") or {}).get("queries", 32)),
        **dict.fromkeys(("aggregator", "last_layer", "ast_linear"), ast_steps(seconds, stride=stride)),
        "clap": 1,
        "clap_prefix": int(bridge.get("clap_tokens", 40)),
        "listener": whisper_steps(seconds, pool=pool),
        "window_qformer": math.ceil(whisper_steps(seconds, pool=pool) / window),
    }[name]


def lm_parameters(lm: Mapping[str, Any]) -> int:
    """Parameters of a Llama: embeddings and head, per layer attention, gated feed-forward and two norms."""
    hidden, layers = int(lm["hidden_size"]), int(lm["num_hidden_layers"])
    attention = sum(math.prod(_projection(f"{one}_proj", lm)) for one in "qkvo")
    layer = attention + 3 * hidden * int(lm["intermediate_size"]) + 2 * hidden
    heads = 1 if lm.get("tie_word_embeddings") else 2
    return heads * int(lm["vocab_size"]) * hidden + layers * layer + hidden


def saved_values(lm: Mapping[str, Any]) -> int:
    """Values of bfloat16 that a Llama's layer keeps of a token for its backward pass: 12 H + 4 I.

    Two norms keep their input in float32 (4 H), attention q, k, v and its output (4 H), LoRA's dropout on q
    and v a float32 value each (4 H), the gated feed-forward four values as wide as itself. At 7B that is 186
    KB; 185 KB were measured.
    """
    return 12 * int(lm["hidden_size"]) + 4 * int(lm["intermediate_size"])


def matching(sizes: Mapping[str, int], globs: Iterable[str]) -> int:
    """Values of the parameters that any of the globs names."""
    wanted = tuple(globs)
    return sum(size for name, size in sizes.items() if any(fnmatch.fnmatch(name, one) for one in wanted))


@contextmanager
def _unmade() -> Iterator[None]:
    """Modules made here have shapes and no memory, of whose initialisation torch warns."""
    with device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _projection(target: str, lm: Mapping[str, Any]) -> tuple[int, int]:
    """(in, out) of a layer of a Llama."""
    hidden, inner = int(lm["hidden_size"]), int(lm["intermediate_size"])
    heads = int(lm["num_attention_heads"])
    keys = hidden // heads * int(lm.get("num_key_value_heads") or heads)
    return {
        "k_proj": (hidden, keys),
        "v_proj": (hidden, keys),
        "gate_proj": (hidden, inner),
        "up_proj": (hidden, inner),
        "down_proj": (inner, hidden),
    }.get(target, (hidden, hidden))


def _named(module: nn.Module) -> dict[str, int]:
    return {name: value.numel() for name, value in module.named_parameters()}

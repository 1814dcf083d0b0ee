"""The folder of an audio-language model: its weights, what ends an answer, and what identifies it."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from core.train.weight_files import WeightFileError, check_weights

GRANITE = ("granite_speech", "granite_speech_plus")
OMNI = {
    "qwen2_5_omni": "Qwen2_5OmniThinkerForConditionalGeneration",
    "qwen2_5_omni_thinker": "Qwen2_5OmniThinkerForConditionalGeneration",
    "qwen3_omni_moe": "Qwen3OmniMoeThinkerForConditionalGeneration",
    "qwen3_omni_moe_thinker": "Qwen3OmniMoeThinkerForConditionalGeneration",
}
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")


class LalmError(ValueError):
    """A model that cannot be opened, or a question that it cannot be asked; the message names which."""


class LalmMissingError(FileNotFoundError):
    """No model, or not all of its files, where one was looked for."""


def read_config(folder: Path) -> Any:
    """The configuration. Raises LalmMissingError for an empty folder, LalmError for what cannot be read."""
    if not (folder / "config.json").is_file():
        raise LalmMissingError(f"{folder} holds no model (no config.json): fetch the checkpoint there first")
    try:
        return transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise LalmError(f"{folder}: transformers cannot read its config.json: {error}") from error


def load_weights(folder: Path, config: Any, *, dtype: torch.dtype) -> Any:
    """The model with all its weights, in evaluation mode on the CPU; of Qwen-Omni the thinker alone.

    Raises LalmError for a class that `transformers` lacks and for weights that the files lack,
    LalmMissingError for files that are not there.
    """
    name = OMNI.get(config.model_type) or (config.architectures or [""])[0]
    model_class = getattr(transformers, name, None)
    if model_class is None or not hasattr(model_class, "generate"):
        raise LalmError(
            f"{folder}: config.json names the architecture {name!r}, which transformers "
            f"{transformers.__version__} does not have, or which does not write text; update transformers "
            "or take another checkpoint"
        )
    adapted = config.model_type in GRANITE and config.has_lora_adapter
    if adapted and not (folder / "adapter_config.json").is_file():
        raise LalmMissingError(
            f"{folder} has no adapter_config.json, but its config.json promises a LoRA adapter, without "
            "which the model cannot hear: fetch adapter_config.json and adapter_model.safetensors too"
        )
    try:
        check_weights(folder)
    except WeightFileError as error:
        raise LalmError(str(error)) from error
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # of Qwen-Omni it would list every weight of the talker
    try:
        options = {"config": getattr(config, "thinker_config", config), "local_files_only": True}
        model, missing = _loaded(model_class, folder, {**options, "dtype": dtype})
        if (folder / "adapter_config.json").is_file():
            # The report was of the adapter only; without it, the weights below it are reported on.
            with TemporaryDirectory() as bare:
                for path in folder.iterdir():
                    if not path.name.startswith("adapter_"):
                        (Path(bare) / path.name).symlink_to(path.resolve())
                missing += _loaded(model_class, Path(bare), {**options, "dtype": dtype})[1]
    except OSError as error:
        raise LalmMissingError(f"{folder}: its weights cannot be read: {error}") from error
    except (SafetensorError, pickle.UnpicklingError, RuntimeError) as error:
        what = " ".join(str(error).split())[:300]
        raise LalmError(f"{folder}: its weights do not load ({what}): fetch the checkpoint again") from error
    finally:
        transformers.logging.set_verbosity(level)
    if missing:
        raise LalmError(
            f"{folder}: its files lack {len(missing)} weights of {name} ({', '.join(missing[:3])}, ...), "
            "which would have random values: fetch the checkpoint again"
        )
    return model.eval()


def _loaded(model_class: Any, folder: Path, options: dict[str, Any]) -> tuple[Any, list[str]]:
    """A model, and the names of its weights that the files lack."""
    model, report = model_class.from_pretrained(folder, output_loading_info=True, **options)
    return model, sorted(report["missing_keys"])


def special_ids(model: Any, tokenizer: Any) -> tuple[list[int], int]:
    """The tokens that end an answer, and the one that fills a batch. LalmError where nothing ends one."""
    found = [model.generation_config.eos_token_id, tokenizer.eos_token_id]
    ends = {i for ids in found if ids is not None for i in ([ids] if isinstance(ids, int) else ids)}
    if not ends:
        raise LalmError("the checkpoint names no token that ends an answer: its tokenizer is not whole")
    pad = tokenizer.pad_token_id
    return sorted(ends), min(ends) if pad is None else int(pad)


def fingerprints(folder: Path) -> dict[str, str]:
    """Hashes of the weights, and of what else changes outputs: configuration, tokenizer, template."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    weights = [path for path in files if path.suffix in WEIGHTS]
    others = [path for path in files if path.suffix in (".json", ".jinja", ".txt", ".model")]

    def digest(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def together(paths: Sequence[Path]) -> str:
        with ThreadPoolExecutor(max_workers=8) as pool:
            lines = [f"{path.name} {found}\n" for path, found in zip(paths, pool.map(digest, paths))]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    single = len(weights) == 1  # then the hash is the one that the Hub shows
    return {"config": together(others), "weights": digest(weights[0]) if single else together(weights)}


def revision(folder: Path) -> str | None:
    """The Hub's commit: by the notes of `hf download --local-dir`, by the cache's layout, by config.json."""
    for note in sorted((folder / ".cache" / "huggingface" / "download").glob("*.metadata")):
        return note.read_text("utf-8").split("\n", 1)[0].strip()
    if folder.resolve().parent.name == "snapshots":
        return folder.resolve().name
    noted = json.loads((folder / "config.json").read_text("utf-8")).get("_commit_hash")
    return str(noted) if noted else None

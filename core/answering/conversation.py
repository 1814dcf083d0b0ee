"""Questions as an audio-language model reads them: a rendered conversation, a mark an audio, tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from torch import Tensor

from core.answering.checkpoint import LalmError, LalmMissingError
from core.foreign_code import reason_of


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A question with its audio decoded: float32 (samples,) each, at the family's rate."""

    id: str
    prompt: str
    waveforms: tuple[np.ndarray, ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Family:
    """What `core.answering.lalm` must know of a model.

    window: seconds of one audio that the class takes; None where only memory and positions limit it.
    chunk: seconds to a multiple of which every audio is padded; 0 where none is padded beyond its batch.
    alike: the encoder sees padding, so only audio of equal length may share a batch.
    inputs: questions -> the arguments of generate(), padded on the left, on the CPU.
    """

    sample_rate: int
    window: float | None
    chunk: float
    alike: bool
    inputs: Callable[[Sequence[Heard]], dict[str, Tensor]]
    tokenizer: Any


def conversation(question: Heard, instruction: str | None) -> list[dict[str, Any]]:
    """The turns that a chat template is given: audio first, then the prompt."""
    sounds: list[dict[str, Any]] = [{"type": "audio"} for _ in question.waveforms]
    user = {"role": "user", "content": [*sounds, {"type": "text", "text": question.prompt}]}
    return [user] if instruction is None else [{"role": "system", "content": instruction}, user]


def open_tokenizer(folder: Path, config: Any) -> tuple[Any, str]:
    """The tokenizer with its chat template, and the token that stands for audio.

    Raises LalmMissingError without tokenizer, LalmError without template.
    """
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise LalmMissingError(
            f"{folder}: no tokenizer can be made from its files: {reason_of(error)}"
        ) from error
    legacy = folder / "chat_template.json"  # where processors used to keep it
    if not tokenizer.chat_template and legacy.is_file():
        tokenizer.chat_template = json.loads(legacy.read_text("utf-8"))["chat_template"]
    check_template(folder, tokenizer.chat_template)
    return tokenizer, str(tokenizer.convert_ids_to_tokens(int(config.audio_token_id)))


def check_template(folder: Path, template: object) -> None:
    """Raises LalmError where a checkpoint does not say how it is spoken to."""
    if not template:
        raise LalmError(
            f"{folder} has no chat template: fetch chat_template.jinja (or .json) of the checkpoint, or take "
            "the one that was tuned on instructions"
        )


def rendered(tokenizer: Any, turns: Sequence[Mapping[str, Any]]) -> str:
    """The text of a conversation up to where the model answers."""
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


def check_marks(questions: Sequence[Heard], texts: Sequence[str], mark: str) -> None:
    """Raises LalmError unless every text has as many places for audio as its question has audios.

    Otherwise audio would be left out, or put into another question of the batch.
    """
    for question, text in zip(questions, texts):
        places = text.count(mark)
        if places == len(question.waveforms):
            continue
        why = "this class takes another number; audios='joined' makes one of several"
        if mark in question.prompt:
            why = f"its text itself holds {mark!r}: rephrase it"
        count = len(question.waveforms)
        raise LalmError(f"{question.id}: {count} audios, but {places} places for them in the prompt; {why}")


def expanded(texts: Sequence[str], mark: str, counts: Sequence[int]) -> list[str]:
    """Each mark becomes as many as its audio has embeddings; `counts` are in the order of the marks."""
    left = iter(counts)
    return [re.sub(re.escape(mark), lambda _: mark * next(left), text) for text in texts]


def text_options(tokenizer: Any, texts: Sequence[str]) -> dict[str, Any]:
    """How texts of a template are tokenized; a template may have begun the text already."""
    begun = bool(tokenizer.bos_token) and texts[0].startswith(tokenizer.bos_token)
    return {
        "padding": True,
        "padding_side": "left",
        "return_tensors": "pt",
        "add_special_tokens": not begun,
    }


def tokenized(tokenizer: Any, texts: Sequence[str]) -> dict[str, Tensor]:
    """input_ids and attention_mask (B, L), padded on the left."""
    made = tokenizer(list(texts), **text_options(tokenizer, texts))
    return {"input_ids": made["input_ids"], "attention_mask": made["attention_mask"]}

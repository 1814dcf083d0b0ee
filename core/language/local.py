"""A language model of `transformers` on this machine as a Chat: for judges without a paid endpoint."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.foreign_code import reason_of
from core.language.client import Audio, EndpointError, Message, Options, Reply, ReplyError, Text, Usage


@dataclass(frozen=True)
class _Job:
    ids: list[int]
    options: Options
    result: Future[Reply]


class LocalChat:
    """A causal language model in a folder of the Hub's layout. Local files only.

    template: a Jinja chat template for tokenizers that bring none. batch_size: how many waiting greedy
    requests of equal options are answered together; 1, the default, makes each reply independent of its
    neighbours to the last bit. Sampled replies are always made one by one, from their seed.
    Raises EndpointError for a folder without model, ReplyError for audio and for prompts that leave no room.
    """

    def __init__(
        self,
        folder: Path,
        *,
        template: str | None = None,
        batch_size: int = 1,
        device: str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not (folder / "config.json").is_file():
            raise EndpointError(f"{folder} holds no language model (no config.json); make or fetch it first")
        here: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, **here, padding_side="left")
            model = AutoModelForCausalLM.from_pretrained(folder, **here, dtype=dtype or "auto")
        except (ValueError, OSError) as error:
            raise EndpointError(f"{folder}: no language model can be opened: {reason_of(error)}") from error
        if template is not None:
            self._tokenizer.chat_template = template
        if not self._tokenizer.chat_template:
            raise EndpointError(f"the tokenizer in {folder} has no chat template; pass template=")
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model.to(self._device).eval()
        self._room = getattr(model.config, "max_position_embeddings", None)
        self._identity = {"model": folder.name, "sha256": _hash(folder), "template": template}
        self._batch_size = batch_size
        self._jobs: list[_Job] = []
        self._queue, self._turn = threading.Lock(), threading.Lock()

    @property
    def identity(self) -> Mapping[str, Any]:
        """The folder's name and the hash of all its files."""
        return self._identity

    def complete(self, messages: Sequence[Message], *, options: Options | None = None) -> Reply:
        """Answer; calls from several threads wait for each other or are answered together."""
        options = options or Options()
        job = _Job(self._encode(messages, options), options, Future())
        with self._queue:
            self._jobs.append(job)
        while not job.result.done():
            with self._turn:  # whoever comes first answers for all who wait
                if not job.result.done():
                    self._answer(self._next_batch())
        return job.result.result()

    def _encode(self, messages: Sequence[Message], options: Options) -> list[int]:
        turns = [{"role": message.role, "content": _text(message)} for message in messages]
        text = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        ids = list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        if not ids:
            raise ReplyError("the prompt is empty")
        if self._room is not None and len(ids) + options.max_tokens > self._room:
            raise ReplyError(
                f"{len(ids)} prompt tokens and {options.max_tokens} new ones exceed the model's {self._room}"
            )
        return ids

    def _next_batch(self) -> list[_Job]:
        with self._queue:
            first = self._jobs[0]
            alike = [job for job in self._jobs if job.options == first.options and _greedy(first.options)]
            batch = alike[: self._batch_size] or [first]
            self._jobs = [job for job in self._jobs if job not in batch]
        return batch

    def _answer(self, batch: Sequence[_Job]) -> None:
        try:
            for job, reply in zip(batch, self._generate(batch)):
                job.result.set_result(reply)
        except BaseException as error:
            for job in batch:
                if not job.result.done():
                    job.result.set_exception(error)
            if not isinstance(error, Exception):
                raise

    @torch.inference_mode()
    def _generate(self, batch: Sequence[_Job]) -> list[Reply]:
        options = batch[0].options
        padded = self._tokenizer.pad({"input_ids": [job.ids for job in batch]}, return_tensors="pt")
        padded = padded.to(self._device)
        sampling: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if not _greedy(options):
            sampling = {"do_sample": True, "temperature": options.temperature, "top_p": options.top_p}
            sampling["top_k"] = 0
        with torch.random.fork_rng():
            torch.manual_seed(options.seed or 0)
            out = self._model.generate(
                input_ids=padded["input_ids"],
                attention_mask=padded["attention_mask"],
                max_new_tokens=options.max_tokens,
                pad_token_id=self._tokenizer.pad_token_id,
                **sampling,
            )
        ends = self._model.generation_config.eos_token_id
        ends = {ends} if isinstance(ends, int) else set(ends or ())
        replies = []
        for job, row in zip(batch, out[:, padded["input_ids"].shape[1] :].tolist()):
            stop = next((at for at, token in enumerate(row) if token in ends), None)
            new = row if stop is None else row[:stop]
            replies.append(
                Reply(
                    text=self._tokenizer.decode(new, skip_special_tokens=True).strip(),
                    usage=Usage(len(job.ids), len(new) + (stop is not None)),
                    cost=0.0,
                    finish="length" if stop is None else "stop",
                )
            )
        return replies


def _greedy(options: Options) -> bool:
    return options.temperature == 0


def _text(message: Message) -> str:
    parts = (Text(message.content),) if isinstance(message.content, str) else message.content
    if any(isinstance(part, Audio) for part in parts):
        raise ReplyError("a local language model reads text only; it cannot be sent audio")
    return "".join(part.text for part in parts if isinstance(part, Text))


def _hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(each for each in folder.iterdir() if each.is_file()):
        with path.open("rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()

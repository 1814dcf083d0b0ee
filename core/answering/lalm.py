"""Any audio-language model of `transformers` as an answering function: local files, greedy, in batches.

Questions are packed by the length of their audio, so that little is padded; outputs come in the order asked.
Padding is masked or avoided, so that they do not depend on the batch (in bfloat16 up to its rounding). What
the next batch needs is decoded while one is answered. Decoding is plainly greedy: the sampling and the
penalties of a checkpoint's generation_config.json are set aside (a penalty would count padding, and the words
of the options).
"""

from __future__ import annotations

import gc
import logging
import os
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import transformers
from torch import Tensor

from core.answering.asked import Asked
from core.answering.checkpoint import (
    LalmError,
    fingerprints,
    load_weights,
    read_config,
    revision,
    special_ids,
)
from core.answering.conversation import Family, Heard
from core.answering.families import open_family
from core.answering.packing import Load, pack, padded_seconds
from core.audio.files import AudioError
from core.audio.read import AudioErrors, audio_info, read_many
from core.train.finite import FiniteScores

Longer = Literal["refuse", "crop", "window"]
Audios = Literal["apart", "joined"]

GAP = 0.5  # seconds of silence between joined audios
SHORTEST = 0.1  # seconds: less gives some encoders no embedding at all

logger = logging.getLogger(__name__)


def open_lalm(
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    device: str | None = None,
    max_new_tokens: int = 64,
    batch_seconds: float = 240.0,
    max_batch: int = 32,
    instruction: str | None = None,
    longer: Longer = "refuse",
    audios: Audios = "apart",
) -> Lalm:
    """Open the model in `folder`, which has the layout of the Hub. Nothing is fetched.

    dtype: None is bfloat16 on a GPU and float32 elsewhere. device: None is this process's GPU, else "cpu".
    batch_seconds, max_batch: no batch holds more seconds, padding included, or more questions; outputs do not
    depend on them. instruction: a system message (for Voxtral, which has none, a line before the prompt).
    longer: what happens to audio beyond the class's window (Qwen2-Audio 30 s, Qwen2.5-Omni 300 s,
    Audio Flamingo 3 600 s): "refuse" it, "crop" it to its beginning, or give all of it, as consecutive
    "window"s, as if they were several audios.
    audios: "joined" makes one audio of several, with half a second of silence between them, for classes that
    take only one (Audio Flamingo 3).
    Raises LalmMissingError for absent files, LalmError for a folder that holds no such model.
    """
    if longer not in get_args(Longer) or audios not in get_args(Audios):
        raise LalmError(f"{longer=}, {audios=}: one of {get_args(Longer)}, and one of {get_args(Audios)}")
    if max_new_tokens < 1 or max_batch < 1 or batch_seconds <= 0:
        raise LalmError(f"{max_new_tokens=}, {max_batch=}, {batch_seconds=}: each must be positive")
    config = read_config(folder)
    family = open_family(folder, config, instruction=instruction)
    where = device or (f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu")
    kept = dtype or (torch.bfloat16 if torch.device(where).type == "cuda" else torch.float32)
    model = load_weights(folder, config, dtype=kept).to(where)
    identity = {
        "class": type(model).__name__,
        **fingerprints(folder),
        "revision": revision(folder),
        "dtype": str(kept).removeprefix("torch."),
        "max_new_tokens": max_new_tokens,
        "instruction": instruction,
        "longer": longer,
        "audios": audios,
    }
    return Lalm(
        model,
        family,
        identity,
        max_new_tokens=max_new_tokens,
        batch_seconds=batch_seconds,
        max_batch=max_batch,
        longer=longer,
        audios=audios,
    )


class Lalm:
    """An opened audio-language model; made by `open_lalm`. Its `answer` is an answering function."""

    def __init__(
        self,
        model: Any,
        family: Family,
        identity: Mapping[str, Any],
        *,
        max_new_tokens: int,
        batch_seconds: float,
        max_batch: int,
        longer: Longer,
        audios: Audios,
    ) -> None:
        self._model, self._family, self._identity = model, family, dict(identity)
        self._new, self._seconds, self._most = max_new_tokens, batch_seconds, max_batch
        self._longer, self._audios = longer, audios
        self._room = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self._ends, self._pad = special_ids(model, family.tokenizer)
        model.generation_config = transformers.GenerationConfig(
            do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=self._ends, pad_token_id=self._pad
        )

    @property
    def identity(self) -> Mapping[str, Any]:
        """What outputs depend on: class, hashes of configuration and weights, revision, options."""
        return self._identity

    def answer(self, asked: Sequence[Asked]) -> list[str]:
        """One output a question, in their order, stripped; "" where the model said nothing.

        Raises AudioErrors for audio that cannot be read and LalmError for a question that the class cannot be
        asked (too long, more audios than it takes), both with the questions' ids.
        """
        loads = self._loads(asked)
        outputs = [""] * len(asked)
        waiting = deque(pack(loads, seconds=self._seconds, most=self._most))
        with ThreadPoolExecutor(max_workers=1) as pool:  # one, since tokenizers are not thread-safe
            ready = pool.submit(self._prepare, [asked[i] for i in waiting[0]]) if waiting else None
            while waiting:
                batch = waiting.popleft()
                assert ready is not None
                inputs = ready.result()
                ready = pool.submit(self._prepare, [asked[i] for i in waiting[0]]) if waiting else None
                try:
                    said = self._generate(inputs, [asked[i].id for i in batch])
                except RuntimeError as error:
                    if not _out_of_memory(error):
                        raise
                    said = None
                if said is None:  # outside the handler, which would keep the failed batch's tensors alive
                    inputs.clear()
                    self._pack_less(asked, batch, loads)
                    left = [*batch, *(i for later in waiting for i in later)]
                    smaller = pack([loads[i] for i in left], seconds=self._seconds, most=self._most)
                    waiting = deque([left[j] for j in places] for places in smaller)
                    ready = pool.submit(self._prepare, [asked[i] for i in waiting[0]])
                    continue
                for i, text in zip(batch, said):
                    outputs[i] = text
        return outputs

    def _loads(self, asked: Sequence[Asked]) -> list[Load]:
        """By the headers, so that what cannot be asked shows before anything is generated."""
        defects: list[AudioError] = []
        loads = []
        window, chunk = self._family.window, self._family.chunk
        for question in asked:
            seconds, length, lengths = 0.0, 0.0, []
            for place, audio in enumerate(question.audios):
                try:
                    info = audio_info(audio, name=_name(question, place))
                except AudioError as error:
                    defects.append(error)
                    continue
                long = info.seconds if info.seconds is not None else window or 30.0
                if window is not None and long > window:
                    self._check_longer(question.id, long, window)
                    long = window if self._longer == "crop" else long
                seconds += -(-long // chunk) * chunk if chunk else long
                length += long
                lengths.append((info.frames, info.sample_rate) if info.frames is not None else question.id)
            alike = tuple(lengths) if self._family.alike else None
            loads.append(Load(seconds=seconds, length=length, alike=(bool(question.audios), alike)))
        if defects:
            raise AudioErrors(defects, sum(len(question.audios) for question in asked))
        return loads

    def _prepare(self, asked: Sequence[Asked]) -> dict[str, Tensor]:
        """A batch's arguments of generate(), on the CPU."""
        places = [(question, place) for question in asked for place in range(len(question.audios))]
        read = read_many(
            [question.audios[place] for question, place in places],
            sample_rate=self._family.sample_rate,
            names=[_name(question, place) for question, place in places],
            max_seconds=None,
            min_seconds=SHORTEST,
            accept=["silent"],
        )
        waveforms = iter(waveform for waveform, _ in read)
        heard = []
        for question in asked:
            own = [next(waveforms) for _ in question.audios]
            if self._audios == "joined" and len(own) > 1:
                own = [_joined(own, self._family.sample_rate)]
            heard.append(Heard(id=question.id, prompt=question.prompt, waveforms=self._fit(question.id, own)))
        inputs = self._family.inputs(heard)
        self._check_room(heard, inputs)
        return inputs

    def _fit(self, name: str, waveforms: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Audio within the class's window: it would cut what is longer, and not say so."""
        window, rate = self._family.window, self._family.sample_rate
        limit = None if window is None else round(window * rate)
        if window is None or limit is None or all(len(waveform) <= limit for waveform in waveforms):
            return tuple(waveforms)
        seconds = max(map(len, waveforms)) / rate
        self._check_longer(name, seconds, window)
        if self._longer == "crop":
            logger.warning("%s: of %.1f s only the first %g s are heard", name, seconds, window)
            return tuple(waveform[:limit] for waveform in waveforms)
        logger.warning("%s: %.1f s are heard in consecutive parts of %g s", name, seconds, window)
        shortest = round(SHORTEST * rate)
        parts = [waveform[at : at + limit] for waveform in waveforms for at in range(0, len(waveform), limit)]
        return tuple(np.pad(part, (0, max(0, shortest - len(part)))) for part in parts)

    def _check_longer(self, name: str, seconds: float, window: float) -> None:
        if self._longer == "refuse":
            raise LalmError(
                f"{name}: audio of {seconds:.1f} s, and {self._identity['class']} hears {window:g} s at "
                "once; give longer='crop' for its beginning or longer='window' for all of it in parts"
            )

    def _check_room(self, heard: Sequence[Heard], inputs: Mapping[str, Tensor]) -> None:
        lengths = inputs["attention_mask"].sum(dim=1).tolist()
        for question, length in zip(heard, lengths):
            if self._room is not None and length + self._new > self._room:
                raise LalmError(
                    f"{question.id}: {length} tokens with its audio and {self._new} new ones exceed the "
                    f"{self._room} of {self._identity['class']}; shorten its audio or leave it out"
                )

    @torch.inference_mode()
    def _generate(self, inputs: Mapping[str, Tensor], ids: Sequence[str]) -> list[str]:
        model, watch = self._model, FiniteScores()
        moved = {
            name: tensor.to(model.device, model.dtype if tensor.is_floating_point() else None)
            for name, tensor in inputs.items()
        }
        processors = transformers.LogitsProcessorList([watch])
        made = model.generate(**moved, logits_processor=processors)
        watch.check(ids)
        out = made[:, inputs["input_ids"].shape[1] :].tolist()
        texts = []
        for row in out:
            end = next((at for at, token in enumerate(row) if token in self._ends), len(row))
            texts.append(self._family.tokenizer.decode(row[:end], skip_special_tokens=True).strip())
        return texts

    def _pack_less(self, asked: Sequence[Asked], batch: Sequence[int], loads: Sequence[Load]) -> None:
        """After a batch that did not fit: say so, free what can be freed, and halve what a batch may hold."""
        seconds = padded_seconds(batch, loads)
        if len(batch) == 1:
            raise LalmError(
                f"{asked[batch[0]].id}: {seconds:.0f} s of audio do not fit into the memory of "
                f"{self._model.device} even alone; crop it (longer='crop') or take a larger device"
            )
        self._seconds = min(self._seconds, seconds / 2)
        logger.warning(
            "%d questions with %.0f s of audio do not fit into the memory of %s: halved, and from now on "
            "batches hold %.0f s at most",
            len(batch), seconds, self._model.device, self._seconds,
        )  # fmt: skip
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _joined(waveforms: Sequence[np.ndarray], rate: int) -> np.ndarray:
    gap = np.zeros(round(GAP * rate), np.float32)
    parts = [part for waveform in waveforms for part in (waveform, gap)]
    return np.concatenate(parts[:-1])


def _name(question: Asked, place: int) -> str:
    return question.id if len(question.audios) == 1 else f"{question.id}, audio {place + 1}"


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)

"""How each family of audio-language models of `transformers` is given its questions.

Families differ in how a conversation names its audio, in the window of one audio, and in what their encoder
does with padding. Where the library's own processor serves, it is used. Two are replaced, since they need
packages that sound does not: Qwen-Omni's (torchvision) and Granite Speech's (torchaudio).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from core.answering.checkpoint import GRANITE, OMNI, LalmError, LalmMissingError
from core.answering.conversation import (
    Family,
    Heard,
    check_marks,
    check_template,
    conversation,
    expanded,
    open_tokenizer,
    rendered,
    text_options,
    tokenized,
)
from core.audio.read import write_wav
from core.audio.spectrum import MelPower, hann, mel_filters
from core.foreign_code import reason_of


def open_family(folder: Path, config: Any, *, instruction: str | None) -> Family:
    """The family of the model in `folder`, by its config.model_type.

    instruction: a system message, or None for what the chat template says by itself.
    Raises LalmMissingError for absent files, LalmError for what is no audio-language model.
    """
    kind = config.model_type
    if kind in OMNI:
        return _omni(folder, config, instruction)
    if kind in GRANITE:
        return _granite(folder, config, instruction)
    if kind == "voxtral":
        return _voxtral(folder, instruction)
    return _by_processor(folder, config, instruction)


def _by_processor(folder: Path, config: Any, instruction: str | None) -> Family:
    """Qwen2-Audio, Audio Flamingo 3 and all others whose processor and chat template serve as they are."""
    try:
        processor = transformers.AutoProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, ImportError, KeyError, AttributeError) as error:
        raise LalmError(f"{folder}: no processor can be made from its files: {reason_of(error)}") from error
    extractor = getattr(processor, "feature_extractor", None) or getattr(processor, "audio_processor", None)
    tokenizer = getattr(processor, "tokenizer", None)
    if extractor is None or tokenizer is None:
        raise LalmError(
            f"{folder}: {type(processor).__name__} has no feature extractor for audio or no tokenizer: "
            f"model type {config.model_type!r} is no audio-language model that can be asked here"
        )
    rate, mark = int(extractor.sampling_rate), getattr(processor, "audio_token", None)
    template = processor.chat_template or tokenizer.chat_template
    check_template(folder, template)

    def inputs(questions: Sequence[Heard]) -> dict[str, Tensor]:
        texts = [
            processor.apply_chat_template(
                conversation(question, instruction),
                chat_template=template,
                add_generation_prompt=True,
                tokenize=False,
            )
            for question in questions
        ]
        if mark:
            check_marks(questions, texts, mark)
        audio = [waveform for question in questions for waveform in question.waveforms]
        options: dict[str, Any] = {"text_kwargs": text_options(tokenizer, texts)}
        if audio:
            options["audio_kwargs"] = {"sampling_rate": rate, "return_tensors": "pt"}
        return dict(processor(text=texts, audio=audio or None, **options))

    # Audio Flamingo 3 puts windows of its feature extractor side by side, the others take a single one.
    chunk = float(getattr(extractor, "chunk_length", None) or 0.0)
    return Family(
        sample_rate=rate,
        window=float(getattr(processor, "max_audio_len", None) or chunk) or None,
        chunk=chunk,
        alike=False,
        inputs=inputs,
        tokenizer=tokenizer,
    )


def _omni(folder: Path, config: Any, instruction: str | None) -> Family:
    """Qwen2.5-Omni and Qwen3-Omni as they hear and write: no image, no video, no speech.

    The former's processor pads every audio to its whole window before the Fourier transform, the latter's
    does not pad an audio that is alone. Here every audio is transformed by itself, with what its last frames
    would see, and its features are padded afterwards: the same numbers at a fraction of the cost.
    """
    thinker = getattr(config, "thinker_config", config)
    tokenizer, mark = open_tokenizer(folder, thinker)
    try:
        extractor = transformers.WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
    except OSError as error:
        raise LalmMissingError(f"{folder} has no preprocessor_config.json: fetch it too ({error})") from error
    third = "qwen3" in config.model_type
    margin = 0 if third else extractor.n_fft

    def features(waveform: np.ndarray) -> Tensor:
        made = extractor(
            waveform,
            sampling_rate=extractor.sampling_rate,
            padding="max_length",
            max_length=len(waveform) + margin,
            return_tensors="pt",
        )["input_features"][0]
        return made.T[: -(-len(waveform) // extractor.hop_length)]

    def inputs(questions: Sequence[Heard]) -> dict[str, Tensor]:
        texts = [rendered(tokenizer, conversation(question, instruction)) for question in questions]
        check_marks(questions, texts, mark)
        mels = [features(waveform) for question in questions for waveform in question.waveforms]
        if not mels:
            return tokenized(tokenizer, texts)
        counts = [qwen3_omni_tokens(len(mel)) if third else qwen2_5_omni_tokens(len(mel)) for mel in mels]
        lengths = torch.tensor([len(mel) for mel in mels])
        return {
            **tokenized(tokenizer, expanded(texts, mark, counts)),
            "input_features": pad_sequence(mels, batch_first=True).transpose(1, 2),
            "feature_attention_mask": (torch.arange(int(lengths.max())) < lengths[:, None]).long(),
        }

    return Family(
        sample_rate=int(extractor.sampling_rate),
        window=None if third else float(extractor.chunk_length),
        chunk=0.0,
        alike=False,
        inputs=inputs,
        tokenizer=tokenizer,
    )


def qwen2_5_omni_tokens(frames: int) -> int:
    """Embeddings of an audio of so many mel frames: halved by a convolution, then by pooling."""
    return ((frames - 1) // 2 - 1) // 2 + 1


def qwen3_omni_tokens(frames: int, part: int = 100) -> int:
    """The same for Qwen3-Omni: every part of 100 frames is halved three times, rounded up, by itself."""

    def eighth(length: int) -> int:
        return -(-length // 8)

    return frames // part * eighth(part) + eighth(frames % part)


def _granite(folder: Path, config: Any, instruction: str | None) -> Family:
    """Granite Speech: a mark an audio, before the text. Its encoder has no mask for padded audio."""
    tokenizer, mark = open_tokenizer(folder, config)
    settings = _settings(folder)
    shape = {"sample_rate": 16000, "n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 80}
    shape |= settings.get("melspec_kwargs", {})
    mel = GraniteMel(**shape)
    window = int(settings.get("projector_window_size", config.window_size))
    queries = window // int(settings.get("projector_downsample_rate", config.downsample_rate))

    def turns(question: Heard) -> list[dict[str, str]]:
        user = {"role": "user", "content": mark * len(question.waveforms) + question.prompt}
        return [user] if instruction is None else [{"role": "system", "content": instruction}, user]

    def inputs(questions: Sequence[Heard]) -> dict[str, Tensor]:
        texts = [rendered(tokenizer, turns(question)) for question in questions]
        check_marks(questions, texts, mark)
        waveforms = [waveform for question in questions for waveform in question.waveforms]
        if not waveforms:
            return tokenized(tokenizer, texts)
        frames = [(len(waveform) // shape["hop_length"] + 1) // 2 for waveform in waveforms]
        counts = [-(-count // window) * queries for count in frames]
        return {
            **tokenized(tokenizer, expanded(texts, mark, counts)),
            "input_features": mel(waveforms),
            "input_features_mask": torch.arange(max(counts)) < torch.tensor(counts)[:, None],
        }

    return Family(
        sample_rate=shape["sample_rate"],
        window=None,
        chunk=0.0,
        alike=True,
        inputs=inputs,
        tokenizer=tokenizer,
    )


class GraniteMel:
    """Granite Speech's input: log-mel power of centred frames, scaled as Whisper's, two frames side by side.

    Waveforms (samples,), the shorter ones padded with zeros -> (B, frames // 2, 2 * n_mels), with
    frames = samples // hop_length + 1.
    """

    def __init__(
        self, *, sample_rate: int, n_fft: int, win_length: int, hop_length: int, n_mels: int
    ) -> None:
        before = (n_fft - win_length) // 2
        filters = mel_filters(
            n_fft=n_fft,
            n_mels=n_mels,
            sample_rate=sample_rate,
            fmin=0.0,
            fmax=sample_rate / 2,
            scale="htk",
        )
        window = np.pad(hann(win_length), (before, n_fft - win_length - before))
        self._half = n_fft // 2
        self._power = MelPower(window=window, n_fft=n_fft, hop=hop_length, filters=filters)

    def __call__(self, waveforms: Sequence[np.ndarray]) -> Tensor:
        rows = pad_sequence([torch.from_numpy(waveform) for waveform in waveforms], batch_first=True)
        centred = F.pad(rows[:, None], (self._half, self._half), mode="reflect")[:, 0]
        logs = torch.stack(self._power(list(centred))).clamp(min=1e-10).log10()
        scaled = torch.maximum(logs, logs.amax(dim=(1, 2), keepdim=True) - 8.0) / 4 + 1
        even = scaled[:, : scaled.shape[1] // 2 * 2]
        return even.reshape(len(even), -1, 2 * even.shape[2])


def _voxtral(folder: Path, instruction: str | None) -> Family:
    """Voxtral: conversation and audio go through Mistral's own tokenizer, without a system role."""
    try:
        import mistral_common  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        raise LalmError(
            f"{folder}: Voxtral is tokenized by the package mistral-common, which is not installed here; "
            "`pip install mistral-common[audio]`, then run the same command again"
        ) from None
    try:
        processor = transformers.AutoProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise LalmMissingError(
            f"{folder}: no processor can be made from its files: {reason_of(error)}"
        ) from error
    processor.tokenizer.padding_side = "left"
    rate = int(processor.feature_extractor.sampling_rate)

    def turn(question: Heard) -> list[dict[str, Any]]:
        files = [write_wav(each, rate, subtype="FLOAT", name=question.id) for each in question.waveforms]
        sounds = [{"type": "audio", "base64": base64.b64encode(file).decode()} for file in files]
        text = question.prompt if instruction is None else f"{instruction}\n{question.prompt}"
        return [{"role": "user", "content": [*sounds, {"type": "text", "text": text}]}]

    def inputs(questions: Sequence[Heard]) -> dict[str, Tensor]:
        return dict(processor.apply_chat_template([turn(question) for question in questions]))

    return Family(
        sample_rate=rate,
        window=None,
        chunk=float(processor.feature_extractor.chunk_length),
        alike=False,
        inputs=inputs,
        tokenizer=processor.tokenizer,
    )


def _settings(folder: Path) -> Mapping[str, Any]:
    """What the folder says of its audio front end: in a file of its own, or in a part of the processor's."""
    own, shared = folder / "preprocessor_config.json", folder / "processor_config.json"
    if own.is_file():
        return dict(json.loads(own.read_text("utf-8")))
    parts = json.loads(shared.read_text("utf-8")) if shared.is_file() else {}
    for name in ("audio_processor", "feature_extractor"):
        if name in parts:
            return dict(parts[name])
    raise LalmMissingError(f"{folder} has no preprocessor_config.json: fetch it from the checkpoint too")

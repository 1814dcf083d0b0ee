"""A model that hears, behind a chat endpoint (or any core.language.client.Chat), as an Answer."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import numpy as np
import soundfile

from core.answering.outputs import Cut, Refused, Unanswered
from core.answering.question import Answer, Question
from core.answering.usable import check_usable
from core.audio.files import AudioError, opened
from core.language.client import (
    Audio,
    Chat,
    DeclinedError,
    Message,
    Options,
    ReplyError,
    Text,
    in_parallel,
)

_WHOLE = {"PCM_16": "int16", "PCM_24": "int32"}  # read and written without a rounding


def open_endpoint(
    chat: Chat, *, options: Options | None = None, concurrency: int = 8, instruction: str | None = None
) -> Answer:
    """An Answer that puts each question in one message: its audio in the order heard, then the prompt.

    concurrency: questions asked at a time; batches should be several times larger, since a batch ends with
    its slowest. instruction: a system message before it. A model that declines gives Unanswered with the
    reason; a request that the server refuses and audio that cannot be sent give Refused. Text that ended at
    the limit of tokens is Cut. EndpointError, which ends a run, is raised.
    """
    settings = options or Options(max_tokens=256)

    def one(asked: Question) -> str:
        try:
            audios = [audio_part(audio, name=f"{asked.id} (audio)") for audio in asked.audios]
            user = Message("user", (*audios, Text(asked.prompt)) if audios else asked.prompt)
            before = [] if instruction is None else [Message("system", instruction)]
            reply = chat.complete([*before, user], options=settings)
        except DeclinedError as error:
            return Unanswered(str(error))
        except (ReplyError, AudioError) as error:
            return Refused(str(error))
        return Cut(reply.text) if reply.finish == "length" else reply.text

    def answer(asked: Sequence[Question]) -> list[str]:
        return list(in_parallel(one, asked, concurrency=concurrency))

    return answer


def audio_part(audio: bytes, *, name: str) -> Audio:
    """An encoded file as endpoints take it: 16- or 24-bit WAV and MP3 as they are, all else as WAV. So is
    a WAV out of a pipe, whose header does not know its length: a server may hear nothing of it.

    Rate and channels stay; FLAC of 16 or 24 bits keeps every sample, float is clipped at full scale. Raises
    AudioError for what a local model would not be given either (core.answering.usable).
    """
    check_usable(audio, name=name)
    with opened(audio, name) as (file, info):
        if info.format == "MP3":
            return Audio(audio, "mp3")
        if info.format == "WAV" and info.subtype in _WHOLE and _states_its_length(audio):
            return Audio(audio, "wav")
        subtype = info.subtype if info.subtype in _WHOLE else "PCM_16"
        try:
            samples = file.read(dtype=_WHOLE.get(info.subtype, "float32"), always_2d=True)
        except soundfile.LibsndfileError as error:
            raise AudioError(name, "truncated", f"it does not decode to its end ({error})") from error
    if samples.dtype == np.float32:
        samples = np.clip(samples, -1.0, 1.0)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, info.sample_rate, format="WAV", subtype=subtype)
    return Audio(buffer.getvalue(), "wav")


def _states_its_length(wav: bytes) -> bool:
    at = 12
    while wav[:4] == b"RIFF" and at + 8 <= len(wav):
        chunk, length = struct.unpack_from("<4sI", wav, at)
        if chunk == b"data":
            return 0 < length <= len(wav) - at - 8
        at += 8 + length + length % 2
    return False

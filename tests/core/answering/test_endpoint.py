"""Questions with audio to a chat endpoint: what is sent, what is refused, what ends a run."""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from core.answering.endpoint import audio_part, open_endpoint
from core.answering.harness import HarnessError, evaluate
from core.answering.items import Item
from core.answering.outputs import Cut, Refused, Unanswered
from core.answering.question import Question
from core.answering.records import read_predictions
from core.answering.usable import read_usable
from core.audio.files import AudioError
from core.audio.read import AudioErrors
from core.language.client import (
    Audio,
    DeclinedError,
    EndpointError,
    Message,
    Options,
    Reply,
    ReplyError,
    Text,
)

RATE = 8000
RAMP = np.linspace(-0.9, 0.9, 2000)


def encoded(form: str, subtype: str, samples: np.ndarray = RAMP) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format=form, subtype=subtype)
    return buffer.getvalue()


WAV = encoded("WAV", "PCM_16")


class FakeChat:
    """Answers by a function of the prompt, and remembers what was asked."""

    identity: Mapping[str, Any] = {"model": "fake"}

    def __init__(self, reply: Callable[[str], str]) -> None:
        self._reply = reply
        self._lock = threading.Lock()
        self.asked: list[tuple[Sequence[Message], Options | None]] = []

    def complete(self, messages: Sequence[Message], *, options: Options | None = None) -> Reply:
        with self._lock:
            self.asked.append((messages, options))
        content = messages[-1].content
        last = content if isinstance(content, str) else content[-1]
        text = self._reply(last.text if isinstance(last, Text) else str(last))
        return Reply(text=text, finish="length" if text.endswith("...") else "stop")


def question(prompt: str, *audios: bytes) -> Question:
    return Question(id=prompt, prompt=prompt, question=prompt, choices=(), audios=audios)


def test_audio_comes_first_in_one_user_message() -> None:
    chat = FakeChat(lambda prompt: f"answer to {prompt}")
    other = encoded("WAV", "PCM_16", -RAMP)
    answer = open_endpoint(chat, options=Options(max_tokens=7), instruction="be brief")
    assert answer([question("a", WAV, other)]) == ["answer to a"]
    (messages, options), *_ = chat.asked
    assert options == Options(max_tokens=7)
    assert list(messages) == [
        Message("system", "be brief"),
        Message("user", (Audio(WAV, "wav"), Audio(other, "wav"), Text("a"))),
    ]


def test_a_question_without_audio_is_plain_text() -> None:
    chat = FakeChat(str.upper)
    assert open_endpoint(chat)([question("b")]) == ["B"]
    assert list(chat.asked[0][0]) == [Message("user", "b")]


def test_answers_come_in_order_from_many_threads() -> None:
    meeting = threading.Barrier(3, timeout=10)

    def reply(prompt: str) -> str:
        meeting.wait()  # only passes where three are asked at a time
        return prompt

    prompts = [f"{i}" for i in range(12)]
    assert open_endpoint(FakeChat(reply), concurrency=3)([question(p) for p in prompts]) == prompts


def test_a_refused_request_is_unanswered_with_its_reason(tmp_path: Path) -> None:
    calls: list[str] = []

    def reply(prompt: str) -> str:
        calls.append(prompt)
        if "2" in prompt:
            raise ReplyError("the server answered 400: too long")
        return "fine"

    items = [Item(id=f"{i}", question=f"q{i}", choices=(), audios=()) for i in range(4)]
    out = tmp_path / "out"
    summary = evaluate(open_endpoint(FakeChat(reply)), items, out=out, identity={})
    assert summary.failed == 1
    assert [r.outputs[0] for r in read_predictions(out)] == ["fine", "fine", "", "fine"]
    assert [r.errors[0] for r in read_predictions(out)] == ["", "", "the server answered 400: too long", ""]
    assert sorted(calls) == ["q0", "q1", "q2", "q3"]  # a refusal is no reason to ask the others again


BROKEN = {
    "no sound": b"not sound",
    "nothing": b"",
    "a length of 0": WAV[: WAV.index(b"data") + 4] + bytes(4) + WAV[WAV.index(b"data") + 8 :],
    "int16 in float": encoded("WAV", "FLOAT", 32767 * RAMP),
    "half a file": encoded("WAV", "PCM_16")[:1500],
    "not finite": encoded("WAV", "FLOAT", np.where(np.arange(2000) == 7, np.nan, RAMP)),
    "no samples": encoded("WAV", "PCM_16", np.zeros(0)),
    "short": encoded("WAV", "PCM_16", RAMP[:400]),
    "half a FLAC": encoded("FLAC", "PCM_16")[:400],
}


@pytest.mark.parametrize("audio", BROKEN.values(), ids=BROKEN.keys())
def test_audio_that_a_local_model_is_refused_is_sent_to_nobody(audio: bytes) -> None:
    with pytest.raises(AudioErrors):
        read_usable([audio], sample_rate=RATE, names=["x"])
    chat = FakeChat(str.upper)
    (output,) = open_endpoint(chat)([question("x", audio)])
    assert output == ""
    assert isinstance(output, Refused)
    assert "x (audio)" in output.reason
    assert chat.asked == []


def test_silence_is_sent() -> None:
    silence = encoded("WAV", "PCM_16", np.zeros(2000))
    assert open_endpoint(FakeChat(str.upper))([question("x", silence)]) == ["X"]


def test_a_server_that_refuses_everything_ends_the_run(tmp_path: Path) -> None:
    def reply(prompt: str) -> str:
        raise ReplyError("the server answered 400: use max_completion_tokens")

    out = tmp_path / "out"
    answer = open_endpoint(FakeChat(reply))
    for count, message in (
        (3, "none of 3 items has an answer; 3 times .*400: use max_com"),
        (60, "was refused"),
    ):
        items = [Item(id=f"{i}", question=f"q{i}", choices=(), audios=()) for i in range(count)]
        with pytest.raises(HarnessError, match=message):
            evaluate(answer, items, out=out, identity={})
        assert out.exists() == (count == 3)
        mended = evaluate(open_endpoint(FakeChat(str.upper)), items, out=out, identity={})
        assert (mended.asked, mended.failed) == (count, 0)
        out.unlink()
    counted = evaluate(answer, items, out=out, identity={}, stop_after=None)
    assert counted.reasons == (("the server answered 400: use max_completion_tokens", 60),)


def test_a_model_that_declines_is_unanswered_and_not_broken() -> None:
    def reply(prompt: str) -> str:
        raise DeclinedError("the model gave no text: I would rather not")

    (output,) = open_endpoint(FakeChat(reply))([question("x")])
    assert isinstance(output, Unanswered)
    assert not isinstance(output, Refused)


def test_text_cut_at_the_limit_is_counted_and_stays_so(tmp_path: Path) -> None:
    items = [Item(id=f"{i}", question=f"q{i}", choices=(), audios=()) for i in range(4)]
    answer = open_endpoint(FakeChat(lambda prompt: "I think ..." if prompt == "q2" else "yes"))
    assert isinstance(answer([question("q2")])[0], Cut)
    for _ in range(2):
        assert evaluate(answer, items, out=tmp_path / "out", identity={}).cut == 1
    assert [r.cut for r in read_predictions(tmp_path / "out")] == [(), (), (0,), ()]
    assert (tmp_path / "out").read_text().count('"cut"') == 1


def test_an_endpoint_that_is_gone_ends_the_run() -> None:
    def reply(prompt: str) -> str:
        raise EndpointError("connection refused")

    with pytest.raises(EndpointError, match="refused"):
        open_endpoint(FakeChat(reply))([question("a")])


@pytest.mark.parametrize(
    ("form", "subtype", "kind"),
    [("WAV", "PCM_16", "wav"), ("WAV", "PCM_24", "wav"), ("MP3", "MPEG_LAYER_III", "mp3")],
)
def test_what_endpoints_take_is_sent_as_it_is(form: str, subtype: str, kind: str) -> None:
    audio = encoded(form, subtype)
    assert audio_part(audio, name="a") == Audio(audio, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [0x7FFFF000, 0xFFFFFFFF])
def test_a_wav_out_of_a_pipe_is_sent_with_its_length(length: int) -> None:
    piped = bytearray(WAV)
    at = piped.index(b"data")
    piped[at + 4 : at + 8] = struct.pack("<I", length)
    assert audio_part(bytes(piped), name="a") == Audio(WAV, "wav")


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_flac_becomes_wav_without_losing_a_sample_or_a_channel(subtype: str) -> None:
    stereo = np.stack([RAMP, -RAMP], axis=1)
    part = audio_part(encoded("FLAC", subtype, stereo), name="a")
    assert part.format == "wav"
    before, _ = soundfile.read(io.BytesIO(encoded("FLAC", subtype, stereo)), dtype="int32")
    after, rate = soundfile.read(io.BytesIO(part.content), dtype="int32")
    assert rate == RATE
    np.testing.assert_array_equal(after, before)
    assert soundfile.info(io.BytesIO(part.content)).subtype == subtype


def test_float_is_clipped_not_wrapped() -> None:
    part = audio_part(encoded("WAV", "FLOAT", 2 * RAMP), name="a")
    samples, _ = soundfile.read(io.BytesIO(part.content))
    np.testing.assert_allclose(samples, np.clip(2 * RAMP, -1, 1), atol=2**-14)


def test_an_empty_file_is_an_error() -> None:
    with pytest.raises(AudioError, match="a:"):
        audio_part(encoded("FLAC", "PCM_16", np.zeros(0)), name="a")

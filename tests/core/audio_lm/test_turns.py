"""Turns and prompt formats: GAMA's text as it always was, and what a format has no room for."""

from __future__ import annotations

import pytest

from core.audio_lm import turns
from core.audio_lm.turns import Turn, TurnError, alpaca, asked, audio_of, chatml, plain, turns_of, with_hint
from core.data.instructions import Instruction

ITEM = Instruction(audio_id="s:a", instruction="Which sound?", input="", task="t", output="A dog.")
TALK = (
    Turn("system", "Be brief."),
    Turn("user", "What is it?", ("s:a",)),
    Turn("assistant", "A dog."),
    Turn("user", "And then?"),
    Turn("assistant", "Rain."),
)


def test_gamas_text_is_alpaca_short() -> None:
    prompt = "### Instruction:\nWhich sound?\n\n### Response:\n"
    assert alpaca(turns_of(ITEM)) == (prompt, "A dog.")
    assert alpaca(asked("Which sound?", "s:a")) == (prompt, "")
    more = Instruction(audio_id="s:a", instruction="Which sound?", input="rain, dog", output="A dog.")
    long = "### Instruction:\nWhich sound?\n\n### Input:\nrain, dog\n\n### Response:\n"
    assert alpaca(turns_of(more)) == (long, "A dog.")
    assert alpaca(with_hint(turns_of(ITEM), "Tags: <hint>."))[0] == prompt.replace(
        "Which", "Tags: <hint>. Which"
    )
    assert with_hint(turns_of(ITEM), "") == turns_of(ITEM)


def test_a_conversation_has_its_last_answer_for_answer() -> None:
    assert chatml(TALK) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is it?<|im_end|>\n"
        "<|im_start|>assistant\nA dog.<|im_end|>\n<|im_start|>user\nAnd then?<|im_end|>\n"
        "<|im_start|>assistant\n",
        "Rain.",
    )
    assert plain(TALK) == ("Be brief.\nWhat is it?\nA dog.\nAnd then?\n", "Rain.")
    with pytest.raises(TurnError, match="one question, not system, user, assistant, user"):
        alpaca(TALK)


def test_a_prefix_is_of_one_audio() -> None:
    assert audio_of(TALK) == "s:a"
    for wrong in (asked("What?"), (*asked("What?", "s:a"), *asked("And?", "s:b"))):
        with pytest.raises(TurnError, match="audios in"):
            audio_of(wrong)
    assert set(turns.FORMATS) == {"alpaca", "plain", "chatml"}

"""JSON out of a model's text: found, checked, repaired once, never guessed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from core.language.client import Message, Options, Reply, ReplyError
from core.language.structured import StructureError, complete_json, parse_json

SCORE = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["score"],
}
ASK = [Message("user", "rate")]


class Scripted:
    identity: dict[str, Any] = {"model": "m"}  # noqa: RUF012

    def __init__(self, *script: str | Reply | Exception) -> None:
        self.script = list(script)
        self.asked: list[list[Message]] = []
        self.options: list[Options | None] = []

    def complete(self, messages: Sequence[Message], *, options: Options | None = None) -> Reply:
        self.asked.append(list(messages))
        self.options.append(options)
        next_one = self.script.pop(0)
        if isinstance(next_one, Exception):
            raise next_one
        return Reply(text=next_one) if isinstance(next_one, str) else next_one


@pytest.mark.parametrize(
    "text",
    [
        '{"score": 4}',
        'Sure! Here you are:\n```json\n{"score": 4}\n```\nAnything else? {"score": 1}',
        '```\n{"score": 4}\n```',
        'I think {roughly} speaking [1] it is {"score": 4, "reason": "it says {\\"score\\": 2}"}',
        '{"score": 4} and once more {"score": 4}',
        '{"other": 1} {"score": 4}',
    ],
)
def test_the_value_is_found(text: str) -> None:
    assert parse_json(text, SCORE)["score"] == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no complete JSON"),
        ("four", "no complete JSON"),
        ("4", "no complete JSON"),
        ('{"score": 4', "no complete JSON"),
        ('{"draft": {"score": 2}, "final": {"sco', "no complete JSON"),  # the draft is not the answer
        ('{"draft": {"score": 2}, "final": "it', "no complete JSON"),
        ('{"score": 4} or perhaps {"score": 5}', "2 different answers"),
        ('{"score": 6}', r"\$\.score.*6"),
        ('{"score": 0}', r"\$\.score"),
        ('{"score": "4"}', r"\$\.score"),
        ('{"score": 3.5}', r"\$\.score"),
        ('{"score": true}', r"\$\.score"),
        ('{"score": null}', r"\$\.score"),
        ('{"score": NaN}', "no complete JSON"),
        ('[{"score": 4}]', r"at \$:"),
        ("{}", "'score' is a required property"),
        ("[" * 100_000, "no complete JSON"),
        ('{"score": ' + "9" * 10_000 + "}", "no complete JSON"),
    ],
)
def test_nothing_is_guessed(text: str, says: str) -> None:
    with pytest.raises(StructureError, match=says):
        parse_json(text, SCORE)


def test_a_good_answer_is_asked_for_once() -> None:
    chat = Scripted('{"score": 2}')
    done = complete_json(chat, ASK, schema=SCORE, options=Options(seed=3))
    assert (done.value, done.error, done.repaired, len(done.replies)) == ({"score": 2}, "", False, 1)
    assert chat.options == [Options(seed=3, schema=SCORE)]


def test_repair_shows_the_model_its_answer_and_the_fault() -> None:
    chat = Scripted('{"score": 9}', '{"score": 5}')
    done = complete_json(chat, ASK, schema=SCORE)
    assert done.value == {"score": 5}
    assert done.repaired
    assert chat.asked[1][:2] == [*ASK, Message("assistant", '{"score": 9}')]
    assert "$.score" in chat.asked[1][2].content
    assert '"maximum": 5' in chat.asked[1][2].content


def test_beyond_repair_is_an_outcome_that_counts_its_replies() -> None:
    done = complete_json(Scripted("no", "", '{"score": 5}'), ASK, schema=SCORE)
    assert done.value is None
    assert done.error.startswith("unusable: it holds no complete JSON")
    assert not done.repaired
    assert len(done.replies) == 2


def test_text_cut_at_max_tokens_says_so() -> None:
    cut = Reply(text='{"score', finish="length")
    assert "cut off at 512 tokens" in complete_json(Scripted(cut, cut), ASK, schema=SCORE).error


def test_refusal_is_an_outcome_even_in_the_repair() -> None:
    assert complete_json(Scripted(ReplyError("no")), ASK, schema=SCORE).error == "refused: no"
    done = complete_json(Scripted("bad", ReplyError("no")), ASK, schema=SCORE)
    assert (done.error, len(done.replies)) == ("refused: no", 1)


def test_null_can_be_a_value_of_a_list() -> None:
    assert parse_json("[null]", {"type": "array"}) == [None]


@pytest.mark.parametrize(
    "text",
    [
        '<think>Perhaps {"score": 3}? Higher.</think>\n{"score": 4}',
        '[THINK]{"score": 3}[/THINK]{"score": 4}',
        '{"score": 3}? No.</think>```json\n{"score": 4}\n```',
        '<|channel|>analysis<|message|>{"score": 3}<|channel|>final<|message|>{"score": 4}',
    ],
)
def test_drafts_of_a_thought_are_no_answer(text: str) -> None:
    schema = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}
    assert parse_json(text, schema) == {"score": 4}


def test_a_thought_that_never_ends_answers_nothing_and_a_string_is_no_thought() -> None:
    with pytest.raises(StructureError, match="no complete JSON"):
        parse_json('<think>Perhaps {"score": 3}', {"type": "object"})
    text = '{"reason": "it says </think> here", "score": 4}'
    assert parse_json(text, {"type": "object"})["score"] == 4
    assert parse_json(f"```json\n[{text}]\n```", {"type": "array"})[0]["score"] == 4


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
def test_a_number_without_end_is_no_answer(number: str) -> None:
    schema = {"type": "object", "properties": {"score": {"type": "number"}}, "required": ["score"]}
    with pytest.raises(StructureError):
        parse_json(f'{{"score": {number}}}', schema)
    assert parse_json(f'{{"score": {number}}} or rather {{"score": 1e3}}', schema) == {"score": 1000.0}

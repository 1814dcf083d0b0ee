"""What a model says behind its thoughts, however they are marked."""

from __future__ import annotations

import pytest

from core.language.thoughts import after_thoughts


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no thoughts", "no thoughts"),
        ("<think>a</think>b", "b"),
        ("a</think>b", "b"),
        ("<think>a</think>b<think>c</think>d", "d"),
        ("<think>a", ""),
        ("b <think>a", "b "),
        ("< Think >a</ THINK >b", "b"),
        ("<THINKING mode='long'>a</THINKING>b", "b"),
        ("[THINK]a[/THINK]b", "b"),
        ("[think]a", ""),
        ("{thought}a{/thought}b", "b"),
        ("【思考】a【/思考】b", "b"),
        ("<seed:think>a</seed:think>b", "b"),
        ("<seed:think>a", ""),
        ("<mm|think>a</mm|think>b", "b"),
        ("◁think▷a◁/think▷b", "b"),
        ("<|begin_of_thought|>a<|end_of_thought|>b", "b"),
        ("<|START_THINKING|>a<|END_THINKING|>b", "b"),
        ("<|thought_start|>a<|thought_end|>b", "b"),
        ("<|think|>a<|/think|>b", "b"),
        ("<unused94>thought\na<unused95>b", "b"),
        ("&lt;think&gt;a&lt;/think&gt;b", "b"),
        ("Thinking...\na\n...done thinking.\n\nb", "\n\nb"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b", "b"),
        ("<|channel|>commentary to=x<|message|>a<|channel|>final<|message|>b", "b"),
        ("<|channel|>analysis<|message|>a", ""),
        ("analysisIt rains.assistantfinalb", "b"),
        # words that are no marks
        ("analysis of the sound: b", "analysis of the sound: b"),
        ("[Reason] it rains", "[Reason] it rains"),
        ("I think {x} > y < z", "I think {x} > y < z"),
        ("Thinking... it rains", "Thinking... it rains"),
        ("the [plan] is b", "the [plan] is b"),
    ],
)
def test_what_stands_behind(text: str, said: str) -> None:
    assert after_thoughts(text) == said

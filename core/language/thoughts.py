"""What a model says once it has thought: marks of thoughts as models and their servers write them.

<think>, [THINK], <seed:think>, ◁think▷, <|begin_of_thought|>, <|START_THINKING|>, gpt-oss's channels,
Ollama's "Thinking... done thinking.", and their kin, in any case.
"""

from __future__ import annotations

import re

_STRICT = r"think|thinking|thought|thoughts|思考|思考过程|思考過程|推理"
_WORDS = (
    rf"{_STRICT}|thought[_ ]process|reasoning|reason|rationale|analysis|planning|plan|caption|summary|"
    r"reflection|reflect|scratchpad|inner[_ ]monologue|cot|chain[_ ]of[_ ]thought|deliberation"
)
_OPEN, _CLOSE = r"(?:<\|?|&lt;|＜|◁|\[|\{|【|〈|《)", r"(?:\|?>|&gt;|＞|▷|\]|\}|】|〉|》)"
# In square brackets and braces, which texts use too, a beginning counts for what only thoughts are called.
_ANGLE, _OTHER = r"(?:<\|?|&lt;|＜|◁)", r"(?:\[|\{|【|〈|《)"
_SPACE = r"[\w.]{1,20}[:|]"  # <seed:think>, <mm|think>
_END = re.compile(
    rf"{_OPEN}\s?(?:/\s?(?:{_SPACE})?(?:{_WORDS})|(?:{_SPACE})?/(?:{_WORDS})|"
    rf"end_(?:of_)?(?:{_WORDS})|(?:{_WORDS})_end)\s?{_CLOSE}"
    r"|<unused95>|^\.\.\.done thinking\.",
    re.IGNORECASE | re.MULTILINE,
)
_BEGIN = re.compile(
    rf"{_ANGLE}\s?(?:(?:{_SPACE})?(?:{_WORDS})(?:\s[^<>\n]{{0,100}})?|"
    rf"(?:begin|start)_(?:of_)?(?:{_WORDS})|(?:{_WORDS})_(?:begin|start))\s?{_CLOSE}"
    rf"|{_OTHER}\s?(?:{_STRICT})\s?{_CLOSE}|<unused94>|\AThinking\.\.\.\n",
    re.IGNORECASE,
)
# Harmony: <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>B
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<>\n]{0,100}<\|message\|>", re.IGNORECASE)
_BARE_CHANNEL = re.compile(r"\s*analysis(?=\S).*assistant\s?final", re.DOTALL)  # without special tokens


def after_thoughts(text: str) -> str:
    """What stands behind the last thought.

    An end without a beginning, as servers leave it, hides all before it; a thought that never ends, as in an
    answer that was cut off, hides all behind its beginning.
    """
    channels = list(_CHANNEL.finditer(text))
    if channels:
        last = channels[-1]
        text = text[last.end() :] if last[1].lower() == "final" else text[: channels[0].start()]
    elif text.lstrip()[:8] == "analysis" and (bare := _BARE_CHANNEL.match(text)):
        text = text[bare.end() :]
    if ends := list(_END.finditer(text)):
        text = text[ends[-1].end() :]
    begin = _BEGIN.search(text)
    return text if begin is None else text[: begin.start()]

"""What a written pair must keep to: the rules of GAMA's section 3.2, as far as text can tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PAIR = ("Instruction", "Answer", "Knowledge topic")
_NOT_HEARD = re.compile(
    r"\b(captions?|descriptions?|time-?stamps?|event list|list of (events|sounds)|metadata|transcript"
    r"|annotations?|images?|pictures?|photos?|video|footage|film|frame|visual(ly|s)?|visible|seen"
    r"|looks? like)\b",
    re.IGNORECASE,
)
_TRIVIAL = re.compile(
    r"\b(gender|male or female|man or (a )?woman|loud(er|est|ness)?|volume)\b", re.IGNORECASE
)
_WORD = re.compile(r"[a-z]+")
_ENDINGS = ("ing", "ed", "es", "s", "e")


@dataclass(frozen=True)
class Vocabulary:
    """Names of sounds, as stems, that must not be mentioned where they do not sound."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, labels: Iterable[str], *, generic: Iterable[str] = ()) -> Vocabulary:
        """The names in all labels of a collection, without the generic ones. A label may hold several:
        "Vehicle horn, car horn, honking"; what stands in brackets is an explanation."""
        names = {stems(name) for label in set(labels) for name in _names(label)}
        return cls(tuple(sorted(names - {stems(name) for name in generic} - {""})))

    def strangers(self, text: str, given: Sequence[str]) -> list[str]:
        """The names that `text` mentions and `given` (labels, notes) does not."""
        said, known = f" {stems(text)} ", f" {' | '.join(stems(each) for each in given)} "
        return [name for name in self.names if f" {name} " in said and f" {name} " not in known]


def fault_of(
    instruction: str, answer: str, *, given: Sequence[str], vocabulary: Vocabulary, words: int = 30
) -> str:
    """The first rule that a pair breaks, "" for none.

    The answer has fewer than `words` words; nothing refers to what a listener does not have; nobody asks for
    a gender or for loudness; no sound is mentioned that is not among `given`.
    """
    if not instruction.strip() or not answer.strip():
        return "empty"
    if len(answer.split()) >= words:
        return "answer too long"
    both = f"{instruction} {answer}"
    if _NOT_HEARD.search(both):
        return "refers to what cannot be heard"
    if _TRIVIAL.search(instruction):
        return "trivial"
    if vocabulary.strangers(both, given):
        return "mentions a sound that is not there"
    return ""


def pairs_schema(pairs: int) -> Mapping[str, Any]:
    """The JSON schema of a model's answer: a list of exactly `pairs` objects."""
    return {
        "type": "array",
        "minItems": pairs,
        "maxItems": pairs,
        "items": {
            "type": "object",
            "properties": {key: {"type": "string"} for key in PAIR},
            "required": list(PAIR),
        },
    }


def stems(text: str) -> str:
    """Lower-case words without their commonest endings, so that "dogs barking" is "dog bark"."""
    return " ".join(_stem(word) for word in _WORD.findall(text.lower().replace("_", " ")))


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return _stem(word.removesuffix(ending)) if ending == "s" else word.removesuffix(ending)
    return word


def _names(label: str) -> list[str]:
    return re.sub(r"\(.*?\)", "", label).split(",")

"""ClothoAQA (EUSIPCO 2022): three annotators answer each question with yes, no or a single word.

GAMA does not say how free text is scored. Here two accuracies are kept apart, each with the questions that it
covers: yes/no questions on which the annotators agree, and, of all others, any of the given answers. Audio
Flamingo's protocol (its author, github.com/NVIDIA/audio-flamingo, issue 6) has the same two and a third, of
answers that are numbers; there the output must equal an answer, also "yes" or "no": yes_no="whole".

The official test list has 2,838 questions: 1,109 unanimous (684 yes: always saying so scores 61.7 %), 946
that are no yes/no questions (always "one" scores 6.3 %). core.data.imports.clothoaqa compares with these.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

Match: TypeAlias = Literal["exact", "contained"]
YesNo: TypeAlias = Literal["first", "whole"]
Part: TypeAlias = Literal["unanimous", "open", "numerical"]

ARTICLES = ("a", "an", "the")
NUMBERS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"),
    *("twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
_PUNCTUATION = re.compile(r"[^\w\s]|_")


class AnswerError(ValueError):
    """Questions whose answers cannot be used."""


@dataclass(frozen=True, kw_only=True)
class AqaScores:
    """What N outputs scored; all (N,) bool.

    `binary`: every annotator said yes or no; `unanimous`: and all the same; `numerical`: every one gave a
    number, in digits or as a word up to twenty; `hit`: the output states an answer that was given (of an
    unanimous question, the answer); `answered`: the output can be read as an answer, which of a yes/no
    question means that it says yes or no. What is not answered is no hit.
    """

    binary: np.ndarray
    unanimous: np.ndarray
    numerical: np.ndarray
    hit: np.ndarray
    answered: np.ndarray

    @property
    def open(self) -> np.ndarray:
        """(N,) bool: the questions of the any-of-three accuracy, all that are not yes/no questions."""
        return ~self.binary

    def accuracy(self, part: Part) -> float:
        """Share of hits among the unanimous yes/no questions, the others, or the numbers; NaN for none."""
        covered = self._covered(part)
        return float(self.hit[covered].mean()) if covered.any() else float("nan")

    def coverage(self, part: Part) -> float:
        """Share of all questions that `accuracy` of this part is about."""
        return float(self._covered(part).mean())

    def _covered(self, part: Part) -> np.ndarray:
        return {"unanimous": self.unanimous, "open": self.open, "numerical": self.numerical}[part]


def clotho_aqa_scores(
    outputs: Sequence[str],
    answers: Sequence[Sequence[str]],
    *,
    match: Match = "exact",
    yes_no: YesNo = "first",
    ids: Sequence[str] | None = None,
) -> AqaScores:
    """Score outputs against the annotators' answers, after `normalise`.

    A yes/no question takes the first "yes" or "no" of the output (yes_no="first"), or an output that is
    nothing else ("whole"). Another question wants an output that is one of its answers (match="exact") or
    holds one as whole words ("contained", for models that answer in
    sentences). Raises AnswerError for an item without answers; `ids` name the items in messages.
    """
    if len(outputs) != len(answers) or (ids is not None and len(ids) != len(outputs)):
        raise AnswerError(f"{len(outputs)} outputs for {len(answers)} questions: give one for each")
    if not outputs:
        raise AnswerError("no questions to score")
    if match not in ("exact", "contained"):
        raise AnswerError(f"match is {match!r}; it must be 'exact' or 'contained'")
    if yes_no not in ("first", "whole"):
        raise AnswerError(f"yes_no is {yes_no!r}; it must be 'first' or 'whole'")
    rows = []
    for index, (output, given) in enumerate(zip(outputs, answers)):
        truths = {normalise(answer) for answer in given}
        if not truths or "" in truths:
            name = f"item {index}" if ids is None else ids[index]
            raise AnswerError(f"{name} has no answers, or one without a word; correct the data set")
        rows.append((*_score(output, truths, match=match, yes_no=yes_no), all(map(_is_number, truths))))
    binary, unanimous, hit, answered, numerical = np.array(rows, dtype=bool).T
    return AqaScores(binary=binary, unanimous=unanimous, numerical=numerical, hit=hit, answered=answered)


def normalise(text: str) -> str:
    """Lower case, no punctuation, single spaces, no article in front: "The dogs." -> "dogs"."""
    words = _PUNCTUATION.sub(" ", text.lower()).split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in ARTICLES else words)


def yes_or_no(text: str) -> Literal["yes", "no"] | None:
    """The first "yes" or "no" among the words, None where there is neither."""
    for word in normalise(text).split():
        if word == "yes":
            return "yes"
        if word == "no":
            return "no"
    return None


def _is_number(answer: str) -> bool:
    return answer.isdigit() or answer in NUMBERS


def _score(output: str, truths: set[str], *, match: Match, yes_no: YesNo) -> tuple[bool, bool, bool, bool]:
    """binary, unanimous, hit, answered."""
    if truths <= {"yes", "no"}:
        whole = normalise(output)
        said = yes_or_no(output) if yes_no == "first" or whole in ("yes", "no") else None
        return True, len(truths) == 1, said in truths, said is not None
    text = normalise(output)
    if match == "exact":
        hit = text in truths
    else:
        hit = any(f" {truth} " in f" {text} " for truth in truths)
    return False, False, hit, bool(text)

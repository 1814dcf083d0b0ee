"""Whether an answer obeys the one instruction that its question gives: the 27 rule types of MMAU-Pro.

MMAU-Pro (AAAI 2026, arXiv 2508.13992) names the type in `task_identifier`, its numbers and words in `kwargs`
(N; N1 and N2 of a range; keywords, keyword, forbidden_words, postscript_marker, section_splitter,
start_phrase, end_phrase). Most of the types come from IFEval, so an identifier may also be written in its
way.

Two readings. "release" is what the released script does. "strict" repairs what in it lets an answer pass, or
fail, that should not:

    an answer without text     release: passes every ban and upper limit       strict: fails
    Postscript                 "ps" among all letters, as "lamps" has          the marker as a word of its own
    Highlighted Section        also what lies between two bullets              on one line, no space inside
    Start and End Checker      a-z and spaces only, so "Да" is always there    whole words of any script
    Quotation                  a single " is enough                            two, straight or curly
    Title, Two Responses       also of blanks                                  with text
    Keyword Frequency          "C++" is never found                            also beside punctuation
    lists of words             between ", " alone: "rain,wind" is one word     between commas
    Multiple Sections          the splitter with its blanks                    without them
    numbers given as text      equal no count, and are below and above none    read as numbers
    names of types             to the letter                                   in any case, also IFEval's

Keywords and forbidden words are substrings in both, as the release has them. Unknown types fail in both. A
row that lacks its numbers or words is an error in both; the release would take 0, 999 or "" for them, and end
with a TypeError where a text is to be less or more than a number.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from core.metrics.instruction_rules import (
    bullets,
    capital_words,
    ends_with,
    forbidden_words,
    highlights,
    include_keywords,
    keyword_frequency,
    no_commas,
    paragraphs,
    placeholders,
    postscript,
    quoted,
    repeats_prompt,
    sections,
    starts_with,
    title,
    two_responses,
    words,
)
from core.metrics.sentences import counter

Reading: TypeAlias = Literal["strict", "release"]
READINGS: tuple[Reading, ...] = ("strict", "release")


class RuleError(ValueError):
    """A rule that lacks what it needs (a number, a phrase, the prompt); the message names the item."""


@dataclass(frozen=True, kw_only=True)
class Ruled:
    """One instruction. prompt: the question as it was put, which only "Repeat Prompt" needs."""

    id: str
    task: str
    kwargs: Mapping[str, Any]
    prompt: str = ""

    def number(self, name: str, *, release: bool = False) -> float:
        """A whole number, however JSON or a data frame wrote it; release: any as it is, NaN for text."""
        value = self._value(name)
        if release and isinstance(value, (str, int, float)):
            return float("nan") if isinstance(value, str) else float(value)
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if isinstance(value, bool) or not number.is_integer() or number < 0:
            raise RuleError(f"item {self.id} ({self.task}): {name} is {value!r}, not a whole number from 0")
        return int(number)

    def text(self, name: str, *, blank: bool = False) -> str:
        """A text with words; blank: white space will do."""
        value = self._value(name)
        if not isinstance(value, str) or not (value if blank else value.strip()):
            raise RuleError(f"item {self.id} ({self.task}): {name} is {value!r}, not a text")
        return value

    def texts(self, name: str, *, release: bool = False) -> list[str]:
        """Texts between commas, or a list of them; release: between a comma and a blank, and nothing else."""
        value = self._value(name)
        if release and isinstance(value, str) and value:
            return value.split(", ")
        parts = re.split(r",(?!\d)", value) if isinstance(value, str) else list(value)  # 1,000 is one
        texts = [str(part).strip() for part in parts if str(part).strip()]
        if not texts:
            raise RuleError(f"item {self.id} ({self.task}): {name} is {value!r}, which names nothing")
        return texts

    def _value(self, name: str) -> Any:
        value = self.kwargs.get(name)
        if value is None:
            given = ", ".join(sorted(key for key, held in self.kwargs.items() if held is not None)) or "none"
            raise RuleError(f"item {self.id} ({self.task}): kwargs lack {name} (given: {given})")
        return value


@dataclass(frozen=True, kw_only=True)
class Checked:
    """rule: the official name, "" where the type is unknown. reason: why it failed for another cause than its
    content ("said nothing", "unknown rule ..."), else ""."""

    id: str
    rule: str
    passed: bool
    reason: str = ""


def check(
    answer: str,
    ruled: Ruled,
    *,
    reading: Reading = "strict",
    sentences: Callable[[str], int] | None = None,
) -> Checked:
    """Whether `answer` obeys the rule of `ruled`.

    sentences: counts sentences; None takes the best that is installed (core.metrics.sentences.counter).
    Raises RuleError where the rule lacks what it needs.
    """
    if reading not in READINGS:
        raise RuleError(f"reading {reading!r} is none of {', '.join(READINGS)}")
    rule = official_name(ruled.task) if reading == "strict" or ruled.task in _CHECKS else None
    if rule is None:
        return Checked(id=ruled.id, rule="", passed=False, reason=f"unknown rule {ruled.task!r}")
    # before the blank is judged, so that a row with a fault is named whatever the model said
    passed = _CHECKS[rule](answer, ruled, reading == "release", sentences or counter()[1])
    if reading == "strict" and not answer.strip():
        return Checked(id=ruled.id, rule=rule, passed=False, reason="said nothing")
    return Checked(id=ruled.id, rule=rule, passed=passed)


def check_all(
    answers: Sequence[str],
    rules: Sequence[Ruled],
    *,
    reading: Reading = "strict",
    sentences: Callable[[str], int] | None = None,
) -> list[Checked]:
    """`check` for every item, in order; all items that lack something are named in one RuleError."""
    if len(answers) != len(rules):
        raise RuleError(f"{len(answers)} answers for {len(rules)} instructions")
    count = sentences or counter()[1]
    done: list[Checked] = []
    faults: list[str] = []
    for answer, ruled in zip(answers, rules):
        try:
            done.append(check(answer, ruled, reading=reading, sentences=count))
        except RuleError as error:
            faults.append(str(error))
    if faults:
        told = "; ".join(faults[:5])
        raise RuleError(f"{len(faults)} of {len(rules)} instructions cannot be checked: {told}")
    return done


def failures(checked: Iterable[Checked]) -> dict[str, int]:
    """How many items failed by reason, those that failed by their content left out."""
    return dict(Counter(one.reason for one in checked if one.reason))


def read_kwargs(value: Any, *, id: str) -> dict[str, Any]:
    """kwargs as a data set holds them: JSON text, a mapping (absent keys as None), or nothing."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise RuleError(f"item {id}: kwargs are no JSON ({error}): {value[:80]!r}") from None
        if value is None:
            return {}
    if not isinstance(value, Mapping):
        raise RuleError(f"item {id}: kwargs are {type(value).__name__}, not an object: {value!r:.80}")
    return dict(value)


def official_name(task: str) -> str | None:
    """The official name of a type, None where there is none.

    Case, spaces, "_" and "-" do not matter, nor a category in front ("length:Number Words (at least)"); names
    of IFEval are accepted where the rule is the same.
    """
    for name in (task, task.rpartition(":")[2]):
        if found := _NAMES.get(_plain(name)):
            return found
    return None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name.lower()).strip()


def _range(value: int, ruled: Ruled, release: bool) -> bool:
    low, high = ruled.number("N1", release=release), ruled.number("N2", release=release)
    if low > high and not release:
        raise RuleError(f"item {ruled.id} ({ruled.task}): N1 {low} is above N2 {high}")
    return low <= value <= high


def _prompt(ruled: Ruled) -> str:
    if not ruled.prompt.strip():
        raise RuleError(f"item {ruled.id} ({ruled.task}): no prompt is given that could be repeated")
    return ruled.prompt


_Rule: TypeAlias = Callable[[str, Ruled, bool, Callable[[str], int]], bool]  # text, rule, release?, sentences
_CHECKS: dict[str, _Rule] = {
    "Include Keywords": lambda t, r, o, s: include_keywords(t, r.texts("keywords", release=o)),
    "Keyword Frequency": lambda t, r, o, s: (
        keyword_frequency(t, r.text("keyword", blank=o), release=o) == r.number("N", release=o)
    ),
    "Forbidden Words": lambda t, r, o, s: forbidden_words(t, r.texts("forbidden_words", release=o)),
    "Number Paragraphs": lambda t, r, o, s: paragraphs(t) == r.number("N", release=o),
    "Number Words (at least)": lambda t, r, o, s: words(t) >= r.number("N", release=o),
    "Number Words (at most)": lambda t, r, o, s: words(t) <= r.number("N", release=o),
    "Number Words (range)": lambda t, r, o, s: _range(words(t), r, o),
    "Number Sentences (at least)": lambda t, r, o, s: s(t) >= r.number("N", release=o),
    "Number Sentences (at most)": lambda t, r, o, s: s(t) <= r.number("N", release=o),
    "Number Sentences (range)": lambda t, r, o, s: _range(s(t), r, o),
    "Postscript": lambda t, r, o, s: postscript(t, r.text("postscript_marker", blank=o), release=o),
    "Number Placeholder": lambda t, r, o, s: placeholders(t) >= r.number("N", release=o),
    "Number Bullets": lambda t, r, o, s: bullets(t) == r.number("N", release=o),
    "Title": lambda t, r, o, s: title(t, release=o),
    "Minimum Number Highlighted Section": lambda t, r, o, s: (
        highlights(t, release=o) >= r.number("N", release=o)
    ),
    "Multiple Sections": lambda t, r, o, s: (
        sections(t, r.text("section_splitter", blank=True), release=o) == r.number("N", release=o)
    ),
    "Repeat Prompt": lambda t, r, o, s: repeats_prompt(t, _prompt(r)),
    "Two Responses": lambda t, r, o, s: two_responses(t, release=o),
    "All Uppercase": lambda t, r, o, s: t.isupper(),
    "All Lowercase": lambda t, r, o, s: t.islower(),
    "All-capital Words (at least)": lambda t, r, o, s: capital_words(t) >= r.number("N", release=o),
    "All-capital Words (at most)": lambda t, r, o, s: capital_words(t) <= r.number("N", release=o),
    "All-capital Words (range)": lambda t, r, o, s: _range(capital_words(t), r, o),
    "Start Checker": lambda t, r, o, s: starts_with(t, r.text("start_phrase", blank=o), release=o),
    "End Checker": lambda t, r, o, s: ends_with(t, r.text("end_phrase", blank=o), release=o),
    "Quotation": lambda t, r, o, s: quoted(t, release=o),
    "No Commas": lambda t, r, o, s: no_commas(t),
}
RULES = tuple(_CHECKS)
# IFEval (arXiv 2311.07911) calls the same rules so; those that it defines otherwise are left out.
IFEVAL: Mapping[str, str] = {
    "keywords:existence": "Include Keywords",
    "keywords:forbidden_words": "Forbidden Words",
    "length_constraints:number_paragraphs": "Number Paragraphs",
    "detectable_content:postscript": "Postscript",
    "detectable_content:number_placeholders": "Number Placeholder",
    "detectable_format:number_bullet_lists": "Number Bullets",
    "detectable_format:title": "Title",
    "detectable_format:number_highlighted_sections": "Minimum Number Highlighted Section",
    "detectable_format:multiple_sections": "Multiple Sections",
    "combination:repeat_prompt": "Repeat Prompt",
    "combination:two_responses": "Two Responses",
    "change_case:english_capital": "All Uppercase",
    "change_case:english_lowercase": "All Lowercase",
    "startend:end_checker": "End Checker",
    "startend:quotation": "Quotation",
    "punctuation:no_comma": "No Commas",
}
_NAMES = {
    **{_plain(name.rpartition(":")[2]): rule for name, rule in IFEVAL.items()},
    **{_plain(rule): rule for rule in RULES},
}

"""Requests with one instruction that a rule can check, for each of the 27 rule types of MMAU-Pro."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from shared_data.world.exams.item import Rng, permuted, pick

REQUESTS = (
    "Describe this recording.",
    "What do you hear in this recording?",
    "Tell me what happens in this audio.",
    "What is going on in this clip?",
)
_WORDS = (
    "sound",
    "loud",
    "quiet",
    "distance",
    "background",
    "noise",
    "moment",
    "clearly",
    "listener",
    "scene",
)
_MARKERS = ("P.S.", "P.P.S.")
_SPLITTERS = ("SECTION", "PART", "SCENE")
_STARTS = ("In this recording", "What I hear is", "Here is what happens")
_ENDS = ("That is all I hear.", "This is where the recording ends.", "Nothing else is heard.")


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """A question with its instruction; task and kwargs as core.metrics.instruction_following reads them."""

    question: str
    task: str
    kwargs: Mapping[str, Any]


def draw_instruction(rng: Rng, task: str) -> Instruction:
    """A request and an instruction of this rule type."""
    told, kwargs = _DRAWN[task](rng)
    return Instruction(question=f"{pick(rng, REQUESTS)} {told}", task=task, kwargs=kwargs)


_Drawn: TypeAlias = tuple[str, dict[str, Any]]


def _number(text: str, low: int, high: int) -> Callable[[Rng], _Drawn]:
    def drawn(rng: Rng) -> _Drawn:
        n = int(rng.integers(low, high + 1))
        return text.format(n), {"N": n}

    return drawn


def _range(text: str, low: int, high: int, width: int) -> Callable[[Rng], _Drawn]:
    def drawn(rng: Rng) -> _Drawn:
        n = int(rng.integers(low, high + 1))
        return text.format(n, n + width), {"N1": n, "N2": n + width}

    return drawn


def _plain(text: str) -> Callable[[Rng], _Drawn]:
    return lambda rng: (text, {})


def _phrase(text: str, name: str, phrases: tuple[str, ...]) -> Callable[[Rng], _Drawn]:
    def drawn(rng: Rng) -> _Drawn:
        phrase = pick(rng, phrases)
        return text.format(phrase), {name: phrase}

    return drawn


def _keywords(text: str, name: str) -> Callable[[Rng], _Drawn]:
    def drawn(rng: Rng) -> _Drawn:
        words = permuted(rng, _WORDS)[: int(rng.integers(1, 4))]
        return text.format(", ".join(words)), {name: ", ".join(words)}

    return drawn


def _frequency(rng: Rng) -> _Drawn:
    word, n = pick(rng, _WORDS), int(rng.integers(2, 4))
    return f'Use the word "{word}" exactly {n} times.', {"keyword": word, "N": n}


def _sections(rng: Rng) -> _Drawn:
    splitter, n = pick(rng, _SPLITTERS), int(rng.integers(2, 4))
    told = f"Write {n} sections, each after the word {splitter} in capitals, and nothing before the first."
    return told, {"section_splitter": splitter, "N": n}


_DRAWN: dict[str, Callable[[Rng], _Drawn]] = {
    "Include Keywords": _keywords("Use each of these words: {}.", "keywords"),
    "Keyword Frequency": _frequency,
    "Forbidden Words": _keywords("Use none of these words: {}.", "forbidden_words"),
    "Number Paragraphs": _number("Write exactly {} paragraphs with *** between them.", 2, 4),
    "Number Words (at least)": _number("Use at least {} words.", 15, 40),
    "Number Words (at most)": _number("Use at most {} words.", 6, 20),
    "Number Words (range)": _range("Use from {} to {} words.", 8, 25, 10),
    "Number Sentences (at least)": _number("Write at least {} sentences.", 2, 5),
    "Number Sentences (at most)": _number("Write at most {} sentences.", 1, 3),
    "Number Sentences (range)": _range("Write from {} to {} sentences.", 2, 4, 1),
    "Postscript": _phrase("At the end add a postscript that begins with {}", "postscript_marker", _MARKERS),
    "Number Placeholder": _number(
        "Put in at least {} placeholders in square brackets, such as [place].", 1, 4
    ),
    "Number Bullets": _number(
        'Answer with exactly {} bullet points, each a line that begins with "* ".', 2, 4
    ),
    "Title": _plain("Give your answer a title in double angular brackets, such as <<title>>."),
    "Minimum Number Highlighted Section": _number(
        "Highlight at least {} parts of your answer with asterisks, *like this*.", 1, 3
    ),
    "Multiple Sections": _sections,
    "Repeat Prompt": _plain("First repeat this whole request word for word, then answer it."),
    "Two Responses": _plain("Give two different answers with ****** between them."),
    "All Uppercase": _plain("Write in capital letters only."),
    "All Lowercase": _plain("Write in lower-case letters only."),
    "All-capital Words (at least)": _number("Write at least {} words in capital letters.", 1, 4),
    "All-capital Words (at most)": _number("Write at most {} words in capital letters.", 0, 2),
    "All-capital Words (range)": _range("Write from {} to {} words in capital letters.", 1, 3, 2),
    "Start Checker": _phrase('Begin your answer with "{}".', "start_phrase", _STARTS),
    "End Checker": _phrase('End your answer with "{}"', "end_phrase", _ENDS),
    "Quotation": _plain("Put your whole answer in double quotation marks."),
    "No Commas": _plain("Use no commas."),
}
TASKS = tuple(_DRAWN)

"""The answer file of MMAU's server: the official items, an answer each, and what the server makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.answering.records import Record
from core.data.problems import describe, some
from core.metrics.choice import NONE, Rule, score_votes
from core.metrics.choice_rules import correct_official_2025

Write = Literal["option", "raw"]
KEYS = (
    "model_output",
    "model_prediction",
)  # the script reads the first, its README and the server the second


class SubmissionError(ValueError):
    """Predictions and questions that do not belong together, or an answer file the server would misread."""


@dataclass(frozen=True, kw_only=True)
class Filled:
    """The answer file; the ids without an option that could be read (it has their raw text) or any text."""

    items: list[dict[str, Any]]
    unread: tuple[str, ...]
    empty: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Served:
    """What the server makes of an answer file. accuracy in percent by task, difficulty and Total; empty where
    the answers are withheld."""

    no_prediction: int
    accuracy: Mapping[str, float]


def fill(
    asked: Sequence[Mapping[str, Any]],
    official: Sequence[Mapping[str, Any]],
    records: Sequence[Record],
    *,
    rule: Rule = "letter_aware",
    write: Write = "option",
    allow_empty: bool = False,
) -> Filled:
    """The official items, in their order, with an answer under both keys.

    asked: the same items as the current JSON has them (id, choices). write "option": the string of the
    option that the output states under `rule`, of several orders the majority's; where none is stated, the
    first output as it is. "raw": the output itself, of one order only. Raises SubmissionError with all that
    does not fit.
    """
    said = {record.id: record for record in records}
    wrong: dict[str, list[str]] = {
        "without prediction": [item["id"] for item in asked if item["id"] not in said],
        "predicted but not asked in this file": sorted(set(said) - {item["id"] for item in asked}),
        "twice in the questions": [i for i, n in Counter(item["id"] for item in asked).items() if n > 1],
        "asked with other options than the file has": [
            item["id"]
            for item in asked
            if item["id"] in said
            and any(sorted(order) != list(range(len(item["choices"]))) for order in said[item["id"]].orders)
        ],
    }
    if write == "raw":
        wrong["asked in several orders, which raw output cannot sum up"] = [
            record.id for record in records if len(record.outputs) > 1
        ]
    refuse(wrong, "run the evaluation again on exactly this file")
    in_order = [said[item["id"]] for item in asked]
    texts = [next((o for o in record.outputs if o.strip()), "") for record in in_order]
    unread: list[str] = []
    if write == "option":
        choices = [item["choices"] for item in asked]
        marks = score_votes(
            [record.outputs for record in in_order],
            [record.orders for record in in_order],
            [options[0] if options else "" for options in choices],  # an answer is not needed to read
            choices,
            rules=(rule,),
        )[rule]
        for place, option in enumerate(marks.option.tolist()):
            if option != NONE:
                texts[place] = choices[place][option]
            elif texts[place].strip():
                unread.append(asked[place]["id"])
    empty = [item["id"] for item, text in zip(asked, texts, strict=True) if not text.strip()]
    if not allow_empty:
        refuse({"with an empty answer": empty}, "ask them again, or pass --allow-empty: they count as wrong")
    items = [{**item, **dict.fromkeys(KEYS, text)} for item, text in zip(official, texts, strict=True)]
    return Filled(items=items, unread=tuple(unread), empty=tuple(empty))


def serve(reference: Sequence[Mapping[str, Any]], submission: Any) -> Served:
    """What the server's logic makes of a submission: by position, empty or missing answers wrong.

    Raises SubmissionError for another length, another item at a place, or a changed item, none of which the
    server would notice.
    """
    if not isinstance(submission, list) or len(submission) != len(reference):
        of = len(submission) if isinstance(submission, list) else "no list of"
        raise SubmissionError(f"the server expects {len(reference)} items, the submission has {of} items")
    changed = [
        place
        for place, (one, two) in enumerate(zip(reference, submission, strict=True))
        if {k: v for k, v in two.items() if k not in KEYS} != {k: v for k, v in one.items() if k not in KEYS}
    ]
    if changed:
        raise SubmissionError(f"{len(changed)} places hold another item than the questions ({some(changed)})")
    given = [item.get(KEYS[1]) or "" for item in submission]
    if any(item.get(KEYS[0]) != item.get(KEYS[1]) for item in submission):
        raise SubmissionError(
            f"{KEYS[0]} and {KEYS[1]} differ; the official script reads the one, the server the other"
        )
    hits: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for item, text in zip(reference, given, strict=True):
        if not item.get("answer"):
            continue
        for group in (str(item["task"]), str(item["difficulty"]), "Total"):
            totals[group] += 1
            hits[group] += correct_official_2025(text, item["answer"], item["choices"])
    accuracy = {group: 100 * hits[group] / n for group, n in totals.items()}
    return Served(no_prediction=sum(not text.strip() for text in given), accuracy=accuracy)


def refuse(wrong: Mapping[str, list[str]], cure: str) -> None:
    """Raise SubmissionError with what is wrong, {what: ids}, where there are any."""
    if bad := {what: ids for what, ids in wrong.items() if ids}:
        raise SubmissionError(f"no submission was written. Items: {describe(bad)}: {cure}")

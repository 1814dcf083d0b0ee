"""The answer file for MMAU's server, from predictions: `python -m projects.mmau.submit --predictions
predictions.jsonl --questions mmau-test.json --out submission.json`.

The server takes the list of questions with an answer added to each, goes by position and never looks at an
id, so a list in another order scores like guessing. Here answers are joined by id, written in the file's
order under both keys that the versions of the official script read, and read back as the server does.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import get_args

from core.answering.records import PredictionsError, read_predictions
from core.data.choices import file_sha256
from core.data.imports.mmau_forms import read_questions
from core.data.imports.mmau_versions import COUNTS
from core.data.imports.plain import read_json
from core.data.schema import DatasetError, some
from core.files import OutputError, write_json
from core.metrics.choice import RULES, Rule
from projects.mmau.submission import SubmissionError, Write, fill, refuse, serve


def submit(
    predictions: Path,
    questions: Path,
    out: Path,
    *,
    rule: Rule = "letter_aware",
    write: Write = "option",
    allow_empty: bool = False,
    items: int | None = None,
    evaluated: Path | None = None,
) -> str:
    """Write `out` and say what is in it. items: how many the server's list has, if not the official count.

    evaluated: the file of questions that the predictions were made on, if another one: a question or options
    that changed since are refused. Raises SubmissionError, PredictionsError, DatasetError and OutputError.
    """
    if out.resolve() in (questions.resolve(), predictions.resolve()):
        raise SubmissionError(f"{out} is one of the files to read; choose another --out")
    asked = read_questions(questions, None, notes={}).items
    official = read_json(questions)
    expected = items or COUNTS.get(asked[0]["split"])
    if len(asked) != expected:
        raise SubmissionError(
            f"{questions} has {len(asked)} items, the server's list {expected}: take the official file"
        )
    if evaluated is not None:
        before = {item["id"]: item for item in read_questions(evaluated, None, notes={}).items}
        changed = [
            item["id"] for item in asked
            if any(item[key] != before.get(item["id"], item)[key] for key in ("question", "choices"))
        ]  # fmt: skip
        refuse({f"changed since {evaluated}": changed}, "run the evaluation again on exactly this file")
    records = read_predictions(predictions)
    filled = fill(asked, official, records, rule=rule, write=write, allow_empty=allow_empty)
    write_json(out, filled.items)
    try:
        served = serve(official, json.loads(out.read_text(encoding="utf-8")))
        if served.no_prediction != len(filled.empty):
            raise SubmissionError(f"the server would count {served.no_prediction} without prediction")
    except SubmissionError as error:
        out.unlink()
        raise SubmissionError(f"{out} would not be read as meant ({error}); it was removed") from error
    orders = max(len(record.orders) for record in records)
    lines = [
        f"{out}: {len(filled.items)} items in the order of {questions.name}, sha256 {file_sha256(questions)}",
        f"answers: {write}" + (f" by {rule}, majority of up to {orders} orders" if write == "option" else ""),
        f"no option stated, raw output written: {len(filled.unread)} ({some(filled.unread) or 'none'})",
        f"empty: {len(filled.empty)}",
        f"items with an output that failed: {sum(any(record.errors) for record in records)}",
    ]
    lines += [f"by the server's logic {name}: {value:.2f} %" for name, value in served.accuracy.items()]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m projects.mmau.submit", description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument("--predictions", type=Path, required=True, help="predictions.jsonl of the evaluation")
    parser.add_argument("--questions", type=Path, required=True, help="the official mmau-test.json")
    parser.add_argument(
        "--out", type=Path, required=True, help="the answer file, for example submission.json"
    )
    parser.add_argument(
        "--rule", choices=RULES, default="letter_aware", help="how an output's option is read"
    )
    parser.add_argument(
        "--write", choices=get_args(Write), default="option", help="the option's string, or the output"
    )
    parser.add_argument("--allow-empty", action="store_true", help="empty answers count as wrong")
    parser.add_argument(
        "--items", type=int, help="items of the server's list, if not 9000 (test) or 1000 (test-mini)"
    )
    parser.add_argument("--evaluated", type=Path, help="the questions that were asked, if another file")
    given = parser.parse_args(arguments)
    try:
        print(submit(**vars(given)))
    except (SubmissionError, PredictionsError, DatasetError, OutputError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

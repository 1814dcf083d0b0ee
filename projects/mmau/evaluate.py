"""Evaluate a model on MMAU and score it under every rule:

    python -m projects.mmau.evaluate --data mmau-test-mini.json --audio test-mini-audios --out out.jsonl \\
        --model FOLDER | --endpoint URL --model-name NAME [--key-variable VARIABLE] | --control first

The same command goes on where it was stopped, also under `accelerate launch` with any number of processes.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from core import machine
from core.answering import controls
from core.answering.asked import Answer, PromptStyle
from core.answering.harness import evaluate
from core.answering.sharing import ProcessError
from core.data.choices import SPLITS, ChoiceItem
from core.files import write_json
from core.resume import REPOSITORY
from projects.mmau.elsewhere import read_outputs
from projects.mmau.questions import Sounds, read_exam, require_audio, some_of, to_items
from projects.mmau.report import as_json, report, table


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A model, what decides its outputs, and how many questions to put to it at a time."""

    answer: Answer
    identity: Mapping[str, Any]
    batch_size: int
    by_duration: bool = False


def open_answer(given: argparse.Namespace, exam: Sequence[ChoiceItem]) -> Opened:
    """The model that the command names; raises what opening it raises."""
    if given.control:
        return _open_control(given.control, given.seed, exam)
    if given.endpoint:
        return _open_endpoint(given)
    if (given.model / "artefact.json").is_file():
        return _open_row(given)
    from core.answering.lalm import open_lalm  # torch takes seconds to import

    lalm = open_lalm(
        given.model, max_new_tokens=given.max_new_tokens, instruction=given.instruction, longer=given.longer
    )
    return Opened(answer=lalm.answer, identity=lalm.identity, batch_size=64, by_duration=True)


def _open_control(name: str, seed: int, exam: Sequence[ChoiceItem]) -> Opened:
    golds = [(one.answer, one.choices) for one in exam]
    decides: dict[str, dict[str, Any]] = {"random": {"seed": seed}, "most_frequent": {"golds": golds}}
    identity: dict[str, Any] = {"control": name, **decides.get(name, {})}
    return Opened(answer=controls.named(name, seed=seed, golds=golds), identity=identity, batch_size=256)


def _open_endpoint(given: argparse.Namespace) -> Opened:
    from core.answering.endpoint import open_endpoint
    from core.language.cache import CachedChat
    from core.language.client import Chat, Options
    from core.language.http import Endpoint, connect

    endpoint = Endpoint(
        url=given.endpoint,
        model=given.model_name,
        key_variable=given.key_variable,
        concurrency=given.concurrency,
    )
    chat: Chat = connect(endpoint)
    if given.cache is not None:
        chat = CachedChat(chat, given.cache)
    decoding = Options(max_tokens=given.max_new_tokens)
    identity = {"chat": dict(chat.identity), "options": asdict(decoding), "instruction": given.instruction}
    answer = open_endpoint(
        chat, options=decoding, concurrency=given.concurrency, instruction=given.instruction
    )
    return Opened(answer=answer, identity=identity, batch_size=4 * given.concurrency)


def _open_row(given: argparse.Namespace) -> Opened:
    """A row that was trained here; its encoders and language model lie where its artefact says."""
    from core.audio_lm.artefact import read_artefact
    from projects.mmau.models import listening, opened_row

    model, ears = opened_row(given.model, REPOSITORY)
    identity = asdict(read_artefact(given.model)) | {"row": str(given.model), "decode": given.decode}
    answer = listening(model, ears, given.decode, max_new_tokens=given.max_new_tokens)
    return Opened(answer=answer, identity=identity, batch_size=64)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0, 2 with one message where something given is wrong or missing, 130 when stopped."""
    given = _arguments(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        exam = read_exam(given.data, split=given.split, audio=given.audio, allow_defects=given.allow_defects)
        chosen = some_of(exam, given.limit)
        if not given.score_only:
            _ask(given, exam, chosen)
        if machine.is_main_process():
            _score(given, exam, chosen)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except (ValueError, OSError, ProcessError) as error:
        if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in (
            "core",
            "projects",
        ):
            raise  # a bug, which needs its traceback
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _ask(given: argparse.Namespace, exam: Sequence[ChoiceItem], chosen: Sequence[ChoiceItem]) -> None:
    opened = open_answer(given, exam)
    # what looks at the options only needs no audio, so that it can be run before the audio is there
    sounds: Sounds = "none" if given.control else given.sounds
    if sounds != "none" and not given.allow_missing:
        require_audio(chosen)
    items = to_items(
        chosen,
        sounds=sounds,
        seed=given.seed,
        lengths=opened.by_duration,
    )
    done = evaluate(
        opened.answer,
        items,
        out=given.out,
        identity=opened.identity,
        batch_size=given.batch_size or opened.batch_size,
        shuffles=given.shuffles,
        seed=given.seed,
        prompt_style=given.prompt_style,
        by_duration=opened.by_duration,
        allow_missing=given.allow_missing,
        ask_failed_again=given.ask_failed_again,
    )
    if machine.is_main_process():
        print(
            f"{given.out}: {done.items} of {len(chosen)} items, {done.asked} asked now and {done.kept} kept; "
            f"{done.missing} without audio left out, {done.failed} failed, {done.silent} said nothing"
        )


def _score(given: argparse.Namespace, exam: Sequence[ChoiceItem], chosen: Sequence[ChoiceItem]) -> None:
    if not any(one.answer for one in chosen):
        print("the answers are withheld: make the server's file with `python -m projects.mmau.submit`")
        return
    made = report(chosen, read_outputs(given.out, exam))
    print(table(made))
    if given.scores is not None:
        write_json(given.scores, as_json(made))


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m projects.mmau.evaluate",
        description="Evaluate a model on MMAU and score it under every rule.",
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="mmau-test-mini.json, a folder that holds it, or Parquet")
    add("--audio", type=Path, help="the folder of the audio, by default beside the questions")
    add("--split", choices=SPLITS, help="by default test-mini, or what the JSON holds")
    add("--out", type=Path, required=True, help="predictions, one JSON line an item; kept and continued")
    add("--scores", type=Path, help="write the scores here too, as JSON")
    add("--limit", type=_positive, help="ask so many items, spread evenly over the file")
    add("--allow-missing", action="store_true", help="leave items out whose audio is not there")
    add("--allow-defects", action="store_true", help="keep items whose answer is not among the choices")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--model", type=Path, help="folder of a model of transformers, or of a row that was trained here"
    )
    which.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible endpoint, up to /v1")
    which.add_argument("--control", choices=("random", "first", "longest", "most_frequent"))
    which.add_argument(
        "--score-only",
        action="store_true",
        help="score what --out holds: predictions, or a list of questions with model_output",
    )
    add("--model-name", default="", help="the endpoint's model")
    add("--key-variable", default="", help="environment variable that holds the endpoint's key")
    add("--concurrency", type=_positive, default=8, help="requests at a time")
    add("--cache", type=Path, help="keep the endpoint's replies in this folder")
    add("--instruction", help="a system message")
    add("--decode", choices=("words", "likelihood"), default="words", help="of a row that was trained here")
    add("--max-new-tokens", type=_positive, default=64, help="longest output")
    add(
        "--longer",
        choices=("refuse", "crop", "window"),
        default="refuse",
        help="audio beyond the model's window",
    )
    add(
        "--sounds",
        choices=get_args(Sounds),
        default="own",
        help="replace the audio: noise, another item's, none",
    )
    add("--prompt-style", choices=get_args(PromptStyle), default="public")
    add(
        "--shuffles", type=_positive, default=1, help="orders of the options an item is asked in, by majority"
    )
    add("--seed", type=int, default=0, help="of the orders, of random choices and of replaced audio")
    add("--batch-size", type=_positive, help="questions a call")
    add("--ask-failed-again", action="store_true", help="also ask items of which an output failed")
    given = parser.parse_args(arguments)
    if given.endpoint and not given.model_name:
        parser.error("--endpoint needs --model-name, by which the server knows the model")
    return given


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())

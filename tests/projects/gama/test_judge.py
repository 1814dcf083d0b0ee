"""The stage `judge` and what `score` makes of its verdicts; never a made-up number."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.language.client import Message, Options, Reply, ReplyError
from core.language.http import Endpoint
from projects.gama import judge as stage
from projects.gama.judge import Config, judged
from projects.gama.score import judged_cells


def write(folder: Path, name: str, lines: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def context(at: Any, tmp_path: Path) -> Any:
    context = at(tmp_path, "judge")
    gold = [
        {
            "id": f"compa_r-{i}#0",
            "audio": f"compa_r:{i}",
            "instruction": "Where is this?",
            "output": "on a farm.",
            "events": [["cow moo", 0.5, 1.5]],
            "caption": "a cow mooing",
        }
        for i in range(3)
    ]
    said = [{"id": line["id"], "answers": [text]} for line, text in zip(gold, ["farm", "broken", "street"])]
    write(context.path("predictions", "gold"), "compa_r.jsonl", gold)
    write(context.path("predictions", "gama_it", "own"), "compa_r.jsonl", said)
    return context


class Judge:
    """4 for "farm", nothing readable for "broken", 1 for the rest."""

    identity = {"model": "judge"}  # noqa: RUF012

    def complete(self, messages: Sequence[Message], *, options: Options | None = None) -> Reply:
        shown = str(messages[1].content)
        if '"broken"' in shown:
            return Reply(text="I would rather not.")
        value = 4 if '"farm"' in shown else 1
        return Reply(text=json.dumps({"clarity": 5, "correctness": value, "engagement": 2}))


def test_without_an_endpoint_nothing_is_rated(context: Any) -> None:
    judged(Config(rows=("gama_it/own",)), context=context)
    folder = context.path("predictions", "judged")
    assert [path.name for path in folder.iterdir()] == ["not_run.txt"]
    assert "no language model is configured" in (folder / "not_run.txt").read_text()
    assert list(judged_cells({"gama_it": "gama_it/own"}, context)) == []


def test_refusals_cut_answers_and_thoughts_are_counted_and_named(
    context: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Thinking(Judge):
        def complete(self, messages: Sequence[Message], *, options: Options | None = None) -> Reply:
            assert options is not None
            assert options.max_tokens == 77
            shown = str(messages[1].content)
            if '"street"' in shown:
                raise ReplyError("the server answered 400: too long")
            if '"broken"' in shown:
                return Reply(text='I think {"clarity": 1', finish="length")
            said = super().complete(messages, options=options)
            return Reply(text=f'<think>{{"clarity": 2}}?</think>{said.text}')

    @contextlib.contextmanager
    def connect(endpoint: Endpoint) -> Iterator[Judge]:
        yield Thinking()

    monkeypatch.setattr(stage, "connect", connect)
    endpoint = Endpoint(url="http://127.0.0.1:1/v1", model="judge")
    judged(Config(rows=("gama_it/own",), endpoint=endpoint, max_tokens=77), context=context)
    said = capsys.readouterr().out
    assert "n = 1, without verdict 2" in said
    assert "cut=2, thinking=1" in said  # asked twice
    assert "gama_it/own: 1 without verdict: refused: the server answered 400: too long" in said
    assert "gama_it/own: 1 without verdict: unusable: cut off at 77 tokens" in said


def test_verdicts_become_cells_and_missing_ones_stay_missing(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def connect(endpoint: Endpoint) -> Iterator[Judge]:
        yield Judge()

    monkeypatch.setattr(stage, "connect", connect)
    endpoint = Endpoint(url="http://127.0.0.1:1/v1", model="judge")
    judged(Config(rows=("gama_it/own",), endpoint=endpoint), context=context)
    lines = context.path("predictions", "judged", "gama_it", "own.jsonl").read_text().splitlines()
    assert [bool(json.loads(line)["scores"]) for line in lines] == [True, False, True]
    made = list(judged_cells({"gama_it": "gama_it/own"}, context))
    cells = {cell.column: cell for _, cell, _ in made}
    assert {name: (cell.value, cell.n) for name, cell in cells.items()} == {
        "compa_r_clarity_gpt4": (5.0, 2),
        "compa_r_correctness_gpt4": (2.5, 2),
        "compa_r_engagement_gpt4": (2.0, 2),
    }
    assert all("1 answers without a verdict" in cell.protocol for cell in cells.values())

"""The command for users: official files or Parquet in, predictions and a table of every rule out."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from core.answering.records import Record, read_predictions
from core.data.choices import ChoiceItem
from core.data.parquet import write_dataset
from core.data.schema import MMAU
from projects.mmau.evaluate import main
from projects.mmau.questions import read_exam, some_of
from projects.mmau.report import ReportError, report, table

SKILLS = {"sound": "Acoustic Source Inference", "music": "Instrumentation", "speech": "Counting"}
TYPES = {"sound": "Reasoning", "music": "Information Extraction", "speech": "Reasoning"}
N = 12


def entry(i: int, *, split: str = "test-mini") -> dict[str, Any]:
    """The gold stands first in every third item."""
    task = ("sound", "music", "speech")[i % 3]
    choices = [f"thing {i} {word}" for word in ("red", "green", "blue", "grey")]
    return {
        "id": f"0000000{i:x}-0000-4000-8000-000000000000",
        "question": f"Which of them is heard in {i}?",
        "choices": choices,
        "answer": choices[i % 4] if split != "test" else "",
        "dataset": "synthetic",
        "task": task,
        "split": split,
        "category": TYPES[task],
        "sub-category": SKILLS[task],
        "difficulty": ("easy", "medium", "hard")[i // 4],
    }


def wav(i: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(
        buffer, 0.5 * np.sin(np.arange(1600 + 160 * i) / (i + 2)), 16000, format="WAV", subtype="PCM_16"
    )
    return buffer.getvalue()


def official(folder: Path, *, split: str = "test-mini", audio: bool = True) -> Path:
    """The official JSON with its audio beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for i in range(N):
        row = entry(i, split=split)
        place = f"./{split}-audios/{row['id']}.wav"
        entries.append({**row, "audio_id": place})
        if audio:
            (folder / place).parent.mkdir(exist_ok=True)
            (folder / place).write_bytes(wav(i))
    path = folder / f"mmau-{split}.json"
    path.write_text(json.dumps(entries))
    return path


def parquet(folder: Path) -> Path:
    rows = [{**entry(i), "audio": {"bytes": wav(i), "path": None}, "clips": []} for i in range(N)]
    info = {"name": "mmau", "task": "questions", "licence": "none", "source": "a test", "protocol": "test"}
    write_dataset(folder, rows, features=MMAU, split="testmini", info=info)
    return folder


def command(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_official_file_and_parquet_give_the_same_predictions_and_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"json": official(tmp_path / "official"), "parquet": parquet(tmp_path / "parquet")}
    tables = []
    for name, path in data.items():
        out = tmp_path / f"{name}.jsonl"
        assert command("--data", path, "--out", out, "--control", "first") == 0
        tables.append(capsys.readouterr().out.split("\n", 1)[1])
    assert (tmp_path / "json.jsonl").read_bytes() == (tmp_path / "parquet.jsonl").read_bytes()
    assert tables[0] == tables[1]
    records = read_predictions(tmp_path / "json.jsonl")
    assert [(record.id, record.outputs) for record in records] == [
        (entry(i)["id"], (entry(i)["choices"][0],)) for i in range(N)
    ]


def test_table_says_every_rule_group_interval_and_coverage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, scores = tmp_path / "out.jsonl", tmp_path / "scores.json"
    data = official(tmp_path)
    assert command("--data", data, "--out", out, "--control", "first", "--scores", scores) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{out}: 12 of 12 items, 12 asked now and 0 kept" in lines[0]
    assert lines[1] == "accuracy in % [95 % interval], 12 items"
    assert lines[3].split() == ["n", "official_2025", "official_2024", "option_exact", "letter_aware"]
    assert lines[4].split()[:3] == ["total", "12", "25.00"]
    names = [line.split("  ")[0] for line in lines]
    for name in ("task", "sound", "difficulty", "hard", "skill", "Acoustic Source Inference", "coverage"):
        assert name in names
    row = next(line for line in lines if line.startswith("answered"))
    assert row.split() == ["answered", "12", "12", "12", "12"]
    held = json.loads(scores.read_text())
    total = held["rows"][0]["accuracy"]["letter_aware"]
    assert (total["value"], total["n"]) == (0.25, 12)
    assert total["low"] < 0.25 < total["high"]
    task = {row["name"]: row["n"] for row in held["rows"] if row["group"] == "task"}
    assert task == {"sound": 4, "music": 4, "speech": 4}


def test_a_second_run_asks_nothing_and_score_only_needs_no_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = official(tmp_path), tmp_path / "out.jsonl"
    command("--data", data, "--out", out, "--control", "random", "--shuffles", 5, "--seed", 2)
    first = capsys.readouterr().out
    before = out.read_bytes()
    assert command("--data", data, "--out", out, "--control", "random", "--shuffles", 5, "--seed", 2) == 0
    second = capsys.readouterr().out
    assert "0 asked now and 12 kept" in second
    assert command("--data", data, "--out", out, "--score-only") == 0
    third = capsys.readouterr().out
    assert first.split("\n", 1)[1] == second.split("\n", 1)[1] == third
    assert "up to 5 orders of the options each, by majority" in third
    assert out.read_bytes() == before


def test_most_frequent_place_of_the_whole_file(tmp_path: Path) -> None:
    data, out = official(tmp_path), tmp_path / "out.jsonl"
    assert command("--data", data, "--out", out, "--control", "most_frequent", "--limit", 3) == 0
    assert [r.outputs[0] for r in read_predictions(out)] == [entry(i)["choices"][0] for i in (0, 4, 8)]


def test_missing_audio_is_refused_then_allowed_and_n_of_n_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], server: Server
) -> None:
    data, out = official(tmp_path), tmp_path / "out.jsonl"
    for i in (1, 5):
        (tmp_path / "test-mini-audios" / f"{entry(i)['id']}.wav").unlink()
    arguments = asking(server, data, out)
    assert command(*arguments) == 2
    said = capsys.readouterr()
    assert f"2 of 12 items have no audio ({entry(1)['id']}, {entry(5)['id']})" in said.err
    assert not out.exists()
    assert command(*arguments, "--allow-missing") == 0
    said = capsys.readouterr()
    assert "10 of 12 items" in said.out.splitlines()[0]
    assert "2 without audio left out" in said.out
    assert "accuracy in % [95 % interval], 10 of 12 items" in said.out


def test_controls_run_before_the_audio_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = official(tmp_path, audio=False)
    assert command("--data", data, "--out", tmp_path / "out.jsonl", "--control", "longest") == 0
    assert "12 of 12 items" in capsys.readouterr().out


def test_withheld_answers_are_not_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = official(tmp_path, split="test"), tmp_path / "out.jsonl"
    assert command("--data", data, "--out", out, "--control", "first") == 0
    assert "the answers are withheld: make the server's file" in capsys.readouterr().out
    assert len(read_predictions(out)) == 12
    assert command("--data", data, "--out", tmp_path / "b", "--control", "most_frequent") == 2
    assert "no answer is among its options" in capsys.readouterr().err


# --- an endpoint


class Server:
    """Says the option shown last, in a sentence; refuses what `refused` is part of; counts requests."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.refused = "\0"
        self.broken_after = 10**6
        self.fixed: tuple[int, bytes] | None = None  # the same answer to everything
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(request)
                content = request["messages"][-1]["content"]
                text = content if isinstance(content, str) else content[-1]["text"]
                said = f"I hear {text.rstrip('.').split(', ')[-1]}."
                body = json.dumps({"choices": [{"message": {"content": said}, "finish_reason": "stop"}]})
                status = (
                    400 if outer.refused in text else 401 if len(outer.requests) > outer.broken_after else 200
                )
                if outer.fixed is not None:
                    status, body = outer.fixed[0], outer.fixed[1].decode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


def test_an_endpoint_hears_the_audio_and_goes_on_after_it_was_gone(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = official(tmp_path), tmp_path / "out.jsonl"
    arguments: tuple[object, ...] = ("--data", data, "--out", out, "--endpoint", server.url)
    arguments += ("--model-name", "listener", "--concurrency", 1, "--batch-size", 2)
    server.broken_after = 5
    assert command(*arguments) == 2
    assert "401" in capsys.readouterr().err
    assert not out.exists()
    server.broken_after, server.refused = 10**6, "heard in 9"
    assert command(*arguments) == 0
    said = capsys.readouterr().out
    assert "8 asked now and 4 kept; 0 without audio left out, 1 failed" in said
    assert "1 items have an output that failed" in said
    assert [part["type"] for part in server.requests[0]["messages"][0]["content"]] == ["input_audio", "text"]
    records = {record.id: record for record in read_predictions(out)}
    failed = records[entry(9)["id"]]
    assert failed.outputs == ("",)
    assert "400" in failed.errors[0]
    assert records[entry(3)["id"]].outputs == ("I hear thing 3 grey.",)
    server.refused, asked = "\0", len(server.requests)
    assert command(*arguments, "--ask-failed-again") == 0
    assert len(server.requests) == asked + 1
    assert "0 failed" in capsys.readouterr().out


def test_an_endpoints_replies_are_kept_in_a_cache(tmp_path: Path, server: Server) -> None:
    data = official(tmp_path)
    arguments: tuple[object, ...] = ("--data", data, "--endpoint", server.url, "--model-name", "m")
    for name in ("a", "b"):
        assert command(*arguments, "--out", tmp_path / name, "--cache", tmp_path / "cache") == 0
    assert len(server.requests) == N
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("sounds", ["noise", "other", "none"])
def test_replaced_audio_is_what_the_model_gets(tmp_path: Path, server: Server, sounds: str) -> None:
    data, out = official(tmp_path), tmp_path / "out.jsonl"
    arguments: tuple[object, ...] = ("--data", data, "--out", out, "--model-name", "m", "--concurrency", 1)
    assert command(*arguments, "--endpoint", server.url, "--sounds", sounds) == 0
    contents = [request["messages"][0]["content"] for request in server.requests]
    if sounds == "none":
        assert all(isinstance(content, str) for content in contents)
        return
    sent = {content[1]["text"]: content[0]["input_audio"]["data"] for content in contents}
    server.requests.clear()
    assert command(*arguments[:2], "--out", tmp_path / "own", *arguments[4:], "--endpoint", server.url) == 0
    contents = [request["messages"][0]["content"] for request in server.requests]
    own = {content[1]["text"]: content[0]["input_audio"]["data"] for content in contents}
    assert set(sent) == set(own)
    assert all(sent[text] != own[text] for text in own)
    assert (sorted(sent.values()) == sorted(own.values())) == (sounds == "other")


# --- a local model


def test_a_local_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Path(__file__).parents[2] / "core" / "answering" / "tiny_lalm.py"
    found = importlib.util.spec_from_file_location("tiny_lalm_of_evaluate", place)
    assert found is not None
    assert found.loader is not None
    tiny = importlib.util.module_from_spec(found)
    found.loader.exec_module(tiny)
    tiny.write_tiny_qwen2_audio(tmp_path / "model")
    data, out = official(tmp_path / "data"), tmp_path / "out.jsonl"
    arguments: tuple[object, ...] = ("--data", data, "--out", out, "--model", tmp_path / "model")
    arguments += ("--max-new-tokens", 4, "--limit", 4)
    assert command(*arguments) == 0
    assert "4 asked now and 0 kept; 0 without audio left out, 0 failed" in capsys.readouterr().out
    assert command(*arguments, "--batch-size", 1) == 0
    assert "0 asked now and 4 kept" in capsys.readouterr().out
    assert command(*arguments[:-3], 3, *arguments[-2:]) == 0
    assert "4 asked now" in capsys.readouterr().out  # with other decoding it is another model


# --- errors, and the report by itself


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--endpoint", "http://127.0.0.1:9/v1"], "--endpoint needs --model-name"),
        ([], "one of the arguments --model --endpoint --control --score-only is required"),
        (["--control", "first", "--shuffles", "0"], "must be at least 1"),
        (["--control", "first", "--model", "x"], "not allowed with argument"),
    ],
)
def test_wrong_arguments(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        command("--data", tmp_path, "--out", tmp_path / "out", *arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--control", "first", "--data", "/no/such.json"], "/no/such.json"),
        (["--model", "/no/such/model"], "/no/such/model"),
        (["--score-only"], "no predictions there"),
        (
            ["--endpoint", "http://127.0.0.1:9/v1", "--model-name", "m", "--key-variable", "NO_KEY_HERE"],
            "NO_KEY_HERE",
        ),
    ],
)
def test_what_is_not_there_is_one_message(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--data", official(tmp_path), "--out", tmp_path / "out", *arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said


def exam(tmp_path: Path) -> list[ChoiceItem]:
    return read_exam(official(tmp_path), split="test-mini")


def record(item: ChoiceItem, *outputs: str, orders: tuple[tuple[int, ...], ...] = ((0, 1, 2, 3),)) -> Record:
    return Record(id=item.id, hash="", orders=orders, outputs=outputs, errors=tuple("" for _ in outputs))


def test_votes_count_in_the_data_sets_order(tmp_path: Path) -> None:
    item = exam(tmp_path)[1]  # the gold is option 1, "thing 1 green"
    orders = ((0, 1, 2, 3), (1, 0, 3, 2), (3, 2, 0, 1))
    right = report([item], [record(item, "(B)", "(A)", "(A)", orders=orders)])
    assert right.rows[0].accuracy["letter_aware"].value == 1
    wrong = report([item], [record(item, "(B)", "(B)", "(C)", orders=orders)])
    assert wrong.rows[0].accuracy["letter_aware"].value == 0
    assert wrong.rows[0].accuracy["official_2025"].value == 0
    assert wrong.coverage["official_2025"].unparsed == 1


def test_rules_disagree_where_they_should(tmp_path: Path) -> None:
    items = exam(tmp_path)
    outputs = ["thing 0 red", "B", "", "none of them"]
    made = report(items, [record(item, output) for item, output in zip(items, outputs)])
    values = {rule: interval.value for rule, interval in made.rows[0].accuracy.items()}
    assert values == {"official_2025": 0.25, "official_2024": 0.25, "option_exact": 0.25, "letter_aware": 0.5}
    assert made.coverage["letter_aware"].said_nothing == 1
    assert (made.n, made.total) == (4, 12)
    assert "4 of 12 items" in table(made)


def test_predictions_of_other_questions_are_errors(tmp_path: Path) -> None:
    items = exam(tmp_path)
    with pytest.raises(ReportError, match=r"1 predictions are of items that the data lacks"):
        report(items[1:], [record(items[0], "x"), record(items[1], "x")])
    with pytest.raises(ReportError, match="its options have changed"):
        report(items, [record(items[0], "x", orders=((0, 1),))])
    with pytest.raises(ReportError, match="no prediction for any item"):
        report(items, [])


def test_a_limit_is_spread_evenly(tmp_path: Path) -> None:
    items = exam(tmp_path)
    assert [items.index(item) for item in some_of(items, 5)] == [0, 2, 4, 7, 9]
    assert some_of(items, None) == some_of(items, 100) == items


# --- files that are not the command's own


def test_nothing_that_the_command_reads_or_did_not_write_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = official(tmp_path)
    sound = next(tmp_path.glob("test-mini-audios/*.wav"))
    (tmp_path / "mine.json").write_text('{"n": 3}')
    (tmp_path / "link.jsonl").symlink_to(data)
    (tmp_path / "hard.json").hardlink_to(data)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = {path: path.read_bytes() for path in (data, sound, tmp_path / "mine.json")}
    free = tmp_path / "free.jsonl"
    for name in (data, sound, "mine.json", "link.jsonl", "hard.json", "folder", "pipe"):
        path = tmp_path / name
        assert command("--data", data, "--out", path, "--control", "first") == 2
        assert "choose another" in (said := capsys.readouterr().err) or "choose the path" in said
        assert command("--data", data, "--out", free, "--scores", path, "--control", "first") == 2
        assert not free.exists()  # said before anything is asked
    assert command("--data", data, "--out", free, "--scores", free, "--control", "first") == 2
    assert {path: path.read_bytes() for path in before} == before
    assert command("--data", data, "--out", free, "--control", "first") == 0
    kept = free.read_bytes()
    assert command("--data", data, "--out", free, "--scores", free, "--score-only") == 2
    assert free.read_bytes() == kept


def test_its_own_files_are_written_again(tmp_path: Path) -> None:
    data, out, scores = official(tmp_path), tmp_path / "out.jsonl", tmp_path / "scores.json"
    for control in ("first", "longest"):
        assert command("--data", data, "--out", out, "--scores", scores, "--control", control) == 0
    assert json.loads(scores.read_text())["n"] == N


# --- endpoints that fail


def asking(server: Server, data: Path, out: Path) -> tuple[object, ...]:
    """The arguments that ask the model behind `server` every question of `data`."""
    return ("--data", data, "--out", out, "--endpoint", server.url, "--model-name", "m")


def says(content: Any, finish: str = "stop", **more: Any) -> bytes:
    message = {"content": content, **more}
    return json.dumps({"choices": [{"message": message, "finish_reason": finish}]}).encode()


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (
            400,
            b'{"error": {"message": "use max_completion_tokens instead"}}',
            "--limit-name max_completion_tokens",
        ),
        (200, says("", reasoning_content="It is red."), "10 characters of reasoning in reasoning_content"),
        (200, says(None), "gave no text"),
    ],
)
def test_an_endpoint_without_any_answer_is_an_error_and_no_score(
    tmp_path: Path,
    server: Server,
    capsys: pytest.CaptureFixture[str],
    status: int,
    body: bytes,
    reason: str,
) -> None:
    data, out = official(tmp_path), tmp_path / "out.jsonl"
    arguments = asking(server, data, out)
    server.fixed = (status, body)
    assert command(*arguments) == 2
    told = capsys.readouterr()
    assert reason in told.err
    assert "accuracy" not in told.out
    assert command(*arguments, "--allow-failures") == 0
    assert "failed 12 times: the" in capsys.readouterr().out
    server.fixed = None
    assert command(*arguments) == 0  # failures throughout are asked for again
    assert "0 failed" in capsys.readouterr().out


def test_cut_answers_are_counted_also_when_nothing_is_asked(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = official(tmp_path), tmp_path / "out.jsonl"
    arguments = asking(server, data, out)
    server.fixed = (200, says("I hear first", "length"))
    for more in (arguments, arguments, ("--data", data, "--out", out, "--score-only")):
        assert command(*more) == 0
        assert "12 items have an output that was cut off at --max-new-tokens" in capsys.readouterr().out


def test_fields_of_the_request_can_be_set(tmp_path: Path, server: Server) -> None:
    data = official(tmp_path)
    extra = '{"temperature": null, "reasoning_effort": "low"}'
    arguments: tuple[object, ...] = (
        "--data",
        data,
        "--endpoint",
        server.url,
        "--model-name",
        "m",
        "--limit",
        1,
    )
    arguments += ("--limit-name", "max_completion_tokens", "--extra", extra, "--max-new-tokens", 9)
    assert command(*arguments, "--out", tmp_path / "out.jsonl") == 0
    request = server.requests[0]
    assert (request["max_completion_tokens"], request["reasoning_effort"]) == (9, "low")
    assert not {"max_tokens", "temperature"} & set(request)
    with pytest.raises(SystemExit):
        command(*arguments, "--out", tmp_path / "out.jsonl", "--extra", "[1]")


def test_damaged_audio_is_sent_to_no_endpoint(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    data = official(tmp_path)
    sounds = sorted(tmp_path.glob("test-mini-audios/*.wav"))
    sounds[0].write_bytes(sounds[0].read_bytes()[:-900])
    buffer = io.BytesIO()
    soundfile.write(buffer, np.full(4000, np.nan), 16000, format="WAV", subtype="FLOAT")
    sounds[1].write_bytes(buffer.getvalue())
    arguments: tuple[object, ...] = ("--data", data, "--endpoint", server.url, "--model-name", "m")
    assert command(*arguments, "--out", tmp_path / "out.jsonl") == 0
    said = capsys.readouterr().out
    assert "2 failed" in said
    assert "NaN" in said
    assert len(server.requests) == N - 2

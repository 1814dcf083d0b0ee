"""Files that people have: official outputs, JSON lines, Parquet with paths, audio of 0 bytes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from core.answering.items import load_audios
from core.answering.records import PredictionsError
from core.data.choices import ChoiceItem
from projects.mmau.elsewhere import read_outputs
from projects.mmau.evaluate import main
from projects.mmau.questions import read_exam, to_items
from projects.mmau.submission import SubmissionError

CHOICES = ["Man", "Woman", "Child", "Robot"]


def wav(hertz: float = 300) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.3 * np.sin(np.arange(8000) * hertz / 2546), 16_000, format="WAV")
    return buffer.getvalue()


def rows(n: int = 4) -> list[dict[str, Any]]:
    return [
        {
            "id": f"item-{i}",
            "audio_id": f"./test-mini-audios/item-{i}.wav",
            "question": "Who is heard?",
            "choices": CHOICES,
            "answer": CHOICES[i % 4],
            "dataset": "made up",
            "task": "speech",
            "split": "test-mini",
            "category": "Reasoning",
            "sub-category": "Counting",
            "difficulty": "easy",
        }
        for i in range(n)
    ]


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    (tmp_path / "test-mini-audios").mkdir()
    for i in range(4):
        (tmp_path / "test-mini-audios" / f"item-{i}.wav").write_bytes(wav(300 + i))
    path = tmp_path / "mmau-test-mini.json"
    path.write_text(json.dumps(rows()))
    return path


@pytest.fixture
def exam(questions: Path) -> list[ChoiceItem]:
    return read_exam(questions)


def command(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize("key", ["model_output", "model_prediction", "both"])
@pytest.mark.parametrize("lines", [False, True])
def test_official_outputs_are_scored(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, lines: bool
) -> None:
    keys = ("model_output", "model_prediction") if key == "both" else (key,)
    answers = [
        {**row, **dict.fromkeys(keys, row["answer"] if i else "Robot")} for i, row in enumerate(rows())
    ]
    text = "\n".join(map(json.dumps, answers)) + "\n" if lines else json.dumps(answers)
    (tmp_path / "answers.json").write_text(text)
    assert command("--data", questions, "--score-only", "--out", tmp_path / "answers.json") == 0
    assert "75.00" in capsys.readouterr().out


def test_options_that_were_shown_in_another_order(exam: list[ChoiceItem], tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    shown = [f"({chr(65 + i)}) {choice}" for i, choice in enumerate(reversed(CHOICES))]
    path.write_text(json.dumps([{**rows()[0], "id": None, "choices": shown, "model_output": "(A)"}]))
    (record,) = read_outputs(path, exam)
    assert (record.id, record.orders, record.outputs) == ("item-0", ((3, 2, 1, 0),), ("(A)",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "item-1"}, r"1 twice \(item-1\)"),
        ({"model_prediction": "Woman"}, "1 other under model_output than under model_prediction"),
        ({"choices": ["Man", "Woman"]}, "1 to other options than the exam has"),
        ({"model_output": 3}, "1 not text"),
    ],
)
def test_answers_that_do_not_fit(
    exam: list[ChoiceItem], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "answers.json"
    answers = [{**row, "model_output": "Man"} for row in rows()]
    answers[0] |= change
    path.write_text(json.dumps(answers))
    with pytest.raises(SubmissionError, match=message):
        read_outputs(path, exam)


@pytest.mark.parametrize("text", ["[]", '{"a": 1}', "<html>", json.dumps(rows())])
def test_a_file_of_neither_form_says_which_there_are(
    exam: list[ChoiceItem], tmp_path: Path, text: str
) -> None:
    (tmp_path / "answers.json").write_text(text)
    with pytest.raises(PredictionsError):
        read_outputs(tmp_path / "answers.json", exam)
    if text != "<html>":
        with pytest.raises(PredictionsError, match="model_output or model_prediction in each"):
            read_outputs(tmp_path / "answers.json", exam)


def test_questions_as_json_lines(questions: Path, tmp_path: Path) -> None:
    lines = tmp_path / "mini.jsonl"
    lines.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(map(json.dumps, rows())).encode() + b"\r\n\r\n")
    assert [item.id for item in read_exam(lines)] == [row["id"] for row in rows()]
    assert not any(item.missing for item in read_exam(lines))
    lines.rename(tmp_path / "mmau-test-mini.jsonl")
    questions.unlink()
    assert len(read_exam(tmp_path)) == 4


def test_parquet_with_paths_in_place_of_bytes(questions: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parquet"
    folder.mkdir()
    for path in (
        str(tmp_path / "test-mini-audios" / "item-{}.wav"),  # as it stands
        "C:\\elsewhere\\test-mini-audios\\item-{}.wav",  # below --audio
    ):
        table = [{**row, "audio": {"bytes": None, "path": path.format(i)}} for i, row in enumerate(rows())]
        pq.write_table(pa.Table.from_pylist(table), folder / "test-mini.parquet")
        exam = read_exam(folder / "test-mini.parquet", audio=tmp_path / "test-mini-audios")
        assert [audio() for item in exam for audio in item.audios if audio] == [
            wav(300 + i) for i in range(4)
        ]
    lost = read_exam(folder / "test-mini.parquet")
    assert all(item.missing for item in lost)
    assert lost[0].audio_names == ("C:\\elsewhere\\test-mini-audios\\item-0.wav",)


def test_parquet_of_something_else_is_left_alone(questions: Path, tmp_path: Path) -> None:
    for item in (tmp_path / "test-mini-audios").iterdir():
        item.unlink()
    other = {"id": ["x"], "audio_path": ["y"]}, {"id": [1], "audio": [{"bytes": b"x", "path": None}]}
    for i, columns in enumerate(other):
        pq.write_table(pa.table(columns), tmp_path / f"{i}.parquet")
    assert all(item.missing for item in read_exam(questions))
    assert command("--data", questions, "--control", "first", "--out", tmp_path / "o.jsonl") == 0


def test_backslashes_of_windows(questions: Path, tmp_path: Path) -> None:
    listed = [{**row, "audio_id": f".\\test-mini-audios\\{row.pop('id')}.wav"} for row in rows()]
    questions.write_text(json.dumps(listed))
    exam = read_exam(questions)
    assert [item.id for item in exam] == [row["id"] for row in rows()]
    assert not any(item.missing for item in exam)


def test_missing_audio_says_where_it_was_looked_for(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", questions, "--audio", tmp_path / "wrong", "--out", tmp_path / "o.jsonl"]
    assert command(*arguments, "--endpoint", "http://127.0.0.1:9/v1", "--model-name", "m") == 2
    assert f"looked for {tmp_path}/wrong/test-mini-audios/item-0.wav first" in capsys.readouterr().err


def test_a_file_of_0_bytes_is_handed_on(questions: Path, tmp_path: Path) -> None:
    (tmp_path / "test-mini-audios" / "item-1.wav").write_bytes(b"")
    items = to_items(read_exam(questions), sounds="own", seed=0, lengths=True)
    assert load_audios(items[1]) == (b"",)

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.answering.records import Record, line_of
from core.metrics.choice_rules import correct_official_2025
from projects.mmau.submission import KEYS, SubmissionError, serve
from projects.mmau.submit import main, submit

OPTIONS = (["Man", "Woman", "Child"], ["Flute", "Drum"], ["one", "two", "three", "four"])
GOLD = (1, 0, 3)


def item(n: int, *, split: str = "test") -> dict[str, Any]:
    return {
        "id": f"id-{n}",
        "audio_id": f"./{split}-audios/id-{n}.wav",
        "question": f"What is {n}?",
        "choices": OPTIONS[n],
        "answer": "" if split == "test" else OPTIONS[n][GOLD[n]],
        "dataset": "AudioSet",
        "task": ("sound", "music", "speech")[n],
        "split": split,
        "category": ["Reasoning"] if n == 2 else "Reasoning",
        "sub-category": ("Acoustic Source Inference", "Musical Genre Reasoning", "Counting")[n],
        "difficulty": "hard",
    }


class Desk:
    """A folder with a file of questions and one of predictions."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "submission.json"
        self.questions, self.predictions = folder / "mmau-test.json", folder / "predictions.jsonl"
        self.ask([item(n) for n in range(3)])
        self.say({"id-0": ["(B) Woman"], "id-1": ["The answer is Flute."], "id-2": ["D"]})

    def ask(self, items: list[dict[str, Any]]) -> None:
        self.questions.write_text(json.dumps(items, indent=2))

    def say(self, outputs: dict[str, list[str]], orders: dict[str, list[list[int]]] | None = None) -> None:
        lines = []
        for id, said in outputs.items():
            n = len(OPTIONS[int(id[-1])]) if id[-1] in "012" else 2
            shown = (orders or {}).get(id) or [list(range(n))] * len(said)
            errors = tuple("" if text else "out of memory" for text in said)
            shuffled = tuple(tuple(order) for order in shown)
            lines.append(
                line_of(Record(id=id, hash="h", orders=shuffled, outputs=tuple(said), errors=errors))
            )
        self.predictions.write_bytes(b"".join(lines))

    def submit(self, **options: Any) -> str:
        return submit(self.predictions, self.questions, self.out, **{"items": 3, **options})

    def written(self, key: str = "model_prediction") -> list[str]:
        return [one[key] for one in json.loads(self.out.read_text())]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_options_are_written_in_the_order_of_the_file_under_both_keys(desk: Desk) -> None:
    desk.say({"id-2": ["D"], "id-0": ["(B) Woman"], "id-1": ["The answer is Flute."]})  # joined by id
    said = desk.submit()
    for key in KEYS:
        assert desk.written(key) == ["Woman", "Flute", "four"]
    rest = [{k: v for k, v in one.items() if k not in KEYS} for one in json.loads(desk.out.read_text())]
    assert rest == json.loads(desk.questions.read_text())
    assert "3 items in the order of mmau-test.json, sha256 " in said
    assert "no option stated, raw output written: 0 (none)" in said


def test_raw_output_of_one_order(desk: Desk) -> None:
    desk.submit(write="raw")
    assert desk.written() == ["(B) Woman", "The answer is Flute.", "D"]
    desk.say({"id-0": ["Man", "Man"], "id-1": ["Flute"], "id-2": ["one"]})
    with pytest.raises(SubmissionError, match=r"1 x asked in several orders, .* \(id-0\)"):
        desk.submit(write="raw")


def test_several_orders_vote_in_the_options_of_the_file(desk: Desk) -> None:
    desk.say(
        {"id-0": ["A", "B", "C"], "id-1": ["Flute"], "id-2": ["one", "two", "two"]},
        {"id-0": [[0, 1, 2], [1, 2, 0], [1, 0, 2]], "id-2": [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 1, 3]]},
    )
    assert "majority of up to 3 orders" in desk.submit()
    assert desk.written() == [
        "Child",
        "Flute",
        "two",
    ]  # A is Man; B of the second is Child; C of the third is Child


def test_the_rule_decides_what_is_read(desk: Desk) -> None:
    said = desk.submit(rule="option_exact")
    assert desk.written() == ["(B) Woman", "The answer is Flute.", "D"]  # none is an option: as it is
    assert "no option stated, raw output written: 3 (id-0, id-1, id-2)" in said


def test_an_output_that_states_nothing_goes_as_it_is(desk: Desk) -> None:
    desk.say({"id-0": ["", "I cannot hear it.", ""], "id-1": ["Flute"], "id-2": ["four"]})
    said = desk.submit()
    assert desk.written()[0] == "I cannot hear it."
    assert "raw output written: 1 (id-0)" in said
    assert "items with an output that failed: 1" in said


def test_empty_answers_need_leave(desk: Desk) -> None:
    desk.say({"id-0": [""], "id-1": [" \n"], "id-2": ["four"]})
    with pytest.raises(SubmissionError, match=r"2 x with an empty answer \(id-0, id-1\): .*--allow-empty"):
        desk.submit()
    assert not desk.out.exists()
    said = desk.submit(allow_empty=True)
    assert "empty: 2" in said
    assert "raw output written: 0 (none)" in said
    assert serve(json.loads(desk.questions.read_text()), json.loads(desk.out.read_text())).no_prediction == 2


def test_predictions_that_do_not_fit_are_all_named(desk: Desk) -> None:
    desk.say({"id-0": ["Man"], "id-9": ["x"]}, {"id-0": [[0, 1, 2, 3]]})
    with pytest.raises(SubmissionError) as error:
        desk.submit()
    assert "2 x without prediction (id-1, id-2)" in str(error.value)
    assert "1 x predicted but not asked in this file (id-9)" in str(error.value)
    assert "1 x asked with other options than the file has (id-0)" in str(error.value)
    assert not desk.out.exists()


def test_wrong_counts_and_repeated_questions(desk: Desk) -> None:
    with pytest.raises(SubmissionError, match="has 3 items, the server's list 9000"):
        desk.submit(items=None)
    desk.ask([item(0), item(1), item(1)])
    with pytest.raises(SubmissionError, match=r"1 x twice in the questions \(id-1\)"):
        desk.submit()


def test_questions_that_changed_since_they_were_asked(desk: Desk) -> None:
    before = desk.folder / "before.json"
    before.write_text(json.dumps([item(0), {**item(1), "question": "Which?"}, item(2)]))
    with pytest.raises(SubmissionError, match=r"1 x changed since .*before\.json \(id-1\)"):
        desk.submit(evaluated=before)
    before.write_text(desk.questions.read_text())
    desk.submit(evaluated=before)


def test_nothing_that_is_read_is_overwritten(desk: Desk) -> None:
    content = desk.questions.read_bytes()
    for path in (desk.questions, desk.predictions):
        with pytest.raises(SubmissionError, match="is one of the files to read"):
            submit(desk.predictions, desk.questions, path, items=3)
    assert desk.questions.read_bytes() == content


def test_only_its_own_file_is_written_again(desk: Desk, tmp_path: Path) -> None:
    out = tmp_path / "again.json"
    for _ in range(2):
        submit(desk.predictions, desk.questions, out, items=3)
    other = tmp_path / "other.json"
    for content in (b"[]", b'[{"id": 1}]', b"RIFF"):
        other.write_bytes(content)
        with pytest.raises(SubmissionError, match="is not an answer file that this command wrote"):
            submit(desk.predictions, desk.questions, other, items=3)
        assert other.read_bytes() == content


def test_the_server_goes_by_position(desk: Desk) -> None:
    mini = [item(n, split="test-mini") for n in range(3)]
    answers = [
        {**one, **dict.fromkeys(KEYS, text)}
        for one, text in zip(mini, ["Woman", "Drum", "four"], strict=True)
    ]
    served = serve(mini, answers)
    assert served.accuracy == pytest.approx(
        {"sound": 100, "music": 0, "speech": 100, "hard": 200 / 3, "Total": 200 / 3}
    )
    verdicts = [
        correct_official_2025(said[KEYS[1]], asked["answer"], asked["choices"])
        for said, asked in zip(answers, mini, strict=True)
    ]
    assert verdicts == [True, False, True]
    with pytest.raises(SubmissionError, match=r"2 places hold another item than the questions \(0, 2\)"):
        serve(mini, answers[::-1])
    with pytest.raises(SubmissionError, match="expects 3 items, the submission has 2 items"):
        serve(mini, answers[:2])
    with pytest.raises(SubmissionError, match="has no list of items"):
        serve(mini, {"0": answers[0]})
    with pytest.raises(SubmissionError, match="1 places hold another item"):
        serve(mini, [{**answers[0], "question": "?"}, *answers[1:]])
    with pytest.raises(SubmissionError, match="model_output and model_prediction differ"):
        serve(mini, [{**answers[0], "model_output": "Man"}, *answers[1:]])


def test_answers_that_are_public_are_scored(desk: Desk) -> None:
    desk.ask([item(n, split="test-mini") for n in range(3)])
    assert "by the server's logic Total: 100.00 %" in desk.submit()


def test_a_file_that_would_be_misread_is_removed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def torn(path: Path, content: list[Any]) -> None:
        path.write_text(json.dumps(content[:-1]))

    monkeypatch.setattr("projects.mmau.submit.write_json", torn)
    with pytest.raises(SubmissionError, match=r"would not be read as meant \(the server expects 3 items"):
        desk.submit()
    assert not desk.out.exists()


def test_the_command(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--predictions",
        str(desk.predictions),
        "--questions",
        str(desk.questions),
        "--out",
        str(desk.out),
    ]
    assert main([*words, "--items", "3"]) == 0
    assert "answers: option by letter_aware" in capsys.readouterr().out
    assert main(words) == 2
    assert "take the official file" in capsys.readouterr().err
    desk.predictions.write_text("not a record\n")
    assert main([*words, "--items", "3"]) == 2
    assert "line 1 is no record" in capsys.readouterr().err
    desk.predictions.unlink()
    assert main([*words, "--items", "3"]) == 2
    assert "no predictions there" in capsys.readouterr().err

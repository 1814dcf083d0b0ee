"""Scores of every kind of set, against values worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from core.metrics.captioning import cider_d
from core.report.cells import read_cells, read_items
from core.report.predictions import Prediction, prediction_of
from core.report.scoring import PredictionError, read_lines
from core.run.stage import Context
from projects.gama.score import SCORERS, Config, Scored, Scorer, score_rows, score_set, table_of
from projects.gama.sets import Task

BOOK = {"dog_bark": ["a dog barking"], "rain": ["rain falling"], "siren": ["a siren wailing"]}
NAMES = {"dog_bark": ["dog"], "rain": ["rain"], "farm": ["farm", "on a farm"], "street": ["street"]}
CLASSES = ["dog bark", "rain"]
CONFIG = Config()
TASKS = {
    "dcase2017": "micro_f1",
    "fsd50k": "map",
    "audioset": "map",
    "audiocaps": "caption",
    "clotho": "caption",
    "clothoaqa": "answer",
    "compa_r": "instruction",
    "openaqa": "instruction",
    "dense_clotho": "dense_caption",
    "dense_audiocaps": "dense_caption",
}
Cells = dict[str, tuple[str, float, int, tuple[float, ...]]]  # column -> table, value, n, seeds


def encode(texts: list[str]) -> np.ndarray:
    """A direction each for the two classes; "both" and what is unknown lie between them."""
    known = {"sound of dog bark": (1, 0), "sound of rain": (0, 1), "sound of a dog": (3, 1)}
    return np.array([known.get(text, (1, 1)) for text in texts], dtype=np.float32)


def cells(
    folder: Path, name: str, truth: Sequence[dict[str, Any]], answers: Sequence[Any], key: str = "answers"
) -> Cells:
    (folder / f"{name}.classes.json").write_text(json.dumps(CLASSES))
    task = TASKS.get(name, "accuracy")
    asked = [{"id": str(i), "task": task, **line} for i, line in enumerate(truth)]
    said = [prediction_of({"id": str(i), key: said}) for i, said in enumerate(answers)]
    scorer = Scorer(gold=folder, book=BOOK, names=NAMES, encode=encode, config=CONFIG)
    found = score_set(Scored("gama", name, asked, said, "mini"), scorer)
    table = table_of(asked)
    return {cell.column: (table, round(cell.value, 4), cell.n, cell.seeds) for cell, _ in found}


def labelled(*labels: Sequence[str]) -> list[dict[str, Any]]:
    return [{"labels": list(each)} for each in labels]


def test_accuracy_is_of_the_nearest_label_and_ties_lose(tmp_path: Path) -> None:
    truth = labelled(["rain"], ["rain"], ["rain"], ["dog bark"])
    # a right label, a tie of both, no answer at all, a text nearer to the right one; then a seed all right
    said = [["Rain.", "rain"], ["both", "rain"], ["", "rain"], ["a dog", "dog bark"]]
    assert cells(tmp_path, "esc50", truth, said) == {"esc50": ("classification", 75.0, 4, (50.0, 100.0))}
    assert list(cells(tmp_path, "tut2017", truth, said)) == ["tut"]
    assert list(cells(tmp_path, "medley_solos", truth, said)) == ["medley"]


def test_a_clap_scores_classes_itself(tmp_path: Path) -> None:
    truth = labelled(["rain"], ["rain"], ["dog bark"])
    said = [[[0.1, 0.2]], [[0.2, 0.2]], [[0.3, -0.1]]]
    assert cells(tmp_path, "esc50", truth, said, "scores") == {
        "esc50": ("classification", pytest.approx(200 / 3, abs=1e-4), 3, (pytest.approx(200 / 3),))
    }


def test_fsd50k_and_audioset_are_macro_map(tmp_path: Path) -> None:
    truth = labelled(["dog bark"], ["rain"], ["dog bark", "rain"])
    said = [[[0.9, 0.1]], [[0.8, 0.2]], [[0.1, 0.7]]]
    # dogs at ranks 1 and 3: (1 + 2/3) / 2; rain at ranks 1 and 2: 1
    wanted = 100 * (5 / 6 + 1) / 2
    for name in ("fsd50k", "audioset"):
        made = cells(tmp_path, name, truth, said, "scores")
        assert made == {
            name: ("classification", pytest.approx(wanted, abs=1e-4), 3, (pytest.approx(wanted),))
        }


def test_dcase_is_the_micro_f1_of_one_label(tmp_path: Path) -> None:
    truth = labelled(["dog bark"], ["dog bark", "rain"], ["rain"])
    # two true positives, one undecided answer, two labels not found: 2 * 2 / (2 * 2 + 1 + 2)
    made = cells(tmp_path, "dcase2017", truth, [["dog bark"], ["dog bark"], ["both"]])
    assert made == {
        "dcase": ("classification", pytest.approx(400 / 7, abs=1e-4), 3, (pytest.approx(400 / 7),))
    }


def test_captions_are_scored_by_words_and_by_scene(tmp_path: Path) -> None:
    truth = [
        {"captions": ["a dog barking followed by rain falling"]},
        {"captions": ["a siren wailing", "rain falling with a siren wailing"]},
    ]
    said = [["A dog barking."], [""]]
    made = cells(tmp_path, "audiocaps", truth, said)
    cider = cider_d(["A dog barking.", ""], [line["captions"] for line in truth])
    assert cider[1] == 0
    assert made["audiocaps_cider"] == ("classification", round(cider.mean(), 4), 2, (cider.mean(),))
    # one of three tuples said, precision 1, recall 1/3: F1 1/2; the other answer has none
    assert made["audiocaps_tuples"] == ("classification", 25.0, 2, (25.0,))
    dense = cells(tmp_path, "dense_audiocaps", truth, [["a dog barking followed by rain falling"], [""]])
    assert dense == {"dense_audiocaps_tuples": ("reasoning", 50.0, 2, (50.0,))}


def test_answers_state_the_key(tmp_path: Path) -> None:
    options = {"options": ["farm", "street"], "output": "x"}
    truth = [
        {"key": "farm", **options},
        {"key": "farm", **options},
        {"key": "farm", **options},
        {"key": "dog_bark; rain", "options": [], "output": "x"},  # a judge's affair
    ]
    said = [["This is on a farm."], ["A street, no farm."], [""], ["a dog"]]
    made = cells(tmp_path, "compa_r", truth, said)
    assert made == {"compa_r_timeline": ("reasoning", round(100 / 3, 4), 3, (pytest.approx(100 / 3),))}
    assert cells(tmp_path, "openaqa", truth[3:], said[3:]) == {}


def test_clothoaqa_keeps_its_parts_apart(tmp_path: Path) -> None:
    truth = [
        {"answers": ["yes", "yes", "yes"]},
        {"answers": ["yes", "no", "yes"]},  # in neither part
        {"answers": ["rain", "rain", "water"]},
        {"answers": ["dog", "dog", "dog"]},
        {"answers": ["no", "no", "no"]},
    ]
    made = cells(tmp_path, "clothoaqa", truth, [["No."], ["yes"], ["The water."], [""], ["No, it is not."]])
    assert made == {
        "clothoaqa": ("classification", 50.0, 4, (50.0,)),
        "clothoaqa_binary": ("classification", 50.0, 2, (50.0,)),
        "clothoaqa_any": ("classification", 50.0, 2, (50.0,)),
    }
    alone = cells(tmp_path, "clothoaqa", truth[:1], [["yes"]])
    assert set(alone) == {"clothoaqa", "clothoaqa_binary"}


def test_questions_about_one_clip_are_one_unit(tmp_path: Path) -> None:
    asked = {"task": "instruction", "key": "farm", "options": ["farm", "street"], "output": "x"}
    truth = [{"id": f"c{i // 3}#{i % 3}", "audio": f"compa_r:c{i // 3}", **asked} for i in range(12)]
    said = [
        Prediction(id=str(line["id"]), answers=("a farm" if i % 2 else "a street",))
        for i, line in enumerate(truth)
    ]
    scorer = Scorer(gold=tmp_path, book=BOOK, names=NAMES, encode=encode, config=CONFIG)
    ((cell, items),) = score_set(Scored("gama", "compa_r", truth, said, "mini"), scorer)
    assert (cell.n, cell.value) == (4, 50.0)
    assert cell.protocol.endswith("resampled: 4 clips with 12 questions")
    assert items.ids[:2] == ("c0#0", "c0#1")
    assert set(items.units) == {f"compa_r:c{i}" for i in range(4)}


def test_judged_rows_are_told_apart_by_id(context: Context) -> None:
    """Each row lacks another verdict: what is left is named, not moved up."""
    grades = {"clarity": 4, "correctness": 3, "engagement": 2}
    for row, lacks in (("gama", 0), ("other", 3)):
        lines = [{"id": f"c{i}", "scores": {} if i == lacks else grades} for i in range(4)]
        write(context.path("predictions", "judged", row, "own.jsonl"), lines[::-1])
    rows = {"reasoning": {"gama": "gama/own", "other": "other/own"}}
    score_rows(rows, CONFIG, context=context)
    cells, items = (read(context.path("results"), "reasoning") for read in (read_cells, read_items))
    column = "compa_r_correctness_gpt4"
    assert items["gama", column].ids == ("c1", "c2", "c3")
    assert items["other", column].ids == ("c0", "c1", "c2")
    assert (cells["gama", column].value, cells["gama", column].n) == (3.0, 3)
    assert 1 <= cells["gama", column].low < 3 < cells["gama", column].high <= 5
    assert "1 answers without a verdict" in cells["gama", column].protocol
    write(context.path("predictions", "judged", "gama", "own.jsonl"), [{"id": "c9", "scores": grades}])
    with pytest.raises(PredictionError, match=r"1 verdicts are of questions that are not asked \(c9\)"):
        score_rows(rows, CONFIG, context=context)


def write(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def context(fresh: Path, at: Callable[..., Context], tmp_path: Path) -> Context:
    """Questions of two sets and a row that answered them; the text tower is the random one."""
    (tmp_path / "shared_data").symlink_to(fresh / "shared_data")
    made = at(tmp_path, "score")
    gold, row = made.path("predictions", "gold"), made.path("predictions", "gama", "own")
    write(
        gold / "esc50.jsonl",
        [{"id": f"e{i}", "task": "accuracy", "labels": [CLASSES[i % 2]]} for i in range(4)],
    )
    (gold / "esc50.classes.json").write_text(json.dumps(CLASSES))
    asked = {"task": "instruction", "key": "farm", "options": ["farm", "street"], "output": "x"}
    write(gold / "compa_r.jsonl", [{"id": f"c{i}", **asked} for i in range(4)])
    write(row / "esc50.jsonl", [{"id": f"e{i}", "answers": [CLASSES[i % 2], "rain"]} for i in range(4)])
    write(row / "compa_r.jsonl", [{"id": f"c{i}", "answers": ["a farm", "a street"]} for i in range(4)])
    return made


def test_tables_hold_the_rows_that_were_run(context: Context) -> None:
    rows = {"classification": {"gama": "gama/own", "gone": "gone/own"}, "reasoning": {"ours": "gama/own"}}
    score_rows(rows, CONFIG, context=context)
    results = context.path("results")
    classified, reasoned = read_cells(results, "classification"), read_cells(results, "reasoning")
    assert {key: (cell.value, cell.seeds) for key, cell in classified.items()} == {
        ("gama", "esc50"): (75.0, (100.0, 50.0))
    }
    assert {key: cell.value for key, cell in reasoned.items()} == {("ours", "compa_r_timeline"): 50.0}
    assert classified["gama", "esc50"].scale == "mini"
    items = read_items(results, "classification")["gama", "esc50"]
    assert [one.tolist() for one in items.scores] == [[1, 1, 1, 1], [0, 1, 0, 1]]
    assert items.dataset == "esc50"


def test_answers_to_other_questions_are_refused(context: Context) -> None:
    rows = {"classification": {"gama": "gama/own"}}
    path = context.path("predictions", "gama", "own", "esc50.jsonl")
    whole = [{"id": f"e{i}", "answers": ["rain"]} for i in range(4)]
    for other in (whole[::-1], whole[:3], [*whole, {"id": "e9", "answers": ["rain"]}]):
        write(path, other)
        with pytest.raises(PredictionError, match=r"esc50.jsonl answers other questions"):
            score_rows(rows, CONFIG, context=context)
    write(path, whole)
    context.path("predictions", "gold", "esc50.jsonl").unlink()
    with pytest.raises(PredictionError, match=r"gold.esc50.jsonl is missing"):
        score_rows(rows, CONFIG, context=context)
    assert not context.path("results").exists()


def test_files_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "a"}\n{"id": ')
    with pytest.raises(PredictionError, match="cut or damaged"):
        read_lines(path)
    for lines in ([], [{"id": "a"}, {"id": "a"}]):
        write(path, lines)
        with pytest.raises(PredictionError, match="run its stage again"):
            read_lines(path)


def test_every_task_of_the_questions_is_scored(tmp_path: Path) -> None:
    assert set(SCORERS) == set(get_args(Task))
    truth = [{"task": "acuracy", "labels": ["rain"]}]
    with pytest.raises(PredictionError, match="no way to score the task 'acuracy'; did you mean 'accuracy'"):
        cells(tmp_path, "esc50", truth, [["rain"]])

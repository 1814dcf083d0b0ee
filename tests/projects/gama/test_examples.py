"""The page of examples, from hand-made predictions and a data set of two sounds."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.audio.read import write_flac
from core.data.parquet import write_dataset
from core.data.schema import SCHEMAS
from core.run import tracking
from core.run.stage import Context
from projects.gama.examples import NO_ANSWER, Config, ExampleError, examples

RATE = 8000
QUESTION = "What is heard <first>?"
EVENTS = [["dog bark", 0.1, 0.52]]
INFO = {"task": "t", "licence": "l", "source": "s", "protocol": "p"}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A repository with two data sets: events of openaqa, and esc50; one of its sounds is silent."""
    rng = np.random.default_rng(0)
    tone = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    sounds = [tone + 0.01 * rng.standard_normal(RATE), np.zeros(RATE), tone, tone[:100]]
    audios = [{"bytes": write_flac(s.astype(np.float32), RATE), "path": None} for s in sounds]
    questions = [{"instruction": QUESTION, "output": "A dog.", "task": "first", "key": "", "options": []}]
    events = [{"label": "dog bark", "onset": 0.1, "offset": 0.52}]
    rows: dict[str, list[dict[str, Any]]] = {
        "openaqa": [{"caption": "a dog", "events": events, "questions": questions} for _ in audios],
        "esc50": [{"label": "dog", "fold": 1} for _ in audios],
    }
    for name, each in rows.items():
        write_dataset(
            tmp_path / "shared_data" / "datasets" / "mini" / name,
            [
                {"id": f"{name}-{i}", "audio": audio, "clips": ["x"], **row}
                for i, (audio, row) in enumerate(zip(audios, each))
            ],
            features=SCHEMAS[name],
            split="test",
            info=INFO | {"name": name},
        )
    return Context(
        paper="gama",
        stage="examples",
        variant=None,
        profile="mini",
        root=tmp_path,
        tracker=tracking.off(),
        seed=0,
    )


def write(context: Context, row: str, name: str, lines: list[dict[str, Any]]) -> Path:
    path = context.path("predictions", row, f"{name}.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def ask(context: Context, name: str, questions: int = 4, *, dataset: str = "", **truth: Any) -> None:
    """Gold questions, one about each sound of the data set that `name` is about."""
    lines = [
        {
            "id": f"{name}-{i}#0",
            "audio": f"{dataset or name}:{dataset or name}-{i % 4}",
            "instruction": QUESTION,
        }
        | (truth or {"output": "A dog.", "key": "", "options": [], "events": EVENTS})
        for i in range(questions)
    ]
    write(context, "gold", name, lines)


def predict(context: Context, row: str, name: str, answers: list[Any]) -> Path:
    return write(
        context, row, name, [{"id": f"{name}-{i}#0", "answers": said} for i, said in enumerate(answers)]
    )


def page(context: Context, **how: Any) -> str:
    config = Config(**({"rows": ("gama", "wo_qformer"), "datasets": ("openaqa",), "n": 4} | how))
    examples(config, context=context)
    return context.path("figures", "examples.html").read_text(encoding="utf-8")


def test_the_page_shows_sounds_questions_references_and_every_row(context: Context) -> None:
    ask(context, "openaqa")
    ask(context, "esc50", labels=["dog"])
    predict(context, "gama", "openaqa", [["A <b>dog</b>"], [""], ["seed one", "seed two"], ["d"]])
    predict(context, "wo_qformer", "openaqa", [["rain"]] * 4)
    predict(context, "gama", "esc50", [["e"]] * 4)
    text = page(context, datasets=("openaqa", "esc50", "gtzan"))
    assert text.count("not in this profile") == 1
    assert text.count("<section>") == 8
    assert text.count("What is heard &lt;first&gt;?") == 8
    assert "A &lt;b&gt;dog&lt;/b&gt;" in text
    assert "<b>" not in text
    assert NO_ANSWER in text
    assert "seed one<br>seed two" in text
    assert text.count('<tr class="reference"><th>reference</th><td>A dog.</td>') == 4
    assert text.count('<tr class="reference"><th>reference</th><td>dog</td>') == 4
    assert text.count("<th>wo_qformer</th><td>rain</td>") == 4
    assert "wo_qformer: not run" in text  # on esc50
    assert text.count("dog bark 0.1–0.5 s") == 4


@pytest.mark.parametrize("kind", ["labels", "captions", "answers"])
def test_every_kind_of_set_has_its_references(context: Context, kind: str) -> None:
    ask(context, "dense_esc50", 1, dataset="esc50", **{kind: ["a dog", "and rain"]})
    predict(context, "gama", "dense_esc50", [["a"]])
    assert "<td>a dog<br>and rain</td>" in page(context, rows=("gama",), datasets=("dense_esc50",))


def test_the_page_needs_no_other_file_and_is_the_same_each_time(context: Context) -> None:
    ask(context, "openaqa")
    predict(context, "gama", "openaqa", [["a"]] * 4)
    text = page(context, rows=("gama",))
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    assert len(images) == 4
    assert all(base64.b64decode(image).startswith(b"\x89PNG") for image in images)
    assert len(set(images)) == 4
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert page(context, rows=("gama",)) == text


def test_a_seed_draws_questions_about_different_sounds(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projects.gama.examples._spectrogram", lambda *_, **__: b"")
    ask(context, "openaqa", 12)
    predict(context, "gama", "openaqa", [["a"]] * 12)
    drawn = [
        re.findall(r"<small>openaqa-(\d+)#0</small>", page(context, rows=("gama",), n=3, seed=seed))
        for seed in range(6)
    ]
    assert len(set(map(tuple, drawn))) > 1
    for places in drawn:
        assert places == sorted(places, key=int)
        assert len({int(place) % 4 for place in places}) == 3
    more = re.findall(r"<small>openaqa-(\d+)#0</small>", page(context, rows=("gama",), n=6))
    assert len({int(place) % 4 for place in more}) == 4
    assert len(more) == 6


def test_a_row_that_was_not_run_gives_its_reason(context: Context) -> None:
    ask(context, "openaqa")
    predict(context, "gama", "openaqa", [["a"]] * 4)
    reason = context.path("predictions", "wo_qformer", "not_run.txt")
    reason.parent.mkdir(parents=True)
    reason.write_text("no weights & no luck\n")
    assert "wo_qformer: no weights &amp; no luck" in page(context)
    reason.unlink()
    assert "wo_qformer: not run" in page(context)


def test_predictions_that_do_not_fit_are_errors(context: Context) -> None:
    with pytest.raises(ExampleError, match=r"`gold` and `predict` first"):
        page(context)
    ask(context, "openaqa", 2)
    with pytest.raises(ExampleError, match="no predictions of gama, wo_qformer"):
        page(context)
    predict(context, "gama", "openaqa", [["a"]])
    with pytest.raises(ExampleError, match="other questions than the gold"):
        page(context)
    path = predict(context, "gama", "openaqa", [["a"], ["b"]])
    path.write_text(path.read_text() + path.read_text().splitlines()[0] + "\n")
    with pytest.raises(ExampleError, match=r"line 3.*twice"):
        page(context)
    path.write_text('{"id": "openaqa-0#0", "scores": [[0.1]]}\n')
    with pytest.raises(ExampleError, match=r"line 1.*`predict` writes"):
        page(context)
    predict(context, "gama", "openaqa", [None, ["b"]])
    with pytest.raises(ExampleError, match="line 1"):
        page(context)
    predict(context, "gama", "openaqa", [["a"], ["b"]])
    ask(context, "openaqa", 2, unknown="x")
    with pytest.raises(ExampleError, match=r"line 1.*labels, captions, answers, output"):
        page(context)
    ask(context, "openaqa", 2, dataset="esc50", output="A dog.")
    (context.root / "shared_data" / "datasets" / "mini" / "esc50").rename(context.root / "gone")
    with pytest.raises(ValueError, match="esc50"):
        page(context, rows=("gama",))
    write(
        context,
        "gold",
        "openaqa",
        [{"id": "openaqa-0#0", "audio": "openaqa:x", "instruction": "?", "output": "y"}],
    )
    predict(context, "gama", "openaqa", [["a"]])
    with pytest.raises(ExampleError, match=r"has no openaqa:x"):
        page(context, rows=("gama",))
    with pytest.raises(ExampleError, match="n is 0"):
        page(context, n=0)

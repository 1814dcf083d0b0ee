"""The figures: from a made-up exam and made-up scores; what is drawn is what the CSVs say."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.data.choices import DIFFICULTIES, SKILLS
from core.report.cells import write_cells
from core.report.paper import read_paper
from core.report.scoring import PredictionError, mean_cell
from core.run import tracking
from core.run.stage import Context
from projects.mmau import drawings, figure_rows
from projects.mmau.figure_rows import NO_ITEMS, FigureError, day_of, read_timeline, skill_counts
from projects.mmau.figures import Config, figures
from projects.mmau.score import slug

HERE = Path(figure_rows.__file__).parent
NAMES = ("skill_distribution", "skill_difficulty", "over_time", "noise")
CONFIG = Config(model="gama_it_likeliest", models=("gama_it_likeliest", "compa_clap", "gama"))
ABSENT = "Lyrical Reasoning"  # a skill that the made-up exam lacks


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A repository whose figures are not drawn yet."""
    return repository(tmp_path)


def repository(tmp_path: Path) -> Context:
    """The paper's own files, an exam of 26 skills, and scores of two of three models."""
    folder = tmp_path / "projects" / "mmau"
    folder.mkdir(parents=True)
    for name in ("paper.yaml", "reported.csv", "timeline.csv"):
        shutil.copy(HERE / name, folder / name)
    made = Context(
        paper="mmau",
        stage="figures",
        variant=None,
        profile="mini",
        root=tmp_path,
        tracker=tracking.off(),
        seed=0,
    )
    write_exam(made, exam())
    write_scores(made, exam())
    return made


def exam() -> list[dict[str, Any]]:
    """3 to 7 items a skill of all difficulties, half of them with two options, half with four."""
    return [
        {
            "id": f"{slug(skill)}-{i}",
            "question": "Which?",
            "choices": ["a", "b", "c", "d"][: 2 + 2 * (i % 2)],
            "answer": "a",
            "dataset": "synthetic",
            "task": about.domain,
            "split": "test-mini",
            "category": about.type,
            "sub-category": skill,
            "difficulty": DIFFICULTIES[i % 3],
        }
        for place, (skill, about) in enumerate(SKILLS.items())
        if skill != ABSENT
        for i in range(3 + place % 5)
    ]


def write_exam(context: Context, items: list[dict[str, Any]]) -> Path:
    path = context.path("predictions", "gold", "mmau.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    return path


def write_scores(context: Context, items: list[dict[str, Any]], *, sharp: bool = True) -> None:
    """Tables as the stage `score` writes them; gama was not run."""
    rng = np.random.default_rng(0)
    tables: dict[str, list[Any]] = {"skills": [], "skill_difficulty": [], "noise": []}

    def add(table: str, row: str, column: str, n: int) -> None:
        scores = rng.integers(0, 2, n).astype(float)
        ids = [f"{i}" for i in range(n)]
        tables[table].append(mean_cell(row, column, "mmau", [scores], ids, scale="mini", protocol="made up"))

    for skill in SKILLS:
        of = [item for item in items if item["sub-category"] == skill]
        if of:
            add("skills", slug(skill), "gama_it_likeliest", len(of))
        for level in DIFFICULTIES if sharp else ():
            if n := sum(item["difficulty"] == level for item in of):
                add("skill_difficulty", slug(skill), f"gama_it_likeliest__{level}", n)
    for model in ("gama_it_likeliest", "compa_clap"):
        for condition in ("clean", "noise", "drop"):
            add("noise", model, condition, len(items))
    for table, made in tables.items():
        write_cells(context.path("results"), table, [c for c, _ in made], [i for _, i in made])


def read(context: Context, name: str) -> list[dict[str, str]]:
    with context.path("figures", f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@dataclass
class Drawn:
    """A run of the stage: where it wrote, and name -> what it drew."""

    context: Context
    figures: dict[str, Any]

    def rows(self, name: str) -> list[dict[str, str]]:
        return read(self.context, name)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    return draw(repository(tmp_path_factory.mktemp("drawn")), CONFIG)


def draw(context: Context, config: Config) -> Drawn:
    """Run the stage and keep its figures; the PNGs are left empty."""
    kept: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawings, "png", lambda figure: kept.append(figure) or b"")
        figures(config, context=context)
    for figure in kept:
        figure.draw_without_rendering()
    return Drawn(context, dict(zip(NAMES, kept, strict=True)))


def dots(axis: Any) -> list[tuple[float, float]]:
    """The places of every dot of an axis, rounded."""
    from matplotlib.collections import PathCollection

    found = [c for c in axis.collections if isinstance(c, PathCollection)]
    return [(round(x, 4), round(y, 4)) for c in found for x, y in c.get_offsets()]


def intervals(axis: Any) -> list[tuple[float, float]]:
    from matplotlib.collections import LineCollection

    found = [c for c in axis.collections if isinstance(c, LineCollection)]
    return [(round(s[0][0], 4), round(s[1][0], 4)) for c in found for s in c.get_segments()]


def vertical_lines(axis: Any) -> list[float]:
    return [round(float(line.get_xdata()[0]), 4) for line in axis.lines]


def number(text: str) -> float:
    return round(float(text), 4)


def test_writes_four_figures_whose_bytes_repeat(context: Context) -> None:
    figures(CONFIG, context=context)
    folder = context.path("figures")
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        f"{n}.{e}" for n in NAMES for e in ("csv", "png")
    )
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert all(
        first[f"{name}.png"].startswith(b"\x89PNG") and b"Software" not in first[f"{name}.png"]
        for name in NAMES
    )
    import matplotlib

    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red"}):  # a machine's own settings
        figures(CONFIG, context=context)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_bars_are_the_counts_of_the_exam(drawn: Drawn) -> None:
    rows = drawn.rows("skill_distribution")
    assert len(rows) == len(SKILLS)
    assert sum(int(row["items"]) for row in rows) == len(exam())
    assert [row for row in rows if row["note"]] == [
        {"type": "Reasoning", "domain": "music", "skill": ABSENT, "items": "0", "note": NO_ITEMS}
    ]
    figure = drawn.figures["skill_distribution"]
    axis = figure.axes[0]
    shown = [row for row in rows if not row["note"]]
    sides = [-1 if row["type"] == "Information Extraction" else 1 for row in shown]
    assert [bar.get_width() for bar in axis.patches] == [
        side * int(row["items"]) for side, row in zip(sides, shown)
    ]
    assert [_hex(bar.get_facecolor()) for bar in axis.patches] == [
        drawings.DOMAINS[row["domain"]] for row in shown
    ]
    texts = [text.get_text() for text in axis.texts]
    assert texts == [row["items"] for row in shown] + [row["skill"] for row in shown]
    assert axis.get_title("left").startswith("Information Extraction: 8 skills")
    assert axis.get_title("right").startswith("Reasoning: 18 skills")
    note = figure.get_supxlabel()
    assert "8 skills of information extraction and 19 of reasoning" in note
    assert "11 and 16" in note
    assert ABSENT in note


def _hex(colour: Any) -> str:
    from matplotlib.colors import to_hex

    return to_hex(colour).upper()


def test_a_skill_stands_under_what_its_items_say() -> None:
    items = [
        {"category": "Reasoning", "task": "speech", "sub-category": "Counting"},
        {"category": "Information Extraction", "task": "speech", "sub-category": "Counting"},
    ]
    rows = [row for row in skill_counts(items) if row.skill == "Counting"]
    assert [(row.type, row.items) for row in rows] == [("Information Extraction", 1), ("Reasoning", 1)]


def test_dots_are_the_scores_by_skill_and_difficulty(drawn: Drawn) -> None:
    rows = drawn.rows("skill_difficulty")
    figure = drawn.figures["skill_difficulty"]
    assert "a small world, not comparable with the paper" in figure.get_supxlabel()
    assert figure.get_suptitle().startswith("GAMA-IT, likeliest option")
    skills = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert sorted(skills) == sorted(skill for skill in SKILLS if skill != ABSENT)
    for axis, level in zip(figure.axes, ("all", *DIFFICULTIES)):
        here = [row for row in rows if row["difficulty"] == level]
        shown = [row for row in here if row["accuracy"] and row["skill"] != "chance"]
        assert dots(axis) == [(number(row["accuracy"]), skills.index(row["skill"])) for row in shown]
        assert intervals(axis) == [(number(row["low"]), number(row["high"])) for row in shown]
        chance = [row for row in here if row["skill"] == "chance"]
        assert vertical_lines(axis) == [number(row["accuracy"]) for row in chance]
        of = [item for item in exam() if level in ("all", item["difficulty"])]
        assert int(chance[0]["n"]) == sum(int(row["n"]) for row in shown) == len(of)
        expected = np.mean([1 / len(item["choices"]) for item in of])
        assert float(chance[0]["accuracy"]) == pytest.approx(100 * expected, abs=1e-5)
        assert [row["skill"] for row in here if row["note"] == NO_ITEMS] == [ABSENT]


def test_a_model_that_was_not_run_is_left_out_and_named(context: Context) -> None:
    drawn = draw(context, Config(model="gama", models=("gama",)))
    by_skill, noise = drawn.figures["skill_difficulty"], drawn.figures["noise"]
    rows = [row for row in drawn.rows("skill_difficulty") if row["skill"] not in ("chance", ABSENT)]
    assert {(row["accuracy"], row["note"]) for row in rows} == {("", "not run")}
    assert not any(dots(axis) for axis in by_skill.axes)
    assert "not run" in [text.get_text() for text in by_skill.axes[0].texts]
    ours = [row for row in drawn.rows("noise") if row["panel"] == "ours" and row["condition"] != "chance"]
    assert [(row["row"], row["accuracy"], row["note"]) for row in ours] == 2 * [("gama", "", "not run")]
    assert not dots(noise.axes[1])
    assert dots(noise.axes[0])


def test_over_time_shows_reported_numbers_at_release_dates(drawn: Drawn) -> None:
    from matplotlib.dates import date2num

    rows = drawn.rows("over_time")
    axis = drawn.figures["over_time"].axes[0]
    shown = [row for row in rows if row["kind"] == "model" and not row["note"]]
    assert len(shown) == 14
    assert dots(axis) == [
        (round(date2num(date.fromisoformat(row["drawn_at"])), 4), number(row["value"])) for row in shown
    ]
    step, *levels = axis.lines
    assert list(step.get_ydata()) == [float(row["best_so_far"]) for row in shown]
    assert [row["row"] for row in rows if row["kind"] == "line"] == ["random", "human"]
    assert [line.get_ydata()[0] for line in levels] == [25.92, 82.23]
    gemini = next(row for row in rows if row["row"] == "gemini_pro_15")
    assert (gemini["value"], gemini["drawn_at"], gemini["best_so_far"]) == ("52.97", "2024-02-15", "52.97")
    assert {row["row"] for row in rows if row["note"] == "no release date of its own"} == {
        "most_frequent",
        "gpt4o_weak",
        "gpt4o_strong",
        "llama3_weak",
        "llama3_strong",
    }
    assert not any(
        row["row"].startswith(("gama_it_likeliest", "reader", "compa")) for row in rows
    )  # none of ours


def test_names_of_models_cover_no_dot_and_no_other_name(drawn: Drawn) -> None:
    figure = drawn.figures["over_time"]
    axis = figure.axes[0]
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axis.texts]
    assert len(boxes) == 16
    assert not [
        (axis.texts[i].get_text(), axis.texts[j].get_text())
        for i in range(len(boxes))
        for j in range(i)
        if boxes[i].overlaps(boxes[j])
    ]
    places = axis.transData.transform(dots(axis))
    assert not [
        axis.texts[i].get_text() for i, box in enumerate(boxes) for x, y in places if box.contains(x, y)
    ]


def test_noise_keeps_reported_and_ours_in_panels_of_their_own(drawn: Drawn) -> None:
    rows = drawn.rows("noise")
    reported, ours = drawn.figures["noise"].axes
    assert "Reported" in reported.get_title("left")
    assert ours.get_title("left").startswith("Ours (mini)")
    assert "not comparable with the paper" in drawn.figures["noise"].get_supxlabel()
    for axis, panel, models in ((reported, "reported", 5), (ours, "ours", 2)):
        here = [row for row in rows if row["panel"] == panel]
        labels = [tick.get_text() for tick in axis.get_yticklabels()]
        assert len(labels) == models
        shown = [row for c in ("clean", "noise") for row in here if row["condition"] == c and row["accuracy"]]
        assert [x for x, _ in dots(axis)] == [number(row["accuracy"]) for row in shown]
        assert [labels[round(y)] for _, y in dots(axis)] == [row["model"] for row in shown]
        bounded = [(number(row["low"]), number(row["high"])) for row in shown if row["low"]]
        assert intervals(axis) == bounded
        assert len(bounded) == (0 if panel == "reported" else 4)
        assert vertical_lines(axis) == [number(r["accuracy"]) for r in here if r["condition"] == "chance"]
    gama = [row["accuracy"] for row in rows if (row["panel"], row["row"]) == ("reported", "gama")]
    assert gama == ["31.81", "20.7"]


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("predictions/mini/gold/mmau.jsonl", "run its stage gold"),
        (
            "results/mini/skills.json",
            r"run the stage `score` \(python -m projects.mmau.score --profile mini\)",
        ),
        ("results/mini/skill_difficulty.json", "run the stage `score`"),
        ("results/mini/noise.json", "run the stage `score`"),
        ("timeline.csv", "row,model,date,source"),
    ],
)
def test_a_missing_input_names_the_stage(context: Context, missing: str, message: str) -> None:
    (context.folder / missing).unlink()
    with pytest.raises((FigureError, PredictionError), match=message):
        figures(CONFIG, context=context)
    assert not context.path("figures").exists()


def test_scores_of_another_exam_are_refused(context: Context) -> None:
    write_exam(context, exam()[:-1])
    with pytest.raises(FigureError, match=r"other items of Emotion Flip Detection.*stage `score` again"):
        figures(CONFIG, context=context)
    write_scores(context, exam()[1:])
    write_exam(context, exam())
    with pytest.raises(FigureError, match=r"stage `score` again"):
        figures(CONFIG, context=context)


def test_a_model_without_scores_by_difficulty_is_no_model_that_was_not_run(context: Context) -> None:
    write_scores(context, exam(), sharp=False)
    with pytest.raises(FigureError, match=r"gama_it_likeliest is no column of the table skill_difficulty"):
        figures(CONFIG, context=context)


@pytest.mark.parametrize(
    ("key", "value"), [("sub-category", "Counting sheep"), ("category", ["Reasoning"]), ("difficulty", None)]
)
def test_an_item_that_cannot_be_placed_is_named(context: Context, key: str, value: object) -> None:
    items = exam()
    items[3][key] = value
    write_exam(context, items)
    with pytest.raises(FigureError, match=rf"{key} of item {items[3]['id']}"):
        figures(CONFIG, context=context)


def test_unknown_models_are_refused_with_the_nearest(context: Context) -> None:
    with pytest.raises(FigureError, match="did you mean 'gama_it_likeliest'"):
        figures(Config(model="gama_it_likelist", models=()), context=context)
    with pytest.raises(FigureError, match="table noise has no row 'pengi'"):
        figures(Config(model="gama_it_likeliest", models=("pengi",)), context=context)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pengy,Pengi,2023-05,x", "line 2: table main has no row 'pengy'; did you mean 'pengi'"),
        ("pengi,Pengi,2023,x", "line 2: '2023' is neither"),
        ("pengi,Pengi,2023-13,x", "line 2: '2023-13' is neither"),
        ("pengi,Pengi,2023-05,", "line 2: expected 4 fields"),
        ("pengi,Pengi,2023-05", "line 2: expected 4 fields"),
        ("pengi,Pengi,2023-05,a,b", "line 2: expected 4 fields"),
        ("pengi,Pengi,2023-05,x\npengi,Pengi,2023-06,x", "line 3: pengi was given before"),
    ],
)
def test_mistakes_of_the_timeline_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "timeline.csv"
    path.write_text(f"row,model,date,source\n{line}\n", encoding="utf-8")
    with pytest.raises(FigureError, match=message):
        read_timeline(path, paper=read_paper(HERE))


def test_dates_of_the_timeline_are_those_of_their_arxiv_numbers() -> None:
    """The first four digits of an arXiv number are its year and month."""
    lines = read_timeline(HERE / "timeline.csv", paper=read_paper(HERE))
    preprints = [line for line in lines.values() if line["source"].startswith("arXiv ")]
    assert len(preprints) == 13
    for line in preprints:
        numbers = line["source"].removeprefix("arXiv ")
        assert line["date"] == f"20{numbers[:2]}-{numbers[2:4]}"
    assert day_of("2024-02") == date(2024, 2, 15)

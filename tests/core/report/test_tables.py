"""The join, its statuses and averages, and the files that `python -m core.report.tables` writes."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.report.cells import Cell, CellError, Items, write_cells
from core.report.join import average_cell, join, wrong_averages
from core.report.paper import PaperError, Reported, read_paper, read_reported
from core.report.tables import main, write_index, write_paper_tables
from core.report.typeset import latex_escape, latex_table, markdown_table

PAPER = """\
title: "A paper"
name: Demo
venue: Nowhere
year: 2024
url: https://example.org
licence: MIT
status: built
assumptions: ["The seed is not given; we take 0."]
tables:
  main:
    title: "Main & only"
    note: "A note."
    columns:
      acc: {label: Accuracy}
      f1: {label: F1_score}
      mean: {label: Mean, average_of: all}
    groups: {all: [acc, f1]}
    rows:
      ours: {label: Ours, size: 7B, model: base}
      chance: {label: "Chance | none", derived: "one of four"}
      closed: {label: Closed, not_run: "closed model"}
      open: {label: Open, not_run: "closed model"}
  again:
    title: "Printed twice"
    cells_from: main
    columns: {acc: {label: Accuracy}}
    rows: {ours: {label: Ours, model: base}}
"""
REPORTED = """\
table,row,column,value,source,std
main,ours,acc,50.0,Table 1,3.0
main,ours,f1,40.0,Table 1,
main,ours,mean,47.0,Table 1,
main,closed,acc,90,Table 1,
again,ours,acc,50.1,Table 9,
"""
CLAIMS = """\
- id: better
  text: "Ours beats chance"
  source: abstract
  table: main
  comparison: {kind: greater, left: {row: ours, columns: [acc]}, right: {row: chance, columns: [acc]}}
- id: closed
  text: "Ours is not worse than the closed model"
  source: abstract
  table: main
  comparison:
    kind: not_worse
    margin: 2.0
    why_margin: "two points are noise"
    left: {row: ours, columns: [acc]}
    right: {row: closed, columns: [acc]}
"""


IDS = tuple(f"i{i}" for i in range(100))


def cell(
    row: str, column: str, value: float, half: float, *, scale: str, n: int = 100, seeds: int = 1
) -> Cell:
    return Cell(
        row=row,
        column=column,
        value=value,
        low=value - half,
        high=value + half,
        n=n,
        seeds=(value,) * seeds,
        scale=scale,
        protocol="top-1",
    )


def run_profile(folder: Path, scale: str, acc: float, f1: float) -> None:
    hits = (np.arange(100) < acc).astype(float)
    write_cells(
        folder / "results" / scale,
        "main",
        [
            cell("ours", "acc", acc, 4.0, scale=scale, seeds=3),
            cell("ours", "f1", f1, 3.0, scale=scale, seeds=3),
            cell("chance", "acc", 25.0, 0.0, scale=scale),
        ],
        [Items(row="ours", column="acc", dataset="demo", scores=(hits, hits, hits), ids=IDS)],
    )


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "projects" / "demo"
    folder.mkdir(parents=True)
    (folder / "paper.yaml").write_text(PAPER)
    (folder / "reported.csv").write_text(REPORTED)
    (folder / "claims.yaml").write_text(CLAIMS)
    return tmp_path


def joined(root: Path, table: str = "main", **results: list[Cell]):
    folder = root / "projects" / "demo"
    paper = read_paper(folder)
    printed = {(r.table, r.row, r.column): r for r in read_reported(folder, paper=paper)}
    cells = {profile: {(c.row, c.column): c for c in given} for profile, given in results.items()}
    return {(j.row, j.column, j.profile): j for j in join(paper, table, printed=printed, results=cells)}


@pytest.mark.parametrize(
    ("column", "value", "half", "status"),
    [
        ("f1", 42.0, 3.0, "reproduced"),  # 40.0 lies in 39..45
        ("f1", 44.0, 3.0, "differs"),
        ("f1", 37.0, 3.0, "reproduced"),
        ("f1", 43.04, 3.0, "reproduced"),  # 40.04: within the rounding of a printed 40.0
        ("f1", 43.06, 3.0, "differs"),
        ("acc", 53.0, 0.5, "reproduced"),  # outside our interval, within the paper's own 50.0 ± 3.0
        ("acc", 53.6, 0.5, "differs"),
    ],
)
def test_a_number_at_paper_scale_is_judged(root, column, value, half, status):
    cells = joined(root, paper=[cell("ours", column, value, half, scale="paper")])
    assert cells["ours", column, "paper"].status == status


@pytest.mark.parametrize("profile", ["mini", "recorded", "wheels"])
def test_a_scaled_number_is_never_judged(root, profile):
    cells = joined(root, **{profile: [cell("ours", "acc", 50.0, 4.0, scale=profile)]})
    assert cells["ours", "acc", profile].status == "scaled"
    assert cells["ours", "acc", "paper"].status == "not run"


def test_empty_cells_have_a_reason(root):
    cells = joined(root, mini=[cell("ours", "acc", 50.0, 4.0, scale="mini")])
    assert (cells["closed", "acc", "mini"].status, cells["closed", "acc", "mini"].reason) == (
        "not run",
        "closed model",
    )
    assert cells["ours", "f1", "mini"].reason == "no number in profile mini"
    assert cells["ours", "acc", "paper"].reason == "profile paper has not been run"


def test_a_number_that_the_paper_does_not_print_is_unreported(root):
    cells = joined(root, paper=[cell("chance", "acc", 25.0, 0.0, scale="paper")])
    assert cells["chance", "acc", "paper"].status == "unreported"


def test_averages_are_computed_on_both_sides(root):
    ours = [cell("ours", "acc", 60.0, 3.0, scale="mini"), cell("ours", "f1", 30.0, 4.0, scale="mini", n=50)]
    average = joined(root, mini=ours)["ours", "mean", "mini"]
    assert average.reported is not None
    assert (average.reported.value, average.reported.text) == (45.0, "45.00")  # printed: 47.0
    assert average.cell is not None
    assert (average.cell.value, average.cell.n) == (45.0, 150)
    # without item scores nothing is known of what the columns share
    assert (average.cell.low, average.cell.high) == (45.0 - 3.5, 45.0 + 3.5)
    assert "without item scores" in average.cell.protocol
    partial = joined(root, mini=ours[:1])
    assert partial["ours", "mean", "mini"].cell is None
    assert partial["closed", "mean", "mini"].reported is None


def test_an_average_is_resampled_itself(root):
    hits = (np.arange(100) % 3 == 0).astype(float)
    other = np.random.default_rng(0).permutation(hits)

    def half(second: np.ndarray, dataset: str) -> float:
        parts = []
        for column, scores, named in (("acc", hits, "demo"), ("f1", second, dataset)):
            value = 100 * scores.mean()
            items = Items(row="ours", column=column, dataset=named, scores=(scores,), ids=IDS)
            parts.append((cell("ours", column, value, 9.2, scale="mini"), items))
        average = average_cell(parts, column="mean")
        assert average is not None
        assert average.n == (100 if dataset == "demo" else 200)
        assert average.low < average.value < average.high
        return average.high - average.value

    half_width, unseen = 1.984 * 100 * hits.std(ddof=1) / 10, 3.84 / (34 * 0.66)  # of 34 events
    alone = half_width * (1 + unseen) ** 0.5
    assert half(hits, "demo") == pytest.approx(alone, rel=0.03)  # the same answers twice say nothing new
    both = half_width * (2 + unseen) ** 0.5 / 2  # two data sets
    assert half(other, "elsewhere") == pytest.approx(both, rel=0.03)
    assert half(1 - hits, "demo") < 0.2 * alone  # what one column wins the other loses


def test_the_average_of_three_grades_of_an_answer_keeps_to_their_scale():
    grades = np.tile([5.0, 5.0, 5.0, 4.0], 10)
    parts = []
    for column in ("a", "b", "c"):
        made = cell("ours", column, 4.75, 0.2, scale="mini", n=40)
        items = Items(row="ours", column=column, dataset="judged", scores=(grades,), ids=IDS[:40])
        parts.append((replace(made, unit="1-5"), items))
    average = average_cell(parts, column="mean")
    assert average is not None
    assert 4.5 < average.low < 4.75 < average.high <= 5.0


@pytest.mark.parametrize(("printed", "wrong"), [("45.0", 0), ("45.1", 0), ("45.2", 1), ("45", 0), ("46", 1)])
def test_a_printed_average_may_be_off_by_rounding_only(root, printed, wrong):
    folder = root / "projects" / "demo"
    (folder / "reported.csv").write_text(REPORTED.replace("mean,47.0", f"mean,{printed}"))
    paper = read_paper(folder)
    numbers = {(r.table, r.row, r.column): r for r in read_reported(folder, paper=paper)}
    sentences = wrong_averages(paper, "main", printed=numbers)
    assert len(sentences) == wrong
    assert all(s == f"Ours: Mean is printed as {printed}, its row gives 45.00" for s in sentences)


def test_a_printed_average_without_its_parts_is_named(root):
    paper = read_paper(root / "projects" / "demo")
    lone = Reported(table="main", row="closed", column="mean", value=1.0, text="1.0", source="s")
    (sentence,) = wrong_averages(paper, "main", printed={("main", "closed", "mean"): lone})
    assert "not all the numbers that it averages" in sentence


def test_results_that_do_not_belong_are_errors(root):
    with pytest.raises(CellError, match=r"results/mini/main\.json: theirs/acc is not in paper\.yaml"):
        joined(root, mini=[cell("theirs", "acc", 1.0, 0.0, scale="mini")])
    with pytest.raises(CellError, match="scale is 'paper' in the results of profile 'mini'"):
        joined(root, mini=[cell("ours", "acc", 1.0, 0.0, scale="paper")])
    with pytest.raises(CellError, match="is an average, which is computed here"):
        joined(root, mini=[cell("ours", "mean", 1.0, 0.0, scale="mini")])


def test_a_table_printed_twice_shares_our_numbers(root):
    cells = joined(
        root,
        "again",
        paper=[cell("ours", "acc", 50.0, 0.2, scale="paper"), cell("chance", "acc", 1, 0, scale="paper")],
    )
    assert cells["ours", "acc", "paper"].status == "reproduced"
    assert len(cells) == 3


def test_files_of_a_paper(root):
    folder = root / "projects" / "demo"
    run_profile(folder, "mini", 70.0, 30.0)
    run_profile(folder, "paper", 52.0, 30.0)
    stale = root / "paper_tables" / "demo" / "gone.md"
    stale.parent.mkdir(parents=True)
    stale.write_text("old")
    paths = write_paper_tables(root, "demo")
    names = {p.name for p in paths}
    assert names == {f"{t}.{e}" for t in ("main", "again") for e in ("md", "csv", "tex")} | {
        "claims.md",
        "claims.csv",
    }
    assert {p.name for p in stale.parent.iterdir()} == names

    page = (stale.parent / "main.md").read_text()
    mini = page.partition("## Profile `mini`")[2].partition("## ")[0]
    numbers = "50.0 ± 3.0 | 70.0 [66.0, 74.0] | 40.0 | 30.0 [27.0, 33.0] | 45.00 | 50.0 [46.5, 53.5] | 3 |"
    assert f"| Ours | {numbers}" in mini
    assert "| Model | Accuracy (%), paper | Accuracy (%), ours | F1\\_score" in mini.replace("F1_", "F1\\_")
    assert "| Chance \\| none | – | 25.0 |" in mini
    assert "| n |  | 100 |  | 100 |  | 200 |  |" in mini
    assert "| Open |" not in mini  # a row without any number stands below the table, with its reason
    assert "- Closed, Open: closed model" in mini
    assert "reproduced" not in mini
    assert "differs" not in mini
    assert "## Profile `recorded`\n\nNot run here." in page
    paper = page.partition("## Profile `paper`")[2]
    at_scale = "50.0 ± 3.0 | 52.0 [48.0, 56.0] reproduced | 40.0 | 30.0 [27.0, 33.0] differs"
    assert f"| Ours (7B) | {at_scale}" in paper
    assert "- Ours: Mean is printed as 47.0, its row gives 45.00" in paper
    assert "- top-1\n" in paper

    rows = list(csv.DictReader(io.StringIO((stale.parent / "main.csv").read_text())))
    assert len(rows) == 3 * 4 * 3
    one = next(r for r in rows if (r["row"], r["column"], r["profile"]) == ("ours", "acc", "paper"))
    assert (one["status"], one["reported"], one["value"], one["n"]) == (
        "reproduced",
        "50.0",
        "52.0000",
        "100",
    )
    assert next(r for r in rows if r["row"] == "open")["reason"] == "closed model"

    tex = (stale.parent / "main.tex").read_text()
    assert tex.count("\\begin{tabular}{lrrrrrrr}") == 2
    assert "Main \\& only" in tex
    assert "F1\\_score (\\%)" in tex
    assert "50.0 $\\pm$ 3.0 & 70.0 {[}66.0, 74.0]" in tex


def test_the_optional_profile_is_shown_only_where_it_was_run(root):
    run_profile(root / "projects" / "demo", "mini", 70.0, 30.0)
    write_paper_tables(root, "demo")
    pages = root / "paper_tables" / "demo"
    assert not [path.name for path in pages.iterdir() if "wheels" in path.read_text()]
    run_profile(root / "projects" / "demo", "wheels", 60.0, 35.0)
    write_paper_tables(root, "demo")
    section = (pages / "main.md").read_text().partition("## Profile `wheels`")[2].partition("## ")[0]
    assert "60.0 [56.0, 64.0]" in section
    assert "reproduced" not in section
    assert all("wheels" in (pages / name).read_text() for name in ("main.csv", "main.tex", "claims.md"))
    index = write_index(root).read_text()
    assert "| 4 of 12 | – | – |" in index


def test_claims_of_a_paper(root):
    run_profile(root / "projects" / "demo", "mini", 70.0, 30.0)
    write_paper_tables(root, "demo")
    page = (root / "paper_tables" / "demo" / "claims.md").read_text()
    line = next(row for row in page.splitlines() if row.startswith("| Ours beats chance"))
    assert "| **holds** | – | +45.0 [" in line
    assert line.endswith("| 100 | 3/3 |")
    assert "**not tested: closed/acc has no number in this profile**" in page
    assert "not_worse (margin 2)" in page
    assert "two points are noise" in page
    rows = list(csv.DictReader(io.StringIO((root / "paper_tables" / "demo" / "claims.csv").read_text())))
    assert [(r["id"], r["profile"], r["verdict"]) for r in rows] == [
        ("better", "mini", "holds"),
        ("closed", "mini", "not tested"),
    ]
    assert rows[1]["printed_effect"] == "-40.0000"


def test_without_results_the_printed_numbers_stand_alone(root):
    write_paper_tables(root, "demo")
    page = (root / "paper_tables" / "demo" / "main.md").read_text()
    printed = page.partition("## As printed")[2]
    assert "| Ours (7B) | 50.0 ± 3.0 | 40.0 | 45.00 |" in printed
    assert "ours" not in printed.partition("\n| --- |")[0]
    assert "- Closed, Open: closed model" in printed
    assert "No profile has been run yet." in (root / "paper_tables" / "demo" / "claims.md").read_text()


def test_a_table_is_split_by_group_of_columns(root):
    folder = root / "projects" / "demo"
    text = PAPER.replace("{label: F1_score}", '{label: F1_score, group: "Second <half>"}')
    (folder / "paper.yaml").write_text(text.replace("average_of: all}", 'average_of: all, group: "First"}'))
    run_profile(folder, "mini", 70.0, 30.0)
    write_paper_tables(root, "demo")
    page = (root / "paper_tables" / "demo" / "main.md").read_text()
    mini = page.partition("## Profile `mini`")[2].partition("\n## ")[0]
    second = mini.partition("### Second <half>")[2].partition("### First")[0]
    assert "| Model | F1_score (%), paper | F1_score (%), ours | Seeds |" in second
    assert "Chance" not in second  # it has no number there
    assert "| Model | Accuracy (%), paper | Accuracy (%), ours | Seeds |" in mini.partition("### ")[0]
    tex = (root / "paper_tables" / "demo" / "main.tex").read_text()
    assert "\\label{tab:demo-main-mini-2}" in tex
    assert "Main \\& only: Second \\textless{}half\\textgreater{}." in tex


def test_a_note_stands_at_the_head_of_every_page(root, capsys):
    run_profile(root / "projects" / "demo", "mini", 70.0, 30.0)
    out, note = root / "elsewhere", "Profile mini is older than the code."
    assert main(["demo", "--root", str(root), "--note", note, "--out", str(out)]) == 0
    for name in ("main.md", "again.md", "claims.md"):
        lines = (out / name).read_text().splitlines()
        assert (lines[0][:2], lines[2]) == ("# ", note)
    assert f"% {note}" in (out / "main.tex").read_text()
    assert not (root / "paper_tables").exists()


def test_no_spreadsheet_takes_a_cell_for_a_formula(root):
    text = REPORTED.replace("main,ours,f1,40.0,Table 1,", 'main,ours,f1,40.0,"=HYPERLINK(1)",')
    (root / "projects" / "demo" / "reported.csv").write_text(text)
    write_paper_tables(root, "demo")
    rows = list(csv.DictReader(io.StringIO((root / "paper_tables" / "demo" / "main.csv").read_text())))
    assert {r["source"] for r in rows if (r["row"], r["column"]) == ("ours", "f1")} == {"'=HYPERLINK(1)"}


def test_the_same_inputs_give_the_same_bytes(root):
    run_profile(root / "projects" / "demo", "mini", 70.0, 30.0)
    first = {p.name: p.read_bytes() for p in write_paper_tables(root, "demo")}
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-m", "core.report.tables", "demo", "--root", str(root)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert {p.name: p.read_bytes() for p in (root / "paper_tables" / "demo").iterdir()} == first


def test_the_index_lists_every_table_of_every_paper(root):
    run_profile(root / "projects" / "demo", "mini", 70.0, 30.0)
    run_profile(root / "projects" / "demo", "paper", 52.0, 30.0)
    for key, status, tables in [("later", "planned", True), ("figures", "planned", False)]:
        folder = root / "projects" / key
        folder.mkdir()
        text = PAPER.replace("name: Demo", f"name: {key.title()}").replace(
            "status: built", f"status: {status}"
        )
        if not tables:
            text = text[: text.index("tables:")] + 'note: "figures only"\ntables: {}\n'
        (folder / "paper.yaml").write_text(text)
        (folder / "reported.csv").write_text(REPORTED if tables else REPORTED.splitlines()[0] + "\n")
    page = write_index(root).read_text()
    assert (
        "| Demo | [Main & only](demo/main.md) | 1 reproduced, 2 differ, 1 unreported, 8 not run | 4 |" in page
    )
    assert "| 4 of 12 | – | 4 of 12 |" in page
    assert "| Demo | [Claims](demo/claims.md) | 2 claims, tested in every profile that was run |" in page
    assert "| Later | Main & only | not built yet | 4 | – | – | – |" in page
    assert "| Figures | – | figures only | – |" in page
    assert "- The seed is not given; we take 0." in page


def test_errors_go_to_the_user_not_to_a_traceback(root, capsys):
    assert main(["nobody", "--root", str(root)]) == 1
    assert "paper.yaml does not exist" in capsys.readouterr().err
    assert main(["--index", "--root", str(root / "projects")]) == 1
    assert "run this from the repository root" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([])
    with pytest.raises(PaperError, match="holds no paper"):
        write_index(root / "projects")


def test_markup_is_escaped():
    assert latex_escape("a_b & 5 % ± #1 {x} \\ ~ ^") == (
        "a\\_b \\& 5 \\% $\\pm$ \\#1 \\{x\\} \\textbackslash{} \\textasciitilde{} \\textasciicircum{}"
    )
    assert latex_table(["m"], [["[1] CLAP"]], caption="c", label="l").count("{[}1] CLAP") == 1
    assert latex_escape("a\x00b") == "ab"
    assert "<" not in markdown_table(["Model"], [["CLAP <large>"], ["a < b"]])
    assert markdown_table(["a", "b"], [["x|y", "1\n2"]]) == "| a | b |\n| --- | ---: |\n| x\\|y | 1 2 |\n"


def test_tables_need_neither_torch_nor_mlflow():
    heavy = "{'torch', 'mlflow', 'pandas', 'datasets', 'sklearn'}"
    code = f"import sys, core.report.tables; sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=True)

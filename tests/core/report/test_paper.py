"""paper.yaml and reported.csv: every way to get them wrong is an error that says where."""

from __future__ import annotations

import pytest

from core.report.paper import PaperError, read_paper, read_reported

PAPER = """\
title: "A paper"
name: Demo
venue: Nowhere
year: 2024
url: https://example.org
licence: MIT
status: built
tables:
  main:
    title: "Main table"
    columns:
      acc: {label: Accuracy}
      f1: {label: F1, unit: "", higher_is_better: true, decimals: 2}
      mean: {label: Mean, average_of: [acc, f1], group: Averages}
      other: {label: Other, average_of: both}
    groups: {both: [acc, f1]}
    rows:
      ours: {label: Ours, size: 7B, model: base, group: ours}
      closed: {label: Closed, not_run: closed model}
"""
REPORTED = """\
table,row,column,value,source,std
main,ours,acc,24.0,"Table 1, page 3",1.5
main,closed,acc,90,Table 1,
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "paper.yaml").write_text(PAPER)
    (tmp_path / "reported.csv").write_text(REPORTED)
    return tmp_path


def test_reads_what_stands_there(folder):
    paper = read_paper(folder)
    assert paper.key == folder.name
    table = paper.tables["main"]
    assert list(table.columns) == ["acc", "f1", "mean", "other"]
    assert table.columns["mean"].average_of == table.columns["other"].average_of == ("acc", "f1")
    assert (table.columns["mean"].group, table.columns["acc"].group) == ("Averages", "")
    assert table.groups == {"both": ("acc", "f1")}
    assert (table.rows["ours"].label, table.rows["ours"].sized_label) == ("Ours", "Ours (7B)")
    assert table.rows["closed"].sized_label == "Closed"
    assert (table.rows["ours"].model, table.rows["closed"].not_run) == ("base", "closed model")
    first, second = read_reported(folder, paper=paper)
    assert (first.value, first.text, first.std, first.source) == (24.0, "24.0", 1.5, "Table 1, page 3")
    assert second.std is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("licence: MIT\n", "", "paper.yaml: licence: missing; expected str"),
        ("licence:", "license:", "license: unknown key; did you mean 'licence'"),
        ("year: 2024", 'year: "2024"', r"year: expected int, got '2024' \(str\)"),
        ("year: 2024", "year: true", r"year: expected int, got True \(bool\)"),
        ("status: built", "status: done", r"status: 'done' \(str\) is not a choice; known: built, planned"),
        ("group: ours", "grup: ours", r"tables.main.rows.ours.grup: unknown key; did you mean 'group'"),
        ("not_run: closed model", "group: x", "rows.closed says neither `model`, `derived` nor `not_run`"),
        (
            "average_of: [acc, f1]",
            "average_of: [acc, f2]",
            "columns.mean: average_of names 'f2'.* known: acc, f1",
        ),
        (
            "average_of: [acc, f1]",
            "average_of: [acc, mean]",
            "names 'mean', which is no column with numbers of its own",
        ),
        ("of: [acc, f1]", "of: [acc, 1]", r"mean.average_of\[1\]: expected str, got 1 \(int\); quote it"),
        ("label: Ours", "label: no", r"paper\.yaml, line \d+: no is true or false to some readers of YAML"),
        (
            "average_of: both",
            "average_of: bath",
            "average_of: .* name of a group .*'bath'; did you mean 'both'",
        ),
        ("both: [acc, f1]", "both: [acc, f2]", "groups.both: no column 'f2'; known: acc, f1"),
        ("both: [acc, f1]", "both: [acc, acc]", "groups.both: expected a list of columns.* none twice"),
        ("both: [acc, f1]", "both: []", "groups.both: expected a list of columns, at least one"),
        ("both: [acc, f1]", "f1: [acc, f1]", "name of a group of columns, found 'both'; known: f1"),
        ("both: [acc, f1]", "both: [acc, f1], f1: [acc]", "groups.f1: a column has that name too"),
        ("      ours: {", "      Ours: {", "'Ours' cannot be a key"),
        ("      closed: {", "      ours: {", "key 'ours' is given twice"),
        (
            "    rows:\n",
            "    cells_from: mian\n    rows:\n",
            "tables.main: cells_from is 'mian', not another table; known: none",
        ),
        ('title: "A paper"', "title: [", "not readable as YAML"),
    ],
)
def test_a_wrong_paper_says_where(folder, old, new, message):
    assert old in PAPER
    (folder / "paper.yaml").write_text(PAPER.replace(old, new))
    with pytest.raises(PaperError, match=message) as error:
        read_paper(folder)
    assert "paper.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mian,ours,acc,1,s,", "line 4: unknown table 'mian'; did you mean 'main'"),
        ("main,our,acc,1,s,", "line 4: table main has no row 'our'; did you mean 'ours'"),
        ("main,ours,ac,1,s,", "line 4: table main has no column 'ac'; did you mean 'acc'"),
        ("main,ours,f1,-,s,", "line 4: value '-' is not a number"),
        ("main,ours,f1,nan,s,", "line 4: value 'nan' is not a number"),
        ("main,ours,f1,1,s,x", "line 4: std 'x' is not a number"),
        ("main,ours,f1,1,,", "line 4: the source is empty"),
        ("main,ours,acc,2,s,", "line 4: main/ours/acc was already given on line 2"),
        ("main,ours,f1,1,s", "line 4: expected 6 fields"),
        ("main,ours,f1,1,s,1,2", "line 4: expected 6 fields"),
    ],
)
def test_a_wrong_number_says_which_line(folder, line, message):
    (folder / "reported.csv").write_text(f"{REPORTED}{line}\n")
    with pytest.raises(PaperError, match=message):
        read_reported(folder, paper=read_paper(folder))


def test_every_mistake_of_a_paper_is_listed(folder):
    (folder / "paper.yaml").write_text(PAPER.replace("venue:", "veneu:").replace("label: F1", "label: 1"))
    with pytest.raises(PaperError) as error:
        read_paper(folder)
    assert [line.split(": ")[1] for line in str(error.value).splitlines()] == [
        "veneu",
        "venue",
        "tables.main.columns.f1.label",
    ]


def test_the_folder_names_the_paper_not_the_file(folder):
    (folder / "paper.yaml").write_text(f"key: other\n{PAPER}")
    with pytest.raises(PaperError, match="key: unknown key"):
        read_paper(folder)


def test_a_byte_order_mark_before_the_numbers_is_skipped(folder):
    (folder / "reported.csv").write_bytes(REPORTED.encode("utf-8-sig"))
    assert len(read_reported(folder, paper=read_paper(folder))) == 2


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252"])
def test_numbers_in_another_encoding_name_the_file(folder, encoding):
    (folder / "reported.csv").write_bytes(REPORTED.replace("page", "p\u00e4ge").encode(encoding))
    with pytest.raises(PaperError, match=r"reported\.csv"):
        read_reported(folder, paper=read_paper(folder))


def test_a_quote_that_never_ends_names_the_file(folder):
    (folder / "reported.csv").write_text(f'{REPORTED}main,ours,f1,1,"Table 2,\n')
    with pytest.raises(PaperError, match=r"reported\.csv does not read as CSV"):
        read_reported(folder, paper=read_paper(folder))


def test_a_wrong_header_and_absent_files_say_what_to_write(folder):
    paper = read_paper(folder)
    (folder / "reported.csv").write_text("table,row,value\n")
    with pytest.raises(PaperError, match="it must be table,row,column,value,source,std"):
        read_reported(folder, paper=paper)
    (folder / "reported.csv").unlink()
    with pytest.raises(FileNotFoundError, match="give it the header"):
        read_reported(folder, paper=paper)
    (folder / "paper.yaml").unlink()
    with pytest.raises(FileNotFoundError, match=r"paper\.yaml that names its tables"):
        read_paper(folder)

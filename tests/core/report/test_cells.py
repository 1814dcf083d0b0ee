"""Cells: the round trip through results files, and every refusal."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core.report.cells import Cell, CellError, Items, read_cells, read_items, write_cells

HITS = (np.array([0, 1, 1, 0]), np.array([1, 1, 1, 0]))


def cell(**changes) -> Cell:
    values = {"row": "ours", "column": "acc", "value": 62.5, "low": 50.0, "high": 70.0, "n": 4}
    return Cell(**{**values, "seeds": (50.0, 75.0), "scale": "mini", "protocol": "top-1", **changes})


def items(**changes) -> Items:
    values = {"row": "ours", "column": "acc", "dataset": "demo", "scores": HITS, "ids": tuple("pqrs")}
    return Items(**{**values, **changes})


def test_round_trip(tmp_path):
    other = cell(row="b", value=np.float32(0.1), low=0.0, unit="", n=np.int64(2))
    units = ("set:u", "set:v")
    scores = (np.array([0.123456, 0.07654]),)
    made = items(row="b", kind="contributions", scores=scores, ids=units, units=units)
    twice = cell(column="again", n=2)
    shared = items(column="again", units=("set:x", "set:x", "set:y", "set:y"))
    write_cells(tmp_path / "mini", "main", [cell(), other, twice], [items(), made, shared])
    cells = read_cells(tmp_path / "mini", "main")
    assert cells["ours", "acc"] == cell()
    assert cells["b", "acc"].value == 0.1  # six decimals, not float32's 0.10000000149
    back = read_items(tmp_path / "mini", "main")
    assert [s.tolist() for s in back["ours", "acc"].scores] == [[0, 1, 1, 0], [1, 1, 1, 0]]
    assert (back["ours", "acc"].ids, back["ours", "acc"].units) == (("p", "q", "r", "s"), ())
    assert back["ours", "acc"].resampled == ("demo:p", "demo:q", "demo:r", "demo:s")
    assert back["ours", "again"].resampled == shared.units
    assert back["b", "acc"].kind == "contributions"
    assert back["b", "acc"].scores[0].tolist() == [0.1235, 0.07654]
    assert '"0110", "1110"' in (tmp_path / "mini" / "main.items.json").read_text()
    before = (tmp_path / "mini" / "main.items.json").read_bytes()
    write_cells(tmp_path / "mini", "main", [cell(), other, twice], [items(), made, shared])
    assert (tmp_path / "mini" / "main.items.json").read_bytes() == before
    assert sorted(p.name for p in (tmp_path / "mini").iterdir()) == ["main.items.json", "main.json"]


def test_ids_of_one_set_are_written_once(tmp_path):
    write_cells(tmp_path, "main", [cell(), cell(row="b")], [items(), items(row="b")])
    assert (tmp_path / "main.items.json").read_text().count('"p"') == 1


def test_no_items_file_means_no_items(tmp_path):
    assert read_items(tmp_path, "main") == {}


@pytest.mark.parametrize(
    ("cells", "scores", "message"),
    [
        ([cell(), cell()], [], "main/ours/acc is given twice"),
        ([cell(value=float("nan"))], [], "value is nan, not a finite number"),
        ([cell(seeds=(1.0, float("inf")))], [], r"seeds\[1\] is inf"),
        ([cell(low=80.0)], [], "upside down"),
        ([cell(value=49.9)], [], r"49.9 lies outside its own interval 50.0..70.0"),
        ([cell(n=0)], [], "n is 0"),
        ([cell(scale="tiny")], [], "scale is 'tiny'; it must be one of mini, recorded, wheels, paper"),
        ([cell(protocol="")], [], "the protocol is empty"),
        ([cell()], [items(row="theirs")], "main/theirs/acc: items are given for a cell that is not"),
        ([cell()], [items(), items()], "items are given twice"),
        ([cell(n=5)], [items()], "scores of 4 units for a cell of n = 5 units"),
        ([cell()], [items(units=("s:a", "s:a", "s:b", "s:b"))], "scores of 2 units for a cell of n = 4"),
        ([cell()], [items(units=("s:a", "", "s:b", "s:c"))], "units must be one an item, each with a name"),
        ([cell()], [items(ids=("p", "q", "r", "p"))], "an id stands twice"),
        ([cell()], [items(ids=("p", "q"))], "other numbers of scores than there are ids"),
        ([cell(value=60.0)], [items()], "the items average 62.500 but the cell says 60.000"),
        ([cell()], [items(scores=(HITS[0], HITS[1][:3]))], "other numbers of scores than there are ids"),
        ([cell()], [items(scores=())], "one flat array"),
        ([cell()], [items(scores=(np.array([0.0, np.nan, 1, 1]),))], "finite"),
        ([cell()], [items(kind="means")], "must be 'items' or 'contributions'"),
    ],
)
def test_refusals_name_the_cell_and_write_nothing(tmp_path, cells, scores, message):
    with pytest.raises(CellError, match=message):
        write_cells(tmp_path / "mini", "main", cells, scores)
    assert not (tmp_path / "mini").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda raw: raw["ours"]["acc"].pop("low"), "ours/acc: expected the keys"),
        (lambda raw: raw["ours"]["acc"].update(extra=1), "ours/acc: expected the keys"),
        (lambda raw: raw["ours"]["acc"].update(value="62"), "value is '62', not a finite number"),
    ],
)
def test_a_spoiled_file_says_what_to_run(tmp_path, spoil, message):
    write_cells(tmp_path, "main", [cell()])
    raw = json.loads((tmp_path / "main.json").read_text())
    spoil(raw)
    (tmp_path / "main.json").write_text(json.dumps(raw))
    with pytest.raises(CellError, match=message):
        read_cells(tmp_path, "main")


def test_absent_and_broken_files_say_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="run the score stage"):
        read_cells(tmp_path, "main")
    (tmp_path / "main.json").write_text('{"ours": ')
    with pytest.raises(CellError, match=r"not valid JSON .* run the score stage again"):
        read_cells(tmp_path, "main")
    (tmp_path / "main.json").write_text("[]")
    with pytest.raises(CellError, match="expected an object"):
        read_cells(tmp_path, "main")
    (tmp_path / "main.items.json").write_text('[{"row": "a", "scores": ["012"]}]')
    with pytest.raises(CellError, match="expected sets of ids and items of cells; run the score stage again"):
        read_items(tmp_path, "main")
    good = '{"row": "a", "column": "x", "dataset": "d", "kind": "items", "set": 0, "scores": ["01"]}'
    for old, new in [('"01"', '"012"'), ('"set": 0', '"set": 7'), ('"01"', '"011"'), ('"row"', '"raw"')]:
        entry = good.replace(old, new)
        text = f'{{"sets": [{{"ids": ["p", "q"], "units": []}}], "items": [{entry}]}}'
        (tmp_path / "main.items.json").write_text(text)
        with pytest.raises(CellError, match="entry 0 is not an items record"):
            read_items(tmp_path, "main")

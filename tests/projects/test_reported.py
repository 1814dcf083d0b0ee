"""The printed numbers of all papers: complete, in their tables, and adding up where they are averages."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from core.report.claims import read_claims
from core.report.join import average_reported, wrong_averages
from core.report.paper import read_paper, read_reported

PROJECTS = Path(__file__).parents[2] / "projects"
FOLDERS = sorted(path.parent for path in PROJECTS.glob("*/paper.yaml"))
PRINTED = {
    "compa": {"benchmark": 47, "benchmark_661k": 42, "retrieval": 72, "zero_shot": 21},
    "gama": {"classification": 1 + 3 * 13 + 10 * 17, "reasoning": 10 * 15},
    "mmau": {"main": 20 * 8 + 4, "noise": 10, "encoders": 7, "pro": 8},
    "synthio": {"n50": 14 * 10, "n100": 14 * 10},
    "af2": {"benchmark": 16 * 2, "reasoning": 11 * 2},
    "af3": {},
}


def read(key: str):
    paper = read_paper(PROJECTS / key)
    return paper, {(r.table, r.row, r.column): r for r in read_reported(PROJECTS / key, paper=paper)}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name)
def test_every_paper_reads(folder):
    paper, printed = read(folder.name)
    assert (
        read_claims(folder, paper=paper) or paper.status == "planned" or not (folder / "claims.yaml").exists()
    )
    if paper.status == "planned":
        assert "Not built yet" in (folder / "README.md").read_text()
    # Per cents and judges' grades: a slipped digit or column shows as a value out of range.
    for number in printed.values():
        unit = paper.tables[number.table].columns[number.column].unit
        low, high = (1, 5) if unit == "1-5" else (0, 100)
        assert low <= number.value <= high, number


@pytest.mark.parametrize("key", PRINTED)
def test_nothing_was_left_out(key):
    _, printed = read(key)
    assert Counter(table for table, _, _ in printed) == PRINTED[key]


@pytest.mark.parametrize(
    ("key", "cell", "text"),
    [
        ("compa", ("benchmark", "compa_clap", "order_group"), "33.85"),
        ("compa", ("benchmark", "ml_act", "order_text"), "21.89"),
        ("compa", ("benchmark_661k", "ml_act", "order_text"), "21.85"),
        ("compa", ("retrieval", "compa_clap", "clotho_a2t_r10"), "67.6"),
        ("compa", ("retrieval", "clap_laion", "audiocaps_t2a_r1"), "36.2"),
        ("compa", ("zero_shot", "clap_ours", "fsd50k"), "77.8"),
        ("gama", ("classification", "with_clap", "clothoaqa"), "66.4"),
        ("gama", ("reasoning", "gama_it", "compa_r_engagement_human"), "4.3"),
        ("mmau", ("main", "pengi", "sound_mini"), "06.10"),
        ("mmau", ("main", "llama3_strong", "average_test"), "53.57"),
        ("synthio", ("n50", "synthio", "esc50"), "49.50"),
        ("synthio", ("n100", "wo_dpo", "fsd50k"), "13.92"),
        ("af2", ("benchmark", "nsynth_instrument", "af2"), "71.13"),
        ("af2", ("reasoning", "longaudiobench", "previous"), "45.3"),
    ],
)
def test_spot_checks(key, cell, text):
    assert read(key)[1][cell].text == text


def test_compa_keeps_the_papers_own_deviations():
    _, printed = read("compa")
    assert printed["benchmark", "mmt", "order_audio"].std == 1.90
    assert printed["benchmark", "clap_ours", "order_text"].std is None
    # Not on the slides, and one of the six could not be confirmed.
    assert "not on the slides" in printed["benchmark", "compa_clap", "order_text"].source
    assert ("benchmark", "compa_clap", "attribute_text") not in printed


def test_gama_averages_are_recomputed():
    paper, printed = read("gama")
    table = paper.tables["classification"]

    def average(row: str, column: str) -> str:
        found = average_reported("classification", row, column, table=table, printed=printed)
        assert found is not None
        return found.text

    assert average("gama", "classification_average") == "53.87"  # printed 53.9
    assert average("ltu", "classification_average") == "43.88"  # printed 42.4
    assert average("ltu", "caption_average") == "14.30"  # printed 15.8
    wrong = wrong_averages(paper, "classification", printed=printed)
    assert "LTU: Classification average is printed as 42.4, its row gives 43.88" in wrong
    assert "LTU: Captioning average is printed as 15.8, its row gives 14.30" in wrong
    assert not [s for s in wrong if s.startswith("GAMA")]

"""Scores of hand-made predictions, counted by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from core.report.cells import Cell, read_cells, read_items
from core.report.scoring import PredictionError
from core.run import tracking
from core.run.stage import Context
from projects.compa.score import Config, score_file, score_rows

RIGHT = [[0.9, 0.1], [0.2, 0.8]]
TEXT_ONLY = [[0.9, 0.85], [0.1, 0.3]]  # caption 0 prefers audio 0, audio 1 prefers caption 0
TIE = [[0.5, 0.5], [0.2, 0.8]]


def triplet(*, third: float) -> list[list[float]]:
    """Right in all, if the third caption's own audio beats 0.4."""
    return [[0.9, 0.1, 0.4], [0.2, 0.8, 0.3], [0.1, 0.2, third]]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(
        paper="compa",
        stage="score",
        variant=None,
        profile="mini",
        root=tmp_path,
        tracker=tracking.off(),
        seed=0,
    )


def write(context: Context, variant: str, name: str, rows: list[dict[str, Any]]) -> Path:
    path = context.path("predictions", variant, f"{name}.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"id": f"{name}-{i}"} | row) + "\n" for i, row in enumerate(rows)))
    return path


def cells(path: Path, **how: Any) -> dict[str, Cell]:
    found = list(score_file(path, row="clap_ours", scale="mini", **how))
    return {f"{table}.{cell.column}": cell for table, (cell, _) in found}


def compared(context: Context, variant: str = "vanilla", kind: str = "order") -> Path:
    """Two seeds: the second gets the third pair of the triplet right as well."""
    seeds = [
        [RIGHT, RIGHT],
        [TEXT_ONLY, RIGHT],
        [TIE, RIGHT],
        [triplet(third=0.35), triplet(third=0.7)],
    ]
    return write(context, variant, f"compa_{kind}", [{"similarity": row} for row in seeds])


def test_compa_scores_with_triplets(context: Context) -> None:
    found = cells(compared(context))
    # seed 0, text (every audio prefers its own caption): RIGHT and TIE win, TEXT_ONLY not: 0.85 > 0.3; the
    # triplet not: 0.4 > 0.35. audio (every caption prefers its own audio): RIGHT, TEXT_ONLY and the triplet.
    assert found["benchmark.order_text"].seeds == (50.0, 100.0)
    assert found["benchmark.order_audio"].seeds == (75.0, 100.0)
    assert found["benchmark.order_group"].seeds == (25.0, 100.0)
    group = found["benchmark.order_group"]
    assert (group.value, group.n, group.scale, group.row) == (62.5, 4, "mini", "clap_ours")
    assert group.low <= group.value <= group.high
    assert "triplets: paper" in group.protocol
    pairs = cells(compared(context), triplets="pairs_only")
    assert pairs["benchmark.order_text"].seeds == (75.0, 100.0)
    assert pairs["benchmark.order_audio"].seeds == (75.0, 100.0)
    assert pairs["benchmark.order_group"].seeds == (50.0, 100.0)


def test_items_are_kept_for_claims(context: Context) -> None:
    (_, (_, items)), *_ = score_file(compared(context), row="clap_ours", scale="mini")
    assert (items.dataset, items.column, items.kind) == ("compa_order", "order_text", "items")
    assert [s.tolist() for s in items.scores] == [[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]]


def retrieved() -> list[dict[str, Any]]:
    """One seed, 12 clips: the first has two captions, the last eight are never found among ten."""
    found = [
        {"text_to_audio": [[0, 6]], "audio_to_text": [[4, 0]]},
        {"text_to_audio": [[4]], "audio_to_text": [[1]]},
        {"text_to_audio": [[9]], "audio_to_text": [[10]]},
        {"text_to_audio": [[10]], "audio_to_text": [[7]]},
    ]
    return [*found, *({"text_to_audio": [[11]], "audio_to_text": [[12]]} for _ in range(8))]


def test_retrieval_counts_captions_and_clips(context: Context) -> None:
    found = cells(write(context, "vanilla", "audiocaps", retrieved()))
    # T-A over the 13 captions, A-T over the 12 clips
    wanted = {
        "retrieval.audiocaps_t2a_r1": 1 / 13,
        "retrieval.audiocaps_t2a_r5": 2 / 13,
        "retrieval.audiocaps_t2a_r10": 4 / 13,
        "retrieval.audiocaps_a2t_r1": 1 / 12,
        "retrieval.audiocaps_a2t_r5": 2 / 12,
        "retrieval.audiocaps_a2t_r10": 3 / 12,
    }
    values = {name: cell.value / 100 for name, cell in found.items() if name.startswith("retrieval")}
    assert values == pytest.approx(wanted)
    assert found["retrieval.audiocaps_t2a_r1"].n == 12
    assert "each of 13 captions" in found["retrieval.audiocaps_t2a_r1"].protocol
    assert found["retrieval.audiocaps_t2a_r1"].protocol.endswith("resampled: clips")
    assert {name for name in found if name.startswith("shuffle")} == {
        "shuffle.audiocaps_t2a_r1",
        "shuffle.audiocaps_a2t_r1",
    }


def test_shuffled_captions_go_to_the_diagnostic_only(context: Context) -> None:
    found = cells(write(context, "vanilla", "clotho_shuffled", retrieved()))
    assert set(found) == {"shuffle.clotho_t2a_r1_shuffled", "shuffle.clotho_a2t_r1_shuffled"}
    assert found["shuffle.clotho_t2a_r1_shuffled"].value == pytest.approx(100 / 13)


@pytest.mark.parametrize(
    ("dataset", "column"), [("esc50", "esc50"), ("urbansound8k", "us8k"), ("vggsound", "vggsound")]
)
def test_zero_shot_accuracy(context: Context, dataset: str, column: str) -> None:
    rows = [{"label": "rain", "rank": rank, "predicted": ["x", "x"]} for rank in ([0, 0], [1, 0], [7, 2])]
    found = cells(write(context, "vanilla", dataset, rows))
    cell = found[f"zero_shot.{column}"]
    assert cell.seeds == pytest.approx((100 / 3, 200 / 3))
    assert cell.value == pytest.approx(50.0)


def labelled(context: Context) -> tuple[np.ndarray, np.ndarray]:
    """FSD50K of 30 clips, four classes and two seeds; the last class has no positive."""
    rng = np.random.default_rng(0)
    classes = ["bark", "rain", "bell", "never"]
    truth = rng.random((30, 4)) < [0.5, 0.3, 0.2, 0.0]
    truth[~truth.any(axis=1), 0] = True
    scores = (0.4 * truth + rng.normal(0, 0.3, (2, 30, 4))).round(1)  # rounded: with ties
    rows = [
        {
            "labels": [c for c, there in zip(classes, truth[i]) if there],
            "scores": scores[:, i].tolist(),
        }
        for i in range(30)
    ]
    path = write(context, "vanilla", "fsd50k", rows)
    path.with_name("fsd50k.classes.json").write_text(json.dumps(classes))
    return scores, truth


def test_map_is_that_of_scikit_learn(context: Context) -> None:
    scores, truth = labelled(context)
    found = cells(context.path("predictions", "vanilla", "fsd50k.jsonl"))
    cell = found["zero_shot.fsd50k"]
    wanted = [
        100 * average_precision_score(truth[:, :3], seed_scores[:, :3], average="macro")
        for seed_scores in scores
    ]
    assert cell.seeds == pytest.approx(wanted)
    assert cell.value == pytest.approx(np.mean(wanted))
    assert cell.low < cell.value < cell.high
    assert "3 classes with a positive" in cell.protocol


def test_the_stage_writes_tables_and_leaves_out_what_was_not_run(context: Context) -> None:
    compared(context)
    for name in ("audiocaps", "audiocaps_shuffled"):
        write(context, "vanilla", name, retrieved())
    labelled(context)
    write(context, "vanilla", "esc50", [{"label": "rain", "rank": [0, 1], "predicted": ["rain", "bell"]}])
    absent = context.path("predictions", "public", "not_run.txt")
    absent.parent.mkdir()
    absent.write_text("not run: no weights\n")
    rows = {"clap_laion": "public", "clap_ours": "vanilla"}
    score_rows(rows, Config(), context=context)
    folder = context.path("results")
    names = {"benchmark", "retrieval", "zero_shot", "shuffle"}
    wanted = {f"{n}.json" for n in names} | {f"{n}.items.json" for n in names} | {"shuffle.png"}
    assert {path.name for path in folder.iterdir()} == wanted
    assert {row for name in names for row, _ in read_cells(folder, name)} == {"clap_ours", "random"}
    items = read_items(folder, "zero_shot")
    assert items["clap_ours", "fsd50k"].kind == "contributions"
    assert len(items["clap_ours", "fsd50k"].scores) == 2
    assert items["clap_ours", "fsd50k"].ids[:2] == ("fsd50k-0", "fsd50k-1")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    score_rows(rows, Config(), context=context)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("triplets", "text", "group"),
    # k pairs: (1/k)^k; one of the four items is a triplet
    [("paper", 100 * (3 / 4 + 1 / 27) / 4, 100 * (3 / 6 + 1 / 60) / 4), ("pairs_only", 25.0, 100 / 6)],
)
def test_the_random_row_is_derived(context: Context, triplets: Any, text: float, group: float) -> None:
    compared(context)
    score_rows({"clap_ours": "vanilla"}, Config(triplets=triplets), context=context)
    found = read_cells(context.path("results"), "benchmark")
    assert found["random", "order_text"].value == pytest.approx(text, abs=1e-5)
    assert found["random", "order_audio"].value == pytest.approx(text, abs=1e-5)
    cell = found["random", "order_group"]
    assert cell.value == pytest.approx(group, abs=1e-5)
    assert cell.low == cell.high == cell.value
    assert "3 pairs, 1 triplets" in cell.protocol
    assert ("random", "attribute_text") not in found
    assert ("random", "order_text") not in read_items(context.path("results"), "benchmark")


@pytest.mark.parametrize("kind", ["cut", "empty", "doubled"])
def test_a_damaged_file_is_refused(context: Context, kind: str) -> None:
    path = compared(context)
    text = path.read_text()
    damaged = {"cut": text[: len(text) // 2], "empty": "", "doubled": text + text}[kind]
    path.write_text(damaged)
    with pytest.raises(PredictionError, match=r"vanilla/compa_order.jsonl.*run its predict stage again"):
        score_rows({"clap_ours": "vanilla"}, Config(), context=context)
    assert not context.path("results", "benchmark.json").exists()


def test_a_row_without_shuffled_captions(context: Context) -> None:
    for variant in ("vanilla", "public"):
        write(context, variant, "audiocaps", retrieved())
    write(context, "vanilla", "audiocaps_shuffled", retrieved())
    score_rows({"clap_laion": "public", "clap_ours": "vanilla"}, Config(), context=context)
    folder = context.path("results")
    assert ("clap_laion", "audiocaps_t2a_r1") in read_cells(folder, "retrieval")
    assert {row for row, _ in read_cells(folder, "shuffle")} == {"clap_ours"}

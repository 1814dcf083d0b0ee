"""Score the answers. Reads: predictions/<profile>/{gold,<row>} and the text tower, which maps answers to
labels; writes: results/<profile>/ with a JSON per table and its item scores beside it.

Needs no audio and no language model: anyone can score again, or by another protocol.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.metrics.captioning import caption_scores
from core.metrics.clotho_aqa import clotho_aqa_scores
from core.metrics.label_mapping import Encode, Split, map_to_labels
from core.metrics.multilabel import micro_f1, micro_f1_left_out, one_hot_argmax
from core.metrics.stated import correct
from core.metrics.tuples import reference_tuples, scene_tuples, tuple_scores
from core.report.cells import Cell, Items, write_cells
from core.report.scoring import (
    PredictionError,
    Result,
    ids_of,
    map_cell,
    mean_cell,
    read_lines,
    statistic_cell,
    units_of,
)
from core.run.stage import Context

COLUMNS = {"dcase2017": "dcase", "tut2017": "tut", "medley_solos": "medley"}  # else a set's own name
MAP_SETS = ("fsd50k", "audioset")
TABLES = ("classification", "reasoning")

Lines = list[dict[str, Any]]
InTable = tuple[str, Cell, Items]


@dataclass(frozen=True)
class Config:
    """rows: table -> row of the table -> folder of predictions. split: how several labels in one answer
    count.

    encoder: the sentence encoder's folder from the repository's root (Sentence-BERT in the paper); empty
    takes the text tower.
    """

    rows: dict[str, dict[str, str]]
    split: Split | None = None
    prefix: str = "sound of "
    encoder: str = ""


def score(config: Config, *, context: Context) -> None:
    """Write every table's cells; a row that was not run leaves its cells out."""
    from core.foundations.public import foundation_path
    from core.foundations.text_tower import load_sentence_encoder

    tower = foundation_path(context.root, context.profile, "text_tower")
    encode = load_sentence_encoder(context.root / config.encoder if config.encoder else tower)
    gold = context.path("predictions", "gold")
    book, names = (_optional(gold / file) for file in ("book.json", "aliases.json"))
    results: dict[str, list[InTable]] = {table: [] for table in TABLES}
    for table, rows in config.rows.items():
        for row, folder in rows.items():
            for path in sorted(context.path("predictions", folder).glob("*.jsonl")):
                truth = read_lines(gold / path.name)
                if table_of(path.stem, truth) != table:
                    continue
                said = read_lines(path)
                if [line["id"] for line in said] != [line["id"] for line in truth]:
                    raise PredictionError(
                        f"{path} answers other questions than {gold / path.name}: predict again"
                    )
                results[table] += score_set(
                    path.stem,
                    truth,
                    said,
                    row=row,
                    scale=context.profile,
                    gold=gold,
                    book=book,
                    names=names,
                    encode=encode,
                    config=config,
                )
    results["reasoning"] += judged_cells(context, config)
    for table, made in results.items():
        if made:
            cells, items = [cell for _, cell, _ in made], [item for *_, item in made]
            write_cells(context.path("results"), table, cells, items)
            context.tracker.log_metrics({f"{c.row}.{c.column}": c.value for c in cells})
            context.tracker.log_artifact(context.path("results", f"{table}.json"))


def table_of(name: str, truth: Lines) -> str:
    """The table that a set of questions belongs to."""
    return "reasoning" if "key" in truth[0] or name.startswith("dense_") else "classification"


def score_set(
    name: str,
    truth: Lines,
    said: Lines,
    *,
    row: str,
    scale: str,
    gold: Path,
    book: Mapping[str, Sequence[str]],
    names: Mapping[str, Sequence[str]],
    encode: Encode,
    config: Config,
) -> Iterator[InTable]:
    """The cells of one row on one set of questions, each with its table."""
    table = table_of(name, truth)
    column = COLUMNS.get(name, name)

    def mean(
        column: str, scores: Sequence[np.ndarray], about: Lines = truth, *, part: str = name, **how: Any
    ) -> Result:
        units = units_of(about, exam=name)
        return mean_cell(row, column, part, scores, ids_of(about), units=units, scale=scale, **how)

    if "labels" in truth[0]:
        classes = json.loads((gold / f"{name}.classes.json").read_text(encoding="utf-8"))
        labels = np.array([[label in line["labels"] for label in classes] for line in truth])
        scores = class_scores(said, classes, encode=encode, config=config)
        how = "nearest label to the answer" if "answers" in said[0] else "nearest label to the audio"
        ids, units = ids_of(truth), units_of(truth, exam=name)
        if name in MAP_SETS:
            protocol = f"macro mAP of {labels.any(axis=0).sum()} classes, {how}"
            made = map_cell(
                row, column, name, scores, labels, ids, units=units, scale=scale, protocol=protocol
            )
        elif name == "dcase2017":
            f1s = [micro_f1(one_hot_argmax(one), labels) for one in scores]  # LTU: one label an item
            values, left_out = [one.value for one in f1s], [micro_f1_left_out(one.counts) for one in f1s]
            protocol = f"micro-F1 of one label, {how}"
            made = statistic_cell(
                row, column, name, values, left_out, ids, units=units, scale=scale, protocol=protocol
            )
        else:
            hits = [top_hits(one, labels) for one in scores]
            made = mean(column, hits, protocol=f"accuracy, {how}, ties lose")
        yield table, *made
        return
    answers = seeds_of(said)
    if "captions" in truth[0]:
        references = [line["captions"] for line in truth]
        if table == "classification":
            captioned = [caption_scores(one, references) for one in answers]
            cider = [one.cider_d for one in captioned]
            note = "CIDEr-D of one greedy caption"
            yield table, *mean(f"{name}_cider", cider, protocol=note, unit="0-10")
            if all(one.spice is not None for one in captioned):
                spice = [np.asarray(one.spice) for one in captioned]
                yield table, *mean(column, spice, protocol="SPICE of one greedy caption")
            else:
                print(f"{row}/{column}: SPICE {captioned[0].not_run}")
        if book:
            true = [reference_tuples(each, book) for each in references]
            f1 = [tuple_scores([scene_tuples(a, book) for a in one], true).f1 for one in answers]
            yield table, *mean(f"{name}_tuples", f1, protocol="F1 of scene tuples against the captions'")
        return
    if "key" in truth[0]:
        asked = [line for line in truth if line["options"]]
        right = [
            np.array(
                [float(correct(a, t["key"], t["options"], names)) for a, t in zip(one, truth) if t["options"]]
            )
            for one in answers
        ]
        if asked:
            note = "the answer states what the timeline says"
            yield table, *mean(f"{name}_timeline", right, asked, protocol=note, items="questions")
        return
    made_aqa = [clotho_aqa_scores(one, [line["answers"] for line in truth]) for one in answers]
    how_matched = {
        "clothoaqa": "both",
        "clothoaqa_binary": "unanimous yes/no",
        "clothoaqa_any": "any of three",
    }
    for part, covered in (
        ("clothoaqa", made_aqa[0].unanimous | made_aqa[0].open),
        ("clothoaqa_binary", made_aqa[0].unanimous),
        ("clothoaqa_any", made_aqa[0].open),
    ):
        if covered.any():
            hits = [one.hit[covered].astype(float) for one in made_aqa]
            about_part = [line for line, there in zip(truth, covered) if there]
            note = f"exact answer, {how_matched[part]}"
            yield table, *mean(part, hits, about_part, part=part, protocol=note, items="questions")


def judged_cells(context: Context, config: Config) -> Iterator[InTable]:
    """The judge's means, 1 to 5, where there was one; what has no verdict is left out and counted.

    Raises PredictionError for a verdict on a question that the gold file lacks.
    """
    for row, folder in config.rows.get("reasoning", {}).items():
        path = context.path("predictions", "judged", f"{folder}.jsonl")
        if not path.is_file():
            continue
        lines = read_lines(path)
        rated = {line["id"]: line["scores"] for line in lines if line["scores"]}
        truth = read_lines(context.path("predictions", "gold", "compa_r.jsonl"))
        about = [line for line in truth if line["id"] in rated]
        if strange := {line["id"] for line in lines} - {line["id"] for line in truth}:
            raise PredictionError(
                f"{path}: {len(strange)} verdicts are of questions that are not asked ({min(strange)}): "
                "judge again"
            )
        note = f"a judge's mean; {len(lines) - len(rated)} answers without a verdict are left out"
        for criterion in ("clarity", "correctness", "engagement"):
            if about:
                made = mean_cell(
                    row,
                    f"compa_r_{criterion}_gpt4",
                    "compa_r",
                    [np.array([float(rated[line["id"]][criterion]) for line in about])],
                    ids_of(about),
                    units=units_of(about, exam="compa_r"),
                    scale=context.profile,
                    protocol=note,
                    unit="1-5",
                    items="questions",
                )
                yield "reasoning", *made


def _optional(path: Path) -> dict[str, list[str]]:
    """What `gold` wrote of the bank's words; nothing where it was told not to."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def seeds_of(said: Lines) -> list[list[str]]:
    """Answers by seed."""
    return [[line["answers"][seed] for line in said] for seed in range(len(said[0]["answers"]))]


def class_scores(said: Lines, classes: Sequence[str], *, encode: Encode, config: Config) -> list[np.ndarray]:
    """(N, C) of each seed: as a CLAP gave them, or the nearness of answer and label."""
    if "scores" in said[0]:
        return list(np.array([line["scores"] for line in said]).transpose(1, 0, 2))
    return [
        map_to_labels(one, classes, encode=encode, prefix=config.prefix, split=config.split)
        for one in seeds_of(said)
    ]


def top_hits(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) 1 where the best class is right; a tie with a wrong class loses."""
    best_right = np.where(labels, scores, -np.inf).max(axis=1)
    best_wrong = np.where(labels, -np.inf, scores).max(axis=1)
    return (best_right > best_wrong).astype(float)


if __name__ == "__main__":
    from core.run.stage import run

    run(score, Config)

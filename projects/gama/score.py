"""Score the answers. Reads: predictions/<profile>/{gold,<model>/<condition>} and the text tower, which maps
answers to labels; writes: results/<profile>/ with a JSON per table and its item scores beside it.

Needs no audio and no language model: anyone can score again, or by another protocol.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from core.report.paper import Paper, models_of, read_paper
from core.report.predictions import Prediction, by_seed, read_predictions
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
from core.run.made_from import write_made_from
from core.run.stage import Context
from core.run.strict_yaml import nearest

TABLE_OF = {"instruction": "reasoning", "dense_caption": "reasoning"}  # else classification
COLUMNS = {"dcase2017": "dcase", "tut2017": "tut", "medley_solos": "medley"}  # else a set's own name
TABLES = ("classification", "reasoning")

Lines = list[dict[str, Any]]
InTable = tuple[str, Cell, Items]


@dataclass(frozen=True)
class Config:
    """split: how several labels in one answer count.

    encoder: the sentence encoder's folder from the repository's root (Sentence-BERT in the paper); empty
    takes the text tower.
    """

    split: Split | None = None
    prefix: str = "sound of "
    encoder: str = ""


def score(config: Config, *, context: Context) -> None:
    """Write every table that paper.yaml shows."""
    paper = read_paper(context.folder)
    score_rows({table: rows_of(paper, table) for table in TABLES}, config, context=context)
    write_made_from(context)


def rows_of(paper: Paper, table: str) -> dict[str, str]:
    """Row -> "<model>/<condition>"; on its own audio where paper.yaml says no condition."""
    places = models_of(paper, table)
    return {row: place if "/" in place else f"{place}/own" for row, place in places.items()}


def score_rows(rows_by_table: Mapping[str, Mapping[str, str]], config: Config, *, context: Context) -> None:
    """Write every table's cells; a row that was not run leaves its cells out."""
    from core.foundations.public import foundation_path
    from core.foundations.text_tower import load_sentence_encoder

    tower = foundation_path(context.root, context.profile, "text_tower")
    encode = load_sentence_encoder(context.root / config.encoder if config.encoder else tower)
    gold = context.path("predictions", "gold")
    book, names = (_optional(gold / file) for file in ("book.json", "aliases.json"))
    scorer = Scorer(gold=gold, book=book, names=names, encode=encode, config=config)
    results: dict[str, list[InTable]] = {table: [] for table in TABLES}
    for table, rows in rows_by_table.items():
        for row, folder in rows.items():
            for path in sorted(context.path("predictions", folder).glob("*.jsonl")):
                truth = read_lines(gold / path.name, writer="stage gold")
                if table_of(truth) != table:
                    continue
                said = read_predictions(path, ids=ids_of(truth), writer="stage predict")
                scored = Scored(row, path.stem, truth, said, context.profile)
                results[table] += [(table, *made) for made in score_set(scored, scorer)]
    results["reasoning"] += judged_cells(rows_by_table.get("reasoning", {}), context)
    for table, made in results.items():
        if made:
            cells, items = [cell for _, cell, _ in made], [item for *_, item in made]
            write_cells(context.path("results"), table, cells, items)
            context.tracker.log_metrics({f"{c.row}.{c.column}": c.value for c in cells})
            context.tracker.log_artifact(context.path("results", f"{table}.json"))


def table_of(truth: Lines) -> str:
    """The table that a set of questions belongs to, by its task."""
    return TABLE_OF.get(truth[0].get("task", ""), "classification")


@dataclass(frozen=True)
class Scored:
    """What is scored: a row's predictions of the questions of a set."""

    row: str
    name: str
    truth: Lines
    said: Sequence[Prediction]
    scale: str

    @property
    def column(self) -> str:
        """Of the tables."""
        return COLUMNS.get(self.name, self.name)

    @property
    def how(self) -> dict[str, Any]:
        """What is resampled, and the scale."""
        return {"units": units_of(self.truth, exam=self.name), "scale": self.scale}

    def mean(
        self,
        column: str,
        scores: Sequence[np.ndarray],
        about: Lines | None = None,
        *,
        part: str = "",
        **how: Any,
    ) -> Result:
        """A mean over the items, or over those lines that it is `about`."""
        lines = self.truth if about is None else about
        return mean_cell(
            self.row,
            column,
            part or self.name,
            scores,
            ids_of(lines),
            units=units_of(lines, exam=self.name),
            scale=self.scale,
            **how,
        )


@dataclass(frozen=True)
class Scorer:
    """What scoring needs beside questions and predictions."""

    gold: Path
    book: Mapping[str, Sequence[str]]
    names: Mapping[str, Sequence[str]]
    encode: Encode
    config: Config

    def classes(self, of: Scored) -> tuple[list[np.ndarray], np.ndarray, str]:
        """Scores (N, C) of each seed, labels (N, C) bool, and how they came about."""
        classes = json.loads((self.gold / f"{of.name}.classes.json").read_text(encoding="utf-8"))
        labels = np.array([[label in line["labels"] for label in classes] for line in of.truth])
        scores = class_scores(of.said, classes, encode=self.encode, config=self.config)
        return scores, labels, "nearest label to the " + ("audio" if of.said[0].scores else "answer")


def score_set(of: Scored, scorer: Scorer) -> Iterator[Result]:
    """The cells of one row on one set of questions. Raises PredictionError for a task that nobody scores."""
    task = of.truth[0].get("task", "")
    if task not in SCORERS:
        raise PredictionError(
            f"{scorer.gold / of.name}.jsonl: no way to score the task {task!r}{nearest(task, SCORERS)}; run "
            "the stage gold again"
        )
    yield from SCORERS[task](of, scorer)


def score_accuracy(of: Scored, scorer: Scorer) -> Iterator[Result]:
    """The share of items whose best class is right."""
    scores, labels, how = scorer.classes(of)
    hits = [top_hits(one, labels) for one in scores]
    yield of.mean(of.column, hits, protocol=f"accuracy, {how}, ties lose")


def score_map(of: Scored, scorer: Scorer) -> Iterator[Result]:
    """Macro mean average precision."""
    scores, labels, how = scorer.classes(of)
    protocol = f"macro mAP of {labels.any(axis=0).sum()} classes, {how}"
    yield map_cell(of.row, of.column, of.name, scores, labels, ids_of(of.truth), protocol=protocol, **of.how)


def score_micro_f1(of: Scored, scorer: Scorer) -> Iterator[Result]:
    """Micro F1 of one label an item, as LTU counts DCASE 2017."""
    scores, labels, how = scorer.classes(of)
    f1s = [micro_f1(one_hot_argmax(one), labels) for one in scores]
    values, left_out = [one.value for one in f1s], [micro_f1_left_out(one.counts) for one in f1s]
    protocol = f"micro-F1 of one label, {how}"
    yield statistic_cell(
        of.row, of.column, of.name, values, left_out, ids_of(of.truth), protocol=protocol, **of.how
    )


def score_captions(of: Scored, scorer: Scorer) -> Iterator[Result]:
    """CIDEr-D and SPICE, then the scene tuples."""
    answers, references = by_seed(of.said), [line["captions"] for line in of.truth]
    captioned = [caption_scores(one, references) for one in answers]
    cider = [one.cider_d for one in captioned]
    yield of.mean(f"{of.name}_cider", cider, protocol="CIDEr-D of one greedy caption", unit="0-10")
    if all(one.spice is not None for one in captioned):
        spice = [np.asarray(one.spice) for one in captioned]
        yield of.mean(of.column, spice, protocol="SPICE of one greedy caption")
    else:
        print(f"{of.row}/{of.column}: SPICE {captioned[0].not_run}")
    yield from score_tuples(of, scorer)


def score_tuples(of: Scored, scorer: Scorer) -> Iterator[Result]:
    """How much of what the captions tell a caption tells, where the bank's phrases are known."""
    if scorer.book:
        true = [reference_tuples(line["captions"], scorer.book) for line in of.truth]
        f1 = [tuple_scores([scene_tuples(a, scorer.book) for a in one], true).f1 for one in by_seed(of.said)]
        yield of.mean(f"{of.name}_tuples", f1, protocol="F1 of scene tuples against the captions'")


def score_timeline(of: Scored, scorer: Scorer) -> Iterator[Result]:
    """Whether answers state what the timeline says, of the questions that it can check."""
    asked = [line for line in of.truth if line["options"]]
    right = [
        np.array(
            [
                float(correct(a, line["key"], line["options"], scorer.names))
                for a, line in zip(one, of.truth)
                if line["options"]
            ]
        )
        for one in by_seed(of.said)
    ]
    if asked:
        note = "the answer states what the timeline says"
        yield of.mean(f"{of.name}_timeline", right, asked, protocol=note, items="questions")


def score_answers(of: Scored, scorer: Scorer) -> Iterator[Result]:
    """Clotho-AQA's parts, by exact answers."""
    made = [clotho_aqa_scores(one, [line["answers"] for line in of.truth]) for one in by_seed(of.said)]
    unanimous, of_three = made[0].unanimous, made[0].open
    for part, covered, how in (
        ("clothoaqa", unanimous | of_three, "both"),
        ("clothoaqa_binary", unanimous, "unanimous yes/no"),
        ("clothoaqa_any", of_three, "any of three"),
    ):
        if covered.any():
            hits = [one.hit[covered].astype(float) for one in made]
            about = [line for line, there in zip(of.truth, covered) if there]
            note = f"exact answer, {how}"
            yield of.mean(part, hits, about, part=part, protocol=note, items="questions")


SCORERS: Mapping[str, Callable[[Scored, Scorer], Iterator[Result]]] = {
    "accuracy": score_accuracy,
    "map": score_map,
    "micro_f1": score_micro_f1,
    "caption": score_captions,
    "dense_caption": score_tuples,
    "instruction": score_timeline,
    "answer": score_answers,
}


def judged_cells(rows: Mapping[str, str], context: Context) -> Iterator[InTable]:
    """The judge's means, 1 to 5, where there was one; what has no verdict is left out and counted.

    Raises PredictionError for a verdict on a question that the gold file lacks.
    """
    for row, folder in rows.items():
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


def class_scores(
    said: Sequence[Prediction], classes: Sequence[str], *, encode: Encode, config: Config
) -> list[np.ndarray]:
    """(N, C) of each seed: as a CLAP gave them, or the nearness of answer and label."""
    if said[0].scores:
        return list(np.array([one.scores for one in said]).transpose(1, 0, 2))
    return [
        map_to_labels(one, classes, encode=encode, prefix=config.prefix, split=config.split)
        for one in by_seed(said)
    ]


def top_hits(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) 1 where the best class is right; a tie with a wrong class loses."""
    best_right = np.where(labels, scores, -np.inf).max(axis=1)
    best_wrong = np.where(labels, -np.inf, scores).max(axis=1)
    return (best_right > best_wrong).astype(float)


if __name__ == "__main__":
    from core.run.stage import run

    run(score, Config)

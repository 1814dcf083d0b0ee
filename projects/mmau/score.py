"""Score all outputs. Reads: predictions/<profile>/{gold,<variant>/<condition>.jsonl} and, for mmau_pro, the
text tower; writes: results/<profile>/{main,encoders,rules,difficulty,skills,skill_difficulty,noise,pro}.json.

Every rule stands beside the others. No model is needed: anyone can score again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.answering.records import read_predictions
from core.data.choices import DIFFICULTIES, SKILLS, TASKS
from core.metrics.choice import RULES, Marks, Rule, score_votes
from core.metrics.label_mapping import Encode
from core.report.cells import write_cells
from core.report.paper import Paper, models_of, read_paper
from core.report.scoring import PredictionError, Result, ids_of, mean_cell, read_lines, units_of
from core.run.made_from import write_made_from
from core.run.stage import Context
from projects.mmau import pro
from projects.mmau.pro_outputs import outputs_from_lines

WRITER = "answer stage"
Line = Mapping[str, Any]


@dataclass(frozen=True)
class Config:
    """rule: of every table but `rules`. encoder: of closed questions of mmau_pro, a foundation; empty leaves
    them unscored.
    """

    rule: Rule = "official_2025"
    encoder: str = ""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the tables of paper.yaml show. rows: row -> "model/condition"; noise: row -> its rows with its
    audio and with noise; skills: rows whose skills are shown; sharp: also by difficulty; pro: row -> model of
    mmau_pro; encoders: rows that are audio-text encoders.
    """

    rows: Mapping[str, str]
    noise: Mapping[str, tuple[str, str]]
    skills: Sequence[str]
    sharp: Sequence[str] = ()
    pro: Mapping[str, str] | None = None
    encoders: Sequence[str] = ("compa_clap",)


def shown(paper: Paper) -> Shown:
    """Read off the tables; a row of `noise` is that of `main`, beside the one of the same model under
    noise."""
    rows = models_of(paper, "main")
    named = {place: row for row, place in rows.items()}
    noise = {
        row: (named[place], named[place.replace("/own", "/noise")])
        for row, place in models_of(paper, "noise").items()
    }
    levels = tuple(dict.fromkeys(name.split("__")[0] for name in paper.tables["skill_difficulty"].columns))
    return Shown(
        rows=rows,
        noise=noise,
        skills=[name for name in paper.tables["skills"].columns if name in rows],
        sharp=levels,
        pro={row: place.split("/")[0] for row, place in models_of(paper, "pro").items()},
        encoders=[row for row in models_of(paper, "encoders") if row in rows],
    )


def score(config: Config, *, context: Context) -> None:
    """Write every table that paper.yaml shows."""
    score_tables(shown(read_paper(context.folder)), config, context=context)
    write_made_from(context)


def score_tables(shown: Shown, config: Config, *, context: Context) -> None:
    """Write every table; a row whose model was not run is left out."""
    folder = context.path("predictions")
    truth = read_lines(folder / "gold" / "mmau.jsonl", writer="stage gold")
    source = json.loads((folder / "gold" / "source.json").read_text(encoding="utf-8"))
    if withheld := [line["id"] for line in truth if not line["answer"]]:
        raise PredictionError(
            f"{len(withheld)} of {len(truth)} answers are withheld ({withheld[0]}, ...), so nothing can be "
            "scored here: write the server's file with `python -m projects.mmau.submit`"
        )
    marks: dict[str, Mapping[Rule, Marks]] = {}
    orders: dict[str, int] = {}
    for row, place in shown.rows.items():
        found = folder / f"{place}.jsonl"
        if reason := why_not(found):
            print(f"{row}: not run: {reason}")
            continue
        marks[row], orders[row] = marks_of(found, truth)
    if not marks:
        raise PredictionError(f"no predictions in {folder}: run the stage `answer`")
    scale = context.profile

    def protocol(row: str, rule: str = config.rule) -> str:
        asked = "as filed" if orders[row] == 1 else f"majority of {orders[row]} orders"
        return f"{rule}, options {asked}; {source['mmau']['split']} {version_of(source['mmau'])}"

    def cells(row: str, column: str, chosen: np.ndarray, group: str, *, named: str = "") -> Result:
        correct = marks[row][config.rule].correct[chosen].astype(float)
        about = [line for line, there in zip(truth, chosen) if there]
        return mean_cell(
            named or row,
            column,
            f"mmau/{group}",
            [correct],
            ids_of(about),
            units=units_of(about, exam="mmau"),
            scale=scale,
            protocol=protocol(row),
        )

    out = context.path("results")
    tasks = np.array([line["task"] for line in truth])
    levels = np.array([line["difficulty"] for line in truth])
    skills = np.array([line["sub-category"] for line in truth])
    heard = [task for task in TASKS if (tasks == task).any()]
    suffix = "test" if source["mmau"]["split"] == "test" else "mini"
    write_table(
        out,
        "main",
        (cells(row, f"{task}_{suffix}", tasks == task, task) for row in marks for task in heard),
    )
    write_table(
        out,
        "encoders",
        (cells(row, task, tasks == task, task) for row in shown.encoders if row in marks for task in heard),
    )
    write_table(
        out,
        "difficulty",
        (
            cells(row, level, levels == level, level)
            for row in marks
            for level in DIFFICULTIES
            if (levels == level).any()
        ),
    )
    write_table(out, "rules", rule_cells(marks, truth, scale=scale, protocol=protocol))
    present = [name for name in SKILLS if (skills == name).any()]
    seen = [row for row in shown.skills if row in marks]
    write_table(
        out,
        "skills",
        (cells(row, row, skills == name, slug(name), named=slug(name)) for name in present for row in seen),
    )
    write_table(
        out,
        "skill_difficulty",
        (
            cells(row, f"{row}__{level}", here, f"{slug(name)}/{level}", named=slug(name))
            for row in shown.sharp
            if row in marks
            for name in present
            for level in DIFFICULTIES
            if (here := (skills == name) & (levels == level)).any()
        ),
    )
    write_table(
        out, "noise", noise_cells(shown.noise, config.rule, marks, truth, scale=scale, protocol=protocol)
    )
    if shown.pro and "mmau_pro" in source:
        write_table(out, "pro", pro_cells(shown.pro, config.encoder, folder, scale=scale, context=context))
    overall = {row: float(found[config.rule].correct.mean()) for row, found in marks.items()}
    context.tracker.log_metrics({f"accuracy/{row}": 100 * value for row, value in overall.items()})
    for row, value in overall.items():
        print(f"{row}: {100 * value:.1f}")


def why_not(path: Path) -> str:
    """Why a variant has no outputs, as its stage said; "" where it has, or should have."""
    if not path.parent.is_dir():
        return "its stage has not run in this profile"
    note = path.parent / "not_run.txt"
    return note.read_text(encoding="utf-8").strip() if note.is_file() else ""


def marks_of(path: Path, truth: Sequence[Line]) -> tuple[Mapping[Rule, Marks], int]:
    """Every item under every rule, in the order of `truth`, and in how many orders it was asked.

    Raises PredictionError for a file that is missing, or of other items.
    """
    if not path.is_file():
        raise PredictionError(f"{path} is missing: run its {WRITER} again")
    records = {record.id: record for record in read_predictions(path)}
    lost = [line["id"] for line in truth if line["id"] not in records]
    foreign = sorted(set(records) - {line["id"] for line in truth})
    if lost or foreign:
        raise PredictionError(
            f"{path}: {len(lost)} items have no output and {len(foreign)} outputs are of other items "
            f"({', '.join([*lost, *foreign][:3])}): run its {WRITER} again"
        )
    kept = [records[line["id"]] for line in truth]
    found = score_votes(
        [record.outputs for record in kept],
        [record.orders for record in kept],
        [line["answer"] for line in truth],
        [line["choices"] for line in truth],
        rules=RULES,
    )
    return found, max(len(record.orders) for record in kept)


def rule_cells(
    marks: Mapping[str, Mapping[Rule, Marks]],
    truth: Sequence[Line],
    *,
    scale: str,
    protocol: Callable[..., str],
) -> Iterable[Result]:
    """Accuracy under each rule; and how much could be read by `letter_aware`."""
    for row, found in marks.items():
        for rule in RULES:
            yield mean_cell(
                row,
                rule,
                "mmau",
                [found[rule].correct.astype(float)],
                ids_of(truth),
                units=units_of(truth, exam="mmau"),
                scale=scale,
                protocol=protocol(row, rule),
            )
        read = found["letter_aware"]
        silent = read.said_nothing
        for column, those in {
            "answered": read.status == "answered",
            "ambiguous": read.status == "ambiguous",
            "unparsed": (read.status == "unparsed") & ~silent,
            "silent": silent,
        }.items():
            yield mean_cell(
                row,
                column,
                "mmau",
                [those.astype(float)],
                ids_of(truth),
                units=units_of(truth, exam="mmau"),
                scale=scale,
                protocol=protocol(row, "letter_aware"),
            )


def noise_cells(
    pairs: Mapping[str, tuple[str, str]],
    rule: Rule,
    marks: Mapping[str, Mapping[Rule, Marks]],
    truth: Sequence[Line],
    *,
    scale: str,
    protocol: Callable[..., str],
) -> Iterable[Result]:
    """Accuracy with the audio, with noise in its place, and what that costs, item by item."""
    for model, (clean, noisy) in pairs.items():
        if clean not in marks or noisy not in marks:
            continue
        own = marks[clean][rule].correct.astype(float)
        noise = marks[noisy][rule].correct.astype(float)
        told = f"{protocol(clean)}; noise: Gaussian, of the audio's length and level"
        for column, values in {"clean": own, "noise": noise, "drop": own - noise}.items():
            yield mean_cell(
                model,
                column,
                "mmau",
                [values],
                ids_of(truth),
                units=units_of(truth, exam="mmau"),
                bounds=(-1.0, 1.0) if column == "drop" else None,
                scale=scale,
                protocol=told,
            )


def pro_cells(
    models: Mapping[str, str], encoder: str, folder: Path, *, scale: str, context: Context
) -> Iterable[Result]:
    """Categories of mmau_pro and their mean weighted by counts, as far as they can be scored here."""
    rows = read_lines(folder / "gold" / "mmau_pro.jsonl", writer="stage gold")
    encode = open_encoder(encoder, context) if encoder else None
    for row, variant in models.items():
        path = folder / variant / "pro.jsonl"
        if not path.is_file():
            print(f"pro/{row}: not run: {why_not(path) or 'no outputs'}")
            continue
        outputs = outputs_from_lines(read_lines(path, writer=WRITER), rows)
        parts = pro.score(rows, outputs, encode=encode, verdicts=None)
        print(f"{row}\n{pro.table(parts)}")
        ours = [part for part in parts if part.protocol == pro.OURS]
        for part in ours:
            if len(part.scores):
                told = f"{part.kind}, {part.protocol}; {len(part.ids)} of {part.items} items"
                yield mean_cell(
                    row,
                    slug(part.category),
                    f"mmau_pro/{part.category}",
                    [part.scores],
                    part.ids,
                    units=part.units,
                    scale=scale,
                    protocol=told,
                )
        whole = pro.overall(parts)
        if whole.n:
            scored = [name for part in ours for name in part.ids]
            left = "; ".join(f"{n} without score: {why}" for why, n in whole.unscored.items())
            yield mean_cell(
                row,
                "overall",
                "mmau_pro",
                [np.concatenate([part.scores for part in ours])],
                scored,
                units=pro.units_of_parts(ours),
                scale=scale,
                protocol=f"weighted by count, {whole.n} of {whole.items} items{'; ' + left if left else ''}",
            )


def open_encoder(name: str, context: Context) -> Encode:
    """The sentence encoder of a foundation."""
    from core.foundations.public import foundation_path
    from core.foundations.text_tower import load_sentence_encoder

    return load_sentence_encoder(foundation_path(context.root, context.profile, name))


def slug(name: str) -> str:
    """A name as a key of tables: "Key highlight Extraction" -> key_highlight_extraction."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def version_of(source: Mapping[str, Any]) -> str:
    """Which questions a score is of: the checksum of the official file, or of what was made here."""
    digests = source.get("sha256") or source["parquet_sha256"]
    digest = digests if isinstance(digests, str) else next(iter(digests.values()))
    return f"sha256 {digest[:12]}"


def write_table(folder: Path, table: str, results: Iterable[Result]) -> None:
    """Cells and items of one table."""
    made = list(results)
    write_cells(folder, table, [cell for cell, _ in made], [items for _, items in made])


if __name__ == "__main__":
    from core.run.stage import run

    run(score, Config)

"""What the figures of MMAU show, as rows: from the exam, our scores, the reported numbers, the timeline."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from core.data.choices import DIFFICULTIES, SKILLS, TASKS
from core.report.cells import Cell
from core.report.paper import Paper, Reported
from core.report.scoring import count_units, read_lines
from core.run.strict_yaml import nearest
from projects.mmau.drawings import NOT_RUN, TYPES, Condition, Heard, Release, SkillAccuracy, SkillCount
from projects.mmau.score import slug

TIMELINE = ("row", "model", "date", "source")
ALL = "all"
CHANCE = "any option, at random"
LEVELS = {"human": "average_mini", "random": "average_test"}  # people answered test-mini only
CONDITIONS: tuple[Condition, ...] = ("clean", "noise")
EXAM = "mmau"
NO_ITEMS = "no items in this exam"

Line = Mapping[str, Any]
Cells = Mapping[tuple[str, str], Cell]
Numbers = Mapping[tuple[str, str, str], Reported]


class FigureError(ValueError):
    """Inputs of a figure that are missing or do not belong together; the message names what to run."""


def read_exam(path: Path) -> list[Line]:
    """The exam's items. Raises PredictionError, or FigureError for an item that cannot be placed."""
    items: list[Line] = [*read_lines(path, writer="stage gold")]
    for item in items:
        allowed = {
            "category": TYPES,
            "task": TASKS,
            "difficulty": DIFFICULTIES,
            "sub-category": SKILLS,
        }
        for key, known in allowed.items():
            if item.get(key) not in known:
                raise FigureError(
                    f"{path}: {key} of item {item['id']} is {item.get(key)!r}, not one of "
                    f"{', '.join(known)}: correct the exam and run the stage `gold` again"
                )
        if not item.get("choices"):
            raise FigureError(f"{path}: item {item['id']} has no choices: run the stage `gold` again")
    return items


def read_timeline(path: Path, *, paper: Paper) -> dict[str, dict[str, str]]:
    """Row of the main table -> its line. Raises FigureError naming the line of what cannot be used."""
    if not path.is_file():
        raise FigureError(f"{path} is missing: give it the header {','.join(TIMELINE)}")
    found: dict[str, dict[str, str]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        if tuple(reader.fieldnames or ()) != TIMELINE:
            raise FigureError(f"{path}, line 1: the header must be {','.join(TIMELINE)}")
        for line in reader:
            where = f"{path}, line {reader.line_num}"
            if None in line or not all(value and value.strip() for value in line.values()):
                raise FigureError(f"{where}: expected {len(TIMELINE)} fields, none empty")
            if line["row"] not in paper.tables["main"].rows:
                raise FigureError(
                    f"{where}: table main has no row {line['row']!r}"
                    f"{nearest(line['row'], paper.tables['main'].rows)}"
                )
            if line["row"] in found:
                raise FigureError(f"{where}: {line['row']} was given before; keep one date")
            try:
                day_of(line["date"])
            except ValueError:
                raise FigureError(f"{where}: {line['date']!r} is neither YYYY-MM nor YYYY-MM-DD") from None
            found[line["row"]] = line
    return found


def day_of(text: str) -> date:
    """The day where a date is drawn: itself, or the middle of a month. ValueError for anything else."""
    if not re.fullmatch(r"\d{4}-\d{2}(-\d{2})?", text):
        raise ValueError(text)
    return date.fromisoformat(text if len(text) == 10 else f"{text}-15")


def skill_counts(items: Sequence[Line]) -> list[SkillCount]:
    """Items of each skill under the type and domain that they are filed under; none for an absent skill."""
    counts = Counter((item["category"], item["task"], item["sub-category"]) for item in items)
    absent = SKILLS.keys() - {skill for _, _, skill in counts}
    rows = [
        SkillCount(type=kind, domain=domain, skill=skill, items=n)
        for (kind, domain, skill), n in counts.items()
    ]
    rows += [
        SkillCount(type=SKILLS[skill].type, domain=SKILLS[skill].domain, skill=skill, items=0, note=NO_ITEMS)
        for skill in absent
    ]
    return sorted(
        rows, key=lambda row: (TYPES.index(row.type), TASKS.index(row.domain), -row.items, row.skill)
    )


def skill_accuracies(
    items: Sequence[Line], model: str, label: str, *, skills: Cells, levels: Cells
) -> list[SkillAccuracy]:
    """Every skill over all items and at each difficulty, and chance. Raises FigureError."""
    in_skills = any(column == model for _, column in skills)
    in_levels = any(column.startswith(f"{model}__") for _, column in levels)
    if in_skills != in_levels:
        table = "skill_difficulty" if in_skills else "skills"
        raise FigureError(
            f"{model} is no column of the table {table} of paper.yaml: add it there and run the stage "
            "`score` again"
        )
    rows = []
    for level in (ALL, *DIFFICULTIES):
        of = [item for item in items if level in (ALL, item["difficulty"])]
        counts = Counter(item["sub-category"] for item in of)
        for skill, about in sorted(SKILLS.items(), key=lambda pair: TASKS.index(pair[1].domain)):
            row = SkillAccuracy(
                model=label, skill=skill, domain=about.domain, difficulty=level, n=counts[skill]
            )
            key = slug(skill)
            cell = skills.get((key, model)) if level == ALL else levels.get((key, f"{model}__{level}"))
            mine = [item for item in of if item["sub-category"] == skill]
            if (cell.n if cell else 0) != (count_units(mine, exam=EXAM) if in_skills else 0):
                raise FigureError(
                    f"the scores of {model} are of other items of {skill} ({level}) than the gold file: "
                    "run the stage `score` again"
                )
            if cell:
                row = replace(row, accuracy=cell.value, low=cell.low, high=cell.high)
            else:
                row = replace(row, note=NOT_RUN if counts[skill] else NO_ITEMS)
            rows.append(row)
        if of:
            chance = SkillAccuracy(model=CHANCE, skill="chance", domain=ALL, difficulty=level, n=len(of))
            rows.append(replace(chance, accuracy=_chance(of)))
    return rows


def release_rows(paper: Paper, reported: Numbers, timeline: Mapping[str, Mapping[str, str]]) -> list[Release]:
    """Every row of the main table that has a date or a reported average, the dated ones in their order."""
    rows = []
    for row, about in paper.tables["main"].rows.items():
        column = LEVELS.get(row, "average_test")
        number, line = reported.get(("main", row, column)), timeline.get(row)
        if number is None and line is None:
            continue
        note = "" if number else f"no {column} is reported"
        if row not in LEVELS and line is None:
            note = "no release date of its own"
        rows.append(
            Release(
                kind="line" if row in LEVELS else "model",
                row=row,
                model=line["model"] if line else about.sized_label,
                date=line["date"] if line else "",
                drawn_at=day_of(line["date"]).isoformat() if line else "",
                column=column,
                value=number.value if number else None,
                best_so_far=None,
                source=number.source if number else "",
                date_source=line["source"] if line else "",
                note=note,
            )
        )
    rows.sort(key=lambda row: row.drawn_at or "9999")
    levels = [(row.drawn_at, row.value) for row in rows if row.kind == "model" and row.drawn_at]
    return [
        replace(row, best_so_far=max(v for day, v in levels if v is not None and day <= row.drawn_at))
        if (row.drawn_at, row.value) in levels and row.value is not None
        else row
        for row in rows
    ]


def noise_rows(
    paper: Paper, reported: Numbers, items: Sequence[Line], cells: Cells, models: Sequence[str]
) -> list[Heard]:
    """Reported pairs as printed, ours with intervals, chance in both panels. Raises FigureError."""
    rows = []
    for row, about in paper.tables["noise"].rows.items():
        for condition in CONDITIONS:
            if number := reported.get(("noise", row, condition)):
                rows.append(_printed(number, row, about.sized_label, condition))
    if number := reported.get(("main", "random", LEVELS["random"])):
        rows.append(_printed(number, "random", paper.tables["main"].rows["random"].label, "chance"))
    for model in models:
        own = Heard(panel="ours", row=model, model=label_of(paper, "noise", model), condition="clean")
        for condition in CONDITIONS:
            cell = cells.get((model, condition))
            if cell is None:
                rows.append(replace(own, condition=condition, note=NOT_RUN))
                continue
            if cell.n != (n := count_units(items, exam=EXAM)):
                raise FigureError(
                    f"noise of {model} is of {cell.n} items, the gold file has {n}: run the stage "
                    "`score` again"
                )
            rows.append(
                replace(
                    own,
                    condition=condition,
                    accuracy=cell.value,
                    low=cell.low,
                    high=cell.high,
                    n=cell.n,
                    source=cell.protocol,
                )
            )
    chance = Heard(panel="ours", row="chance", model=CHANCE, condition="chance")
    return [*rows, replace(chance, accuracy=_chance(items), n=len(items))]


def _printed(number: Reported, row: str, label: str, condition: Condition) -> Heard:
    """A number of the paper's."""
    return Heard(
        panel="reported",
        row=row,
        model=label,
        condition=condition,
        accuracy=number.value,
        source=number.source,
    )


def label_of(paper: Paper, table: str, row: str) -> str:
    """How the paper's tables call a row."""
    rows = paper.tables[table].rows
    if row not in rows:
        raise FigureError(
            f"table {table} has no row {row!r}{nearest(row, rows)}; correct conf/<profile>.yaml"
        )
    return rows[row].label


def _chance(items: Sequence[Line]) -> float:
    """What a uniform draw among the options of each item is expected to score, in %."""
    return round(100 * sum(1 / len(item["choices"]) for item in items) / len(items), 6)

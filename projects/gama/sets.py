"""What a test set of rows.yaml is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

# accuracy, map, micro_f1: of labels; caption, dense_caption: of captions; answer: of a question's several
# annotators; instruction: of pairs of instruction and output, some of which a timeline can check
Task: TypeAlias = Literal["accuracy", "map", "micro_f1", "caption", "dense_caption", "answer", "instruction"]
LABELLED: tuple[Task, ...] = ("accuracy", "map", "micro_f1")


@dataclass(frozen=True)
class TestSet:
    """task: how it is asked and scored. dataset: that it asks about, if not that of its name; column: of the
    label, if not `label` or `labels`."""

    __test__ = False  # no test, although its name begins like one

    task: Task
    dataset: str = ""
    column: str = ""

"""What a test set of rows.yaml is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Task = Literal["comparison", "retrieval", "shuffled", "zero_shot"]


@dataclass(frozen=True)
class EvalSet:
    """A data set of shared_data/datasets by the name of its key. task: what a CLAP does with it."""

    task: Literal["comparison", "retrieval", "zero_shot"]


def sets_of(sets: Mapping[str, EvalSet], task: Task) -> list[str]:
    """The names of the sets of a task; shuffled captions are those of the retrieval sets."""
    return [name for name, one in sets.items() if one.task == ("retrieval" if task == "shuffled" else task)]

"""What can go wrong, where, and what is promised then: one line a fault. `pytest tests/faults` injects each.

A new row is a function that injects the fault, asserts the promise and returns how often it was injected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import files, tracking, training
from tests.faults.tiny import Forks


@dataclass(frozen=True)
class Scene:
    """What a row may use: an empty folder, the process that runs tiny trainings, patches, what was said."""

    folder: Path
    forks: Forks
    patch: pytest.MonkeyPatch
    said: pytest.CaptureFixture[str]


@dataclass(frozen=True)
class Fault:
    """fault: what happens; command: to what; promise: what still holds. inject(scene) -> times injected."""

    fault: str
    command: str
    promise: str
    inject: Callable[[Scene], int]


STAGE, WRITE = "a stage that trains", "any stage that writes"
MODEL, TRACK = "a stage that opens weights", "any stage, while MLflow tracks it"
SAME = "the same command ends with the same weights to the bit (CPU), and leaves nothing but results"
AGAIN = "it says which files, makes them again, and ends with the same weights"
GOES_ON = "the stage starts and ends as without tracking; what it logs waits in mlflow-pending.jsonl"

FAULTS = (
    Fault("kill -9 at any file operation of a training", STAGE, SAME, training.kills),
    Fault("kill -9 while a finished training tidies up", STAGE, SAME, training.kills_at_the_end),
    Fault("two kills, one in the run that resumes", STAGE, SAME, training.second_kill),
    Fault("SIGTERM in a step", STAGE, "exit 143 with a checkpoint; " + SAME, training.terminated),
    Fault("Ctrl-C in a step", STAGE, "exit 130 with a checkpoint; " + SAME, training.interrupted),
    Fault("Ctrl-C at a terminal whose background job it is", STAGE, "the job goes on", training.background),
    Fault("finished weights deleted", STAGE, AGAIN, training.deleted),
    Fault("finished weights altered in one byte", STAGE, AGAIN, training.altered),
    Fault("finished weights cut", STAGE, AGAIN, training.cut),
    Fault("finish mark damaged", STAGE, "the run is made again, with the same weights", training.bad_marks),
    Fault("newest checkpoint altered", STAGE, "the one before is taken; " + SAME, training.bad_checkpoint),
    Fault("all checkpoints damaged", STAGE, "exit 2, the folder named; nothing is deleted", training.all_bad),
    Fault("history torn or filled with junk", STAGE, SAME, training.bad_history),
    Fault("two runs of one variant at once", STAGE, "the second is refused, with the process", training.two),
    Fault("kill -9 of a run that another one waits for", STAGE, "nobody is locked out", training.released),
    Fault("full disk at a checkpoint", STAGE, "exit 2 with advice; " + SAME, training.full_disk),
    Fault("the run's folder is a file", STAGE, "exit 2 with advice; the file stays", training.no_folder),
    Fault("another frozen model at the resume", STAGE, "exit 2, the weights named", training.other_base),
    Fault("temporaries of dead writers in the folder", STAGE, "they go", training.temporaries),
    Fault("kill -9 at any file operation of a writer", WRITE, "the old file or the new", files.kills),
    Fault("kill -9 while an array is written", WRITE, "no array, or a whole one", files.array_kills),
    Fault("full disk while a file is written", WRITE, "the old file, and advice", files.full_disk),
    Fault("features cut", "a stage that reads them", "an error that names the file", files.cut_array),
    Fault("Git LFS pointer in place of weights", MODEL, "an error: git lfs pull", files.pointer),
    Fault("web page in place of weights", MODEL, "an error: fetch it again", files.page),
    Fault("weights cut anywhere", MODEL, "an error that names the file", files.cut_weights),
    Fault("code in a file of weights", MODEL, "it is not run", files.trap),
    Fault("NaN from a model", MODEL, "an error that names the items, no answer", files.not_finite),
    Fault("tracking server that accepts and says nothing", TRACK, GOES_ON, tracking.half_open),
    Fault("tracking server that drips its answer", TRACK, GOES_ON, tracking.dripping),
    Fault("tracking server that is away", TRACK, GOES_ON, tracking.away),
    Fault("mlflow.db locked by another program", TRACK, GOES_ON, tracking.locked_database),
    Fault("mlflow.db damaged", TRACK, GOES_ON, tracking.damaged_database),
    Fault("no room for copies of artefacts", TRACK, "the stage goes on and says so", tracking.no_room),
    Fault("pending file torn, or no UTF-8", TRACK, "every whole line is delivered", tracking.torn),
    Fault("pending file that names others' files", TRACK, "none is sent or deleted", tracking.foreign),
    Fault("a value that MLflow refuses", TRACK, "it alone is left out, and said", tracking.refused),
)  # fmt: skip

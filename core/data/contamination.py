"""Are test clips in the training data? By id, provenance, video time and content; clean, or a loud error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from core.data.problems import DatasetError, some

WAYS = ("id", "clip", "time", "sha256")


class ContaminationError(DatasetError):
    """Test clips are in the training data. `report` is what check_contamination would have returned."""

    def __init__(self, message: str, report: dict[str, Any]) -> None:
        super().__init__(message)
        self.report = report


def check_contamination(
    tests: Mapping[str, pd.DataFrame],
    manifests: Mapping[str, pd.DataFrame],
    *,
    tolerance: float = 0.0,
) -> dict[str, Any]:
    """Compare test sets with training manifests (frames of core.data.manifest) and report counts.

    A test row is contaminated when a training row has (id) the same id of the same source data set, (clip)
    one of its provenance ids, (time) more than `tolerance` seconds of the same YouTube video, where unknown
    times mean the whole video, or (sha256) the same audio bytes. O((N + M) log N) for N training and M test
    rows.

    Returns {"tests": {name: rows}, "manifests": {name: rows}, "tolerance": s, "found": {}} when clean, else
    raises ContaminationError with counts per test set, manifest and way and the first ids.
    """
    found: dict[str, dict[str, dict[str, list[str]]]] = {}
    for test_name, test in tests.items():
        test = test.reset_index(drop=True)  # a row is found again by its index
        for train_name, train in manifests.items():
            hits = {
                "id": _same_id(test, train),
                "clip": _same_clip(test, train),
                "time": overlapping(test, train, tolerance=tolerance),
                "sha256": _same_text(test["sha256"], train["sha256"]),
            }
            named = {
                way: list(dict.fromkeys(test["id"].to_numpy()[hit])) for way, hit in hits.items() if hit.any()
            }
            if named:
                found.setdefault(test_name, {})[train_name] = named
    report: dict[str, Any] = {
        "tests": {name: int(frame["id"].nunique()) for name, frame in tests.items()},
        "manifests": {name: len(frame) for name, frame in manifests.items()},
        "tolerance": tolerance,
        "found": found,
    }
    if found:
        lines = [
            f"{test_name} in {train_name}: "
            + "; ".join(
                f"{len(ids)} of {report['tests'][test_name]} by {way} ({some(ids)})"
                for way, ids in ways.items()
            )
            for test_name, trains in found.items()
            for train_name, ways in trains.items()
        ]
        raise ContaminationError(
            "test clips are in the training data:\n  "
            + "\n  ".join(lines)
            + "\nTake these rows out of the manifest and train again, or report the scores as contaminated",
            report,
        )
    return report


def overlapping(test: pd.DataFrame, train: pd.DataFrame, *, tolerance: float = 0.0) -> np.ndarray:
    """Which test rows share more than `tolerance` seconds of a YouTube video with a training row, (M,) bool.

    The training intervals of one video are sorted by start; a test interval [s, e) overlaps one of them by
    more than t when the latest end among those that start before e - t lies after s + t. All videos are laid
    one after the other on a single axis, so that one binary search and one running maximum serve them all.
    Intervals not longer than the tolerance never count.
    """
    out = np.zeros(len(test), dtype=bool)
    videos = train["youtube_id"].to_numpy(dtype=str)
    mine = test["youtube_id"].to_numpy(dtype=str)
    known = np.unique(videos[videos != ""])
    shared = np.isin(mine, known) & (mine != "")
    if not shared.any():
        return out
    from_videos = np.isin(videos, np.unique(mine[shared]))
    span = 1.0 + max(
        float(np.nanmax(frame[column].to_numpy(dtype=float), initial=0.0))
        for frame in (test, train)
        for column in ("start", "end")
    )
    span += 2 * tolerance

    def place(frame: pd.DataFrame, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        offset = np.searchsorted(known, frame["youtube_id"].to_numpy(dtype=str)[keep]) * (2 * span)
        start = np.nan_to_num(frame["start"].to_numpy(dtype=float)[keep], nan=0.0)
        end = np.nan_to_num(frame["end"].to_numpy(dtype=float)[keep], nan=span)
        long = end - start > tolerance
        return offset[long] + start[long], offset[long] + end[long], np.flatnonzero(keep)[long]

    start, end, _ = place(train, from_videos)
    my_start, my_end, rows = place(test, shared)
    if not len(start):
        return out
    order = np.argsort(start, kind="stable")
    latest_end = np.maximum.accumulate(end[order])
    before = np.searchsorted(start[order], my_end - tolerance, side="left")
    hit = (before > 0) & (latest_end[np.maximum(before - 1, 0)] > my_start + tolerance)
    out[rows] = hit
    return out


def _same_text(mine: pd.Series, theirs: pd.Series) -> np.ndarray:
    return (mine.isin(theirs) & (mine != "")).to_numpy(dtype=bool)


def _same_id(test: pd.DataFrame, train: pd.DataFrame) -> np.ndarray:
    def key(frame: pd.DataFrame) -> pd.Series:
        return frame["source_dataset"] + "\x00" + frame["id"]

    return key(test).isin(key(train)).to_numpy(dtype=bool)


def _same_clip(test: pd.DataFrame, train: pd.DataFrame) -> np.ndarray:
    """Provenance ids; those of YouTube pieces are compared by time instead."""
    theirs = train["clips"].explode().dropna()
    mine = test["clips"].explode().dropna()
    hit = mine[mine.isin(theirs) & ~mine.astype(str).str.startswith("youtube:")]
    return test.index.isin(hit.index)

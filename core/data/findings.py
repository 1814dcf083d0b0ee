"""Whether what a paper reads is there, and right: one finding a data set, checkpoint, list or artefact.

Nothing is downloaded and nothing is changed. Official files count as present when the importer would take
them; a checkpoint when the stage that verifies it would.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from core.data.card import Card, CheckpointCard
from core.data.cards_exams import EXAM_CARDS
from core.data.inputs import RECORDINGS
from core.data.layouts import audio_of, audio_place, files_of, rows_of, weights_of
from core.data.official_files import first_place, wrong_files
from core.train.weight_files import is_stub

Kind = Literal["machine", "profile", "data set", "checkpoint", "list", "artefact", "row"]
Status = Literal["present", "missing", "wrong", "note"]
AUDIO = (".wav", ".flac", ".ogg", ".mp3", ".au")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report. `next` is the command or the act that puts it right, "" when nothing needs
    doing. read_by: the stages that read it, by their addresses."""

    kind: Kind
    name: str
    status: Status
    detail: str
    licence: str = ""
    where: str = ""
    next: str = ""
    read_by: tuple[str, ...] = ()


def check_card(
    root: Path,
    card: Card,
    *,
    profile: str = "paper",
    splits: Sequence[str] = ("test",),
    allow_missing: bool = False,
    imported: bool = True,
) -> Finding:
    """One data set: are the official files of its splits there, with the right checksum and number of audio
    files, and is it imported? imported: False for what no stage imports, such as the bank's source."""
    folder = root / card.folder
    stage = "exams" if card.name in EXAM_CARDS else "datasets"
    import_it = f"python -m shared_data.{stage} {card.name} --profile {profile}" if imported else ""
    get = f"get it from {card.homepage} (accept its licence), put it in {card.folder}, run this again"
    finding = _finder("data set", card)

    info = root / "shared_data" / "datasets" / profile / card.name / "info.json"
    if imported and card.manifest:
        return _manifest(finding, card, folder, get)
    if imported and info.is_file():
        return _imported(finding, card, info, import_it, splits)
    files = {file.path for split in splits for file in files_of(card, split)}
    lost = [name.replace("|", " or ") for name in sorted(files) if first_place(folder, name) is None]
    if len(lost) == len(files):
        return finding("missing", f"not there: {', '.join(lost)}", get)
    if lost:
        return finding("missing", f"incomplete, not there: {', '.join(lost)}", get)
    if wrong := wrong_files(folder, card):
        return finding("wrong", f"another MD5 than the official file: {', '.join(wrong)}", get)
    for names, there, expected in audio_counts(folder, card, splits):
        what = f"{there} audio files of {expected} ({', '.join(names)})"
        if there == 0 or (there < expected and not allow_missing):
            advice = f"or set allow_missing for it in shared_data/conf/{profile}.yaml, " if there else ""
            return finding("wrong", what, f"fetch the rest, {advice}then {import_it or 'run this again'}")
        if there < expected:
            return finding("present", f"{what}; what is missing is left out and listed", import_it)
    detail = f"official files there ({_count(folder, card, splits)} audio files)"
    return finding("present", detail + (", not imported yet" if imported else ""), import_it)


def audio_counts(folder: Path, card: Card, splits: Sequence[str]) -> Iterator[tuple[list[str], int, int]]:
    """(splits, audio files there, official number) of every place that holds audio of these splits.

    Splits that share a folder are counted together; one without an official number counts as 1.
    """
    places: dict[Path, list[str]] = {}
    for split in splits:
        if (place := first_place(folder, audio_place(card, split))) is not None:
            places.setdefault(place, []).append(split)
    for place, names in places.items():
        yield names, audio_in(place), sum(audio_of(card, split) or 1 for split in names)


def audio_in(place: Path) -> int:
    """Audio files in a folder, or the rows of Parquet that hold audio, as the Hub gives it."""
    if place.is_dir():
        there = sum(name.lower().endswith(AUDIO) for _, _, names in os.walk(place) for name in names)
        if there:
            return there
    import pyarrow.parquet as pq

    stored = [
        pq.ParquetFile(path) for path in (sorted(place.rglob("*.parquet")) if place.is_dir() else [place])
    ]
    return sum(
        file.metadata.num_rows for file in stored if {"audio", "context"} & set(file.schema_arrow.names)
    )


def check_checkpoint(root: Path, card: CheckpointCard, *, foundation: bool = False) -> Finding:
    """One checkpoint in its folder: its files whole, no pointers in their place.

    foundation: its stage also wants its revision told, by the notes that `hf download` leaves or by hand.
    The Hub's own cache is no place where a stage looks; what lies there is named.
    """
    folder = root / card.folder
    finding = _finder("checkpoint", card)

    places = {name: first_place(folder, name) for name in weights_of(card)}
    if lost := [name.replace("|", " or ") for name, place in places.items() if place is None]:
        cached = "; in the Hub's cache, where no stage looks" if _in_cache(card) else ""
        return finding("missing", f"{card.size}, not there: {', '.join(lost)}{cached}", card.command)
    whole = [place for place in places.values() if place is not None]
    for index in [place for place in whole if place.name.endswith(".index.json")]:
        shards = _shards(index)
        if absent := [shard.name for shard in shards if not shard.is_file()]:
            return finding("missing", f"{card.size}, shards not there: {', '.join(absent)}", card.command)
        whole += shards
    if stubs := [place.name for place in whole if is_stub(place)]:
        return finding(
            "wrong", f"empty or a Git LFS pointer instead of weights: {', '.join(stubs)}", card.command
        )
    told = _revisions(folder)
    if foundation and not told:
        return finding(
            "wrong",
            "nothing tells its revision",
            f"{card.command}; or check that it is {card.revision} and write that into "
            f"{card.folder}/revision.txt",
        )
    if foundation and (other := sorted(told - {card.revision})):
        return finding("wrong", f"revision {other[0][:12]}, the card's is {card.revision[:12]}", card.command)
    return finding("present", f"revision {card.revision[:12]} {'found' if told else 'expected'}")


def check_recordings(root: Path) -> Finding:
    """The recordings that shared_data/recorded/clips.csv lists."""
    lists, raw = root / "shared_data" / "recorded", root / RECORDINGS
    with (lists / "clips.csv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    absent = [r for r in listed if not (raw / r["package"] / r["path"]).is_file()]
    packages = sorted({r["package"] for r in absent})
    return Finding(
        kind="data set",
        name="recorded bank",
        status="missing" if absent else "present",
        detail=f"{len(absent)} of {len(listed)} recordings not there, of {', '.join(packages)}"
        if absent
        else f"all {len(listed)} recordings there",
        licence="one per package and per clip, printed when they are fetched",
        where=str(raw.parent.relative_to(root)),
        next="nox -s recorded" if absent else "",
    )


def _count(folder: Path, card: Card, splits: Sequence[str]) -> int:
    return sum(there for _, there, _ in audio_counts(folder, card, splits))


def _imported(finding: _Finder, card: Card, path: Path, import_it: str, splits: Sequence[str]) -> Finding:
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        counts: Mapping[str, int] = info["counts"]
        left = {split: len(info["notes"].get(split, {}).get("missing", [])) for split in counts}
    except (ValueError, KeyError, TypeError, AttributeError):
        return finding("wrong", f"{path} is damaged", import_it)
    said = []
    for split in splits:
        stored = split if split in counts else split.replace("-", "")
        if stored not in counts:
            return finding("wrong", f"imported without the split {split}", import_it)
        count, left_out, official = counts[stored], left[stored], rows_of(card, split)
        if official is not None and count + left_out != official:
            return finding(
                "wrong",
                f"{count} rows of {split} imported, {left_out} left out; officially {official}",
                import_it,
            )
        of = f"{count} of {official} rows" if official is not None else f"{count} rows, no official count"
        said.append(f"{of} of {split}" + (f", {left_out} left out" if left_out else ""))
    return finding("present", f"imported, {'; '.join(said)}")


def _manifest(finding: _Finder, card: Card, folder: Path, get: str) -> Finding:
    """A training manifest, for whoever trains on one: no stage of this repository reads it."""
    from core.data.manifest import read_manifest
    from core.data.problems import DatasetError

    if (path := first_place(folder, card.files[0].path)) is None:
        return finding("missing", f"not there: {card.files[0].path.replace('|', ' or ')}", get)
    try:
        rows = len(read_manifest(path))
    except DatasetError as error:
        return finding("wrong", str(error), f"correct {path}")
    official = card.counts["train"]
    return finding("present", f"{rows} rows" + ("" if rows == official else f" (published size {official})"))


class _Finder(Protocol):
    def __call__(self, status: Status, detail: str, next_: str = "") -> Finding: ...


def _finder(kind: Kind, card: Card | CheckpointCard) -> _Finder:
    """Findings about one card differ in status, detail and advice only."""

    def finding(status: Status, detail: str, next_: str = "") -> Finding:
        return Finding(
            kind=kind,
            name=card.name,
            status=status,
            detail=detail,
            licence=card.licence,
            where=card.folder,
            next=next_,
        )

    return finding


def _in_cache(card: CheckpointCard) -> bool:
    if "/" not in card.name:
        return False
    from huggingface_hub import try_to_load_from_cache

    return all(
        any(
            isinstance(try_to_load_from_cache(card.name, name, revision=card.revision), str)
            for name in names.split("|")
        )
        for names in card.files
    )


def _revisions(folder: Path) -> set[str]:
    """The revisions that `hf download --local-dir` noted of the files, else the line of revision.txt."""
    notes = [*folder.glob(".cache/huggingface/download/*.metadata")] or [*folder.glob("revision.txt")]
    return {
        lines[0].strip() for note in notes if (lines := note.read_text(encoding="utf-8").splitlines()[:1])
    }


def _shards(index: Path) -> list[Path]:
    """The files of weights that an index names; none where it is a pointer, which is said later."""
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return [index.parent / str(name) for name in sorted(names)]

"""Says what a paper's profile needs and lacks: `python -m core.data.doctor compa [--profile paper]`.

Reads `data: {paper: [...]}` and `checkpoints: {paper: [...]}` of projects/<paper>/paper.yaml. Exit code 1
when something is missing or wrong. Nothing is downloaded and nothing is changed.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from core.data.card import Card, CheckpointCard
from core.data.cards import CARDS, CHECKPOINTS, COMPA_661K
from core.data.cards_exams import EXAM_CARDS, EXAM_CHECKPOINTS, LALMS, PRO_SCORERS
from core.data.cards_listening import GAMA_TESTS
from core.run.strict_yaml import ConfigError, check, read

Kind = Literal["machine", "profile", "data set", "checkpoint"]
Status = Literal["present", "missing", "wrong", "note"]
DATA: Mapping[str, Card] = {**CARDS, **EXAM_CARDS}
WEIGHTS: Mapping[str, CheckpointCard] = {**CHECKPOINTS, **EXAM_CHECKPOINTS}
GROUPS: Mapping[str, tuple[str, ...]] = {
    "compa_661k": COMPA_661K,
    "gama_tests": GAMA_TESTS,
    "mmau_models": LALMS,
    "mmau_pro_scorers": PRO_SCORERS,
}
# paper: the benchmarks twice (official files and Parquet) and the checkpoints; training data come on top
FREE_GB: dict[str, float] = {"mini": 2, "recorded": 4, "paper": 80}
AUDIO = (".wav", ".flac", ".ogg", ".mp3")


class DoctorError(ValueError):
    """The question itself is wrong: no such paper, or its paper.yaml cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report. `next` is the command or the act that puts it right, "" when nothing needs
    doing."""

    kind: Kind
    name: str
    status: Status
    detail: str
    licence: str = ""
    where: str = ""
    next: str = ""


def diagnose(root: Path, paper: str, *, profile: str) -> list[Finding]:
    """Everything `paper` needs under `profile`, found or not. root: the repository. Raises DoctorError."""
    project = root / "projects" / paper
    sheet = project / "paper.yaml"
    if not sheet.is_file():
        there = sorted(p.parent.name for p in (root / "projects").glob("*/paper.yaml"))
        raise DoctorError(f"no paper {paper!r}: {sheet} is missing; there is {', '.join(there) or 'none'}")
    try:
        content = check(dict[str, Any], read(sheet) or {}, where=sheet)
    except ConfigError as error:
        raise DoctorError(str(error)) from error
    findings = [*_machine(root, project, profile), *_profile(root, project, profile)]
    data, checkpoints = _names(content, "data", profile), _names(content, "checkpoints", profile)
    for name in [n for given in data for n in GROUPS.get(given, (given,))]:
        card = DATA.get(name)
        findings.append(
            _unknown("data set", name, DATA) if card is None else check_card(root, card, profile=profile)
        )
    for name in [n for given in checkpoints for n in GROUPS.get(given, (given,))]:
        weights = WEIGHTS.get(name)
        findings.append(
            _unknown("checkpoint", name, WEIGHTS) if weights is None else check_checkpoint(root, weights)
        )
    if profile == "recorded":
        findings.append(_recorded(root))
    elif not data and not checkpoints:
        findings.append(
            Finding(
                kind="data set",
                name="all",
                status="present",
                detail="embedded: made by code, nothing to fetch",
            )
        )
    return findings


def check_card(root: Path, card: Card, *, profile: str = "paper") -> Finding:
    """One data set: are its official files there, with the right checksum and number, and imported?"""
    folder = root / card.folder
    get = f"get it from {card.homepage} (accept its licence), put it in {card.folder}, run this again"
    finding = _finder("data set", card)

    places = {file: _first(folder, file.path) for file in card.files}
    lost = [file.path.replace("|", " or ") for file, place in places.items() if place is None]
    if not folder.is_dir() or len(lost) == len(card.files):
        return finding("missing", f"not there: {', '.join(lost)}", get)
    if lost:
        return finding("missing", f"incomplete, not there: {', '.join(lost)}", get)
    if wrong := wrong_files(folder, card):
        return finding("wrong", f"another MD5 than the official file: {', '.join(wrong)}", get)
    if card.manifest:
        return _manifest_finding(finding, card, folder)
    imported = root / "shared_data" / "datasets" / profile / card.name / "info.json"
    stage = "exams" if card.name in EXAM_CARDS else "datasets"
    import_it = f"python -m shared_data.{stage} {card.name} --profile {profile}"
    if imported.is_file():
        return _imported(finding, card, imported, import_it)
    expected = card.audio_files or card.counts.get("test", 1)
    if (there := _count_audio(folder) or _count_stored_audio(folder)) < expected:
        return finding(
            "wrong",
            f"{there} audio files of {expected}",
            f"fetch the rest, or set allow_missing for it in shared_data/conf/{profile}.yaml, then "
            f"{import_it}",
        )
    return finding("present", f"official files there ({there} audio files), not imported yet", import_it)


def wrong_files(folder: Path, card: Card) -> list[str]:
    """The official files of `card` that are in `folder` but do not have the publisher's MD5."""
    places = {file: _first(folder, file.path) for file in card.files if file.md5}
    return [str(place) for file, place in places.items() if place and _md5(place) != file.md5]


def check_checkpoint(root: Path, card: CheckpointCard) -> Finding:
    """One checkpoint: in its folder, or in the Hugging Face cache at the card's revision."""
    folder = root / card.folder
    finding = _finder("checkpoint", card)

    places = {name: _first(folder, name) or _cached(card, name) for name in card.files}
    if lost := [name.replace("|", " or ") for name, place in places.items() if place is None]:
        return finding("missing", f"{card.size}, not there: {', '.join(lost)}", card.command)
    whole = [place for place in places.values() if place is not None]
    for index in [place for place in whole if place.name.endswith(".index.json")]:
        shards = _shards(index)
        if absent := [shard.name for shard in shards if not shard.is_file()]:
            return finding("missing", f"{card.size}, shards not there: {', '.join(absent)}", card.command)
        whole += shards
    stubs = [place.name for place in whole if _is_stub(place)]
    if stubs:
        return finding(
            "wrong", f"empty or a Git LFS pointer instead of weights: {', '.join(stubs)}", card.command
        )
    return finding("present", f"revision {card.revision[:12]} expected")


def show(findings: list[Finding], *, title: str) -> str:
    """The report as text: per finding its status, and what to do where something is to be done."""
    marks = {"present": "ok     ", "missing": "MISSING", "wrong": "WRONG  ", "note": "note   "}
    lines = [title]
    for f in findings:
        lines.append(f"  {marks[f.status]}  {f.kind} {f.name}: {f.detail}")
        for what, text in (("licence", f.licence), ("where", f.where), ("next", f.next)):
            if text and (what == "next" or f.status in ("missing", "wrong")):
                lines.append(f"             {what}: {text}")
    bad = sum(f.status in ("missing", "wrong") for f in findings)
    lines.append(f"{bad} of {len(findings)} missing or wrong" if bad else f"all {len(findings)} in order")
    return "\n".join(lines)


def main(arguments: list[str] | None = None, *, root: Path | None = None) -> int:
    root = root or Path.cwd()
    parser = argparse.ArgumentParser(
        prog="python -m core.data.doctor", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("paper", help="a folder of projects/")
    parser.add_argument("--profile", help="default: the one of params.yaml")
    given = parser.parse_args(arguments)
    try:
        profile = given.profile or _default_profile(root)
        findings = diagnose(root, given.paper, profile=profile)
    except DoctorError as error:
        print(error, file=sys.stderr)
        return 2
    print(show(findings, title=f"{given.paper}, profile {profile}"))
    return int(any(f.status in ("missing", "wrong") for f in findings))


def _names(content: Mapping[str, Any], key: str, profile: str) -> list[str]:
    """The names under `key`; a bare list is what the paper profile needs. Absent keys: nothing is needed."""
    given = content.get(key) or {}
    if isinstance(given, Mapping):
        given = given.get(profile) or []
    elif profile != "paper":
        given = []
    return [str(name) for name in given]


def _machine(root: Path, project: Path, profile: str) -> list[Finding]:
    free = shutil.disk_usage(root).free / 1e9
    need = FREE_GB.get(profile, 2)
    findings = [
        Finding(
            kind="machine",
            name="disk",
            status="present" if free >= need else "missing",
            detail=f"{free:.0f} GB free, about {need:g} GB wanted",
            next="" if free >= need else f"free some space on the disk of {root}",
        )
    ]
    for folder in (root / "shared_data", project):
        if not (error := _unwritable(folder)):
            continue
        findings.append(
            Finding(
                kind="machine",
                name=f"write to {folder.relative_to(root)}",
                status="wrong",
                detail=error,
                next=f"make {folder} writable for you",
            )
        )
    import torch  # 1 s: only the doctor's last question needs it

    if torch.cuda.is_available():
        detail = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return [*findings, Finding(kind="machine", name="device", status="present", detail=detail)]
    slow = "; training at full size needs GPUs" if profile == "paper" else ""
    detail = f"CPU, {os.cpu_count()} cores{slow}"
    return [
        *findings,
        Finding(kind="machine", name="device", status="note" if slow else "present", detail=detail),
    ]


def _profile(root: Path, project: Path, profile: str) -> list[Finding]:
    findings = []
    for folder in (project / "conf", root / "shared_data" / "conf"):
        path = folder / f"{profile}.yaml"
        there = sorted(p.stem for p in folder.glob("*.yaml"))
        findings.append(
            Finding(
                kind="profile",
                name=str(path.relative_to(root)),
                status="present" if path.is_file() else "missing",
                detail="there"
                if path.is_file()
                else f"not there; profiles here: {', '.join(there) or 'none'}",
                next="" if path.is_file() else "choose one of these in params.yaml, or write that file",
            )
        )
    return findings


def _recorded(root: Path) -> Finding:
    lists, raw = root / "shared_data" / "recorded", root / "shared_data" / "raw" / "debian"
    with (lists / "clips.csv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    absent = [r for r in listed if not (raw / "unpacked" / r["package"] / r["path"]).is_file()]
    packages = sorted({r["package"] for r in absent})
    return Finding(
        kind="data set",
        name="recorded bank",
        status="missing" if absent else "present",
        detail=f"{len(absent)} of {len(listed)} recordings not there, of {', '.join(packages)}"
        if absent
        else f"all {len(listed)} recordings there",
        licence="one per package and per clip, printed when they are fetched",
        where=str(raw.relative_to(root)),
        next="nox -s recorded" if absent else "",
    )


def _manifest_finding(finding: _Finder, card: Card, folder: Path) -> Finding:
    from core.data.manifest import read_manifest
    from core.data.problems import DatasetError

    path = _first(folder, card.files[0].path)
    assert path is not None
    try:
        rows = len(read_manifest(path))
    except DatasetError as error:
        return finding("wrong", str(error), f"correct {path}")
    official = card.counts["train"]
    return finding("present", f"{rows} rows" + ("" if rows == official else f" (published size {official})"))


def _imported(finding: _Finder, card: Card, path: Path, import_it: str) -> Finding:
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        splits = ["test" if "test" in card.counts else min(info["counts"])]
        if card.name in EXAM_CARDS:  # of MMAU one may have test-mini, test or both
            splits = [split for split in card.counts if split in info["counts"]]
        found = {s: (info["counts"][s], len(info["notes"].get(s, {}).get("missing", []))) for s in splits}
        if not found:
            raise KeyError("no split that is counted")
    except (ValueError, KeyError, TypeError, AttributeError):
        return finding("wrong", f"{path} is damaged or has no test split", import_it)
    said = []
    for split, (count, left_out) in found.items():
        official = card.counts.get(split)
        if official is not None and count + left_out != official:
            return finding(
                "wrong", f"{count} rows imported, {left_out} left out; officially {official}", import_it
            )
        of = f"{count} of {official} rows" if official is not None else f"{count} rows, no official count"
        name = "" if len(card.counts) < 2 or split == "test" else f" of {split}"
        said.append(of + name + (f", {left_out} left out" if left_out else ""))
    return finding("present", f"imported, {'; '.join(said)}")


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


def _unknown(kind: Kind, name: str, known: Mapping[str, object]) -> Finding:
    near = difflib.get_close_matches(name, list(known), n=1)
    detail = "no card of that name" + (f"; did you mean {near[0]}?" if near else "")
    return Finding(
        kind=kind, name=name, status="wrong", detail=detail, next="correct paper.yaml or core/data/cards.py"
    )


def _first(folder: Path, alternatives: str) -> Path | None:
    for name in alternatives.split("|"):
        place = folder / name
        if place.is_dir() if name.endswith("/") else place.is_file():
            return place
    return None


def _cached(card: CheckpointCard, alternatives: str) -> Path | None:
    if "/" not in card.name:
        return None
    from huggingface_hub import try_to_load_from_cache

    for name in alternatives.split("|"):
        if isinstance(place := try_to_load_from_cache(card.name, name, revision=card.revision), str):
            return Path(place)
    return None


def _shards(index: Path) -> list[Path]:
    """The files of weights that an index names; none where it is a pointer, which is said later."""
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return [index.parent / str(name) for name in sorted(names)]


def _is_stub(path: Path) -> bool:
    with open(path, "rb") as file:
        start = file.read(40)
    return not start or start.startswith(b"version https://git-lfs")


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _count_audio(folder: Path) -> int:
    return sum(name.lower().endswith(AUDIO) for _, _, names in os.walk(folder) for name in names)


def _count_stored_audio(folder: Path) -> int:
    """Rows of Parquet that hold audio, as the Hub gives it."""
    import pyarrow.parquet as pq

    files = [pq.ParquetFile(path) for path in sorted(folder.rglob("*.parquet"))]
    return sum(
        file.metadata.num_rows for file in files if {"audio", "context"} & set(file.schema_arrow.names)
    )


def _unwritable(folder: Path) -> str:
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    try:
        with tempfile.TemporaryFile(dir=there):
            return ""
    except OSError as error:
        return f"cannot write there ({error.strerror or error})"


def _default_profile(root: Path) -> str:
    path = root / "params.yaml"
    try:
        content = read(path) if path.is_file() else None
    except ConfigError as error:
        raise DoctorError(str(error)) from error
    if not isinstance(content, dict) or not isinstance(content.get("profile"), str):
        raise DoctorError(f"{path} names no profile; pass --profile mini, recorded or paper")
    return content["profile"]


if __name__ == "__main__":
    sys.exit(main())

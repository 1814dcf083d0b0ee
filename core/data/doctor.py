"""Says what a paper's profile needs and lacks: `python -m core.data.doctor compa [--profile paper]`.

What is read is computed from DVC's graph and the configuration of its stages (core.data.inputs), what it
takes on disk and in memory from counts and shapes (core.data.needs). `data` and `checkpoints` of
projects/<paper>/paper.yaml may name what no stage reads: that is told, and nobody is asked for it. Exit code
1 when something is missing or wrong. Nothing is downloaded and nothing is changed.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.data import machine
from core.data.cards import COMPA_661K
from core.data.cards_exams import LALMS, PRO_SCORERS
from core.data.cards_listening import GAMA_TESTS
from core.data.doctor_report import gb, readers, show, show_needs
from core.data.findings import Finding, Kind, Status, check_card, check_checkpoint, check_recordings
from core.data.inputs import DATA, WEIGHTS, Reading, Wanted, Work, reading_of, work_of
from core.data.needs import Need, Plan, data_needs
from core.data.needs_training import checkpoint_needs, memory_needs
from core.run.pipeline import PipelineError
from core.run.strict_yaml import ConfigError, check, read

GROUPS: Mapping[str, tuple[str, ...]] = {
    "compa_661k": COMPA_661K,
    "gama_tests": GAMA_TESTS,
    "mmau_models": LALMS,
    "mmau_pro_scorers": PRO_SCORERS,
}
FREE_GB: dict[str, float] = {"mini": 2, "recorded": 4, "wheels": 8}  # profiles without official data


class DoctorError(ValueError):
    """The question itself is wrong: no such paper, or a file of it cannot be read."""


def diagnose(root: Path, paper: str, *, profile: str) -> tuple[list[Finding], list[Need]]:
    """What `paper` needs under `profile`: findings, found or not, and the arithmetic of disk and memory.

    root: the repository. A profile without official data has no arithmetic. Raises DoctorError.
    """
    project = root / "projects" / paper
    sheet = project / "paper.yaml"
    if not sheet.is_file():
        there = sorted(p.parent.name for p in (root / "projects").glob("*/paper.yaml"))
        raise DoctorError(f"no paper {paper!r}: {sheet} is missing; there is {', '.join(there) or 'none'}")
    try:
        content = check(dict[str, Any], read(sheet) or {}, where=sheet)
        work = work_of(root, paper, profile=profile)
    except (ConfigError, PipelineError) as error:
        raise DoctorError(str(error)) from error
    reading = reading_of(work, paper=paper)
    bank = root / "shared_data" / "bank" / profile / "bank.json"
    if reading.bank is not None and bank.is_file():
        reading = _without_source(reading)
    official = bool(reading.sets or reading.bank)
    public = official or any(one.needed for one in reading.weights)  # checkpoints, perhaps small ones
    needs: list[Need] = []
    if official:
        plan = Plan(root=root, profile=profile, work=work, reading=reading)
        needs = [*data_needs(plan), *checkpoint_needs(plan), *memory_needs(plan)]
    findings = [
        _disk(root, needs, profile=profile),
        *machine.writable(root, root / "shared_data", project),
        machine.device(large=official),
        *_profiles(root, project, profile),
        *_data(root, reading, profile=profile),
    ]
    if public:
        findings += [
            *_weights(root, reading),
            *_lists(root, reading),
            *_artefacts(root, work, reading, paper),
        ]
        findings += [_row(wanted, "asks an endpoint, and none is configured") for wanted in reading.endpoints]
    findings += _listed(root, content, reading, profile=profile)
    if not public and reading.recordings is None:
        findings.append(
            Finding(
                kind="data set",
                name="all",
                status="present",
                detail="embedded: made by code, nothing to fetch",
            )
        )
    return findings, needs


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
        findings, needs = diagnose(root, given.paper, profile=profile)
    except DoctorError as error:
        print(error, file=sys.stderr)
        return 2
    if needs:
        print(show_needs(needs), end="\n\n")
    print(show(findings, title=f"{given.paper}, profile {profile}"))
    return int(any(f.status in ("missing", "wrong") for f in findings))


def _disk(root: Path, needs: Iterable[Need], *, profile: str) -> Finding:
    """What is still to come, twice where DVC copies its outputs into its cache."""
    stored = [need for need in needs if not need.part.startswith("memory")]
    if not stored:
        return machine.disk(root, FREE_GB.get(profile, 2) * 1e9)
    more = {need: max(0.0, need.bytes - need.there) for need in stored}
    once, twice = sum(more.values()), sum(size for need, size in more.items() if need.cached)
    copied = machine.copies(root)
    detail = f": {gb(once)} to come" + (
        f" and {gb(twice)} for DVC's copies in its cache (dvc config cache.type hardlink,symlink saves them)"
        if copied
        else ", which DVC's cache shares"
    )
    return machine.disk(root, once + (twice if copied else 0.0), detail=detail)


def _profiles(root: Path, project: Path, profile: str) -> list[Finding]:
    findings = []
    for folder in (project / "conf", root / "shared_data" / "conf"):
        path = folder / f"{profile}.yaml"
        there = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "none"
        found = path.is_file()
        findings.append(
            Finding(
                kind="profile",
                name=str(path.relative_to(root)),
                status="present" if found else "missing",
                detail="there" if found else f"not there; profiles here: {there}",
                next="" if found else "choose one of these in params.yaml, or write that file",
            )
        )
    return findings


def _data(root: Path, reading: Reading, *, profile: str) -> list[Finding]:
    """Data sets, the bank's source and recordings."""
    found = [
        replace(
            check_card(
                root,
                DATA[wanted.name],
                profile=profile,
                splits=wanted.splits,
                allow_missing=wanted.allow_missing,
                imported=wanted is not reading.bank,
            ),
            read_by=wanted.read_by,
        )
        for wanted in (*reading.sets, *((reading.bank,) if reading.bank else ()))
    ]
    return found + ([check_recordings(root)] if reading.recordings else [])


def _weights(root: Path, reading: Reading) -> list[Finding]:
    """Public checkpoints; where a row brings its own and they are not there, the row is not run."""
    found = []
    for wanted in reading.weights:
        if (card := WEIGHTS.get(wanted.name)) is None:
            found.append(_unknown("checkpoint", wanted.name, WEIGHTS))
            continue
        finding = replace(check_checkpoint(root, card, foundation=wanted.foundation), read_by=wanted.read_by)
        if not wanted.needed and finding.status == "missing" and not (root / card.folder).is_dir():
            rows = readers(wanted.read_by)
            finding = replace(
                finding, status="note", detail=f"{card.size}, not there: {rows} is not run without it"
            )
        found.append(finding)
    return found


def _lists(root: Path, reading: Reading) -> list[Finding]:
    """Files that a configuration names by their path, such as the lists of excluded videos."""
    found = []
    for wanted in reading.lists:
        there = (root / wanted.name).exists()
        lost: Status = "missing" if wanted.needed else "note"
        found.append(
            Finding(
                kind="list",
                name=wanted.name,
                status="present" if there else lost,
                detail="there" if there else "not there",
                next="" if there else "put it there, or take it out of the configuration that names it",
                read_by=wanted.read_by,
            )
        )
    return found


def _artefacts(root: Path, work: Iterable[Work], reading: Reading, paper: str) -> list[Finding]:
    """Models of other papers that this one reads: DVC trains them first."""
    found = []
    for one in (each for each in work if each.stage in reading.artefacts):
        seeds = one.config.get("seeds") or (0,)
        made = [len(list((root / out).rglob("model.safetensors"))) for out in one.stage.outs]
        wanted = len(seeds) if one.stage.variant else 1
        there = bool(made) and min(made) >= wanted
        found.append(
            Finding(
                kind="artefact",
                name=readers((one.stage.address,)),
                status="present" if there else "note",
                detail=f"{max(made, default=0)} of {wanted} models there"
                + ("" if there else f"; `dvc repro projects/{paper}` trains it first"),
                next="" if there else f"dvc repro {one.stage.address}",
            )
        )
    return found


def _without_source(reading: Reading) -> Reading:
    """What is read when the bank is made: its source and lists only when its code or configuration
    changes."""
    assert reading.bank is not None
    lists = tuple(one for one in reading.lists if one.read_by != reading.bank.read_by)
    return replace(reading, bank=None, lists=lists)


def _row(wanted: Wanted, why: str) -> Finding:
    return Finding(kind="row", name=readers(wanted.read_by), status="note", detail=f"not run: {why}")


def _listed(root: Path, content: Mapping[str, Any], reading: Reading, *, profile: str) -> list[Finding]:
    """What paper.yaml names beside what the stages read."""
    read_too = {one.name for one in (*reading.sets, *reading.weights)}
    found: list[Finding] = []
    for name in _names(content, "data", profile):
        if (card := DATA.get(name)) is None:
            found.append(_unknown("data set", name, DATA))
        elif name not in read_too:
            found.append(_unread(check_card(root, card, splits=tuple(card.counts)[:1] or ("test",))))
    for name in _names(content, "checkpoints", profile):
        if (weights := WEIGHTS.get(name)) is None:
            found.append(_unknown("checkpoint", name, WEIGHTS))
        elif name not in read_too:
            found.append(_unread(check_checkpoint(root, weights)))
    return found


def _unread(made: Finding) -> Finding:
    status: Status = "present" if made.status == "present" else "note"
    return replace(made, status=status, detail=f"{made.detail}; no stage reads it")


def _names(content: Mapping[str, Any], key: str, profile: str) -> list[str]:
    """The names under `key`, groups written out; a bare list is for the paper profile."""
    given = content.get(key) or {}
    if isinstance(given, Mapping):
        given = given.get(profile) or []
    elif profile != "paper":
        given = []
    return list(dict.fromkeys(name for each in map(str, given) for name in GROUPS.get(each, (each,))))


def _unknown(kind: Kind, name: str, known: Mapping[str, object]) -> Finding:
    near = difflib.get_close_matches(name, list(known), n=1)
    detail = "no card of that name" + (f"; did you mean {near[0]}?" if near else "")
    return Finding(kind=kind, name=name, status="wrong", detail=detail, next="correct it, or write its card")


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

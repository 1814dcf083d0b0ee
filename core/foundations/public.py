"""Foundations on disk: what `shared_data/foundations/<profile>/<name>/record.json` says stands for a name.

They are weights trained here (the record lies beside them) or a public checkpoint that a person put under
`shared_data/raw/checkpoints/<name>`: then the record points there, and says what was verified.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from core.data.card import CheckpointCard
from core.data.cards import CHECKPOINTS
from core.run.files import write_json
from core.train.weight_files import is_stub

RECORD = "record.json"
REVISION = "revision.txt"  # one line, for downloads that did not keep the revision themselves
_HUB = ".cache/huggingface/download"  # where `hf download --local-dir` notes revision and checksum of a file


class FoundationError(ValueError):
    """A checkpoint is not what its card says, or a record cannot be read."""


class FoundationMissingError(FileNotFoundError):
    """No foundation, or no checkpoint, where one was looked for."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What stands for a foundation. `path`: the folder in the layout of the Hub, from the repository's root;
    `sha256`: of each file in it; `revision`: the Hub's commit, or the fingerprint of the run that trained it.
    """

    name: str
    revision: str
    licence: str
    sha256: Mapping[str, str]
    path: str


def card_of(name: str) -> CheckpointCard:
    """The card of a public checkpoint. Raises FoundationError, with the nearest name, where there is none."""
    if name not in CHECKPOINTS:
        near = difflib.get_close_matches(name, CHECKPOINTS, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise FoundationError(f"no card of a checkpoint {name!r} in core/data/cards.py{hint}")
    return CHECKPOINTS[name]


def resolve(
    folder: Path, card: CheckpointCard, *, root: Path, sha256: Mapping[str, str] | None = None
) -> Record:
    """Verify a public checkpoint and write `folder`/record.json, which from then on points to it.

    The revision must be the card's: by the notes that `hf download --local-dir` leaves, else by a line in
    revision.txt. Checksums in those notes, and those of `sha256` (file -> hex), must hold.
    Raises FoundationMissingError for absent files, FoundationError for stubs, another revision or checksum.
    """
    source = root / card.folder
    places = {
        names: next((n for n in names.split("|") if (source / n).is_file()), None) for names in card.files
    }
    if lost := [names.replace("|", " or ") for names, place in places.items() if place is None]:
        raise FoundationMissingError(
            f"{card.name}: {', '.join(lost)} not in {source} (licence: {card.licence}); {card.command}"
        )
    files = sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith("."))
    if stubs := [path.name for path in files if is_stub(path)]:
        raise FoundationError(
            f"{card.name}: empty, or a Git LFS pointer instead of its content: {', '.join(stubs)}; "
            f"{card.command}"
        )
    notes = {path.name: _note(source, path.name) for path in files}
    _check_revision(source, card, {name: note[0] for name, note in notes.items() if note})
    found = {path.name: _sha256(path) for path in files if path.name != REVISION}
    wanted = {name: note[1] for name, note in notes.items() if note and re.fullmatch("[0-9a-f]{64}", note[1])}
    for name, digest in (wanted | dict(sha256 or {})).items():
        if found.get(name) != digest:
            raise FoundationError(
                f"{card.name}: {source / name} has SHA-256 {found.get(name, 'none (no such file)')}, "
                f"the publisher's is {digest}; fetch it again: {card.command}"
            )
    record = Record(
        name=card.name,
        revision=card.revision,
        licence=card.licence,
        sha256=found,
        path=source.relative_to(root).as_posix(),
    )
    write_json(folder / RECORD, asdict(record))
    return record


def record_trained(folder: Path, *, root: Path, name: str, revision: str, licence: str) -> Record:
    """Write record.json of weights that were trained here and lie in `folder`, with their checksums."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    record = Record(
        name=name,
        revision=revision,
        licence=licence,
        sha256={path.name: _sha256(path) for path in files if path.name != RECORD},
        path=folder.relative_to(root).as_posix(),
    )
    write_json(folder / RECORD, asdict(record))
    return record


def share_trained(root: Path, profile: str, name: str, *, of: str) -> Record:
    """Let a profile use the weights that were trained for the profile `of`. Raises as `check_whole`."""
    check_whole(root, of, name)
    record = read_record(root, of, name)
    write_json(_place(root, profile, name) / RECORD, asdict(record))
    return record


def read_record(root: Path, profile: str, name: str) -> Record:
    """The record of a foundation (`name`: tagger, listener, language_model, text_tower).

    Raises FoundationMissingError where its stage has not run, FoundationError for a damaged record.
    """
    place = _place(root, profile, name) / RECORD
    if not place.is_file():
        raise FoundationMissingError(
            f"{place} is missing: run `python -m shared_data.{name} --profile {profile}`, or `dvc repro` of "
            "the stage that needs it"
        )
    try:
        return Record(**json.loads(place.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, TypeError) as error:
        raise FoundationError(
            f"{place} is no record ({error}): delete its folder and run shared_data.{name}"
        ) from error


def is_trained(root: Path, profile: str, name: str) -> bool:
    """Whether weights that were trained here, for this profile, stand for `name`. Raises FoundationError."""
    place = _place(root, profile, name)
    return (place / RECORD).is_file() and root / read_record(root, profile, name).path == place


def check_whole(root: Path, profile: str, name: str) -> None:
    """Raise FoundationError where weights trained here are not the files that their record names."""
    record = read_record(root, profile, name)
    folder = root / record.path
    wrong = [
        file
        for file, digest in record.sha256.items()
        if not (folder / file).is_file() or _sha256(folder / file) != digest
    ]
    if wrong:
        raise FoundationError(
            f"{folder}: gone or not as trained: {', '.join(wrong)}; "
            f"bring the committed files back (`git checkout -- {folder.relative_to(root)}`), or delete the "
            "folder and train it again (`nox -s foundations`)"
        )


def foundation_path(root: Path, profile: str, name: str) -> Path:
    """The folder, in the layout of the Hub, of the weights that stand for `name` in this profile.

    Raises as `read_record` and `check_whole`, and FoundationMissingError where the folder has no config.json.
    """
    record = read_record(root, profile, name)
    folder = root / record.path
    if folder.parent.parent == _place(root, profile, name).parent.parent:
        check_whole(root, profile, name)
    if not (folder / "config.json").is_file():
        raise FoundationMissingError(
            f"{folder}: no config.json, though the record of {name} ({profile}) points to {record.name} "
            f"there; put the checkpoint back, or run `python -m shared_data.{name} --profile {profile}` again"
        )
    return folder


def _place(root: Path, profile: str, name: str) -> Path:
    return root / "shared_data" / "foundations" / profile / name


def _check_revision(source: Path, card: CheckpointCard, noted: Mapping[str, str]) -> None:
    by_hand = source / REVISION
    if not noted and by_hand.is_file():
        noted = {REVISION: by_hand.read_text(encoding="utf-8").strip()}
    if not noted:
        raise FoundationError(
            f"{card.name}: nothing in {source} tells its revision; fetch it with `{card.command}`, or check "
            f"that it is {card.revision} and write that into {by_hand}"
        )
    if other := {name: revision for name, revision in noted.items() if revision != card.revision}:
        name, revision = next(iter(other.items()))
        raise FoundationError(
            f"{card.name}: {source / name} is of revision {revision}, the card's is {card.revision}; "
            f"{card.command}"
        )


def _note(source: Path, name: str) -> tuple[str, str] | None:
    """(revision, checksum) of a file as `hf download --local-dir` noted them: lines one and two."""
    place = source / _HUB / f"{name}.metadata"
    if not place.is_file():
        return None
    lines = place.read_text(encoding="utf-8").splitlines()
    return (lines[0].strip(), lines[1].strip()) if len(lines) > 1 else None


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

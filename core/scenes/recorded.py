"""The recorded bank: real recordings out of ordinary Debian packages, fetched and unpacked without root.

`python -m core.scenes.recorded fetch` downloads what the lists in shared_data/recorded name into
shared_data/raw/debian and keeps the listed clips below `unpacked/<package>/`; `... check` opens every one.
The lists: packages.csv (version, file, SHA-256, licence), clips.csv (file, label, group, licence, split) and
labels.csv (domain, instrument, phrases). A path may lead through a container (`.../0snd.pk3/sound/x.ogg`).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.audio.files import AudioError
from core.audio.read import read_audio
from core.scenes.archives import unpack_containers, unpack_deb
from core.scenes.bank import LONGEST, Bank, BankError, Clip, prepare_clip, trim_silence
from core.scenes.unpacking import ArchiveError

ROOT = Path(__file__).resolve().parents[2]
LISTS, RAW = ROOT / "shared_data" / "recorded", ROOT / "shared_data" / "raw" / "debian"
FETCH = "python -m core.scenes.recorded fetch"


class RecordedError(BankError):
    """The lists of the recorded bank are wrong, or clips that they name cannot be used."""


class PackageMissingError(FileNotFoundError):
    """A package is neither here nor to be had."""


class ChecksumError(RecordedError):
    """A downloaded file is not the one the list means."""


@dataclass(frozen=True)
class Package:
    """A Debian package that holds recordings."""

    package: str
    version: str
    deb: str
    sha256: str
    license: str


@dataclass(frozen=True)
class Recording:
    """One listed file inside a package."""

    package: str
    path: str
    label: str
    group: str
    license: str
    split: str

    @property
    def id(self) -> str:
        """Package and path, unique in the list."""
        return f"{self.package}/{self.path}"


@dataclass(frozen=True)
class Label:
    """A class of the recorded bank."""

    label: str
    domain: str
    instrument: str
    phrases: str  # separated by |


def read_packages(lists: Path = LISTS) -> tuple[Package, ...]:
    """The packages of packages.csv. Raises RecordedError."""
    return tuple(Package(**row) for row in _rows(lists / "packages.csv", Package, unique=("package",)))


def read_recordings(lists: Path = LISTS) -> tuple[Recording, ...]:
    """The clips of clips.csv, each package and label of which must be listed too. Raises RecordedError."""
    found = tuple(
        Recording(**row) for row in _rows(lists / "clips.csv", Recording, unique=("package", "path"))
    )
    for what, known in (
        ("package", {p.package for p in read_packages(lists)}),
        ("label", set(read_labels(lists))),
    ):
        if strange := sorted({getattr(r, what) for r in found} - known):
            raise RecordedError(
                f"{lists / 'clips.csv'}: no {what}s.csv row for {strange}; add it or mend the name"
            )
    return found


def read_labels(lists: Path = LISTS) -> dict[str, Label]:
    """The classes of labels.csv by name. Raises RecordedError."""
    return {row["label"]: Label(**row) for row in _rows(lists / "labels.csv", Label, unique=("label",))}


def fetch(*, raw: Path = RAW, lists: Path = LISTS) -> None:
    """Download, verify and unpack what is not there yet, and say each licence. Safe to interrupt and repeat.

    Raises PackageMissingError, ChecksumError or ArchiveError for the first package that fails.
    """
    recordings = read_recordings(lists)
    for package in read_packages(lists):
        wanted = [r.path for r in recordings if r.package == package.package]
        home = raw / "unpacked" / package.package
        missing = [path for path in wanted if not (home / path).is_file()]
        state = (
            f"{len(wanted)} clips there"
            if not missing
            else f"{len(missing)} of {len(wanted)} clips to unpack"
        )
        print(f"{package.package} {package.version}: {state}. Licence: {package.license}", flush=True)
        if missing:
            deb = _download(package, raw)
            verify(deb, package)
            _unpack(deb, home, wanted)
    print(f"licence texts: {raw / 'unpacked'}/<package>/copyright; clip by clip: {lists / 'clips.csv'}")


def verify(deb: Path, package: Package) -> None:
    """Raise ChecksumError unless `deb` is the file that packages.csv means."""
    digest = hashlib.sha256(deb.read_bytes()).hexdigest()
    if digest != package.sha256:
        raise ChecksumError(
            f"{deb}: SHA-256 is {digest}, packages.csv says {package.sha256}. The file is damaged or another "
            f"version: delete it and run `{FETCH}` again"
        )


def check(*, raw: Path = RAW, lists: Path = LISTS) -> tuple[str, ...]:
    """Open every listed clip; one line per problem: missing, unreadable, silent, group in two splits."""
    recordings = read_recordings(lists)
    problems = []
    for recording in recordings:
        try:
            prepare_clip(read_recording(recording, sample_rate=16000, raw=raw), sample_rate=16000)
        except (BankError, FileNotFoundError) as error:
            problems.append(str(error))
    home: dict[str, str] = {}
    for recording in recordings:
        if home.setdefault(recording.group, recording.split) != recording.split:
            problems.append(
                f"{recording.id}: group {recording.group} is also in split {home[recording.group]}"
            )
    return tuple(problems)


def read_recording(recording: Recording, *, sample_rate: int, raw: Path = RAW) -> np.ndarray:
    """Read one clip as float32 (samples,) at `sample_rate`; channels are averaged.

    Raises PackageMissingError when it was not fetched, RecordedError when it does not decode.
    """
    path = raw / "unpacked" / recording.package / recording.path
    if not path.is_file():
        raise PackageMissingError(f"{recording.id}: not in {raw}; run `{FETCH}`")
    try:
        return read_audio(path, sample_rate=sample_rate, name=recording.id)[0]
    except AudioError as error:
        raise RecordedError(f"{error}; if {path} was changed, delete it and run `{FETCH}`") from error


def load_recorded(
    *, sample_rate: int, segments: int = 3, min_train: int = 1, raw: Path = RAW, lists: Path = LISTS
) -> Bank:
    """The recorded bank from fetched packages.

    segments: a recording longer than a clip gives up to this many clips of 2.5 s, all of its group.
    min_train: only classes with at least so many training recordings and at least one for testing are kept.
    Raises PackageMissingError when clips were not fetched, RecordedError naming and counting unusable ones.
    """
    labels, recordings = read_labels(lists), read_recordings(lists)
    train = Counter(r.label for r in recordings if r.split == "train")
    tested = {r.label for r in recordings if r.split == "test"}
    recordings = tuple(r for r in recordings if train[r.label] >= max(1, min_train) and r.label in tested)
    absent = [r for r in recordings if not (raw / "unpacked" / r.package / r.path).is_file()]
    if absent:
        packages = ", ".join(sorted({r.package for r in absent}))
        raise PackageMissingError(
            f"{len(absent)} of {len(recordings)} recordings are not in {raw} (packages {packages}). "
            f"Run `{FETCH}`; it shows the licences"
        )
    clips, waveforms, bad = [], [], []
    for recording in recordings:
        label = labels[recording.label]
        try:
            sound = read_recording(recording, sample_rate=sample_rate, raw=raw)
            parts = cut(sound, sample_rate=sample_rate, most=segments)
        except BankError as error:
            bad.append(str(error) if recording.id in str(error) else f"{recording.id}: {error}")
            continue
        for number, part in enumerate(parts):
            waveforms.append(part)
            clips.append(
                Clip(
                    id=f"{recording.id}#{number}",
                    label=label.label,
                    phrases=tuple(label.phrases.split("|")),
                    domain=label.domain,
                    instrument=label.instrument or None,
                    source=recording.package,
                    group=recording.group,
                    license=recording.license,
                    split=recording.split,
                )
            )
    if bad:
        raise RecordedError(
            "\n  ".join([f"{len(bad)} of {len(recordings)} recordings cannot be used:", *bad])
        )
    return Bank(tuple(clips), tuple(waveforms), sample_rate)


def cut(sound: np.ndarray, *, sample_rate: int, most: int) -> list[np.ndarray]:
    """Cut a recording (samples,) into at most `most` clips of 2.5 s; a rest under 1 s or 12 dB down is left.

    Raises SilentClipError when nothing is to be heard.
    """
    first = prepare_clip(sound, sample_rate=sample_rate)
    body = trim_silence(sound - sound.mean(), sample_rate=sample_rate)
    length = round(LONGEST * sample_rate)
    pieces = [body[at : at + length] for at in range(0, len(body), length)][:most]
    level = max(float(piece.std()) for piece in pieces)
    rest = [p for p in pieces[1:] if len(p) >= sample_rate and float(p.std()) > 0.25 * level]
    return [first, *(prepare_clip(piece, sample_rate=sample_rate) for piece in rest)]


def _download(package: Package, raw: Path) -> Path:
    """The package file, downloaded when it is not in `raw` yet."""
    deb = raw / package.deb
    if deb.is_file():
        return deb
    raw.mkdir(parents=True, exist_ok=True)
    by_hand = f"or get {package.deb} elsewhere, put it into {raw} and run `{FETCH}` again"
    tool = shutil.which("apt-get")
    if tool is None:
        raise PackageMissingError(
            f"{package.package} {package.version}: there is no apt-get here. Run this on Debian 12 {by_hand}"
        )
    command = [tool, "download", f"{package.package}={package.version}"]
    done = subprocess.run(command, cwd=raw, capture_output=True, text=True, check=False)
    # A version with an epoch is stored under an escaped name.
    for name in raw.glob(f"{package.package}_*.deb"):
        if not deb.is_file() and name.name.replace("%3a", ":") == package.deb:
            os.replace(name, deb)
    if done.returncode != 0 or not deb.is_file():
        reason = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise PackageMissingError(
            f"{package.package} {package.version}: `{' '.join(command[1:])}` failed ({reason}). "
            f"Update the package lists (apt-get update) and try again, {by_hand}"
        )
    return deb


def _unpack(deb: Path, home: Path, wanted: list[str]) -> None:
    """Unpack a package beside `home`, then keep the wanted files and the copyright text in it."""
    part = home.with_name(home.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    unpack_deb(deb, part)
    unpack_containers(part)
    if lost := [path for path in wanted if not (part / path).is_file()]:
        shutil.rmtree(part, ignore_errors=True)
        raise ArchiveError(
            f"{deb}: {len(lost)} listed clips are not inside, such as {lost[0]}; mend clips.csv"
        )
    for path in wanted:
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(part / path, home / path)
    for text in part.glob("usr/share/doc/*/copyright"):
        if not text.is_symlink():
            os.replace(text, home / "copyright")
    shutil.rmtree(part)


def _rows(path: Path, schema: type, *, unique: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a list with exactly the schema's columns, unique in the given ones."""
    columns = list(schema.__dataclass_fields__)  # type: ignore[attr-defined]
    if not path.is_file():
        raise RecordedError(f"{path}: missing; it belongs to the repository (git checkout brings it back)")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    if absent := [name for name in columns if name not in (reader.fieldnames or [])]:
        raise RecordedError(f"{path}: no column {absent}; the header must have {columns}")
    if short := [number for number, row in enumerate(rows, start=2) if None in row.values() or None in row]:
        raise RecordedError(f"{path}: line {short[0]} has not one value per column")
    counts = Counter(tuple(row[name] for name in unique) for row in rows)
    if twice := ["/".join(key) for key, count in counts.items() if count > 1]:
        raise RecordedError(f"{path}: listed more than once: {', '.join(twice[:5])}; keep one row of each")
    return [{name: row[name] for name in columns} for row in rows]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m core.scenes.recorded", description=__doc__.splitlines()[0]
    )
    parser.add_argument("command", choices=("fetch", "check"))
    parser.add_argument("--raw", type=Path, default=RAW, help="where packages and unpacked clips are kept")
    options = parser.parse_args(arguments)
    try:
        if options.command == "fetch":
            fetch(raw=options.raw)
        problems = check(raw=options.raw)
    except (RecordedError, PackageMissingError, ArchiveError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        where = error.filename or options.raw
        print(
            f"error: cannot write {where} ({error.strerror or error}): free some space or make the folder "
            "writable, then run the same command again; what was unpacked is kept",
            file=sys.stderr,
        )
        return 1
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    recordings = read_recordings()
    print(f"{len(recordings) - len(problems)} of {len(recordings)} recordings open, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())

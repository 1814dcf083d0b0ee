"""Names in official lists and on the disk: one file may be spelt in several ways, and no name may lead out.

Archives unpacked on a Mac decompose letters, lists lose or keep a leading blank, lists made on Windows have
backslashes. A name is tried as it stands first. Names that lead out of the official folder are refused.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from core.data.schema import DatasetError


def plain_name(name: str) -> str:
    """A file's name for ids and comparisons: composed letters (NFC), without blanks around it."""
    return unicodedata.normalize("NFC", name).strip()


def below(folder: Path, name: str) -> Path:
    """A path of an official list inside `folder`, whatever it begins with ("./", "/", "../", "C:\\")."""
    parts = PurePosixPath(re.sub(r"^[A-Za-z]:(?=[\\/])", "", name).replace("\\", "/")).parts
    return folder.joinpath(*(part for part in parts if part not in ("..", "/", "//")))


class Finder:
    """Looks for files below `root`, the official folder, and remembers what its folders hold."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.abspath(root)
        self._folders: dict[Path, dict[str, list[str]]] = {}

    def find(self, paths: Sequence[Path]) -> Path | None:
        """The first of `paths` that is a file; where none is, the one file that is only spelt otherwise.

        Raises DatasetError for a path that leads out of the folder.
        """
        paths = [*paths, *(Path(str(p).replace("\\", "/")) for p in paths if "\\" in str(p))]
        for path in paths:
            self._check(path)
            if os.path.isfile(path):  # also of names that are too long for a disk
                return path
        for path in paths:
            alike = self._names(path.parent).get(_key(path.name), [])
            if len(alike) == 1 and os.path.isfile(path.parent / alike[0]):
                return path.parent / alike[0]
        return None

    def _check(self, path: Path) -> None:
        whole = os.path.abspath(path)
        if whole != self._root and not whole.startswith(self._root.rstrip(os.sep) + os.sep):
            raise DatasetError(
                f"the list names {str(path)!r}, which is not inside {self._root}: take the official file"
            )

    def _names(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._folders:
            found: dict[str, list[str]] = {}
            if os.path.isdir(folder):
                for name in os.listdir(folder):
                    found.setdefault(_key(name), []).append(name)
            self._folders[folder] = found
        return self._folders[folder]


def video_stems(video: str, start: float, end: float, *, alone: bool) -> list[str]:
    """How packs name a piece of a YouTube video, best first. alone: no other piece of it is in the split."""
    spans = [
        f"{start:g}",
        f"{round(1000 * start)}",
        f"{round(start):06d}",
        f"{start:.3f}_{end:.3f}",
        f"{start:g}_{end:g}",
        f"{round(1000 * start)}_{round(1000 * end)}",
    ]
    stems = [f"{video}_{span}" for span in spans] + ([video] if alone else [])
    return list(dict.fromkeys([*stems, *(f"Y{stem}" for stem in stems)]))


def _key(name: str) -> str:
    stem, dot, suffix = plain_name(name).rpartition(".")
    return f"{stem}{dot}{suffix.lower()}"

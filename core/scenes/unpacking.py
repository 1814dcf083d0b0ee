"""Writing what a container holds, safely: inside one folder, no devices, and no more than a limit.

`tarfile`'s own filters exist from Python 3.11.4 on and limit no sizes. A checksum says which file came, not
that it is harmless.
"""

from __future__ import annotations

import errno
import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

MAX_BYTES = 2 << 30  # all that one package unpacks to; the largest listed one has 0.2 GiB
MAX_MEMBERS = 100_000
BLOCK = 1 << 20


class ArchiveError(ValueError):
    """A container is damaged, hostile, or not of the format its name says."""


class Room:
    """What a container may still unpack to; raises ArchiveError where it takes more."""

    def __init__(self, name: Path | str) -> None:
        self._name = name
        self._bytes, self._members = MAX_BYTES, MAX_MEMBERS

    @property
    def left(self) -> int:
        """Bytes."""
        return self._bytes

    def take(self, size: int, *, members: int = 0) -> None:
        """Count `size` bytes and so many members."""
        self._bytes -= size
        self._members -= members
        if self._bytes < 0 or self._members < 0:
            raise ArchiveError(
                f"{self._name}: unpacks to more than {MAX_BYTES >> 20} MiB or {MAX_MEMBERS} files: it is "
                "damaged, or made to fill the disk; delete it and fetch it elsewhere"
            )


def member_path(folder: Path, name: str) -> Path:
    """Where a member goes. Raises ArchiveError for a name, or a link on the way, that leaves the folder."""
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or not parts.name or "\0" in name:
        raise ArchiveError(f"member {name!r} would be written outside {folder}")
    path = folder / parts
    _require_inside(folder, path.parent, name)
    return path


def write_member(folder: Path, name: str, data: bytes, room: Room) -> None:
    """Write one member. Raises ArchiveError."""
    room.take(len(data), members=1)
    path = member_path(folder, name)
    with _open_new(path, name) as file:
        file.write(data)


def extract_tar(tar: tarfile.TarFile, folder: Path, room: Room) -> None:
    """Write the files, folders and links of a tar; owners, modes and times are left out.

    Raises ArchiveError for names and links that lead out of the folder, devices, and too much of anything.
    """
    for entry in tar:
        room.take(0, members=1)
        name = entry.name.rstrip("/")
        if name in ("", "."):
            continue
        path = member_path(folder, name)
        if entry.isdir():
            _make(path, name)
        elif entry.isreg():
            room.take(entry.size)
            source = tar.extractfile(entry)
            assert source is not None
            with _open_new(path, name) as file, source:
                shutil.copyfileobj(source, file, BLOCK)
        elif entry.issym():
            _make(path.parent, name)
            _require_inside(folder, path.parent / entry.linkname, f"{name} -> {entry.linkname}")
            path.unlink(missing_ok=True)
            path.symlink_to(entry.linkname)
        elif entry.islnk():
            source_path = member_path(folder, entry.linkname)
            _require_inside(folder, source_path, f"{name} = {entry.linkname}")
            if not source_path.is_file():
                raise ArchiveError(f"member {name!r} is a link to {entry.linkname!r}, which is not there")
            room.take(source_path.stat().st_size)
            with _open_new(path, name) as file, source_path.open("rb") as source:
                shutil.copyfileobj(source, file, BLOCK)
        else:
            raise ArchiveError(f"member {name!r} is a device or a pipe, which no recording is")
    for path in folder.rglob("*"):  # a link may have been made before what it leads through
        if path.is_symlink():
            _require_inside(folder, path, path.name)


def _open_new(path: Path, name: str) -> IO[bytes]:
    """A new file, also where a link of that name is: it must not be written through."""
    _make(path.parent, name)
    try:
        if path.is_symlink():
            path.unlink()
        return path.open("wb")
    except IsADirectoryError as error:
        raise ArchiveError(f"member {name!r} is a file and a folder at once: damaged") from error
    except OSError as error:
        raise _unless_disk(error, name) from error


def _make(folder: Path, name: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ArchiveError(f"member {name!r} is below a file: damaged") from error
    except OSError as error:
        raise _unless_disk(error, name) from error


def _unless_disk(error: OSError, name: str) -> Exception:
    """The archive's fault where it is the name; a full disk and the like stay what they are."""
    if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
        return error
    return ArchiveError(f"member {name[:80]!r} cannot be written ({error.strerror})")


def _require_inside(folder: Path, path: Path, name: str) -> None:
    home, real = os.path.realpath(folder), os.path.realpath(path)
    if real != home and not real.startswith(home.rstrip(os.sep) + os.sep):
        raise ArchiveError(f"member {name!r} would be written outside {folder}")

"""Opening the containers that packages keep recordings in: .deb, OpenTTD .cat, Quake .pk3 and Qt .rcc.

Each `unpack_*` writes the files below a folder; the inner ones return their relative paths. Formats: deb(5);
OpenTTD's sound container (`src/sound.cpp`); zip; Qt's resource format (rcc, versions 1 to 3).
"""

from __future__ import annotations

import gzip
import io
import lzma
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath


class ArchiveError(ValueError):
    """A container is damaged, or not of the format its name says."""


def unpack_deb(deb: Path, folder: Path) -> None:
    """Unpack the data of a Debian package into `folder`, by `dpkg-deb` where there is one, else in Python."""
    folder.mkdir(parents=True, exist_ok=True)
    if tool := shutil.which("dpkg-deb"):
        done = subprocess.run(
            [tool, "-x", str(deb), str(folder)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ArchiveError(
                f"{deb}: not a readable package ({_last(done.stderr)}); delete it and fetch again"
            )
        return
    for name, data in _ar_members(deb):
        if not name.startswith("data.tar"):
            continue
        try:
            with tarfile.open(fileobj=io.BytesIO(_plain_tar(name, data))) as tar:
                _unpack_tar(tar, folder)
        except (tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError) as error:
            raise ArchiveError(
                f"{deb}: {name} does not unpack ({error}); delete it and fetch again"
            ) from error
        return
    raise ArchiveError(f"{deb}: holds no data.tar, so it is not a Debian package; delete it and fetch again")


def _unpack_tar(tar: tarfile.TarFile, folder: Path) -> None:
    """Write the files of a tar, a link to one of them as a copy. (Python 3.11.0 has no `filter="data"`.)"""
    for member in tar:
        try:
            source = tar.extractfile(member)
        except KeyError:  # a link to what is in another package
            continue
        if source is not None:
            _write(folder, member.name, source.read())


def unpack_containers(folder: Path) -> list[str]:
    """Replace every .cat, .pk3 and .rcc below `folder` by a folder of the same name with its content.

    Returns the containers, relative to `folder`. A `.cat` that is no sound container is left as it is.
    """
    openers: dict[str, Callable[[Path, Path], list[str]]] = {
        ".cat": unpack_cat,
        ".pk3": unpack_pk3,
        ".rcc": unpack_rcc,
    }
    opened = []
    for path in sorted(folder.rglob("*")):
        opener = openers.get(path.suffix)
        if opener is None or not path.is_file() or path.is_symlink():
            continue
        inside = path.with_name(path.name + ".part")
        opener(path, inside)
        path.unlink()
        inside.rename(path)
        opened.append(path.relative_to(folder).as_posix())
    return opened


def unpack_cat(cat: Path, folder: Path) -> list[str]:
    """OpenTTD sound set: entry i becomes `<ii>.wav`; `titles.txt` keeps the titles (author and licence).

    The file starts with little-endian (offset, size) pairs, the first offset telling their number (bit 31
    is a flag). An entry is a byte with the length of its title, the title, and a RIFF file of `size` bytes.
    """
    data = cat.read_bytes()
    if len(data) < 8:
        raise ArchiveError(f"{cat}: {len(data)} bytes is too short for a sound container")
    count = (struct.unpack_from("<I", data)[0] & 0x7FFFFFFF) // 8
    if count == 0 or count * 8 > len(data):
        raise ArchiveError(
            f"{cat}: its table would hold {count} entries in {len(data)} bytes: not a sound container"
        )
    names, titles = [], []
    for index in range(count):
        offset, size = struct.unpack_from("<II", data, index * 8)
        offset &= 0x7FFFFFFF
        start = offset + 1 + (data[offset] if offset < len(data) else 0)
        if start + size > len(data):
            raise ArchiveError(f"{cat}: entry {index} ends at byte {start + size} of {len(data)}: truncated")
        if data[start : start + 4] != b"RIFF":
            raise ArchiveError(f"{cat}: entry {index} is not a RIFF file")
        name = f"{index:02d}.wav"
        _write(folder, name, data[start : start + size])
        titles.append(data[offset + 1 : start].rstrip(b"\0").decode("utf-8", "replace"))
        names.append(name)
    _write(folder, "titles.txt", "\n".join(f"{n}\t{t}" for n, t in zip(names, titles)).encode() + b"\n")
    return names


def unpack_pk3(pk3: Path, folder: Path) -> list[str]:
    """A Quake-style package: a zip under another name."""
    try:
        with zipfile.ZipFile(pk3) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            for name in names:
                _write(folder, name, archive.read(name))
    except (zipfile.BadZipFile, zlib.error) as error:
        raise ArchiveError(f"{pk3}: not a readable zip ({error})") from error
    return names


def unpack_rcc(rcc: Path, folder: Path) -> list[str]:
    """A compiled Qt resource file: a tree of nodes, UTF-16 names, and plain, zlib or zstd blobs."""
    data = rcc.read_bytes()
    if data[:4] != b"qres":
        raise ArchiveError(f"{rcc}: does not start with 'qres': not a Qt resource file")
    found: list[str] = []
    try:
        version, tree, blobs, names = struct.unpack_from(">4I", data, 4)
        if version not in (1, 2, 3):
            raise ArchiveError(f"{rcc}: resource format {version} is not known here (1 to 3 are)")
        node_size = 14 if version == 1 else 22  # from 2 on each node ends with a time stamp

        def walk(node: int, prefix: str) -> None:
            at = tree + node * node_size
            name_at, flags = struct.unpack_from(">IH", data, at)
            length = struct.unpack_from(">H", data, names + name_at)[0] if node else 0
            name = data[names + name_at + 6 : names + name_at + 6 + 2 * length].decode("utf-16-be")
            path = f"{prefix}/{name}" if prefix else name
            if flags & 2:
                children, first = struct.unpack_from(">II", data, at + 6)
                for child in range(first, first + children):
                    if child <= node:  # children follow their parent; anything else would loop for ever
                        raise ArchiveError(f"{rcc}: node {node} lists {child} as its child: damaged")
                    walk(child, path)
                return
            offset = blobs + struct.unpack_from(">I", data, at + 10)[0]
            size = struct.unpack_from(">I", data, offset)[0]
            blob = data[offset + 4 : offset + 4 + size]
            if len(blob) < size:
                raise ArchiveError(f"{rcc}: {path} is cut off at the end of the file")
            if flags & 1:
                blob = zlib.decompress(blob[4:])  # qCompress puts the plain size first
            elif flags & 4:
                blob = _unzstd(blob)
            _write(folder, path, blob)
            found.append(path)

        walk(0, "")
    except (struct.error, zlib.error, UnicodeDecodeError, RecursionError) as error:
        raise ArchiveError(f"{rcc}: damaged Qt resource file ({error})") from error
    return found


def _write(folder: Path, name: str, data: bytes) -> None:
    """Write one member, refusing names that would leave the folder."""
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or not parts.name:
        raise ArchiveError(f"member {name!r} would be written outside {folder}")
    path = folder / parts
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _ar_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The members of an `ar` archive: an 8-byte magic, then 60-byte headers, data padded to even length."""
    data = path.read_bytes()
    if data[:8] != b"!<arch>\n":
        raise ArchiveError(
            f"{path}: does not start as an ar archive, so it is no Debian package; fetch it again"
        )
    at = 8
    while at + 60 <= len(data):
        name = data[at : at + 16].decode("ascii", "replace").strip().rstrip("/")
        size = data[at + 48 : at + 58].strip()
        if not size.isdigit() or at + 60 + int(size) > len(data):
            raise ArchiveError(f"{path}: member {name!r} is cut off; delete it and fetch again")
        yield name, data[at + 60 : at + 60 + int(size)]
        at += 60 + int(size) + int(size) % 2


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]


def _plain_tar(name: str, data: bytes) -> bytes:
    """The tar itself, decompressed whole: tarfile alone takes a damaged stream for the end of the archive."""
    opener = {".gz": gzip.decompress, ".xz": lzma.decompress, ".zst": _unzstd}.get(PurePosixPath(name).suffix)
    return opener(data) if opener else data


def _unzstd(data: bytes) -> bytes:
    import pyarrow as pa

    try:
        with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
            return stream.read()
    except OSError as error:
        raise ArchiveError(f"zstd data do not unpack ({error})") from error

"""Opening the containers that packages keep recordings in: .deb, OpenTTD .cat, Quake .pk3 and Qt .rcc.

Each `unpack_*` writes the files below a folder; the inner ones return their relative paths. Formats: deb(5);
OpenTTD's sound container (`src/sound.cpp`); zip; Qt's resource format (rcc, versions 1 to 3).
"""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from core.scenes.unpacking import BLOCK, MAX_BYTES, ArchiveError, Room, extract_tar, write_member


class Reads(Protocol):
    """What can be read in pieces."""

    def read(self, size: int = ..., /) -> bytes:
        """Up to `size` bytes, none at the end."""
        ...


def unpack_deb(deb: Path, folder: Path) -> None:
    """Unpack the data of a Debian package into `folder`. Raises ArchiveError."""
    folder.mkdir(parents=True, exist_ok=True)
    room = Room(deb)
    for name, data in _ar_members(deb):
        if not name.startswith("data.tar"):
            continue
        try:
            with tempfile.TemporaryFile(dir=folder) as plain:
                _decompress(name, data, plain)
                with tarfile.open(fileobj=plain) as tar:
                    extract_tar(tar, folder, room)
        except (tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError) as error:
            raise ArchiveError(
                f"{deb}: {name} does not unpack ({error}); delete it and fetch again"
            ) from error
        except ArchiveError as error:
            raise ArchiveError(f"{deb}: {error}") from error
        return
    raise ArchiveError(f"{deb}: holds no data.tar, so it is not a Debian package; delete it and fetch again")


def unpack_containers(folder: Path) -> list[str]:
    """Replace every .cat, .pk3 and .rcc below `folder` by a folder of the same name with its content.

    Returns the containers, relative to `folder`. A `.cat` that is no sound container is left as it is.
    """
    room = Room(folder)
    openers: dict[str, Callable[[Path, Path, Room], list[str]]] = {
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
        opener(path, inside, room)
        path.unlink()
        inside.rename(path)
        opened.append(path.relative_to(folder).as_posix())
    return opened


def unpack_cat(cat: Path, folder: Path, room: Room | None = None) -> list[str]:
    """OpenTTD sound set: entry i becomes `<ii>.wav`; `titles.txt` keeps the titles (author and licence).

    The file starts with little-endian (offset, size) pairs, the first offset telling their number (bit 31
    is a flag). An entry is a byte with the length of its title, the title, and a RIFF file of `size` bytes.
    """
    room = room or Room(cat)
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
        write_member(folder, name, data[start : start + size], room)
        titles.append(data[offset + 1 : start].rstrip(b"\0").decode("utf-8", "replace"))
        names.append(name)
    listed = "\n".join(f"{n}\t{t}" for n, t in zip(names, titles)).encode() + b"\n"
    write_member(folder, "titles.txt", listed, room)
    return names


def unpack_pk3(pk3: Path, folder: Path, room: Room | None = None) -> list[str]:
    """A Quake-style package: a zip under another name."""
    room = room or Room(pk3)
    try:
        with zipfile.ZipFile(pk3) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if sum(member.file_size for member in members) > room.left:
                room.take(room.left + 1)  # before any of it is unpacked
            for member in members:
                write_member(folder, member.filename, archive.read(member), room)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError) as error:
        raise ArchiveError(f"{pk3}: not a readable zip ({error})") from error
    except RuntimeError as error:  # encrypted
        raise ArchiveError(f"{pk3}: cannot be unpacked ({error})") from error
    return [member.filename for member in members]


def unpack_rcc(rcc: Path, folder: Path, room: Room | None = None) -> list[str]:
    """A compiled Qt resource file: a tree of nodes, UTF-16 names, and plain, zlib or zstd blobs."""
    room = room or Room(rcc)
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
            room.take(0, members=1)  # nodes that share children would be walked for ever
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
                blob = _inflate(blob[4:], room)  # qCompress puts the plain size first
            elif flags & 4:
                out = io.BytesIO()
                _unzstd(blob, out, room.left)
                blob = out.getvalue()
            write_member(folder, path, blob, room)
            found.append(path)

        walk(0, "")
    except (struct.error, zlib.error, UnicodeDecodeError, RecursionError) as error:
        raise ArchiveError(f"{rcc}: damaged Qt resource file ({error})") from error
    return found


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


def _decompress(name: str, data: bytes, out: IO[bytes]) -> None:
    """The tar itself, decompressed whole: tarfile alone takes a damaged stream for the end of the archive."""
    suffix = PurePosixPath(name).suffix
    if suffix == ".zst":
        _unzstd(data, out, MAX_BYTES)
    elif suffix == ".gz":
        with gzip.open(io.BytesIO(data)) as stream:
            _copy(stream, out, MAX_BYTES)
    elif suffix in (".xz", ".lzma"):
        with lzma.open(io.BytesIO(data)) as stream:
            _copy(stream, out, MAX_BYTES)
    else:
        out.write(data)
    out.seek(0)


def _inflate(data: bytes, room: Room) -> bytes:
    plain = zlib.decompressobj()
    found = plain.decompress(data, room.left + 1)
    if len(found) > room.left:
        room.take(len(found))
    if not plain.eof:
        raise zlib.error("incomplete stream")
    return found


def _unzstd(data: bytes, out: IO[bytes], most: int) -> None:
    import pyarrow as pa

    try:
        with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
            _copy(stream, out, most)
    except OSError as error:
        raise ArchiveError(f"zstd data do not unpack ({error})") from error


def _copy(stream: Reads, out: IO[bytes], most: int) -> None:
    room = Room("compressed data")
    room.take(MAX_BYTES - most)
    while block := stream.read(BLOCK):
        room.take(len(block))
        out.write(block)

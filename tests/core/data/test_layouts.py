"""The doctor's files of a data set are those without which its importer stops."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.card import Card
from core.data.cards import CARDS
from core.data.cards_exams import EXAM_CARDS
from core.data.findings import audio_counts
from core.data.layouts import SOUNDS, audio_of, audio_place, beside, files_of, items_of
from core.data.official_files import first_place
from core.data.problems import DatasetError

AUDIO = (".wav", ".flac", ".au")


def lost(folder: Path, card: Card, split: str) -> bool:
    return any(first_place(folder, file.path) is None for file in files_of(card, split))


def check_each_file(folder: Path, card: Card, split: str, read: Callable[[], object]) -> None:
    """Take out every list in turn, then all audio: the importer stops where the doctor finds a loss."""
    read()
    assert not lost(folder, card, split)
    lists = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix not in AUDIO]
    for path in lists:
        kept = path.read_bytes()
        path.unlink()
        try:
            read()
            stopped = False
        except DatasetError:
            stopped = True
        assert stopped == lost(folder, card, split), path.name
        path.write_bytes(kept)
    place = first_place(folder, audio_place(card, split))
    assert place is not None
    for path in [path for path in folder.rglob("*") if path.suffix in AUDIO]:
        path.unlink()
    with pytest.raises(DatasetError):
        read()
    counted = list(audio_counts(folder, card, (split,)))
    assert [there for _, there, _ in counted] == [0]


def test_of_the_test_split(layout) -> None:
    card = CARDS[layout.name]
    check_each_file(layout.folder, card, "test", lambda: list(layout.read(layout.folder)))


def as_training(layout) -> None:
    """Make a small official folder of the test split one of the split train."""
    folder, name = layout.folder, layout.name
    if name == "clotho":
        (folder / "evaluation").rename(folder / "development")
        layout.csv.rename(folder / "clotho_captions_development.csv")
    elif name == "nsynth":
        (folder / "nsynth-test").rename(folder / "nsynth-train")
    elif name == "clothoaqa":
        layout.csv.rename(folder / "clotho_aqa_train.csv")
    elif name == "vggsound":
        (folder / "test").rename(folder / "train")
        text = layout.csv.read_text()
        layout.csv.write_text(
            "".join(line for line in text.splitlines(True) if line.endswith("test\n")).replace(
                ",test\n", ",train\n"
            )
        )
    elif name == "fsd50k":
        (folder / "FSD50K.eval_audio").rename(folder / "FSD50K.dev_audio")
        layout.csv.unlink()
        shutil.copy(folder / "FSD50K.dev_audio" / "37199.wav", folder / "FSD50K.dev_audio" / "64760.wav")
    elif name == "audiocaps":
        lines = (folder / "test.csv").read_text().splitlines(True)
        (folder / "test.csv").unlink()
        firsts = {tuple(line.split(",")[1:3]): line for line in lines[1:]}
        (folder / "train.csv").write_text("".join([lines[0], *firsts.values()]))
        for wav in (folder / "audio").iterdir():
            if wav.stem == "57":
                wav.rename(wav.with_stem("vid_b_0"))


@pytest.mark.parametrize("name", ["clotho", "nsynth", "clothoaqa", "vggsound", "fsd50k", "audiocaps"])
def test_of_the_train_split(official, name: str) -> None:
    layout = official(name)
    as_training(layout)
    check_each_file(
        layout.folder, CARDS[name], "train", lambda: list(layout.read(layout.folder, split="train"))
    )


def test_files_beside_are_read_but_not_needed(official) -> None:
    layout = official("clotho")
    (metadata,) = [name for name in beside(CARDS["clotho"]) if "evaluation" in name]
    assert not (layout.folder / metadata).exists()
    assert layout.rows_now()[0]["clips"][0].startswith("clotho:")
    (layout.folder / metadata).write_text('file_name,sound_id\n"Rain, at night.wav",4711\n')
    assert layout.rows_now()[0]["clips"] == ["freesound:4711"]


def test_every_set_says_how_much_sound_it_holds() -> None:
    imported = {name for name, card in {**CARDS, **EXAM_CARDS}.items() if not card.manifest}
    assert imported | {"audioset_strong"} == set(SOUNDS)
    assert audio_of(CARDS["compa_order"], "test") == items_of(CARDS["compa_order"], "test") == 900
    assert (audio_of(CARDS["clothoaqa"], "test"), items_of(CARDS["clothoaqa"], "test")) == (473, 2838)
    assert sum(audio_of(CARDS["clothoaqa"], split) or 0 for split in ("train", "valid", "test")) == 1991
    assert audio_of(CARDS["openaqa"], "train") is items_of(CARDS["openaqa"], "train") is None
    assert (audio_of(EXAM_CARDS["mmau"], "test-mini"), items_of(EXAM_CARDS["mmau"], "test")) == (1000, 9000)


def test_splits_that_share_a_folder_are_counted_together(official) -> None:
    layout = official("clothoaqa")
    found = list(audio_counts(layout.folder, CARDS["clothoaqa"], ("train", "test")))
    assert found == [(["train", "test"], 3, 1174 + 473)]

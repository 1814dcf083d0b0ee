"""The stage that makes data sets: every mini one from a small bank, and official ones from their folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core.data.contamination import ContaminationError, check_contamination
from core.data.manifest import manifest_of
from core.data.parquet import read_dataset, read_info
from core.data.problems import DatasetError
from core.data.schema import SCHEMAS
from core.run import tracking
from core.run.config import load
from core.run.stage import Context
from core.run.strict_yaml import ConfigError
from core.scenes.bank import BankMissingError, write_bank
from shared_data.datasets import IMPORTERS, PLAYED, Config, datasets
from shared_data.world.music.notes import SOLOISTS
from shared_data.world.sounds.procedural import make_bank

RATE = 8000
LABELS = ["baby_cry", "baby_laugh", "woman_cry", "woman_laugh", "dog_bark", "cat_meow", "siren", "train"]
MINI = Config(n=3, seed=1)
OWN_LABELS = {  # the classes of sets that have others than the bank
    "dcase2017": {"siren", "train"},
    "vocalsound": {"crying", "laughing"},
    "tut2017": {"home", "nursery"},
    "beijing_opera": {"wood block", "cymbals", "cowbell", "hand drum"},
    "gtzan": {"classical music", "jazz", "rock", "folk", "gospel", "latin music"},
    "medley_solos": {*SOLOISTS},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a small procedural bank under the profile mini."""
    folder = tmp_path_factory.mktemp("repository")
    bank = make_bank(sample_rate=RATE, clips_per_class={"train": 2, "valid": 2, "test": 2}, labels=LABELS)
    write_bank(bank, folder / "shared_data" / "bank" / "mini")
    return folder


def context(root: Path, name: str) -> Context:
    return Context(
        paper="shared_data",
        stage="datasets",
        variant=name,
        profile="mini",
        root=root,
        tracker=tracking.off(),
        seed=0,
    )


def make(root: Path, name: str, config: Config) -> Path:
    datasets(config, context=context(root, name))
    return root / "shared_data" / "datasets" / "mini" / name


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_the_mini_version_has_the_schema_of_the_official_one(root: Path, name: str) -> None:
    folder = make(root, name, MINI)
    read = read_dataset(folder, checksums=True)
    info = read_info(folder)
    assert read.features == SCHEMAS[name]
    assert (info["name"], info["counts"]) == (name, {"test": 3})
    assert ("sound font" if name in PLAYED else "bank of profile mini") in info["source"]
    if "label" in read.column_names or "labels" in read.column_names:
        words = OWN_LABELS.get(name, {label.replace("_", " ") for label in LABELS})
        assert info["labels"] == sorted(words)
        told = [row.get("labels") or [row["label"]] for row in read]
        assert set().union(*told) <= set(info["labels"])
    again = make(root, name, MINI)
    assert read_info(again) == info  # the same bytes, by their checksums
    other = make(root, name, dataclasses.replace(MINI, seed=2))
    assert read_info(other)["sha256"] != info["sha256"]


def test_splits_share_no_clip(root: Path) -> None:
    folder = make(root, "audiocaps", dataclasses.replace(MINI, splits=("test", "train")))
    assert read_info(folder)["counts"] == {"test": 3, "train": 3}
    test, train = (
        manifest_of(read_dataset(folder, s), source_dataset="audiocaps") for s in ("test", "train")
    )
    assert check_contamination({"audiocaps": test}, {"train": train})["found"] == {}
    with pytest.raises(ContaminationError, match="3 of 3 by id"):
        check_contamination({"audiocaps": test}, {"train": test})


def test_the_split_of_training_has_a_number_and_notes_of_its_own(root: Path) -> None:
    folder = make(root, "nsynth", dataclasses.replace(MINI, splits=("test", "train"), n_train=5))
    info = read_info(folder)
    assert info["counts"] == {"test": 3, "train": 5}
    assert info["sources"] == ["acoustic", "electronic", "synthetic"]
    assert set(read_dataset(folder)["instrument"][:]) <= set(info["labels"])
    assert "GPL-2" in info["licence"]
    test, train = (
        {clip for clips in read_dataset(folder, split)["clips"][:] for clip in clips}
        for split in ("test", "train")
    )
    assert not test & train


def test_options_reach_the_data_set(root: Path) -> None:
    triplets = make(root, "compa_order", dataclasses.replace(MINI, triplet_share=1.0))
    assert all(read_dataset(triplets)["triplet_caption"][:])
    captions = make(root, "clotho", dataclasses.replace(MINI, captions=2, duration=3.0, sizes=(0.0, 1.0)))
    row = read_dataset(captions)[0]
    assert len(row["captions"]) == 2
    assert len(row["clips"]) == 2
    asked = make(root, "openaqa", dataclasses.replace(MINI, questions=1))
    assert {len(questions) for questions in read_dataset(asked)["questions"][:]} == {1}
    answered = make(root, "clothoaqa", dataclasses.replace(MINI, dissent=1.0))
    assert all(len(set(answers)) == 2 for answers in read_dataset(answered)["answers"][:])
    path = captions / "clip.flac"
    path.write_bytes(row["audio"]["bytes"])
    assert soundfile.info(path).duration == 3.0


def test_every_data_set_has_an_importer() -> None:
    assert set(IMPORTERS) == set(SCHEMAS)


def test_an_official_data_set(root: Path) -> None:
    config = Config(source="official", sample_rate=4000, allow_missing=True)
    with pytest.raises(
        DatasetError, match=r"clotho: .* is missing; `python -m core.data.doctor <paper>`.*licence"
    ):
        make(root, "clotho", config)
    raw = root / "shared_data" / "raw" / "vggsound"
    (raw / "test").mkdir(parents=True)
    (raw / "vggsound.csv").write_text("a,1,dog barking,test\nb,2,cat meowing,test\nc,3,rain,train\n")
    soundfile.write(raw / "test" / "a_000001.wav", np.linspace(-0.5, 0.5, 800), 8000)
    folder = make(root, "vggsound", config)
    info = read_info(folder)
    assert info["notes"] == {"test": {"missing": ["b_000002"]}}
    assert info["labels"] == ["cat meowing", "dog barking", "rain"]
    assert info["licence"].startswith("CC BY 4.0")
    assert read_dataset(folder)[0]["audio"]["path"] == "a_000001.flac"
    with pytest.raises(DatasetError, match="1 of 2 clips have no audio"):
        make(root, "vggsound", dataclasses.replace(config, allow_missing=False))
    assert read_info(folder) == info


def test_a_changed_official_file(root: Path) -> None:
    raw = root / "shared_data" / "raw" / "clotho"
    raw.mkdir(parents=True)
    (raw / "clotho_captions_evaluation.csv").write_text("file_name\n")
    with pytest.raises(
        DatasetError, match=r"another MD5 than the official file: .*clotho_captions_evaluation.csv"
    ):
        make(root, "clotho", Config(source="official"))


def test_what_cannot_be_made(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no data set 'audiocap'; there is compa_order"):
        make(root, "audiocap", MINI)
    with pytest.raises(DatasetError, match="n is 0; a mini data set needs the number of rows"):
        make(root, "esc50", Config())
    with pytest.raises(BankMissingError, match="no finished bank here"):
        make(tmp_path, "esc50", MINI)


def test_the_configuration_is_checked(tmp_path: Path) -> None:
    conf = tmp_path / "mini.yaml"
    conf.write_text(
        "datasets: {common: {n: 4, noise_db: [-30, -20]}, esc50: {folds: 2}, clotho: {sorce: mini}}\n"
    )
    config = load(Config, path=conf, stage="datasets", variant="esc50")
    assert (config.n, config.noise_db, config.folds) == (4, (-30.0, -20.0), 2)
    with pytest.raises(ConfigError, match="sorce: unknown key; did you mean 'source'"):
        load(Config, path=conf, stage="datasets", variant="clotho")

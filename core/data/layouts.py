"""What importers read of an official folder, split by split, and how much sound lies there.

A card names the files of the split that papers test on. The other splits have files of their own, which the
doctor asks for where a configuration imports them. A test takes each file out of a small official folder and
compares what the importer says with what the doctor says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.data.card import Card, CheckpointCard, OfficialFile

# Files of splits that the card does not speak of; where a split is not named, the card's files are read.
_FILES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "audiocaps": {
        "train": ("train.csv", "audio/|train/|audio/train/"),
        "valid": ("val.csv", "audio/|valid/|audio/valid/"),
    },
    "clotho": {
        "train": ("clotho_captions_development.csv", "development/"),
        "valid": ("clotho_captions_validation.csv", "validation/"),
    },
    "vggsound": {"train": ("vggsound.csv", "train/|audio/")},
    "fsd50k": dict.fromkeys(
        ("train", "valid"),
        ("FSD50K.ground_truth/dev.csv", "FSD50K.ground_truth/vocabulary.csv", "FSD50K.dev_audio/"),
    ),
    "dcase2017": {
        split: (
            f"groundtruth_release/groundtruth_weak_label_{part}_set.csv"
            f"|metadata/groundtruth_weak_label_{part}_set.csv|groundtruth_weak_label_{part}_set.csv",
            f"{part}/|{part}_set_formatted_audio_segments/|audio/{part}/",
        )
        for split, part in (("train", "training"), ("valid", "testing"))
    },
    "vocalsound": {
        split: (
            f"datafiles/{part}.json|data/datafiles/{part}.json|vs_release_16k/datafiles/{part}.json"
            f"|vs_release_44k/datafiles/{part}.json",
            "class_labels_indices_vs.csv|data/class_labels_indices_vs.csv"
            "|vs_release_16k/class_labels_indices_vs.csv|vs_release_44k/class_labels_indices_vs.csv",
            "audio_16k/|audio_44k/|data/audio_16k/|data/audio_44k/|vs_release_16k/audio_16k/"
            "|vs_release_44k/audio_44k/",
        )
        for split, part in (("train", "tr"), ("valid", "val"))
    },
    "tut2017": {
        "train": (
            "TUT-acoustic-scenes-2017-development/meta.txt|development/meta.txt|meta.txt",
            "TUT-acoustic-scenes-2017-development/audio/|development/audio/|audio/",
        )
    },
    "nsynth": {
        split: (
            f"nsynth-{split}/examples.json|{split}/examples.json|examples.json",
            f"nsynth-{split}/audio/|{split}/audio/|audio/",
        )
        for split in ("train", "valid")
    },
    "audioset": {
        "train": (
            "balanced_train_segments.csv",
            "class_labels_indices.csv",
            "balanced_train/|balanced_train_segments/|audio/",
        )
    },
    "clothoaqa": {
        "train": ("clotho_aqa_train.csv", "audio_files/"),
        "valid": ("clotho_aqa_val.csv", "audio_files/"),
    },
    "openaqa": {
        "train": (
            "openaqa_5.6M.json|openaqa.json|openaqa_toy.json|openaqa_toy_relative.json",
            "audio/|./",
        ),
        "test": ("openaqa_test.json", "audio/|./"),
    },
    "compa_r": {"train": ("CompA-R.json", "compa_r_train_audios/|audio/")},
    "mmau": {
        "test": (
            "mmau-test.json|MMAU/mmau-test.json|MMAU-main/mmau-test.json|test.parquet|data/",
            "test-audios/|audio/|test.parquet|data/",
        )
    },
    # the bank of segments (shared_data.world.sounds.segments); the card's manifest is for training on it
    "audioset_strong": {
        "train": ("audioset_train_strong.tsv", "mid_to_display_name.tsv", "audio/"),
    },
}
# What comes with a checkpoint and no stage opens: CompA builds Flan-T5's encoder from its own configuration.
_UNREAD: Mapping[str, tuple[str, ...]] = {"google/flan-t5-large": ("config.json",)}
# Read where they are there: provenance for the contamination check, checksums of clips.
_BESIDE: Mapping[str, tuple[str, ...]] = {
    "clotho": (
        "clotho_metadata_evaluation.csv",
        "clotho_metadata_development.csv",
        "clotho_metadata_validation.csv",
    ),
    "clothoaqa": ("clotho_aqa_metadata.csv",),
    "esc50": ("ESC-50-master/esc50_index_2.0.json|esc50_index_2.0.json",),
    "urbansound8k": ("UrbanSound8K/urbansound8k_index_1.0.json|urbansound8k_index_1.0.json",),
}


@dataclass(frozen=True, kw_only=True)
class Sound:
    """How much sound a data set holds. seconds: a file's mean; rate, channels: of the official files, 16 bit.

    files: of a split, where that is not its official count of rows (a card's `audio_files` is of test); rows:
    of a split that the card has no count of.
    """

    seconds: float
    rate: int = 44_100
    channels: int = 1
    files: Mapping[str, int] | None = None
    rows: Mapping[str, int] | None = None


# Seconds: the publishers' clip lengths, or their hours over their files (FSD50K 108.3 h / 51,197,
# UrbanSound8K 8.75 h / 8,732, VocalSound 24.4 h / 21,024, Clotho 15 to 30 s; of MMAU-Pro its archive's size).
# Audio that a person cuts out of videos is taken as 44.1 kHz mono. VGGSound's list has 199,467 rows, of them
# 15,496 test. Clips and questions of ClothoAQA: by its lists.
SOUNDS: Mapping[str, Sound] = {
    "compa_order": Sound(seconds=10),
    "compa_attribute": Sound(seconds=10),
    "audiocaps": Sound(seconds=10),
    "clotho": Sound(seconds=22.5),
    "esc50": Sound(seconds=5),
    "urbansound8k": Sound(seconds=3.6, channels=2),
    "vggsound": Sound(seconds=10, files={"train": 183_971}, rows={"train": 183_971}),
    "fsd50k": Sound(seconds=7.6),
    "dcase2017": Sound(seconds=10),
    "vocalsound": Sound(seconds=4.2, rate=16_000),
    "tut2017": Sound(seconds=10, channels=2),
    "beijing_opera": Sound(seconds=1.5),
    "nsynth": Sound(seconds=4, rate=16_000),
    "gtzan": Sound(seconds=30, rate=22_050),
    "medley_solos": Sound(seconds=3),
    "audioset": Sound(seconds=10),
    "clothoaqa": Sound(
        seconds=22.5, files={"train": 1_174, "valid": 344, "test": 473}, rows={"train": 7_043}
    ),
    "openaqa": Sound(seconds=10, rate=16_000),
    "compa_r": Sound(seconds=10),
    "mmau": Sound(seconds=10, rate=16_000),
    "mmau_pro": Sound(seconds=100),  # 47.5 GB of WAV over 5,305 questions
    "audioset_strong": Sound(seconds=10),
}


def files_of(card: Card, split: str) -> tuple[OfficialFile, ...]:
    """What the importer must find in the data set's folder for a split."""
    other = _FILES.get(card.name, {}).get(split)
    return card.files if other is None else tuple(map(OfficialFile, other))


def beside(card: Card) -> tuple[str, ...]:
    """What an importer reads as well, where it is there."""
    return _BESIDE.get(card.name, ())


def weights_of(card: CheckpointCard) -> tuple[str, ...]:
    """The files of a checkpoint that stages open, at one of the `|`-separated places each."""
    return tuple(name for name in card.files if name not in _UNREAD.get(card.name, ()))


def audio_of(card: Card, split: str) -> int | None:
    """How many audio files a split has officially; None where nobody publishes it."""
    sound = SOUNDS.get(card.name)
    if sound and sound.files and split in sound.files:
        return sound.files[split]
    if split in ("test", "test-mini") and card.audio_files is not None:
        return card.audio_files
    return rows_of(card, split)


def rows_of(card: Card, split: str) -> int | None:
    """The official rows of a split, under its own name or the one it is stored by (test-mini: testmini)."""
    return card.counts.get(split, card.counts.get(split.replace("-", "")))


def items_of(card: Card, split: str) -> int | None:
    """How many audios a split stores and encoders hear: its rows, or its audio files where a row has
    several."""
    sound = SOUNDS.get(card.name)
    rows = (sound.rows or {}).get(split) if sound else None
    rows = rows_of(card, split) if rows is None else rows
    return None if rows is None else max(rows, audio_of(card, split) or 0)


def audio_place(card: Card, split: str) -> str:
    """Where the audio of a split lies, at one of the `|`-separated places: the last of its files."""
    return files_of(card, split)[-1].path

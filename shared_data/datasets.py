"""Make one data set. Reads: shared_data/bank/<profile>/ (mini) or shared_data/raw/<name>/ (official);
writes: shared_data/datasets/<profile>/<name>/.

`python -m shared_data.datasets compa_order`. The mini version of a data set has its name, schema and
protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.data.card import Card
from core.data.cards import CARDS
from core.data.imports import (
    audiocaps,
    audioset,
    beijing_opera,
    clotho,
    clothoaqa,
    compa,
    compa_r,
    dcase2017,
    esc50,
    fsd50k,
    gtzan,
    medley_solos,
    nsynth,
    openaqa,
    tut2017,
    urbansound8k,
    vggsound,
    vocalsound,
)
from core.data.official_files import wrong_files
from core.data.parquet import write_absent, write_dataset
from core.data.problems import DatasetError
from core.data.schema import SCHEMAS
from core.run.progress import progress
from core.run.stage import Context
from core.scenes import captions, comparisons
from core.scenes.bank import Bank, read_bank
from core.scenes.places import GENRES
from shared_data.world.datasets import benchmarks, listening, played
from shared_data.world.datasets import questioned as asked
from shared_data.world.music.melodies import LICENSE
from shared_data.world.music.notes import PATCHES, PERCUSSION, SOLOISTS

Rows = Iterator[dict[str, Any]]

IMPORTERS: Mapping[str, Callable[..., Rows]] = {
    "compa_order": compa.order_rows,
    "compa_attribute": compa.attribute_rows,
    "audiocaps": audiocaps.rows,
    "clotho": clotho.rows,
    "esc50": esc50.rows,
    "urbansound8k": urbansound8k.rows,
    "vggsound": vggsound.rows,
    "fsd50k": fsd50k.rows,
    "dcase2017": dcase2017.rows,
    "vocalsound": vocalsound.rows,
    "tut2017": tut2017.rows,
    "beijing_opera": beijing_opera.rows,
    "nsynth": nsynth.rows,
    "gtzan": gtzan.rows,
    "medley_solos": medley_solos.rows,
    "audioset": audioset.rows,
    "clothoaqa": clothoaqa.rows,
    "openaqa": openaqa.rows,
    "compa_r": compa_r.rows,
}
LABELS: Mapping[str, Callable[[Path], list[str]]] = {
    "esc50": esc50.labels,
    "urbansound8k": urbansound8k.labels,
    "vggsound": vggsound.labels,
    "fsd50k": fsd50k.labels,
    "dcase2017": dcase2017.labels,
    "vocalsound": vocalsound.labels,
    "tut2017": tut2017.labels,
    "beijing_opera": beijing_opera.labels,
    "nsynth": nsynth.labels,
    "gtzan": gtzan.labels,
    "medley_solos": medley_solos.labels,
    "audioset": audioset.labels,
}
# Mini sets that are not classes of the bank alone: their rows, and the classes of those that have their own.
PLAYED: Mapping[str, Callable[..., Rows]] = {
    "beijing_opera": played.beijing_opera,
    "gtzan": played.gtzan,
    "medley_solos": played.medley_solos,
    "nsynth": played.nsynth,
}
HEARD: Mapping[str, Callable[..., Rows]] = {
    "dcase2017": listening.dcase2017,
    "vocalsound": listening.vocalsound,
    "tut2017": listening.tut2017,
    "audioset": listening.audioset,
    "clothoaqa": asked.clothoaqa,
    "openaqa": asked.openaqa,
    "compa_r": asked.compa_r,
}
CLASSES: Mapping[str, Callable[[Bank], Iterable[str]]] = {
    "dcase2017": listening.traffic,
    "vocalsound": listening.actions,
    "tut2017": listening.places,
    "beijing_opera": lambda _bank: PERCUSSION,
    "nsynth": lambda _bank: {patch.instrument for patch in PATCHES},
    "gtzan": lambda _bank: [genre.name for genre in GENRES.values()],
    "medley_solos": lambda _bank: SOLOISTS,
}
CONNECTIVES = {"paper": captions.PAPER, "train": captions.TRAIN, "held_out": captions.HELD_OUT}


@dataclass(frozen=True)
class Config:
    """What to make. Options that a data set has no use for are ignored by it."""

    source: Literal["mini", "official"] = "mini"
    absent: str = ""  # why this profile has no such data set; says so in its folder and makes nothing
    splits: tuple[str, ...] = ("test",)
    seed: int = 0
    # official: read from shared_data/raw/<name>
    sample_rate: int | None = None  # None keeps the official files as they are
    allow_missing: bool = False
    # mini: n rows per split, drawn from the bank's split of that name
    n: int = 0
    n_train: int = 0  # of the split train; 0 is n
    duration: float = 5.12  # seconds
    noise_db: tuple[float, float] | None = (-35.0, -15.0)
    labels: tuple[str, ...] = ()  # only these classes of the bank; empty is all
    connectives: Literal["paper", "train", "held_out"] = "train"
    triplet_share: float = 0.25  # compa_order
    kind: Literal["voices", "loudness"] = "voices"  # compa_attribute
    captions: int = 5  # audiocaps, clotho
    longer: bool = False  # audiocaps, clotho: longer captions
    sizes: tuple[float, ...] = ()  # sets of scenes: shares of 1, 2, ... events; empty is what the set has
    folds: int = 5  # esc50, urbansound8k, vggsound
    questions: int = 2  # openaqa, compa_r: per audio
    dissent: float = 0.15  # clothoaqa: share of questions that one of three annotators answers wrongly


def datasets(config: Config, *, context: Context) -> None:
    """Make the data set that the variant names and log its counts."""
    name = str(context.variant)
    if name not in SCHEMAS:
        raise DatasetError(f"no data set {name!r}; there is {', '.join(SCHEMAS)}")
    if config.absent:
        write_absent(context.path("datasets", name), config.absent)
        print(f"{name}: {config.absent}")
        return
    card = CARDS[name]
    for split in config.splits:
        notes: dict[str, Any] = {}
        if config.source == "official":
            raw = context.root / card.folder
            rows, info = official_rows(raw, card, config, split=split, notes=notes)
            total = card.counts.get(split)
        else:
            part = read_bank(context.path("bank"), splits=[split]).only(config.labels)
            rows = mini_rows(part, name, config, split=split)
            info = mini_info(part, card, config, profile=context.profile)
            total = rows_of(config, split)
        written = write_dataset(
            context.path("datasets", name),
            progress(rows, total=total, desc=f"{name} {split}", unit="row"),
            features=SCHEMAS[name],
            split=split,
            info=info,
            notes=notes,
        )
        counts = {split: written["counts"][split], f"{split}/left_out": len(notes.get("missing", []))}
        context.tracker.log_metrics({key: float(value) for key, value in counts.items()}, step=0)
        print(f"{name} {split}: {counts[split]} rows, {counts[f'{split}/left_out']} left out")


def official_rows(
    raw: Path, card: Card, config: Config, *, split: str, notes: dict[str, Any]
) -> tuple[Rows, dict[str, Any]]:
    """The importer's rows and what info.json says of them. Raises DatasetError when files are not there."""
    doctor = "`python -m core.data.doctor <paper>` says where to get it and how to lay it out"
    if not raw.is_dir():
        raise DatasetError(f"{card.name}: {raw} is missing; {doctor} (licence: {card.licence})")
    if wrong := wrong_files(raw, card):
        raise DatasetError(f"{card.name}: another MD5 than the official file: {', '.join(wrong)}; {doctor}")
    rows = IMPORTERS[card.name](
        raw, split=split, sample_rate=config.sample_rate, allow_missing=config.allow_missing, notes=notes
    )
    info: dict[str, Any] = {"source": card.homepage, "licence": card.licence, **_common(card)}
    if card.name == "nsynth":
        info["sources"] = nsynth.sources(raw)
    return rows, info | ({"labels": LABELS[card.name](raw)} if card.name in LABELS else {})


def mini_rows(bank: Bank, name: str, config: Config, *, split: str) -> Rows:
    """The rows of a mini data set. Splits other than test get ids of their own."""
    if (n := rows_of(config, split)) <= 0:
        raise DatasetError(f"{name}: n is {n}; a mini data set needs the number of rows in its conf")
    call: dict[str, Any] = {
        "n": n,
        "seed": config.seed,
        "duration": config.duration,
        "noise_db": config.noise_db,
        "name": name if split == "test" else f"{name}_{split}",
    }
    if name in PLAYED:
        return PLAYED[name](bank, **{key: value for key, value in call.items() if key != "noise_db"})
    labels = config.labels or None
    connectives = CONNECTIVES[config.connectives]
    sizes: dict[str, Any] = {"sizes": config.sizes} if config.sizes else {}
    if name in HEARD:
        if name in ("openaqa", "compa_r"):
            call["questions"] = config.questions
        elif name == "clothoaqa":
            call["dissent"] = config.dissent
        return HEARD[name](bank, **call, **({} if name in ("vocalsound", "tut2017") else sizes))
    if name == "compa_order":
        share = config.triplet_share
        return comparisons.compa_order(
            bank, **call, triplet_share=share, labels=labels, connectives=connectives
        )
    if name == "compa_attribute":
        return comparisons.compa_attribute(bank, **call, kind=config.kind, connectives=connectives)
    if name in ("audiocaps", "clotho"):
        call |= {"captions": config.captions, "longer": config.longer, "connectives": connectives}
        return benchmarks.captioned(bank, **call, **sizes, labels=labels)
    if name == "fsd50k":
        return benchmarks.multilabel(bank, **call, **sizes, labels=labels)
    return benchmarks.classified(bank, **call, folds=config.folds, labels=labels)


def mini_info(bank: Bank, card: Card, config: Config, *, profile: str) -> dict[str, Any]:
    """What info.json says of a mini data set: its licence is that of the bank's clips, its classes are
    theirs."""
    licences = sorted({clip.license for clip in bank.clips})
    source = f"mini version drawn from the bank of profile {profile}"
    if card.name in PLAYED:
        source, licences = (
            "mini version played from the sound font of shared_data.world.music.melodies",
            [LICENSE],
        )
    info: dict[str, Any] = {"source": source, "licence": "; ".join(licences), **_common(card)}
    if card.name == "nsynth":
        info["sources"] = sorted({patch.source for patch in PATCHES})
    if card.name not in LABELS:
        return info
    classes = CLASSES[card.name](bank) if card.name in CLASSES else config.labels or bank.labels()
    return info | {"labels": sorted(name.replace("_", " ") for name in classes)}


def rows_of(config: Config, split: str) -> int:
    """How many rows a split of a mini data set gets."""
    return config.n_train if split == "train" and config.n_train else config.n


def _common(card: Card) -> dict[str, Any]:
    return {"name": card.name, "task": card.task, "protocol": card.protocol}


if __name__ == "__main__":
    from core.run.stage import run

    run(datasets, Config)

"""What the data of a paper's profile need on disk, part by part, each with its arithmetic.

Computed from the official counts of the data sets (what is imported counts as it is), the configuration of
the stages, and the shapes of the models. GB are 10^9 bytes. Predictions, tables and pages are left out: text.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data import model_sizes as sizes
from core.data.inputs import DATA, SHARED, WEIGHTS, Reading, Work
from core.data.layouts import SOUNDS, Sound, audio_of, items_of, rows_of

PCM = 2  # bytes a sample
FLAC = 0.6  # of PCM: what sounds and speech come to
BANK_LABELS, BANK_SECONDS = 447, 3.0  # AudioSet-Strong's training classes; a segment's mean


@dataclass(frozen=True, kw_only=True)
class Need:
    """bytes that one thing takes. sum: the arithmetic. there: bytes that lie on this disk already.

    cached: an output of DVC's cache, of which the disk holds a second copy where DVC copies. unknown: why it
    is not counted.
    """

    part: str
    what: str
    sum: str
    bytes: float
    there: float = 0.0
    cached: bool = False
    unknown: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the arithmetic starts from."""

    root: Path
    profile: str
    work: tuple[Work, ...]
    reading: Reading

    def checkpoint(self, foundation: str) -> str:
        """The public checkpoint that stands for a foundation, "" where one is trained."""
        found = (
            one.config for one in self.work if one.stage.file == SHARED and one.stage.stage == foundation
        )
        return str(next(found, {}).get("checkpoint", ""))

    def shape(self, foundation: str) -> dict[str, Any]:
        card = WEIGHTS.get(self.checkpoint(foundation))
        return sizes.shape_of(self.root, card) if card else {}

    def config(self, stage: str, variant: str | None = None) -> Mapping[str, Any]:
        """Of the first stage of a module's name; {} where there is none."""
        found = (one for one in self.work if one.stage.stage == stage and one.stage.variant == variant)
        return next((one.config for one in found), {})


def data_needs(plan: Plan) -> list[Need]:
    """Data, features and public checkpoints on disk. What trainings write: core.data.needs_training."""
    return [
        *_raw(plan),
        *_imported(plan),
        *_bank(plan),
        *_prepared(plan),
        *_features(plan),
        *_weights(plan),
    ]


def _raw(plan: Plan) -> Iterator[Need]:
    """Official audio as it is released. Its lists are small."""
    banks = (plan.reading.bank,) if plan.reading.bank else ()
    for wanted in (*plan.reading.sets, *banks):
        card, sound = DATA[wanted.name], SOUNDS.get(wanted.name, Sound(seconds=10))
        counts = {split: audio_of(card, split) for split in wanted.splits}
        files = sum(count or 0 for count in counts.values())
        each = sound.seconds * sound.rate * sound.channels * PCM
        text = f"{sound.seconds:g} s x {sound.rate:,}/s x {sound.channels} x {PCM} B"
        yield Need(
            part="official audio",
            what=f"{wanted.name} {'+'.join(wanted.splits)}",
            sum=f"{files:,} files x {text}" if files else f"a file: {text}",
            bytes=files * each,
            there=size_of(plan.root / card.folder),
            unknown="nobody publishes how many files" if None in counts.values() else "",
        )


def _imported(plan: Plan) -> Iterator[Need]:
    """Parquet with FLAC where a sample rate is asked for, else with the official files."""
    for wanted in plan.reading.sets:
        card, sound = DATA[wanted.name], SOUNDS.get(wanted.name, Sound(seconds=10))
        config = next(
            one.config for one in plan.work if one.stage.file == SHARED and one.stage.variant == wanted.name
        )
        rate = config.get("sample_rate")
        items = [_items(plan, wanted.name, split) for split in wanted.splits]
        count = sum(item or 0 for item in items)
        each = sound.seconds * (rate * PCM * FLAC if rate else sound.rate * sound.channels * PCM)
        how = f"{rate:,}/s x 2 B x {FLAC} (FLAC)" if rate else "as released"
        folder = plan.root / "shared_data" / "datasets" / plan.profile / wanted.name
        yield Need(
            part="imported Parquet",
            what=f"{card.name} {'+'.join(wanted.splits)}",
            sum=f"{count:,} audios x {sound.seconds:g} s x {how}"
            if count
            else f"an audio: {sound.seconds:g} s x {how}",
            bytes=count * each,
            there=size_of(folder),
            cached=True,
            unknown="" if None not in items else "no official count",
        )


def _bank(plan: Plan) -> Iterator[Need]:
    config = plan.config("bank")
    if config.get("kind") != "segments":
        return
    clips, text = clips_of(config)
    rate = int(config.get("sample_rate", 16_000))
    yield Need(
        part="bank",
        what="segments",
        sum=f"{text} x {rate:,}/s x 2 B x {FLAC} (FLAC)",
        bytes=clips * BANK_SECONDS * rate * PCM * FLAC,
        there=size_of(plan.root / "shared_data" / "bank" / plan.profile),
        cached=True,
    )


def _prepared(plan: Plan) -> Iterator[Need]:
    """Log-mels of the test sets, float32, as a stage `prepare` with a CLAP's front end keeps them."""
    for one in plan.work:
        front = one.config.get("front_end")
        if one.stage.stage != "prepare" or not isinstance(front, Mapping):
            continue
        frames = round(front["max_seconds"] * front["sample_rate"]) // front["hop"] + 1
        views = 4 if front.get("truncation") == "fusion" else 1
        names = dict.fromkeys(one.config.get("sets") or ())
        count = sum(_items(plan, name, "test") or 0 for name in names)
        yield Need(
            part="prepared features",
            what=f"{paper_of(one)} log-mels of {len(names)} test sets",
            sum=f"{count:,} audios x {views} x {frames} frames x {front['n_mels']} x 4 B",
            bytes=count * views * frames * front["n_mels"] * sizes.SINGLE,
            there=size_of_outs(plan, one),
            cached=True,
        )


def _features(plan: Plan) -> Iterator[Need]:
    """What every encoder hears of every set, in half precision."""
    for one in plan.work:
        if one.stage.stage != "features":
            continue
        config = one.config
        shape = {**plan.shape(str(config.get("foundation", ""))), "joint_dim": 512}
        if config.get("checkpoints"):
            shape["joint_dim"] = (plan.config("init").get("shape") or {}).get("joint_dim", 512)
        tests = dict.fromkeys(
            (entry or {}).get("dataset") or name for name, entry in (config.get("sets") or {}).items()
        )
        asked = [(name, "train") for name in config.get("train_sets") or ()]
        asked += [(name, "test") for name in tests]
        for name, split in asked:
            seconds = SOUNDS.get(name, Sound(seconds=10)).seconds
            try:
                made = sizes.feature_values(
                    str(config["kind"]), seconds, shape=shape, options=config.get("options") or {}
                )
            except KeyError:  # a checkpoint whose shape nobody knows yet
                made = None
            count = _items(plan, name, split)
            values, text = made or (0, f"kind {config['kind']}")
            yield Need(
                part=f"features of {one.stage.variant}",
                what=f"{name} {split}",
                sum=f"{count:,} audios x {text} x 2 B" if count else f"an audio: {text} x 2 B",
                bytes=(count or 0) * values * sizes.HALF,
                there=sum(
                    size_of(plan.root / out / (name if split == "test" else f"{name}_{split}"))
                    for out in one.stage.outs
                    if out.split("/")[-2] == split
                ),
                cached=True,
                unknown="no shape of this kind is known"
                if made is None
                else ""
                if count
                else "no official count",
            )


def _weights(plan: Plan) -> Iterator[Need]:
    """Public checkpoints, as large as their cards say."""
    for wanted in plan.reading.weights:
        if (card := WEIGHTS.get(wanted.name)) is None or not wanted.needed:
            continue
        number = re.search(r"[\d.]+(?= GB)", card.size)
        yield Need(
            part="public checkpoints",
            what=card.name,
            sum=card.size,
            bytes=float(number[0]) * 1e9 if number else 0.0,
            there=size_of(plan.root / card.folder),
        )


def clips_of(bank: Mapping[str, Any]) -> tuple[int, str]:
    """Clips of a bank of segments at most, and the product in words, seconds included."""
    each = int(bank.get("max_per_label", 50))
    return BANK_LABELS * each, f"{BANK_LABELS} labels x {each} clips x {BANK_SECONDS:g} s"


def paper_of(work: Work) -> str:
    return Path(work.stage.file).parent.name


def size_of_outs(plan: Plan, work: Work) -> int:
    """Bytes of a stage's outputs on this disk."""
    return sum(size_of(plan.root / out) for out in work.stage.outs)


def size_of(place: Path) -> int:
    """Bytes of a file or folder; 0 where there is none. Links are not followed."""
    if place.is_file():
        return place.stat().st_size
    return sum(
        os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(place) for name in names
    )


def _items(plan: Plan, name: str, split: str) -> int | None:
    """Audios of a split: as imported where it is, else the official count."""
    info = plan.root / "shared_data" / "datasets" / plan.profile / name / "info.json"
    official = items_of(DATA[name], split) if name in DATA else None
    try:
        counts = json.loads(info.read_text(encoding="utf-8"))["counts"]
        found = counts.get(split, counts.get(split.replace("-", "")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        found = None
    if found is None:
        return official
    # a row of some sets holds several audios, as many as the official numbers say
    rows = rows_of(DATA[name], split) if name in DATA else None
    return round(found * official / rows) if official and rows else int(found)

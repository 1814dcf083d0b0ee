"""Build the bank of a profile. Reads: recipes or shared_data/raw; writes: shared_data/bank/<profile>/.

A procedural bank is synthesised: 39 sound classes, 20 voices and two that speak; with `music` also 13
instruments, 4 kinds of percussion and 6 genres. A recorded bank is unpacked recordings
(`python -m shared_data.world.sounds.recorded fetch` first), to which `music` adds nothing. A bank of segments
is cut from AudioSet-Strong (`python -m core.data.doctor <paper> --profile paper`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from core.data.cards import CARDS
from core.run.code import REPOSITORY, code_of, digest
from core.run.progress import progress
from core.run.stage import Context
from core.scenes.bank import SPLITS, Bank, BankError, Clip, prepare_clip, write_bank
from shared_data.world.music import melodies, pieces
from shared_data.world.sounds import procedural, recorded, segments, voices
from shared_data.world.sounds.conditions import CONDITIONS, HELD_OUT, apply
from shared_data.world.speech import spoken

Kind = Literal["procedural", "recorded", "segments"]
Draw = Callable[..., tuple[Clip, np.ndarray]]

UNDER = 1000  # index of a split's first clip under recording conditions
TAIL = 0.4  # seconds that a room may sound on


@dataclass(frozen=True)
class Config:
    """kind: procedural | recorded | segments; counts are clips per class of a procedural bank.

    conditioned: split -> further clips per class, each recorded under one or two of `conditions`. Test sets
    draw their own conditions, so the split test has none, and HELD_OUT of the conditions are in no bank.
    """

    kind: str = "procedural"
    sample_rate: int = 16000
    train: int = 24
    valid: int = 4
    test: int = 8
    conditioned: dict[str, int] = field(default_factory=dict)
    conditions: list[str] = field(default_factory=list)
    music: bool = True
    labels: list[str] = field(default_factory=list)  # procedural: only these; empty is all
    segments: int = 3  # recorded: clips at most that one long recording gives
    min_train: int = 1  # recorded: fewer training recordings leave a class out
    max_per_label: int = 50  # segments: clips of a class, over all splits
    allow_missing: bool = False  # segments: go on without the audio that is not there
    exclude: list[str] = field(default_factory=list)  # segments: files that name the videos of test sets
    seed: int = 0


def bank(config: Config, *, context: Context) -> None:
    """Build the bank, write it and log how many clips, classes and seconds each split has."""
    if config.kind not in get_args(Kind):
        raise BankError(f"kind {config.kind!r}: choose one of {get_args(Kind)}")
    if config.kind == "recorded":
        made = recorded.load_recorded(
            sample_rate=config.sample_rate,
            segments=config.segments,
            min_train=config.min_train,
            raw=recorded.RAW,
        )
    elif config.kind == "segments":
        made = segments.load_segments(
            context.root / CARDS["audioset_strong"].folder,
            sample_rate=config.sample_rate,
            exclude=segments.youtube_ids(context.root / name for name in config.exclude),
            allow_missing=config.allow_missing,
            max_per_label=config.max_per_label,
        )
    else:
        made = synthesise(config)
    write_bank(made, context.path("bank"), recipe=recipe_of(config, module=context.module))
    for name in sorted({clip.split for clip in made.clips}):
        part = made.split(name)
        seconds = sum(len(waveform) for waveform in part.waveforms) / made.sample_rate
        sizes = {"clips": len(part.clips), "classes": len(part.labels()), "seconds": seconds}
        context.tracker.log_metrics({f"{name}/{key}": float(value) for key, value in sizes.items()}, step=0)
        print(f"{name}: {len(part.clips)} clips, {len(part.labels())} classes, {seconds:.0f} s")


def recipe_of(config: Config, *, module: str) -> str:
    """A hash of what a bank is made of: code by meaning, libraries and configuration."""
    code, libraries = code_of(module, root=REPOSITORY)
    return digest({"code": code, "libraries": libraries, "config": asdict(config)})


def drawers(*, music: bool) -> dict[str, Draw]:
    """label -> what draws its clips, classes in their order."""
    found: dict[str, Draw] = dict.fromkeys((*procedural.SOUNDS, *voices.voice_labels()), procedural.draw)
    found |= dict.fromkeys(spoken.LABELS, spoken.draw)
    if music:
        found |= dict.fromkeys(melodies.INSTRUMENTS, melodies.draw)
        found |= dict.fromkeys(pieces.LABELS, pieces.draw)
    return found


def synthesise(config: Config) -> Bank:
    """The procedural bank of a configuration, classes in their order, with progress. Raises BankError."""
    known = drawers(music=config.music)
    if strange := sorted(set(config.labels) - set(known)):
        raise BankError(f"no class {strange}; there are {list(known)} (instruments need music: true)")
    _check_conditions(config)
    counts = {"train": config.train, "valid": config.valid, "test": config.test}
    made: list[tuple[Clip, np.ndarray]] = []
    labels: Iterable[str] = config.labels or known
    settings: Mapping[str, Any] = {"seed": config.seed, "sample_rate": config.sample_rate}
    for label in progress(labels, desc="synthesise", unit="class"):
        for split, count in counts.items():
            made += [known[label](label, split, index, **settings) for index in range(count)]
            for index in range(UNDER, UNDER + config.conditioned.get(split, 0)):
                clip, wave = known[label](label, split, index, **settings)
                made.append(under(clip, wave, config.conditions, sample_rate=config.sample_rate))
    return Bank(tuple(clip for clip, _ in made), tuple(wave for _, wave in made), config.sample_rate)


def under(
    clip: Clip, wave: np.ndarray, conditions: list[str], *, sample_rate: int
) -> tuple[Clip, np.ndarray]:
    """The clip recorded under one or two of the conditions, drawn by its id; its source says which."""
    seed = zlib.crc32(clip.id.encode())
    rng = np.random.default_rng(seed)
    count = min(len(conditions), int(rng.integers(1, 3)))
    chosen = {conditions[place] for place in rng.permutation(len(conditions))[:count]}
    chain = [name for name in CONDITIONS if name in chosen]  # rooms and lines come before the device
    if "reverb" in chain:
        wave = np.pad(wave, (0, round(TAIL * sample_rate)))
    heard = prepare_clip(apply(wave, chain, sample_rate=sample_rate, seed=seed), sample_rate=sample_rate)
    return replace(clip, source=f"{clip.source}, under {' and '.join(chain)}"), heard


def _check_conditions(config: Config) -> None:
    if strange := sorted(set(config.conditions) - (CONDITIONS.keys() - set(HELD_OUT))):
        raise BankError(f"conditions {strange}: unknown, or kept for test sets ({', '.join(HELD_OUT)})")
    if strange := sorted(set(config.conditioned) - (set(SPLITS) - {"test"})):
        raise BankError(f"conditioned {strange}: only train and valid, test sets draw their own conditions")
    if any(config.conditioned.values()) and not config.conditions:
        raise BankError("conditioned clips need conditions: name some")


if __name__ == "__main__":
    from core.run.stage import run

    run(bank, Config)

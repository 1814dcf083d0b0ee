"""Build the bank of a profile. Reads: recipes or shared_data/raw; writes: shared_data/bank/<profile>/.

A procedural bank is synthesised (39 sound classes, 20 voices and, with `music`, 10 instruments); a recorded
bank is unpacked recordings (`python -m shared_data.world.sounds.recorded fetch` first), to which `music`
adds nothing. A bank of segments is cut from AudioSet-Strong (`python -m core.data.doctor <paper> --profile
paper`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

from core.data.cards import CARDS
from core.run.progress import progress
from core.run.stage import Context
from core.scenes.bank import Bank, BankError, write_bank
from shared_data.world.music import melodies as music
from shared_data.world.sounds import procedural, recorded, segments, voices

Kind = Literal["procedural", "recorded", "segments"]


@dataclass(frozen=True)
class Config:
    """kind: procedural | recorded | segments; counts are clips per class of a procedural bank."""

    kind: str = "procedural"
    sample_rate: int = 16000
    train: int = 24
    valid: int = 4
    test: int = 8
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
    write_bank(made, context.path("bank"))
    for name in sorted({clip.split for clip in made.clips}):
        part = made.split(name)
        seconds = sum(len(waveform) for waveform in part.waveforms) / made.sample_rate
        sizes = {"clips": len(part.clips), "classes": len(part.labels()), "seconds": seconds}
        context.tracker.log_metrics({f"{name}/{key}": float(value) for key, value in sizes.items()}, step=0)
        print(f"{name}: {len(part.clips)} clips, {len(part.labels())} classes, {seconds:.0f} s")


def synthesise(config: Config) -> Bank:
    """The procedural bank of a configuration, classes in their order, with progress."""
    counts = {"train": config.train, "valid": config.valid, "test": config.test}
    known = [*procedural.SOUNDS, *voices.voice_labels(), *(music.INSTRUMENTS if config.music else ())]
    if strange := sorted(set(config.labels) - set(known)):
        raise BankError(f"no class {strange}; there are {known} (instruments need music: true)")
    parts: list[Bank] = []
    labels: Iterable[str] = config.labels or known
    for label in progress(labels, desc="synthesise", unit="class"):
        make = music.make_music if label in music.INSTRUMENTS else procedural.make_bank
        parts.append(
            make(sample_rate=config.sample_rate, clips_per_class=counts, labels=[label], seed=config.seed)
        )
    clips = tuple(clip for part in parts for clip in part.clips)
    waveforms = tuple(waveform for part in parts for waveform in part.waveforms)
    return Bank(clips, waveforms, config.sample_rate)


if __name__ == "__main__":
    from core.run.stage import run

    run(bank, Config)

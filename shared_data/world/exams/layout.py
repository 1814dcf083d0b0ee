"""What is heard in a sound item: a timeline of steps and beds, its mixture, and its truth in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from core.scenes.bank import Bank
from core.scenes.compose import render
from core.scenes.facts import Facts, facts
from core.scenes.timeline import Event, Scene, before
from shared_data.world.exams.item import ItemError, Rng, World, pick

PEAK = 0.8
LIMIT = 9.0  # seconds of a whole item
SHORTEST = 0.6  # seconds that a sound keeps when many must fit
BED = 2.6  # seconds: what sounds longer than any clip is background


@dataclass(frozen=True)
class Part:
    """A label to be heard, `db` above the others; `seconds` (least, most) repeats or cuts its clip."""

    label: str
    db: float = 0.0
    seconds: tuple[float, float] | None = None


Step = tuple[Part, ...]  # what sounds at the same time: the shorter ones inside the longest


@dataclass(frozen=True)
class Played:
    """The sound of a scene: (sample rate) -> float32 (samples,), peak 0.8."""

    scene: Scene
    bank: Bank = field(repr=False)

    def __call__(self, sample_rate: int) -> np.ndarray:
        """Mix the scene anew; resampled where the bank has another rate."""
        sound = render(self.scene, self.bank)
        if sample_rate != self.bank.sample_rate:
            from scipy.signal import resample_poly

            sound = resample_poly(sound, sample_rate, self.bank.sample_rate)
        return (sound * (PEAK / np.abs(sound).max())).astype(np.float32)


def lay_out(
    rng: Rng,
    world: World,
    steps: Sequence[Step],
    *,
    beds: Sequence[Part] = (),
    gap: tuple[float, float] = (0.15, 0.4),
    noise_db: tuple[float, float] = (-40.0, -30.0),
) -> Scene:
    """A scene of steps one after the other, `gap` seconds apart, over beds that share its time equally.

    Clips are random, cut at their end until the whole fits 9 s; a label heard twice has two clips where
    there are two. `noise_db` is the range of the background noise's power relative to the sounds'.
    Raises ItemError for steps that do not fit.
    """
    bank = world.bank
    used: set[int] = set()

    def choose(label: str) -> int:
        fresh = [index for index in world.by_label[label] if index not in used] or world.by_label[label]
        used.add(chosen := int(pick(rng, fresh)))
        return chosen

    clips = [[choose(part.label) for part in step] for step in steps]
    wanted = [[None if p.seconds is None else float(rng.uniform(*p.seconds)) for p in step] for step in steps]
    gaps = rng.uniform(*gap, len(steps))
    lead, tail = rng.uniform(0.05, 0.3, 2)
    cap = BED - 0.1
    while True:
        lengths = [
            [min(cap, len(bank.waveforms[c]) / bank.sample_rate) if w is None else w for c, w in zip(cs, ws)]
            for cs, ws in zip(clips, wanted)
        ]
        total = lead + tail + sum(map(max, lengths)) + float(gaps[1:].sum())
        if total <= LIMIT:
            break
        cap *= 0.9
        if cap < SHORTEST:
            raise ItemError(f"{len(steps)} steps do not fit {LIMIT} s; ask for fewer or shorter sounds")
    duration = math.ceil(1e4 * max(total, 2.0, 1.2 * BED * len(beds))) / 1e4
    at = lead + float(rng.uniform(0, duration - total))
    events = []
    for number, (step, cs, ls) in enumerate(zip(steps, clips, lengths)):
        at += float(gaps[number]) if number else 0.0
        for part, clip, length in zip(step, cs, ls):
            start = round(at + float(rng.uniform(0, max(ls) - length)), 4)
            end = min(round(start + length, 4), duration)
            gain = part.db - float(rng.uniform(0, 3))
            events.append(Event(clip=clip, label=part.label, start=start, end=end, gain_db=gain))
        at += max(ls)
    for number, bed in enumerate(beds):
        start, end = (round(duration * edge / len(beds), 4) for edge in (number, number + 1))
        clip = choose(bed.label)
        events.append(Event(clip=clip, label=bed.label, start=start, end=min(end, duration), gain_db=bed.db))
    events.sort(key=lambda event: (event.start, event.label))
    noise = float(rng.uniform(*noise_db))
    return Scene(
        id="", events=tuple(events), duration=duration, noise_db=noise, seed=int(rng.integers(2**31))
    )


def in_turn(labels: Iterable[str], *, db: float = 0.0) -> list[Step]:
    """One step a label."""
    return [(Part(label, db),) for label in labels]


def is_bed(event: Event) -> bool:
    """Whether an event lasts longer than any clip does, and so is background."""
    return event.end - event.start >= BED


def front(scene: Scene) -> Facts:
    """The spans of all labels, of the sounds before the background only."""
    events = tuple(event for event in scene.events if not is_bed(event))
    return facts(Scene(id=scene.id, events=events, duration=scene.duration))


def tell(scene: Scene, bank: Bank) -> str:
    """The truth in words, of the timeline alone: "Rain falls throughout. A dog barks, then a car honks."

    Sounds at the same time are joined by "while"; one clearly longer than all others is said to be long.
    """
    sentences = []
    for event in scene.events:
        if is_bed(event):
            whole = event.end - event.start > 0.9 * scene.duration
            when = (
                "throughout" if whole else "in the first half" if event.start < 0.1 else "in the second half"
            )
            sentences.append(f"{_clause(event, bank)} {when}")
    lengths = sorted((event.end - event.start for event in scene.events if not is_bed(event)), reverse=True)
    long = max(1.5, 1.6 * lengths[1]) if len(lengths) > 1 else BED
    told: list[str] = []
    seen: set[str] = set()
    until: Event | None = None  # the event of the current step that ends last
    for event in scene.events:
        if is_bed(event):
            continue
        clause = _clause(event, bank) + (" again" if event.label in seen else "")
        clause += " for a long time" if event.end - event.start >= long else ""
        seen.add(event.label)
        if until is None or before(until, event):
            told.append(clause)
        else:
            told[-1] += f" while {clause}"
        until = event if until is None or event.end > until.end else until
    if told:
        sentences.append(", then ".join(told))
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)


def _clause(event: Event, bank: Bank) -> str:
    return bank.clips[event.clip].phrases[2]  # "a dog barks", in every bank

"""Mini versions of the data sets of streets, voices, places and everything, in the official schemas.

Rows are drawn from one split of a bank and heard under recording conditions
(`shared_data.world.sounds.conditions`). A bank's training clips know some of these, never those of HELD_OUT.
The same bank, name and seed give the same rows, and fewer rows are the first of more. Classes are balanced.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from core.audio.read import write_flac
from core.scenes.algebra import Leaf, Tree
from core.scenes.bank import Bank
from core.scenes.comparisons import BenchmarkError, Decibels, Row
from core.scenes.compose import render
from core.scenes.draw import draw_tree, realise, voice_attributes
from core.scenes.places import PLACES, confused
from core.scenes.timeline import Event, Scene
from shared_data.world.sounds.conditions import CONDITIONS, apply
from shared_data.world.sounds.signals import Rng
from shared_data.world.sounds.voices import ACTIONS

# DCASE 2017 task 4: vehicles, and what warns of them.
VEHICLES = ("car", "car_engine", "diesel_engine", "train", "tram", "helicopter", "airplane", "jet")
WARNINGS = ("car_horn", "train_horn", "siren", "alarm", "alarm_beep", "bell_ring", "scream")


def traffic(bank: Bank) -> tuple[str, ...]:
    """The labels of VEHICLES and WARNINGS that the bank has. Raises BenchmarkError for fewer than two."""
    return _at_least_two([label for label in (*VEHICLES, *WARNINGS) if label in bank.labels()], "vehicles")


def actions(bank: Bank) -> dict[str, tuple[str, ...]]:
    """What voices do, "crying", and the labels of all who do it. Raises BenchmarkError for fewer than two."""
    found: dict[str, list[str]] = {}
    for label, (_, action) in sorted(voice_attributes(bank).items()):
        found.setdefault(ACTIONS[action][0] if action in ACTIONS else action, []).append(label)
    _at_least_two(list(found), "things that voices do")
    return {action: tuple(labels) for action, labels in found.items()}


def places(bank: Bank) -> dict[str, tuple[str, ...]]:
    """The PLACES of which the bank has two sounds or more, and these. BenchmarkError for fewer than two."""
    known = {name: place.known(bank.labels()) for name, place in PLACES.items()}
    found = {name: labels for name, labels in known.items() if len(labels) > 1}
    _at_least_two(list(found), "places with two sounds or more")
    return found


def tagged(
    bank: Bank,
    *,
    n: int,
    seed: int,
    name: str,
    labels: Sequence[str],
    sizes: Sequence[float],
    conditions: Sequence[Sequence[str]],
    duration: float = 5.12,
    noise_db: Decibels = (-35.0, -15.0),
) -> Iterator[Row]:
    """Scenes of 1, 2, 3, ... events (in shares `sizes`) with the classes of all, in words, sorted.

    Every label comes before any comes again. Each scene is heard under one of the chains of `conditions`.
    """
    for index, scene in enumerate(
        balanced_scenes(
            bank, n=n, seed=seed, name=name, labels=labels, sizes=sizes, duration=duration, noise_db=noise_db
        )
    ):
        chain = conditions[int(row_rng(name, seed, index, 1).integers(len(conditions)))]
        found = sorted({event.label.replace("_", " ") for event in scene.events})
        yield {
            "id": scene.id,
            "audio": heard(scene, bank, chain),
            "labels": found,
            "clips": sources(scene, bank),
        }


def dcase2017(
    bank: Bank,
    *,
    n: int,
    seed: int,
    name: str = "dcase2017",
    sizes: Sequence[float] = (0.7, 0.3),
    duration: float = 5.12,
    noise_db: Decibels = (-35.0, -15.0),
) -> Iterator[Row]:
    """DCASE 2017 task 4: vehicles and warnings in street noise."""
    yield from tagged(
        one_split(bank),
        n=n,
        seed=seed,
        name=name,
        labels=traffic(bank),
        sizes=sizes,
        conditions=[("street",), ("distance", "street"), ("reverb", "street")],
        duration=duration,
        noise_db=noise_db,
    )


def audioset(
    bank: Bank,
    *,
    n: int,
    seed: int,
    name: str = "audioset",
    sizes: Sequence[float] = (0.3, 0.4, 0.3),
    duration: float = 5.12,
    noise_db: Decibels = (-35.0, -15.0),
) -> Iterator[Row]:
    """AudioSet: all labels of the bank, recorded in every way, a tenth of the scenes cleanly."""
    chains: list[Sequence[str]] = [(), *((condition,) for condition in CONDITIONS)]
    yield from tagged(
        one_split(bank),
        n=n,
        seed=seed,
        name=name,
        labels=bank.labels(),
        sizes=sizes,
        conditions=chains,
        duration=duration,
        noise_db=noise_db,
    )


def vocalsound(
    bank: Bank,
    *,
    n: int,
    seed: int,
    name: str = "vocalsound",
    duration: float = 5.12,
    noise_db: Decibels = (-35.0, -20.0),
) -> Iterator[Row]:
    """VocalSound: what a voice does, whoever it is, close to a microphone that half of the time clips."""
    clips = one_split(bank).by_label()
    known = actions(bank)
    first = row_rng(name, seed)
    order = {label: first.permutation(clips[label]).tolist() for labels in known.values() for label in labels}
    names = list(known)
    for index in range(n):
        rng = row_rng(name, seed, index)
        action, turn = names[index % len(names)], index // len(names)
        label = known[action][turn % len(known[action])]
        clip = order[label][turn // len(known[action]) % len(order[label])]
        scene = realise(
            Leaf(label),
            bank=bank,
            rng=rng,
            duration=duration,
            noise_db=noise_db,
            by_label={label: (clip,)},
            id=f"{name}-{index:05d}",
        )
        chain = ("close_microphone", "clipping") if rng.random() < 0.5 else ("close_microphone",)
        yield classified_row(scene.id, heard(scene, bank, chain), action, sources(scene, bank))


def tut2017(
    bank: Bank,
    *,
    n: int,
    seed: int,
    name: str = "tut2017",
    duration: float = 5.12,
    noise_db: Decibels = (-12.0, -3.0),
) -> Iterator[Row]:
    """TUT Acoustic Scenes 2017: three to five typical sounds of a place, far away, in echo and noise."""
    clips = one_split(bank).by_label()
    known = places(bank)
    names = list(known)
    for index in range(n):
        rng = row_rng(name, seed, index)
        place = names[index % len(names)]
        events = _scattered(known[place], clips, bank, rng, duration=duration)
        noise = None if noise_db is None else float(rng.uniform(*noise_db))
        scene = Scene(
            id=f"{name}-{index:05d}",
            events=events,
            duration=duration,
            noise_db=noise,
            seed=int(rng.integers(2**31)),
        )
        yield classified_row(
            scene.id, heard(scene, bank, ("distance", "reverb")), place, sources(scene, bank)
        )


def balanced_scenes(
    bank: Bank,
    *,
    n: int | None,
    seed: int,
    name: str,
    labels: Sequence[str],
    sizes: Sequence[float],
    duration: float,
    noise_db: Decibels,
) -> Iterator[Scene]:
    """`n` scenes (None: without end) of 1, 2, 3, ... different labels in shares `sizes`.

    Labels are dealt from a shuffled deck: each comes before any comes again.
    """
    clips = one_split(bank).by_label()
    steps = np.cumsum(sizes) / np.sum(sizes)
    deck: list[str] = []
    index = 0
    while n is None or index < n:
        rng = row_rng(name, seed, index)
        count = min(1 + int(np.searchsorted(steps[:-1], rng.random(), side="right")), len(labels))
        chosen: list[str] = []
        while len(chosen) < count:
            if chosen and not any(_goes_with(label, chosen) for label in labels):
                break  # all others sound within those chosen
            if not (fresh := [label for label in deck if _goes_with(label, chosen)]):
                deck += [labels[place] for place in rng.permutation(len(labels))]
                continue
            chosen.append(fresh[0])
            deck.remove(fresh[0])
        tree: Tree = Leaf(chosen[0])
        if len(chosen) > 1:
            tree = draw_tree(chosen, rng=rng, sizes=[*[0.0] * (len(chosen) - 2), 1.0])
        yield realise(
            tree,
            bank=bank,
            rng=rng,
            duration=duration,
            noise_db=noise_db,
            by_label=clips,
            id=f"{name}-{index:05d}",
        )
        index += 1


def _goes_with(label: str, chosen: Sequence[str]) -> bool:
    return label not in chosen and not any(confused(label, other) for other in chosen)


def one_split(bank: Bank) -> Bank:
    """The bank, if all its clips are of one split. Raises BenchmarkError."""
    if len(splits := sorted({clip.split for clip in bank.clips})) != 1:
        raise BenchmarkError(f"rows are drawn from one split, this bank has {splits}: pass bank.split(...)")
    return bank


def row_rng(name: str, seed: int, *index: int) -> Rng:
    """The random numbers of a data set, or of one of its rows."""
    return np.random.default_rng((zlib.crc32(name.encode()), seed, *index))


def heard(scene: Scene, bank: Bank, chain: Sequence[str] = ()) -> Row:
    """The audio column of a scene under recording conditions."""
    sound = render(scene, bank)
    if chain:
        sound = apply(sound, chain, sample_rate=bank.sample_rate, seed=scene.seed)
    return {"bytes": write_flac(sound, bank.sample_rate), "path": f"{scene.id}.flac"}


def sources(scene: Scene, bank: Bank) -> list[str]:
    """The ids of the clips of a scene, sorted."""
    return sorted({bank.clips[event.clip].id for event in scene.events})


def classified_row(id: str, audio: Row, label: str, clips: list[str]) -> Row:
    """A row of one class; there are no folds, so fold is 0."""
    return {"id": id, "audio": audio, "label": label, "fold": 0, "clips": clips}


def _scattered(
    labels: Sequence[str], clips: dict[str, tuple[int, ...]], bank: Bank, rng: Rng, *, duration: float
) -> tuple[Event, ...]:
    """Three to five sounds anywhere; each label once before any comes again."""
    count = int(rng.integers(3, 6))
    order = [labels[place] for _ in range(count) for place in rng.permutation(len(labels))][:count]
    events = []
    for label in order:
        clip = int(rng.choice(clips[label]))
        length = min(len(bank.waveforms[clip]) / bank.sample_rate, duration)
        start = round(float(rng.uniform(0, duration - length)), 4)
        end = min(round(start + length, 4), duration)
        gain = round(float(rng.uniform(-9, 0)), 3)
        events.append(Event(clip=clip, label=label, start=start, end=end, gain_db=gain))
    return tuple(sorted(events, key=lambda event: event.start))


def _at_least_two(found: Sequence[str], what: str) -> tuple[str, ...]:
    if len(found) < 2:
        raise BenchmarkError(f"at least two {what} are needed, the bank has {list(found)}; use more labels")
    return tuple(found)

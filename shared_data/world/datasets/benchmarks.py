"""Mini versions of the data sets: rows in the official schemas, drawn from one split of a bank.

Every caption is read back from its text and checked against the timeline of every audio that it must fit or
must not fit; a row that fails is an error, never written. The same bank, name and seed give the same rows,
and fewer rows are the first of more.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from core.scenes.algebra import Leaf, Tree, always_true, leaves
from core.scenes.bank import Bank
from core.scenes.captions import (
    CARRIERS,
    TRAIN,
    Connectives,
    draw_wording,
    embellish,
    phrase_book,
    write,
)
from core.scenes.comparisons import (
    BenchmarkError,
    check_truth,
    clips_of,
    flac_of,
    item_rng,
    known_labels,
    one_split,
)
from core.scenes.draw import draw_tree, realise

Row: TypeAlias = dict[str, Any]

Decibels: TypeAlias = tuple[float, float] | None


def captioned(
    bank: Bank,
    *,
    n: int,
    seed: int,
    name: str,
    captions: int = 5,
    sizes: Sequence[float] = (0.2, 0.45, 0.35),
    duration: float = 5.12,
    noise_db: Decibels = (-35.0, -15.0),
    longer: bool = False,
    connectives: Connectives = TRAIN,
    labels: Sequence[str] | None = None,
) -> Iterator[Row]:
    """AudioCaps (and, with `longer` captions, more noise and time, Clotho): a scene and its captions.

    `sizes` are the shares of scenes of 1, 2, 3, ... events. No two rows have the same set of labels, so
    that a caption fits one row; raises BenchmarkError when n rows cannot differ so.
    """
    clips, book = one_split(bank).by_label(), phrase_book(bank)
    names = known_labels(labels, bank)
    seen: set[frozenset[str]] = set()
    for index in range(n):
        rng = item_rng(name, seed, index)
        for _ in range(500):
            tree = _draw(names, sizes, rng)
            kinds = frozenset(leaf.label for leaf in leaves(tree))
            if kinds in seen:
                continue
            id = f"{name}-{index:05d}"
            scene = realise(
                tree, bank=bank, rng=rng, duration=duration, noise_db=noise_db, by_label=clips, id=id
            )
            if always_true(tree, scene):
                break
        else:
            raise BenchmarkError(
                f"{name}: no new set of labels for row {index} of {n}: {len(names)} labels, sizes {sizes}; "
                "ask for fewer rows, more events or more labels"
            )
        seen.add(kinds)
        texts: list[str] = []
        while len(texts) < captions:
            for attempt in range(32):
                text = write(tree, draw_wording([tree], book, rng=rng, connectives=connectives))
                if longer:
                    text = embellish(text, scene, rng=rng)
                elif attempt >= 8:  # a single event has few phrases
                    text = CARRIERS[int(rng.integers(len(CARRIERS)))].format(text)
                if text not in texts:
                    break
            texts.append(text)
        for text in texts:
            check_truth(text, scene, book, True)
        yield {
            "id": scene.id,
            "audio": flac_of(scene, bank),
            "captions": texts,
            "clips": clips_of([scene], bank),
        }


def classified(
    bank: Bank,
    *,
    n: int,
    seed: int,
    name: str,
    labels: Sequence[str] | None = None,
    folds: int = 5,
    duration: float = 5.12,
    noise_db: Decibels = (-35.0, -10.0),
) -> Iterator[Row]:
    """ESC-50, UrbanSound8K, VGGSound: one clip somewhere in its background; `label` is the class in words.

    Classes are balanced and a clip returns only when its class has run out; a recording group stays in one
    fold.
    """
    clips = one_split(bank).by_label()
    names = known_labels(labels, bank)
    first = item_rng(name, seed)
    order = {label: first.permutation(clips[label]).tolist() for label in names}
    for index in range(n):
        rng = item_rng(name, seed, index)
        label = names[index % len(names)]
        clip = order[label][index // len(names) % len(order[label])]
        scene = realise(
            Leaf(label),
            bank=bank,
            rng=rng,
            duration=duration,
            noise_db=noise_db,
            by_label={label: (clip,)},
            id=f"{name}-{index:05d}",
        )
        yield {
            "id": scene.id,
            "audio": flac_of(scene, bank),
            "label": label.replace("_", " "),
            "fold": zlib.crc32(bank.clips[clip].group.encode()) % folds + 1,
            "clips": clips_of([scene], bank),
        }


def multilabel(
    bank: Bank,
    *,
    n: int,
    seed: int,
    name: str = "fsd50k",
    labels: Sequence[str] | None = None,
    sizes: Sequence[float] = (0.4, 0.4, 0.2),
    duration: float = 5.12,
    noise_db: Decibels = (-35.0, -10.0),
) -> Iterator[Row]:
    """FSD50K: scenes of 1, 2, 3, ... events (in shares `sizes`) with the classes of all, in words, sorted."""
    clips = one_split(bank).by_label()
    names = known_labels(labels, bank)
    for index in range(n):
        rng = item_rng(name, seed, index)
        scene = realise(
            _draw(names, sizes, rng),
            bank=bank,
            rng=rng,
            duration=duration,
            noise_db=noise_db,
            by_label=clips,
            id=f"{name}-{index:05d}",
        )
        found = sorted({event.label.replace("_", " ") for event in scene.events})
        yield {
            "id": scene.id,
            "audio": flac_of(scene, bank),
            "labels": found,
            "clips": clips_of([scene], bank),
        }


def _draw(labels: Sequence[str], sizes: Sequence[float], rng: np.random.Generator) -> Tree:
    """A tree of 1, 2, ... operands in the shares `sizes`."""
    if len(sizes) == 1 or rng.random() * sum(sizes) < sizes[0]:
        return Leaf(labels[int(rng.integers(len(labels)))])
    return draw_tree(labels, rng=rng, sizes=sizes[1:])

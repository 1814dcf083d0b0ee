"""Audios that differ in order or in attributes alone, with captions in the same words: items as CompA's.

Each caption is true of its own audio and false of the others, under every reading.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal, TypeAlias

import numpy as np

from core.audio.read import write_flac
from core.scenes.algebra import Leaf, Node, Tree, holds, leaves, swap_attributes
from core.scenes.bank import Bank
from core.scenes.captions import (
    TRAIN,
    Connectives,
    Wording,
    draw_wording,
    parse_caption,
    phrase_book,
    write,
)
from core.scenes.compose import render
from core.scenes.draw import attribute_trees, realise, voice_attributes
from core.scenes.timeline import Scene

Decibels: TypeAlias = tuple[float, float] | None
Book: TypeAlias = Mapping[str, Sequence[str]]
Row: TypeAlias = dict[str, Any]


class BenchmarkError(ValueError):
    """A benchmark that this bank cannot give, or a caption that its timeline contradicts."""


def compa_order(
    bank: Bank,
    *,
    n: int,
    seed: int,
    triplet_share: float = 0.25,
    duration: float = 5.12,
    noise_db: Decibels = (-35.0, -15.0),
    connectives: Connectives = TRAIN,
    labels: Sequence[str] | None = None,
    name: str = "compa_order",
) -> Iterator[Row]:
    """CompA-order: A then B, B then A, and in exactly `triplet_share` of the rows A and B at the same time.

    The audios of a row are different clips of the same labels (as far as there are enough), its captions the
    same words in another order. Label pairs repeat only after all have been used.
    """
    clips, book = one_split(bank).by_label(), phrase_book(bank)
    pairs = list(combinations(known_labels(labels, bank), 2))
    if not pairs:
        raise BenchmarkError(f"{name}: two labels are needed, the bank has {list(clips)}")
    order = item_rng(name, seed).permutation(len(pairs))
    for index in range(n):
        rng = item_rng(name, seed, index)
        a, b = (Leaf(label) for label in rng.permutation(pairs[order[index % len(pairs)]]).tolist())
        trees: list[Tree] = [Node("+", a, b), Node("+", b, a)]
        if int((index + 1) * triplet_share + 1e-9) > int(index * triplet_share + 1e-9):
            trees.append(Node("*", a, b))
        wording = draw_wording(
            trees, book, rng=rng, connectives=connectives, same_words=1.0 if len(trees) == 3 else 0.25
        )
        yield _comparison(f"{name}-{index:05d}", trees, wording, bank, clips, book, rng, duration, noise_db)


def compa_attribute(
    bank: Bank,
    *,
    n: int,
    seed: int,
    kind: Literal["voices", "loudness"] = "voices",
    duration: float = 5.12,
    noise_db: Decibels = (-35.0, -15.0),
    connectives: Connectives = TRAIN,
    name: str = "compa_attribute",
) -> Iterator[Row]:
    """CompA-attribute: two events and the same two with swapped attributes, in captions of the same words.

    voices: "a baby crying while a woman laughing" against "a woman crying while a baby laughing". loudness,
    for a bank without voices: "a loud sound of A before a quiet sound of B" against quiet A and loud B, at
    least 15 dB apart. No triplets. Twins repeat only after all have been used.
    """
    clips, book = one_split(bank).by_label(), phrase_book(bank)
    voices = voice_attributes(bank)
    twins: dict[frozenset[str], tuple[Tree, Tree]] = {}
    for tree in attribute_trees(bank, kind=kind):
        if other := swap_attributes(tree, attributes=voices):
            twins.setdefault(frozenset({_said(tree), _said(other)}), (tree, other))
    pairs = list(twins.values())
    order = item_rng(name, seed).permutation(len(pairs))
    for index in range(n):
        rng = item_rng(name, seed, index)
        pair = pairs[order[index % len(pairs)]]
        trees = [pair[place] for place in rng.permutation(2)]
        wording = draw_wording(trees, book, rng=rng, connectives=connectives, parallel=kind == "voices")
        yield _comparison(f"{name}-{index:05d}", trees, wording, bank, clips, book, rng, duration, noise_db)


def _comparison(
    id: str,
    trees: Sequence[Tree],
    wording: Wording,
    bank: Bank,
    clips: Mapping[str, Sequence[int]],
    book: Book,
    rng: np.random.Generator,
    duration: float,
    noise_db: Decibels,
) -> Row:
    """Two or three audios, each caption true of its own and false of the others, in the same words."""
    texts = [write(tree, wording) for tree in trees]
    if len({tuple(sorted(text.split())) for text in texts}) > 1:
        raise BenchmarkError(
            f"{id}: the captions differ in their words: {texts}; the phrases must run parallel"
        )
    labels = sorted({leaf.label for tree in trees for leaf in leaves(tree)})
    shuffled = {label: rng.permutation(clips[label]).tolist() for label in labels}
    scenes = []
    for place, (part, tree) in enumerate(zip(("pair", "reversed", "triplet"), trees)):
        own = {label: (some[place % len(some)],) for label, some in shuffled.items()}
        scenes.append(
            realise(
                tree,
                bank=bank,
                rng=rng,
                duration=duration,
                noise_db=noise_db,
                by_label=own,
                id=f"{id}-{part}",
            )
        )
    for place, text in enumerate(texts):
        for other, scene in enumerate(scenes):
            check_truth(text, scene, book, place == other)
    row: Row = {"id": id}
    for place, part in enumerate(("pair", "reversed", "triplet")):
        there = place < len(trees)
        row[f"{part}_audio"] = flac_of(scenes[place], bank) if there else None
        row[f"{part}_caption"] = texts[place] if there else None
    return row | {"clips": clips_of(scenes, bank)}


def check_truth(text: str, scene: Scene, book: Book, truth: bool) -> None:
    """Raise unless every reading of the text has this truth on the scene's timeline."""
    if any(holds(reading, scene) != truth for reading in parse_caption(text, book)):
        raise BenchmarkError(
            f"{text!r} should be {'true' if truth else 'false'} of {scene.id} under every reading; events: "
            + ", ".join(f"{e.label} {e.start:.2f}-{e.end:.2f} s {e.gain_db:.1f} dB" for e in scene.events)
        )


def _said(tree: Tree) -> str:
    """What a tree of two operands says: of an overlay, whichever comes first."""
    return (
        "*".join(sorted(map(str, leaves(tree)))) if isinstance(tree, Node) and tree.op == "*" else str(tree)
    )


def one_split(bank: Bank) -> Bank:
    if len(splits := sorted({clip.split for clip in bank.clips})) != 1:
        raise BenchmarkError(
            f"a data set is drawn from one split, this bank has {splits}: pass bank.split(...)"
        )
    return bank


def known_labels(labels: Sequence[str] | None, bank: Bank) -> tuple[str, ...]:
    names = bank.labels() if labels is None else tuple(labels)
    if unknown := sorted(set(names) - set(bank.labels())):
        raise BenchmarkError(f"the bank has no clip of {unknown}; its labels are {', '.join(bank.labels())}")
    return names


def item_rng(name: str, seed: int, *index: int) -> np.random.Generator:
    return np.random.default_rng((zlib.crc32(name.encode()), seed, *index))


def flac_of(scene: Scene, bank: Bank) -> dict[str, Any]:
    return {"bytes": write_flac(render(scene, bank), bank.sample_rate), "path": f"{scene.id}.flac"}


def clips_of(scenes: Sequence[Scene], bank: Bank) -> list[str]:
    return sorted({bank.clips[event.clip].id for scene in scenes for event in scene.events})

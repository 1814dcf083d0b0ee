"""Pairs of texts that mean the same, for sentence encoders, each with what it means.

Two names of a sound (phrases, label in words, "sound of ..."); two captions of a scene; a caption and its
labels; a place or genre and a sound of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import numpy as np

from core.scenes.algebra import Leaf, Node, Op, Tree, leaves
from core.scenes.answers import pick
from core.scenes.places import GENRES, PLACES
from shared_data.world.datasets.text import Book, caption, weighted

Kind: TypeAlias = Literal["names", "captions", "labels", "places"]
Split: TypeAlias = Literal["train", "test"]

SHARES: dict[Kind, float] = {"names": 0.45, "captions": 0.3, "labels": 0.1, "places": 0.15}
HELD_OUT = 20  # one in so many sets of labels that are heard together is for tests alone


@dataclass(frozen=True)
class Meaning:
    """What a text says: a sound, a scene by its expression, labels without order, or a place or genre.

    labels: those it is about; of a place, those at home there.
    """

    of: Literal["sound", "scene", "labels", "place"]
    name: str
    labels: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two texts and what each means."""

    kind: Kind
    texts: tuple[str, str]
    means: tuple[Meaning, Meaning]


def alike(ones: Sequence[Meaning], twos: Sequence[Meaning]) -> np.ndarray:
    """(N, M) bool: whether a text of one meaning is a right answer to one of the other.

    Equal ones are; so are a place and any sound at home there, and labels and any scene of just these.
    """
    names: dict[tuple[str, str], int] = {}
    sets: dict[frozenset[str], int] = {}
    sides = []
    for side in (ones, twos):
        of = np.array([("sound", "scene", "labels", "place").index(one.of) for one in side])
        name = np.array([names.setdefault((one.of, one.name), len(names)) for one in side])
        labels = np.array([sets.setdefault(one.labels, len(sets)) for one in side])
        sides.append((of, name, labels))
    (of, name, labels), (of_other, name_other, labels_other) = sides
    found: np.ndarray = name[:, None] == name_other[None]
    listed = ((of == 2)[:, None] & (of_other == 1)[None]) | ((of == 1)[:, None] & (of_other == 2)[None])
    found |= listed & (labels[:, None] == labels_other[None])
    for row in np.flatnonzero(of == 3).tolist():
        for column in np.flatnonzero(of_other == 0).tolist():
            found[row, column] = twos[column].labels <= ones[row].labels
    for column in np.flatnonzero(of_other == 3).tolist():
        for row in np.flatnonzero(of == 0).tolist():
            found[row, column] = ones[row].labels <= twos[column].labels
    return found


def draw_pairs(
    *, book: Book, seed: int | tuple[int, ...], n: int, split: Split = "train", twins: float = 0.0
) -> list[Pair]:
    """`n` pairs, the same for the same seed.

    twins: share of the captions that are followed by a pair of the same labels in another order, or at once.
    Labels that are heard together are so in one split alone.
    """
    rng = np.random.default_rng(seed)
    labels, scenery = tuple(book), _scenery(book)
    shares = {kind: share for kind, share in SHARES.items() if scenery or kind != "places"}
    found: list[Pair] = []
    while len(found) < n:
        kind = weighted(shares, rng)
        if kind == "names":
            label = pick(labels, rng)
            one, two = _different(partial(_name, label, book, rng))
            means = Meaning("sound", label, frozenset({label}))
            found.append(Pair(kind=kind, texts=(one, two), means=(means, means)))
        elif kind == "places":
            means, said = pick(scenery, rng)
            heard = pick(sorted(means.labels), rng)
            sound = Meaning("sound", heard, frozenset({heard}))
            found.append(_either_way("places", pick(said, rng), _name(heard, book, rng), means, sound, rng))
        else:
            tree = _draw_tree(labels, split, rng)
            found.append(_of_scene(kind, tree, book, rng))
            if kind == "captions" and isinstance(tree, Node) and rng.random() < twins:
                found.append(_of_scene(kind, _twin(tree, rng), book, rng))
    return found[:n]


def twin_captions(*, book: Book, seed: int | tuple[int, ...], n: int) -> list[tuple[str, str, str]]:
    """(caption, another of the same scene, one of its twin), of scenes for tests."""
    rng = np.random.default_rng(seed)
    found: list[tuple[str, str, str]] = []
    while len(found) < n:
        tree = _draw_tree(tuple(book), "test", rng)
        if isinstance(tree, Node):
            one, two = _different(partial(caption, tree, book, rng))
            found.append((one, two, caption(_twin(tree, rng), book, rng)))
    return found


def _of_scene(kind: Kind, tree: Tree, book: Book, rng: np.random.Generator) -> Pair:
    names = [leaf.label for leaf in leaves(tree)]
    means = _means(tree)
    if kind == "captions" or len(names) == 1:
        one, two = _different(partial(caption, tree, book, rng))
        return Pair(kind="captions", texts=(one, two), means=(means, means))
    listed = "; ".join(name.replace("_", " ") for name in names)
    without_order = Meaning("labels", "; ".join(sorted(names)), frozenset(names))
    return _either_way("labels", caption(tree, book, rng), listed, means, without_order, rng)


def _means(tree: Tree) -> Meaning:
    """A scene of sounds at once means the same in any order; one of a single sound means that sound."""
    names = [leaf.label for leaf in leaves(tree)]
    if isinstance(tree, Leaf):
        return Meaning("sound", tree.label, frozenset(names))
    name = "+".join(names) if tree.op == "+" else "*".join(sorted(names))
    return Meaning("scene", name, frozenset(names))


def _either_way(
    kind: Kind, one: str, two: str, means: Meaning, other: Meaning, rng: np.random.Generator
) -> Pair:
    if rng.random() < 0.5:
        return Pair(kind=kind, texts=(one, two), means=(means, other))
    return Pair(kind=kind, texts=(two, one), means=(other, means))


def _different(draw: Callable[[], str]) -> tuple[str, str]:
    """Two texts of a draw that can give more than one."""
    one = draw()
    while (two := draw()) == one:
        pass
    return one, two


def _draw_tree(labels: Sequence[str], split: Split, rng: np.random.Generator) -> Tree:
    """One to three different labels, in order or at once, without nesting to be misread."""
    size = min(1 + int(rng.random() * 3), len(labels))
    op: Op = "+" if rng.random() < 0.5 else "*"
    while True:
        names: list[str] = []
        while len(names) < size:
            if (label := pick(labels, rng)) not in names:
                names.append(label)
        apart = zlib.crc32("*".join(sorted(names)).encode()) % HELD_OUT == 0
        if len(names) == 1 or apart == (split == "test"):
            return _tree(op, names)


def _tree(op: Op, names: Sequence[str]) -> Tree:
    tree: Tree = Leaf(names[0])
    for name in names[1:]:
        tree = Node(op, tree, Leaf(name))
    return tree


def _twin(tree: Node, rng: np.random.Generator) -> Tree:
    """The same labels at once where they were in order, else in order; or in another order."""
    names = [leaf.label for leaf in leaves(tree)]
    if tree.op == "*":
        return _tree("+", names)
    if rng.random() < 0.3:
        return _tree("*", names)
    one, two = sorted(rng.permutation(len(names))[:2].tolist())
    names[one], names[two] = names[two], names[one]
    return _tree("+", names)


def _name(label: str, book: Book, rng: np.random.Generator) -> str:
    """A sound in a phrase or by its label, half of the time as a "sound of" it."""
    name = pick(book[label], rng) if rng.random() < 0.65 else label.replace("_", " ")
    return f"sound of {name}" if rng.random() < 0.5 else name


def _scenery(book: Book) -> list[tuple[Meaning, tuple[str, ...]]]:
    """Places and genres of which a sound is known, and the ways to name each."""
    found: list[tuple[Meaning, tuple[str, ...]]] = []
    for name, place in PLACES.items():
        if known := place.known(book):
            said = (name, f"sound of {name}", place.phrase)
            found.append((Meaning("place", name, frozenset(known)), said))
    for name, genre in GENRES.items():
        if known := tuple(label for label in genre.instruments if label in book):
            said = (name, f"sound of {name}", genre.name)
            found.append((Meaning("place", name, frozenset(known)), said))
    return found

"""CompA's modular algebra: expression trees over labels, their truth, positives and negatives.

`+` is "then", `*` is "at the same time" (CompA, modular contrastive learning; audio_mix of its release).

Truth. A leaf is true when its label sounds. A+B is true when A and B are, and every event of A ends before
any of B starts (`timeline.before`). A*B is true when A and B are, and their hulls share at least half of the
shorter one (`timeline.overlaps`). Nothing is said of events that a tree does not name. The labels of a tree
differ.

A caption is flat: it loses the brackets, so one text has several readings. The release ignores that, and some
of its negatives are true. Here a negative must be false, and a positive true, under *every* reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np

from core.scenes.timeline import Scene, Span, before, overlaps

Op: TypeAlias = Literal["+", "*"]
Level: TypeAlias = Literal["loud", "quiet"]
Attributes: TypeAlias = Mapping[str, tuple[str, str]]  # label -> (agent, action), of voices

PAPER_CAP, RELEASE_CAP = 7, 5  # positives and negatives per caption: CompA's paper, its code
QUIET_DB = 15.0  # a quiet event is at least this much below the loudest one
LOUD_DB = 3.0  # a loud event is at most this much below it


class AlgebraError(ValueError):
    """An expression that cannot be read, or not be used as asked."""


@dataclass(frozen=True)
class Leaf:
    """A label, or a label at a loudness, "loud:dog_bark", relative to the scene's loudest event."""

    label: str
    level: Level | None = None

    def __str__(self) -> str:
        return f"{self.level}:{self.label}" if self.level else self.label


@dataclass(frozen=True)
class Node:
    op: Op
    left: Tree
    right: Tree

    def __str__(self) -> str:
        return f"({self.left}{self.op}{self.right})"


Tree: TypeAlias = Leaf | Node
Tokens: TypeAlias = tuple[Leaf | Op, ...]
Heard: TypeAlias = Mapping[Leaf, Span]


def parse(text: str) -> Tree:
    """The tree of a fully bracketed expression, the inverse of `str`. Raises AlgebraError."""
    parts = re.findall(r"[()+*]|[^()+*]+", "".join(text.split()))
    place = 0

    def take(wanted: str) -> str:
        nonlocal place
        part = parts[place] if place < len(parts) else ""
        if not part or (part not in wanted if wanted else part in "()+*"):
            expected = f"one of {wanted}" if wanted else "a label"
            raise AlgebraError(
                f"cannot read {text!r}: part {place + 1} is {part!r}, expected {expected}; "
                'bracket every operator, as in "((a+b)*c)"'
            )
        place += 1
        return part

    def tree() -> Tree:
        if place < len(parts) and parts[place] == "(":
            take("(")
            left = tree()
            op = take("+*")
            right = tree()
            take(")")
            return Node("+" if op == "+" else "*", left, right)
        level, colon, label = take("").partition(":")
        if not colon:
            return Leaf(level)
        if level not in ("loud", "quiet"):
            raise AlgebraError(f"cannot read {text!r}: {level!r} is not a loudness; use loud: or quiet:")
        return Leaf(label, "loud" if level == "loud" else "quiet")

    found = tree()
    if place < len(parts):
        raise AlgebraError(f"cannot read {text!r}: {parts[place]!r} follows its end; bracket the whole")
    return found


def leaves(tree: Tree) -> tuple[Leaf, ...]:
    """The leaves, left to right."""
    return (tree,) if isinstance(tree, Leaf) else leaves(tree.left) + leaves(tree.right)


def subtrees(tree: Tree) -> Iterator[Tree]:
    """The tree and all its sub-trees, the larger first."""
    yield tree
    if isinstance(tree, Node):
        yield from subtrees(tree.left)
        yield from subtrees(tree.right)


def tokens(tree: Tree) -> Tokens:
    """The tree as a flat caption tells it: leaves and operators in order, no brackets."""
    if isinstance(tree, Leaf):
        return (tree,)
    return (*tokens(tree.left), tree.op, *tokens(tree.right))


@lru_cache(maxsize=8192)
def readings(flat: Tokens) -> tuple[Tree, ...]:
    """Every bracketing of a flattened caption: 1, 2 or 5 trees for 2, 3 or 4 operands."""
    if len(flat) == 1 and isinstance(flat[0], Leaf):
        return (flat[0],)
    found: list[Tree] = []
    for place in range(1, len(flat) - 1, 2):
        op = flat[place]
        if not isinstance(op, str):
            raise AlgebraError(f"operands and operators must alternate: {flat}")
        for left in readings(flat[:place]):
            found += [Node(op, left, right) for right in readings(flat[place + 1 :])]
    if not found:
        raise AlgebraError(f"operands and operators must alternate: {flat}")
    return tuple(found)


def heard(scene: Scene) -> Heard:
    """What sounds when: the hull of each label, and again as loud or quiet where all its events are."""
    spans: dict[str, Span] = {}
    gains: dict[str, list[float]] = {}
    for event in scene.events:
        span = spans.get(event.label, event)
        spans[event.label] = Span(min(span.start, event.start), max(span.end, event.end))
        gains.setdefault(event.label, []).append(event.gain_db)
    found = {Leaf(label): span for label, span in spans.items()}
    if len(gains) > 1:  # a lone sound is neither loud nor quiet
        top = max(max(levels) for levels in gains.values())
        for label, levels in gains.items():
            if min(levels) >= top - LOUD_DB:
                found[Leaf(label, "loud")] = spans[label]
            elif max(levels) <= top - QUIET_DB:
                found[Leaf(label, "quiet")] = spans[label]
    return found


def holds(tree: Tree, scene: Scene) -> bool:
    """Whether the tree, with its brackets, is true of the timeline (see the module's semantics)."""
    return _hull(tree, heard(scene)) is not None


def always_true(tree: Tree, scene: Scene) -> bool:
    """Whether the tree's flat caption is true of the timeline however it is bracketed."""
    return _always(tree, heard(scene), True)


def always_false(tree: Tree, scene: Scene) -> bool:
    """Whether the tree's flat caption is false of the timeline however it is bracketed."""
    return _always(tree, heard(scene), False)


def _hull(tree: Tree, spans: Heard) -> Span | None:
    """The hull of a true tree, None for a false one."""
    if isinstance(tree, Leaf):
        return spans.get(tree)
    left = _hull(tree.left, spans)
    right = _hull(tree.right, spans) if left else None
    if left is None or right is None or not (before if tree.op == "+" else overlaps)(left, right):
        return None
    return Span(min(left.start, right.start), max(left.end, right.end))


def _always(tree: Tree, spans: Heard, truth: bool) -> bool:
    return all((_hull(reading, spans) is not None) == truth for reading in readings(tokens(tree)))


def _changed(tree: Tree) -> Iterator[Tree]:
    """Every tree that differs in one place: a + made *, a * made +, the operands of a + swapped."""
    if isinstance(tree, Leaf):
        return
    if tree.op == "+":
        yield Node("*", tree.left, tree.right)
        yield Node("+", tree.right, tree.left)
    else:
        yield Node("+", tree.left, tree.right)
    yield from (Node(tree.op, left, tree.right) for left in _changed(tree.left))
    yield from (Node(tree.op, tree.left, right) for right in _changed(tree.right))


def _lone(tree: Tree) -> bool:
    return isinstance(tree, Node) and isinstance(tree.left, Leaf) and isinstance(tree.right, Leaf)


def _distinct(trees: Iterable[Tree], *, but: Tree) -> list[Tree]:
    """Each flat caption once, in order, without that of `but`."""
    found = {tokens(but): but}
    for tree in trees:
        found.setdefault(tokens(tree), tree)
    return list(found.values())[1:]


def _some(trees: list[Tree], cap: int | None, rng: np.random.Generator | None) -> tuple[Tree, ...]:
    if cap is None or len(trees) <= cap:
        return tuple(trees)
    if rng is None:
        return tuple(trees[:cap])
    return tuple(trees[index] for index in sorted(rng.permutation(len(trees))[:cap]))


def positives(
    tree: Tree,
    scene: Scene,
    *,
    cap: int | None = PAPER_CAP,
    rng: np.random.Generator | None = None,
    ambiguous: bool = False,
) -> tuple[Tree, ...]:
    """The sub-trees, as further true captions of the scene; single leaves only of a tree of one operator.

    A lone A*B also gives B*A. All are true of the timeline under every reading of their flat caption, or with
    `ambiguous` under their own. At most `cap` (None: all), picked by `rng` (None: the first).
    """
    parts: list[Tree] = [part for part in subtrees(tree) if isinstance(part, Node) or _lone(tree)]
    if isinstance(tree, Node) and tree.op == "*" and _lone(tree):
        parts.append(Node("*", tree.right, tree.left))
    spans = heard(scene)
    true = [
        part
        for part in _distinct(parts, but=tree)
        if (_hull(part, spans) is not None if ambiguous else _always(part, spans, True))
    ]
    return _some(true, cap, rng)


def negatives(
    tree: Tree, scene: Scene, *, cap: int | None = PAPER_CAP, rng: np.random.Generator | None = None
) -> tuple[Tree, ...]:
    """The tree and its sub-trees with one operator changed or one + swapped; for a lone A*B only B+A.

    All are false of the timeline under every reading of their flat caption. At most `cap`, as in `positives`.
    """
    if isinstance(tree, Node) and tree.op == "*" and _lone(tree):
        changed: list[Tree] = [Node("+", tree.right, tree.left)]
    else:
        changed = [other for part in subtrees(tree) for other in _changed(part)]
    spans = heard(scene)
    return _some([t for t in _distinct(changed, but=tree) if _always(t, spans, False)], cap, rng)


def hard_negatives(
    tree: Tree,
    scene: Scene,
    *,
    rng: np.random.Generator,
    k: int = 3,
    attributes: Attributes | None = None,
    others: Sequence[str] = (),
) -> tuple[Tree, ...]:
    """Exactly k false captions that keep the labels (stage 2): attributes, order or operators swapped.

    Swapped attributes come first where there are any (`swap_attributes`). When the swaps run out (a lone A*B
    has two), a label is replaced by one of `others`; with none given, captions repeat. All are false under
    every reading. Raises AlgebraError for a tree without a false variant (a single leaf without `others`).
    """
    spans = heard(scene)
    swapped = swap_attributes(tree, attributes=attributes)
    names = leaves(tree)
    pool = [*_changed(tree), *([Node("+", tree.right, tree.left)] if isinstance(tree, Node) else [])]
    pool += [
        relabel(tree, {a: b, b: a}) for place, a in enumerate(names) for b in names[place + 1 :]
    ]  # two operands exchanged, wherever they stand
    first = _distinct([swapped] if swapped else [], but=tree)
    rest = [t for t in _distinct(pool, but=tree) if tokens(t) not in {tokens(f) for f in first}]
    found = [t for t in first if _always(t, spans, False)]
    false = [t for t in rest if _always(t, spans, False)]
    found += [false[index] for index in rng.permutation(len(false))[: max(0, k - len(found))]]
    absent = [label for label in others if Leaf(label) not in spans]
    while len(found) < k and absent:
        stranger = Leaf(absent.pop(int(rng.integers(len(absent)))))
        found.append(relabel(tree, {names[int(rng.integers(len(names)))]: stranger}))
    if not found:
        raise AlgebraError(f"{tree} has no false variant in scene {scene.id!r}; give a tree with an operator")
    return tuple(found[index % len(found)] for index in range(k))


def relabel(tree: Tree, names: Mapping[Leaf, Leaf]) -> Tree:
    """The tree with leaves replaced."""
    if isinstance(tree, Leaf):
        return names.get(tree, tree)
    return Node(tree.op, relabel(tree.left, names), relabel(tree.right, names))


def swap_attributes(tree: Tree, *, attributes: Attributes | None = None) -> Tree | None:
    """The first two leaves that can trade attributes do: loud and quiet, or (`attributes`) who does what.

    "a loud A, a quiet B" -> "a quiet A, a loud B"; (baby, cry), (woman, laugh) -> (woman, cry), (baby, laugh)
    if both labels exist. None when no two leaves can.
    """
    voices = attributes or {}
    labels = {pair: label for label, pair in voices.items()}
    names = leaves(tree)
    for place, a in enumerate(names):
        for b in names[place + 1 :]:
            if a.level and b.level and a.level != b.level:
                return relabel(tree, {a: Leaf(a.label, b.level), b: Leaf(b.label, a.level)})
            if a.label in voices and b.label in voices:
                (who, what), (who_else, what_else) = voices[a.label], voices[b.label]
                one, two = labels.get((who_else, what)), labels.get((who, what_else))
                if who != who_else and what != what_else and one and two:
                    return relabel(tree, {a: Leaf(one, a.level), b: Leaf(two, b.level)})
    return None


def counterpart(tree: Tree, *, rng: np.random.Generator) -> Tree:
    """A tree of the same labels that is false of every scene of `tree`: one + reversed, or + and * exchanged.

    Realised with other clips it is stage 2's "alternative sample". Raises AlgebraError for a single leaf.
    """
    if isinstance(tree, Leaf):
        raise AlgebraError(f"{tree} has no operator, so nothing to reverse or overlap")
    twins = _distinct([*_changed(tree), Node("+", tree.right, tree.left)], but=tree)
    return twins[int(rng.integers(len(twins)))]

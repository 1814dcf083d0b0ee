"""Random scenes: expression trees drawn over a bank's labels, and timelines that make them true.

Nothing is stored: a scene is a function of (seed, step, place in the batch), so every epoch is fresh, a
resumed run sees what the first would have seen, and the shares of several processes make up the batch of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal

import numpy as np

from core.scenes.algebra import (
    QUIET_DB,
    Leaf,
    Node,
    Op,
    Tree,
    always_false,
    always_true,
    counterpart,
    leaves,
    swap_attributes,
)
from core.scenes.bank import Bank
from core.scenes.places import confused
from core.scenes.timeline import Event, Scene

SIZES = (0.3, 0.6, 0.1)  # share of trees with 2, 3, 4 operands (CompA, audio_mix)
SHORTEST = 0.25  # seconds that an event keeps at least when a scene is too long


class DrawError(ValueError):
    """A tree that this bank or this duration cannot realise."""


def draw_tree(
    labels: Sequence[str],
    *,
    rng: np.random.Generator,
    sizes: Sequence[float] = SIZES,
    sequence_share: float = 0.5,
) -> Tree:
    """A random tree over different labels: `sizes` are the shares of 2, 3, 4 operands, operators + or *.

    No label sounds within another (`core.scenes.places.confused`). Raises DrawError for too few labels.
    """
    steps = np.cumsum(sizes) / np.sum(sizes)
    count = 2 + int(np.searchsorted(steps[:-1], rng.random(), side="right"))
    if len(labels) < count:
        raise DrawError(f"{count} operands need {count} labels, got {len(labels)}: {list(labels)}")
    for _ in range(64):
        names = [labels[index] for index in rng.choice(len(labels), size=count, replace=False)]
        if not any(confused(a, b) for a, b in combinations(names, 2)):
            break
    else:
        raise DrawError(f"{count} labels of {list(labels)} always sound within each other; use more labels")
    chosen = [Leaf(name) for name in names]

    def grow(names: list[Leaf]) -> Tree:
        if len(names) == 1:
            return names[0]
        cut = int(rng.integers(1, len(names)))
        op: Op = "+" if rng.random() < sequence_share else "*"
        return Node(op, grow(names[:cut]), grow(names[cut:]))

    return grow(chosen)


def voice_attributes(bank: Bank) -> dict[str, tuple[str, str]]:
    """label -> (agent, action), of the labels whose clips have both."""
    return {c.label: (c.agent, c.action) for c in bank.clips if c.agent is not None and c.action is not None}


def attribute_trees(
    bank: Bank, *, kind: Literal["voices", "loudness"], op: Op | None = None
) -> tuple[Node, ...]:
    """Every tree of two operands whose attributes can be swapped (`algebra.swap_attributes`), twins included.

    voices: two agents with two actions, overlaid by default. loudness: a loud and a quiet label, in sequence
    by default, where the louder does not mask the other; not for voices, whose attribute is another.
    Raises DrawError when the bank has none.
    """
    voices = voice_attributes(bank)
    if kind == "voices":
        pairs = [Node(op or "*", Leaf(a), Leaf(b)) for a in voices for b in voices]
        found = [tree for tree in pairs if swap_attributes(tree, attributes=voices)]
    else:
        plain = [label for label in bank.labels() if label not in voices]
        pairs = [
            Node(op or "+", Leaf(a, "loud"), Leaf(b, "quiet"))
            for a in plain
            for b in plain
            if a != b and not confused(a, b)
        ]
        found = pairs + [
            Node(tree.op, Leaf(a.label, "quiet"), Leaf(b.label, "loud"))
            for tree in pairs
            for a, b in [leaves(tree)]
        ]
    if not found:
        need = "two agents that share two actions" if kind == "voices" else "two labels that are not voices"
        raise DrawError(f"no attributes to swap: kind={kind!r} needs a bank with {need}")
    return tuple(found)


def realise(
    tree: Tree,
    *,
    bank: Bank,
    rng: np.random.Generator,
    duration: float = 5.12,
    noise_db: tuple[float, float] | None = (-35.0, -15.0),
    gain_db: tuple[float, float] = (-6.0, 0.0),
    gap: tuple[float, float] = (0.05, 0.4),
    repeat: float = 0.5,
    nested: float = 0.5,
    tries: int = 16,
    by_label: Mapping[str, Sequence[int]] | None = None,
    id: str = "",
) -> Scene:
    """A scene that makes the tree true, with random clips, pauses, gains and background.

    A + leaves a pause of `gap` seconds. A * puts the shorter operand inside the longer one (share `nested` of
    the time) or lets it stick out by up to 35 %; a shorter single clip may be repeated whole times (share
    `repeat`), as in CompA's audio_mix. Clips are cut at their end until the scene fits `duration` seconds. Up
    to `tries` layouts are drawn until the flat caption is true under every reading; where none is, the tree's
    own reading is. `by_label` is `bank.by_label()`, for callers that draw many.
    Raises DrawError for an unknown label, a label used twice, or a duration too short for the tree.
    """
    clips = bank.by_label() if by_label is None else by_label
    names = leaves(tree)
    if len({leaf.label for leaf in names}) < len(names):
        raise DrawError(
            f"{tree} uses a label twice; the truth of its captions would depend on which is meant"
        )
    if unknown := [leaf.label for leaf in names if leaf.label not in clips]:
        raise DrawError(f"the bank has no clip of {unknown}; its labels are {', '.join(sorted(clips))}")
    for _ in range(tries):
        chosen = {leaf: int(clips[leaf.label][int(rng.integers(len(clips[leaf.label])))]) for leaf in names}
        seconds = {leaf: len(bank.waveforms[clip]) / bank.sample_rate for leaf, clip in chosen.items()}
        spans = _fit(tree, seconds, rng, duration=duration, gap=gap, repeat=repeat, nested=nested)
        gains = _gains(chosen, bank, rng, gain_db)
        events = tuple(
            Event(clip=chosen[leaf], label=leaf.label, start=start, end=end, gain_db=gains[leaf])
            for leaf, (start, end) in sorted(spans.items(), key=lambda item: item[1])
        )
        noise = None if noise_db is None else float(rng.uniform(*noise_db))
        if noise is not None and any(leaf.level for leaf in names):
            noise = min(noise, -QUIET_DB - 15)  # a quiet event must not drown
        scene = Scene(id=id, events=events, duration=duration, noise_db=noise, seed=int(rng.integers(2**31)))
        if always_true(tree, scene):
            break
    return scene


def _fit(
    tree: Tree,
    seconds: Mapping[Leaf, float],
    rng: np.random.Generator,
    *,
    duration: float,
    gap: tuple[float, float],
    repeat: float,
    nested: float,
) -> dict[Leaf, tuple[float, float]]:
    """Start and end of each leaf: laid out, cut until it fits, put anywhere in the duration."""
    cap = max(seconds.values())
    while True:
        spans, total = _lay(tree, seconds, cap, rng, gap=gap, repeat=repeat, nested=nested)
        if total <= duration:
            break
        cap *= 0.85
        if cap < SHORTEST:
            raise DrawError(
                f"{tree} does not fit {duration} s with events of {SHORTEST} s and pauses of {gap} s; "
                "give it a longer duration, fewer operands or shorter pauses"
            )
    shift = rng.uniform(0, duration - total)
    return {  # a tenth of a millisecond is finer than any front end
        leaf: (round(start + shift, 4), min(round(end + shift, 4), duration))
        for leaf, (start, end) in spans.items()
    }


def _lay(
    tree: Tree,
    seconds: Mapping[Leaf, float],
    cap: float,
    rng: np.random.Generator,
    *,
    gap: tuple[float, float],
    repeat: float,
    nested: float,
) -> tuple[dict[Leaf, tuple[float, float]], float]:
    """Spans that start at 0, and their total length; no clip longer than `cap` seconds."""
    if isinstance(tree, Leaf):
        length = min(seconds[tree], cap)
        return {tree: (0.0, length)}, length
    left, left_length = _lay(tree.left, seconds, cap, rng, gap=gap, repeat=repeat, nested=nested)
    right, right_length = _lay(tree.right, seconds, cap, rng, gap=gap, repeat=repeat, nested=nested)
    if tree.op == "+":
        offset = left_length + rng.uniform(*gap)
    else:
        longer, shorter = max(left_length, right_length), min(left_length, right_length)
        side, spans = (tree.left, left) if left_length < right_length else (tree.right, right)
        if isinstance(side, Leaf) and seconds[side] <= cap and rng.random() < repeat:
            shorter *= int(longer / shorter + 1e-9)
            spans[side] = (0.0, shorter)
        inside = rng.random() < nested
        late = (
            rng.uniform(0, max(0.0, longer - shorter))  # whole repeats may exceed it by a rounding error
            if inside
            else rng.uniform(-0.35 * shorter, longer - 0.65 * shorter)
        )
        offset = late if side is tree.right else -late
        left_length, right_length = (longer, shorter) if side is tree.right else (shorter, longer)
    first = min(0.0, offset)
    spans = {leaf: (start - first, end - first) for leaf, (start, end) in left.items()}
    spans |= {leaf: (start + offset - first, end + offset - first) for leaf, (start, end) in right.items()}
    return spans, max(left_length, offset + right_length) - first


def _gains(
    chosen: Mapping[Leaf, int], bank: Bank, rng: np.random.Generator, gain_db: tuple[float, float]
) -> dict[Leaf, float]:
    """Random gains; a quiet leaf is at least QUIET_DB below a loud one in gain and in power."""
    gains = {leaf: round(float(rng.uniform(*gain_db)), 3) for leaf in chosen}
    if any(leaf.level for leaf in chosen):
        top = max(gain_db)
        power = {leaf: float(np.mean(np.square(bank.waveforms[clip]))) for leaf, clip in chosen.items()}
        least = min((power[leaf] for leaf in chosen if leaf.level != "quiet"), default=1.0)
        for leaf in chosen:
            if leaf.level == "loud":
                gains[leaf] = top
            elif leaf.level == "quiet":
                denser = max(0.0, 10 * float(np.log10(power[leaf] / least)))
                gains[leaf] = round(top - QUIET_DB - float(rng.uniform(0.5, 5)) - denser, 3)
    return gains


@dataclass(frozen=True, kw_only=True)
class SceneSource:
    """Fresh training scenes: `draw(step, n)` gives (scene, tree) pairs, the same ones for the same seed.

    With `twins`, places 2i and 2i+1 of the batch are counterparts: the same labels reversed or overlapped in
    other clips, each caption false of the other's audio (CompA stage 2's alternative sample). Without them a
    share `singles` of the scenes is one event; `sizes` are shares of trees of 2, 3, 4 operands. A share
    `attribute_share` of the trees is of two operands with attributes to swap (`attribute_kind`); their twins
    swap them. `bank` should be one split; `labels` restricts the other trees.
    With `world` processes, each of `rank` 0..world-1 gets its block of the n scenes.
    """

    bank: Bank
    seed: int
    duration: float = 5.12
    sizes: tuple[float, ...] = SIZES
    singles: float = 0.0
    sequence_share: float = 0.5
    noise_db: tuple[float, float] | None = (-35.0, -15.0)
    twins: bool = False
    attribute_share: float = 0.0
    attribute_kind: Literal["voices", "loudness"] = "voices"
    labels: tuple[str, ...] | None = None
    rank: int = 0
    world: int = 1

    @cached_property
    def _clips(self) -> dict[str, tuple[int, ...]]:
        return self.bank.by_label()

    @cached_property
    def _labels(self) -> tuple[str, ...]:
        return self.bank.labels() if self.labels is None else self.labels

    @cached_property
    def _attributes(self) -> dict[str, tuple[str, str]]:
        return voice_attributes(self.bank)

    @cached_property
    def _attribute_trees(self) -> tuple[Node, ...]:
        return attribute_trees(self.bank, kind=self.attribute_kind)

    def draw(self, step: int, n: int) -> list[tuple[Scene, Tree]]:
        """This process's scenes of the batch of n at `step`. Raises DrawError when n cannot be shared out."""
        size = 2 if self.twins else 1
        if n % (self.world * size):
            raise DrawError(
                f"a batch of {n} scenes cannot be shared by {self.world} processes"
                f"{' in pairs of twins' if self.twins else ''}; make it a multiple of {self.world * size}"
            )
        share = n // size // self.world
        found: list[tuple[Scene, Tree]] = []
        for place in range(self.rank * share, (self.rank + 1) * share):
            found += self._item(step, place)
        return found

    def _item(self, step: int, place: int) -> list[tuple[Scene, Tree]]:
        rng = np.random.default_rng((self.seed, step, place))
        id = f"{self.seed}-{step}-{place}"
        if not self.twins and rng.random() < self.singles:
            leaf = Leaf(self._labels[int(rng.integers(len(self._labels)))])
            return [(self._realise(leaf, rng, id), leaf)]
        for _ in range(64):
            if rng.random() < self.attribute_share:
                tree: Tree = self._attribute_trees[int(rng.integers(len(self._attribute_trees)))]
                twin = swap_attributes(tree, attributes=self._attributes) or tree
            else:
                tree = draw_tree(self._labels, rng=rng, sizes=self.sizes, sequence_share=self.sequence_share)
                twin = counterpart(tree, rng=rng)
            scene = self._realise(tree, rng, id)
            if not always_true(tree, scene):
                continue  # a caption with a false reading teaches noise: draw another tree
            if not self.twins:
                return [(scene, tree)]
            other = self._realise(twin, rng, id + "-twin")
            if always_true(twin, other) and always_false(twin, scene) and always_false(tree, other):
                return [(scene, tree), (other, twin)]
        raise DrawError(
            f"64 draws at step {step}, place {place} gave no unambiguous scene; "
            "use smaller trees or a longer duration"
        )

    def _realise(self, tree: Tree, rng: np.random.Generator, id: str) -> Scene:
        return realise(
            tree,
            bank=self.bank,
            rng=rng,
            duration=self.duration,
            noise_db=self.noise_db,
            by_label=self._clips,
            id=id,
        )

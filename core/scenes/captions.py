"""Captions of expression trees: phrases joined by connectives, and the way back from a text to its readings.

One wording (a phrase per label, a word for + and a word for *) serves a caption and all its positives and
negatives, as in CompA's release, so that paraphrase never tells them apart. A reversed wording writes the
whole tree from the right ("B after A"), so that neither does the order of mention; its readings mirror the
tree's, and overlay is symmetric, so what `algebra` proves of a tree holds for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.scenes.algebra import Leaf, Op, Tokens, Tree, leaves, readings
from core.scenes.bank import Bank
from core.scenes.timeline import Scene

LOUD_NOISE_DB = -20.0  # a background from here up is called noisy, a weaker one may be called quiet


class CaptionError(ValueError):
    """A caption that cannot be written, or not be read back."""


@dataclass(frozen=True, kw_only=True)
class Connectives:
    """Words for A+B (`sequence`: "A before B", `reversed`: "B after A") and for A*B (`overlay`)."""

    sequence: tuple[str, ...]
    overlay: tuple[str, ...]
    reversed: tuple[str, ...] = ()


# CompA's release, without its "proceeded by" (a likely slip for "preceded by", which says the opposite).
PAPER = Connectives(
    sequence=("followed by", "ends with", "before", "and later", "and then", "succeeded by"),
    overlay=("overlayed by", "and", "with", "accompanied by", "surrounded by", "amidst", "coupled with"),
)
TRAIN = Connectives(
    sequence=("followed by", "before", "and later", "and then", "succeeded by"),
    overlay=("and", "with", "while", "accompanied by", "amidst", "coupled with", "together with"),
    reversed=("after", "preceded by"),
)
HELD_OUT = Connectives(  # never in TRAIN: for tests of unseen words
    sequence=("ends with", "and afterwards", "and subsequently"),
    overlay=("overlayed by", "surrounded by", "alongside", "at the same time as"),
    reversed=("following", "succeeding"),
)

# Words that say sequence between two sounds and overlay around them: "A and then B", "then A and B";
# "A and at once B", "A and B at once". They make three captions of the same words (CompA-order's triplets).
ADVERBS: tuple[tuple[str, str], ...] = (("then", ""), ("next", ""), ("later", ""), ("", "at once"))

CARRIERS = ("{}", "{} can be heard", "we hear {}", "there is {}", "a recording of {}", "one can hear {}")
NOISY = ("with steady noise in the background", "over a constant background noise", "in a noisy recording")
QUIET = ("in a quiet place", "with little background noise", "in a clean recording")


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The words of one caption and its variants: a phrase per label and a connective per operator.

    `edges` are put before and after a lone overlay (see ADVERBS); `reverse` writes trees from the right.
    """

    phrases: Mapping[str, str]
    sequence: str
    overlay: str
    reverse: bool = False
    edges: tuple[str, str] = ("", "")


def phrase_book(bank: Bank) -> dict[str, tuple[str, ...]]:
    """label -> the phrases that all its clips share, in order. Raises CaptionError where none is."""
    book: dict[str, tuple[str, ...]] = {}
    for clip in bank.clips:
        known = book.get(clip.label, clip.phrases)
        book[clip.label] = known if known == clip.phrases else tuple(p for p in known if p in clip.phrases)
    if empty := [label for label, phrases in book.items() if not phrases]:
        raise CaptionError(f"the clips of {empty} share no phrase; give every clip of a label one in common")
    return book


def draw_wording(
    trees: Iterable[Tree],
    book: Mapping[str, Sequence[str]],
    *,
    rng: np.random.Generator,
    connectives: Connectives = TRAIN,
    reversed_share: float = 0.25,
    same_words: float = 0.0,
    parallel: bool = False,
) -> Wording:
    """Random words for a caption and its variants: `trees` are all that will be written with them.

    `reversed_share` is how often the connective is a reversed one; `same_words`, of trees of at most two
    operands, how often sequence and overlay are made of the same words (ADVERBS). `parallel` takes the phrase
    at the same place for every label, so that swapped attributes keep the words ("a baby crying", "a woman
    crying"). Raises CaptionError for a label without phrases.
    """
    parts = [leaves(tree) for tree in trees]
    labels = sorted({leaf.label for part in parts for leaf in part})
    if missing := [label for label in labels if not book.get(label)]:
        raise CaptionError(f"no phrase for {missing}; known labels: {', '.join(sorted(book))}")
    draws = rng.integers(2**31, size=len(labels))
    phrases = {
        label: book[label][int(draws[0 if parallel else place]) % len(book[label])]
        for place, label in enumerate(labels)
    }
    if max(map(len, parts), default=0) <= 2 and rng.random() < same_words:
        edges = ADVERBS[int(rng.integers(len(ADVERBS)))]
        return Wording(phrases=phrases, sequence="and " + "".join(edges), overlay="and", edges=edges)
    reverse = bool(connectives.reversed) and rng.random() < reversed_share
    choice = connectives.reversed if reverse else connectives.sequence
    return Wording(
        phrases=phrases,
        sequence=choice[int(rng.integers(len(choice)))],
        overlay=connectives.overlay[int(rng.integers(len(connectives.overlay)))],
        reverse=reverse,
    )


def write(tree: Tree, wording: Wording) -> str:
    """The caption of a tree; brackets are lost, as in CompA. CaptionError for a label without phrase."""
    if isinstance(tree, Leaf):
        if tree.label not in wording.phrases:
            raise CaptionError(f"the wording has no phrase for {tree.label!r}: draw it with all trees")
        phrase = wording.phrases[tree.label]
        return f"a {tree.level} sound of {phrase}" if tree.level else phrase
    if any(wording.edges) and not (isinstance(tree.left, Leaf) and isinstance(tree.right, Leaf)):
        raise CaptionError(
            f"{tree} has more than two operands: the words around {wording.edges} fit only two"
        )
    first, second = (tree.right, tree.left) if wording.reverse else (tree.left, tree.right)
    if tree.op == "+":
        return f"{write(first, wording)} {wording.sequence} {write(second, wording)}"
    front, back = wording.edges
    return f"{front} {write(first, wording)} {wording.overlay} {write(second, wording)} {back}".strip()


def embellish(caption: str, scene: Scene, *, rng: np.random.Generator) -> str:
    """A longer caption: in a carrier sentence, with a clause on the background that is true of the scene."""
    noisy = scene.noise_db is not None and scene.noise_db >= LOUD_NOISE_DB
    clauses = NOISY if noisy else QUIET
    carrier = CARRIERS[int(rng.integers(len(CARRIERS)))]
    return f"{carrier.format(caption)} {clauses[int(rng.integers(len(clauses)))]}"


def shuffle_words(caption: str, *, rng: np.random.Generator) -> str:
    """The caption's words in another order (of the shuffle diagnostic); the same where there is no other."""
    words = caption.split()
    if len(set(words)) < 2:
        return caption
    while True:
        mixed = " ".join(words[index] for index in rng.permutation(len(words)))
        if mixed != " ".join(words):
            return mixed


def parse_caption(
    caption: str,
    book: Mapping[str, Sequence[str]],
    *,
    connectives: Sequence[Connectives] = (PAPER, TRAIN, HELD_OUT),
) -> tuple[Tree, ...]:
    """Every reading, as trees, of a caption that `write` or `embellish` made. Raises CaptionError.

    It does not know how the caption was written, so it serves to check captions against timelines.
    """
    ops: dict[str, tuple[Op, bool]] = {"and " + "".join(edges): ("+", False) for edges in ADVERBS}
    for words in connectives:
        ops |= dict.fromkeys(words.overlay, ("*", False))
        ops |= dict.fromkeys(words.sequence, ("+", False))
        ops |= dict.fromkeys(words.reversed, ("+", True))
    names = _names(book)
    for text in _bare(caption):
        for front, back in ADVERBS:
            if text.startswith(front) and text.endswith(back):
                core = text[len(front) : len(text) - len(back)].strip()
                for flat, _ in _scan(core, names, {"and": ("*", False)}):
                    if len(flat) == 3:
                        return readings(flat)
        for flat, turns in _scan(text, names, ops):
            if len(turns) < 2:  # a caption is written from the left or from the right, never both
                return readings(flat[::-1] if turns == {True} else flat)
    raise CaptionError(f"cannot read {caption!r}: it is not made of the book's phrases and known connectives")


def _names(book: Mapping[str, Sequence[str]]) -> dict[str, Leaf]:
    names: dict[str, Leaf] = {}
    for label, phrases in book.items():
        for phrase in phrases:
            if names.setdefault(phrase, Leaf(label)) != Leaf(label):
                raise CaptionError(
                    f"{phrase!r} is a phrase of {names[phrase]} and of {label}: reword one of them"
                )
    loud = {f"a loud sound of {phrase}": Leaf(leaf.label, "loud") for phrase, leaf in names.items()}
    quiet = {f"a quiet sound of {phrase}": Leaf(leaf.label, "quiet") for phrase, leaf in names.items()}
    return names | loud | quiet


def _bare(caption: str) -> Iterator[str]:
    """The caption without what `embellish` may have added, in every way that could be."""
    ends = [
        caption.removesuffix(clause).strip() for clause in ("", *NOISY, *QUIET) if caption.endswith(clause)
    ]
    for text in ends:
        for carrier in CARRIERS:
            front, back = carrier.split("{}")
            if text.startswith(front) and text.endswith(back):
                yield text[len(front) : len(text) - len(back)]


def _scan(
    text: str, names: Mapping[str, Leaf], ops: Mapping[str, tuple[Op, bool]]
) -> Iterator[tuple[Tokens, set[bool]]]:
    """Every way to read a text as phrases and connectives, with the writing directions that it uses."""
    for phrase, leaf in names.items():
        if text == phrase:
            yield (leaf,), set()
        elif text.startswith(phrase + " "):
            tail = text[len(phrase) + 1 :]
            for word, (op, turned) in ops.items():
                if tail.startswith(word + " "):
                    for flat, turns in _scan(tail[len(word) + 1 :], names, ops):
                        yield (leaf, op, *flat), turns | ({turned} if op == "+" else set())

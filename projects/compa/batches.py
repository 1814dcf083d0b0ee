"""Training batches of CompA's three stages, each a function of seed, step and process alone.

Scenes are drawn fresh from the clips of the training split and mixed as power spectrograms; their captions,
positives and negatives are written from the timeline. `caption_batches` of `core.data.loader` serves the
official caption data sets at full size.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from tokenizers import Tokenizer

from core.audio.mel import ClapMel
from core.audio.spectrum import to_db
from core.encoders.clap_folder import FrontEnd, tokenize
from core.scenes.algebra import Tree, hard_negatives, negatives, positives
from core.scenes.bank import Bank
from core.scenes.captions import PAPER, TRAIN, Wording, draw_wording, embellish, phrase_book, write
from core.scenes.compose import ClipMels, clip_mels, compose_mels
from core.scenes.draw import SceneSource, voice_attributes
from core.scenes.timeline import Scene
from projects.compa.objectives import Objective

Batch = dict[str, Any]
CONNECTIVES = {"paper": PAPER, "train": TRAIN}


@dataclass(frozen=True, kw_only=True)
class SceneMix:
    """What scenes and captions are drawn. singles: share of scenes of one event; `sizes`: of 2, 3, 4 events.

    twins: every scene comes with its counterpart (CompA's "alternative sample"); attribute_share: of the
    scenes with two attributes to swap; same_words: of the captions whose order and overlap are told by the
    same words; reversed_share: of the captions told from the end ("B after A"); hard_negatives: K;
    cap: most positives and most negatives in the modular stage (paper 7, release 5).
    """

    singles: float = 0.0
    sizes: tuple[float, ...] = (0.3, 0.6, 0.1)
    twins: bool = False
    attribute_share: float = 0.15
    attribute_kind: str = "voices"
    noise_db: tuple[float, float] = (-35.0, -15.0)
    same_words: float = 0.25
    reversed_share: float = 0.25
    hard_negatives: int = 3
    cap: int = 7
    sequence_share: float = 0.5  # of the operators
    longer_share: float = 0.0  # of the captions: in a longer sentence that also tells of the background
    connectives: Literal["paper", "train"] = "paper"  # lists of core.scenes.captions


def bank_mels(bank: Bank, front_end: FrontEnd, mel: ClapMel) -> ClipMels:
    """The power spectrogram of every clip, computed once and mixed ever after."""
    return clip_mels(
        bank,
        lambda waves: mel.power_mel(waves, margin="zero").cpu(),
        seconds_per_frame=front_end.hop / front_end.sample_rate,
    )


def scene_source(
    bank: Bank, mix: SceneMix, *, seconds: float, seed: int, rank: int, world: int
) -> SceneSource:
    """The drawer of scenes that `mix` describes."""
    return SceneSource(
        bank=bank,
        seed=seed,
        duration=seconds,
        singles=mix.singles,
        sizes=mix.sizes,
        noise_db=mix.noise_db,
        twins=mix.twins,
        sequence_share=mix.sequence_share,
        attribute_share=mix.attribute_share,
        attribute_kind="loudness" if mix.attribute_kind == "loudness" else "voices",
        rank=rank,
        world=world,
    )


def log_mels(scenes: Sequence[Scene], mels: ClipMels, front_end: FrontEnd) -> torch.Tensor:
    """Mixtures as the front end would hear them: (B, 1, T, F) in dB."""
    return to_db(torch.from_numpy(compose_mels(scenes, mels, frames=front_end.frames)))[:, None]


def scene_batches(
    bank: Bank,
    mels: ClipMels,
    tokenizer: Tokenizer,
    *,
    mix: SceneMix,
    objective: Objective,
    front_end: FrontEnd,
    batch_size: int,
    max_tokens: int,
    pad_to_max: bool,
    seed: int,
    accumulation: int = 1,
) -> Callable[[int], Iterator[Batch]]:
    """`batches(step)` for `core.train.loop.fit`; `batch_size` counts the scenes of all processes together.

    accumulation: that of the training options, batches a step.
    """
    book = phrase_book(bank)
    attributes = voice_attributes(bank)

    def batches(step: int) -> Iterator[Batch]:
        from accelerate import PartialState

        state = PartialState()
        rank, world = state.process_index, state.num_processes
        # texts are drawn one after the other: each process writes those of all, and keeps its own
        own, whole = (
            scene_source(bank, mix, seconds=front_end.max_seconds, seed=seed, rank=at, world=of)
            for at, of in ((rank, world), (0, 1))
        )
        for number in itertools.count(step * accumulation):
            drawn = own.draw(number, batch_size)
            all_texts = write_texts(
                drawn if world == 1 else whole.draw(number, batch_size),
                objective=objective,
                mix=mix,
                book=book,
                attributes=attributes,
                rng=np.random.default_rng((seed, number, 0, 1)),
            )
            texts = all_texts if world == 1 else all_texts.of(rank * len(drawn), len(drawn))
            ids, mask = tokenize(tokenizer, texts.texts, max_tokens=max_tokens, pad_to_max=pad_to_max)
            scenes = [scene for scene, _ in drawn]
            yield {
                "ids": [scene.id for scene in scenes],
                "features": log_mels(scenes, mels, front_end),
                "is_longer": torch.zeros(len(scenes), 1, dtype=torch.bool),
                "input_ids": ids,
                "attention_mask": mask,
                "positives": _padded(texts.positives),
                "negatives": _padded(texts.negatives),
            }

    return batches


@dataclass(frozen=True)
class Texts:
    """All texts of a batch, captions first, and the places of each scene's positives and negatives."""

    texts: list[str]
    positives: list[list[int]]
    negatives: list[list[int]]

    def of(self, first: int, scenes: int) -> Texts:
        """Those of some scenes that follow each other."""
        rows = slice(first, first + scenes)
        kept = [self.positives[rows], self.negatives[rows]]
        others = sorted({place for group in kept for row in group for place in row})
        places = {place: scenes + number for number, place in enumerate(others)}
        moved = [[[places[place] for place in row] for row in group] for group in kept]
        return Texts([*self.texts[rows], *(self.texts[place] for place in others)], *moved)


def write_texts(
    drawn: Sequence[tuple[Scene, Tree]],
    *,
    objective: Objective,
    mix: SceneMix,
    book: Mapping[str, Sequence[str]],
    attributes: Mapping[str, tuple[str, str]],
    rng: np.random.Generator,
) -> Texts:
    """Captions in one wording with their variants, each true or false of its timeline as it must be."""
    captions: list[str] = []
    others: dict[str, int] = {}  # a text that occurs often is embedded once
    places: dict[str, list[list[int]]] = {"positives": [], "negatives": []}
    labels = sorted(book)
    for scene, tree in drawn:
        good: tuple[Tree, ...] = ()
        bad: tuple[Tree, ...] = ()
        if objective == "hard_negatives":
            absent = [label for label in labels if label not in {event.label for event in scene.events}]
            strangers = [absent[int(i)] for i in rng.integers(len(absent), size=4)]
            bad = hard_negatives(
                tree, scene, rng=rng, k=mix.hard_negatives, attributes=attributes, others=strangers
            )
        elif objective == "modular":
            good = positives(tree, scene, cap=mix.cap, rng=rng)
            bad = negatives(tree, scene, cap=mix.cap, rng=rng)
        wording = draw_wording(
            [tree, *good, *bad],
            book,
            rng=rng,
            connectives=CONNECTIVES[mix.connectives],
            reversed_share=mix.reversed_share,
            same_words=mix.same_words,
            parallel=any(event.label in attributes for event in scene.events),
        )
        style = int(rng.integers(2**31)) if rng.random() < mix.longer_share else None
        captions.append(_said(tree, wording, scene, style))
        # A scene without sub-trees keeps its own caption as its positive: every row needs one.
        for kind, trees in (("positives", good or (tree,)), ("negatives", bad)):
            wanted = trees if objective != "contrastive" else ()
            texts = [_said(variant, wording, scene, style) for variant in wanted]
            places[kind].append([others.setdefault(text, len(others)) for text in texts])
    moved = {
        kind: [[place + len(captions) for place in row] for row in rows] for kind, rows in places.items()
    }
    return Texts([*captions, *others], moved["positives"], moved["negatives"])


def _said(tree: Tree, wording: Wording, scene: Scene, style: int | None) -> str:
    """The caption, in the longer sentence of number `style`, which all variants of a caption share."""
    text = write(tree, wording)
    return text if style is None else embellish(text, scene, rng=np.random.default_rng(style))


def _padded(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """(B, K) int64 with -1 where a row is shorter."""
    width = max(map(len, rows), default=0)
    return torch.tensor([[*row, *[-1] * (width - len(row))] for row in rows], dtype=torch.int64).reshape(
        len(rows), width
    )

"""Training batches: instructions drawn from weighted files, each batch a function of seed and step alone."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import Tensor

from core.adapters.prefix_lm import SHOWN, ContextTooLong, LongTexts, encode_texts, text_lengths
from core.adapters.soft_prompt import choose_tags, hint_sentence
from core.audio_lm.branches import BRANCHES, Branch
from core.audio_lm.features import Store
from core.audio_lm.model import read_features
from core.audio_lm.turns import Format, Turn, alpaca, audio_of, turns_of, with_hint
from core.data.instructions import Instruction, read_instructions
from core.encoders.ast import tags

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TagSource = Literal["predicted", "gold", "random", "none"]


class MixError(ValueError):
    """A mix of instruction files that cannot be drawn from."""


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What the soft prompt's sentence tells: tags from the tagger, the true ones, random ones, or none."""

    source: TagSource = "predicted"
    threshold: float = 0.5
    limit: int = 5
    seed: int = 0


@dataclass(frozen=True)
class Mix:
    """Instruction files with weights. A draw takes a file by its weight, then one of its items uniformly.

    epochs: items are passed over instead, each as often an epoch as its file's weight says, in another order
    every epoch. Raises MixError for a weight that is then no whole number.
    """

    files: tuple[tuple[Instruction, ...], ...]
    weights: tuple[float, ...]
    epochs: bool = False

    def __post_init__(self) -> None:
        if self.epochs and (odd := [weight for weight in self.weights if weight != int(weight)]):
            raise MixError(
                f"weights {odd}: with `epochs` a weight is how often an epoch has each item, a whole number"
            )

    @property
    def size(self) -> int:
        """Items of an epoch."""
        if not self.epochs:
            return sum(map(len, self.files))
        return sum(int(weight) * len(file) for weight, file in zip(self.weights, self.files))

    def draw(self, *, seed: int, step: int, n: int, rank: int = 0, world: int = 1) -> list[Instruction]:
        """This process's share of the n items of a step. Raises MixError when n cannot be shared out."""
        if n % world:
            raise MixError(
                f"a batch of {n} cannot be shared by {world} processes; make it a multiple of {world}"
            )
        mine = slice(rank * (n // world), (rank + 1) * (n // world))
        if self.epochs:
            return [self._passed(place, seed) for place in range(step * n, (step + 1) * n)[mine]]
        rng = np.random.default_rng((seed, step))
        share = np.array(self.weights) / sum(self.weights)
        chosen = rng.choice(len(self.files), size=n, p=share)
        at = rng.random(n)
        drawn = [self.files[f][int(u * len(self.files[f]))] for f, u in zip(chosen, at)]
        return drawn[mine]

    def _passed(self, place: int, seed: int) -> Instruction:
        """The item at a place of all epochs, one after the other."""
        epoch, within = divmod(place, self.size)
        at = int(_order(seed, epoch, self.size)[within])
        for weight, file in zip(self.weights, self.files):
            if at < int(weight) * len(file):
                return file[at % len(file)]
            at -= int(weight) * len(file)
        raise AssertionError("an order holds the places of an epoch")


@functools.lru_cache(maxsize=2)  # a batch may end one epoch and begin the next
def _order(seed: int, epoch: int, size: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(size)


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How texts fit. cut: longer than allowed; unanswered: those of them whose prompt alone is as long."""

    texts: int
    cut: int
    unanswered: int

    def __str__(self) -> str:
        alone = f", {self.unanswered} of them within the question" if self.unanswered else ""
        return f"{self.cut} of {self.texts} texts are cut{alone}"


def read_mix(
    folder: Path, weights: Mapping[str, float], *, known: Callable[[str], bool], epochs: bool = False
) -> Mix:
    """The named files of `folder`; epochs: see `Mix`. Raises MixError for an empty file, a weight that is not
    positive, or audio that has no features (`known` is false)."""
    files = []
    for name, weight in weights.items():
        items = _read(folder / f"{name}.json")
        if not items or not weight > 0:
            raise MixError(
                f"{folder / name}.json has {len(items)} items and the weight {weight}; both must be above 0"
            )
        if lost := sorted({item.audio_id for item in items if not known(item.audio_id)}):
            raise MixError(
                f"{folder / name}.json: {len(lost)} audios have no features ({', '.join(lost[:3])}, ...): "
                "run the stage `features` again, with the sets that these belong to"
            )
        files.append(items)
    return Mix(tuple(files), tuple(weights.values()), epochs)


@functools.lru_cache(maxsize=8)
def _read(path: Path) -> tuple[Instruction, ...]:
    """A file that several phases draw from is read once."""
    return tuple(read_instructions(path))


def check_lengths(
    mix: Mix,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_tokens: int,
    long_texts: LongTexts = "refuse",
    hints: Hints | None = None,
    tag_logits: Callable[[Sequence[str]], Tensor] | None = None,
    labels: Sequence[str] = (),
    gold: Mapping[str, Sequence[str]] | None = None,
    form: Format = alpaca,
) -> Lengths:
    """How the texts of a mix fit, hint sentences included, before anything is trained.

    hints to form: as for `prompts`. Raises ContextTooLong, with the items, for texts that do not fit and may
    not be cut.
    """
    items = list(itertools.chain.from_iterable(mix.files))
    cut, unanswered, long = 0, 0, list[str]()
    for first in range(0, len(items), 4096):
        part = items[first : first + 4096]
        said = [turns_of(item) for item in part]
        asked = prompts(said, hints, tag_logits or _no_tags, labels=labels, gold=gold or {}, form=form)
        found = text_lengths(tokenizer, asked, [form(turns)[1] for turns in said])
        for item, (head, whole) in zip(part, found, strict=True):
            if whole > max_tokens:
                cut, unanswered = cut + 1, unanswered + (head >= max_tokens)
                if len(long) < SHOWN:
                    long.append(f"{item.audio_id} ({item.task}, {whole} tokens)")
    if long and long_texts == "refuse":
        hinted = ", some for their hint sentence (hints.limit)" if hints else ""
        raise ContextTooLong(
            f"{cut} of {len(items)} texts exceed {max_tokens} tokens{hinted}: {', '.join(long)}"
            f"{' ...' if cut > SHOWN else ''}; raise max_tokens, leave these items out, or set "
            "long_texts: cut"
        )
    return Lengths(texts=len(items), cut=cut, unanswered=unanswered)


def _no_tags(audios: Sequence[str]) -> Tensor:
    raise MixError(f"hints for {audios[0]} need the tagger's features")


def prompts(
    asked: Sequence[Sequence[Turn]],
    hints: Hints | None,
    tag_logits: Callable[[Sequence[str]], Tensor],
    *,
    labels: Sequence[str],
    gold: Mapping[str, Sequence[str]],
    form: Format = alpaca,
) -> list[str]:
    """Prompts, with `hints` each after the sentence of its audio's tags.

    tag_logits: audios -> (B, C), the tagger's for `labels`; asked only where there are hints. form: the
    prompt format.
    """
    if hints is None:
        return [form(turns)[0] for turns in asked]
    audios = [audio_of(turns) for turns in asked]
    if hints.source == "gold" and (lost := [audio for audio in audios if audio not in gold]):
        raise MixError(
            f"no true tags are known of {lost[0]}: hints.source gold needs sets whose rows have events"
        )
    heard = tags(tag_logits(audios), labels, threshold=hints.threshold, limit=hints.limit)
    out = []
    for turns, audio, predicted in zip(asked, audios, heard):
        rng = np.random.default_rng((hints.seed, *audio.encode()))
        chosen = choose_tags(predicted, gold.get(audio, ()), labels, mode=hints.source, rng=rng)
        sentence = hint_sentence([tag.replace("_", " ") for tag in chosen])
        out.append(form(with_hint(turns, sentence))[0])
    return out


def instruction_batches(
    mix: Mix,
    store: Store,
    tokenizer: PreTrainedTokenizerBase,
    *,
    branches: Sequence[str],
    batch_size: int,
    max_tokens: int,
    loss_on: Literal["answer", "all"],
    hints: Hints | None,
    labels: Sequence[str],
    seed: int,
    accumulation: int = 1,
    gold: Mapping[str, Sequence[str]] | None = None,
    known: Mapping[str, Branch] = BRANCHES,
    form: Format = alpaca,
    long_texts: LongTexts = "refuse",
) -> Callable[[int], Iterator[dict[str, Any]]]:
    """`batches(step)` for `core.train.loop.fit`; `batch_size` counts the items of all processes.

    branches: names of those that want features, among the `known`. form: the prompt format. accumulation:
    that of the training options, batches a step.
    """

    def batches(step: int) -> Iterator[dict[str, Any]]:
        from accelerate import PartialState

        state = PartialState()
        for number in itertools.count(step * accumulation):
            items = mix.draw(
                seed=seed, step=number, n=batch_size, rank=state.process_index, world=state.num_processes
            )
            said = [turns_of(item) for item in items]
            ids = [f"{item.audio_id} ({item.task})" for item in items]
            text = encode_texts(
                tokenizer,
                prompts(said, hints, store.tag_logits, labels=labels, gold=gold or {}, form=form),
                [form(turns)[1] for turns in said],
                ids=ids,
                max_tokens=max_tokens,
                loss_on=loss_on,
                long_texts=long_texts,
            )
            yield {
                "ids": ids,
                "features": read_features(store, branches, [item.audio_id for item in items], known),
                "text": text,
            }

    return batches

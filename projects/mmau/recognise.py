"""Speech recognition with pocketsphinx: its general US-English model, or one made from a split's texts.

Synthetic voices are far from the speech that its Gaussians were estimated from, so error rates are high and
what it writes is a guess. Texts are a training split's, never those of an item that is asked about.
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from core.run.files import write_text_atomic

RATE = 16_000  # Hz that the acoustic model hears
FRAME = 0.01  # seconds
Options = tuple[tuple[str, Any], ...]  # of pocketsphinx
# Every second frame, two Gaussians a codebook, few words at a time, one pass: a third of the time.
FAST: Options = (("ds", 2), ("topn", 2), ("maxhmmpf", 1500), ("maxwpf", 5), ("fwdflat", False))
CAREFUL: Options = (("ds", 2), ("maxhmmpf", 3000), ("maxwpf", 5), ("fwdflat", False), ("lw", 8.0))
DISCOUNT = 0.5  # taken from the count of every seen pair of words, for the pairs never seen
QUOTED = re.compile(r'"([^"]*)"')
SENTENCES = re.compile(r"[.!?]+")
WORDS = re.compile(r"[a-z]+(?:'[a-z]+)*")


class RecogniserMissingError(FileNotFoundError):
    """pocketsphinx, or its model, is not installed."""


class RecogniserError(ValueError):
    """Sound that cannot be recognised, or texts that no language model can be made of."""


@dataclass(frozen=True)
class Word:
    """A word as heard, from `start` to `stop` seconds."""

    text: str
    start: float
    stop: float


@dataclass(frozen=True, kw_only=True)
class Model:
    """Files that a recogniser reads; "" is pocketsphinx's own. options: of its search."""

    language: str = ""
    dictionary: str = ""
    means: str = ""
    variances: str = ""
    options: Options = FAST


def why_absent() -> str | None:
    """None when speech can be recognised here; otherwise the reason in one sentence, with what to do."""
    if importlib.util.find_spec("pocketsphinx") is None:
        return "pocketsphinx is missing: install the package pocketsphinx"
    for part in ("en-us/en-us/mdef", "en-us/en-us.lm.bin", "en-us/cmudict-en-us.dict"):
        if not own(part).is_file():
            return f"pocketsphinx is incomplete, {part} is missing: install the package pocketsphinx again"
    return None


def own(part: str) -> Path:
    """A file of pocketsphinx's own model."""
    import pocketsphinx

    return Path(pocketsphinx.get_model_path(part))


@dataclass(frozen=True)
class Recogniser:
    """A recogniser, opened when first used. Not to be shared by threads."""

    model: Model

    @cached_property
    def decoder(self) -> Any:
        """pocketsphinx's decoder. Raises RecogniserMissingError."""
        return open_decoder(self.model)

    def words(self, sound: np.ndarray, *, name: str) -> list[Word]:
        """The words of float32 (samples,) at RATE; none where nothing was understood.

        Raises RecogniserError that names the item for sound that is silent or shorter than 50 ms.
        """
        listen(self.decoder, sound, name=name)
        if self.decoder.hyp() is None:
            return []
        return [
            Word(re.sub(r"\(\d+\)$", "", part.word), part.start_frame * FRAME, (part.end_frame + 1) * FRAME)
            for part in self.decoder.seg()
            if part.word[0] not in "<["
        ]


def open_decoder(model: Model, **options: Any) -> Any:
    """A decoder with further options of pocketsphinx. Raises RecogniserMissingError."""
    if reason := why_absent():
        raise RecogniserMissingError(reason)
    import pocketsphinx

    files = {
        "hmm": str(own("en-us/en-us")),
        "lm": model.language or str(own("en-us/en-us.lm.bin")),
        "dict": model.dictionary or str(own("en-us/cmudict-en-us.dict")),
    }
    files |= {key: path for key, path in (("mean", model.means), ("var", model.variances)) if path}
    given = {"samprate": RATE, "loglevel": "FATAL", **dict(model.options), **files, **options}
    return pocketsphinx.Decoder(**{key: value for key, value in given.items() if value is not None})


def listen(decoder: Any, sound: np.ndarray, *, name: str) -> None:
    """Let a decoder hear a whole utterance. Raises RecogniserError."""
    if len(sound) < 0.05 * RATE or float(np.abs(sound).max()) < 1e-4:
        raise RecogniserError(f"{name}: {len(sound) / RATE:.2f} s of sound without speech; look at the file")
    decoder.reinit_feat()  # else what an utterance sounds like depends on those before it
    decoder.start_utt()
    decoder.process_raw((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()


def spoken(facts: str) -> list[str]:
    """What is said in a description: its quoted texts."""
    return QUOTED.findall(facts)


def sentences(text: str) -> list[list[str]]:
    """The words of each sentence, in small letters, as the dictionary spells them."""
    found = (WORDS.findall(part.lower()) for part in SENTENCES.split(text))
    return [words for words in found if words]


def pronunciations() -> dict[str, list[str]]:
    """Word -> its lines in pocketsphinx's CMU dictionary."""
    lines: dict[str, list[str]] = {}
    for line in own("en-us/cmudict-en-us.dict").read_text(encoding="utf-8").splitlines():
        lines.setdefault(re.sub(r"\(\d+\)$", "", line.split(maxsplit=1)[0]), []).append(line)
    return lines


def common_words(n: int) -> dict[str, float]:
    """The n most probable words of pocketsphinx's general language model, and their probabilities."""
    if n == 0:
        return {}
    decoder = open_decoder(Model())
    model, logs = decoder.get_lm(), decoder.get_logmath()
    words = [word for word in pronunciations() if WORDS.fullmatch(word)]
    ranked = sorted(words, key=lambda word: (-model.prob([word]), word))[:n]
    return {word: logs.exp(model.prob([word])) for word in ranked}


def learn_language(
    folder: Path,
    texts: Iterable[str],
    *,
    common: int,
    share: float = 0.5,
) -> tuple[Model, int]:
    """A dictionary and a bigram model of `texts`, and `common` general words with `share` of the chances.

    Pronunciations are of the CMU dictionary; sentences with words that are not in it are left out. Returns
    the model and how many words were unknown. Raises RecogniserError when no sentence is left.
    """
    known = pronunciations()
    said = [sentence for text in texts for sentence in sentences(text)]
    unknown = {word for sentence in said for word in sentence if word not in known}
    said = [sentence for sentence in said if not unknown & set(sentence)]
    if not said:
        raise RecogniserError("no sentence of which all words are in the dictionary: nothing to learn from")
    general = common_words(common)
    arpa = bigrams(said, general, share=share if general else 0.0)
    vocabulary = sorted({word for sentence in said for word in sentence} | set(general))
    lines = [line for word in vocabulary for line in known[word]]
    language, dictionary = folder / "spoken.arpa", folder / "spoken.dict"
    write_text_atomic(language, arpa)
    write_text_atomic(dictionary, "\n".join(lines) + "\n")
    return Model(language=str(language), dictionary=str(dictionary), options=CAREFUL), len(unknown)


def bigrams(said: Sequence[Sequence[str]], general: dict[str, float], *, share: float) -> str:
    """A bigram model in the ARPA format: absolute discounting, backed off to single words.

    Single words have their share of `said`, mixed with `general` (word -> weight).
    """
    turns = [("<s>", *sentence, "</s>") for sentence in said]
    single = Counter(word for turn in turns for word in turn[1:])
    pairs = Counter(pair for turn in turns for pair in pairwise(turn))
    before = Counter(first for turn in turns for first in turn[:-1])
    kinds = Counter(first for first, _ in pairs)
    total, weights = single.total(), sum(general.values()) or 1.0
    vocabulary = sorted({*single, *general})
    chance = {
        word: (1 - share) * single[word] / total + share * general.get(word, 0.0) / weights
        for word in vocabulary
    }
    seen: dict[str, float] = {}
    for first, second in pairs:
        seen[first] = seen.get(first, 0.0) + chance[second]
    rest = {first: DISCOUNT * kinds[first] / before[first] for first in before}
    backoff = {first: rest[first] / max(1.0 - seen[first], 1e-6) for first in before}

    def log(value: float) -> str:
        return f"{math.log10(min(max(value, 1e-9), 1.0)):.4f}"

    lines = ["\\data\\", f"ngram 1={len(vocabulary) + 1}", f"ngram 2={len(pairs)}", "", "\\1-grams:"]
    lines += [f"-99.0 <s> {log(backoff['<s>'])}"]
    lines += [f"{log(chance[word])} {word} {log(backoff.get(word, 1.0))}" for word in vocabulary]
    lines += ["", "\\2-grams:"]
    lines += [
        f"{log((count - DISCOUNT) / before[first])} {first} {second}"
        for (first, second), count in sorted(pairs.items())
    ]
    return "\n".join([*lines, "", "\\end\\", ""])

"""Captioning metrics per item, by aac-metrics: CIDEr-D, SPICE and SPIDEr.

Texts are lower-cased, lose ASCII punctuation as in LTU's script, which GAMA follows ("far-off" is "faroff"),
and are split at spaces and at any other punctuation. The official scorers then tokenise with Stanford's PTB
tokeniser, a Java program: captions without punctuation come out of it the same.

SPICE is a Java program with models of its own; where it cannot run, it is left out with a reason.
"""

from __future__ import annotations

import os
import re
import shutil
import string
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DROPPED = str.maketrans("", "", string.punctuation + "’‘‐‑")
PUNCTUATION = re.compile(r"[^\w\s]")


class CaptionScoreError(ValueError):
    """Captions that cannot be scored, or a scorer that broke."""


@dataclass(frozen=True, kw_only=True)
class CaptionScores:
    """Scores of N items. CIDEr-D is in [0, 10], SPICE in [0, 1], SPIDEr their mean.

    `spice` and `spider` are None where `not_run` ("not run: ...") says why.
    """

    cider_d: np.ndarray
    spice: np.ndarray | None
    spider: np.ndarray | None
    not_run: str = ""


def plain_words(text: str) -> list[str]:
    """The words that are compared: "A dog's bark, far-off." -> a, dogs, bark, faroff."""
    return PUNCTUATION.sub(" ", text.translate(DROPPED).lower()).split()


def caption_scores(
    candidates: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    ids: Sequence[str] | None = None,
    with_spice: bool = True,
) -> CaptionScores:
    """Score one candidate an item against its references.

    GAMA averages five generations of a clip: score each generation of all clips by itself, average the five.
    Items given five times are another thing: n-grams that no reference holds then weigh log 5N instead of
    log N in CIDEr-D, which lowers the scores of captions that have any. An empty candidate scores 0. `ids`
    name the items in messages. Raises CaptionScoreError.
    """
    texts, truths = _prepared(candidates, references, ids)
    cider = cider_d(candidates, references, ids=ids)
    reason = spice_missing() if with_spice else "not run: SPICE was not asked for"
    if reason:
        return CaptionScores(cider_d=cider, spice=None, spider=None, not_run=reason)
    spice = _spice(texts, truths)
    return CaptionScores(cider_d=cider, spice=spice, spider=(cider + spice) / 2)


def cider_d(
    candidates: Sequence[str], references: Sequence[Sequence[str]], *, ids: Sequence[str] | None = None
) -> np.ndarray:
    """CIDEr-D (Vedantam et al., CVPR 2015) of each item, (N,) float64 in [0, 10].

    Document frequencies are those of all references given, so an item's score depends on the others; n-grams
    that every item's references hold weigh nothing. Needs two items at least. Raises CaptionScoreError.
    """
    texts, truths = _prepared(candidates, references, ids)
    if len(texts) < 2:
        raise CaptionScoreError(
            f"{len(texts)} item: CIDEr-D weighs n-grams by how rare they are among items, so give it the "
            "whole test set"
        )
    from aac_metrics.functional.cider_d import cider_d as score  # imports torch

    _, items = score(texts, truths)
    return np.asarray(items["cider_d"], dtype=np.float64)


def spice_missing() -> str:
    """Why SPICE cannot run here, "not run: ..."; empty where it can. No paths: it goes into results.

    AAC_METRICS_JAVA_PATH and AAC_METRICS_CACHE_PATH name another Java and another folder of models.
    """
    java = os.environ.get("AAC_METRICS_JAVA_PATH", "java")
    if shutil.which(java) is None:
        return f"not run: SPICE needs Java 8 to 13, and there is no {Path(java).name!r} here"
    from aac_metrics.functional.spice import check_spice_install
    from aac_metrics.utils import checks
    from aac_metrics.utils.globals import get_default_cache_path

    try:
        supported = checks.check_java_path(java)
    except ValueError:
        supported = False
    if not supported:
        return (
            f"not run: SPICE needs Java {checks.MIN_JAVA_MAJOR_VERSION} to {checks.MAX_JAVA_MAJOR_VERSION}, "
            f"and {Path(java).name!r} is another; set AAC_METRICS_JAVA_PATH"
        )
    try:
        check_spice_install(get_default_cache_path())
    except OSError:
        return "not run: SPICE's models are absent or not whole; run `aac-metrics-download`"
    return ""


def _spice(texts: Sequence[str], truths: Sequence[list[str]]) -> np.ndarray:
    """SPICE's F of each item (N,); 0 for an empty candidate, and where neither side has a tuple."""
    from aac_metrics.functional.spice import spice as score  # imports torch

    scores = np.zeros(len(texts))
    said = [index for index, text in enumerate(texts) if text]
    if said:
        try:
            _, items = score([texts[index] for index in said], [truths[index] for index in said])
        except (subprocess.SubprocessError, OSError, KeyError) as error:
            raise CaptionScoreError(
                f"SPICE broke ({error}); see its output above, or score without it (with_spice=False)"
            ) from error
        scores[said] = np.nan_to_num(np.asarray(items["spice"], dtype=np.float64), nan=0.0)
    return scores


def _prepared(
    candidates: Sequence[str], references: Sequence[Sequence[str]], ids: Sequence[str] | None
) -> tuple[list[str], list[list[str]]]:
    """Candidates and references as plain words joined by spaces."""
    names = [f"item {index}" for index in range(len(candidates))] if ids is None else list(ids)
    if not len(candidates) == len(references) == len(names):
        raise CaptionScoreError(
            f"{len(candidates)} candidates, {len(references)} lists of references and {len(names)} ids: "
            "give one of each for every item"
        )
    texts = [" ".join(plain_words(text)) for text in candidates]
    truths = [[" ".join(plain_words(text)) for text in each] for each in references]
    for name, each in zip(names, truths):
        if not each or not all(each):
            raise CaptionScoreError(f"{name} has no reference, or one without a word; leave the item out")
    return texts, truths

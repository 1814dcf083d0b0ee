"""Answer the test sets with one row. Reads: data/<profile>/features, predictions/<profile>/gold and
checkpoints/<profile>/<row>; writes: predictions/<profile>/<row>/<set>.jsonl, one line a question.

A line holds the question's id and the answer of every seed. Decoding is greedy unless `sampling` is given:
the release samples, so that its numbers cannot be repeated.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.adapters.prefix_lm import Sampling
from core.audio_lm.artefact import AudioLm, open_audio_lm, read_artefact
from core.audio_lm.batches import Hints
from core.audio_lm.model import encoders_of
from core.audio_lm.store import Store, open_store, read_truth
from core.run.jsonl import read_lines, write_lines
from core.run.stage import Context, progress


@dataclass(frozen=True)
class Config:
    """checkpoint: a trained row. swap: every question is asked of another item's audio (a blind control).

    answer_tokens: the longest answer per set, `max_new_tokens` where none is given. hints: the soft prompt's
    tags, for rows that have one.
    """

    checkpoint: str
    sets: tuple[str, ...]
    answer_tokens: dict[str, int]
    seeds: tuple[int, ...] = (0,)
    swap: bool = False
    hints: Hints | None = None
    sampling: Sampling | None = None
    max_new_tokens: int = 40
    batch_size: int = 64


@dataclass(frozen=True)
class Question:
    """What is asked of which audio."""

    id: str
    audio: str
    instruction: str


def predict(config: Config, *, context: Context) -> None:
    """Answer every set with every seed's weights."""
    base = context.path("checkpoints", config.checkpoint)
    row = read_artefact(base / f"seed{config.seeds[0]}").row
    if row.soft_prompt != (config.hints is not None):
        raise ValueError(
            f"{config.checkpoint} was trained {'with' if row.soft_prompt else 'without'} a soft prompt: "
            f"{'give' if row.soft_prompt else 'remove'} predict.{context.variant}.hints"
        )
    gold = context.path("predictions", "gold")
    # a set that this profile has not got is not in `gold` either, which said why
    questions = {name: q for name in config.sets if (q := read_questions(gold / f"{name}.jsonl"))}
    if not questions:
        raise FileNotFoundError(f"no questions in {gold}: run the stage `gold` of projects/gama")
    features = context.path("data", "features")
    audios = sorted({q.audio.partition(":")[0] for asked in questions.values() for q in asked})
    store = open_store(features, audios, encoders_of(row))
    labels = json.loads((features / "labels.json").read_text(encoding="utf-8"))
    truth = read_truth(features, audios) if config.hints and config.hints.source == "gold" else {}
    answers: dict[str, list[list[str]]] = {name: [] for name in questions}
    for seed in config.seeds:
        model = open_audio_lm(base / f"seed{seed}", root=context.root)
        began, tokens = time.monotonic(), 0
        for name, asked in questions.items():
            made = answer(model, store, asked, config=config, name=name, labels=labels, truth=truth)
            answers[name].append(made)
            tokens += sum(len(ids) for ids in model.tokenizer(made, add_special_tokens=False)["input_ids"])
        context.tracker.log_metrics({"tokens_per_second": tokens / (time.monotonic() - began)}, step=seed)
    out = context.path("predictions", str(context.variant))
    for name, asked in questions.items():
        lines = [
            {"id": q.id, "answers": list(said)}
            for q, said in zip(asked, zip(*answers[name], strict=True), strict=True)
        ]
        write_lines(out / f"{name}.jsonl", lines)
        print(f"{name}: {len(lines)} questions; {asked[0].instruction!r} -> {answers[name][0][0]!r}")


def read_questions(path: Path) -> list[Question]:
    """The questions of a set, as the stage `gold` wrote them; none where it did not."""
    if not path.is_file():
        return []
    return [Question(line["id"], line["audio"], line["instruction"]) for line in read_lines(path)]


def swapped(audios: Sequence[str], *, seed: int = 0) -> list[str]:
    """The audios in another order, so that no question keeps its own (where there are two different ones)."""
    rng = np.random.default_rng(seed)
    different = sorted(set(audios))
    order = rng.permutation(len(different))
    other = {different[a]: different[b] for a, b in zip(order, np.roll(order, 1))}
    return [other[audio] for audio in audios]


def answer(
    model: AudioLm,
    store: Store,
    asked: Sequence[Question],
    *,
    config: Config,
    name: str,
    labels: Sequence[str],
    truth: Mapping[str, Sequence[str]],
) -> list[str]:
    """The answers to the questions of one set, in their order."""
    heard = [question.audio for question in asked]
    if config.swap:
        heard = swapped(heard)
    encoders = encoders_of(model.artefact.row)
    made: list[str] = []
    for first in progress(range(0, len(asked), config.batch_size), desc=f"answer {name}", unit="batch"):
        part = slice(first, first + config.batch_size)
        made += model.answer(
            [question.instruction for question in asked[part]],
            {encoder: store.read(encoder, heard[part]) for encoder in encoders},
            ids=heard[part],
            labels=labels,
            hints=config.hints,
            gold=truth,
            max_new_tokens=config.answer_tokens.get(name, config.max_new_tokens),
            sample=config.sampling,
            seed=first,
        )
    return made


if __name__ == "__main__":
    from core.run.stage import run

    run(predict, Config)

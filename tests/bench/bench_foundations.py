"""The shipped language model: tokens a second in training against a bare loop, questions in batches."""

from __future__ import annotations

import csv
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.audio_lm.model import load_language_model
from core.foundations.language_model import TokenPredictor, corpus_loss, write_answers
from core.foundations.packed_texts import packed_batches
from core.foundations.public import foundation_path
from core.train.loop import fit
from core.train.optimisation import TrainingOptions
from core.train.terms import Mean
from shared_data.phrases import RECORDED
from shared_data.world.datasets.passages import passages

ROOT = Path(__file__).parents[2]
STEPS, ROUNDS, ASKED = 20, 3, 64
OPTIONS = TrainingOptions(steps=STEPS, learning_rate=1e-4, gradient_clip=1.0, log_every=STEPS)


@pytest.fixture(scope="module")
def book() -> dict[str, tuple[str, ...]]:
    with (ROOT / RECORDED).open(encoding="utf-8", newline="") as file:
        return {row["label"]: tuple(row["phrases"].split("|")) for row in csv.DictReader(file)}


def loss(network: nn.Module, batch: dict[str, Any]) -> dict[str, Mean]:
    return corpus_loss(network, batch, prompt_share=0.1, even=0.5)


def bare(model: nn.Module, batches: Iterator[dict[str, Any]]) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.0, fused=True)
    for batch in itertools.islice(batches, STEPS):
        loss(model, batch)["loss"].value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.bench
def test_training_tokens_a_second(
    record: Callable[..., None], tmp_path: Path, book: dict[str, tuple[str, ...]]
) -> None:
    lm, tokenizer = load_language_model(foundation_path(ROOT, "mini", "language_model"))
    network = TokenPredictor(lm).train()

    def batches(step: int) -> Iterator[dict[str, Any]]:
        return packed_batches(
            lambda number, n: [
                one.parts() for one in passages(book=book, voices={}, seed=(0, number), n=n, asked=6)
            ],
            tokenizer,
            batch_size=6,
            max_tokens=256,
            seed=0,
            step=step,
        )

    drawn = list(itertools.islice(batches(0), STEPS))
    tokens = sum(int((batch["parts"] >= 0).sum()) for batch in drawn[2:]) / len(drawn[2:])
    times: dict[str, list[float]] = {"ours": [], "bare": []}

    def timed(name: str) -> Iterator[dict[str, Any]]:
        """The same batches; notes the time from one request to the next, which is a step."""
        before = time.perf_counter()
        for index, batch in enumerate(drawn):
            if index > 2:
                times[name].append(time.perf_counter() - before)
            before = time.perf_counter()
            yield batch

    for index in range(ROUNDS):  # in turns, so that other load on the machine meets both
        bare(network, timed("bare"))
        folder = tmp_path / str(index)
        fit(
            network,
            loss=loss,
            batches=lambda _: timed("ours"),
            options=OPTIONS,
            folder=folder,
            progress=False,
        )
    ours, theirs = (tokens / statistics.median(times[name]) for name in ("ours", "bare"))
    record(
        "language model, training against a bare loop",
        ours / theirs, ours, theirs, "tokens/s", target="at least 0.95",
    )  # fmt: skip


@pytest.mark.bench
def test_asking_in_batches_of_32(record: Callable[..., None], book: dict[str, tuple[str, ...]]) -> None:
    lm, tokenizer = load_language_model(foundation_path(ROOT, "mini", "language_model"))
    lm.eval()
    drawn = passages(book=book, voices={}, seed=1, n=3 * ASKED, asked=1)
    prompts = [f"{one.context}\n{one.asked[0].prompt}" for one in drawn if one.context][:ASKED]
    rates: dict[int, float] = {}
    answers: dict[int, list[str]] = {}
    for size in (32, 1, 32, 1):
        start = time.perf_counter()
        answers[size] = write_answers(lm, tokenizer, prompts, max_new_tokens=40, batch_size=size)
        rates[size] = max(rates.get(size, 0.0), len(prompts) / (time.perf_counter() - start))
    assert answers[32] == answers[1]
    record(
        "language model, asked in batches of 32",
        rates[32] / rates[1],
        rates[32],
        rates[1],
        "answers/s",
        target="at least 3",
    )

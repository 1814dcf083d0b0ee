"""The audio prefix in front of a language model: answers in batches, and what packing costs in training."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from core.adapters.prefix_lm import IGNORED, AudioPrefixLM, Features, TextBatch

pytestmark = pytest.mark.bench
VOCABULARY, WIDTH, ITEMS, PREFIX, PROMPT, ANSWER = 1000, 128, 32, 40, 20, 24


class Projection(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, WIDTH)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        return self.layer(values)


def make() -> tuple[LlamaForCausalLM, AudioPrefixLM]:
    torch.manual_seed(0)
    lm = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            intermediate_size=344,
            num_hidden_layers=3,
            num_attention_heads=4,
            eos_token_id=VOCABULARY - 1,
        )
    )
    return lm, AudioPrefixLM(lm, {"audio": Projection()})


def features(items: int) -> dict[str, Features]:
    return {"audio": Features(torch.randn(items, PREFIX, 64), torch.ones(items, PREFIX).bool())}


def test_answers_in_batches_of_32(record: Callable[..., None]) -> None:
    """Answers a second: 32 at once against one by one, which gives the same tokens."""
    _, model = make()
    model.eval()
    heard, ids = features(ITEMS), torch.randint(3, VOCABULARY - 1, (ITEMS, PROMPT))
    mask = torch.ones_like(ids)

    def answer(rows: slice) -> list[list[int]]:
        part = {name: Features(f.values[rows], f.mask[rows]) for name, f in heard.items()}
        return model.generate(part, ids[rows], mask[rows], max_new_tokens=ANSWER)

    answer(slice(0, 2))
    rates: dict[str, list[float]] = {"together": [], "alone": []}
    for _ in range(3):  # in turns, so that other load on the machine meets both
        start = time.perf_counter()
        together = answer(slice(None))
        middle = time.perf_counter()
        alone = [answer(slice(row, row + 1))[0] for row in range(ITEMS)]
        end = time.perf_counter()
        assert together == alone
        rates["together"].append(ITEMS / (middle - start))
        rates["alone"].append(ITEMS / (end - middle))
    ours, theirs = max(rates["together"]), max(rates["alone"])
    record(
        "prefix LM, answers in batches of 32", ours / theirs, ours, theirs, "answers/s", target="at least 6"
    )


def test_training_step_against_embeddings_fed_directly(record: Callable[..., None]) -> None:
    """Seconds a step: packing, mask, positions and counts against the same model on ready embeddings."""
    lm, model = make()
    heard = features(ITEMS)
    ids = torch.randint(3, VOCABULARY - 1, (ITEMS, PROMPT + ANSWER))
    labels = ids.clone()
    labels[:, :PROMPT] = IGNORED
    text = TextBatch(ids, torch.ones_like(ids), labels)
    padded = torch.cat([torch.full((ITEMS, PREFIX), IGNORED), labels], dim=1)

    def direct() -> Tensor:
        audio = model.branches["audio"](*heard["audio"])
        joined = torch.cat([audio, lm.get_input_embeddings()(ids)], dim=1)
        return lm(inputs_embeds=joined, labels=padded, use_cache=False).loss

    steps = {"ours": lambda: model(heard, text)["loss"], "direct": direct}
    times: dict[str, list[float]] = {name: [] for name in steps}
    losses = {}
    for number in range(31):
        for name, step in steps.items():
            start = time.perf_counter()
            loss = step()
            loss.backward()
            if number:
                times[name].append(time.perf_counter() - start)
            losses[name] = loss.item()
            model.zero_grad()
    assert losses["ours"] == pytest.approx(losses["direct"], abs=1e-4)
    # the fastest tenth: what is slower than that waited for other work on the machine
    ours, theirs = (1000 * statistics.quantiles(times[name], n=10)[0] for name in ("ours", "direct"))
    record("prefix LM, training step", ours / theirs, ours, theirs, "ms/step", target="at most 1.05")

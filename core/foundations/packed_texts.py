"""Questions with one context, packed into one sequence; each is read as if it stood alone behind its context.

    <s> context | prompt 1, answer 1 </s> | prompt 2, answer 2 </s> | ...

Positions count on from the context in every part, and a part sees the context and itself. What the model
computes of a part is what it would compute of the context and this part alone, for a fraction of the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from core.adapters.prefix_lm import IGNORED, ContextTooLong

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROUND = 16  # batches that are drawn together, and sorted by length
Asked: TypeAlias = tuple[str, str]  # prompt and answer


@dataclass(frozen=True)
class Packed:
    """Of each token of a sequence: its id, its part (0: the context), its position, whether it is answer."""

    ids: Sequence[int]
    parts: Sequence[int]
    positions: Sequence[int]
    answer: Sequence[bool]


def pack(
    tokenizer: PreTrainedTokenizerBase,
    passages: Sequence[tuple[str, Sequence[Asked]]],
    *,
    max_tokens: int,
) -> list[Packed]:
    """A sequence of each (context, questions). Raises ContextTooLong for a part that reaches too far."""
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id

    def tokens(texts: list[str]) -> Iterator[list[int]]:
        return iter(tokenizer(texts, add_special_tokens=False)["input_ids"])

    contexts = tokens([context for context, _ in passages])
    prompts = tokens([prompt for _, asked in passages for prompt, _ in asked])
    answers = tokens([answer for _, asked in passages for _, answer in asked])
    rows = []
    for context, asked in passages:
        ids = [start, *next(contexts)]
        parts, positions, answer = [0] * len(ids), list(range(len(ids))), [False] * len(ids)
        first = len(ids)
        for part in range(1, len(asked) + 1):
            prompt, said = next(prompts), [*next(answers), end]
            size = len(prompt) + len(said)
            if first + size > max_tokens:
                raise ContextTooLong(
                    f"{first + size} tokens of {context + asked[part - 1][0]!r}: raise max_tokens"
                )
            ids += prompt + said
            parts += [part] * size
            positions += range(first, first + size)
            answer += [False] * len(prompt) + [True] * len(said)
        rows.append(Packed(ids, parts, positions, answer))
    return rows


def collate(rows: Sequence[Packed], *, pad: int) -> dict[str, Any]:
    """{"input_ids", "position_ids", "parts", "labels"}, each (B, L), padded right, parts with -1."""
    size = (len(rows), max(len(row.ids) for row in rows))
    ids, positions = np.full(size, pad), np.zeros(size, int)
    parts, labels = np.full(size, -1), np.full(size, IGNORED)
    for number, row in enumerate(rows):
        here = slice(len(row.ids))
        ids[number, here], positions[number, here] = row.ids, row.positions
        parts[number, here] = row.parts
        labels[number, here] = np.where(row.answer, row.ids, IGNORED)
    arrays = {"input_ids": ids, "position_ids": positions, "parts": parts, "labels": labels}
    return {key: torch.from_numpy(array) for key, array in arrays.items()}


def may_attend(parts: Tensor) -> Tensor:
    """(B, 1, L, L) bool of parts (B, L): a token sees what is before it of the context and its own part."""
    seen = (parts[:, :, None] == parts[:, None, :]) | (parts[:, None, :] == 0)
    return (seen & torch.ones(seen.shape[1:], dtype=torch.bool, device=parts.device).tril())[:, None]


def packed_batches(
    draw: Callable[[int, int], Sequence[tuple[str, Sequence[Asked]]]],
    tokenizer: PreTrainedTokenizerBase,
    *,
    batch_size: int,
    max_tokens: int,
    seed: int,
    step: int,
) -> Iterator[dict[str, Any]]:
    """Batches from `step` on, without end, of sequences alike in length: a function of seed and step alone.

    draw(round, n): fresh passages of a round.
    """
    while True:
        number, place = divmod(step, ROUND)
        rows = pack(tokenizer, draw(number, ROUND * batch_size), max_tokens=max_tokens)
        order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
        for batch in np.random.default_rng((seed, number)).permutation(ROUND)[place:]:
            chosen = order[batch * batch_size : (batch + 1) * batch_size]
            yield {
                "ids": [f"round {number}, passage {index}" for index in chosen],
                **collate([rows[index] for index in chosen], pad=int(tokenizer.pad_token_id or 0)),
            }
        step += ROUND - place

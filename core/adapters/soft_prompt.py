"""GAMA's soft prompt: event tags in the instruction, behind a hint token whose embedding is trained.

Instruction tuning puts the sentence of `hint_sentence` before the question. The vector that stands for
`<hint>` learns how far the tags, which a tagger predicted and may have got wrong, are to be trusted. The
paper gives no number or threshold of tags; its released code has no soft prompt. Source: GAMA (EMNLP 2024),
section 3.1.4 and appendix C.1, after LION.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

HINT = "<hint>"
SENTENCE = "According to {hint}, you are allowed to use or partially use the following tags: {tags}."
TagMode = Literal["predicted", "gold", "random", "none"]


class SoftPrompt(nn.Module):
    """One trainable vector in place of the embedding of every `<hint>`.

    forward(ids (B, L), embeddings (B, L, E)) -> (B, L, E), in the dtype of `embeddings`; rows without a hint
    come back unchanged. `start` (E,): first value, by default normal with standard deviation `std`.
    """

    def __init__(self, width: int, *, hint_id: int, start: Tensor | None = None, std: float = 0.02) -> None:
        super().__init__()
        if start is not None and start.shape != (width,):
            raise ValueError(f"start must be a vector of width {width}, got {tuple(start.shape)}")
        self.hint_id = hint_id
        self.vector = nn.Parameter(torch.randn(width) * std if start is None else start.detach().clone())

    def forward(self, ids: Tensor, embeddings: Tensor) -> Tensor:
        if embeddings.shape != (*ids.shape, len(self.vector)):
            raise ValueError(
                f"ids {tuple(ids.shape)} and embeddings {tuple(embeddings.shape)} do not go together: "
                f"expected embeddings of shape {(*ids.shape, len(self.vector))}"
            )
        return torch.where((ids == self.hint_id)[..., None], self.vector.to(embeddings.dtype), embeddings)


def hint_sentence(tags: Sequence[str]) -> str:
    """The sentence that goes before the question; "" where there is no tag, since then there is no hint."""
    return SENTENCE.format(hint=HINT, tags=", ".join(tags)) if tags else ""


def choose_tags(
    predicted: Sequence[str],
    gold: Sequence[str],
    all_labels: Sequence[str],
    *,
    mode: TagMode,
    rng: np.random.Generator | None = None,
) -> list[str]:
    """The tags of one audio: the tagger's, the true ones, as many random ones as predicted, or none.

    "random" draws without replacement from `all_labels`, whether or not they are true: what is left of the
    gain then is the sentence's and not the tags'. It needs `rng`.
    """
    if mode == "predicted":
        return list(predicted)
    if mode == "gold":
        return list(gold)
    if mode == "none":
        return []
    if mode != "random":
        raise ValueError(f"mode must be 'predicted', 'gold', 'random' or 'none', got {mode!r}")
    if rng is None:
        raise ValueError("mode='random' needs rng, so that the same tags come back in the next run")
    count = min(len(predicted), len(all_labels))
    return [all_labels[i] for i in rng.choice(len(all_labels), size=count, replace=False)]


def ensure_hint_token(tokenizer: Any) -> int:
    """The id of `<hint>` as one token, added to the tokenizer as a special token where it lacks it.

    Where the id is new, the language model's embeddings must get a row for it:
    `lm.resize_token_embeddings(max(len(tokenizer), rows))`. The row itself is never used.
    """
    if HINT not in tokenizer.get_vocab():
        tokenizer.add_special_tokens(
            {"additional_special_tokens": [HINT]}, replace_extra_special_tokens=False
        )
    identity: int = tokenizer.convert_tokens_to_ids(HINT)
    pieces = tokenizer.encode(f"a {HINT}, b", add_special_tokens=False)
    if pieces.count(identity) != 1:
        raise ValueError(
            f"this tokenizer knows {HINT} but splits it in running text (ids {pieces}): "
            "add it as a special token when the tokenizer is made"
        )
    return identity

"""A small sentence encoder of BERT's classes, trained here on pairs of texts that mean the same.

It stands in for two public checkpoints: BERT, from which the Q-Former's text branch starts, and
Sentence-BERT, which maps answers to labels. `load_sentence_encoder` reads the public ones too: mean over the
tokens, unit norm, as `sentence-transformers/all-mpnet-base-v2` defines it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from core.foundations.language_model import train_tokenizer
from core.train.weight_files import check_weights

if TYPE_CHECKING:
    from transformers import BertModel, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
SHOWN = 60  # letters of a text that a message shows


class TextTowerError(ValueError):
    """Pairs from which no encoder can be trained, or a text that is longer than the encoder reads."""


@dataclass(frozen=True, kw_only=True)
class TowerShape:
    """Sizes of a BERT; those of the Q-Former that shall start from it."""

    hidden_size: int = 96
    layers: int = 4
    heads: int = 4
    intermediate_size: int = 192
    max_tokens: int = 64
    dropout: float = 0.0
    initializer_range: float = 0.08


def train_text_tokenizer(texts: Sequence[str], *, vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte pairs in lower case: [CLS] text [SEP], as the Q-Former wants its texts."""
    return train_tokenizer(texts, vocab_size=vocab_size, special=SPECIAL, lower=True, ends=True)


def make_text_tower(shape: TowerShape, tokenizer: PreTrainedTokenizerBase, *, seed: int) -> BertModel:
    """A BERT with random weights for this tokenizer. Its pooler, of no use to mean pooling, is left out."""
    torch.manual_seed(seed)
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=shape.max_tokens,
        hidden_dropout_prob=shape.dropout,
        attention_probs_dropout_prob=shape.dropout,
        initializer_range=shape.initializer_range,
        pad_token_id=tokenizer.pad_token_id,
    )
    return BertModel(config, add_pooling_layer=False)


def pool(states: Tensor, mask: Tensor) -> Tensor:
    """Mean of the valid states (B, T, D) under mask (B, T), to unit length: (B, D)."""
    weight = mask[..., None].to(states.dtype)
    return nn.functional.normalize((states * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-9), dim=-1)


class PairEncoder(nn.Module):
    """The tower with what contrastive training needs beside it, a learned temperature."""

    def __init__(self, tower: PreTrainedModel, *, temperature: float = 0.07) -> None:
        super().__init__()
        self.tower = tower
        self.log_scale = nn.Parameter(torch.tensor(-float(np.log(temperature))))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Unit vectors (B, D) and the logit scale, at most 100."""
        states = self.tower(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return pool(states, attention_mask), self.log_scale.exp().clamp(max=100.0)


class Drawn(NamedTuple):
    """Pairs (left, right) of a step, and alike (2B, 2B) bool: which of all left, then all right texts may
    stand for each other."""

    pairs: Sequence[tuple[str, str]]
    alike: np.ndarray


def pair_batches(
    draw: Callable[[int], Drawn], tokenizer: PreTrainedTokenizerBase, *, max_tokens: int, step: int
) -> Iterator[dict[str, Any]]:
    """Batches from `step` on, without end: {"input_ids", "attention_mask"} (2B, L), left texts first, and
    "alike" (2B, 2B).

    draw(step): fresh pairs. Raises TextTowerError for a text that is too long.
    """
    while True:
        pairs, alike = draw(step)
        texts = [pair[side] for side in (0, 1) for pair in pairs]
        rows = _tokens(tokenizer, texts, max_tokens=max_tokens)
        batch = tokenizer.pad({"input_ids": rows}, return_tensors="pt")
        yield {
            "ids": [f"step {step}, pair {index}" for index in range(len(pairs))],
            "input_ids": batch["input_ids"],
            "attention_mask": batch["attention_mask"],
            "alike": torch.from_numpy(alike),
        }
        step += 1


def pair_loss(model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
    """NT-Xent: each text's mate among all texts of the batch but those alike, {"loss", "logit_scale"}."""
    vectors, scale = model(batch["input_ids"], batch["attention_mask"])
    size = len(vectors)
    mates = (torch.arange(size, device=vectors.device) + size // 2) % size
    hidden = batch["alike"].clone()
    hidden[torch.arange(size), mates] = False
    hidden.fill_diagonal_(True)
    logits = (scale * vectors @ vectors.T).masked_fill(hidden, -torch.inf)
    return {"loss": nn.functional.cross_entropy(logits, mates), "logit_scale": scale}


class SentenceEncoder:
    """encode(texts) -> float32 (N, D), rows of unit length, in the order of the texts.

    Each distinct text is read once, in batches of like length. Longer texts than `max_tokens` are refused, as
    nothing is cut silently; `cut` reads their beginning instead and counts them in `was_cut`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_tokens: int,
        batch_size: int = 128,
        cut: bool = False,
    ) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.max_tokens, self.batch_size, self.cut = max_tokens, batch_size, cut
        self.was_cut = 0

    @property
    def size(self) -> int:
        """D"""
        return int(self.model.config.hidden_size)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        distinct = list(dict.fromkeys(texts))
        rows = _tokens(self.tokenizer, distinct, max_tokens=None if self.cut else self.max_tokens)
        if self.cut:
            self.was_cut += sum(len(row) > self.max_tokens for row in rows)
            rows = [_cut(row, self.max_tokens) for row in rows]
        vectors = np.empty((len(rows), self.size), np.float32)
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        for begin in range(0, len(order), self.batch_size):
            chosen = order[begin : begin + self.batch_size]
            batch = self.tokenizer.pad({"input_ids": [rows[index] for index in chosen]}, return_tensors="pt")
            batch = batch.to(self.model.device)
            states = self.model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
            ).last_hidden_state
            vectors[chosen] = pool(states.float(), batch["attention_mask"]).cpu().numpy()
        place = {text: index for index, text in enumerate(distinct)}
        return vectors[[place[text] for text in texts]]


def load_sentence_encoder(folder: Path, *, batch_size: int = 128, cut: bool = False) -> SentenceEncoder:
    """The sentence encoder of a folder in the Hub's layout, trained here or public. Nothing is fetched.

    Raises FileNotFoundError where the folder holds none.
    """
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"no text tower in {folder}: run shared_data.text_tower first")
    from transformers import AutoModel, AutoTokenizer

    check_weights(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    model = AutoModel.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    limit = min(int(tokenizer.model_max_length), int(model.config.max_position_embeddings))
    return SentenceEncoder(model, tokenizer, max_tokens=limit, batch_size=batch_size, cut=cut)


def _tokens(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, max_tokens: int | None
) -> list[list[int]]:
    rows = list(tokenizer(list(texts), truncation=False)["input_ids"]) if texts else []
    long = [text for text, row in zip(texts, rows) if max_tokens is not None and len(row) > max_tokens]
    if long:
        raise TextTowerError(
            f"{len(long)} of {len(texts)} texts have more than {max_tokens} tokens, such as "
            f"{long[0][:SHOWN]!r}...: raise max_tokens, or let the encoder cut them"
        )
    return rows


def _cut(row: list[int], limit: int) -> list[int]:
    """The beginning of a text and its end token."""
    return row if len(row) <= limit else [*row[: limit - 1], row[-1]]

"""A small language model with a byte-pair tokenizer, trained here to read and to answer.

It stands in for LLaMA-2: on texts that name sounds and their times, with questions about them, it learns the
phrases of a bank, what the world knows of them, and to answer from its context. An audio prefix later takes
the place of that context. Both are stock classes: whatever loads the public checkpoint loads this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn

from core.adapters.prefix_lm import IGNORED, AudioPrefixLM, encode_texts
from core.foundations.packed_texts import Asked, may_attend
from core.train.terms import Mean

if TYPE_CHECKING:
    from transformers import (
        LlamaForCausalLM,
        PreTrainedModel,
        PreTrainedTokenizerBase,
        PreTrainedTokenizerFast,
    )

PAD, START, END, HINT = "<pad>", "<s>", "</s>", "<hint>"
# GPT-2's words; but a decimal such as " 0.4" is one piece, so that a time is a token and not a spelling, and
# so is a heading such as "### Response:\n"
WORDS = (
    r"\n*### \p{L}+:\n| ?\d+\.\d+|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)


class LanguageModelError(ValueError):
    """Texts, or a shape, from which no language model can be trained."""


@dataclass(frozen=True, kw_only=True)
class LmShape:
    """Sizes of a Llama. initializer_range: 0.02, the usual one, is too small for a narrow network."""

    hidden_size: int = 96
    layers: int = 2
    heads: int = 4
    intermediate_size: int = 256
    max_positions: int = 512
    tied: bool = True  # input and output embeddings
    initializer_range: float = 0.08


def train_tokenizer(
    texts: Iterable[str],
    *,
    vocab_size: int,
    special: Sequence[str] = (PAD, START, END, HINT),
    lower: bool = False,
    ends: bool = False,
) -> PreTrainedTokenizerFast:
    """Byte-level byte pairs: every text can be written, and comes back as it was (in lower case, if `lower`).

    special: the tokens of padding, start and end come first; the rest are additional ones. A text gets the
    start token and, with `ends`, the end token. Raises LanguageModelError where the vocabulary is too small.
    """
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocab_size < len(alphabet) + len(special):
        raise LanguageModelError(
            f"vocab_size {vocab_size} must be at least {len(alphabet) + len(special)}: all bytes and "
            f"{len(special)} special tokens"
        )
    pad, start, end, *rest = special
    tokenizer = Tokenizer(models.BPE())
    if lower:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}" if ends else f"{start} $A",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (start, end)],
    )
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        bos_token=start,
        eos_token=end,
        cls_token=start,
        sep_token=end,
        extra_special_tokens=list(rest),
        clean_up_tokenization_spaces=False,
    )


def make_language_model(shape: LmShape, tokenizer: PreTrainedTokenizerBase, *, seed: int) -> LlamaForCausalLM:
    """A Llama with random weights for this tokenizer."""
    torch.manual_seed(seed)
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=shape.max_positions,
        tie_word_embeddings=shape.tied,
        initializer_range=shape.initializer_range,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def corpus_loss(
    model: nn.Module, batch: dict[str, Any], *, prompt_share: float, even: float = 0.0
) -> dict[str, Mean]:
    """Cross-entropy in nats a token, {"loss", "answer"}, of answers and a random `prompt_share` of prompts.

    What a prompt says is drawn at random and cannot be learnt beyond its grammar; a small share leaves a
    small model's capacity, and the time that the output layer takes, to the answers. A part's first token,
    which nothing announces, has no loss. even: a token of an answer of n tokens weighs n^-even in "loss"; at
    0 a "yes" is drowned by captions, at 1 all answers weigh the same.
    """
    ids, parts = batch["input_ids"][:, 1:], batch["parts"]
    goes_on = (parts[:, 1:] == parts[:, :-1]) & (parts[:, 1:] >= 0)
    answer = (batch["labels"][:, 1:] != IGNORED) & goes_on
    taken = goes_on & (answer | (torch.rand(ids.shape, device=ids.device) < prompt_share))
    logits = model(batch["input_ids"], parts, batch["position_ids"], taken)
    each = nn.functional.cross_entropy(logits, ids[taken], reduction="none")
    told = answer[taken]
    of = parts[:, 1:].clamp(min=0)
    lengths = torch.zeros_like(parts, dtype=each.dtype).scatter_add_(1, of, answer.to(each.dtype))
    weights = torch.where(told, lengths.gather(1, of)[taken].clamp(min=1) ** -even, 1.0)
    weights = weights * (told.sum() / weights[told].sum().clamp(min=1e-9)).where(told, 1.0)
    return {
        "loss": Mean((weights * each).sum() / weights.sum(), weights.sum()),
        "answer": Mean(each.detach()[told].mean(), told.sum()),
    }


class TokenPredictor(nn.Module):
    """forward(ids, parts, positions (B, L), taken (B, L - 1) bool) -> logits (N, V) of the tokens taken.

    The output layer of a small model is most of its work: it runs where there is a loss and nowhere else.
    """

    def __init__(self, lm: PreTrainedModel) -> None:
        super().__init__()
        self.lm = lm

    def forward(self, ids: Tensor, parts: Tensor, positions: Tensor, taken: Tensor) -> Tensor:
        states = self.lm.base_model(
            input_ids=ids, attention_mask=may_attend(parts), position_ids=positions, use_cache=False
        ).last_hidden_state
        return self.lm.get_output_embeddings()(states[:, :-1][taken])


def write_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    batch_size: int = 64,
) -> list[str]:
    """Greedy answers to prompts, in their order; prompts of like length are batched together."""
    reader = AudioPrefixLM(model, {})
    limit = (reader.max_positions or 10**9) - max_new_tokens
    ids = [f"prompt {index}" for index in range(len(prompts))]
    text = encode_texts(tokenizer, prompts, None, ids=ids, max_tokens=limit)
    lengths = text.attention_mask.sum(dim=1)
    order = torch.argsort(lengths, stable=True)
    answers = [""] * len(prompts)
    device = model.get_input_embeddings().weight.device
    for rows in order.split(batch_size):
        longest = int(lengths[rows].max())
        ids_, mask = (x[rows, :longest].to(device) for x in (text.input_ids, text.attention_mask))
        made = reader.generate({}, ids_, mask, max_new_tokens=max_new_tokens)
        for row, tokens in zip(rows.tolist(), made, strict=True):
            answers[row] = tokenizer.decode(tokens, skip_special_tokens=True)
    return answers


def exact_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Asked],
    *,
    max_new_tokens: int,
) -> list[bool]:
    """Whether the greedy answer to each (prompt, answer) is, letter by letter, the one given."""
    made = write_answers(model, tokenizer, [prompt for prompt, _ in asked], max_new_tokens=max_new_tokens)
    return [answer.strip() == wanted.strip() for answer, (_, wanted) in zip(made, asked, strict=True)]

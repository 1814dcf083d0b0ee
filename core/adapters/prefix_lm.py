"""A causal language model that reads audio as a prefix of its input embeddings.

    [prefix of branch 1 | prefix of branch 2 | ... | instruction | answer | </s>]

Valid positions are packed without gaps, then the whole is padded, so that how audio or text was padded
changes no number. The loss is on text alone. Any `AutoModelForCausalLM` will do, bare or wrapped by peft.
Sources: LTU (ICLR 2024); GAMA (EMNLP 2024), section 3.1.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from core.run.files import write_bytes_atomic
from core.train.checkpoints import describe_differences
from core.train.finite import FiniteScores

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

IGNORED = -100  # a label without loss
LongTexts: TypeAlias = Literal["refuse", "cut"]
SHOWN = 8  # names that a message lists


class ContextTooLong(ValueError):
    """A text, or prefix and text together, exceed what the language model can read."""


class PrefixError(ValueError):
    """Features, branches or texts that do not fit each other."""


class AdapterMismatch(ValueError):
    """Trained weights that do not belong to this model, or that there are none."""


class Features(NamedTuple):
    """What a frozen encoder heard: values (B, T, D), or (B, L, T, D) of several layers; mask (B, T) bool."""

    values: Tensor
    mask: Tensor


class Prefix(NamedTuple):
    """Embeddings (B, N, E) that precede the text; mask (B, N) bool, False where there is nothing."""

    embeddings: Tensor
    mask: Tensor


class TextBatch(NamedTuple):
    """Token ids (B, L), attention_mask (B, L), labels (B, L) with -100 where there is no loss.

    answer_tokens (B,): tokens of the answers, </s> included; None takes the tokens with a label for them.
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    answer_tokens: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to draw tokens. GAMA's inference: temperature 0.1, top_p 0.95, top_k 500, repetition penalty 1.1.

    The penalty is on repeating what was generated: the prompt reaches the model as embeddings.
    """

    temperature: float = 0.1
    top_p: float = 0.95
    top_k: int = 500
    repetition_penalty: float = 1.1


def encode_texts(
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    answers: Sequence[str] | None,
    *,
    ids: Sequence[str],
    max_tokens: int,
    loss_on: Literal["answer", "all"] = "answer",
    long_texts: LongTexts = "refuse",
) -> TextBatch:
    """Prompts, each with its answer and </s>, padded right. `answers` None: prompts to generate from.

    Prompt and answer are tokenised apart, so that training and generation see the same prompt. loss_on:
    "answer", or "all" as GAMA's scripts do (train_on_inputs); a text's first token, which nothing in the
    text predicts, never has a label. long_texts: of more than max_tokens with their </s>; "cut" keeps their
    first max_tokens, so that they do not end, as GAMA's and LTU's scripts do (cutoff_len), and one whose
    prompt alone is as long has no label. Raises ContextTooLong, naming the items, where they are refused.
    """
    if len(prompts) != len(ids) or (answers is not None and len(answers) != len(prompts)):
        counts = f"{len(prompts)} prompts, {len(answers or prompts)} answers, {len(ids)} ids"
        raise PrefixError(f"one prompt, answer and id an item: got {counts}")
    end = tokenizer.eos_token_id
    if end is None:
        raise PrefixError("the tokenizer has no end-of-text token: set tokenizer.eos_token")
    rows, heads = _rows(tokenizer, prompts, answers)
    if long_texts == "cut" and answers is not None:
        rows = [row[:max_tokens] for row in rows]
        heads = [min(head, max_tokens) for head in heads]
    if long := [f"{name} ({len(row)} tokens)" for name, row in zip(ids, rows) if len(row) > max_tokens]:
        raise ContextTooLong(
            f"{len(long)} of {len(rows)} texts exceed {max_tokens} tokens: {', '.join(long[:SHOWN])}"
            f"{' ...' if len(long) > SHOWN else ''}; raise max_tokens, leave these items out, or set "
            "long_texts: cut"
        )
    if empty := [name for name, row in zip(ids, rows) if not row]:
        raise PrefixError(f"no token in the text of {', '.join(empty[:SHOWN])}: give it an instruction")
    size = (len(rows), max(map(len, rows), default=0))
    input_ids = torch.full(size, end if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id))
    mask, labels = torch.zeros(size, dtype=torch.long), torch.full(size, IGNORED)
    for index, (row, head) in enumerate(zip(rows, heads, strict=True)):
        tokens = torch.tensor(row)
        input_ids[index, : len(row)], mask[index, : len(row)] = tokens, 1
        first = 1 if loss_on == "all" else max(head, 1)
        if answers is not None:
            labels[index, first : len(row)] = tokens[first:]
    lengths = torch.tensor([len(row) - head for row, head in zip(rows, heads, strict=True)])
    return TextBatch(input_ids, mask, labels, lengths)


def text_lengths(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], answers: Sequence[str]
) -> list[tuple[int, int]]:
    """(tokens of the prompt, of prompt and answer with </s>) of each text, as `encode_texts` counts them."""
    rows, heads = _rows(tokenizer, prompts, answers)
    return [(head, len(row)) for head, row in zip(heads, rows, strict=True)]


def _rows(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], answers: Sequence[str] | None
) -> tuple[list[list[int]], list[int]]:
    """The ids of each text, uncut, and how many of them are its prompt's."""
    end = tokenizer.eos_token_id
    rows = _tokens(tokenizer, prompts, special=True)
    # some tokenizers add </s> themselves
    rows = [row[:-1] if row[-1:] == [end] and len(row) > 1 else row for row in rows]
    heads = [len(row) for row in rows]
    if answers is not None:
        rows = [[*a, *b, end] for a, b in zip(rows, _tokens(tokenizer, answers, special=False), strict=True)]
    return rows, heads


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, special: bool) -> list[list[int]]:
    if not texts:
        return []
    return cast(list[list[int]], tokenizer(list(texts), add_special_tokens=special)["input_ids"])


class AudioPrefixLM(nn.Module):
    """branches: name -> module called as branch(values, mask) -> Prefix (or any pair like it), or embeddings
        (B, N, E) all valid.

    Their prefixes follow each other in the order of `branches`; none makes a text-only model. soft_prompt:
    called as soft_prompt(ids (B, L), embeddings (B, L, E)) -> embeddings, to put vectors in place of tokens
    (a token beyond the model's vocabulary needs `lm.resize_token_embeddings` first). padding: the side of the
    padded positions in training; generation pads left. What is frozen is the caller's affair.
    """

    def __init__(
        self,
        lm: PreTrainedModel,
        branches: Mapping[str, nn.Module],
        *,
        soft_prompt: nn.Module | None = None,
        padding: Literal["left", "right"] = "left",
    ) -> None:
        super().__init__()
        if padding not in ("left", "right"):
            raise PrefixError(f"padding {padding!r}: choose left or right")
        self.lm = lm
        self.branches = nn.ModuleDict(dict(branches))
        self.soft_prompt = soft_prompt
        self.padding = padding
        bare = lm.get_base_model() if hasattr(lm, "get_base_model") else lm  # peft hides the signature
        self._accepts = frozenset(inspect.signature(bare.forward).parameters)

    @property
    def max_positions(self) -> int | None:
        """Prefix and text tokens that the language model can read; None where it sets no limit."""
        limit = getattr(self.lm.config, "max_position_embeddings", None)
        return None if limit is None else int(limit)

    def prefix(self, features: Mapping[str, Features], *, batch: int) -> Prefix:
        """All branches' prefixes, one after the other: (batch, N, E), N may be 0."""
        if missing := sorted(set(self.branches) - set(features)):
            raise PrefixError(f"no features for {', '.join(missing)}; given: {', '.join(features) or 'none'}")
        weight = self.lm.get_input_embeddings().weight
        parts = [Prefix(weight.new_zeros(batch, 0, weight.shape[1]), weight.new_zeros(batch, 0).bool())]
        for name, branch in self.branches.items():
            values, mask = features[name]
            made = branch(values, mask)
            if isinstance(made, Tensor):
                made = made, torch.ones(made.shape[:2], dtype=torch.bool, device=made.device)
            made = Prefix(*made)
            if len(made.embeddings) != batch or made.embeddings.shape[2] != weight.shape[1]:
                raise PrefixError(
                    f"branch {name} gives {tuple(made.embeddings.shape)}: {batch} texts and embeddings of "
                    f"{weight.shape[1]} need ({batch}, N, {weight.shape[1]})"
                )
            parts.append(Prefix(made.embeddings.to(weight.dtype), made.mask))
        return Prefix(torch.cat([p.embeddings for p in parts], 1), torch.cat([p.mask for p in parts], 1))

    def forward(self, features: Mapping[str, Features], text: TextBatch) -> dict[str, Tensor]:
        """The loss, a mean over all tokens with a label (nats), and exact counts of the batch's tokens:

        {"loss", "loss_tokens", "prefix_tokens", "instruction_tokens", "answer_tokens"}; loss_tokens are those
        that the loss is the mean over. Raises ContextTooLong.
        """
        prefix, embeddings = self._embed(features, text.input_ids, text.attention_mask)
        valid = torch.cat([prefix.mask, text.attention_mask.bool()], dim=1)
        ignored = text.labels.new_full(prefix.mask.shape, IGNORED)
        packed, mask, labels = _pack(
            embeddings, valid, torch.cat([ignored, text.labels], dim=1), side=self.padding
        )
        self._check_length(packed.shape[1], 0)
        options: dict[str, Any] = {}
        if self.padding == "left" and "logits_to_keep" in self._accepts:
            options["logits_to_keep"] = min(packed.shape[1], text.input_ids.shape[1] + 1)
        if "position_ids" in self._accepts:
            options["position_ids"] = _positions(mask)
        logits = self.lm(
            inputs_embeds=packed, attention_mask=mask.long(), use_cache=False, **options
        ).logits.float()
        targets = labels[:, -logits.shape[1] :][:, 1:]
        loss = nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), targets.flatten(), ignore_index=IGNORED
        )
        # a batch of cut texts may hold no label: nothing is learnt from it, and NaN would spoil the weights
        loss = torch.where((targets != IGNORED).any(), loss, loss.new_zeros(()))
        answers = (text.labels != IGNORED).sum() if text.answer_tokens is None else text.answer_tokens.sum()
        return {
            "loss": loss,
            "loss_tokens": (targets != IGNORED).sum(),
            "prefix_tokens": prefix.mask.sum(),
            "instruction_tokens": text.attention_mask.sum() - answers,
            "answer_tokens": answers,
        }

    @torch.inference_mode()
    def generate(
        self,
        features: Mapping[str, Features],
        input_ids: Tensor,
        attention_mask: Tensor,
        *,
        max_new_tokens: int,
        sample: Sampling | None = None,
        seed: int = 0,
    ) -> list[list[int]]:
        """Token ids of each answer, without </s>: greedy, or drawn as `sample` says.

        Greedy answers do not depend on the batch; drawn ones are a function of the seed and the whole batch.
        Call it in evaluation mode. Raises ContextTooLong where prefix, prompt and answer may not fit.
        """
        prefix, embeddings = self._embed(features, input_ids, attention_mask)
        valid = torch.cat([prefix.mask, attention_mask.bool()], dim=1)
        packed, mask, _ = _pack(embeddings, valid, None, side="left")
        self._check_length(packed.shape[1], max_new_tokens)
        ends = _end_tokens(self.lm)
        pad = self.lm.config.pad_token_id

        from transformers import GenerationConfig, LogitsProcessorList  # seconds

        options = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=sample is not None,
            eos_token_id=ends,
            pad_token_id=ends[0] if pad is None else pad,
            num_beams=1,  # this and what follows also override what a public checkpoint prefers
            **(vars(sample) if sample is not None else {"repetition_penalty": 1.0}),
        )
        watch = FiniteScores()
        with torch.random.fork_rng(devices=[packed.device] if packed.device.type == "cuda" else []):
            torch.manual_seed(seed)
            made = self.lm.generate(
                inputs_embeds=packed,
                attention_mask=mask.long(),
                generation_config=options,
                logits_processor=LogitsProcessorList([watch]),
            ).tolist()
        watch.check([f"item {row + 1} of {len(made)}" for row in range(len(made))])
        return [row[: next((i for i, token in enumerate(row) if token in ends), len(row))] for row in made]

    def _embed(
        self, features: Mapping[str, Features], input_ids: Tensor, attention_mask: Tensor
    ) -> tuple[Prefix, Tensor]:
        """The prefix, and it and the text as one sequence (B, N + L, E), with gaps."""
        if input_ids.shape != attention_mask.shape or input_ids.ndim != 2:
            raise PrefixError(
                f"ids {tuple(input_ids.shape)} and mask {tuple(attention_mask.shape)}: need (B, L)"
            )
        prefix = self.prefix(features, batch=len(input_ids))
        text = self.lm.get_input_embeddings()(input_ids)
        if self.soft_prompt is not None:
            text = self.soft_prompt(input_ids, text).to(text.dtype)
        return prefix, torch.cat([prefix.embeddings, text], dim=1)

    def _check_length(self, tokens: int, new: int) -> None:
        limit = self.max_positions
        if limit is not None and tokens + new > limit:
            raise ContextTooLong(
                f"{tokens} prefix and text tokens and {new} to generate exceed the language model's {limit}: "
                "shorten prompts (max_tokens), the prefix or the answer (max_new_tokens)"
            )


def _end_tokens(lm: PreTrainedModel) -> list[int]:
    ends = lm.generation_config.eos_token_id if lm.generation_config is not None else None
    ends = lm.config.eos_token_id if ends is None else ends
    if ends is None:
        raise PrefixError("the language model names no end token: set lm.config.eos_token_id")
    return [ends] if isinstance(ends, int) else list(ends)


def _pack(
    embeddings: Tensor, valid: Tensor, labels: Tensor | None, *, side: Literal["left", "right"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Valid positions moved together in their order, padding on one side, cut to the longest row.

    (B, S, E), (B, S) bool, (B, S) -> the same with S = the most valid positions of a row. Padding is zero.
    """
    labels = torch.full_like(valid, IGNORED, dtype=torch.long) if labels is None else labels
    if bool(valid.all()):
        return embeddings, valid, labels
    order = torch.argsort((valid if side == "left" else ~valid).to(torch.uint8), dim=1, stable=True)
    longest = int(valid.sum(dim=1).max())
    order = order[:, -longest:] if side == "left" else order[:, :longest]
    mask = valid.gather(1, order)
    moved = embeddings.gather(1, order[..., None].expand(-1, -1, embeddings.shape[2]))
    # where, not a product: padding may hold anything, NaN included
    return torch.where(mask[..., None], moved, 0.0), mask, torch.where(mask, labels.gather(1, order), IGNORED)


def _positions(mask: Tensor) -> Tensor:
    return (mask.long().cumsum(dim=1) - 1).clamp(min=0)


def save_trained(model: nn.Module, path: Path, *, identity: Mapping[str, Any]) -> None:
    """Write the parameters that require gradients to a safetensors file, whole or not at all.

    identity: the configuration that the weights mean something with, kept as JSON in the file's header.
    Raises AdapterMismatch when nothing is trainable; OutputError.
    """
    tensors = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    if not tensors:
        raise AdapterMismatch(
            f"{path}: no parameter is trainable, so there is nothing to save; see `trainable`"
        )
    header = {"identity": json.dumps(dict(identity), sort_keys=True, default=str)}
    write_bytes_atomic(path, save(tensors, metadata=header))


def load_trained(model: nn.Module, path: Path, *, identity: Mapping[str, Any]) -> None:
    """Copy what `save_trained` wrote into the parameters that require gradients: all of them, nothing else.

    Raises FileNotFoundError; AdapterMismatch, before anything is copied, where the identity, a name or a
    shape differs, or the file is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no trained weights at {path}: run the stage that trains them")
    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise AdapterMismatch(f"{path} cannot be read ({error}): train it again") from error
    then = json.loads(header.get("identity", "{}"))
    now = json.loads(json.dumps(dict(identity), sort_keys=True, default=str))
    if then != now:
        raise AdapterMismatch(f"{path} is of another configuration: {describe_differences(then, now)}")
    problems = {
        "not in the file": sorted(set(own) - set(found)),
        "not trainable here": sorted(set(found) - set(own)),
        "of another shape": [name for name in found if name in own and own[name].shape != found[name].shape],
    }
    if any(problems.values()) or not own:
        what = "; ".join(f"{len(v)} {k}: {', '.join(v[:SHOWN])}" for k, v in problems.items() if v)
        raise AdapterMismatch(f"{path} does not fit: {what or 'no parameter is trainable'}")
    with torch.no_grad():
        for name, tensor in found.items():
            own[name].copy_(tensor)

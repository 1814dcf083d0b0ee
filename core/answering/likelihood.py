"""Which option a language model finds likeliest: for models too small to answer in the form asked for.

An option's score is the log-probability of its words after the question, their sum or their mean. Every
question gets an option, so coverage says nothing here, and scores are not those of answers in free words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from core.adapters.prefix_lm import Features, encode_texts
from core.answering.local_models import listener
from core.answering.question import Answer, Question
from core.audio_lm.artefact import AudioLm
from core.audio_lm.batches import Hints, prompts
from core.audio_lm.encoders import TAGS, Encoder
from core.audio_lm.turns import asked as asked_about
from core.train.finite import check_finite

Normalise: TypeAlias = Literal["mean", "sum"]


@torch.inference_mode()
def log_likelihoods(
    model: AudioLm,
    instructions: Sequence[str],
    continuations: Sequence[Sequence[str]],
    heard: Mapping[str, Features],
    *,
    ids: Sequence[str],
    hints: Hints | None = None,
    normalise: Normalise = "mean",
) -> list[Tensor]:
    """The log-probability (nats) of each continuation, </s> included, after its instruction and audio.

    One tensor (options,) an instruction. heard: encoder -> features of the batch. hints: in place of those
    that the row was trained with. Audio and question are read once for all options.
    """
    said = prompts(
        [asked_about(text, id) for id, text in zip(ids, instructions, strict=True)],
        hints or model.artefact.hints,
        lambda _ids: heard[TAGS].values[:, 0],
        labels=model.artefact.labels,
        gold={},
        form=model.form,
    )
    network, device = model.model, model.device
    text = encode_texts(model.tokenizer, said, None, ids=list(ids), max_tokens=10**6)
    prefix = network.prefix(model.of_branches(heard), batch=len(instructions))
    tokens = text.input_ids.to(device)
    embedded = network.lm.get_input_embeddings()(tokens)
    if network.soft_prompt is not None:
        embedded = network.soft_prompt(tokens, embedded).to(embedded.dtype)
    mask = torch.cat([prefix.mask, text.attention_mask.bool().to(device)], dim=1)
    read = network.lm(
        inputs_embeds=torch.cat([prefix.embeddings, embedded], dim=1),
        attention_mask=mask.long(),
        # what is masked leaves no gap in the positions, so no padding changes a number
        position_ids=(mask.long().cumsum(dim=1) - 1).clamp(min=0),
        use_cache=True,
    )
    at_end = mask.shape[1] - 1 - mask.long().flip(1).argmax(dim=1)  # the last token of each question
    first = read.logits[torch.arange(len(mask), device=device), at_end]
    counts = [len(options) for options in continuations]
    owner = torch.tensor([place for place, count in enumerate(counts) for _ in range(count)], device=device)
    options, valid = _tokens(model, [option for group in continuations for option in group])
    cache = read.past_key_values
    cache.batch_select_indices(owner)
    going_on = torch.cat([mask[owner], valid[:, :-1]], dim=1)
    logits = network.lm(
        input_ids=options[:, :-1],
        attention_mask=going_on.long(),
        position_ids=mask.sum(dim=1)[owner, None] + torch.arange(options.shape[1] - 1, device=device),
        past_key_values=cache,
        use_cache=True,
    ).logits
    chances = torch.cat([first[owner, None], logits], dim=1).float().log_softmax(dim=2)
    sums = (chances.gather(2, options[..., None])[..., 0] * valid).sum(dim=1)
    if normalise == "mean":
        sums = sums / valid.sum(dim=1)
    check_finite(sums, [ids[place] for place in owner.tolist()])
    return list(sums.cpu().split(counts))


def _tokens(model: AudioLm, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids (N, L) with </s> at the end of each text, and mask (N, L) bool; padded right."""
    end = int(model.tokenizer.eos_token_id)
    rows = [[*ids, end] for ids in model.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]
    ids = torch.full((len(rows), max(map(len, rows))), end)
    valid = torch.zeros(ids.shape, dtype=torch.bool)
    for place, row in enumerate(rows):
        ids[place, : len(row)], valid[place, : len(row)] = torch.tensor(row), True
    return ids.to(model.device), valid.to(model.device)


def likelihood_answer(
    model: AudioLm,
    encoders: Sequence[Encoder],
    *,
    hints: Hints | None = None,
    normalise: Normalise = "mean",
) -> Answer:
    """The option that the row finds likeliest after the prompt; of equals the one shown first.

    encoders: as in `core.answering.local_models.audio_lm_answer`. A question without options says nothing.
    Raises AnsweringError for a model that hears and has not its encoders.
    """
    hear = listener(model, encoders)

    def answer(asked: Sequence[Question]) -> list[str]:
        with_options = [one for one in asked if one.choices]
        if not with_options:
            return [""] * len(asked)
        scores = iter(
            log_likelihoods(
                model,
                [one.prompt for one in with_options],
                [one.choices for one in with_options],
                hear(with_options),
                ids=[one.id for one in with_options],
                hints=hints,
                normalise=normalise,
            )
        )
        return [one.choices[int(next(scores).argmax())] if one.choices else "" for one in asked]

    return answer

"""Our own models as answering functions: trained ones of `core.audio_lm`, and a CLAP that picks options."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from core.adapters.prefix_lm import Features, Sampling
from core.answering.question import Answer, Question
from core.audio.read import read_many
from core.audio_lm.artefact import AudioLm
from core.audio_lm.batches import Hints
from core.audio_lm.encoders import Encoder, listen
from core.encoders.trained_clap import TrainedClap

PAUSE = 0.5  # seconds between the audios of a question, for models that hear one stream


class AnsweringError(ValueError):
    """A question that a model cannot be asked; the message names it."""


def audio_lm_answer(
    model: AudioLm,
    encoders: Sequence[Encoder],
    *,
    max_new_tokens: int = 24,
    hints: Hints | None = None,
    sample: Sampling | None = None,
) -> Answer:
    """A trained model: greedy words after the whole prompt. `hints` in place of those it was trained with.

    encoders: those of its artefact; none for a model that hears nothing. Several audios are heard one after
    the other, with a pause. Raises AnsweringError for a model that hears and a question without audio.
    """
    hear = listener(model, encoders)

    def answer(asked: Sequence[Question]) -> list[str]:
        return model.answer(
            [one.prompt for one in asked],
            hear(asked),
            ids=[one.id for one in asked],
            hints=hints,
            max_new_tokens=max_new_tokens,
            sample=sample,
        )

    return answer


def listener(
    model: AudioLm, encoders: Sequence[Encoder]
) -> Callable[[Sequence[Question]], dict[str, Features]]:
    """What a model hears of a batch of questions (encoder -> features); nothing for one that does not hear.

    Raises AnsweringError where an encoder of the model is not among `encoders`.
    """
    names = [one.name for one in model.artefact.encoders]
    if not names:
        return lambda _asked: {}
    wanted = [one for one in encoders if one.name in names]
    if lost := sorted({*names} - {one.name for one in wanted}):
        raise AnsweringError(
            f"this model hears by {', '.join(lost)}: open its encoders (core.audio_lm.artefact.open_encoders)"
        )
    return lambda asked: listen(
        wanted, lambda rate: one_stream(asked, sample_rate=rate), [one.id for one in asked]
    )


Statement = Callable[[str, str], str]  # question, option -> what would be true of the audio if it were right


def plain_statement(question: str, option: str) -> str:
    """The option alone, as a sound."""
    return f"This is a sound of {option.rstrip('.').lower()}"


def joined_statement(question: str, option: str) -> str:
    """Question and option together: nothing of the question is lost, and nothing is made a sentence."""
    return f"{question} {option}"


def clap_answer(clap: TrainedClap, *, statement: Statement) -> Answer:
    """The option whose statement is nearest to the audio by cosine (MMAU, section 4, of audio encoders).

    In the paper GPT-4o writes the statements. Several audios: the mean of their vectors. It answers every
    question: an encoder cannot abstain. Raises AnsweringError for questions without options or audio.
    """

    def answer(asked: Sequence[Question]) -> list[str]:
        if lost := [one.id for one in asked if not one.choices or not one.audios]:
            raise AnsweringError(
                f"{lost[0]}: an encoder compares audio with options, and one of them is missing"
            )
        names = [f"{one.id}[{place}]" for one in asked for place in range(len(one.audios))]
        waves = _decoded(
            [audio for one in asked for audio in one.audios], names, sample_rate=clap.sample_rate
        )
        vectors = clap.embed_audio(waves, names)
        texts = [statement(one.question, choice) for one in asked for choice in one.choices]
        different = list(dict.fromkeys(texts))
        said = dict(zip(different, clap.embed_text(different)))
        answers = []
        first = at = 0
        for one in asked:
            heard = vectors[first : first + len(one.audios)].mean(dim=0)
            options = torch.stack([said[text] for text in texts[at : at + len(one.choices)]])
            answers.append(one.choices[int((options @ heard).argmax())])
            first, at = first + len(one.audios), at + len(one.choices)
        return answers

    return answer


def one_stream(asked: Sequence[Question], *, sample_rate: int) -> list[np.ndarray]:
    """One waveform a question: its audios one after the other, `PAUSE` seconds of silence between them."""
    if lost := [one.id for one in asked if not one.audios]:
        raise AnsweringError(f"{lost[0]} has no audio, and this model answers about what it hears")
    names = [f"{one.id}[{place}]" for one in asked for place in range(len(one.audios))]
    waves = iter(_decoded([audio for one in asked for audio in one.audios], names, sample_rate=sample_rate))
    pause = np.zeros(round(PAUSE * sample_rate), np.float32)
    streams = []
    for one in asked:
        parts = [next(waves) for _ in one.audios]
        streams.append(np.concatenate([p for part in parts for p in (part, pause)][:-1]))
    return streams


def _decoded(audios: Sequence[bytes], names: Sequence[str], *, sample_rate: int) -> list[np.ndarray]:
    return [wave for wave, _ in read_many(audios, sample_rate=sample_rate, names=names)]

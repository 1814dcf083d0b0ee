"""Our own models as answering functions: words, the likeliest option, the nearest statement, cascades."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from core.adapters.prefix_lm import Features, encode_texts
from core.answering.cascade import DescriptionError, cascade_answer, with_description
from core.answering.likelihood import likelihood_answer, log_likelihoods
from core.answering.local_models import (
    AnsweringError,
    audio_lm_answer,
    clap_answer,
    joined_statement,
    one_stream,
    plain_statement,
)
from core.answering.question import Question, make_prompt
from core.audio_lm.artefact import AudioLm, open_audio_lm
from core.audio_lm.batches import Hints
from core.audio_lm.branches import Bridge
from core.audio_lm.encoders import Encoder, listen
from core.audio_lm.features import Store, open_store
from core.audio_lm.model import Architecture, read_features
from core.data.instructions import alpaca
from tests.audio_lm_world import write_random_row

ENCODERS = ("ast", "listener", "clap", "tags")
OPTIONS = ("the rain", "a dog barks", "on a street, as a siren passes", "siren")
RATE = 16_000


def wav(seconds: float, *, level: float = 0.3) -> bytes:
    buffer = io.BytesIO()
    tone = level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)
    soundfile.write(buffer, tone, RATE, format="WAV")
    return buffer.getvalue()


def asked(number: int, *, choices: Sequence[str] = OPTIONS, audios: int = 1) -> Question:
    question = "Which sound comes first?"
    return Question(
        id=f"scenes:sc{number}",
        prompt=make_prompt(question, choices, style="plain"),
        question=question,
        choices=tuple(choices),
        audios=(wav(0.5),) * audios,
    )


def stored(store: Store, name: str) -> Encoder:
    """An encoder that hears what the store holds under a question's id, whatever its audio."""

    def hear(waveforms: Sequence[np.ndarray], ids: Sequence[str]) -> Features:
        assert len(waveforms) == len(ids)
        values, mask = store.read(name, list(ids))
        return Features(values.transpose(1, 2) if values.ndim == 4 else values, mask)

    return Encoder(name, RATE, hear, ())


def silence(encoders: list[Encoder], ids: list[str]) -> dict[str, Features]:
    return listen(encoders, lambda rate: [np.zeros(1, np.float32)] * len(ids), ids)


def trained(root: Path, folder: str, row: Architecture) -> AudioLm:
    write_random_row(root, folder, row)
    return open_audio_lm(root / folder, root=root)


@pytest.fixture(scope="module")
def root(fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(fresh, folder, dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def store(root: Path) -> Store:
    return open_store(root / "projects/gama/data/mini/features/train", ("scenes",), ENCODERS)


@pytest.fixture(scope="module")
def ears(store: Store) -> list[Encoder]:
    return [stored(store, name) for name in ENCODERS]


@pytest.fixture(scope="module")
def hearing(root: Path, bridge: Bridge) -> AudioLm:
    return trained(
        root, "row", Architecture(branches=("qformer", "aggregator"), bridge=bridge, soft_prompt=False)
    )


@pytest.fixture(scope="module")
def reader(root: Path, bridge: Bridge) -> AudioLm:
    return trained(root, "reader", Architecture(branches=(), bridge=bridge, soft_prompt=False))


def test_words_are_the_same_alone_and_in_a_batch(hearing: AudioLm, ears: list[Encoder]) -> None:
    answer = audio_lm_answer(hearing, ears, max_new_tokens=6)
    questions = [asked(i) for i in range(6)]
    together = answer(questions)
    assert together == [answer([one])[0] for one in questions]
    assert len(set(together)) > 1  # what is heard matters


def test_a_model_that_hears_needs_encoders_and_audio(hearing: AudioLm, ears: list[Encoder]) -> None:
    with pytest.raises(AnsweringError, match="hears by ast: open its encoders"):
        audio_lm_answer(hearing, ())
    with pytest.raises(AnsweringError, match="hears by ast: open its encoders"):
        likelihood_answer(hearing, ears[1:])
    with pytest.raises(AnsweringError, match="scenes:sc0 has no audio"):
        audio_lm_answer(hearing, ears, max_new_tokens=3)([asked(0, audios=0)])


def test_a_reader_needs_no_audio(reader: AudioLm) -> None:
    said = audio_lm_answer(reader, (), max_new_tokens=5)([asked(0, audios=0), asked(1, audios=0)])
    assert said[0] == said[1] != ""


@pytest.mark.parametrize("normalise", ["mean", "sum"])
def test_likelihoods_are_those_of_the_training_loss(
    hearing: AudioLm, store: Store, ears: list[Encoder], normalise: str
) -> None:
    """One option at a time through the model's own forward pass, which averages over tokens."""
    ids = ["scenes:sc0", "scenes:sc1", "scenes:sc3"]
    given = [OPTIONS, OPTIONS[:2], OPTIONS[1:]]
    instructions = ["Which sound?", "Why does the dog bark so much?", "Where?"]
    found = log_likelihoods(
        hearing,
        instructions,
        given,
        silence(ears, ids),
        ids=ids,
        normalise=normalise,  # type: ignore[arg-type]
    )
    assert [len(one) for one in found] == [4, 2, 3]
    for id, instruction, options, scores in zip(ids, instructions, given, found):
        features = read_features(store, hearing.artefact.architecture.branches, [id])
        for option, score in zip(options, scores):
            text = encode_texts(hearing.tokenizer, [alpaca(instruction)], [option], ids=[id], max_tokens=500)
            with torch.inference_mode():
                loss = hearing.model(features, text)["loss"]
            tokens = int((text.labels != -100).sum())
            wanted = -loss * (tokens if normalise == "sum" else 1)
            torch.testing.assert_close(score, wanted, atol=2e-4, rtol=1e-4)


def test_the_likeliest_option_does_not_depend_on_batch_or_order(
    hearing: AudioLm, ears: list[Encoder]
) -> None:
    answer = likelihood_answer(hearing, ears)
    questions = [asked(i) for i in range(6)]
    together = answer(questions)
    assert together == [answer([one])[0] for one in questions]
    turned = [asked(i, choices=OPTIONS[::-1]) for i in range(6)]
    unseen = [Question(**{**vars(one), "prompt": one.question}) for one in (*questions, *turned)]
    likeliest = answer(unseen)
    assert likeliest[:6] == likeliest[6:]  # where the prompt does not show the options


def test_questions_without_options_say_nothing(hearing: AudioLm, ears: list[Encoder]) -> None:
    answer = likelihood_answer(hearing, ears)
    assert answer([asked(0, choices=()), asked(1)])[0] == ""
    assert answer([asked(0, choices=())]) == [""]
    assert answer([asked(0, choices=()), asked(1)])[1] == answer([asked(1)])[0]


def test_hints_change_what_is_likely(root: Path, bridge: Bridge, ears: list[Encoder]) -> None:
    row = trained(root, "soft", Architecture(branches=("clap",), bridge=bridge, soft_prompt=True))
    heard = silence(ears, ["scenes:sc0"])

    def scores(hints: Hints) -> torch.Tensor:
        return log_likelihoods(row, ["Which?"], [OPTIONS], heard, ids=["scenes:sc0"], hints=hints)[0]

    assert not torch.allclose(scores(Hints(source="none")), scores(Hints(threshold=0.0, limit=2)))


def test_audios_are_heard_one_after_the_other() -> None:
    one = Question(id="x", prompt="", question="", choices=(), audios=(wav(1.0), wav(0.5, level=0.1)))
    [stream] = one_stream([one], sample_rate=RATE)
    assert len(stream) == round(2.0 * RATE)
    assert not stream[RATE + 10 : RATE + RATE // 2 - 10].any()
    assert stream[:RATE].max() == pytest.approx(0.3, abs=1e-3)
    assert stream[-RATE // 4 :].max() == pytest.approx(0.1, abs=1e-3)
    with pytest.raises(AnsweringError, match="y has no audio"):
        one_stream([one, Question(id="y", prompt="", question="", choices=(), audios=())], sample_rate=RATE)


class Towers(SimpleNamespace):
    """A CLAP whose space has one axis a word."""

    sample_rate = RATE
    words: Mapping[str, int] = {"rain": 0, "dog": 1, "siren": 2}

    def embed_audio(self, waves: Sequence[np.ndarray], ids: Sequence[str]) -> torch.Tensor:
        return torch.stack([torch.eye(3)[min(2, int(len(wave) / RATE))] for wave in waves])

    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        self.texts = list(texts)
        rows = [[float(word in text) for word in self.words] for text in texts]
        return torch.tensor(rows) / torch.tensor(rows).norm(dim=1, keepdim=True).clamp(min=1e-9)


def test_a_clap_takes_the_option_nearest_to_the_audio() -> None:
    towers = Towers()
    answer = clap_answer(towers, statement=plain_statement)  # type: ignore[arg-type]
    options = ("a siren", "the rain", "a dog")
    questions = [
        Question(id=str(s), prompt="", question="Which?", choices=options, audios=(wav(s + 0.5),))
        for s in range(3)
    ]
    assert answer(questions) == ["the rain", "a dog", "a siren"]
    assert len(towers.texts) == 3  # each different statement once
    several = Question(
        id="m",
        prompt="",
        question="Which?",
        choices=("a dog and a siren", "the rain"),
        audios=(wav(1.5), wav(2.5)),
    )
    assert answer([several]) == ["a dog and a siren"]
    for wrong in (asked(0, choices=()), asked(0, audios=0)):
        with pytest.raises(AnsweringError, match="compares audio with options"):
            answer([wrong])


def test_statements() -> None:
    assert plain_statement("Which?", "A Dog barking.") == "This is a sound of a dog barking"
    assert joined_statement("Which?", "a dog") == "Which? a dog"


def test_a_cascade_reads_descriptions_and_hears_nothing() -> None:
    seen: list[Question] = []

    def note(questions: Sequence[Question]) -> list[str]:
        seen.extend(questions)
        return ["the rain"] * len(questions)

    described = {"scenes:sc0": "Rain falls.", "scenes:sc1": ""}
    answer = cascade_answer(described, note)
    assert answer([asked(0), asked(1)]) == ["the rain"] * 2
    assert [one.audios for one in seen] == [(), ()]
    assert seen[0].prompt == with_description("Rain falls.", asked(0).prompt)
    assert "siren" in seen[1].prompt
    cascade_answer(described, note, options=False)([asked(0)])
    assert seen[2].prompt == "Audio: Rain falls. Which sound comes first?"
    with pytest.raises(DescriptionError, match="1 questions have no description"):
        answer([asked(0), asked(2)])

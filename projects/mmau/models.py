"""The models that MMAU's exams are put to: from the configuration of the stage `answer` to a function."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from core.answering import controls
from core.answering.cascade import cascade_answer
from core.answering.endpoint import open_endpoint
from core.answering.likelihood import likelihood_answer
from core.answering.local_models import audio_lm_answer, clap_answer, joined_statement, plain_statement
from core.answering.question import Answer, PromptStyle
from core.audio_lm.artefact import AudioLm, open_audio_lm, open_encoders
from core.audio_lm.encoders import Encoder
from core.data.choices import ChoiceItem
from core.encoders.trained_clap import open_clap, open_laion_clap
from core.language.cache import CachedChat
from core.language.client import Chat, Options
from core.language.http import Endpoint, connect, unusable
from core.report.predictions import read_predictions
from core.run.stage import Context
from projects.mmau.gold import read_texts

Decode = Literal["words", "likelihood"]
Kind = Literal["control", "audio_lm", "clap", "public_clap", "reader", "lalm", "endpoint", "reading_endpoint"]
PUBLIC = ("lalm", "public_clap")  # weights that a person fetches
READERS = ("reader", "reading_endpoint")
STATEMENTS = {"option": plain_statement, "joined": joined_statement}


@dataclass(frozen=True)
class Config:
    """kind: what answers.

    control   conditions: random, first, longest, most_frequent
    audio_lm  GAMA's row of the variant's name; conditions: own, noise, other, none
    clap      CompA's model of the variant's name; conditions as audio_lm
    public_clap  folder: LAION-CLAP; conditions as audio_lm
    reader    a row of ours that hears nothing; conditions: the descriptions it reads (stage `describe`),
              "truth" (what is true of the audio) and "nothing"
    lalm      folder: a checkpoint of transformers; conditions as audio_lm
    endpoint  a model that hears behind an endpoint; conditions as audio_lm
    reading_endpoint  a text model behind an endpoint; conditions as reader

    decode: of audio_lm and reader: free words after question and options ("own.jsonl"); the option that is
    likeliest after the question alone ("own_likelihood.jsonl"). shuffles: how often an item is asked with its
    options in another order; the majority decides. folder: of another row or checkpoint, from the root.
    pro: whether mmau_pro is asked too. without: why the variant does not run in this profile.
    """

    kind: Kind
    conditions: tuple[str, ...]
    folder: str = ""
    seed: int = 0
    split: str = "test-mini"
    shuffles: int = 1
    style: PromptStyle = "public"
    decode: tuple[Decode, ...] = ("words",)
    statement: Literal["option", "joined"] = "option"
    max_new_tokens: int = 24
    batch_size: int = 64
    instruction: str | None = None
    longer: Literal["refuse", "crop", "window"] = "refuse"  # lalm: audio beyond the model's window
    endpoint: Endpoint = field(default_factory=Endpoint)
    pro: bool = False
    without: str = ""


@dataclass(frozen=True)
class Opened:
    """A model and what decides its outputs."""

    answer: Answer
    identity: Mapping[str, Any]


def open_model(
    config: Config, condition: str, decode: Decode, exam: Sequence[ChoiceItem], *, context: Context
) -> Opened:
    """The model of a variant under one condition."""
    place = place_of(config, context)
    folder = context.root / place
    if config.kind == "control":
        golds = [(one.answer, one.choices) for one in exam]
        picked = controls.named(condition, seed=config.seed, golds=golds)
        return Opened(picked, {"control": condition, "seed": config.seed})
    if config.kind in ("clap", "public_clap"):
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if config.kind == "clap":
            clap = open_clap(folder.parent, folder.name, config.seed, device=device)
        else:
            clap = open_laion_clap(folder, device=device)
        nearest = clap_answer(clap, statement=STATEMENTS[config.statement])
        return Opened(nearest, {"clap": place, "seed": config.seed, "statement": config.statement})
    if config.kind in ("audio_lm", "reader"):
        model, encoders = opened_row(folder / f"seed{config.seed}", context.root)
        told: dict[str, Any] = {config.kind: place, "seed": config.seed, "decode": decode}
        if config.kind == "audio_lm":
            return Opened(listening(model, encoders, decode, max_new_tokens=config.max_new_tokens), told)
        reader = reading(model, decode, max_new_tokens=config.max_new_tokens)
        described = descriptions(condition, exam, context)
        return Opened(cascade_answer(described, reader, options=decode == "words"), told)
    if config.kind == "lalm":
        from core.answering.lalm import open_lalm

        lalm = open_lalm(
            folder,
            max_new_tokens=config.max_new_tokens,
            instruction=config.instruction,
            longer=config.longer,
        )
        return Opened(lalm.answer, lalm.identity)
    chat = open_chat(config.endpoint, context)
    asking = open_endpoint(
        chat,
        options=Options(max_tokens=config.max_new_tokens),
        concurrency=config.endpoint.concurrency,
        instruction=config.instruction,
    )
    if config.kind == "reading_endpoint":
        asking = cascade_answer(descriptions(condition, exam, context), asking)
    return Opened(asking, {"chat": dict(chat.identity), "instruction": config.instruction})


def place_of(config: Config, context: Context) -> str:
    """Where the variant's weights lie, from the root: those of a paper's own model of its name, or
    `folder`."""
    trained = {"audio_lm": "gama", "clap": "compa", "reader": "mmau"}
    if config.folder or config.kind not in trained:
        return config.folder
    return f"projects/{trained[config.kind]}/checkpoints/{context.profile}/{context.variant}"


def why_not(config: Config, context: Context) -> str:
    """Why a variant cannot run here: "" where it can."""
    if config.without:
        return config.without
    if config.kind in ("endpoint", "reading_endpoint"):
        return unusable(config.endpoint)
    if config.kind in READERS:
        for name in config.conditions:
            note = context.path("predictions", "descriptions", f"{name}.not_run.txt")
            if note.is_file():
                return note.read_text(encoding="utf-8").strip()
    if config.kind in PUBLIC and not (context.root / config.folder / "config.json").is_file():
        return f"no checkpoint in {config.folder}"
    return ""


def sizes_of(config: Config, context: Context) -> dict[str, int]:
    """The files of a checkpoint and their sizes in bytes; its outputs carry checksums (`Lalm.identity`)."""
    if config.kind not in PUBLIC:
        return {}
    folder = context.root / config.folder
    return {path.name: path.stat().st_size for path in sorted(folder.glob("*")) if path.is_file()}


@functools.lru_cache(maxsize=1)
def opened_row(folder: Path, root: Path) -> tuple[AudioLm, tuple[Encoder, ...]]:
    """A trained model and its encoders, none for one that hears nothing; opened once for all conditions."""
    model = open_audio_lm(folder, root=root)
    return model, open_encoders(model.artefact, root=root)


def listening(model: AudioLm, encoders: Sequence[Encoder], decode: Decode, *, max_new_tokens: int) -> Answer:
    """A row asked about audio."""
    if decode == "words":
        return audio_lm_answer(model, encoders, max_new_tokens=max_new_tokens)
    likeliest = likelihood_answer(model, encoders, normalise="sum")
    return lambda asked: likeliest([replace(one, prompt=one.question) for one in asked])


def reading(model: AudioLm, decode: Decode, *, max_new_tokens: int) -> Answer:
    """A row asked about descriptions, which stand in the prompt."""
    if decode == "words":
        return audio_lm_answer(model, (), max_new_tokens=max_new_tokens)
    return likelihood_answer(model, (), normalise="sum")


def descriptions(condition: str, exam: Sequence[ChoiceItem], context: Context) -> dict[str, str]:
    """What a reader is told of each item's audio: "nothing", "truth", or what `describe` wrote."""
    if condition == "nothing":
        return {one.id: "" for one in exam}
    truth = condition == "truth"
    path = context.path("predictions", "descriptions", f"{condition}.jsonl")
    if truth:
        path = context.path("predictions", "gold", "mmau.facts.jsonl")
    if not path.is_file():
        raise FileNotFoundError(f"no {path}: run the stage `{'gold' if truth else 'describe'}`")
    if truth:
        return read_texts(path, "facts")
    return {one.id: one.answers[0] for one in read_predictions(path, writer="stage describe")}


def open_chat(endpoint: Endpoint, context: Context) -> Chat:
    """The endpoint behind a cache, so that no question is paid for twice."""
    return CachedChat(connect(endpoint), context.path("data", "chat_cache"))

"""Answer the test sets with one model. Reads: data/<profile>/features, predictions/<profile>/gold and
checkpoints/<profile>/<model>; writes: predictions/<profile>/<model>/<condition>/<set>.jsonl, one line a
question with the answer of every training seed (core.report.predictions).

Asked through `core.answering.harness`: a killed run goes on, processes share the questions, and batches hold
audios of like length. Decoding is greedy unless `sampling` is given: the release samples, so that its numbers
cannot be repeated.
"""

from __future__ import annotations

import shutil
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from core.adapters.prefix_lm import Sampling
from core.answering.harness import evaluate
from core.answering.items import Item
from core.answering.question import Answer, Question
from core.audio_lm.artefact import Artefact, AudioLm, open_audio_lm, read_artefact
from core.audio_lm.batches import Hints
from core.audio_lm.features import Store, open_store, read_truth
from core.report.predictions import Prediction, read_predictions, write_predictions
from core.report.scoring import read_lines
from core.run import hardware
from core.run.resume import close_folder, open_folder, run_identity
from core.run.stage import Context
from projects.gama.sets import Task, TestSet

Condition: TypeAlias = Literal["own", "swapped", "random_tags"]
BY_SEED = ".seeds"  # what is answered so far, while the stage runs


@dataclass(frozen=True)
class Config:
    """conditions: "own" audio; "swapped", every question asked of another item's audio (a blind control);
    "random_tags", a soft prompt that tells random tags.

    sets: those of rows.yaml; tasks: those whose sets are asked, empty is all. answer_tokens: the longest
    answer per task, `max_new_tokens` where none is given. hints: in place of those that the model was trained
    with. checkpoint: a trained model, empty is that of the variant's name.
    """

    sets: dict[str, TestSet]
    answer_tokens: dict[Task, int]
    tasks: tuple[Task, ...] = ()
    conditions: tuple[Condition, ...] = ("own",)
    checkpoint: str = ""
    seeds: tuple[int, ...] = (0,)
    hints: Hints | None = None
    sampling: Sampling | None = None
    max_new_tokens: int = 40
    batch_size: int = 64


@dataclass(frozen=True)
class Asked:
    """A set's question: what is asked of which audio."""

    id: str
    audio: str
    instruction: str


@dataclass(frozen=True)
class Heard:
    """The features of all audios that are asked about, and their true tags where hints want them."""

    store: Store
    truth: Mapping[str, Sequence[str]]

    def steps(self, audio: str) -> int:
        """The length of an audio in steps of the model's first encoder; 0 where it hears nothing."""
        first = next(iter(self.store.encoders), None)
        return self.store.steps(first, audio) if first else 0


def predict(config: Config, *, context: Context) -> None:
    """Answer every set under every condition, with every seed's weights."""
    out = context.path("predictions", str(context.variant))
    base = context.path("checkpoints", config.checkpoint or str(context.variant))
    hints = hints_of(config, read_artefact(base / f"seed{config.seeds[0]}"), context=context)
    gold = context.path("predictions", "gold")
    # a set that this profile has not got is not in `gold` either, which said why
    wanted = [name for name, one in config.sets.items() if not config.tasks or one.task in config.tasks]
    sets = {name: q for name in wanted if (q := read_questions(gold / f"{name}.jsonl"))}
    if not sets:
        raise FileNotFoundError(f"no questions in {gold}: run the stage `gold` of projects/gama")
    identity = run_identity(context, config=asdict(config))
    if open_folder(out, identity):
        print(f"{context.variant} is complete")
        return
    random_tags = hints and replace(hints, source="random")
    for seed in config.seeds:
        model = open_audio_lm(base / f"seed{seed}", root=context.root)
        heard = open_heard(model.artefact, sets, hints, context=context)
        began, said = time.monotonic(), list[str]()
        for condition in config.conditions:
            for name, asked in sets.items():
                audios = [one.audio for one in asked]
                if condition == "swapped":
                    audios = swapped(audios)
                ask(
                    answering(
                        model,
                        heard,
                        dict(zip([one.id for one in asked], audios)),
                        hints=random_tags if condition == "random_tags" else hints,
                        longest=config.answer_tokens.get(config.sets[name].task, config.max_new_tokens),
                        sampling=config.sampling,
                        said=said,
                    ),
                    asked,
                    steps=[heard.steps(audio) for audio in audios],
                    out=out / BY_SEED / f"{seed}" / condition / f"{name}.jsonl",
                    identity=identity,
                    batch_size=config.batch_size,
                )
        tokens = sum(map(len, model.tokenizer(said, add_special_tokens=False)["input_ids"])) if said else 0
        context.tracker.log_metrics({"tokens_per_second": tokens / (time.monotonic() - began)}, step=seed)
    if hardware.is_main_process():
        for condition in config.conditions:
            for name, asked in sets.items():
                parts = [out / BY_SEED / f"{seed}" / condition / f"{name}.jsonl" for seed in config.seeds]
                write_predictions(out / condition / f"{name}.jsonl", all_seeds(parts))
                print(f"{condition}/{name}: {len(asked)} questions")
        shutil.rmtree(out / BY_SEED)
    close_folder(out, identity)


def ask(
    answer: Answer,
    asked: Sequence[Asked],
    *,
    steps: Sequence[int],
    out: Path,
    identity: str,
    batch_size: int,
) -> None:
    """Ask one model the questions of a set; steps: of their audios, by which batches are formed."""
    items = [
        Item(id=one.id, question=one.instruction, choices=(), audios=(), seconds=float(length))
        for one, length in zip(asked, steps, strict=True)
    ]
    # what a model of ours raises is a fault, and no answer: it ends the run
    evaluate(answer, items, out=out, identity={"run": identity}, batch_size=batch_size, stop_after=1)


def hints_of(config: Config, artefact: Artefact, *, context: Context) -> Hints | None:
    """The soft prompt's tags. Raises ValueError for hints, or a condition, that the model cannot be told."""
    soft, hints = artefact.architecture.soft_prompt, config.hints or artefact.hints
    if soft != (hints is not None):
        raise ValueError(
            f"{context.variant} was trained {'with' if soft else 'without'} a soft prompt: "
            f"{'give' if soft else 'remove'} predict.{context.variant}.hints"
        )
    if "random_tags" in config.conditions and not soft:
        raise ValueError(
            f"{context.variant} was trained without a soft prompt, so that no tags can be told: remove "
            f"random_tags from predict.{context.variant}.conditions"
        )
    return hints


def open_heard(
    artefact: Artefact, sets: Mapping[str, Sequence[Asked]], hints: Hints | None, *, context: Context
) -> Heard:
    """The features that a model reads of the audios of all sets."""
    features = context.path("data", "features", "test")
    names = sorted({one.audio.partition(":")[0] for asked in sets.values() for one in asked})
    store = open_store(features, names, [encoder.name for encoder in artefact.encoders])
    return Heard(store, read_truth(features, names) if hints and hints.source == "gold" else {})


def read_questions(path: Path) -> list[Asked]:
    """The questions of a set, as the stage `gold` wrote them; none where it did not."""
    if not path.is_file():
        return []
    lines = read_lines(path, writer="stage gold")
    return [Asked(line["id"], line["audio"], line["instruction"]) for line in lines]


def swapped(audios: Sequence[str], *, seed: int = 0) -> list[str]:
    """The audios in another order: no question keeps its own, where there are two different ones."""
    rng = np.random.default_rng(seed)
    different = sorted(set(audios))
    order = rng.permutation(len(different))
    other = {different[a]: different[b] for a, b in zip(order, np.roll(order, 1))}
    return [other[audio] for audio in audios]


def answering(
    model: AudioLm,
    heard: Heard,
    audio_of: Mapping[str, str],
    *,
    hints: Hints | None,
    longest: int,
    sampling: Sampling | None,
    said: list[str],
) -> Answer:
    """The model as an Answer. audio_of: question -> the audio that it is asked about; said: gets all answers.

    Drawn answers are a function of the questions of their batch.
    """

    def answer(asked: Sequence[Question]) -> list[str]:
        audios = [audio_of[one.id] for one in asked]
        made = model.answer(
            [one.prompt for one in asked],
            {encoder: heard.store.read(encoder, audios) for encoder in heard.store.encoders},
            ids=audios,
            hints=hints,
            gold=heard.truth,
            max_new_tokens=longest,
            sample=sampling,
            seed=zlib.crc32("\n".join(one.id for one in asked).encode()),
        )
        said.extend(made)
        return made

    return answer


def all_seeds(parts: Sequence[Path]) -> list[Prediction]:
    """The answers of all seeds beside each other, from one file a seed."""
    by_seed = [read_predictions(path) for path in parts]
    return [Prediction(id=of[0].id, answers=tuple(one.answers[0] for one in of)) for of in zip(*by_seed)]


if __name__ == "__main__":
    from core.run.stage import run

    run(predict, Config, processes=True)

"""Put the exams to one model. Reads: the exams and what the model is made of; writes:
predictions/<profile>/<variant>/<condition>.jsonl, one line an item (core.answering.records).

A variant is a model and its conditions: what it hears in place of the audio, which control it is, or which
description it reads. The exam mmau_pro, where a variant takes it, is the condition `pro`.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

from core.answering.harness import evaluate
from core.answering.items import Item
from core.data.choices import stored_split
from core.data.parquet import read_dataset, why_absent
from core.run import hardware
from core.run.files import write_text_atomic
from core.run.resume import close_folder, open_folder, run_identity
from core.run.stage import Context
from projects.mmau.gold import dataset_folder, require_exam
from projects.mmau.models import READERS, Config, Opened, open_model, sizes_of, why_not
from projects.mmau.questions import Sounds, read_exam, to_items


def answer(config: Config, *, context: Context) -> None:
    """Ask every condition; a killed run goes on where it stopped."""
    out = context.path("predictions", str(context.variant))
    reason = why_not(config, context)  # part of the identity: what was missing may be there another time
    identity = run_identity(
        context,
        config={
            "config": repr(config),
            "variant": context.variant,
            "not run": reason,
            "files": sizes_of(config, context),
        },
    )
    if open_folder(out, identity):
        print(f"{context.variant} is complete")
        return
    if reason:
        if hardware.is_main_process():
            write_text_atomic(out / "not_run.txt", reason + "\n")
        print(f"{context.variant}: not run: {reason}")
        close_folder(out, identity)
        return
    require_exam(dataset_folder(context, "mmau"), context)
    exam = read_exam(dataset_folder(context, "mmau"), split=config.split, audio=None)
    hears = config.kind not in ("control", *READERS)
    if config.pro and config.kind in READERS:
        raise ValueError(
            f"answer.{context.variant}.pro: nothing is described of mmau_pro, so no reader can answer"
        )
    for condition in config.conditions:
        if hears and condition not in get_args(Sounds):
            raise ValueError(
                f"answer.{context.variant}.conditions: {condition!r} is none of {', '.join(get_args(Sounds))}"
            )
        sounds = cast(Sounds, condition) if hears else "none"
        items = to_items(exam, sounds=sounds, seed=config.seed, lengths=sounds != "none")
        for decode in config.decode:
            opened = open_model(config, condition, decode, exam, context=context)
            name = condition if decode == "words" else f"{condition}_{decode}"
            _evaluate(config, opened, items, out / f"{name}.jsonl", context)
    pro = dataset_folder(context, "mmau_pro")
    if config.pro and why_absent(pro) is None:
        require_exam(pro, context)
        opened = open_model(config, config.conditions[0], "words", exam, context=context)
        items = pro_items(pro, stored_split("test"), heard=config.kind != "control")
        _evaluate(config, opened, items, out / "pro.jsonl", context)
    close_folder(out, identity)


def _evaluate(config: Config, opened: Opened, items: list[Item], path: Path, context: Context) -> None:
    summary = evaluate(
        opened.answer,
        items,
        out=path,
        identity={"model": opened.identity, "condition": path.stem},
        batch_size=config.batch_size,
        shuffles=config.shuffles,
        seed=config.seed,
        prompt_style=config.style,
    )
    counts = {name: getattr(summary, name) for name in ("items", "failed", "silent", "cut")}
    context.tracker.log_metrics({f"{path.stem}/{name}": float(value) for name, value in counts.items()})
    print(
        f"{path.stem}: {summary.items} items, {summary.failed} failed, {summary.silent} said nothing, "
        f"{summary.cut} cut off at {config.max_new_tokens} tokens"
    )
    for reason, count in summary.reasons[:3]:
        print(f"{path.stem}: failed {count} times: {reason}")


def pro_items(folder: Path, split: str, *, heard: bool) -> list[Item]:
    """The items of mmau_pro; not `heard`: as text alone."""
    rows = read_dataset(folder, split, columns=["id", "question", "choices", "audios"])
    return [
        Item(
            id=row["id"],
            question=row["question"],
            choices=tuple(row["choices"]),
            audios=tuple(audio["bytes"] for audio in row["audios"]) if heard else (),
        )
        for row in rows
    ]


if __name__ == "__main__":
    from core.run.stage import run

    run(answer, Config, processes=True)

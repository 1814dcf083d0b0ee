"""Put the audio of the exam into words, for cascades. Reads: the exam mmau, a row of GAMA, for `strong` also
spoken texts and recordings of its split train; writes: predictions/<profile>/descriptions/<level>.jsonl.

A line an item (core.report.predictions), in the data set's order. An item's audio and domain decide its
description, as in the paper; its question, options and answer are not read. In the paper (MMAU, section 4)
weak descriptions are of EnCLAP, MU-LLaMA and Whisper-base, strong ones of Qwen2-Audio-Instruct with a prompt
for each domain. Here, `weak` is a list of tags and the transcript of pocketsphinx's general model. `strong`
asks the endpoint, where one is configured; else it is measured: GAMA-IT's detailed caption, analysed music,
and speech heard with a recogniser made from the split train. What is measured are guesses, and often wrong.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from core.answering.endpoint import audio_part
from core.audio.files import AudioError
from core.audio.read import read_many
from core.data.choices import TASKS, stored_split
from core.data.parquet import read_dataset, why_absent
from core.language.cache import CachedChat
from core.language.client import (
    Chat,
    Message,
    Options,
    Reply,
    ReplyError,
    Text,
    in_parallel,
    totals,
)
from core.language.http import Endpoint, connect, unusable
from core.language.prompts import read_prompt
from core.language.thoughts import after_thoughts
from core.report.predictions import Prediction, write_predictions
from core.run.files import write_text_atomic
from core.run.progress import progress
from core.run.stage import Context
from core.scenes.bank import read_names
from projects.mmau import talk
from projects.mmau.gold import dataset_folder, gama_row, read_texts
from projects.mmau.recognise import RATE, RecogniserMissingError, spoken
from projects.mmau.recognise import why_absent as why_deaf

PROMPTS = Path(__file__).parent / "prompts"


class DescribeError(ValueError):
    """Audio or a training split of which nothing can be written."""


@dataclass(frozen=True)
class Config:
    """artefact: the row of GAMA whose tagger gives tags (and whose captions are told).

    threshold, limit: of tags. learn: recordings of the split train that voices are learnt from. common_words:
    of the general language model that the recogniser knows beside the split's own. workers: processes that
    recognise speech. words: of a description, at most. endpoint: a model that hears, for `strong`.
    """

    level: Literal["weak", "strong"]
    artefact: str = ""
    split: str = "test-mini"
    train_split: str = "train"
    threshold: float = 0.3
    limit: int = 5
    caption_tokens: int = 60
    batch_size: int = 64
    learn: int = 200
    common_words: int = 20000
    workers: int = 2
    words: int = 60
    max_tokens: int = 256
    endpoint: Endpoint = field(default_factory=Endpoint)


@dataclass(frozen=True)
class Item:
    """All that is read of an item."""

    id: str
    task: str
    audio: bytes


def describe(config: Config, *, context: Context) -> None:
    """Write one description an item, or why that was not possible."""
    out = context.path("predictions", "descriptions", f"{context.variant}.jsonl")
    reason_file = out.with_suffix(".not_run.txt")
    reason_file.unlink(missing_ok=True)
    folder = dataset_folder(context, "mmau")
    if reason := why_not(config, folder):
        write_text_atomic(reason_file, reason + "\n")
        write_text_atomic(out, "")
        print(f"{context.variant}: not run: {reason}")
        return
    items = read_items(folder, config.split)
    if config.level == "strong" and not unusable(config.endpoint):
        with connect(config.endpoint) as http:
            said = ask(CachedChat(http, context.path("data", "chat_cache")), items, config=config)
    else:
        said = measure(config, items, folder=folder, context=context)
    write_predictions(out, [Prediction(id=one.id, answers=(said[one.id],)) for one in items])
    counts = Counter(one.task for one in items)
    silent = sum(not said[one.id] for one in items)
    lengths = {f"words/{task}": _mean([said[i.id] for i in items if i.task == task]) for task in counts}
    context.tracker.log_metrics({**lengths, "items": float(len(items)), "without": float(silent)})
    shown = ", ".join(f"{count} {task}" for task, count in counts.items())
    print(f"{context.variant}: {shown}; {silent} without description")


def why_not(config: Config, folder: Path) -> str:
    """Why nothing can be described, "" where it can."""
    if reason := why_absent(folder):
        return reason
    if (
        config.level == "strong"
        and unusable(config.endpoint)
        and not _facts(folder, config.train_split).is_file()
    ):
        return (
            f"{unusable(config.endpoint)}, and this exam has no split {config.train_split!r} with facts to "
            "learn spoken words and voices from"
        )
    return ""


def read_items(folder: Path, split: str, *, task: str | None = None, limit: int | None = None) -> list[Item]:
    """Ids, domains and encoded audio; no question, option or answer. Raises DescribeError."""
    tasks = read_dataset(folder, stored_split(split), columns=["task"])["task"]
    if unknown := sorted({*tasks} - {*TASKS}):
        raise DescribeError(
            f"{folder}: no way to describe {', '.join(unknown)}; known are {', '.join(TASKS)}"
        )
    wanted = [place for place, of in enumerate(tasks) if task in (None, of)][:limit]
    rows = read_dataset(folder, stored_split(split), columns=["id", "task", "audio"]).select(wanted)
    return [Item(row["id"], row["task"], row["audio"]["bytes"]) for row in rows]


def measure(config: Config, items: Sequence[Item], *, folder: Path, context: Context) -> dict[str, str]:
    """Descriptions by id, of taggers, captions, measurements and recognisers."""
    if any(item.task == "speech" for item in items) and (reason := why_deaf()):
        raise RecogniserMissingError(reason)
    said = {item.id: shortened(text, config.words) for item, text in _sounds(config, items, context=context)}
    said |= {
        item.id: shortened(text, config.words)
        for item, text in _talks(config, items, folder=folder, context=context)
    }
    return said


def _sounds(config: Config, items: Sequence[Item], *, context: Context) -> Iterator[tuple[Item, str]]:
    """Sound and music."""
    from core.audio_lm import encoders
    from projects.mmau import analyse, hear  # they load torch, which the recognising processes do without

    wanted = [item for item in items if item.task != "speech"]
    if not wanted:
        return
    strong = config.level == "strong"
    names = read_names(context.root / "shared_data" / "bank" / context.profile)
    hearer = hear.open_hearer(
        gama_row(config.artefact, context), root=context.root, names=names, captions=strong
    )
    rate = encoders.RATE
    starts = range(0, len(wanted), config.batch_size)
    for first in progress(starts, desc="hear sound and music", unit="batch"):
        part = wanted[first : first + config.batch_size]
        ids = [item.id for item in part]
        waves = [wave for wave, _ in read_many([item.audio for item in part], sample_rate=rate, names=ids)]
        noticed = hear.notice(
            hearer,
            waves,
            ids,
            threshold=config.threshold,
            limit=config.limit,
            max_new_tokens=config.caption_tokens,
        )
        for item, wave, found in zip(part, waves, noticed, strict=True):
            if not strong:
                yield item, hear.list_tags(found.tags, names)
            elif item.task == "sound":
                yield item, hear.tell_sounds(found, names)
            else:
                music = analyse.analyse(wave, sample_rate=rate, name=item.id)
                yield item, analyse.tell(music, found.instruments)


def _talks(
    config: Config, items: Sequence[Item], *, folder: Path, context: Context
) -> Iterator[tuple[Item, str]]:
    """Speech."""
    wanted = [item for item in items if item.task == "speech"]
    if not wanted:
        return
    recordings = _recordings(wanted)
    if config.level == "weak":
        texts = talk.in_workers(talk.transcribe, recordings, workers=config.workers)
        yield from zip(wanted, progress(texts, total=len(wanted), desc="recognise", unit="item"))
        return
    facts = read_texts(_facts(folder, config.train_split), "facts")
    taught = read_items(folder, config.train_split, task="speech", limit=config.learn)
    with tempfile.TemporaryDirectory() as learnt:
        ear = talk.learn(
            [talk.Recording(one.name, one.sound, facts[one.name]) for one in _recordings(taught)],
            [text for said in facts.values() for text in spoken(said)],
            folder=Path(learnt),
            common_words=config.common_words,
            workers=config.workers,
        )
        print(", ".join(f"{value} {name}" for name, value in ear.notes.items()))
        context.tracker.log_metrics({name.replace(" ", "_"): float(n) for name, n in ear.notes.items()})
        tasks = [(ear.model, recording) for recording in recordings]
        heard = talk.in_workers(talk.hear, tasks, workers=config.workers)
        for item, one in zip(wanted, progress(heard, total=len(wanted), desc="recognise", unit="item")):
            yield item, talk.describe(one, ear)


def ask(chat: Chat, items: Sequence[Item], *, config: Config) -> dict[str, str]:
    """Descriptions by id, of a model that hears, asked by domain; "" where it gave none, which is said.

    Thoughts are no description. Raises DescribeError where there is none of any item.
    """
    prompts = {task: read_prompt(PROMPTS / f"describe_{task}.txt") for task in TASKS}

    replies: list[Reply] = []

    def one(item: Item) -> tuple[str, str]:
        try:
            sound = audio_part(item.audio, name=item.id)
            (asked,) = prompts[item.task].messages(words=str(config.words))
            message = Message("user", (sound, Text(str(asked.content))))
            reply = chat.complete([message], options=Options(max_tokens=config.max_tokens))
        except (ReplyError, AudioError) as error:
            return "", str(error)
        replies.append(reply)
        text = " ".join(after_thoughts(reply.text).split())
        cut = f"cut off at {config.max_tokens} tokens" if reply.finish == "length" else "an empty answer"
        return text, "" if text else cut

    answers = in_parallel(one, items, concurrency=config.endpoint.concurrency)
    said: dict[str, str] = {}
    for item, (text, error) in zip(items, progress(answers, total=len(items), desc="describe", unit="item")):
        said[item.id] = text
        if error:
            print(f"{item.id}: no description: {error}")
    if items and not any(said.values()):
        raise DescribeError(f"none of {len(items)} items is described; the last: {error}: see the endpoint")
    print(totals(replies))
    return said


def shortened(text: str, words: int) -> str:
    """The text up to so many words."""
    found = text.split()
    return text if len(found) <= words else " ".join(found[:words]).rstrip(".,;:") + "."


def _facts(folder: Path, split: str) -> Path:
    return folder / f"facts-{stored_split(split)}.jsonl"


def _recordings(items: Sequence[Item]) -> list[talk.Recording]:
    names = [item.id for item in items]
    waves = read_many([item.audio for item in items], sample_rate=RATE, names=names)
    return [talk.Recording(name, wave) for name, (wave, _) in zip(names, waves, strict=True)]


def _mean(texts: Sequence[str]) -> float:
    return sum(len(text.split()) for text in texts) / max(1, len(texts))


if __name__ == "__main__":
    from core.run.stage import run

    run(describe, Config)

"""Write CompA-R's kind of questions with a language model. Reads: `inputs`, JSON lines of {audio_id, experts,
events}; writes: data/<profile>/compa_r/ with instructions.json (the official flat schema), by_audio.json (the
official test schema, for people to check), dropped.json and record.json; or not_run.txt without an endpoint.

GAMA's section 3.2: notes of experts -> description -> three pairs -> checks. Every reply is kept in
data/<profile>/language_cache, so a stopped run goes on where it was.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.data.instructions import (
    AudioInstructions,
    Instruction,
    format_events,
    write_audio_instructions,
    write_instructions,
)
from core.language.cache import CachedChat
from core.language.client import (
    Chat,
    Options,
    Reply,
    ReplyError,
    in_parallel,
    totals,
)
from core.language.http import Endpoint, connect, unusable
from core.language.prompts import Prompt, read_prompt
from core.language.structured import complete_json
from core.language.thoughts import after_thoughts
from core.run.files import write_json, write_text_atomic
from core.run.progress import progress
from core.run.stage import Context
from projects.gama.experts import Item, SynthesisError, read_exemplars, read_items, read_rejected
from projects.gama.pair_checks import Vocabulary, fault_of, pairs_schema

PROMPTS = Path(__file__).parent / "prompts"
OUTPUTS = ("instructions.json", "by_audio.json", "dropped.json", "record.json", "not_run.txt")


@dataclass(frozen=True)
class Config:
    """inputs, rejected: paths from the repository's root. rejected, where given: lines of `audio_id`, or of
    `audio_id<TAB>instruction`, that people have thrown out.

    pairs, exemplars: an audio's pairs, and the examples shown for them (3 and 3 in the paper). words: answers
    have fewer. generic: sound words that may be mentioned although no event has them.
    """

    endpoint: Endpoint = field(default_factory=Endpoint)
    inputs: str = ""
    rejected: str = ""
    dataset: str = "compa_r"
    task: str = "open_ended_question"
    pairs: int = 3
    exemplars: int = 3
    words: int = 30
    temperature: float = 0.7  # of the pairs; descriptions are greedy
    max_tokens: int = 600
    generic: tuple[str, ...] = ("animal", "vehicle", "human voice", "sound", "noise", "music", "speech")
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Materials:
    """What is the same for every audio."""

    prompts: Mapping[str, Prompt]
    exemplars: tuple[str, ...]
    vocabulary: Vocabulary
    rejected: AbstractSet[tuple[str, str]] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Written:
    """What came of one audio. dropped: {reason, detail, instruction, answer}; no texts for a whole audio."""

    item: Item
    caption: str = ""
    pairs: tuple[Mapping[str, str], ...] = ()
    dropped: tuple[Mapping[str, str], ...] = ()
    replies: tuple[Reply, ...] = ()


def synthesize(config: Config, *, context: Context) -> None:
    """Write the pairs of all inputs, or why that was not possible."""
    out = context.path("data", "compa_r")
    for name in OUTPUTS:  # nothing of another run stays beside this one's; the cache has it all
        (out / name).unlink(missing_ok=True)
    if reason := unusable(config.endpoint):
        write_text_atomic(out / "not_run.txt", f"{reason}\n")
        print(f"not run: {reason}")
        return
    items = read_items(context.root / config.inputs)
    labels = (event.label for item in items for event in item.events)
    materials = Materials(
        prompts={name: read_prompt(PROMPTS / f"{name}.txt") for name in ("caption", "synthesize")},
        exemplars=read_exemplars(PROMPTS / "exemplars.jsonl", at_least=config.exemplars),
        vocabulary=Vocabulary.of(labels, generic=config.generic),
        rejected=read_rejected(context.root / config.rejected) if config.rejected else frozenset(),
    )
    with connect(config.endpoint) as http:
        chat = CachedChat(http, context.path("data", "language_cache"))
        every = in_parallel(
            lambda item: write_pairs(chat, item, config=config, materials=materials),
            items,
            concurrency=config.endpoint.concurrency,
        )
        written = list(progress(every, total=len(items), desc="synthesize", unit="audio"))
    if not any(one.replies for one in written):
        why = written[0].dropped[0]["detail"]
        raise SynthesisError(f"the endpoint answered for none of {len(items)} audios; the first: {why}")
    record = save(out, written, config=config, materials=materials)
    context.tracker.log_metrics({name: float(value) for name, value in record.items()})


def write_pairs(chat: Chat, item: Item, *, config: Config, materials: Materials) -> Written:
    """Describe one audio, ask for its pairs, and check them."""
    events = format_events(item.events)
    experts = "\n".join(f"- {name}: {said}" for name, said in item.experts.items()) or "- none"
    messages = materials.prompts["caption"].messages(experts=experts, events=events)
    try:
        described = chat.complete(messages, options=Options(max_tokens=config.max_tokens))
    except ReplyError as error:
        return Written(item=item, dropped=(_drop("no caption", f"refused: {error}"),))
    caption = " ".join(after_thoughts(described.text).split())  # thoughts describe nothing
    if not caption or described.finish == "length":
        why = f"cut off at {config.max_tokens} tokens" if described.finish == "length" else "empty"
        return Written(item=item, dropped=(_drop("no caption", why),), replies=(described,))
    # the same examples for an audio in every run, whatever else is in the file
    shown = random.Random(f"{config.seed} {item.audio_id}").sample(materials.exemplars, config.exemplars)
    asked = complete_json(
        chat,
        materials.prompts["synthesize"].messages(
            events=events,
            caption=caption,
            exemplars="\n\n".join(shown),
            pairs=str(config.pairs),
            words=str(config.words),
        ),
        schema=pairs_schema(config.pairs),
        options=Options(temperature=config.temperature, max_tokens=config.max_tokens, seed=config.seed),
    )
    replies = (described, *asked.replies)
    if asked.error:
        dropped = (_drop("no readable pairs", asked.error),)
        return Written(item=item, caption=caption, dropped=dropped, replies=replies)
    kept: dict[str, Mapping[str, str]] = {}
    faulty: list[Mapping[str, str]] = []
    given = [*(event.label for event in item.events), *item.experts.values()]
    for pair in asked.value:
        question, answer = pair["Instruction"].strip(), pair["Answer"].strip()
        fault = fault_of(question, answer, given=given, vocabulary=materials.vocabulary, words=config.words)
        if not fault and question.lower() in kept:
            fault = "asked twice"
        if not fault and {(item.audio_id, ""), (item.audio_id, question)} & materials.rejected:
            fault = "rejected by a person"
        if fault:
            faulty.append(_drop(fault, instruction=question, answer=answer))
        else:
            kept[question.lower()] = {
                "instruction": question,
                "output": answer,
                "topic": pair["Knowledge topic"],
            }
    pairs = tuple(kept.values())
    return Written(item=item, caption=caption, pairs=pairs, dropped=tuple(faulty), replies=replies)


def save(out: Path, written: Sequence[Written], *, config: Config, materials: Materials) -> dict[str, float]:
    """Write the four files, in the order of the inputs; returns what was counted."""
    used = [one for one in written if one.pairs]
    flat = [
        Instruction(
            audio_id=one.item.audio_id,
            instruction=pair["instruction"],
            dataset=config.dataset,
            task=config.task,
            output=pair["output"],
        )
        for one in used
        for pair in one.pairs
    ]
    by_audio = [
        AudioInstructions(
            audio_id=one.item.audio_id,
            caption=one.caption,
            timestamp_events=format_events(one.item.events),
            pairs=tuple((pair["instruction"], pair["output"]) for pair in one.pairs),
            dataset=config.dataset,
            task=config.task,
        )
        for one in used
    ]
    drops = [{"audio_id": one.item.audio_id, **drop} for one in written for drop in one.dropped]
    spent = asdict(totals(reply for one in written for reply in one.replies))
    counts = {"audios": len(written), "audios_used": len(used), "pairs": len(flat), "dropped": len(drops)}
    write_instructions(out / "instructions.json", flat)
    write_audio_instructions(out / "by_audio.json", by_audio)
    reasons = Counter(drop["reason"] for drop in drops)
    write_json(out / "dropped.json", {"counts": dict(reasons.most_common()), "items": drops})
    record: dict[str, Any] = {
        "model": config.endpoint.model,
        "prompts": {name: prompt.sha256 for name, prompt in materials.prompts.items()},
        "counts": counts,
        "topics": dict(Counter(pair["topic"] for one in used for pair in one.pairs).most_common(50)),
    }
    # tokens and cost depend on what the cache held, so they are tracked and not part of the result
    write_json(out / "record.json", record)
    print(", ".join(f"{value:g} {name}" for name, value in {**counts, **spent}.items()))
    for (reason, detail), count in Counter((d["reason"], d["detail"]) for d in drops).most_common(5):
        print(f"dropped {count} times: {reason}" + (f": {detail}" if detail else ""))
    return {**counts, **spent}


def _drop(reason: str, detail: str = "", *, instruction: str = "", answer: str = "") -> dict[str, str]:
    return {"reason": reason, "detail": detail, "instruction": instruction, "answer": answer}


if __name__ == "__main__":
    from core.run.stage import run

    run(synthesize, Config)

"""Puts the items of a benchmark to a model: batched, shared by processes, resumable, never silent.

The file of outputs is the same, byte for byte, whatever the number of processes, the batch size, and how
often the run was killed and resumed, as far as the model's outputs do not depend on their batches.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.answering.items import Item, Orders, Plan, check, identity_hash, questions
from core.answering.outputs import Cut, Refused, Unanswered
from core.answering.question import Answer, PromptStyle, Question
from core.answering.records import (
    Part,
    Record,
    alone,
    check_predictions,
    gather_left,
    merge,
    part_of,
)
from core.answering.sharing import Processes, ending_together, from_first, launched, remove_marks
from core.language.client import EndpointError, in_parallel
from core.run.progress import progress

log = logging.getLogger(__name__)

STOP_AFTER = 50  # items in a row without an answer: then the model is broken, or its server refuses all
SHOWN = 300  # characters of an exception's message that a record keeps


_COUNT_THEM = "count such items as unanswered with stop_after=None (--allow-failures of a command)"


class HarnessError(ValueError):
    """A run that cannot go on: a model that is broken or no Answer, a file that would lose answers."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run did, all processes together; the same in each of them.

    items: in the file. missing: left out, since they have no audio. asked: put to the model now. kept:
    answered by an earlier run. changed: of those asked, had an answer that was to something else, or failed.
    failed: items with an output that failed. silent: items with an empty or blank output that did not fail.
    cut: items with an output that ended at the limit of tokens. reasons: of the failures, the most frequent
    first, each with the number of items.
    """

    items: int
    missing: int
    asked: int
    kept: int
    changed: int
    failed: int
    silent: int
    cut: int = 0
    reasons: tuple[tuple[str, int], ...] = ()


def evaluate(
    answer: Answer,
    items: Iterable[Item],
    *,
    out: Path,
    identity: Mapping[str, Any],
    batch_size: int = 16,
    shuffles: int = 1,
    seed: int = 0,
    prompt_style: PromptStyle = "public",
    own_order_first: bool = True,
    by_duration: bool = True,
    retries: int = 1,
    stop_after: int | None = STOP_AFTER,
    allow_missing: bool = False,
    ask_failed_again: bool = False,
    drop_others: bool = False,
    processes: Processes | None = None,
) -> Summary:
    """Ask `answer` every item and write `out` (core.answering.records), in the order of `items`.

    identity: what, beside the item, decides an output (model, weights, decoding), as JSON.
    batch_size: questions a call, an item's shuffles counted.
    shuffles: how often an item is asked, its options each time in another order (see core.answering.items);
        once where there are no two options to exchange.
    by_duration: longest first, so that a batch holds like lengths.
    retries: how often a question is put again, alone, after a call raised.
    stop_after: so many items in a row for which the model raised, or was Refused, end the run without a
        record of them (None: never): then it is the model that is broken. A run in which every item failed
        ends with an error too; the next one asks again.
    ask_failed_again: also items that an earlier run has a failure of.
    drop_others: `out` may lose its answers to items that are not among `items`.
    processes: who shares the work, by default those that `accelerate launch` started.

    What an earlier run answered is kept while the hash of identity, question, options, orders, prompts and
    audio is the same. EndpointError and KeyboardInterrupt end the run; what was answered is on the disk, and
    the same call goes on from there with any number of processes. Raises ItemError, HarnessError, OutputError
    (a full disk, `out` in use or no predictions file) and ProcessError (another process failed).
    """
    listed = list(items)
    missing = check(listed, allow_missing=allow_missing)
    if batch_size < 1 or retries < 0:
        raise ValueError(f"batch_size {batch_size} must be at least 1 and retries {retries} at least 0")
    plan = Plan(shuffles=shuffles, seed=seed, style=prompt_style, own_order_first=own_order_first)
    work = _Work(
        answer=answer,
        plan=plan,
        identity=identity_hash(identity),
        batch_size=batch_size,
        retries=retries,
        stop_after=stop_after,
    )
    present = [item for item in listed if item.audios is not None]
    shares = processes or launched()
    with alone(out) if shares.rank == 0 else nullcontext():
        left = from_first(shares, lambda: _left(out, {item.id for item in listed}, drop_others=drop_others))
        answered = {record.id for record in left}
        mine = [item for item in present if item.id in answered][shares.rank :: shares.world]
        new = [item for item in present if item.id not in answered]
        if by_duration:  # before it is dealt out, so that all get like lengths
            new.sort(key=_length, reverse=True)
        with ending_together(out, shares), Part(part_of(out, shares.rank)) as part:
            again = ask_failed_again or (stop_after is not None and _all_failed(left))
            known = {(r.id, r.hash): r for r in left if not (again and any(r.errors))}
            changed = _keep(mine, known, work, part)
            if changed:
                log.warning("%s: asking %d items again: their answers are another model's, to another "
                            "question, or failures", out, len(changed))  # fmt: skip
            todo = changed + new[shares.rank :: shares.world]
            if by_duration:
                todo.sort(key=_length, reverse=True)
            _ask(todo, work, part, name=out.name)
        counts = shares.gather((len(todo), len(mine) - len(changed), len(changed)))
        records = from_first(shares, lambda: _merged(out, [item.id for item in present], shares.world))
    if stop_after is not None and _all_failed(records):
        reason, count = failures(records)[0]
        raise HarnessError(
            f"none of {len(records)} items has an answer; {count} times {reason}. Mend that and run the same "
            f"command again, which asks for them again, or {_COUNT_THEM}"
        )
    asked, kept, changes = (sum(of) for of in zip(*counts))
    return Summary(
        items=len(records),
        missing=missing,
        asked=asked,
        kept=kept,
        changed=changes,
        failed=sum(any(record.errors) for record in records),
        silent=sum(any(not o.strip() and not e for o, e in zip(r.outputs, r.errors)) for r in records),
        cut=sum(bool(record.cut) for record in records),
        reasons=failures(records),
    )


@dataclass(frozen=True, kw_only=True)
class _Work:
    answer: Answer
    plan: Plan
    identity: str
    batch_size: int
    retries: int
    stop_after: int | None


@dataclass(frozen=True)
class _Said:
    """An output; error: why there is none. broken: how the model failed, if it did not only decline.

    cut: the output ended at the limit of tokens.
    """

    output: str
    error: str = ""
    broken: Literal["", "raised", "was refused"] = ""
    cut: bool = False


def failures(records: Sequence[Record]) -> tuple[tuple[str, int], ...]:
    """Why items have an output that failed, with the number of items; the most frequent reason first."""
    reasons = Counter(next(filter(None, record.errors)) for record in records if any(record.errors))
    return tuple(reasons.most_common())


def _length(item: Item) -> float:
    return item.seconds


def _left(out: Path, ids: set[str], *, drop_others: bool) -> list[Record]:
    """What earlier runs answered. The first process only."""
    check_predictions(out)
    remove_marks(out)
    left = gather_left(out)
    if (others := sorted({record.id for record in left} - ids)) and not drop_others:
        raise HarnessError(
            f"{out} holds answers to {len(others)} items that are not asked now ({', '.join(others[:3])}"
            f"{', ...' if len(others) > 3 else ''}) and would lose them; choose another file, or delete it"
        )
    return left


def _merged(out: Path, ids: Sequence[str], world: int) -> list[Record]:
    records = merge(out, ids, world)
    remove_marks(out)
    return records


def _all_failed(records: Sequence[Record]) -> bool:
    return bool(records) and all(all(record.errors) for record in records)


def _keep(
    items: Sequence[Item], known: Mapping[tuple[str, str], Record], work: _Work, part: Part
) -> list[Item]:
    """Copy to `part` what is known of the items as they are now; return those of which nothing is."""

    def asked(item: Item) -> tuple[Orders, str]:
        return questions(item, work.plan, identity=work.identity)[1:]

    kept, changed = [], []
    for item, (orders, hash) in zip(items, in_parallel(asked, items, concurrency=4), strict=True):
        record = known.get((item.id, hash))
        if record is None or record.orders != orders:  # the hash is of the orders, the line may be altered
            changed.append(item)
        else:
            kept.append(record)
    part.add(kept)
    return changed


def _ask(items: Sequence[Item], work: _Work, part: Part, *, name: str) -> None:
    """Ask all items, a batch at a time; the audio of the next is loaded while the model works on one."""
    size = max(1, work.batch_size // work.plan.shuffles)
    chunks = [items[start : start + size] for start in range(0, len(items), size)]

    def load(chunk: Sequence[Item]) -> list[tuple[list[Question], Orders, str]]:
        return [questions(item, work.plan, identity=work.identity) for item in chunk]

    broken: list[Record] = []  # in a row; they get a record only when the row ends
    with ThreadPoolExecutor(1, thread_name_prefix="load") as pool:
        ahead = pool.submit(load, chunks[0]) if chunks else None
        for number in progress(range(len(chunks)), desc=name, unit="batch"):
            assert ahead is not None
            loaded, ahead = ahead.result(), None
            if number + 1 < len(chunks):
                ahead = pool.submit(load, chunks[number + 1])
            said = _say([question for asked, _, _ in loaded for question in asked], work)
            finished: list[Record] = []
            for item, (asked, orders, hash) in zip(chunks[number], loaded):
                own, said = said[: len(asked)], said[len(asked) :]
                outputs, errors = tuple(one.output for one in own), tuple(one.error for one in own)
                cut = tuple(k for k, one in enumerate(own) if one.cut)
                broken.append(
                    Record(id=item.id, hash=hash, orders=orders, outputs=outputs, errors=errors, cut=cut)
                )
                if not all(one.broken for one in own):
                    finished += broken
                    broken = []
                elif work.stop_after is not None and len(broken) >= work.stop_after:
                    part.add(finished)
                    raise HarnessError(
                        f"the model {own[-1].broken} for {len(broken)} items in a row, {broken[0].id} to "
                        f"{item.id}; the last time {own[-1].error}. They are not recorded: mend the model "
                        f"and run the same command again, or {_COUNT_THEM}"
                    )
            part.add(finished)
        part.add(broken)


def _say(asked: Sequence[Question], work: _Work) -> list[_Said]:
    """The outputs of questions in calls of batch_size; those of a call that raised are put again, alone."""
    said: list[_Said] = []
    for start in range(0, len(asked), work.batch_size):
        batch = asked[start : start + work.batch_size]
        failure = _call(work.answer, batch, into=said)
        if not failure:
            continue
        log.warning("a call with %d questions from %s raised %s", len(batch), batch[0].id, failure)
        for question in batch:
            reason = failure
            for _ in range(work.retries):
                reason = _call(work.answer, [question], into=said)
                if not reason:
                    break
            if reason:
                log.warning("%s: counted as unanswered: %s", question.id, reason)
                said.append(_Said("", reason, broken="raised"))
    return said


def _call(answer: Answer, asked: Sequence[Question], *, into: list[_Said]) -> str:
    """Append the outputs of one call, or return what it raised.

    What was raised is gone when this returns: its frames may hold the memory that a retry needs.
    """
    try:
        outputs = answer(asked)
    except EndpointError:
        raise
    except Exception as error:
        log.debug("the model raised", exc_info=True)
        return f"{type(error).__name__}: {' '.join(str(error).split())}"[:SHOWN]
    if len(outputs) != len(asked):
        raise HarnessError(
            f"the model gave {len(outputs)} outputs for {len(asked)} questions, {asked[0].id} to "
            f"{asked[-1].id}: an Answer gives one string for each, in their order"
        )
    for question, output in zip(asked, outputs):
        if not isinstance(output, str):
            raise HarnessError(
                f"{question.id}: the model's output is {type(output).__name__}: an Answer gives strings"
            )
        reason = output.reason if isinstance(output, Unanswered) else ""
        broken: Literal["", "was refused"] = "was refused" if isinstance(output, Refused) else ""
        into.append(_Said(str(output), reason, broken=broken, cut=isinstance(output, Cut)))
    return ""

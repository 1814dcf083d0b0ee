"""Have answers rated. Reads: predictions/<profile>/{gold,<model>/<condition>}; writes:
predictions/<profile>/judged/<model>/<condition>.jsonl with a verdict a question, or judged/not_run.txt with
the reason.

The judge is any endpoint that speaks the OpenAI protocol. Without one nothing is rated: a score is never
made up. Verdicts are kept in data/<profile>/language_cache, so that a stopped run pays for no answer twice.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.data.instructions import Event, format_events
from core.language.cache import CachedChat
from core.language.client import Options, totals
from core.language.http import Endpoint, connect, unusable
from core.language.prompts import read_prompt
from core.metrics.judge import Case, Verdict, judge, summarise
from core.report.predictions import read_predictions
from core.report.scoring import read_lines
from core.run.files import write_text_atomic
from core.run.jsonl import write_lines
from core.run.stage import Context

PROMPT = Path(__file__).parent / "prompts" / "judge.txt"


@dataclass(frozen=True)
class Config:
    """rows: "<model>/<condition>". set: of questions that come with events and a caption. seed: whose
    answers. max_tokens: of a verdict; a judge that thinks first needs more.
    """

    rows: tuple[str, ...] = ()
    set: str = "compa_r"
    seed: int = 0
    max_tokens: int = 512
    endpoint: Endpoint = field(default_factory=Endpoint)


def judged(config: Config, *, context: Context) -> None:
    """Rate every row's answers to the set."""
    out = context.path("predictions", "judged")
    if reason := unusable(config.endpoint):
        write_text_atomic(out / "not_run.txt", f"not run: {reason}\n")
        print(f"not run: {reason}")
        return
    (out / "not_run.txt").unlink(missing_ok=True)
    prompt = read_prompt(PROMPT)
    truth = read_lines(context.path("predictions", "gold", f"{config.set}.jsonl"))
    with connect(config.endpoint) as endpoint:
        chat = CachedChat(endpoint, context.path("data", "language_cache"))
        for row in config.rows:
            path = context.path("predictions", row, f"{config.set}.jsonl")
            said = {one.id: one.answers[config.seed] for one in read_predictions(path)}
            cases = [case_of(line, said[line["id"]]) for line in truth]
            verdicts = judge(
                chat,
                cases,
                prompt=prompt,
                options=Options(max_tokens=config.max_tokens),
                concurrency=config.endpoint.concurrency,
            )
            rated = summarise(verdicts)
            write_lines(out / f"{row}.jsonl", map(line_of, verdicts))
            spent = totals(reply for verdict in verdicts for reply in verdict.replies)
            context.tracker.log_metrics({f"{row}/{name}": value for name, value in rated.means.items()})
            counts = {"without_verdict": rated.failed, "cut": spent.cut, "thinking": spent.thinking}
            context.tracker.log_metrics({f"{row}/{name}": float(count) for name, count in counts.items()})
            print(f"{row}: {rated.means}, n = {rated.n}, without verdict {rated.failed}; {spent}")
            for error, count in Counter(v.error for v in verdicts if v.error).most_common(3):
                print(f"{row}: {count} without verdict: {error}")


def case_of(line: dict[str, Any], answer: str) -> Case:
    """What the judge sees of one question."""
    events = tuple(Event(label=label, onset=onset, offset=offset) for label, onset, offset in line["events"])
    return Case(
        id=line["id"],
        question=line["instruction"],
        answer=answer,
        reference=line["output"],
        caption=line["caption"],
        events=format_events(events),
    )


def line_of(verdict: Verdict) -> dict[str, Any]:
    """One line: the scores, none where there is no verdict, and why."""
    scores = dict(verdict.scores)
    return {"id": verdict.id, "scores": scores, "reason": verdict.reason, "error": verdict.error}


if __name__ == "__main__":
    from core.run.stage import run

    run(judged, Config)

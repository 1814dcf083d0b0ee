"""Speech skills about what people say. Truth is read off the spoken sentences.

Easy, medium, hard:
- Conversational Fact Retrieval: a fact said once; a fact of the man and one of the woman; in noise, all four
  options are named and three dismissed.
- Multi Speaker Role Mapping: one of two speakers reveals a job; both do, both jobs are options; in noise,
  three do.
- Key highlight Extraction: a talk on one topic, which it never names; another option is named in passing; in
  noise, two are.
- Event-Based Knowledge Retrieval: an event of history is named; only told; in noise, two people tell two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.scenes.phrasings import ORDINALS
from shared_data.world.exams.item import Difficulty, Rng, Split, draw_options, permuted, pick
from shared_data.world.speech.espeak import Kind
from shared_data.world.speech.prosody import Line, Script, Speaker
from shared_data.world.speech.scripts import Task, anyone, cast, in_noise
from shared_data.world.speech.texts import (
    ASIDES,
    HAPPENINGS,
    MATTERS,
    REPLIES,
    ROLES,
    TOPICS,
    Exchange,
    Happening,
)

PAIR: tuple[Kind, Kind] = ("man", "woman")


def fact(rng: Rng, difficulty: Difficulty, split: Split) -> Task:
    """A day, price, city, drink or time that two people talk about."""
    matter = pick(rng, MATTERS)
    kinds: tuple[Kind, ...] = permuted(rng, PAIR)
    people = cast(rng, split, kinds)
    options = draw_options(rng, matter.values)
    if difficulty == "medium":
        at = int(rng.integers(2))
        exchange, key = matter.each[split], "xy"[at]
        question = pick(rng, matter.own).format(who=kinds[at])
        places = "xy"[1 - at]
    else:
        exchange, key = (matter.simple if difficulty == "easy" else matter.corrected)[split], "gold"
        question = pick(rng, matter.settled)
        places = "" if difficulty == "easy" else "abc"

    def script(rng: Rng, gold: str) -> Script:
        others = permuted(rng, [option for option in options if option != gold])
        values = {key: gold, **dict(zip(places, others))}
        texts = [text.format(**values) for text in exchange]
        return _talk(rng, people, texts, difficulty)

    return Task(
        question=question,
        options=options,
        script=script,
        holds=lambda script, option: said(script, exchange)[key] == option,
    )


def said(script: Script, exchange: Exchange) -> dict[str, str]:
    """What stands in the named places of an exchange, read off what was spoken."""
    found: dict[str, str] = {}
    for line, text in zip(script.lines, exchange, strict=True):
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(text))
        if match := re.fullmatch(pattern, line.text):
            found |= match.groupdict()
    return found


def role(rng: Rng, difficulty: Difficulty, split: Split) -> Task:
    """Which job a speaker has, from what he or she says."""
    options = draw_options(rng, tuple(ROLES))
    if difficulty == "hard":
        kinds: tuple[Kind, ...] = permuted(rng, ("man", "woman", pick(rng, PAIR)))
        at = int(rng.integers(3))
        who = f"{ORDINALS[at]} speaker"
    else:
        kinds = permuted(rng, PAIR)
        at = int(rng.integers(2))
        who = kinds[at]
    people = cast(rng, split, kinds)
    asked = (
        f"What is the job of the {who}?",
        f"Which role does the {who} have?",
        f"Who is the {who}, judging by the words?",
    )

    def script(rng: Rng, gold: str) -> Script:
        rest = list(permuted(rng, [option for option in options if option != gold]))
        texts = []
        for place in range(len(people)):
            if place == at:
                texts.append(pick(rng, ROLES[gold][split]))
            elif difficulty == "easy":
                texts.append(pick(rng, REPLIES[split]))
            else:
                texts.append(pick(rng, ROLES[rest.pop()][split]))
        return _talk(rng, people, texts, difficulty)

    return Task(
        question=pick(rng, asked),
        options=options,
        script=script,
        holds=lambda script, option: role_of(script.lines[at].text) == option,
    )


def role_of(text: str) -> str | None:
    """The job that a sentence reveals."""
    return next(
        (role for role, lists in ROLES.items() if any(text in texts for texts in lists.values())), None
    )


def highlight(rng: Rng, difficulty: Difficulty, split: Split) -> Task:
    """What a short talk is about."""
    options = draw_options(rng, tuple(TOPICS))
    speaker = anyone(rng, split)
    asked = (
        "What is the talk mainly about?",
        "What is the key point of the speaker?",
        "Which topic sums up the talk best?",
    )

    def script(rng: Rng, gold: str) -> Script:
        others = permuted(rng, [option for option in options if option != gold])
        asides = [aside.format(topic=topic) for aside, topic in zip(permuted(rng, ASIDES[split]), others)]
        texts = [TOPICS[gold][split]]
        if difficulty == "medium":
            texts = list(permuted(rng, [*texts, asides[0]]))
        elif difficulty == "hard":
            texts = list(permuted(rng, [*texts, *asides]))
        return _talk(rng, [speaker] * len(texts), texts, difficulty)

    return Task(
        question=pick(rng, asked),
        options=options,
        script=script,
        holds=lambda script, option: any(line.text in TOPICS[option].values() for line in script.lines),
    )


def event(rng: Rng, difficulty: Difficulty, split: Split) -> Task:
    """The year, the country or the person of an event of history that is told."""
    wanted = pick(rng, ("year", "country", "person"))
    options = draw_options(rng, sorted({value for told in HAPPENINGS if (value := known(told, wanted))}))
    kinds: tuple[Kind, ...] = permuted(rng, PAIR)
    people = cast(rng, split, kinds)
    at = int(rng.integers(2))
    which = f"the event told by the {kinds[at]}" if difficulty == "hard" else "this event"
    asked = {
        "year": (f"In which year did {which} happen?", f"When did {which} take place?"),
        "country": (f"In which country did {which} happen?", f"Where did {which} happen?"),
        "person": (f"Who is the person in {which}?", f"Which person does {which} concern?"),
    }[wanted]

    def one(rng: Rng, value: str) -> str:
        happening = pick(rng, [told for told in HAPPENINGS if known(told, wanted) == value])
        return happening.told[split][0 if difficulty == "easy" else 1]

    def script(rng: Rng, gold: str) -> Script:
        if difficulty != "hard":
            return _talk(rng, people[:1], [one(rng, gold)], difficulty)
        other = one(rng, pick(rng, [option for option in options if option != gold]))
        texts = [one(rng, gold), other] if at == 0 else [other, one(rng, gold)]
        return _talk(rng, people, texts, difficulty)

    def holds(script: Script, option: str) -> bool:
        line = script.lines[at if difficulty == "hard" else 0]
        return known(happening_of(line.text), wanted) == option

    return Task(question=pick(rng, asked), options=options, script=script, holds=holds)


def known(happening: Happening, what: str) -> str | None:
    """The year, the country or the person of an event."""
    return {"year": happening.year, "country": happening.country, "person": happening.person}[what]


def happening_of(text: str) -> Happening:
    """The event that a sentence tells."""
    return next(told for told in HAPPENINGS if any(text in texts for texts in told.told.values()))


def _talk(rng: Rng, people: Sequence[Speaker], texts: Sequence[str], difficulty: Difficulty) -> Script:
    lines = tuple(Line(speaker=speaker, text=text) for speaker, text in zip(people, texts, strict=True))
    script = Script(lines=lines)
    return in_noise(rng, script) if difficulty == "hard" else script

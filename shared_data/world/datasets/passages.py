"""Passages for small language models: a line that tells what is heard, and questions about it with answers.

The line tells in words what a prefix of audio tokens will tell later ("Sounds: a dog barking from 0.4 to 1.2
seconds ..."). Several questions stand behind one line, each as if it were alone. Passages without a line ask
what is known of the world, or are single sentences.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from core.data.instructions import alpaca
from core.scenes.algebra import Attributes, Leaf
from core.scenes.answers import pick
from core.scenes.facts import Facts, facts, homes, tree_of
from core.scenes.questions import CLOSED_TASKS, OPEN_TASKS, Question, ask, compa_r
from core.scenes.timeline import Scene
from shared_data.world.datasets.choices import Form, choose
from shared_data.world.datasets.text import (
    HINT_SENTENCE,
    SIZES,
    Book,
    caption,
    context_line,
    draw_timeline,
    know,
    weighted,
)

Split: TypeAlias = Literal["train", "test"]

# how often each task is asked, relative to the others; "compa_r" is any of its tasks
WEIGHTS: Mapping[str, float] = {
    **dict.fromkeys((*CLOSED_TASKS, *OPEN_TASKS), 1.0),
    "classification": 2.5,
    "caption": 2.5,
    "presence": 1.5,
    "compa_r": 6.0,
}
# what is asked to learn to read times, and never tested: (task, weight)
LOOKUPS: Mapping[str, float] = {"when": 2.0, "length": 1.0, "by_length": 3.0, "by_end": 2.0}
SHARES = {"question": 0.86, "knowledge": 0.08, "caption": 0.04, "tags": 0.02}
HINTED = 0.15  # of the questions come with tags
RELIABLE = 0.6  # of the tags' sentences name just what is there
OPTIONED = 0.3  # of the questions that have a key come with options
FORMS: tuple[Form, ...] = ("words", "letters")
HELD_OUT = 20  # one in so many lines is for tests alone


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A prompt, "" for a bare sentence, and its answer. form: "open", or how options are answered."""

    prompt: str
    answer: str
    task: str
    form: Form | Literal["open"] = "open"


@dataclass(frozen=True, kw_only=True)
class Passage:
    """What is asked about one line, "" for none."""

    context: str
    asked: tuple[Asked, ...]

    def parts(self) -> tuple[str, list[tuple[str, str]]]:
        """The line, and what follows it: (prompt, answer) of each question."""
        front = "\n" if self.context else ""
        return self.context, [(front + one.prompt, one.answer) for one in self.asked]

    def texts(self) -> list[str]:
        """Each question as a text of its own."""
        context, asked = self.parts()
        return [context + prompt + answer for prompt, answer in asked]


def passages(
    *,
    book: Book,
    voices: Attributes,
    seed: int | tuple[int, ...],
    n: int | None,
    asked: int = 6,
    split: Split = "train",
    lookups: bool = True,
    duration: float = 5.0,
) -> Iterator[Passage]:
    """`n` passages (None: without end) of at most `asked` questions, the same for the same seed.

    A line is for one split alone, by its checksum. `lookups`: also what is asked for practice. `voices`
    (`core.scenes.draw.voice_attributes`) may be empty: then nobody is asked "who". Raises QuestionError for a
    label without phrases.
    """
    rng = np.random.default_rng(seed)
    labels = tuple(book)
    maker = _Maker(book, labels, voices, duration, rng, lookups)
    for _ in itertools.count() if n is None else range(n):
        kind = weighted(SHARES, rng)
        if kind == "question":
            while held_out((passage := maker.about_scene(asked)).context) != (split == "test"):
                pass
            yield passage
        else:
            make = {"knowledge": maker.knowledge, "caption": maker.sentence, "tags": maker.tags_alone}[kind]
            yield Passage(context="", asked=tuple(make() for _ in range(asked)))


def held_out(context: str) -> bool:
    """Whether a line is for tests."""
    return zlib.crc32(context.encode()) % HELD_OUT == 0


@dataclass(frozen=True)
class _Maker:
    book: Book
    labels: tuple[str, ...]
    voices: Attributes
    duration: float
    rng: np.random.Generator
    lookups: bool

    def about_scene(self, n: int) -> Passage:
        """The first task is drawn before the scene, so that easy ones are not asked more often."""
        scene, first = self._first()
        found = {first.prompt: first}
        weights = {**WEIGHTS, **LOOKUPS} if self.lookups else WEIGHTS
        for _ in range(3 * n):
            if len(found) >= n:
                break
            one = self._ask(scene, weighted(weights, self.rng))
            if one is not None:
                found.setdefault(one.prompt, one)
        return Passage(context=context_line(scene, self.book, rng=self.rng), asked=tuple(found.values()))

    def _first(self) -> tuple[Scene, Asked]:
        while True:
            task = weighted(WEIGHTS, self.rng)
            for _ in range(8):
                scene = draw_timeline(self.labels, rng=self.rng, duration=self.duration)
                if one := self._ask(scene, task):
                    return scene, one

    def _ask(self, scene: Scene, task: str) -> Asked | None:
        if task in LOOKUPS:
            return look_up(facts(scene), task, book=self.book, rng=self.rng)
        made = self._question(scene, task)
        if made is None:
            return None
        made = settled(made, facts(scene), self.book)
        instruction, answer = made.instruction, made.output
        form: Form | Literal["open"] = "open"
        if self.rng.random() < OPTIONED:
            asked = pick(FORMS, self.rng)
            chosen = choose(made, form=asked, labels=self.labels, book=self.book, rng=self.rng)
            if chosen is not None:
                (instruction, answer), form = chosen, asked
        if self.rng.random() < HINTED:
            tags, _ = self._tags(scene)
            instruction = f"{HINT_SENTENCE.format(', '.join(tags))} {instruction}"
        return Asked(prompt=alpaca(instruction), answer=answer, task=made.task, form=form)

    def _question(self, scene: Scene, task: str) -> Question | None:
        if task == "compa_r":
            found = compa_r(scene, book=self.book, voices=self.voices, rng=self.rng, n=1)
            return found[0] if found else None
        return ask(scene, task=task, book=self.book, voices=self.voices, sizes=SIZES, rng=self.rng)

    def _tags(self, scene: Scene) -> tuple[list[str], bool]:
        """Labels in words as a tagger could give them, and whether they are just those of the scene."""
        tags = [label.replace("_", " ") for label in dict.fromkeys(event.label for event in scene.events)]
        if self.rng.random() < RELIABLE:
            return tags, True
        if len(tags) > 1 and self.rng.random() < 0.5:
            tags.pop(int(self.rng.random() * len(tags)))
            return tags, False
        wrong = pick(self.labels, self.rng).replace("_", " ")
        return ([*tags, wrong], False) if wrong not in tags else (tags, True)

    def tags_alone(self) -> Asked:
        """A question that its own tags answer, without a line."""
        while True:
            task = pick(("classification", "presence"), self.rng)
            scene = draw_timeline(self.labels, rng=self.rng, duration=self.duration)
            made = self._question(scene, task)
            tags, exact = self._tags(scene)
            if made is not None and exact:
                prompt = alpaca(f"{HINT_SENTENCE.format(', '.join(tags))} {made.instruction}")
                # tags do not tell the order of the sounds
                answer = f"{'; '.join(tags)}." if task == "classification" else made.output
                return Asked(prompt=prompt, answer=answer, task="tags")

    def knowledge(self) -> Asked:
        prompt, answer = know(self.book, self.labels, self.voices, self.rng)
        return Asked(prompt=prompt, answer=answer, task="knowledge")

    def sentence(self) -> Asked:
        tree = tree_of(facts(draw_timeline(self.labels, rng=self.rng, duration=self.duration)))
        answer = caption(tree or Leaf(pick(self.labels, self.rng)), self.book, self.rng)
        return Asked(prompt="", answer=answer, task="sentence")


def settled(made: Question, known: Facts, book: Book) -> Question:
    """The question with its one answer: of several sounds that tell a place, the first is named.

    `core.scenes` names any of them; which one could not be known.
    """
    if made.task not in ("where", "why") or "there is a sound of " not in made.output:
        return made
    home = homes(tuple(book))
    front, mark, said = made.output.rpartition("there is a sound of ")
    of = next(home[name] for name in known.spans if f"{book[name][0]}." == said)
    first = next(name for name in known.spans if home.get(name) == of)
    return replace(made, output=f"{front}{mark}{book[first][0]}.")


def look_up(known: Facts, task: str, *, book: Book, rng: np.random.Generator) -> Asked | None:
    """Times of a sound, or all sounds by length or end: practice for what compares them."""
    names: Sequence[str] = known.labels()
    said = {name: book[name][0] for name in names}
    if task in ("when", "length"):
        name = pick(names, rng)
        span = known.spans[name]
        length = f"{known.length(name):.1f}"
        if task == "length":
            return Asked(prompt=alpaca(f"How long is {said[name]} heard?"), answer=length, task=task)
        answer = f"from {span.start:.1f} to {span.end:.1f} seconds ({length} long)."
        return Asked(prompt=alpaca(f"When is {said[name]} heard?"), answer=answer, task=task)
    values = {n: round(known.length(n) if task == "by_length" else known.spans[n].end, 1) for n in names}
    if len(names) < 2 or len(set(values.values())) < len(names):
        return None
    order = sorted(names, key=lambda name: values[name], reverse=True)
    what = "longest" if task == "by_length" else "latest end"
    answer = "; ".join(f"{said[name]} {values[name]:.1f}" for name in order)
    return Asked(prompt=alpaca(f"List the sounds from the {what} on."), answer=f"{answer}.", task=task)

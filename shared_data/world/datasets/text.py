"""Texts for small language models: what they must know of sounds, and how to read it off a context.

`corpus` is for the language model: the questions of `core.scenes.questions` behind a line that tells in words
what a prefix of audio tokens will tell later ("Sounds: a dog barking from 0.4 to 1.2 seconds ..."), captions,
and knowledge of the world. `paraphrases` is for the sentence encoder: pairs of texts that mean the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from core.data.instructions import alpaca
from core.scenes.algebra import Attributes, Leaf, Node, Tree
from core.scenes.answers import pick
from core.scenes.captions import CARRIERS, LOUD_NOISE_DB, draw_wording, write
from core.scenes.facts import facts, homes, tree_of
from core.scenes.places import GENRES, PLACES
from core.scenes.questions import CLOSED_TASKS, OPEN_TASKS, ask, compa_r
from core.scenes.timeline import Event, Scene

Book: TypeAlias = Mapping[str, Sequence[str]]

HINT_SENTENCE = "According to <hint>, you are allowed to use or partially use the following tags: {}."
# how often each task is asked, relative to the others; "compa_r" is any of its tasks
WEIGHTS: Mapping[str, float] = {
    **dict.fromkeys((*CLOSED_TASKS, *OPEN_TASKS), 1.0),
    "classification": 2.5,
    "caption": 2.5,
    "presence": 1.5,
    "compa_r": 6.0,
}
SHARES = {"question": 0.8, "knowledge": 0.12, "caption": 0.08}
HINTED = 0.15  # of the questions come with tags
RELIABLE = 0.6  # of the tags' sentences name just what is there
SHUFFLED = 0.3  # of the contexts tell the sounds in another order
OTHER_PHRASE = 0.25  # of the sounds of a context are told in another phrase than the plain one
SIZES = (0.25, 0.4, 0.3, 0.05)  # share of scenes with 1, 2, 3, 4 sounds
PLACED = 0.2  # of the scenes have the sounds of one place only


def corpus(*, book: Book, voices: Attributes, seed: int, n: int, duration: float = 5.0) -> Iterator[str]:
    """`n` texts, the same for the same seed, fewer being the first of more.

    Most are a context line, an Alpaca prompt and the answer; some are prompts without context, about the
    world, or single sentences. `voices` (`core.scenes.draw.voice_attributes`) may be empty: then nobody is
    asked "who".
    Raises QuestionError for a label without phrases.
    """
    rng = np.random.default_rng(seed)
    labels = tuple(book)
    kinds, kind_ends = tuple(SHARES), np.cumsum(list(SHARES.values())).tolist()
    tasks, ends = tuple(WEIGHTS), np.cumsum(list(WEIGHTS.values())).tolist()
    for _ in range(n):
        kind = _weighted(kinds, kind_ends, rng)
        if kind == "question":
            yield _question(book, labels, voices, tasks, ends, duration, rng)
        elif kind == "knowledge":
            yield _knowledge(book, labels, voices, rng)
        else:
            tree = tree_of(facts(draw_timeline(labels, rng=rng, duration=duration)))
            yield _caption(tree or Leaf(pick(labels, rng)), book, rng)


def draw_timeline(
    labels: Sequence[str], *, rng: np.random.Generator, duration: float = 5.0, id: str = "text"
) -> Scene:
    """A scene of sounds without clips, its times in tenths of a second: only to be told in words.

    Sounds follow each other or overlap, at even chances, as `core.scenes.draw` lays them out.
    """
    names = tuple(labels)
    count = 1 + int(np.searchsorted(_SIZE_ENDS, rng.random(), side="right"))
    if rng.random() < PLACED and (places := homes(names)):
        place = places[pick(tuple(places), rng)]
        names = tuple(label for label, other in places.items() if other == place)
    chosen: list[str] = []
    while len(chosen) < min(count, len(names)):
        if (name := pick(names, rng)) not in chosen:
            chosen.append(name)
    spans: list[tuple[float, float]] = []
    for draw, place_in, size in rng.random((len(chosen), 3)).tolist():
        length = 0.4 + 1.9 * size
        if not spans:
            start = 0.0
        elif draw < 0.5:
            start = max(end for _, end in spans) + 0.1 + 0.4 * place_in
        else:  # together with the sound before
            other_start, other_end = spans[-1]
            start = other_start + place_in * max(other_end - other_start - 0.5 * length, 0.2)
        spans.append((start, start + length))
    total = max(end for _, end in spans)
    scale = min(1.0, (duration - 0.1) / total)
    shift = rng.random() * (duration - total * scale)
    events = []
    for name, (start, end) in zip(chosen, spans, strict=True):
        begin = round(shift + start * scale, 1)
        finish = min(max(round(shift + end * scale, 1), begin + 0.2), duration)
        events.append(Event(clip=0, label=name, start=min(begin, duration - 0.2), end=round(finish, 1)))
    noise = -35.0 + 25.0 * rng.random()
    return Scene(id=id, events=tuple(events), duration=duration, noise_db=noise)


def context_line(scene: Scene, book: Book, *, rng: np.random.Generator) -> str:
    """ "Sounds: a dog barking from 0.4 to 1.2 seconds (0.8 long); rain falling ...; quiet background." """
    parts = []
    for label, span in facts(scene).spans.items():
        phrase = pick(book[label], rng) if rng.random() < OTHER_PHRASE else book[label][0]
        length = span.end - span.start
        parts.append(f"{phrase} from {span.start:.1f} to {span.end:.1f} seconds ({length:.1f} long)")
    if rng.random() < SHUFFLED:
        parts = [parts[place] for place in rng.permutation(len(parts))]
    noisy = scene.noise_db is not None and scene.noise_db >= LOUD_NOISE_DB
    return f"Sounds: {'; '.join(parts)}; {'noisy' if noisy else 'quiet'} background."


def paraphrases(*, book: Book, seed: int, n: int) -> Iterator[tuple[str, str]]:
    """`n` pairs of different texts that mean the same, the same for the same seed.

    Two names of a sound (phrases, label in words, "sound of ..."), two captions of a scene, its caption and
    its labels, a place or genre and what is heard there.
    """
    rng = np.random.default_rng(seed)
    labels = tuple(book)
    scenery = _scenery(book)
    for _ in range(n):
        one = two = ""
        while one == two:
            kind = rng.random()
            if kind < 0.5 or (kind >= 0.85 and not scenery):
                label = pick(labels, rng)
                one, two = _name(label, book, rng), _name(label, book, rng)
            elif kind < 0.85:
                tree = _draw_tree(labels, rng)
                one = _caption(tree, book, rng)
                two = _caption(tree, book, rng) if kind < 0.75 else _labels_of(tree)
            else:
                name, sounds = pick(scenery, rng)
                heard = pick(sounds, rng)
                one, two = name, _name(heard, book, rng)
        yield (one, two) if rng.random() < 0.5 else (two, one)


_SIZE_ENDS = np.cumsum(SIZES)[:-1]


def _question(
    book: Book,
    labels: tuple[str, ...],
    voices: Attributes,
    tasks: Sequence[str],
    ends: Sequence[float],
    duration: float,
    rng: np.random.Generator,
) -> str:
    """The task is drawn first, so that easy ones are not asked more often; scenes until one allows it."""
    while True:
        task = _weighted(tasks, ends, rng)
        for _ in range(8):
            scene = draw_timeline(labels, rng=rng, duration=duration)
            if task == "compa_r":
                found = compa_r(scene, book=book, voices=voices, rng=rng, n=1)
                made = found[0] if found else None
            else:
                made = ask(scene, task=task, book=book, voices=voices, sizes=SIZES, rng=rng)
            if made is None:
                continue
            instruction, context = made.instruction, context_line(scene, book, rng=rng) + "\n"
            if rng.random() < HINTED:
                tags, exact = _tags(scene, labels, rng)
                instruction = f"{HINT_SENTENCE.format(', '.join(tags))} {instruction}"
                if exact and task in ("classification", "presence") and rng.random() < 0.5:
                    context = ""  # the tags tell enough
                    if task == "classification":  # though not the order of the sounds
                        return alpaca(instruction) + "; ".join(tags) + "."
            return context + alpaca(instruction) + made.output


def _tags(scene: Scene, labels: Sequence[str], rng: np.random.Generator) -> tuple[list[str], bool]:
    """Labels in words as a tagger could give them, and whether they are just those of the scene."""
    tags = [label.replace("_", " ") for label in dict.fromkeys(event.label for event in scene.events)]
    if rng.random() < RELIABLE:
        return tags, True
    if len(tags) > 1 and rng.random() < 0.5:
        tags.pop(int(rng.random() * len(tags)))
        return tags, False
    wrong = pick(labels, rng).replace("_", " ")
    return ([*tags, wrong], False) if wrong not in tags else (tags, True)


def _knowledge(book: Book, labels: Sequence[str], voices: Attributes, rng: np.random.Generator) -> str:
    """A sentence, or a question without context, on a label's name, place, agent or genre."""
    label, kind = pick(labels, rng), rng.random()
    phrase, home = pick(book[label], rng), homes(tuple(labels))
    genres = [g for g in GENRES.values() if label in g.instruments and all(i in book for i in g.instruments)]
    if kind < 0.35 and label in home:
        place = PLACES[home[label]]
        typical = [book[other][0] for other in place.labels if home.get(other) == home[label]]
        return pick(
            (
                f"one can hear {phrase} {place.phrase}.",
                f"{alpaca(f'Where might {phrase} be heard?')}{place.phrase}.",
                f"{alpaca(f'Which sounds belong {place.phrase}?')}{'; '.join(typical)}.",
            ),
            rng,
        )
    if kind < 0.55 and label in voices:
        agent = voices[label][0]
        who = f"{'an' if agent[0] in 'aeiou' else 'a'} {agent}"
        return pick((f"{phrase} is the voice of {who}.", f"{alpaca(f'Whose voice is {phrase}?')}{who}."), rng)
    if kind < 0.75 and genres:
        genre = pick(genres, rng)
        played = ", ".join(name.replace("_", " ") for name in genre.instruments)
        return pick(
            (
                f"{genre.name} is played on {played}.",
                f"{alpaca(f'What is {genre.name} played on?')}{played}.",
            ),
            rng,
        )
    words = label.replace("_", " ")
    return pick((f"{phrase}: {words}.", f"{alpaca(f'What is the label of {phrase}?')}{words}."), rng)


def _caption(tree: Tree, book: Book, rng: np.random.Generator) -> str:
    """A caption in any wording of the training captions, a third of them in a carrier sentence."""
    text = write(tree, draw_wording([tree], book, rng=rng))
    return pick(CARRIERS, rng).format(text) if rng.random() < 1 / 3 else text


def _draw_tree(labels: Sequence[str], rng: np.random.Generator) -> Tree:
    """One to three different labels, in order or at once, without nesting to be misread."""
    tree: Tree = Leaf(pick(labels, rng))
    seen, op = {str(tree)}, "+" if rng.random() < 0.5 else "*"
    for _ in range(int(rng.random() * 3)):
        label = pick(labels, rng)
        if label not in seen:
            seen.add(label)
            tree = Node("+" if op == "+" else "*", tree, Leaf(label))
    return tree


def _labels_of(tree: Tree) -> str:
    return str(tree).translate(_PUNCTUATION)


_PUNCTUATION = str.maketrans({"(": "", ")": "", "_": " ", "+": "; ", "*": "; "})


def _name(label: str, book: Book, rng: np.random.Generator) -> str:
    """A sound in a phrase or by its label, half of the time as a "sound of" it."""
    name = pick(book[label], rng) if rng.random() < 0.65 else label.replace("_", " ")
    return f"sound of {name}" if rng.random() < 0.5 else name


def _scenery(book: Book) -> list[tuple[str, tuple[str, ...]]]:
    """Ways to name a place or genre, each with the labels heard there."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for name, place in PLACES.items():
        if known := place.known(book):
            found += [(said, known) for said in (name, f"sound of {name}", place.phrase)]
    for name, genre in GENRES.items():
        if known := tuple(label for label in genre.instruments if label in book):
            found += [(said, known) for said in (name, f"sound of {name}", genre.name)]
    return found


def _weighted(items: Sequence[str], ends: Sequence[float], rng: np.random.Generator) -> str:
    at = rng.random() * ends[-1]
    return next((item for item, end in zip(items, ends, strict=True) if at < end), items[-1])

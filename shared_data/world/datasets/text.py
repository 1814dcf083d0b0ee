"""Texts for small language models: what they must know of sounds, and how to read it off a context.

`corpus` is for the language model: the questions of `core.scenes.questions` behind a line that tells in words
what a prefix of audio tokens will tell later ("Sounds: a dog barking from 0.4 to 1.2 seconds ..."), captions,
and knowledge of the world. `paraphrases` is for the sentence encoder: pairs of texts that mean the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

import numpy as np

from core.data.instructions import alpaca
from core.scenes.algebra import Attributes, Tree
from core.scenes.answers import a_, pick
from core.scenes.captions import CARRIERS, LOUD_NOISE_DB, draw_wording, write
from core.scenes.facts import facts, homes
from core.scenes.places import GENRES, PLACES
from core.scenes.questions import CLOSED_TASKS, OPEN_TASKS
from core.scenes.timeline import Event, Scene

Book: TypeAlias = Mapping[str, Sequence[str]]
K = TypeVar("K", bound=str)

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


_SIZE_ENDS = np.cumsum(SIZES)[:-1]


def know(book: Book, labels: Sequence[str], voices: Attributes, rng: np.random.Generator) -> tuple[str, str]:
    """Prompt, "" for a mere sentence, and answer on a label's name, place, agent or genre."""
    label, kind = pick(labels, rng), rng.random()
    phrase, home = pick(book[label], rng), homes(tuple(labels))
    genres = [g for g in GENRES.values() if label in g.instruments and all(i in book for i in g.instruments)]
    made: tuple[tuple[str, str], ...]
    if kind < 0.35 and label in home:
        place = PLACES[home[label]]
        typical = "; ".join(book[name][0] for name in place.labels if home.get(name) == home[label])
        made = (
            ("", f"one can hear {phrase} {place.phrase}."),
            (f"Where might {phrase} be heard?", f"{place.phrase}."),
            (f"Which sounds belong {place.phrase}?", f"{typical}."),
        )
    elif kind < 0.55 and label in voices:
        who = a_(voices[label][0])
        made = (("", f"{phrase} is the voice of {who}."), (f"Whose voice is {phrase}?", f"{who}."))
    elif kind < 0.75 and genres:
        genre = pick(genres, rng)
        played = ", ".join(name.replace("_", " ") for name in genre.instruments)
        made = (
            ("", f"{genre.name} is played on {played}."),
            (f"What is {genre.name} played on?", f"{played}."),
        )
    else:
        words = label.replace("_", " ")
        made = (("", f"{phrase}: {words}."), (f"What is the label of {phrase}?", f"{words}."))
    question, answer = pick(made, rng)
    return alpaca(question) if question else "", answer


def caption(tree: Tree, book: Book, rng: np.random.Generator) -> str:
    """A caption in any wording of the training captions, a third of them in a carrier sentence."""
    text = write(tree, draw_wording([tree], book, rng=rng))
    return pick(CARRIERS, rng).format(text) if rng.random() < 1 / 3 else text


def weighted(shares: Mapping[K, float], rng: np.random.Generator) -> K:
    """One of the keys, by their shares."""
    at, keys = rng.random() * sum(shares.values()), tuple(shares)
    for key in keys:
        at -= shares[key]
        if at < 0:
            return key
    return keys[-1]  # by rounding alone

"""Lyrical reasoning: words over an accompaniment. The words are spoken, since espeak-ng does not sing.

Cheerful music is the style "happy and lively" of `shared_data.world.music.styles`, gloomy music "sad and
mournful".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from core.scenes.phrasings import KEYS, listed
from shared_data.world.exams.item import (
    Difficulty,
    Draft,
    ItemError,
    Rng,
    Split,
    World,
    check,
    draw_options,
    permuted,
    pick,
)
from shared_data.world.music.arranging import band, fits
from shared_data.world.music.lyrics import CHEERFUL, GLOOMY, THEMES, WANTED, WISHES
from shared_data.world.music.notation import Score, clips, render
from shared_data.world.music.styles import MOODS
from shared_data.world.speech.espeak import VOICES, Voice, say

QUIETER = 0.22  # of the accompaniment's peak, under words at full level
BEFORE, AFTER, LONGEST = 0.4, 0.5, 8.8  # seconds of music around the words, and in all
SPEED = 165  # words a minute
HAPPY, SAD, CALM = MOODS[0], MOODS[1], MOODS[2]


# (words, music) are cheerful
MATCHES: Mapping[str, tuple[bool, bool]] = {
    "both words and music are cheerful": (True, True),
    "only the words are cheerful": (True, False),
    "only the music is cheerful": (False, True),
    "neither words nor music are cheerful": (False, False),
}


@dataclass(frozen=True, kw_only=True)
class Song:
    """Words and what is played under them."""

    words: str
    voice: Voice
    under: Score


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question before its gold. song: (gold place, rng) -> song; holds: (place, song) -> is it true."""

    question: str
    options: tuple[str, ...]
    song: Callable[[int, Rng], Song]
    holds: Callable[[int, Song], bool]


def lyrics(rng: Rng, difficulty: Difficulty, world: World) -> Draft:
    """Easy: the theme, said. Medium: implied. Hard: what is wanted of all options, or words and music."""
    if difficulty == "hard":
        asked = pick(rng, (_wish, _match))(rng, world.split)
    else:
        asked = _theme(rng, world.split, said=difficulty == "easy")
    gold = int(rng.integers(len(asked.options)))
    song = asked.song(gold, rng)
    true = [option for place, option in enumerate(asked.options) if asked.holds(place, song)]
    if true != [asked.options[gold]]:
        raise ItemError(
            f"{asked.question!r}: {true} true of {song.words!r}, not {asked.options[gold]!r} alone"
        )
    text = hashlib.sha256(song.words.encode()).hexdigest()[:12]
    return check(
        Draft(
            skill="Lyrical Reasoning",
            question=asked.question,
            choices=asked.options,
            answer=asked.options[gold],
            difficulty=difficulty,
            sound=partial(perform, song),
            facts=tell(song),
            clips=(*clips(song.under), f"voice/{song.voice.name}/{text}"),
        )
    )


def perform(song: Song, sample_rate: int) -> np.ndarray:
    """The words over the music: float32 (samples,), peak 0.9. Raises ItemError if they take too long."""
    words = say(song.words, voice=song.voice, sample_rate=sample_rate, rate=SPEED)
    start = round(BEFORE * sample_rate)
    length = start + len(words) + round(AFTER * sample_rate)
    if length > LONGEST * sample_rate:
        raise ItemError(f"{song.words!r} takes {len(words) / sample_rate:.1f} s; shorten the line")
    music = render(song.under, sample_rate)
    repeats = -(-length // len(music))
    music = np.tile(music, repeats)[:length]
    mix = QUIETER * music / np.abs(music).max()
    mix[start : start + len(words)] += words / np.abs(words).max()
    fade = round(0.2 * sample_rate)
    mix[-fade:] *= np.linspace(1, 0, fade)
    return np.asarray(0.9 * mix / np.abs(mix).max(), dtype=np.float32)


def tell(song: Song) -> str:
    """The voice, the words and how the music sounds."""
    sounds = "cheerful" if fits(HAPPY, song.under) else "gloomy" if fits(SAD, song.under) else "calm"
    mode = "minor" if fits(SAD, song.under) else "major"
    names = listed(list(dict.fromkeys(each.called for each in song.under.parts)))
    return (
        f"A {song.voice.kind} says over {sounds} music of {names} in {KEYS[song.under.tonic]} {mode}, about "
        f'{song.under.tempos[0][1]:.0f} beats per minute: "{song.words}."'
    )


def _song(rng: Rng, split: Split, words: str, *, cheerful: bool | None = None) -> Song:
    style = CALM if cheerful is None else HAPPY if cheerful else SAD
    under = band(style, rng, split, seconds=LONGEST - 0.3)
    return Song(words=words, voice=pick(rng, VOICES[split]), under=under)


def _theme(rng: Rng, split: Split, *, said: bool) -> Question:
    options = draw_options(rng, tuple(THEMES))
    questions = (
        "What are the lyrics about?",
        "What is the theme of the words?",
        "Which topic do the lyrics describe?",
    )

    def lines(theme: str) -> tuple[str, ...]:
        return (THEMES[theme].said if said else THEMES[theme].implied)[split]

    return Question(
        question=pick(rng, questions),
        options=options,
        song=lambda gold, rng: _song(rng, split, pick(rng, lines(options[gold]))),
        holds=lambda place, song: song.words in lines(options[place]),
    )


def _wish(rng: Rng, split: Split) -> Question:
    options = draw_options(rng, WISHES)
    pattern, order = pick(rng, WANTED[split]), [int(place) for place in rng.permutation(3)]
    questions = (
        "What does the singer want?",
        "What is the singer's only wish?",
        "Which thing does the singer ask for?",
    )

    def words(place: int) -> str:
        rest = [option for option in options if option != options[place]]
        return pattern.format(*(rest[at] for at in order), gold=options[place])

    return Question(
        question=pick(rng, questions),
        options=options,
        song=lambda gold, rng: _song(rng, split, words(gold)),
        holds=lambda place, song: song.words == words(place),
    )


def _match(rng: Rng, split: Split) -> Question:
    options = permuted(rng, tuple(MATCHES))
    questions = (
        "Are the words and the music cheerful?",
        "How do the words and the music go together?",
        "Which is cheerful, the words or the music?",
    )

    def song(gold: int, rng: Rng) -> Song:
        words, music = MATCHES[options[gold]]
        return _song(rng, split, pick(rng, (CHEERFUL if words else GLOOMY)[split]), cheerful=music)

    def holds(place: int, song: Song) -> bool:
        words, music = MATCHES[options[place]]
        right_words = song.words in (CHEERFUL if words else GLOOMY)[split]
        return right_words and fits(HAPPY if music else SAD, song.under)

    return Question(question=pick(rng, questions), options=options, song=song, holds=holds)

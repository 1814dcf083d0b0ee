"""A small spoken language that a listener learns to read: sentences from templates over 133 words.

Its words are those of the speech exams: names, days, numbers, prices, cities, drinks, times, animals, fruit,
vehicles, clothes and lists of things. What is said in training is never said in the other splits, and their
voices are others (`SPEAKERS`).
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from shared_data.world.exams.item import Split
from shared_data.world.sounds.conditions import apply
from shared_data.world.speech.espeak import VOICES, Kind, Voice, speak


def _voices(kind: Kind, **hertz: int) -> tuple[Voice, ...]:
    return tuple(Voice(language="en-us", variant=name, kind=kind, hertz=of) for name, of in hertz.items())


# Voices that nothing else uses, so that a listener learns words and not who says them.
MORE = (
    *_voices("man", Alex=102, Denis=98, Diogo=104, Hugo=110, Lee=94, Marco=129, Mike=91, Michael=110),
    *_voices("man", antonio=110, david=75, gustave=110, john=99, paul=86, m5=101, m6=100, pedro=101),
    *_voices("man", sandro=98, travis=106, victor=94),
    *_voices("woman", Alicia=248, anika=260, aunty=168, shelby=180, steph=182),
)
SPEAKERS: dict[Split, tuple[Voice, ...]] = {"train": (*VOICES["train"], *MORE), "test": VOICES["test"]}
LONGEST = 4.6  # seconds
CONDITIONS = ("reverb", "telephone", "distance", "hum", "clipping", "low_bits")
PACES = (11.3, 13.2)  # phonemes a second that are slow, and fast
RATES, PITCHES, RANGES = (140, 215), (35, 65), (10, 90)

SLOTS: dict[str, tuple[str, ...]] = {
    "name": (
        "Maria",
        "Peter",
        "Anna",
        "Helen",
        "Robert",
        "Thomas",
        "the doctor",
        "the teacher",
        "my brother",
    ),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "number": ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve"),
    "price": ("five", "eight", "twelve", "twenty", "thirty", "forty"),
    "hour": ("five", "six", "seven", "eight", "nine", "ten"),
    "city": ("Paris", "London", "Madrid", "Vienna", "Oslo", "Lisbon"),
    "drink": ("tea", "coffee", "juice", "water", "lemonade", "milk"),
    "animal": ("dog", "horse", "duck", "sheep", "cat", "lion", "rabbit", "frog"),
    "fruit": ("apple", "lemon", "banana", "plum", "orange", "melon"),
    "thing": (
        *("river", "candle", "garden", "window", "tiger", "hammer", "pillow", "basket", "mirror", "kitchen"),
        *(
            "mountain",
            "ladder",
            "blanket",
            "pencil",
            "bottle",
            "jacket",
            "butter",
            "boxes",
            "flowers",
            "bell",
        ),
    ),
    "vehicle": ("tram", "taxi", "train", "bicycle", "tractor"),
    "clothes": ("shirt", "scarf", "glove", "dress", "coat"),
    "colour": ("green", "yellow", "old", "golden"),
    "feeling": ("happy", "sad", "angry", "afraid"),
}
TEMPLATES = (
    "{name} lives in {city}",
    "{name} is {feeling} today",
    "{name} carried {number} {colour} {thing}",
    "{name} sold her {colour} {vehicle} on {day}",
    "{name} lost {number} {thing} in {city}",
    "{name} and {name} meet on {day} at {hour} o'clock",
    "my {vehicle} to {city} goes on {day}",
    "the {vehicle} starts at {hour} o'clock",
    "it costs {price} euros not {price}",
    "I paid {price} euros for the {clothes}",
    "I would like some {drink} and the {fruit}",
    "not {drink} I take {drink} please",
    "{name} found a {colour} {animal} in the {thing}",
    "the {animal} and the {animal} are {feeling}",
    "let us meet in {city} on {day}",
    "{number} {animal} {number} {fruit} {number} {thing}",
    "{thing} {thing} {thing} {thing}",
    "{fruit} {animal} {vehicle} {clothes} {thing}",
    "{number} {number} {number} {number} {number}",
    "I was {feeling} in {city} on {day}",
    "where is the {colour} {clothes}",
    "no {name} said {hour} o'clock on {day}",
)


@dataclass(frozen=True, kw_only=True)
class Said:
    """An utterance: float32 (samples,), its words and phonemes in order, who said it and how."""

    sound: np.ndarray
    words: tuple[str, ...]
    phonemes: tuple[str, ...]
    voice: Voice
    rate: int
    pitch: int

    @property
    def hertz(self) -> float:
        """The pitch that the voice is set to."""
        return float(self.voice.hertz * 2 ** ((self.pitch - 50) / 50))

    def manner(self, sample_rate: int) -> tuple[str, ...]:
        """Man or woman, the pitch in thirds of an octave, and how fast, in words to learn."""
        pace = len(self.phonemes) / len(self.sound) * sample_rate
        return (
            self.voice.kind,
            f"pitch {round(3 * math.log2(self.hertz / 100))}",
            "slow" if pace < PACES[0] else "fast" if pace > PACES[1] else "even",
        )


def vocabulary() -> tuple[str, ...]:
    """Every word of the language, in small letters, sorted."""
    texts = (*TEMPLATES, *(word for words in SLOTS.values() for word in words))
    return tuple(sorted({word for text in texts for word in words_of(re.sub(r"\{\w+\}", " ", text))}))


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in small letters."""
    return tuple(re.findall(r"[a-z']+", text.lower()))


def sentence(rng: np.random.Generator, split: Split) -> str:
    """A random sentence; a fifth of all there are, told by their checksum, belong to the split "test"."""
    while True:
        template = TEMPLATES[int(rng.integers(len(TEMPLATES)))]
        text = re.sub(r"\{(\w+)\}", lambda match: str(rng.choice(SLOTS[match[1]])), template)
        if (zlib.crc32(text.lower().encode()) % 5 == 0) == (split == "test"):
            return text


def utterances(
    n: int, *, split: Split, sample_rate: int, seed: int, conditioned: float, voices: tuple[Voice, ...] = ()
) -> Iterator[Said]:
    """`n` utterances by the split's voices (or these), all different in rate, pitch and melody.

    conditioned: share that is heard under one recording condition. A function of the arguments alone.
    """
    voices = voices or SPEAKERS[split]
    for place in range(n):
        rng = np.random.default_rng((seed, place, zlib.crc32(split.encode())))
        same = {kind: [one for one in voices if one.kind == kind] for kind in ("man", "woman")}
        chosen = [group for group in same.values() if group]  # as many women as men
        group = chosen[int(rng.integers(len(chosen)))]
        voice = group[int(rng.integers(len(group)))]
        while True:
            text = sentence(rng, split)
            rate, pitch, melody = (int(rng.integers(low, high + 1)) for low, high in (RATES, PITCHES, RANGES))
            spoken = speak(text, voice=voice, sample_rate=sample_rate, rate=rate, pitch=pitch, range=melody)
            if len(spoken.sound) <= LONGEST * sample_rate:
                break
        sound = spoken.sound
        if rng.random() < conditioned:
            name = CONDITIONS[int(rng.integers(len(CONDITIONS)))]
            sound = apply(sound, [name], sample_rate=sample_rate, seed=int(rng.integers(1 << 31)))
        signs = [mark.text.strip("',_ ") for mark in spoken.phonemes]
        phonemes = tuple(sign for sign in signs if sign.strip(":;"))  # those alone are pauses
        yield Said(sound=sound, words=words_of(text), phonemes=phonemes, voice=voice, rate=rate, pitch=pitch)

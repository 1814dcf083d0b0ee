"""The procedural bank: sound classes synthesised by code, every clip seeded by label, split and index.

Each recipe draws its pitch, rate, duration, brightness and envelope anew, so that clips of a class differ as
widely as recordings of different animals or machines would, and each clip gets a room and a microphone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from core.scenes.bank import Bank, BankError, Clip, prepare_clip
from shared_data.world.sounds import creatures, elements, machines, voices
from shared_data.world.sounds.signals import Rng, record

LICENSE = "CC0-1.0"
Recipe = Callable[[Rng, int], np.ndarray]


@dataclass(frozen=True)
class Sound:
    """A class: its family, its phrases (the plain one first) and its recipe."""

    family: str
    phrases: tuple[str, ...]
    make: Recipe


def synthesise(label: str, rng: Rng, sample_rate: int) -> np.ndarray:
    """One clip of a sound class ("dog_bark") or a voice ("baby_cry"): float32 (samples,), see `prepare_clip`.

    Raises BankError for an unknown label.
    """
    if label in SOUNDS:
        raw = SOUNDS[label].make(rng, sample_rate)
    elif label in voices.voice_labels():
        agent, action = label.split("_")
        raw = voices.voice(agent, action, rng, sample_rate)
    else:
        raise BankError(f"no recipe for {label!r}; there are {[*SOUNDS, *voices.voice_labels()]}")
    return prepare_clip(record(raw, rng, sample_rate), sample_rate=sample_rate)


def clip_seed(label: str, split: str, index: int, *, seed: int) -> int:
    """The seed of one clip: the same on every machine, another for each label, split, index and bank seed."""
    return zlib.crc32(f"{label}/{split}/{index}".encode()) + (seed << 32)


def make_bank(
    *,
    sample_rate: int,
    clips_per_class: Mapping[str, int],
    labels: Iterable[str] | None = None,
    seed: int = 0,
) -> Bank:
    """Synthesise a bank: `clips_per_class` clips of every label in every split ({"train": 24, "test": 8}).

    labels: the classes wanted; None is every sound class and every voice. For music see
    `shared_data.world.music.melodies`.
    """
    wanted = (*SOUNDS, *voices.voice_labels()) if labels is None else tuple(labels)
    made = [
        draw(label, split, index, seed=seed, sample_rate=sample_rate)
        for label in wanted
        for split, count in clips_per_class.items()
        for index in range(count)
    ]
    return Bank(tuple(clip for clip, _ in made), tuple(wave for _, wave in made), sample_rate)


def draw(label: str, split: str, index: int, *, seed: int, sample_rate: int) -> tuple[Clip, np.ndarray]:
    """One clip of the bank and what is known of it; BankError for an unknown label."""
    rng = np.random.default_rng(clip_seed(label, split, index, seed=seed))
    wave = synthesise(label, rng, sample_rate)
    return _describe(label, split, index), wave


def _describe(label: str, split: str, index: int) -> Clip:
    agent, action = label.split("_") if label in voices.voice_labels() else (None, None)
    phrases = voices.voice_phrases(agent, action) if agent and action else SOUNDS[label].phrases
    name = f"{label}/{split}/{index}"
    return Clip(
        id=f"procedural/{name}",
        label=label,
        phrases=phrases,
        domain="speech" if agent else "sound",
        agent=agent,
        action=action,
        source="procedural",
        group=name,
        license=LICENSE,
        split=split,
    )


def _doing(family: str, make: Recipe, noun: str, gerund: str, verb: str, *, article: str = "a") -> Sound:
    """A noun that does something: "a dog barking", "the barking of a dog", "a dog barks", "a barking dog"."""
    who = f"{article} {noun}".strip()
    turned = f"{article[:1]} {gerund} {noun}".strip()  # every gerund here starts with a consonant
    return Sound(family, (f"{who} {gerund}", f"the {gerund} of {who}", f"{who} {verb}", turned), make)


SOUNDS: dict[str, Sound] = {
    "dog_bark": _doing("animals", creatures.dog_bark, "dog", "barking", "barks"),
    "cat_meow": _doing("animals", creatures.cat_meow, "cat", "meowing", "meows"),
    "cow_moo": _doing("animals", creatures.cow_moo, "cow", "mooing", "moos"),
    "sheep_bleat": _doing("animals", creatures.sheep_bleat, "sheep", "bleating", "bleats"),
    "rooster_crow": _doing("animals", creatures.rooster_crow, "rooster", "crowing", "crows"),
    "bird_chirp": _doing("animals", creatures.bird_chirp, "bird", "chirping", "chirps"),
    "owl_hoot": _doing("animals", creatures.owl_hoot, "owl", "hooting", "hoots", article="an"),
    "frog_croak": _doing("animals", creatures.frog_croak, "frog", "croaking", "croaks"),
    "cricket": _doing("animals", creatures.cricket, "cricket", "trilling", "trills"),
    "bee_buzz": _doing("animals", creatures.bee_buzz, "bee", "buzzing", "buzzes"),
    "footsteps": _doing("human", creatures.footsteps, "person", "walking", "walks"),
    "applause": _doing("human", creatures.applause, "audience", "clapping", "claps", article="an"),
    "snoring": _doing("human", creatures.snoring, "sleeper", "snoring", "snores"),
    "whistling": _doing("human", creatures.whistling, "person", "whistling", "whistles"),
    "heartbeat": _doing("human", creatures.heartbeat, "heart", "beating", "beats"),
    "rain": _doing("nature", elements.rain, "rain", "falling", "falls", article=""),
    "thunder": _doing("nature", elements.thunder, "thunder", "rumbling", "rumbles", article=""),
    "wind": _doing("nature", elements.wind, "wind", "howling", "howls", article=""),
    "sea_waves": _doing("nature", elements.sea_waves, "sea waves", "breaking", "break", article=""),
    "water_drops": _doing("nature", elements.water_drops, "water", "dripping", "drips", article=""),
    "fire_crackle": _doing("nature", elements.fire, "fire", "crackling", "crackles"),
    "door_knock": _doing("household", elements.door_knock, "visitor", "knocking", "knocks"),
    "door_creak": _doing("household", elements.door_creak, "door", "creaking", "creaks"),
    "glass_break": _doing("household", elements.glass_break, "glass", "shattering", "shatters"),
    "clock_tick": _doing("household", elements.clock_tick, "clock", "ticking", "ticks"),
    "vacuum_cleaner": _doing("household", machines.vacuum, "vacuum cleaner", "humming", "hums"),
    "typing": _doing("household", machines.typing, "keyboard", "clattering", "clatters"),
    "car_engine": _doing("vehicle", machines.car_engine, "car engine", "running", "runs"),
    "car_horn": _doing("vehicle", machines.car_horn, "car", "honking", "honks"),
    "train": _doing("vehicle", machines.train, "steam train", "chugging", "chugs"),
    "helicopter": _doing("vehicle", machines.helicopter, "helicopter", "hovering", "hovers"),
    "airplane": _doing("vehicle", machines.airplane, "jet airplane", "passing", "passes"),
    "siren": _doing("alarms", machines.siren, "siren", "wailing", "wails"),
    "alarm_beep": _doing("alarms", machines.alarm_beep, "alarm", "beeping", "beeps", article="an"),
    "phone_ring": _doing("alarms", machines.phone_ring, "telephone", "ringing", "rings"),
    "church_bell": _doing("alarms", machines.church_bell, "church bell", "tolling", "tolls"),
    "hammer": _doing("tools", machines.hammer, "hammer", "striking", "strikes"),
    "saw": _doing("tools", machines.saw, "hand saw", "cutting", "cuts"),
    "drill": _doing("tools", machines.drill, "drill", "whirring", "whirs"),
}

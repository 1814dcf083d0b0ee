"""What the world knows: which sounds belong to a place, which instruments to a genre.

Data sets of acoustic scenes and genres, questions about where something happens, and the texts that language
models learn from all read this, so that what a model is asked is what it could have learnt. Labels of both
banks are named; a place is as good as the labels that a bank has of it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A place and the labels of sounds that are typical of it; `name` follows "in" or "on": "on a farm"."""

    name: str
    preposition: str
    labels: tuple[str, ...]

    @property
    def phrase(self) -> str:
        """ "on a farm" """
        return f"{self.preposition} {self.name}"

    def known(self, labels: Collection[str]) -> tuple[str, ...]:
        """The typical labels that a bank with these labels has."""
        return tuple(label for label in self.labels if label in labels)


@dataclass(frozen=True)
class Genre:
    """A genre of music: its ensemble (labels of `shared_data.world.music.melodies`), tempo range in quarters
    a minute."""

    name: str
    instruments: tuple[str, ...]
    tempo: tuple[float, float]
    minor: bool = False


PLACES: dict[str, Place] = {
    "farm": Place(
        "a farm",
        "on",
        (
            "cow_moo",
            "rooster_crow",
            "sheep_bleat",
            "chicken_cluck",
            "duck_quack",
            "goose_honk",
            "horse_neigh",
        ),
    ),
    "forest": Place(
        "a forest",
        "in",
        (
            "owl_hoot",
            "bird_chirp",
            "bird_song",
            "wind",
            "crow_caw",
            "wolf_howl",
            "footsteps_grass",
            "bee_buzz",
        ),
    ),
    "beach": Place("a beach", "on", ("sea_waves", "waves", "seagull", "water_flow", "bubbles")),
    "pond": Place("a pond", "by", ("frog_croak", "cricket", "water_drops", "splash")),
    "city street": Place(
        "a city street",
        "on",
        ("car_horn", "siren", "car_engine", "car", "diesel_engine", "tram", "footsteps", "footsteps_hard"),
    ),
    "airfield": Place("an airfield", "on", ("airplane", "helicopter", "jet")),
    "workshop": Place("a workshop", "in", ("hammer", "saw", "drill", "machinery", "electric_spark")),
    "office": Place(
        "an office",
        "in",
        ("typing", "phone_ring", "clock_tick", "keyboard", "camera_shutter", "cash_register"),
    ),
    "nursery": Place("a nursery", "in", ("baby_cry", "baby_laugh", "child_cry", "child_laugh", "child_sing")),
    "home": Place(
        "a home",
        "in",
        ("cat_meow", "vacuum_cleaner", "door_creak", "door_knock", "snoring", "dog_bark", "door"),
    ),
    "thunderstorm": Place("a thunderstorm", "in", ("thunder", "rain")),
    "campsite": Place("a campsite", "on", ("fire_crackle", "whistling", "finger_snap")),
    "concert hall": Place(
        "a concert hall", "in", ("applause", "violin", "piano", "flute", "trumpet", "cello", "organ")
    ),
    "railway station": Place("a railway station", "in", ("train", "train_horn")),
    "accident": Place("an emergency", "in", ("glass_break", "alarm_beep", "alarm", "explosion", "scream")),
}

GENRES: dict[str, Genre] = {
    "classical": Genre("classical music", ("violin", "flute", "piano"), (60, 100)),
    "jazz": Genre("jazz", ("saxophone", "piano", "drums"), (110, 180)),
    "rock": Genre("rock", ("guitar", "drums"), (110, 150)),
    "folk": Genre("folk", ("accordion", "violin", "guitar"), (90, 130)),
    "gospel": Genre("gospel", ("organ", "trumpet", "drums"), (70, 110)),
    "latin": Genre("latin music", ("marimba", "guitar", "trumpet"), (100, 140)),
}

# A drum kit has cymbals, an ensemble its instruments.
KIT = ("cymbals",)


def genre_label(name: str) -> str:
    """The label of clips of a genre (a key of GENRES): "jazz_music"."""
    return f"{name}_music"


_WITHIN: dict[str, frozenset[str]] = {
    "drums": frozenset(KIT),
    **{
        genre_label(name): frozenset((*genre.instruments, *(KIT if "drums" in genre.instruments else ())))
        for name, genre in GENRES.items()
    },
}


def confused(a: str, b: str) -> bool:
    """Whether one of two different labels sounds within clips of the other, as a violin in classical music.

    A scene of one does not settle whether, when or how often the other is heard: no scene holds both, and
    where one is heard nobody is told that the other is not.
    """
    return a in _WITHIN.get(b, ()) or b in _WITHIN.get(a, ())


def places_of(labels: Collection[str]) -> tuple[str, ...]:
    """The places that every one of these labels is typical of; empty when there is none or no label."""
    return tuple(
        name for name, place in PLACES.items() if labels and all(label in place.labels for label in labels)
    )

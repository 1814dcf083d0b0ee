"""Genres and moods as rules of a score: metre, tempo, scale, and who plays when in a bar.

Conventions, not facts of nature. A genre is its rhythm, scale and instruments in their simplest textbook
form; a mood is mode, tempo, loudness and register (major and fast is happy, minor and slow is sad), as
listeners brought up with Western music hear them. `shared_data.world.music.arranging` plays styles and reads
their rules back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
MIXOLYDIAN, PHRYGIAN, HIJAZ = (0, 2, 4, 5, 7, 9, 10), (0, 1, 3, 5, 7, 8, 10), (0, 1, 4, 5, 7, 8, 10)
PENTATONIC, WHOLE, BHAIRAV = (0, 2, 4, 7, 9), (0, 2, 4, 6, 8, 10), (0, 1, 4, 5, 7, 8, 11)
IN, PELOG = (0, 1, 5, 7, 8), (0, 1, 3, 7, 8)
EIGHTHS, BEATS = tuple(number / 2 for number in range(8)), (0.0, 1.0, 2.0, 3.0)


@dataclass(frozen=True, kw_only=True)
class Style:
    """One way of playing. Onsets are in quarters of a bar; `facts` is what a describer would call it."""

    name: str  # as an option
    facts: str
    tempo: tuple[float, float]
    scale: tuple[int, ...]
    lead: str  # its instrument
    lead_at: tuple[float, ...]
    bar: int = 4
    chords: str = "piano"
    chords_at: tuple[float, ...] = ()
    bass_at: tuple[float, ...] = ()
    drums: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    degrees: tuple[int, ...] = (0, 3, 4, 0)  # of the chords, a bar each
    loud: int = 90
    height: float = 0.5  # of the melody in its instrument's range, 0 to 1
    touch: float = 0.9  # share of its time that a note sounds
    drone: bool = False


MARCH = Style(
    name="march",
    facts="a march with snare drum",
    tempo=(108, 120),
    scale=MAJOR,
    lead="brass",
    lead_at=(0, 1.5, 2, 3),
    chords="brass",
    chords_at=(1, 3),
    bass_at=(0, 2),
    drums={"kick": (0, 2), "snare": (0, 1, 1.5, 2, 3, 3.25, 3.5)},
    loud=105,
)
WALTZ = Style(
    name="waltz",
    facts="a waltz",
    bar=3,
    tempo=(140, 176),
    scale=MAJOR,
    lead="violin",
    lead_at=(0, 2),
    chords_at=(1, 2),
    bass_at=(0,),
)
ROCK = Style(
    name="rock",
    facts="rock with a backbeat and driving eighth notes",
    tempo=(116, 136),
    scale=MINOR,
    lead="electric guitar",
    lead_at=(0, 1, 1.5, 3),
    chords="electric guitar",
    chords_at=EIGHTHS,
    bass_at=EIGHTHS,
    drums={"kick": (0, 2, 2.5), "snare": (1, 3), "hat": EIGHTHS},
    degrees=(0, 5, 6, 0),
    loud=112,
    height=0.7,
)
TECHNO = Style(
    name="techno",
    facts="techno with a kick on every beat",
    tempo=(126, 140),
    scale=MINOR,
    lead="synthesizer",
    lead_at=(0, 0.25, 0.75, 1.5, 1.75, 2.5, 3.25),
    chords="synthesizer",
    chords_at=(0.75, 2.25, 3.5),
    bass_at=(0.5, 1.5, 2.5, 3.5),
    drums={"kick": BEATS, "hat": (0.5, 1.5, 2.5, 3.5), "clap": (1, 3)},
    degrees=(0, 0, 5, 6),
    loud=108,
    touch=0.5,
)
COUNTRY = Style(
    name="country",
    facts="country music with bass and chords in turn",
    tempo=(100, 118),
    scale=MAJOR,
    lead="violin",
    lead_at=(0, 0.5, 1, 1.5, 2, 3),
    chords="guitar",
    chords_at=(1, 3),
    bass_at=(0, 2),
    drums={"kick": (0, 2), "rim": (1, 3)},
)

GENRES: tuple[Style, ...] = (
    MARCH,
    WALTZ,
    ROCK,
    TECHNO,
    COUNTRY,
    Style(
        name="swing jazz",
        facts="swing jazz with a walking bass",
        tempo=(140, 176),
        scale=MIXOLYDIAN,
        lead="saxophone",
        lead_at=(0, 0.66, 1.66, 2, 3.66),
        chords_at=(1.66, 3),
        bass_at=BEATS,
        drums={"ride": (0, 1, 1.66, 2, 3, 3.66), "kick": (0,)},
        degrees=(0, 1, 4, 0),
    ),
    Style(
        name="reggae",
        facts="reggae with chords on the off-beats",
        tempo=(68, 82),
        scale=MINOR,
        lead="organ",
        lead_at=(0, 0.75, 2, 3.5),
        chords="guitar",
        chords_at=(0.5, 1.5, 2.5, 3.5),
        bass_at=(0, 0.75, 1.5, 3),
        drums={"kick": (2,), "rim": (2,), "hat": EIGHTHS},
        degrees=(0, 3, 0, 4),
        touch=0.6,
    ),
    Style(
        name="bossa nova",
        facts="bossa nova with syncopated chords and rim clicks",
        tempo=(112, 130),
        scale=MAJOR,
        lead="flute",
        lead_at=(0.5, 1, 2.5, 3),
        chords="guitar",
        chords_at=(0, 1.5, 2, 3.5),
        bass_at=(0, 1.5, 2, 3.5),
        drums={"kick": (0, 1.5, 2, 3.5), "rim": (0, 0.75, 1.5, 2.5, 3.25), "hat": EIGHTHS},
        degrees=(0, 1, 4, 0),
        loud=72,
    ),
    Style(
        name="blues shuffle",
        facts="a blues shuffle",
        tempo=(76, 94),
        scale=(0, 3, 5, 7, 10),
        lead="electric guitar",
        lead_at=(0, 0.66, 1, 2.66, 3),
        chords="organ",
        chords_at=(0, 0.66, 1, 1.66, 2, 2.66, 3, 3.66),
        bass_at=BEATS,
        drums={"kick": (0, 2), "snare": (1, 3), "hat": (0, 0.66, 1, 1.66, 2, 2.66, 3, 3.66)},
        degrees=(0, 2, 0, 3),
        height=0.7,
    ),
)

MOODS: tuple[Style, ...] = (
    Style(
        name="happy and lively",
        facts="music that sounds happy and lively",
        tempo=(136, 156),
        scale=MAJOR,
        lead="flute",
        lead_at=(0, 0.5, 1, 1.5, 2, 3),
        chords_at=(0.5, 1.5, 2.5, 3.5),
        bass_at=(0, 2),
        loud=92,
        height=0.65,
        touch=0.5,
    ),
    Style(
        name="sad and mournful",
        facts="music that sounds sad and mournful",
        tempo=(58, 66),
        scale=MINOR,
        lead="violin",
        lead_at=(0, 1.5, 2, 3),
        chords="strings",
        chords_at=(0, 2),
        bass_at=(0,),
        degrees=(0, 5, 3, 0),
        loud=56,
        height=0.35,
        touch=1.0,
    ),
    Style(
        name="calm and peaceful",
        facts="music that sounds calm and peaceful",
        tempo=(58, 66),
        scale=MAJOR,
        lead="flute",
        lead_at=(0, 1, 2),
        chords="guitar",
        chords_at=(0, 2),
        bass_at=(0,),
        loud=56,
        touch=1.0,
    ),
    Style(
        name="angry and aggressive",
        facts="music that sounds angry and aggressive",
        tempo=(148, 168),
        scale=PHRYGIAN,
        lead="electric guitar",
        lead_at=(0, 0.5, 0.75, 1, 2, 2.5, 2.75, 3),
        chords="electric guitar",
        chords_at=EIGHTHS,
        bass_at=EIGHTHS,
        drums={"kick": (0, 0.5, 1.5, 2, 2.5), "snare": (1, 3), "tom": (3.5,)},
        degrees=(0, 0, 1, 0),
        loud=122,
        height=0.2,
    ),
    Style(
        name="proud and triumphant",
        facts="music that sounds proud and triumphant, like a fanfare",
        tempo=(96, 112),
        scale=MAJOR,
        lead="brass",
        lead_at=(0, 0.75, 1, 2, 2.75, 3),
        chords="brass",
        chords_at=(0, 2),
        bass_at=(0, 2),
        drums={"kick": (0, 2), "snare": (0, 0.75, 1, 2, 2.75, 3)},
        loud=112,
        height=0.6,
    ),
    Style(
        name="eerie and mysterious",
        facts="music that sounds eerie and mysterious, without a clear key",
        tempo=(57, 64),
        scale=WHOLE,
        lead="bells",
        lead_at=(0, 1.25, 2.5),
        chords="choir",
        chords_at=(0,),
        degrees=(0, 1, 2, 1),
        loud=56,
        height=0.8,
        touch=1.0,
    ),
)

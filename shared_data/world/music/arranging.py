"""How music is written: lines, chords and whole bands in a style, and how their rules are read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.scenes.phrasings import listed
from shared_data.world.exams.item import Rng, Split
from shared_data.world.music.notation import (
    DRUMS,
    HIGHEST,
    LOWEST,
    PLAYERS,
    Note,
    Part,
    Role,
    Score,
    of_role,
    part,
)
from shared_data.world.music.styles import Style


def ladder(low: int, high: int, tonic: int, scale: Sequence[int]) -> list[int]:
    """The pitches of a scale from `low` to `high`."""
    return [
        pitch for pitch in range(max(low, LOWEST), min(high, HIGHEST) + 1) if (pitch - tonic) % 12 in scale
    ]


def walk(rng: Rng, rungs: Sequence[int], count: int, *, start: int | None = None, leap: int = 2) -> list[int]:
    """`count` pitches that move over the rungs by 1 to `leap` at a time and never repeat at once."""
    at = len(rungs) // 2 if start is None else start
    pitches = []
    for _ in range(count):
        pitches.append(rungs[at])
        near = [to for to in range(max(0, at - leap), min(len(rungs), at + leap + 1)) if to != at]
        at = near[int(rng.integers(len(near)))]
    return pitches


def chord(tonic: int, scale: Sequence[int], degree: int, *, low: int) -> list[int]:
    """A triad on a degree of the scale: three pitches, the root the lowest at or above `low`."""
    steps = [scale[(degree + step) % len(scale)] + 12 * ((degree + step) // len(scale)) for step in (0, 2, 4)]
    root = low + (tonic + steps[0] - low) % 12
    return [root + step - steps[0] for step in steps]


def spaced(
    pitches: Sequence[int], starts: Sequence[float], end: float, *, touch: float, loud: int
) -> list[Note]:
    """Notes at these starts, each until `touch` of the way to the next one or to the end."""
    return [
        Note(start, touch * (stop - start), pitch, loud)
        for pitch, start, stop in zip(pitches, starts, [*starts[1:], end], strict=True)
    ]


def in_bars(onsets: Sequence[float], bar: float, bars: int) -> list[float]:
    """The onsets of one bar in every bar."""
    return [number * bar + onset for number in range(bars) for onset in onsets]


def band(style: Style, rng: Rng, split: Split, *, seconds: float, alike: bool = False) -> Score:
    """A piece of at most `seconds` in whole bars, at least one. `alike`: melody and chords on a piano."""
    tempo = float(rng.uniform(*style.tempo))
    bars = max(1, int(seconds * tempo / 60 / style.bar))
    end = float(bars * style.bar)
    tonic = int(rng.integers(12))
    lead, chords = ("piano", "piano") if alike else (style.lead, style.chords)
    parts: list[Part] = []

    def add(instrument: str, notes: list[Note], role: Role) -> None:
        parts.append(part(rng, instrument, notes, split=split, role=role))

    low, high = max(PLAYERS[lead].low, 55 if style.height > 0.3 else 0), PLAYERS[lead].high
    rungs = ladder(low, high, tonic, style.scale)
    starts = in_bars(style.lead_at, style.bar, bars)
    pitches = walk(rng, rungs, len(starts), start=round(style.height * (len(rungs) - 1)))
    pitches[-1] = min(
        (rung for rung in rungs if rung % 12 == tonic), key=lambda rung: abs(rung - pitches[-1])
    )
    add(lead, spaced(pitches, starts, end, touch=style.touch, loud=style.loud), "lead")
    degrees = [style.degrees[number % len(style.degrees)] for number in range(bars)]
    if style.chords_at:
        triads = [chord(tonic, style.scale, degree, low=PLAYERS[chords].low) for degree in degrees]
        starts = in_bars(style.chords_at, style.bar, bars)
        notes = [
            replace(note, pitch=pitch)
            for note in spaced([0] * len(starts), starts, end, touch=0.9 * style.touch, loud=style.loud - 15)
            for pitch in triads[int(note.start // style.bar)]
        ]
        add(chords, notes, "chords")
    if style.bass_at:
        starts = in_bars(style.bass_at, style.bar, bars)
        roots = [chord(tonic, style.scale, degrees[int(at // style.bar)], low=31)[0] for at in starts]
        add("bass", spaced(roots, starts, end, touch=0.9, loud=style.loud - 5), "bass")
    if style.drone:
        low = 48 + tonic
        add("strings", [Note(0, end, low, style.loud - 20), Note(0, end, low + 7, style.loud - 20)], "drone")
    hits = [
        Note(at, 0.2, DRUMS[name], min(127, style.loud + int(rng.integers(-6, 7))))
        for name, onsets in style.drums.items()
        for at in in_bars(onsets, style.bar, bars)
    ]
    if hits:
        add("drums", sorted(hits, key=lambda note: note.start), "drums")
    return Score(parts=tuple(parts), quarters=end, tempos=((0.0, tempo),), bar=style.bar, tonic=tonic)


def pattern(notes: Sequence[Note], bar: float) -> frozenset[float]:
    """Where in the bar they start, to a hundredth of a quarter."""
    return frozenset(round(note.start % bar, 2) % bar for note in notes)


def fits(style: Style, score: Score) -> bool:
    """Whether the notes of a piece keep every rule of a style that can be heard, whoever plays them."""
    lead = of_role(score, "lead")
    if (
        not style.tempo[0] - 1e-6 <= score.tempos[0][1] <= style.tempo[1] + 1e-6
        or style.bar != score.bar
        or pattern(lead, score.bar) != frozenset(style.lead_at)
        or abs(sum(note.velocity for note in lead) / len(lead) - style.loud) >= 8
    ):
        return False
    drums = of_role(score, "drums")
    pitched = of_role(score, "lead", "chords", "bass", "drone")
    allowed = {*style.scale, *((0, 7) if style.drone else ())}
    return (
        {(note.pitch - score.tonic) % 12 for note in pitched} <= allowed
        and pattern(of_role(score, "chords"), score.bar) == frozenset(style.chords_at)
        and pattern(of_role(score, "bass"), score.bar) == frozenset(style.bass_at)
        and bool(of_role(score, "drone")) == style.drone
        and all(
            pattern([hit for hit in drums if hit.pitch == key], score.bar)
            == frozenset(style.drums.get(name, ()))
            for name, key in DRUMS.items()
        )
    )


def pace(score: Score) -> str:
    """ "at about 96 beats per minute", as it begins."""
    return f"at about {score.tempos[0][1]:.0f} beats per minute"


def play(score: Score) -> str:
    """ "A flute and drums play": every instrument once, in the order of the parts."""
    names = list(dict.fromkeys(each.called for each in score.parts))
    text = listed(names)
    several = len(names) > 1 or names[0] in ("drums", "strings", "bells")
    return f"{text[0].upper()}{text[1:]} {'play' if several else 'plays'}"

"""A small SoundFont 2 player: zones, tuning, loops and volume envelopes of a font, played in tune.

All music of the worlds is played by it: banks, listening tests and exams. Its tuning is tested.

Left out of the standard: filters, modulators but that of velocity, effects, and stereo (sides are added).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DRUM_BANK = 128
FONT_RATE = 32000  # Hz, above that of most of the font's samples
OCTAVE_BELOW = (16, 17, 18, 19)  # organs with a sixteen-foot stop: they sound an octave below what is written
# generators of SoundFont 2.04, section 8.1.2
KEYS, VELOCITIES, INSTRUMENT, SAMPLE, MODES, SCALE, ROOT = 43, 44, 41, 53, 54, 56, 58
COARSE, FINE, ATTENUATION = 51, 52, 48
ATTACK, HOLD, DECAY, SUSTAIN, RELEASE = 34, 35, 36, 37, 38
OFFSETS = {"start": (0, 4), "end": (1, 12), "loop_start": (2, 45), "loop_end": (3, 50)}  # fine, coarse
DEFAULTS = {ATTACK: -12000, HOLD: -12000, DECAY: -12000, RELEASE: -12000, SCALE: 100, ROOT: -1}
NOT_ADDED = (KEYS, VELOCITIES, INSTRUMENT, SAMPLE, MODES, ROOT)  # of a preset's zone to its instrument's
LONGEST_RELEASE = 0.4  # seconds; longer ones would blur a line into chords
RANGE_DB = 100.0  # that decay and release times stand for
Generators = dict[int, int]


class SoundfontError(ValueError):
    """A file that is no SoundFont 2, or a program or key that it does not have."""


@dataclass(frozen=True, eq=False)
class Zone:
    """One sample with the keys and velocities that play it. Times in seconds, sustain as a factor."""

    keys: tuple[int, int]
    velocities: tuple[int, int]
    sample: np.ndarray  # float32 (samples,), one more than `end` for interpolation
    rate: float
    loop: tuple[int, int] | None
    root: float  # the MIDI pitch, fractions included, at which it plays at its own rate
    scale: float  # semitones a key
    gain: float
    attack: float
    hold: float
    decay: float
    sustain: float
    release: float


def play_part(
    font: Path,
    program: int,
    notes: Iterable[tuple[float, float, int, int]],
    *,
    drums: bool,
    length: int,
    bend: float = 0.0,
) -> np.ndarray:
    """One instrument's notes at FONT_RATE, `bend` semitones higher: float64 (length,), what is later is cut.

    notes: (start, length in seconds, MIDI pitch, velocity); of drums, whose program is the kit, pitch is the
    key of the percussion map. Raises SoundfontError for a program or key that the font does not have.
    """
    sound = np.zeros(length)
    played: dict[tuple[object, ...], np.ndarray] = {}  # chords and drums repeat their notes
    for start, seconds, pitch, velocity in notes:
        pitch += 12 if program in OCTAVE_BELOW and not drums else 0
        seconds = round(seconds, 3)
        for zone in zones(font, program, drums=drums, pitch=pitch, velocity=velocity):
            key = (zone, pitch, seconds)
            if key not in played:
                played[key] = play_note(zone, pitch + bend, seconds, FONT_RATE)
            begin = round(start * FONT_RATE)
            end = min(length, begin + len(played[key]))
            if begin < end:
                sound[begin:end] += (velocity / 127) ** 2 * played[key][: end - begin]
    return sound


def play_note(zone: Zone, pitch: float, seconds: float, rate: int) -> np.ndarray:
    """A note of a zone with its release after `seconds`: float32 (samples,), at velocity 127."""
    count = round((seconds + zone.release) * rate)
    at_least = rate // 2
    while at_least < count:
        at_least *= 2
    values = _sounding(zone, pitch, at_least, rate)[:count]
    return values * _envelope(zone, len(values), seconds, rate)


@functools.lru_cache(maxsize=384)  # about 50 MB: items of one split share programs and pitches
def _sounding(zone: Zone, pitch: float, count: int, rate: int) -> np.ndarray:
    """The sample at a pitch, looped, without its envelope: float32 (at most count,)."""
    step = 2 ** ((pitch - zone.root) * zone.scale / 12) * zone.rate / rate
    at = step * np.arange(count)
    last = len(zone.sample) - 2
    if zone.loop is not None:
        start, stop = zone.loop
        late = at >= stop
        at[late] = start + (at[late] - start) % (stop - start)
    else:
        at = at[at < last]
    below = np.minimum(at.astype(np.int64), last)
    share = (at - below).astype(np.float32)
    return np.asarray(zone.sample[below] * (1 - share) + zone.sample[below + 1] * share, dtype=np.float32)


def _envelope(zone: Zone, count: int, seconds: float, rate: int) -> np.ndarray:
    """Attack, hold, decay in dB to the sustain, and release in dB from where the note is left: float32."""
    begin, until, left = (round(at * rate) for at in (zone.attack, zone.attack + zone.hold, seconds))
    decibels = np.zeros(count, dtype=np.float32)
    floor = np.float32(20 * np.log10(max(zone.sustain, 10 ** (-RANGE_DB / 20))))
    if until < count:
        decay = np.arange(count - until, dtype=np.float32) * np.float32(-RANGE_DB / (zone.decay * rate))
        decibels[until:] = np.maximum(decay, floor)
    if left < count:
        decibels[left:] -= np.arange(count - left, dtype=np.float32) * np.float32(
            RANGE_DB / (zone.release * rate)
        )
    level = np.exp(decibels * np.float32(np.log(10) / 20)) * np.float32(zone.gain)
    begin = min(begin, count)
    level[:begin] *= np.linspace(0, 1, begin, dtype=np.float32)
    fade = min(count, max(1, rate // 200))
    level[count - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return level


@functools.lru_cache(maxsize=4096)
def zones(font: Path, program: int, *, drums: bool, pitch: int, velocity: int) -> tuple[Zone, ...]:
    """What sounds for a key and velocity (two zones for stereo samples). Raises SoundfontError for none.

    Of an instrument, a gap between keys (program 65 of TimGM6mb has one) is filled from below.
    """
    loud = [
        zone
        for zone in preset(font, DRUM_BANK if drums else 0, program)
        if zone.velocities[0] <= velocity <= zone.velocities[1]
    ]
    if not drums and any(zone.keys[0] > pitch for zone in loud):
        pitch = max((min(pitch, zone.keys[1]) for zone in loud if zone.keys[0] <= pitch), default=pitch)
    found = tuple(zone for zone in loud if zone.keys[0] <= pitch <= zone.keys[1])
    if not found:
        raise SoundfontError(
            f"{font.name}: program {program}{' (drums)' if drums else ''} has no key {pitch}"
        )
    return found


@functools.lru_cache(maxsize=256)
def preset(font: Path, bank: int, program: int) -> tuple[Zone, ...]:
    """All zones of a program of a bank. Raises SoundfontError when there is none."""
    try:
        return _preset(_chunks(font), font, bank, program)
    except (KeyError, IndexError, ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, SoundfontError):
            raise
        what = f"{font} is damaged in program {program} of bank {bank}"
        raise SoundfontError(f"{what} ({type(error).__name__}: {error}); install it again") from error


def _preset(chunks: Mapping[str, bytes], font: Path, bank: int, program: int) -> tuple[Zone, ...]:
    headers = np.frombuffer(chunks["phdr"], _PRESET)
    chosen = [
        at for at, head in enumerate(headers[:-1]) if (head["bank"], head["program"]) == (bank, program)
    ]
    if not chosen:
        raise SoundfontError(f"{font.name} has no program {program} in bank {bank}")
    found = []
    for outer in _zones(chunks, "p", headers["bag"], chosen[0], INSTRUMENT):
        for inner in _zones(
            chunks, "i", np.frombuffer(chunks["inst"], _NAMED)["bag"], outer[INSTRUMENT], SAMPLE
        ):
            if (zone := _zone(chunks, outer, inner)) is not None:
                found.append(zone)
    return tuple(found)


_PRESET = np.dtype([("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("rest", "V12")])
_NAMED = np.dtype([("name", "S20"), ("bag", "<u2")])
_BAG = np.dtype([("generator", "<u2"), ("modulator", "<u2")])
_GENERATOR = np.dtype([("kind", "<u2"), ("amount", "<i2")])
_SAMPLE = np.dtype(
    [
        ("name", "S20"),
        *((name, "<u4") for name in ("start", "end", "loop_start", "loop_end", "rate")),
        ("pitch", "u1"),
        ("correction", "i1"),
        ("link", "<u2"),
        ("type", "<u2"),
    ]
)


@functools.lru_cache(maxsize=2)
def _chunks(font: Path) -> Mapping[str, bytes]:
    data = font.read_bytes()
    if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
        raise SoundfontError(f"{font} is no SoundFont 2: it does not begin with RIFF and sfbk")
    return dict(_read(data, 12, len(data)))


def _read(data: bytes, at: int, stop: int) -> Iterator[tuple[str, bytes]]:
    """The chunks, those of lists in place of the lists."""
    while at + 8 <= stop:
        name, size = data[at : at + 4].decode("latin-1"), int.from_bytes(data[at + 4 : at + 8], "little")
        if name == "LIST":
            yield from _read(data, at + 12, at + 8 + size)
        else:
            if at + 8 + size > len(data):
                raise ValueError(f"chunk {name!r} is cut off: {len(data) - at - 8} of {size} bytes are there")
            yield name, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _zones(
    chunks: Mapping[str, bytes], level: str, firsts: np.ndarray, index: int, needed: int
) -> Iterator[Generators]:
    """The generators of each zone of a preset ("p") or an instrument ("i"), over those of its global zone."""
    bags = np.frombuffer(chunks[f"{level}bag"], _BAG)["generator"]
    generators = np.frombuffer(chunks[f"{level}gen"], _GENERATOR)
    shared: Generators = {}
    for number, bag in enumerate(range(int(firsts[index]), int(firsts[index + 1]))):
        own = {int(kind): int(amount) for kind, amount in generators[bags[bag] : bags[bag + 1]]}
        if needed in own:
            yield shared | own
        elif number == 0:
            shared = own


def _zone(chunks: Mapping[str, bytes], outer: Generators, inner: Generators) -> Zone | None:
    """A preset's zone and an instrument's zone together; None where they share no key or velocity."""
    values = DEFAULTS | inner
    for kind, amount in outer.items():
        if kind not in NOT_ADDED:
            values[kind] = values.get(kind, 0) + amount
    keys, velocities = (_shared(outer.get(kind), inner.get(kind)) for kind in (KEYS, VELOCITIES))
    if keys[0] > keys[1] or velocities[0] > velocities[1]:
        return None
    head = np.frombuffer(chunks["shdr"], _SAMPLE)[inner[SAMPLE]]
    place = {
        name: int(head[name]) + values.get(fine, 0) + 32768 * values.get(coarse, 0)
        for name, (fine, coarse) in OFFSETS.items()
    }
    samples = np.frombuffer(chunks["smpl"], "<i2")
    if not 0 <= place["start"] < place["end"] <= len(samples) or not 0 < head["rate"] <= 400_000:
        raise ValueError(
            f"sample {inner[SAMPLE]} lies from {place['start']} to {place['end']} of {len(samples)}"
        )
    raw = samples[place["start"] : place["end"] + 2]
    loop = (place["loop_start"] - place["start"], place["loop_end"] - place["start"])
    looped = (
        values.get(MODES, 0) in (1, 3) and loop[1] - loop[0] >= 8 and loop[0] >= 0 and loop[1] <= len(raw) - 2
    )
    root = values[ROOT] if values[ROOT] >= 0 else int(head["pitch"])
    tune = values.get(COARSE, 0) + (values.get(FINE, 0) + int(head["correction"])) / 100
    scale = values[SCALE] / 100
    return Zone(
        keys=keys,
        velocities=velocities,
        sample=(raw / np.float32(32768)).astype(np.float32),
        rate=float(head["rate"]),
        loop=loop if looped else None,
        root=root - tune / scale if scale else root - tune,
        scale=scale,
        gain=10 ** (-max(0, values.get(ATTENUATION, 0)) / 200),
        attack=max(0.002, _seconds(values[ATTACK])),
        hold=_seconds(values[HOLD]),
        decay=max(0.002, _seconds(values[DECAY])),
        sustain=10 ** (-max(0, values.get(SUSTAIN, 0)) / 200),
        release=min(LONGEST_RELEASE, max(0.02, _seconds(values[RELEASE]))),
    )


def _shared(*ranges: int | None) -> tuple[int, int]:
    """The range that two generators (low byte the lowest) share; none is 0 to 127."""
    pairs = [
        (0, 127) if amount is None else ((amount & 0xFFFF) & 0xFF, (amount & 0xFFFF) >> 8)
        for amount in ranges
    ]
    return max(low for low, _ in pairs), min(high for _, high in pairs)


def _seconds(timecents: int) -> float:
    return float(2 ** (timecents / 1200))

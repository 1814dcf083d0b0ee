"""Scenes as timelines: which clip sounds when, how loud, over what noise. Captions are checked on them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

TOLERANCE = 0.05  # seconds by which "before" may be violated: below what a listener orders
OVERLAP = 0.5  # share of the shorter span that must be shared to be heard as "at the same time"


class TimelineError(ValueError):
    """A timeline that cannot be: events outside the scene, of no length, or unreadable."""


class Timed(Protocol):
    """Anything with a start and an end in seconds: an event, or the hull of several."""

    @property
    def start(self) -> float: ...

    @property
    def end(self) -> float: ...


class Span(NamedTuple):
    """A stretch of time, seconds."""

    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Event:
    """One clip sounding from `start` to `end` seconds.

    `clip` is an index into the bank the scene was drawn from. A span shorter than the clip plays its
    beginning; a longer one repeats it. `gain_db` is on top of the clip's own level (peak 0.5).
    """

    clip: int
    label: str
    start: float
    end: float
    gain_db: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Events in a stretch of `duration` seconds. Raises TimelineError when they do not fit it.

    `noise_db` is the background's power relative to the mean power of the events while they sound (None:
    no background); `seed` decides the background's colour and samples.
    """

    id: str
    events: tuple[Event, ...]
    duration: float
    noise_db: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.duration) and self.duration > 0):
            raise TimelineError(f"scene {self.id!r}: duration {self.duration} s must be positive and finite")
        for event in self.events:
            if not (0 <= event.start < event.end <= self.duration + 1e-6):  # false for NaN too
                raise TimelineError(
                    f"scene {self.id!r}: {event.label!r} from {event.start} s to {event.end} s is not inside "
                    f"0 to {self.duration} s with end > start; shorten or move the event"
                )


def before(a: Timed, b: Timed, *, tolerance: float = TOLERANCE) -> bool:
    """Whether a has ended when b starts, up to `tolerance` seconds."""
    return a.end <= b.start + tolerance


def overlaps(a: Timed, b: Timed, *, share: float = OVERLAP) -> bool:
    """Whether a and b sound together for at least `share` of the shorter one's length.

    With any share above 0, spans that overlap and are longer than TOLERANCE / share are not also `before`.
    """
    common = min(a.end, b.end) - max(a.start, b.start)
    return common >= share * min(a.end - a.start, b.end - b.start) - 1e-9


def hull(spans: Iterable[Timed]) -> Span:
    """From the first start to the last end. Raises TimelineError when there are none."""
    spans = tuple(spans)
    if not spans:
        raise TimelineError("no events: nothing has no start and no end")
    return Span(min(span.start for span in spans), max(span.end for span in spans))


def scene_to_json(scene: Scene) -> str:
    """One line of JSON, exact: floats keep all their digits."""
    return json.dumps(dataclasses.asdict(scene))


def scene_from_json(text: str) -> Scene:
    """The inverse of `scene_to_json`. Raises TimelineError for what is not a scene."""
    try:
        fields = json.loads(text)
        events = tuple(Event(**event) for event in fields.pop("events"))
        return Scene(events=events, **fields)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise TimelineError(f"not a scene ({error}): {text[:80]!r}; write it with scene_to_json") from error

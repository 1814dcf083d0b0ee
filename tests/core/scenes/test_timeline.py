from __future__ import annotations

import json
import math

import pytest

from core.scenes.timeline import (
    OVERLAP,
    TOLERANCE,
    Event,
    Scene,
    Span,
    TimelineError,
    before,
    hull,
    overlaps,
    scene_from_json,
    scene_to_json,
)


def event(start: float, end: float) -> Event:
    return Event(clip=0, label="a", start=start, end=end)


def test_before_allows_the_tolerance_and_no_more() -> None:
    assert before(Span(0, 1), Span(1, 2))
    assert before(Span(0, 1 + TOLERANCE), Span(1, 2))
    assert not before(Span(0, 1 + TOLERANCE + 0.001), Span(1, 2))
    assert not before(Span(1, 2), Span(0, 1))


def test_overlap_counts_on_the_shorter_span() -> None:
    long = Span(0, 4)
    assert overlaps(long, Span(1, 2))
    assert overlaps(long, Span(3.5, 4.5))  # exactly half
    assert not overlaps(long, Span(3.51, 4.51))
    assert not overlaps(long, Span(4, 5))
    assert overlaps(long, Span(3.9, 4.9), share=0.1)
    assert OVERLAP == 0.5


def test_overlap_is_symmetric_and_excludes_before() -> None:
    spans = [Span(start / 4, start / 4 + length / 4) for start in range(8) for length in range(1, 8)]
    for a in spans:
        for b in spans:
            assert overlaps(a, b) == overlaps(b, a)
            assert not (overlaps(a, b) and before(a, b))


def test_hull_spans_all_events() -> None:
    assert hull([event(1, 2), event(0.5, 0.75), event(1.5, 3)]) == (0.5, 3)
    with pytest.raises(TimelineError, match="no events"):
        hull([])


@pytest.mark.parametrize(
    ("start", "end"), [(-0.1, 1), (1, 1), (2, 1), (1, 5.2), (math.nan, 1), (0, math.nan), (0, math.inf)]
)
def test_events_outside_the_scene_are_refused(start: float, end: float) -> None:
    with pytest.raises(TimelineError, match="is not inside"):
        Scene(id="x", events=(event(start, end),), duration=5.12)


@pytest.mark.parametrize("duration", [0.0, -1.0, math.inf, math.nan])
def test_a_scene_needs_a_length(duration: float) -> None:
    with pytest.raises(TimelineError, match="duration"):
        Scene(id="x", events=(), duration=duration)


def test_json_is_one_exact_line() -> None:
    first = Event(clip=3, label="dog_bark", start=0.1, end=1 / 3, gain_db=-2.7)
    scene = Scene(id="x", events=(first, event(1, 2)), duration=5.12, noise_db=-20.1, seed=7)
    text = scene_to_json(scene)
    assert "\n" not in text
    assert scene_from_json(text) == scene
    clean = Scene(id="y", events=(), duration=1.0, noise_db=None)
    assert scene_from_json(scene_to_json(clean)) == clean


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": "x", "events": [{"clip": 1}], "duration": 1}'])
def test_what_is_no_scene_is_refused(text: str) -> None:
    with pytest.raises(TimelineError, match="not a scene"):
        scene_from_json(text)


def test_json_with_an_impossible_event_is_refused() -> None:
    fields = json.loads(scene_to_json(Scene(id="x", events=(event(0, 1),), duration=2.0)))
    fields["events"][0]["end"] = 9
    with pytest.raises(TimelineError, match="is not inside"):
        scene_from_json(json.dumps(fields))

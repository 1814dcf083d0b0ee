"""Timelines of sound items: steps, beds, limits, and their truth in words."""

from __future__ import annotations

import numpy as np
import pytest

from core.scenes.timeline import Event, Scene, before, overlaps
from shared_data.world.exams.item import ItemError, World, check_sound
from shared_data.world.exams.layout import LIMIT, Part, Played, front, in_turn, is_bed, lay_out, tell
from tests.shared_data.world.exams.worlds import RATE, make_world

LABELS = ("dog_bark", "cat_meow", "siren", "rain", "wind", "glass_break", "car_horn")


@pytest.fixture
def world() -> World:
    return make_world("test", labels=LABELS)


def _scene(world: World, *spans: tuple[str, float, float], duration: float = 8.0) -> Scene:
    events = tuple(
        Event(clip=world.by_label[label][0], label=label, start=start, end=end) for label, start, end in spans
    )
    return Scene(id="", events=events, duration=duration)


@pytest.mark.parametrize("seed", range(20))
def test_steps_follow_each_other_and_fit(world: World, seed: int) -> None:
    scene = lay_out(np.random.default_rng(seed), world, in_turn(LABELS), gap=(0.1, 0.2))
    assert [event.label for event in scene.events] == list(LABELS)
    for one, two in zip(scene.events, scene.events[1:]):
        assert 0.0999 <= two.start - one.end <= 0.2001
    assert scene.duration <= LIMIT + 1e-3


@pytest.mark.parametrize("seed", range(20))
def test_parts_of_a_step_sound_together_and_wanted_lengths_are_kept(world: World, seed: int) -> None:
    step = (Part("rain", 0.0, (1.6, 2.2)), Part("dog_bark", -20.0))
    scene = lay_out(np.random.default_rng(seed), world, [(Part("siren"),), step, (Part("cat_meow"),)])
    spans = front(scene).spans
    assert overlaps(spans["rain"], spans["dog_bark"])
    assert before(spans["siren"], spans["rain"])
    assert before(spans["dog_bark"], spans["cat_meow"])
    assert 1.599 < spans["rain"].end - spans["rain"].start < 2.201
    gains = {event.label: event.gain_db for event in scene.events}
    assert -23 <= gains["dog_bark"] <= -20
    assert -3 <= gains["rain"] <= 0


def test_a_label_heard_twice_has_two_clips(world: World) -> None:
    for seed in range(10):
        scene = lay_out(np.random.default_rng(seed), world, in_turn(["rain", "rain", "rain"]))
        assert len({event.clip for event in scene.events}) == 3


def test_beds_share_the_time_and_are_background(world: World) -> None:
    scene = lay_out(
        np.random.default_rng(0), world, in_turn(["dog_bark"]), beds=[Part("rain"), Part("wind", -9.0)]
    )
    rain, wind = (next(e for e in scene.events if e.label == name) for name in ("rain", "wind"))
    assert (rain.start, wind.end, wind.gain_db) == (0.0, scene.duration, -9.0)
    assert rain.end == wind.start == pytest.approx(scene.duration / 2, abs=1e-3)
    assert is_bed(rain)
    assert is_bed(wind)
    assert set(front(scene).spans) == {"dog_bark"}


def test_steps_that_cannot_fit_are_refused(world: World) -> None:
    with pytest.raises(ItemError, match="5 steps do not fit 9"):
        lay_out(np.random.default_rng(0), world, [(Part("rain", 0.0, (2.0, 2.0)),)] * 5)


@pytest.mark.parametrize("rate", [RATE, 16_000])
def test_a_scene_plays_at_any_rate_and_the_same_each_time(world: World, rate: int) -> None:
    scene = lay_out(np.random.default_rng(3), world, in_turn(["dog_bark", "siren"]))
    play = Played(scene, world.bank)
    sound = check_sound(play(rate), sample_rate=rate, what="scene")
    assert len(sound) == pytest.approx(scene.duration * rate, abs=2)
    assert np.abs(sound).max() == pytest.approx(0.8, abs=1e-4)
    np.testing.assert_array_equal(sound, play(rate))


def test_what_is_told_follows_the_timeline(world: World) -> None:
    scene = _scene(
        world,
        ("rain", 0.0, 8.0),
        ("dog_bark", 0.5, 1.0),
        ("siren", 1.5, 2.5),
        ("cat_meow", 1.8, 2.3),
        ("dog_bark", 4.0, 4.6),
    )
    assert tell(scene, world.bank) == (
        "Rain falls throughout. A dog barks, then a siren wails while a cat meows, then a dog barks again."
    )


def test_halves_and_length_are_told(world: World) -> None:
    scene = _scene(
        world, ("rain", 0.0, 4.0), ("glass_break", 1.0, 1.5), ("wind", 4.0, 8.0), ("car_horn", 5.0, 7.2)
    )
    assert tell(scene, world.bank) == (
        "Rain falls in the first half. Wind howls in the second half. "
        "A glass shatters, then a car honks for a long time."
    )

"""The procedural bank: reproducible, varied, and learnable by a plain probe on held-out clips."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from core.scenes.bank import BankError
from shared_data.world.sounds import procedural, voices
from shared_data.world.sounds.procedural import SOUNDS, clip_seed, make_bank, synthesise

RATE = 16000
FAMILIES = {"animals", "human", "vehicle", "nature", "household", "alarms", "tools"}
ALL = (*SOUNDS, *voices.voice_labels())


def statistics(waveform: np.ndarray) -> np.ndarray:
    """Mean, spread and mean change over time of 24 log-spaced bands, level removed: (72,)."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(waveform, (0, 512)), 512)[::160]
    power = np.abs(np.fft.rfft(frames * np.hanning(512))) ** 2
    edges = np.unique(np.geomspace(2, 256, 25).astype(int))
    bands = np.log(np.add.reduceat(power, edges, axis=1) + 1e-4)
    bands -= bands.max()
    return np.concatenate([bands.mean(0), bands.std(0), np.abs(np.diff(bands, axis=0)).mean(0)])


@pytest.fixture(scope="module")
def bank() -> tuple[np.ndarray, np.ndarray, procedural.Bank]:
    made = make_bank(sample_rate=RATE, clips_per_class={"train": 7, "test": 3})
    features = np.stack([statistics(waveform) for waveform in made.waveforms])
    training = np.array([clip.split == "train" for clip in made.clips])
    features = (features - features[training].mean(0)) / features[training].std(0)
    return features, training, made


def held_out_accuracy(features: np.ndarray, training: np.ndarray, truth: np.ndarray) -> float:
    """Ridge regression onto class indicators, fitted on the training clips, scored on the others."""
    names = np.unique(truth)
    x = np.hstack([features, np.ones((len(features), 1))])
    y = (truth[:, None] == names).astype(float)
    a = x[training]
    weights = np.linalg.solve(a.T @ a + 10.0 * np.eye(x.shape[1]), a.T @ y[training])
    guess = names[(x[~training] @ weights).argmax(1)]
    return float((guess == truth[~training]).mean())


def test_enough_classes_of_every_family() -> None:
    assert len(SOUNDS) >= 26
    families = Counter(sound.family for sound in SOUNDS.values())
    assert set(families) == FAMILIES
    assert min(families.values()) >= 3
    assert set(voices.voice_labels()) == {f"{a}_{b}" for a in voices.AGENTS for b in voices.GESTURES}
    assert {"baby", "child", "woman", "man"} <= set(voices.AGENTS)


def test_phrases_are_many_distinct_and_unshared() -> None:
    owner: dict[str, str] = {}
    phrases = {name: sound.phrases for name, sound in SOUNDS.items()}
    phrases |= {f"{a}_{b}": voices.voice_phrases(a, b) for a in voices.AGENTS for b in voices.GESTURES}
    for label, texts in phrases.items():
        assert len(set(texts)) >= 4, label
        for text in texts:
            assert owner.setdefault(text, label) == label, text
            assert text == text.strip().lower()
            assert "  " not in text


@pytest.mark.parametrize("template", range(5))
def test_swapping_agents_keeps_the_words(template) -> None:
    def caption(first: tuple[str, str], second: tuple[str, str]) -> str:
        return f"{voices.voice_phrases(*first)[template]} while {voices.voice_phrases(*second)[template]}"

    one = caption(("baby", "cry"), ("woman", "laugh"))
    twin = caption(("woman", "cry"), ("baby", "laugh"))
    assert one != twin
    assert Counter(one.split()) == Counter(twin.split())


def test_the_first_voice_phrase_is_plain() -> None:
    assert voices.voice_phrases("baby", "cry")[0] == "a baby crying"


@pytest.mark.parametrize("label", ALL)
def test_every_clip_keeps_the_rules_of_a_bank(label) -> None:
    for index in range(2):
        sound = synthesise(label, np.random.default_rng(clip_seed(label, "valid", index, seed=3)), RATE)
        assert sound.dtype == np.float32
        assert 0.4 * RATE <= len(sound) <= 2.5 * RATE
        assert np.abs(sound).max() == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("label", ["drill", "rain", "woman_sing"])
def test_other_sample_rates(label) -> None:
    for rate in (8000, 48000):
        sound = synthesise(label, np.random.default_rng(0), rate)
        assert np.isfinite(sound).all()
        assert 0.4 * rate <= len(sound) <= 2.5 * rate


def test_the_same_seed_gives_the_same_clip() -> None:
    first = make_bank(sample_rate=RATE, clips_per_class={"train": 1}, labels=["dog_bark", "man_cough"])
    again = make_bank(sample_rate=RATE, clips_per_class={"train": 2}, labels=["man_cough"])
    other = make_bank(sample_rate=RATE, clips_per_class={"train": 1}, labels=["man_cough"], seed=1)
    np.testing.assert_array_equal(first.waveforms[1], again.waveforms[0])
    assert not np.array_equal(other.waveforms[0][:4000], again.waveforms[0][:4000])


def test_splits_share_no_clip(bank) -> None:
    _, training, made = bank
    prints = {waveform.tobytes(): clip.split for clip, waveform in zip(made.clips, made.waveforms)}
    assert len(prints) == len(made.clips)  # no two clips alike, across splits or within
    groups = [{c.group for c, t in zip(made.clips, training) if t == flag} for flag in (True, False)]
    assert not groups[0] & groups[1]


def test_clips_of_a_class_vary(bank) -> None:
    features, _, made = bank
    for label, indices in made.by_label().items():
        assert len({len(made.waveforms[i]) for i in indices}) > 3, label
        assert features[list(indices)].std(0).mean() > 0.2, label


def test_classes_are_learnable(bank) -> None:
    features, training, made = bank
    truth = np.array([clip.label for clip in made.clips])
    assert held_out_accuracy(features, training, truth) > 0.6  # chance is 1.7 %


@pytest.mark.parametrize(("part", "least"), [("agent", 0.7), ("action", 0.7)])
def test_agents_and_actions_are_learnable_apart(bank, part, least) -> None:
    features, training, made = bank
    truth = np.array([getattr(clip, part) or "" for clip in made.clips])
    voiced = truth != ""
    assert held_out_accuracy(features[voiced], training[voiced], truth[voiced]) > least  # chance 25 and 20 %


def test_agents_are_heard_in_an_action_never_trained_on(bank) -> None:
    """The agent is a property of the voice, not of the (agent, action) pair: leave all coughs out."""
    features, _, made = bank
    agents = np.array([clip.agent or "" for clip in made.clips])
    actions = np.array([clip.action or "" for clip in made.clips])
    voiced = agents != ""
    assert held_out_accuracy(features[voiced], actions[voiced] != "laugh", agents[voiced]) > 0.45


def test_an_unknown_label_lists_the_known() -> None:
    with pytest.raises(BankError, match=r"no recipe for 'unicorn'.*dog_bark.*baby_cry"):
        synthesise("unicorn", np.random.default_rng(0), RATE)

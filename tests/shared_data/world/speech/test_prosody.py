"""What a script claims is in the sound: emotions, stress, who speaks, noise. Measured, for every voice."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import numpy as np
import pytest

from shared_data.world.exams.item import ItemError, check_sound
from shared_data.world.speech.espeak import NATIVE_RATE, VOICES, Voice, speak, why_absent
from shared_data.world.speech.lists import STRESSABLE
from shared_data.world.speech.prosody import (
    EMOTIONS,
    LONGEST,
    SHORTEST,
    Line,
    Script,
    Speaker,
    deliver,
    perform,
    staged,
)
from tests.shared_data.world.exams.measured import Prosody, pitches, prosody

pytestmark = pytest.mark.skipif(why_absent() is not None, reason=str(why_absent()))
TEXT = "The parcel came by train this morning."
ALL = [voice for voices in VOICES.values() for voice in voices]
MAN, WOMAN = (Speaker(voice=VOICES["train"][at]) for at in (0, -1))


@lru_cache
def _measured(voice: Voice, emotion: str, strength: float) -> Prosody:
    if emotion == "calm" and strength != 1.0:
        return _measured(voice, "calm", 1.0)  # the same sound
    line = Line(speaker=Speaker(voice=voice), text=TEXT, emotion=emotion)
    return prosody(deliver(line, rate=165, strength=strength)[0], NATIVE_RATE)


@pytest.mark.parametrize(("strength", "voices"), [(1.0, ALL[1::4]), (0.8, ALL[::2])])
def test_every_emotion_can_be_heard_in_every_voice(strength: float, voices: list[Voice]) -> None:
    """By the weakest margin of the voices; 0.8 is how hard items are acted."""
    for voice in voices:
        calm, happy, sad, angry, afraid = (
            _measured(voice, name, strength) for name in ("calm", "happy", "sad", "angry", "afraid")
        )
        assert happy.pitch > 1.2 * calm.pitch, voice
        assert happy.pitch > 1.08 * angry.pitch, voice
        assert happy.melody > afraid.melody, voice
        assert sad.pitch < 0.85 * calm.pitch, voice
        assert sad.seconds > 1.3 * calm.seconds, voice
        assert sad.tilt < calm.tilt - 3, voice
        assert angry.level > calm.level + 4.5, voice
        assert angry.tilt > calm.tilt + 3, voice
        assert angry.tilt > afraid.tilt + 2.5, voice
        assert afraid.seconds < 0.86 * calm.seconds, voice
        assert afraid.seconds < 0.97 * happy.seconds, voice


def test_fear_trembles() -> None:
    ratios = [
        _measured(voice, "afraid", 1.0).tremor / _measured(voice, "calm", 1.0).tremor for voice in ALL[::3]
    ]
    assert min(ratios) > 1.2
    assert np.median(ratios) > 1.6


def test_weaker_acting_is_nearer_to_calm() -> None:
    for emotion in EMOTIONS[1:]:
        calm, weak, full = (
            _measured(ALL[0], name, strength)
            for name, strength in (("calm", 1.0), (emotion, 0.5), (emotion, 1.0))
        )
        for feature in ("seconds", "level"):
            at, near, far = (getattr(measured, feature) for measured in (calm, weak, full))
            assert abs(near - at) < abs(far - at), (emotion, feature)


def _words(speaker: Speaker, text: str, stressed: tuple[int, ...], strength: float) -> np.ndarray:
    """Pitch, seconds and level of each word, (words, 3)."""
    line = Line(speaker=speaker, text=text, stressed=stressed)
    sound, words = deliver(line, rate=150, strength=strength)
    found = []
    for word in words:
        part = sound[round(word.start * NATIVE_RATE) : round(word.stop * NATIVE_RATE)]
        voiced = pitches(part, NATIVE_RATE)
        pitch = float(np.percentile(voiced, 70)) if len(voiced) else np.nan
        found.append((pitch, word.stop - word.start, 10 * np.log10((part**2).mean())))
    return np.array(found)


@pytest.mark.parametrize("strength", [0.7])
def test_a_stressed_word_is_longer_louder_and_higher_than_unstressed(strength: float) -> None:
    """Each sentence in one voice a split, every word that may be stressed; 0.7 is the weakest stress used."""
    higher = []
    for split, sentences in STRESSABLE.items():
        for number, (text, words) in enumerate(sentences):
            speaker = Speaker(voice=VOICES[split][2 * number % len(VOICES[split])])
            plain = _words(speaker, text, (), strength)
            for word in words:
                at = [found.strip(".") for found in text.split()].index(word)
                stressed = _words(speaker, text, (at,), strength)
                rest = np.arange(len(plain)) != at
                level = stressed[:, 2] - plain[:, 2]
                assert stressed[at, 1] > 1.07 * plain[at, 1], (speaker, text, word)
                assert level[at] - level[rest].mean() > 1.8, (speaker, text, word)
                higher.append(stressed[at, 0] / plain[at, 0])
    assert np.nanpercentile(higher, 10) > 1.1  # a creaking word has no pitch to measure


def test_a_stressed_syllable_is_half_as_long_again() -> None:
    vowels = ("A:", "i:", "eI", "oU")
    for voice in ALL[::4]:
        lengths = []
        for at in range(4):
            word = "".join(
                ("'" if place == at else "") + consonant + vowel
                for place, (consonant, vowel) in enumerate(zip("bdkm", vowels))
            )
            marks = speak(f"[[{word}]]", voice=voice, sample_rate=NATIVE_RATE, rate=130).phonemes
            assert [mark.text for mark in marks if "'" in mark.text] == ["'" + vowels[at]]
            lengths.append({mark.text.strip("'"): mark.stop - mark.start for mark in marks})
        for at, vowel in enumerate(vowels):
            assert lengths[at][vowel] > 1.5 * max(
                other[vowel] for place, other in enumerate(lengths) if place != at
            )


def test_lines_come_in_order_with_pauses_and_marks_lie_on_their_words() -> None:
    script = Script(
        lines=(Line(speaker=MAN, text="Here we go."), Line(speaker=WOMAN, text="Not so fast.")), pause=0.5
    )
    sound, spans = staged(script)
    assert [[word.text for word in line] for line in spans] == [["Here", "we", "go"], ["Not", "so", "fast"]]
    assert spans[1][0].start - spans[0][-1].stop == pytest.approx(0.5, abs=0.02)
    pause = sound[
        round((spans[0][-1].stop + 0.05) * NATIVE_RATE) : round((spans[1][0].start - 0.05) * NATIVE_RATE)
    ]
    assert np.abs(pause).max() < 1e-6
    first, second = (
        np.median(
            pitches(sound[round(s[0].start * NATIVE_RATE) : round(s[-1].stop * NATIVE_RATE)], NATIVE_RATE)
        )
        for s in spans
    )
    assert second > 1.4 * first


def test_sounds_keep_the_rules_at_any_rate_and_are_the_same_each_time() -> None:
    script = Script(lines=(Line(speaker=MAN, text="Yes."),), noise_db=14.0, seed=3)
    for rate in (8000, 16000, 48000):
        sound = check_sound(perform(script, rate), sample_rate=rate, what="yes")
        assert len(sound) / rate == pytest.approx(SHORTEST, abs=0.01)
        assert np.abs(sound).max() == pytest.approx(0.8, abs=1e-3)
        assert np.array_equal(sound, perform(script, rate))


def test_noise_is_as_loud_as_asked_and_no_sound_is_digitally_silent() -> None:
    clean = Script(lines=(Line(speaker=MAN, text=TEXT),))
    levels = []
    for script in (clean, dataclasses.replace(clean, noise_db=14.0)):
        sound = perform(script, NATIVE_RATE)
        levels.append(10 * np.log10((sound[: NATIVE_RATE // 12] ** 2).mean() / (sound**2).mean()))
    assert levels[1] - levels[0] == pytest.approx(31, abs=2)
    assert -60 < levels[0] < -30


def test_long_scripts_are_spoken_faster_and_too_long_ones_refused() -> None:
    line = Line(speaker=MAN, text=TEXT)
    assert len(staged(Script(lines=(line,) * 4))[0]) / NATIVE_RATE > LONGEST
    sound = perform(Script(lines=(line,) * 4), NATIVE_RATE)
    assert 0.8 * LONGEST < len(sound) / NATIVE_RATE <= LONGEST
    with pytest.raises(ItemError, match="shorten"):
        perform(Script(lines=(line,) * 12), NATIVE_RATE)


def test_text_with_markup_is_spoken_not_obeyed() -> None:
    sound, words = deliver(
        Line(speaker=MAN, text="Salt & pepper < sugar", stressed=(2,)), rate=165, strength=1.0
    )
    assert len(words) == 5
    assert sound.size

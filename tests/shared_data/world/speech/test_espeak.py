"""espeak-ng says the same thing the same way every time, and says why when it cannot."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from shared_data.world.speech import espeak as module
from shared_data.world.speech.espeak import (
    LIMITS,
    VOICES,
    SpeechError,
    SpeechMissingError,
    Voice,
    say,
    speak,
    why_absent,
)
from tests.shared_data.world.exams.measured import pitches, prosody

pytestmark = pytest.mark.skipif(why_absent() is not None, reason=str(why_absent()))
RATE = 16000
TEXT = "The parcel came by train this morning."
MAN, WOMAN = VOICES["train"][0], next(v for v in VOICES["test"] if v.variant == "f2")


def _hash(sound: np.ndarray) -> str:
    return hashlib.sha256(sound.tobytes()).hexdigest()


def test_a_sound_is_float32_mono_and_lasts_as_long_as_speech() -> None:
    for rate in (8000, 22050, 44100):
        sound = say(TEXT, voice=MAN, sample_rate=rate)
        assert sound.dtype == np.float32
        assert sound.ndim == 1
        assert 1.5 < len(sound) / rate < 3.0
        assert 0.1 < np.abs(sound).max() < 1.0


def test_the_same_call_gives_the_same_samples_whatever_was_said_before() -> None:
    first = say(TEXT, voice=MAN, sample_rate=RATE)
    for voice in (WOMAN, MAN):
        say(
            "Something else, <emphasis>entirely</emphasis>!",
            voice=voice,
            sample_rate=RATE,
            rate=300,
            ssml=True,
        )
        assert _hash(say(TEXT, voice=MAN, sample_rate=RATE)) == _hash(first)


def test_another_process_says_the_same() -> None:
    code = (
        "import hashlib; from shared_data.world.speech.espeak import VOICES, say; "
        f"sound = say({TEXT!r}, voice=VOICES['train'][0], sample_rate={RATE}); "
        "print(hashlib.sha256(sound.tobytes()).hexdigest())"
    )
    root = Path(module.__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == _hash(say(TEXT, voice=MAN, sample_rate=RATE))


def test_threads_do_not_disturb_each_other() -> None:
    calls = [(f"Sentence number {number}.", voice) for number in range(4) for voice in (MAN, WOMAN)]
    alone = [_hash(say(text, voice=voice, sample_rate=RATE)) for text, voice in calls]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda call: _hash(say(call[0], voice=call[1], sample_rate=RATE)), calls))
    assert together == alone
    assert len(set(alone)) == len(alone)


def test_options_do_what_they_say() -> None:
    plain = prosody(say(TEXT, voice=WOMAN, sample_rate=RATE), RATE)
    high = prosody(say(TEXT, voice=WOMAN, sample_rate=RATE, pitch=70), RATE)
    flat = prosody(say(TEXT, voice=WOMAN, sample_rate=RATE, range=0), RATE)
    slow = prosody(say(TEXT, voice=WOMAN, sample_rate=RATE, rate=120), RATE)
    soft = prosody(say(TEXT, voice=WOMAN, sample_rate=RATE, volume=20), RATE)
    assert 1.15 < high.pitch / plain.pitch < 1.5
    assert flat.melody < 0.4 * plain.melody
    assert 1.2 < slow.seconds / plain.seconds < 1.8
    assert soft.level < plain.level - 4


def test_words_and_phonemes_have_times() -> None:
    spoken = speak("Never say banana.", voice=MAN, sample_rate=RATE)
    assert [word.text.strip(".") for word in spoken.words] == ["Never", "say", "banana"]
    assert any(phoneme.text.startswith("'") for phoneme in spoken.phonemes)
    for marks in (spoken.words, spoken.phonemes):
        assert all(0 <= mark.start <= mark.stop <= len(spoken.sound) / RATE + 1e-3 for mark in marks)
        assert [mark.start for mark in marks] == sorted(mark.start for mark in marks)


def test_ssml_raises_one_word() -> None:
    plain, raised = (
        speak(text, voice=MAN, sample_rate=RATE, ssml=True)
        for text in ("we own seven roses", 'we own <prosody pitch="+60%">seven</prosody> roses')
    )
    word = [
        np.median(pitches(spoken.sound[slice(*(round(RATE * t) for t in (mark.start, mark.stop)))], RATE))
        for spoken in (plain, raised)
        for mark in spoken.words
        if mark.text == "seven"
    ]
    assert word[1] > 1.15 * word[0]


def test_phonemes_can_be_dictated() -> None:
    spoken = speak("[[bA:d'i:ku:]]", voice=MAN, sample_rate=RATE)
    assert [p.text for p in spoken.phonemes if p.text.startswith("'")] == ["'i:"]


def test_voices_sound_as_listed_and_are_in_one_split_only() -> None:
    names = {split: {voice.name for voice in voices} for split, voices in VOICES.items()}
    assert not names["train"] & names["test"]
    for voices in VOICES.values():
        assert {voice.kind for voice in voices} == {"man", "woman"}
        for voice in voices:
            measured = prosody(say(TEXT, voice=voice, sample_rate=RATE, range=45, rate=165), RATE).pitch
            assert measured == pytest.approx(voice.hertz, rel=0.08)
    assert max(v.hertz for vs in VOICES.values() for v in vs if v.kind == "man") < 1.1 * 120
    assert min(v.hertz for vs in VOICES.values() for v in vs if v.kind == "woman") > 1.4 * 120


def test_every_voice_stays_unclipped_at_the_default_volume() -> None:
    for voices in VOICES.values():
        assert max(np.abs(say(TEXT, voice=voice, sample_rate=22050)).max() for voice in voices) < 0.98


@pytest.mark.parametrize("text", ["", "  \n", "a\0b"])
def test_nothing_to_say_is_an_error(text: str) -> None:
    with pytest.raises(SpeechError, match="nothing to say"):
        say(text, voice=MAN, sample_rate=RATE)


def test_what_is_not_speech_is_an_error() -> None:
    with pytest.raises(SpeechError, match="nothing audible"):
        say("...", voice=MAN, sample_rate=RATE)


@pytest.mark.parametrize("name", list(LIMITS))
def test_options_beyond_their_limits_are_errors(name: str) -> None:
    low, high = LIMITS[name]
    for value in (low - 1, high + 1):
        with pytest.raises(SpeechError, match=rf"{name} {value}.*{low} to {high}"):
            speak(TEXT, voice=MAN, sample_rate=RATE, **{name: value})


def test_broken_ssml_is_an_error() -> None:
    with pytest.raises(SpeechError, match="not well-formed SSML"):
        say("a <prosody>b", voice=MAN, sample_rate=RATE, ssml=True)


@pytest.mark.parametrize(("language", "variant"), [("en-us", "nobody"), ("xx-yy", "m1"), ("en-us", "")])
def test_an_unknown_voice_is_named_and_the_next_call_works(language: str, variant: str) -> None:
    with pytest.raises(SpeechError, match=rf"no voice '{language}\+{variant}'"):
        say(TEXT, voice=Voice(language=language, variant=variant, kind="man", hertz=100), sample_rate=RATE)
    assert say(TEXT, voice=MAN, sample_rate=RATE).size


def test_without_the_wheel_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    assert "install the package espeakng-loader" in str(why_absent())
    with pytest.raises(SpeechMissingError, match="espeak-ng is missing"):
        say(TEXT, voice=MAN, sample_rate=RATE)


def test_a_wheel_without_its_voices_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = module._places()[0]
    monkeypatch.setattr(module, "_places", lambda: (library, tmp_path / "absent-data"))
    assert "absent-data is missing" in str(why_absent())
    monkeypatch.setattr(module, "_places", lambda: (library, tmp_path))
    with pytest.raises(SpeechMissingError, match="cannot read its voices"):
        say(TEXT, voice=MAN, sample_rate=RATE)


def test_a_library_that_others_hold_is_refused() -> None:
    held = ctypes.CDLL(str(module._places()[0]))
    try:
        with pytest.raises(SpeechMissingError, match="another package"):
            say(TEXT, voice=MAN, sample_rate=RATE)
    finally:
        module._ctypes.dlclose(held._handle)
    assert say(TEXT, voice=MAN, sample_rate=RATE).size

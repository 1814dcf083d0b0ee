"""Speech from text: espeak-ng through ctypes, one private copy of its state for every utterance.

espeak-ng keeps state between utterances (the phase of its pitch flutter, its limiter), and no call of its
interface resets it, so the same text never sounds the same twice. The library is therefore loaded afresh for
each utterance and unloaded after it, which takes about 3 ms. One lock serves all threads of a process.

The library and its voices come with the wheel `espeakng-loader`; without it, `why_absent` says so.
"""

from __future__ import annotations

import _ctypes
import ctypes
import importlib.util
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
import soxr

Kind = Literal["man", "woman"]

NATIVE_RATE = 22050  # Hz, what espeak-ng synthesises
LIMITS = {"rate": (80, 450), "volume": (0, 200), "pitch": (0, 99), "range": (0, 99)}
_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4}  # espeak_PARAMETER
_SYNCHRONOUS, _PHONEME_EVENTS, _DONT_EXIT = 2, 1 << 0, 1 << 15
_UTF8, _SSML, _PHONEMES = 1, 0x10, 0x100
_END, _WORD, _PHONEME = 0, 1, 7  # espeak_EVENT_TYPE
_LOCK = threading.Lock()


class SpeechError(ValueError):
    """A text that cannot be spoken, or an option outside its limits."""


class SpeechMissingError(FileNotFoundError):
    """espeak-ng is not installed, or somebody else in this process holds its library."""


@dataclass(frozen=True, kw_only=True)
class Voice:
    """An espeak-ng language with one of its voice variants, and how it sounds."""

    language: str
    variant: str
    kind: Kind
    hertz: int  # median pitch of a calm sentence, as measured

    @property
    def name(self) -> str:
        """What espeak-ng calls it: "en-us+f2"."""
        return f"{self.language}+{self.variant}"


@dataclass(frozen=True)
class Mark:
    """A word or phoneme, from `start` to `stop` in seconds. Phonemes in espeak's ASCII; ' is main stress."""

    text: str
    start: float
    stop: float


@dataclass(frozen=True)
class Spoken:
    """An utterance: float32 (samples,), when each word and each phoneme of it sounds."""

    sound: np.ndarray
    words: tuple[Mark, ...]
    phonemes: tuple[Mark, ...]


def _voices(kind: Kind, **variants: int) -> tuple[Voice, ...]:
    return tuple(
        Voice(language="en-us", variant=variant, kind=kind, hertz=hertz)
        for variant, hertz in variants.items()
    )


# No variant is in two splits, nor are variants of one family (belinda and linda).
VOICES: dict[str, tuple[Voice, ...]] = {
    "train": (
        *_voices("man", m1=92, m3=104, m7=104, Andy=95, ed=122, pablo=109, Gene=93, robert=95),
        *_voices("woman", f1=178, f3=206, belinda=227, linda=227, grandma=193),
    ),
    "test": (
        *_voices("man", m2=99, m4=92, m8=84, Mario=106, norbert=99, miguel=110),
        *_voices("woman", f2=192, f4=176, f5=202, Andrea=240, Annie=223),
    ),
}


def why_absent() -> str | None:
    """None when espeak-ng can speak here; otherwise the reason in one sentence, with what to do."""
    if importlib.util.find_spec("espeakng_loader") is None:
        return "espeak-ng is missing: install the package espeakng-loader"
    library, data = _places()
    for path in (library, data):
        if not path.exists():
            return f"espeak-ng is incomplete, {path.name} is missing: reinstall the package espeakng-loader"
    return None


def say(
    text: str,
    *,
    voice: Voice,
    sample_rate: int,
    rate: int = 175,
    pitch: int = 50,
    range: int = 50,
    volume: int = 40,
    ssml: bool = False,
) -> np.ndarray:
    """The text as speech, float32 (samples,) in [-1, 1]; equal arguments give equal samples.

    rate: words a minute, 80 to 450. pitch: 0 to 99; 50 is the voice's own, 0 an octave below, 99 above.
    range: of the melody, 0 (monotone) to 99. volume: 100 clips the loudest voices, 40 none.
    ssml: the text holds SSML elements. Text in [[...]] is read as espeak's phonemes.
    Raises SpeechError and SpeechMissingError.
    """
    options = {"rate": rate, "pitch": pitch, "range": range, "volume": volume}
    return speak(text, voice=voice, sample_rate=sample_rate, ssml=ssml, **options).sound


def speak(
    text: str,
    *,
    voice: Voice,
    sample_rate: int,
    rate: int = 175,
    pitch: int = 50,
    range: int = 50,
    volume: int = 40,
    ssml: bool = False,
) -> Spoken:
    """`say`, with the times of words and phonemes as espeak-ng reports them."""
    options = {"rate": rate, "volume": volume, "pitch": pitch, "range": range}
    for name, value in options.items():
        low, high = LIMITS[name]
        if not low <= value <= high:
            raise SpeechError(f"{name} {value} for {text!r}: {low} to {high} is allowed")
    if not text.strip() or "\0" in text:
        raise SpeechError(f"nothing to say in {text!r}: pass a text with words and no NUL character")
    if ssml:
        try:
            ElementTree.fromstring(f"<speak>{text}</speak>")
        except ElementTree.ParseError as error:
            raise SpeechError(f"not well-formed SSML ({error}): {text!r}") from error
    with _LOCK:
        samples, events = _synthesise(text, voice, options, ssml)
    if not samples.size or int(np.abs(samples).max()) < 50:
        raise SpeechError(f"espeak-ng said nothing audible for {text!r} with voice {voice.name}")
    seconds = len(samples) / NATIVE_RATE
    sound = (samples / np.float32(32768)).astype(np.float32)
    if sample_rate != NATIVE_RATE:
        sound = np.clip(soxr.resample(sound, NATIVE_RATE, sample_rate), -1, 1).astype(np.float32)
    words = [(start, text[at - 1 : at - 1 + n]) for kind, at, n, start, _ in events if kind == _WORD]
    phonemes = [(start, phoneme) for kind, _, _, start, phoneme in events if kind == _PHONEME]
    return Spoken(sound, _marks(words, seconds), _marks(phonemes, seconds))


def _marks(starts: list[tuple[float, str]], seconds: float) -> tuple[Mark, ...]:
    stops = [*(start for start, _ in starts[1:]), seconds]
    return tuple(
        Mark(text, start, stop) for (start, text), stop in zip(starts, stops, strict=True) if text.strip()
    )


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):  # espeak_EVENT of espeak-ng 1.49 and later
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)
_Heard = tuple[int, int, int, float, str]  # kind, place in the text, length, seconds, phoneme


def _synthesise(
    text: str, voice: Voice, options: dict[str, int], ssml: bool
) -> tuple[np.ndarray, list[_Heard]]:
    """One utterance of a freshly loaded library: int16 (samples,) and its events."""
    chunks: list[np.ndarray] = []
    heard: list[_Heard] = []

    def take(wave: Any, count: int, events: Any) -> int:
        if count > 0:
            chunks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while (event := events[index]).type != _END:
            phoneme = bytes(event.id.string).decode("utf-8", "replace") if event.type == _PHONEME else ""
            seconds = event.sample / NATIVE_RATE
            heard.append((event.type, event.text_position, event.length, seconds, phoneme))
            index += 1
        return 0

    callback = _Callback(take)  # kept in a name: ctypes would free it while the library still calls it
    library = _load()
    try:
        data = os.fsencode(_places()[1])
        if library.espeak_Initialize(_SYNCHRONOUS, 200, data, _PHONEME_EVENTS | _DONT_EXIT) != NATIVE_RATE:
            raise SpeechMissingError(f"espeak-ng cannot read its voices in {_places()[1]}: reinstall them")
        library.espeak_SetSynthCallback(callback)
        # espeak-ng ignores a variant that it does not have, so look for its file
        known = (_places()[1] / "voices" / "!v" / voice.variant).is_file()
        if library.espeak_SetVoiceByName(voice.name.encode()) != 0 or not known:
            raise SpeechError(f"espeak-ng has no voice {voice.name!r}, wanted for {text!r}")
        for name, value in options.items():
            library.espeak_SetParameter(_PARAMETERS[name], value, 0)
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        data = text.encode() + b"\0"
        flags = _UTF8 | _PHONEMES | (_SSML if ssml else 0)
        status = library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 1, 0, flags, None, None)
        if status != 0:
            raise SpeechError(f"espeak-ng cannot say {text!r} with voice {voice.name}: status {status}")
    finally:
        library.espeak_Terminate()
        handle = library._handle
        del library
        _ctypes.dlclose(handle)
    return (np.concatenate(chunks) if chunks else np.zeros(0, np.int16)), heard


def _places() -> tuple[Path, Path]:
    """The library's file and the folder with its voices, as the wheel gives them."""
    import espeakng_loader

    return Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())


def _load() -> ctypes.CDLL:
    if reason := why_absent():
        raise SpeechMissingError(reason)
    path = str(_places()[0])
    try:
        _ctypes.dlclose(_ctypes.dlopen(path, os.RTLD_NOLOAD | os.RTLD_NOW))
    except OSError:  # not loaded yet, as it should be
        return ctypes.CDLL(path)
    raise SpeechMissingError(
        f"another package of this process has {Path(path).name} open, so its state is not ours and "
        "speech would differ from run to run: speak in a process of its own"
    )

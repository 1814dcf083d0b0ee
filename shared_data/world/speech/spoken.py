"""Clips of people who speak, for a bank: a short sentence by one of espeak-ng's voices.

No voice of VOICES["test"], which speaks in the exams' test split, is in training or validation; nor do
training, validation and test share a voice or a sentence.
"""

from __future__ import annotations

import numpy as np

from core.scenes.bank import BankError, Clip, prepare_clip
from shared_data.world.sounds.procedural import clip_seed
from shared_data.world.sounds.signals import record
from shared_data.world.sounds.voices import voice_phrases
from shared_data.world.speech.espeak import VOICES, Voice, say

LABELS = ("man_speak", "woman_speak")
LICENSE = "CC0-1.0 (text), spoken by espeak-ng"
VALID = ("Gene", "robert", "belinda", "linda")  # of VOICES["train"], by variant
STARTS = (
    "The bus",
    "My brother",
    "The letter",
    "Her friend",
    "The shop",
    "Our guest",
    "The doctor",
    "This book",
    "The garden",
    "A neighbour",
)
ENDS = (
    "was late today.",
    "is on the table.",
    "will come soon.",
    "looks rather old.",
    "is almost ready.",
    "cannot be here.",
    "seems very nice.",
    "has changed a lot.",
    "was at the door.",
    "is in the next room.",
)


def voices(split: str, kind: str) -> tuple[Voice, ...]:
    """The voices of a split of the bank: "man" or "woman"."""
    found = VOICES["test" if split == "test" else "train"]
    return tuple(
        voice
        for voice in found
        if voice.kind == kind and (split == "test" or (voice.variant in VALID) == (split == "valid"))
    )


def sentences(split: str) -> tuple[str, ...]:
    """What is said in a split: no sentence is in two."""
    place = {"train": (0, 1, 2, 3), "valid": (4,), "test": (5,)}[split]
    return tuple(
        f"{start} {end}"
        for first, start in enumerate(STARTS)
        for second, end in enumerate(ENDS)
        if (first + second) % 6 in place
    )


def draw(label: str, split: str, index: int, *, seed: int, sample_rate: int) -> tuple[Clip, np.ndarray]:
    """One clip of LABELS and what is known of it; BankError for an unknown label."""
    if label not in LABELS:
        raise BankError(f"nobody speaks as {label!r}; there are {list(LABELS)}")
    rng = np.random.default_rng(clip_seed(label, split, index, seed=seed))
    agent, action = label.split("_")
    several, texts = voices(split, agent), sentences(split)
    text = texts[int(rng.integers(len(texts)))]
    sound = say(
        text,
        voice=several[int(rng.integers(len(several)))],
        sample_rate=sample_rate,
        rate=int(rng.integers(150, 211)),
        pitch=int(rng.integers(40, 61)),
        range=int(rng.integers(35, 66)),
    )
    name = f"{label}/{split}/{index}"
    clip = Clip(
        id=f"spoken/{name}",
        label=label,
        phrases=voice_phrases(agent, action),
        domain="speech",
        agent=agent,
        action=action,
        transcript=text,
        source="espeak-ng",
        group=name,
        license=LICENSE,
        split=split,
    )
    return clip, prepare_clip(record(sound, rng, sample_rate), sample_rate=sample_rate)

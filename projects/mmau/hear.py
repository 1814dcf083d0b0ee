"""What a tagger and a trained row say of sounds: tags, captions, and both in words."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.audio_lm.artefact import AudioLm, open_audio_lm, open_its_ears, read_artefact
from core.audio_lm.encoders import Ears
from core.scenes.phrasings import PROMPT_DETAIL
from shared_data.world.music.melodies import INSTRUMENTS, music_phrases
from shared_data.world.sounds.procedural import SOUNDS
from shared_data.world.sounds.voices import voice_labels, voice_phrases

# What the exams call the tagger's instruments where they have another word.
CALLED = {"trumpet": "brass"} | {label: "choir" for label in voice_labels() if label.endswith("_sing")}


@dataclass(frozen=True)
class Hearer:
    """The ears of a row and, for captions, the row itself."""

    ears: Ears
    model: AudioLm | None


@dataclass(frozen=True)
class Noticed:
    """Of one clip: tags and instruments, the most probable first; a caption, "" without a row."""

    tags: tuple[str, ...]
    instruments: tuple[str, ...]
    caption: str


def open_hearer(folder: Path, *, root: Path, captions: bool) -> Hearer:
    """The row in `folder` (checkpoints/<profile>/<row>/seed<n>), or its ears alone."""
    if captions:
        model = open_audio_lm(folder, root=root)
        return Hearer(open_its_ears(model.artefact, root=root), model)
    return Hearer(open_its_ears(read_artefact(folder), root=root), None)


@torch.inference_mode()
def notice(
    hearer: Hearer,
    waves: Sequence[np.ndarray],
    ids: Sequence[str],
    *,
    threshold: float,
    limit: int,
    max_new_tokens: int,
) -> list[Noticed]:
    """Listen to a batch at the ears' sample rate.

    Tags reach the probability `threshold`, at most `limit`; without any the most probable label is one.
    """
    heard = hearer.ears.listen(waves, ids)
    labels = hearer.ears.labels
    chances = heard["tags"].values[:, 0].float().sigmoid().cpu().numpy()
    captions = [""] * len(waves)
    if hearer.model is not None:
        captions = hearer.model.answer(
            [PROMPT_DETAIL] * len(waves), heard, ids=ids, labels=labels, max_new_tokens=max_new_tokens
        )
    found = []
    for row, caption in zip(chances, captions):
        order = [int(place) for place in np.argsort(-row, kind="stable")]
        tags = [labels[place] for place in order[:limit] if row[place] >= threshold] or [labels[order[0]]]
        playing = [labels[place] for place in order if _plays(labels[place])]
        players = [tag for tag in tags if _plays(tag)] or playing[:1]
        found.append(Noticed(tuple(tags), tuple(CALLED.get(name, name) for name in players), caption))
    return found


def phrase(label: str, form: int = 0) -> str:
    """0: "a dog barking", 2: "a dog barks"; a label that has no phrases as it is, in small letters."""
    phrases = _phrases().get(label)
    return phrases[form] if phrases else label.replace("_", " ").lower()


def list_tags(tags: Sequence[str]) -> str:
    """ "A dog barking, rain falling." """
    return _sentence(", ".join(phrase(tag) for tag in tags))


def tell_sounds(noticed: Noticed) -> str:
    """The caption with its sounds as clauses, then the tags that it does not name."""
    said = noticed.caption.strip().rstrip(".")
    lowered = said.lower()
    for label in sorted(_phrases(), key=lambda label: -len(phrase(label))):
        lowered = lowered.replace(phrase(label), phrase(label, 2))
    rest = [phrase(tag, 2) for tag in noticed.tags if phrase(tag, 2) not in lowered]
    return " ".join(_sentence(text) for text in (lowered, "; ".join(rest)) if text)


def _plays(label: str) -> bool:
    return label in INSTRUMENTS or label in CALLED


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


@functools.cache
def _phrases() -> Mapping[str, tuple[str, ...]]:
    found = {label: sound.phrases for label, sound in SOUNDS.items()}
    found |= {label: voice_phrases(*label.split("_")) for label in voice_labels()}
    return found | {label: music_phrases(label) for label in INSTRUMENTS}

"""What a tagger and a trained row say of sounds: tags, captions, and both in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from core.audio_lm.artefact import AudioLm, open_audio_lm, open_encoders, read_artefact
from core.audio_lm.encoders import RATE, TAGS, Encoder, EncoderError, labels_of, listen, resampled
from core.scenes.bank import Named
from core.scenes.phrasings import PROMPT_DETAIL


@dataclass(frozen=True)
class Hearer:
    """A tagger, the names of what it may hear and, for captions, a trained model with all its encoders."""

    encoders: tuple[Encoder, ...]
    model: AudioLm | None
    names: Mapping[str, Named]

    def plays(self, label: str) -> bool:
        """Whether the label is an instrument or a voice that sings."""
        music = label in self.names and self.names[label].domain == "music"
        return music or label.endswith("_sing")


@dataclass(frozen=True)
class Noticed:
    """Of one clip: tags and instruments, the most probable first; a caption, "" without a row."""

    tags: tuple[str, ...]
    instruments: tuple[str, ...]
    caption: str


def open_hearer(folder: Path, *, root: Path, names: Mapping[str, Named], captions: bool) -> Hearer:
    """The model in `folder` (checkpoints/<profile>/<row>/seed<n>), or its tagger alone.

    Raises EncoderError for a model that hears by no tagger.
    """
    artefact = read_artefact(folder)
    if not artefact.labels:
        raise EncoderError(f"{folder} hears by no tagger: name a model with a soft prompt as `artefact`")
    if captions:
        return Hearer(open_encoders(artefact, root=root), open_audio_lm(folder, root=root), names)
    tagger = tuple(one for one in artefact.encoders if one.name == TAGS)
    return Hearer(open_encoders(replace(artefact, encoders=tagger), root=root), None, names)


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
    """Listen to a batch at `RATE` of core.audio_lm.encoders.

    Tags reach the probability `threshold`, at most `limit`; without any the most probable label is one.
    """
    heard = listen(hearer.encoders, resampled(waves, RATE), ids)
    labels = labels_of(hearer.encoders)
    chances = heard[TAGS].values[:, 0].float().sigmoid().cpu().numpy()
    captions = [""] * len(waves)
    if hearer.model is not None:
        captions = hearer.model.answer(
            [PROMPT_DETAIL] * len(waves), heard, ids=ids, max_new_tokens=max_new_tokens
        )
    found = []
    for row, caption in zip(chances, captions):
        order = [int(place) for place in np.argsort(-row, kind="stable")]
        tags = [labels[place] for place in order[:limit] if row[place] >= threshold] or [labels[order[0]]]
        playing = [labels[place] for place in order if hearer.plays(labels[place])]
        players = [tag for tag in tags if hearer.plays(tag)] or playing[:1]
        found.append(Noticed(tuple(tags), tuple(called(name) for name in players), caption))
    return found


def called(label: str) -> str:
    """What the exams call the tagger's instrument."""
    return "choir" if label.endswith("_sing") else "brass" if label == "trumpet" else label


def phrase(label: str, names: Mapping[str, Named], form: int = 0) -> str:
    """0: "a dog barking", 2: "a dog barks"; a label that has no phrases as it is, in small letters."""
    return names[label].phrases[form] if label in names else label.replace("_", " ").lower()


def list_tags(tags: Sequence[str], names: Mapping[str, Named]) -> str:
    """ "A dog barking, rain falling." """
    return _sentence(", ".join(phrase(tag, names) for tag in tags))


def tell_sounds(noticed: Noticed, names: Mapping[str, Named]) -> str:
    """The caption with its sounds as clauses, then the tags that it does not name."""
    said = noticed.caption.strip().rstrip(".")
    lowered = said.lower()
    for label in sorted(names, key=lambda label: -len(phrase(label, names))):
        lowered = lowered.replace(phrase(label, names), phrase(label, names, 2))
    rest = [phrase(tag, names, 2) for tag in noticed.tags if phrase(tag, names, 2) not in lowered]
    return " ".join(_sentence(text) for text in (lowered, "; ".join(rest)) if text)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."

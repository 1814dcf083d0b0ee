"""What a tagger and a trained row say of sounds: tags, captions, and both in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.audio_lm.artefact import AudioLm, open_audio_lm, open_its_ears, read_artefact
from core.audio_lm.encoders import Ears
from core.scenes.bank import Named
from core.scenes.phrasings import PROMPT_DETAIL


@dataclass(frozen=True)
class Hearer:
    """The ears of a row, the names of what it may hear and, for captions, the row itself."""

    ears: Ears
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
    """The row in `folder` (checkpoints/<profile>/<row>/seed<n>), or its ears alone."""
    if captions:
        model = open_audio_lm(folder, root=root)
        return Hearer(open_its_ears(model.artefact, root=root), model, names)
    return Hearer(open_its_ears(read_artefact(folder), root=root), None, names)


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

"""Audio that a model may be asked about: the same checks on this machine and before it is sent elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.audio.read import check_audio, read_many

SHORTEST = 0.1  # seconds: less gives some encoders no embedding at all


def read_usable(
    audios: Sequence[bytes], *, sample_rate: int, names: Sequence[str]
) -> list[tuple[np.ndarray, int]]:
    """Encoded audio decoded to mono at `sample_rate`. Raises AudioErrors.

    Silence is heard like any sound: a question may be about it. The length is the model's to judge.
    """
    return read_many(
        audios,
        sample_rate=sample_rate,
        names=names,
        max_seconds=None,
        min_seconds=SHORTEST,
        accept=["silent"],
    )


def check_usable(audio: bytes, *, name: str) -> None:
    """Raises AudioError for audio that `read_usable` refuses: cut, empty, damaged, not finite, too short.

    Channels that cancel out pass: they are sent as they are.
    """
    check_audio(audio, name=name, max_seconds=None, min_seconds=SHORTEST, accept=["silent"])

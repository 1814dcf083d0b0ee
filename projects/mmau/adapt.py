"""Bring pocketsphinx's acoustic model nearer to the voices of a training split.

Maximum a posteriori estimation of the Gaussians' means and variances (Gauvain and Lee, IEEE Transactions on
Speech and Audio Processing, 1994), from recordings whose words are known, aligned with the unadapted model.
The model has one codebook of Gaussians a phoneme and stream: cepstra, their differences, and those of these.
"""

from __future__ import annotations

import functools
import struct
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.run.files import write_bytes_atomic
from projects.mmau.recognise import FRAME, Model, RecogniserError, Word, listen, open_decoder, own

SHAPE = (42, 3, 128, 13)  # phonemes, streams, Gaussians, dimensions of pocketsphinx's en-us model
# Frames that the old means and variances count for, and how far below the old ones variances may fall.
PRIOR_MEANS, PRIOR_VARIANCES, FLOOR = 2.0, 10.0, 0.3


@dataclass(frozen=True)
class Statistics:
    """Of the frames that belong to each Gaussian: how many, their sum and their sum of squares."""

    count: np.ndarray  # (phonemes, streams, Gaussians), float64
    first: np.ndarray  # SHAPE
    second: np.ndarray  # SHAPE


@dataclass(frozen=True)
class Aligned:
    """Where the words and phonemes of a known text lie. cepstra: (frames, 13)."""

    cepstra: np.ndarray
    words: tuple[Word, ...]
    phonemes: tuple[tuple[str, int, int], ...]  # with first frame and number of frames


def no_statistics() -> Statistics:
    """Of no frames."""
    return Statistics(np.zeros(SHAPE[:3]), np.zeros(SHAPE), np.zeros(SHAPE))


def add(parts: Iterable[Statistics]) -> Statistics:
    """The sums of all, in their order."""
    whole = no_statistics()
    for part in parts:
        whole = Statistics(whole.count + part.count, whole.first + part.first, whole.second + part.second)
    return whole


class Aligner:
    """The unadapted model, made to hear known words."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()  # pocketsphinx gives its cepstra only as files
        self._decoder = open_decoder(Model(options=()), lm=None, mfclogdir=self._folder.name)

    def align(self, sound: np.ndarray, words: Sequence[str], *, name: str) -> Aligned | None:
        """The words in float32 (samples,) at 16 kHz; None where they cannot be found, or are unknown."""
        if not words or any(self._decoder.lookup_word(word) is None for word in words):
            return None
        decoder, logs = self._decoder, Path(self._folder.name)
        for path in logs.iterdir():
            path.unlink()
        try:
            decoder.set_align_text(" ".join(words))
            listen(decoder, sound, name=name)
            if decoder.hyp() is None:
                return None
            cepstra = (
                np.fromfile(min(logs.iterdir()), ">f4", offset=4).astype(np.float64).reshape(-1, SHAPE[3])
            )
            decoder.set_alignment()
            listen(decoder, sound, name=name)
            found = decoder.get_alignment()
        except RuntimeError:  # pocketsphinx's way of saying that the text does not fit the sound
            return None
        if found is None:
            return None
        spans = [(entry.name, entry.start * FRAME, entry.duration * FRAME) for entry in found.words()]
        said = tuple(
            Word(text, start, start + length) for text, start, length in spans if text[0] not in "<["
        )
        return Aligned(cepstra, said, tuple((one.name, one.start, one.duration) for one in found.phones()))


def gather(aligned: Aligned) -> Statistics:
    """Which frames of an utterance belong to which Gaussians of the phonemes spoken there."""
    names, means, variances = _gaussians()
    sums = no_statistics()
    features = _features(aligned.cepstra)
    for phoneme, start, frames in aligned.phonemes:
        at = names.index(phoneme)
        for stream in range(SHAPE[1]):
            seen = features[start : start + frames, stream]
            if not len(seen):
                continue
            mean, variance = means[at, stream], variances[at, stream]
            far = (
                (seen**2) @ (1 / variance).T
                - 2 * seen @ (mean / variance).T
                + (mean**2 / variance).sum(axis=1)
            )
            logs = -0.5 * (far + np.log(variance).sum(axis=1))
            share = np.exp(logs - logs.max(axis=1, keepdims=True))
            share /= share.sum(axis=1, keepdims=True)
            sums.count[at, stream] += share.sum(axis=0)
            sums.first[at, stream] += share.T @ seen
            sums.second[at, stream] += share.T @ seen**2
    return sums


def write_adapted(folder: Path, sums: Statistics) -> tuple[Path, Path]:
    """Files of means and of variances. Raises RecogniserError when nothing was aligned."""
    if not sums.count.any():
        raise RecogniserError("no recording could be aligned with its words: nothing to adapt to")
    _, means, variances = _gaussians()
    count = sums.count[..., None]
    adapted = (PRIOR_MEANS * means + sums.first) / (PRIOR_MEANS + count)
    spread = sums.second - 2 * sums.first * adapted + count * adapted**2
    around = (PRIOR_VARIANCES * (variances + (means - adapted) ** 2) + spread) / (PRIOR_VARIANCES + count)
    around = np.maximum(around, FLOOR * variances)
    for name, values in (("means", adapted), ("variances", around)):
        write_bytes_atomic(folder / name, _encode(values))
    return folder / "means", folder / "variances"


@functools.cache
def _gaussians() -> tuple[list[str], np.ndarray, np.ndarray]:
    """Phonemes, and means and variances of their Gaussians, SHAPE, of pocketsphinx's own model."""
    content = own("en-us/en-us/mdef").read_bytes()
    (skip,) = struct.unpack_from("<i", content, 8)
    (phonemes,) = struct.unpack_from("<i", content, 12 + skip)
    names = [name.decode() for name in content[12 + skip + 40 :].split(b"\0", phonemes)[:phonemes]]
    means, variances = (_decode(own(f"en-us/en-us/{name}")) for name in ("means", "variances"))
    return names, means, np.maximum(variances, 1e-4)


def _decode(path: Path) -> np.ndarray:
    """Means or variances in the format s3, SHAPE, float64. Raises RecogniserError for another model's."""
    content = path.read_bytes()
    at = content.find(b"endhdr\n") + 11  # after it four bytes tell the byte order
    found = struct.unpack_from("<3i", content, at)
    if found != SHAPE[:3]:
        raise RecogniserError(f"{path} has codebooks of {found}, {SHAPE[:3]} are known: use pocketsphinx 5.1")
    values = np.frombuffer(content, "<f4", count=int(np.prod(SHAPE)), offset=at + 28)
    return values.astype(np.float64).reshape(SHAPE)


def _encode(values: np.ndarray) -> bytes:
    phonemes, streams, gaussians, size = values.shape
    head = struct.pack("<I", 0x11223344)
    numbers = struct.pack("<7i", phonemes, streams, gaussians, *[size] * streams, values.size)
    return b"s3\nversion 1.0\nendhdr\n" + head + numbers + values.astype("<f4").tobytes()


def _features(cepstra: np.ndarray) -> np.ndarray:
    """What the model looks at: (frames, 3, 13), without the utterance's mean."""
    centred = cepstra - cepstra.mean(axis=0)
    padded = np.pad(centred, ((3, 3), (0, 0)), mode="edge")

    def shifted(by: int) -> Any:
        return padded[3 + by : 3 + by + len(centred)]

    twice = shifted(3) - shifted(-1) - shifted(1) + shifted(-3)
    return np.stack([centred, shifted(2) - shifted(-2), twice], axis=1)

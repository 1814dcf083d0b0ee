"""The frozen encoders that our language models hear with: tagger (AST), listener (Whisper), CLAP."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import soxr
import torch

from core.adapters.prefix_lm import Features
from core.audio.mel import KaldiFbank, WhisperMel
from core.audio_lm.features import SetWriter, write_set
from core.encoders.ast import AstEncoder, LongAudio, encode_long, load_ast, read_fbank
from core.encoders.trained_clap import TrainedClap, open_clap
from core.encoders.whisper import WhisperFeatures, hear_long, load_whisper, read_whisper_mel
from core.run.files import write_json

ENCODERS = ("ast", "listener", "clap", "tags")
HEARING = "hearing.json"


class HearingError(ValueError):
    """Encoders that are not those which a row was trained with, or of which nothing is written."""


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """Which encoders hear, as folders from the repository's root, and how.

    taps: AST layers from 1, the last one first. listener_pool: features averaged in time. sha256: of each
    encoder's weights; empty until they have been opened.
    """

    tagger: str
    listener: str
    clap: str  # checkpoints of CompA
    clap_variant: str
    clap_seed: int
    taps: tuple[int, ...]
    listener_pool: int
    long_audio: LongAudio = "window"
    sha256: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Ears:
    """The encoders and their front ends."""

    hearing: Hearing
    ast: AstEncoder
    fbank: KaldiFbank
    listener: WhisperFeatures
    whisper_mel: WhisperMel
    clap: TrainedClap
    sample_rate: int

    @property
    def labels(self) -> list[str]:
        """What the tagger's logits are of."""
        return list(self.ast.labels)

    @torch.inference_mode()
    def hear(self, waveforms: Sequence[np.ndarray], ids: Sequence[str]) -> dict[str, Features]:
        """Features of a batch at `sample_rate`: ast (B, T, L, D), listener (B, T, D), clap and tags
        (B, 1, D).

        Audio beyond an encoder's window is windowed or refused, as `long_audio` says, and never cut; CLAP
        hears crops, as it was trained to.
        """
        waves = list(waveforms)
        tagged = encode_long(
            self.ast,
            waves,
            self.fbank,
            long_audio=self.hearing.long_audio,
            items=ids,
            batch_size=len(waves),
        )
        heard = hear_long(
            self.listener,
            waves,
            self.whisper_mel,
            long_audio=self.hearing.long_audio,
            items=ids,
            batch_size=len(waves),
        )
        rate, wanted = self.sample_rate, self.clap.sample_rate
        other = waves if rate == wanted else [soxr.resample(wave, rate, wanted) for wave in waves]
        one = torch.ones(len(waves), 1, dtype=torch.bool)
        return {
            "ast": Features(torch.stack(tagged.features, dim=2).float(), tagged.mask),
            "listener": Features(heard.features.float(), heard.mask),
            "clap": Features(self.clap.embed_audio(other, ids)[:, None], one),
            "tags": Features(tagged.logits[:, None].float().cpu(), one),
        }

    def listen(self, waveforms: Sequence[np.ndarray], ids: Sequence[str]) -> dict[str, Features]:
        """`hear`, with layers before time, (B, L, T, D): as a store reads what it wrote."""
        return {
            name: Features(values.transpose(1, 2) if values.ndim == 4 else values, mask)
            for name, (values, mask) in self.hear(waveforms, ids).items()
        }


def open_ears(hearing: Hearing, *, root: Path, device: torch.device) -> Ears:
    """Load the encoders. Raises what they raise where a stage has not run, and HearingError for other weights
    than those of `hearing.sha256`."""
    tagger, listener = root / hearing.tagger, root / hearing.listener
    clap = open_clap(root / hearing.clap, hearing.clap_variant, hearing.clap_seed, device=device)
    fbank, whisper_mel = read_fbank(tagger), read_whisper_mel(listener)
    ears = Ears(
        hearing=hearing,
        ast=load_ast(tagger, taps=hearing.taps).to(device),
        fbank=fbank.to(device),
        listener=load_whisper(listener, pool=hearing.listener_pool).to(device),
        whisper_mel=whisper_mel.to(device),
        clap=clap,
        sample_rate=16_000,  # of AST's and Whisper's front ends
    )
    found = {
        "tagger": _sha256(sorted(tagger.glob("*.safetensors"))),
        "listener": _sha256(sorted(listener.glob("*.safetensors"))),
        "clap": _sha256([clap.weights]),
    }
    for name, digest in (hearing.sha256 or {}).items():
        if found[name] != digest:
            raise HearingError(
                f"the {name} in {getattr(hearing, name)} is not the one that this was trained with "
                f"(SHA-256 {found[name][:12]}, wanted {digest[:12]}): run the stage `features` and the "
                "training again"
            )
    return replace(ears, hearing=replace(hearing, sha256=found))


def write_features(
    folder: Path, batches: Iterable[tuple[list[str], list[np.ndarray]]], ears: Ears
) -> SetWriter:
    """Hear batches of (ids, waveforms) and write them as one set."""
    with write_set(folder, ENCODERS) as writer:
        for ids, waves in batches:
            writer.append(ids, ears.hear(waves, ids))
    return writer


def write_hearing(folder: Path, ears: Ears) -> None:
    """hearing.json and labels.json, beside the sets that these ears have heard."""
    write_json(folder / HEARING, asdict(ears.hearing))
    write_json(folder / "labels.json", ears.labels)


def read_hearing(folder: Path) -> Hearing:
    """Which ears heard the sets of a folder. Raises HearingError where that is not written."""
    path = folder / HEARING
    if not path.is_file():
        raise HearingError(f"no {path}: run the stage `features` again")
    return hearing_of(json.loads(path.read_text(encoding="utf-8")))


def hearing_of(raw: Mapping[str, object]) -> Hearing:
    """A Hearing from its JSON."""
    taps = raw["taps"]
    assert isinstance(taps, list)
    return Hearing(**{**raw, "taps": tuple(taps)})  # type: ignore[arg-type]


def _sha256(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()

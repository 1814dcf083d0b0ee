"""Batched mel front ends in torch: CLAP, Kaldi filter banks (AST) and Whisper.

Each gives the numbers of the `transformers` feature extractor of the same name (to 1e-4, tested) and runs on
the device it is moved to. Waveforms come as a list of (N_i,) float arrays or tensors in [-1, 1] at the front
end's sample rate, or as one padded (B, N) with `lengths`. A clip's features never depend on the
clips beside it.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.audio.crop import position
from core.audio.spectrum import (
    POWER_FLOOR,
    MelPower,
    Waveforms,
    centred,
    hann,
    mel_filters,
    name_of,
    stacked,
    to_db,
    waveform_rows,
)


class ClapInput(NamedTuple):
    """What `ClapModel` takes: input_features (B, 1 | 4, T, F) in dB and is_longer (B, 1), bool."""

    input_features: Tensor
    is_longer: Tensor


class ClapMel(nn.Module):
    """CLAP's front end (`ClapFeatureExtractor`; HTS-AT at 48 kHz with the defaults).

    Clips up to `max_seconds` are filled to it: `repeatpad` repeats whole times and pads with zeros, `repeat`
    repeats and cuts, `pad` pads. Longer clips: `fusion` gives 4 channels, the whole spectrogram resized and a
    crop each from its front, middle and back third (a clip that is not longer: 4 equal channels, is_longer
    False); `rand_trunc` gives 1 channel, a crop. As in the extractor, fusion takes HTK filters and rand_trunc
    Slaney's. `int16_round_trip` quantises waveforms first, as LAION-CLAP and CompA do in training.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 48_000,
        n_fft: int = 1024,
        hop: int = 480,
        n_mels: int = 64,
        fmin: float = 50.0,
        fmax: float = 14_000.0,
        max_seconds: float = 10.0,
        truncation: Literal["fusion", "rand_trunc"] = "fusion",
        padding: Literal["repeatpad", "repeat", "pad"] = "repeatpad",
        int16_round_trip: bool = False,
        transform: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        _one_of("truncation", truncation, ("fusion", "rand_trunc"))
        _one_of("padding", padding, ("repeatpad", "repeat", "pad"))
        self.truncation, self.padding, self.int16_round_trip = truncation, padding, int16_round_trip
        self.max_samples = round(max_seconds * sample_rate)
        self.max_frames = self.max_samples // hop + 1
        slaney = truncation == "rand_trunc"
        filters = mel_filters(
            n_fft=n_fft,
            n_mels=n_mels,
            sample_rate=sample_rate,
            fmin=fmin,
            fmax=fmax,
            scale="slaney" if slaney else "htk",
            unit_area=slaney,
        )
        self.power = MelPower(window=hann(n_fft), n_fft=n_fft, hop=hop, filters=filters, transform=transform)

    def power_mel(
        self,
        waveforms: Waveforms,
        *,
        lengths: Sequence[int] | None = None,
        margin: Literal["reflect", "zero"] = "reflect",
    ) -> Tensor:
        """Waveforms as they are -> power (B, T, F), before the decibels; T = longest // hop + 1, zeros after.

        Nothing is repeated or cropped. Powers of clips may be added (their cross terms neglected) and then
        given to `to_db`; margin "zero" is the power that the clip has with silence around it.
        """
        rows = self._rows(waveforms, lengths)
        total = max(len(row) for row in rows) // self.power.hop + 1
        counts = [len(row) // self.power.hop + 1 for row in rows]
        powers = self.power([centred(row, len(row), n_fft=self.power.n_fft, margin=margin) for row in rows])
        return stacked([power[:count] for power, count in zip(powers, counts)], total)

    @torch.no_grad()
    def forward(
        self,
        waveforms: Waveforms,
        *,
        lengths: Sequence[int] | None = None,
        seed: int = 0,
        items: Sequence[str] | None = None,
        positions: Sequence[Sequence[int] | None] | None = None,
        mark_longer: int | None = None,
    ) -> ClapInput:
        """Waveforms -> log-mels (B, 4 | 1, T, F) in dB with T = max_samples // hop + 1, and is_longer (B, 1).

        Crops of longer clips are fixed by `seed` and the clip's name in `items`, or given in `positions`: per
        clip the first frames of (front, middle, back), for rand_trunc (first sample,). Where no clip of a
        fusion batch is longer the extractor marks a random one as longer, which changes that clip's
        embedding; here none is marked unless `mark_longer` gives its index.
        """
        rows = self._rows(waveforms, lengths, items)
        _same_length("positions", positions, rows)
        fusion, hop, fit = self.truncation == "fusion", self.power.hop, self.max_samples
        names = items if items is not None else [""] * len(rows)
        longer = torch.zeros(len(rows), 1, dtype=torch.bool)
        signals, crops = [], []
        for i, (row, name) in enumerate(zip(rows, names)):
            given = positions[i] if positions is not None else None
            spare = len(row) // hop + 1 - self.max_frames if fusion else len(row) - fit  # frames or samples
            crops.append(
                _starts(spare, given, seed=seed, item=name, count=3 if fusion else 1) if spare > 0 else ()
            )
            longer[i] = spare > 0
            if not fusion and spare > 0:
                row = row[crops[i][0] : crops[i][0] + fit]
            row = self._filled(row) if len(row) < fit else row
            signals.append(centred(row, max(len(row), fit), n_fft=self.power.n_fft))
        out = torch.empty(
            len(rows), 4 if fusion else 1, self.max_frames, self.power.n_mels, device=self._device
        )
        for i, power in enumerate(self.power(signals)):
            mel = to_db(power)
            if fusion and longer[i]:
                whole = F.interpolate(
                    mel[None, None], size=out.shape[2:], mode="bilinear", align_corners=False
                )
                out[i, 0] = whole[0, 0]
                for channel, start in enumerate(crops[i], start=1):
                    out[i, channel] = mel[start : start + self.max_frames]
            else:
                out[i, :, : len(mel)] = mel
                out[i, :, len(mel) :] = -100.0
        if mark_longer is not None and fusion and not longer.any():
            longer[mark_longer] = True
        return ClapInput(out, longer.to(self._device))

    @property
    def _device(self) -> torch.device:
        return self.power.window.device

    def _rows(
        self, waveforms: Waveforms, lengths: Sequence[int] | None, items: Sequence[str] | None = None
    ) -> list[Tensor]:
        rows = waveform_rows(waveforms, lengths, device=self._device, items=items)
        return [_int16(row) for row in rows] if self.int16_round_trip else rows

    def _filled(self, row: Tensor) -> Tensor:
        whole = self.max_samples // len(row)
        if self.padding == "repeat":
            return row.repeat(whole + 1)[: self.max_samples]
        return row.repeat(whole) if self.padding == "repeatpad" else row


class KaldiFbank(nn.Module):
    """Kaldi log filter banks (`ASTFeatureExtractor`): symmetric Hann frames of 25 ms every 10 ms, the frame's
    mean removed, preemphasis 0.97, natural log.

    Cut or zero-padded to `max_frames` (None: to the longest clip), then (x - mean) / (2 std). GAMA's
    (x + 5.081) / 4.4849 is mean=-5.081, std=4.4849 / 2; that it removes the waveform's mean first changes
    nothing, since every frame's mean is removed here.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 16_000,
        n_mels: int = 128,
        max_frames: int | None = 1024,
        mean: float = -4.2677393,
        std: float = 4.5689974,
        normalize: bool = True,
        transform: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        window, hop = round(0.025 * sample_rate), round(0.01 * sample_rate)
        n_fft = 1 << (window - 1).bit_length()
        filters = mel_filters(
            n_fft=n_fft,
            n_mels=n_mels,
            sample_rate=sample_rate,
            fmin=20.0,
            fmax=sample_rate / 2,
            scale="kaldi",
        )
        self.max_frames, self.mean, self.std, self.normalize = max_frames, mean, std, normalize
        self.power = MelPower(
            window=hann(window, periodic=False),
            n_fft=n_fft,
            hop=hop,
            filters=filters,
            remove_mean=True,
            preemphasis=0.97,
            transform=transform,
        )

    def frames(self, n_samples: int) -> int:
        """Frames that hold sound, of a clip of `n_samples`; those after are padding."""
        count = self.power.frames(n_samples)
        return count if self.max_frames is None else min(count, self.max_frames)

    @torch.no_grad()
    def forward(
        self,
        waveforms: Waveforms,
        *,
        lengths: Sequence[int] | None = None,
        items: Sequence[str] | None = None,
    ) -> Tensor:
        """Waveforms, named by `items` -> (B, T, F). ValueError for a clip shorter than one frame."""
        size, hop = len(self.power.window), self.power.hop
        rows = waveform_rows(waveforms, lengths, device=self.power.window.device, items=items)
        for i, row in enumerate(rows):
            if len(row) < size:
                raise ValueError(
                    f"{name_of(items, i)} has {len(row)} samples, less than a frame of {size}: pad or drop it"
                )
        if self.max_frames is not None:  # what lies beyond the last frame need not be transformed
            rows = [row[: (self.max_frames - 1) * hop + size] for row in rows]
        logs = [power.clamp_(min=1.192092955078125e-07).log_() for power in self.power(rows)]
        fbank = stacked(logs, self.max_frames or max(len(log) for log in logs))
        return fbank.sub_(self.mean).div_(2 * self.std) if self.normalize else fbank


class WhisperMel(nn.Module):
    """Whisper's front end (`WhisperFeatureExtractor`): x = log10 power, at most 8 below the clip's peak,
    then (x + 4) / 4.

    Clips are cut or zero-padded to `max_seconds`. With None each clip keeps its own length (N // hop frames),
    and shorter ones are padded to the longest of the batch with their floor.
    """

    def __init__(
        self,
        *,
        n_mels: int = 80,
        sample_rate: int = 16_000,
        n_fft: int = 400,
        hop: int = 160,
        max_seconds: float | None = 30.0,
        transform: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        filters = mel_filters(
            n_fft=n_fft,
            n_mels=n_mels,
            sample_rate=sample_rate,
            fmin=0.0,
            fmax=8_000.0,
            scale="slaney",
            unit_area=True,
        )
        self.max_samples = None if max_seconds is None else round(max_seconds * sample_rate)
        self.power = MelPower(window=hann(n_fft), n_fft=n_fft, hop=hop, filters=filters, transform=transform)

    def frames(self, n_samples: int) -> int:
        """Frames that hold sound, of a clip of `n_samples`; those after are padding."""
        fit = n_samples if self.max_samples is None else min(n_samples, self.max_samples)
        return max(fit // self.power.hop, 1)

    @torch.no_grad()
    def forward(
        self,
        waveforms: Waveforms,
        *,
        lengths: Sequence[int] | None = None,
        items: Sequence[str] | None = None,
    ) -> Tensor:
        """Waveforms, named by `items` -> (B, F, T): bands before frames, as Whisper's encoder takes them."""
        rows = waveform_rows(waveforms, lengths, device=self.power.window.device, items=items)
        rows = [row[: self.max_samples] for row in rows]
        totals = [self.max_samples or len(row) for row in rows]
        signals = [centred(row, total, n_fft=self.power.n_fft) for row, total in zip(rows, totals)]
        # The extractor drops the last of the N // hop + 1 frames.
        counts = [max(total // self.power.hop, 1) for total in totals]
        power = stacked([p[:count] for p, count in zip(self.power(signals), counts)], max(counts))
        log = power.clamp_(min=POWER_FLOOR).log10_().transpose(1, 2).contiguous()
        floor = log.amax(dim=(1, 2), keepdim=True) - 8.0
        return torch.maximum(log, floor, out=log).add_(4.0).div_(4.0)


def _starts(
    spare: int, given: Sequence[int] | None, *, seed: int, item: str, count: Literal[1, 3]
) -> tuple[int, ...]:
    """Crop starts in 0..spare: one anywhere, or one in each third (front, middle, back; 0 if it is empty)."""
    if given is not None:
        if len(given) != count or not all(0 <= start <= spare for start in given):
            raise ValueError(
                f"crop positions {tuple(given)} of item {item!r} must be {count} within 0..{spare}"
            )
        return tuple(given)
    thirds = np.array_split(np.arange(spare + 1), count)
    return tuple(
        int(third[position(len(third), seed=seed, item=f"{item}/{part}")]) if len(third) else 0
        for part, third in enumerate(thirds)
    )


def _int16(row: Tensor) -> Tensor:
    return row.clamp(-1.0, 1.0).mul(32767.0).trunc().div(32767.0)


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{option}={value!r} is not one of {', '.join(allowed)}")


def _same_length(option: str, values: Sized | None, rows: Sized) -> None:
    if values is not None and len(values) != len(rows):
        raise ValueError(f"{len(values)} {option} for {len(rows)} waveforms: give one for each")

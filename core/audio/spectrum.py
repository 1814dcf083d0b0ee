"""Waveforms to power in mel bands: the step that the front ends in `core.audio.mel` share.

The Fourier transform runs in float64, as in the `transformers` extractors, since float32 would show its own
rounding 100 dB below a pure tone; features are float32. Set `transform=torch.float32` where a device has no
float64. Not differentiable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Waveforms = Sequence[np.ndarray | Tensor] | np.ndarray | Tensor
Scale = Literal["htk", "slaney", "kaldi"]

CPU_BLOCK = 1 << 18  # samples in a block of frames: its spectra stay in the cache
GPU_BLOCK = 1 << 25  # about 0.8 GB of float64 frames, spectra and squares
GROUP = 16  # filters multiplied together: they are narrow, so each group reads few of the bins
POWER_FLOOR = 1e-10
SHOWN = 5  # waveforms that a message lists


def mel_filters(
    *,
    n_fft: int,
    n_mels: int,
    sample_rate: int,
    fmin: float,
    fmax: float,
    scale: Scale,
    unit_area: bool = False,
) -> np.ndarray:
    """Triangular filters (n_fft // 2 + 1, n_mels), float64.

    htk: mel = 2595 log10(1 + f / 700). slaney: linear below 1 kHz, logarithmic above. kaldi: as htk, but the
    triangles are straight in mel rather than in Hz. `unit_area` divides each filter by half its width in Hz.
    """

    def to_mel(hertz: np.ndarray) -> np.ndarray:
        if scale != "slaney":
            return (
                1127.0 * np.log1p(hertz / 700.0) if scale == "kaldi" else 2595.0 * np.log10(1 + hertz / 700.0)
            )
        log_part = 15.0 + np.log(np.maximum(hertz, 1000.0) / 1000.0) * 27.0 / np.log(6.4)
        return np.where(hertz < 1000.0, hertz * 3 / 200, log_part)

    def to_hertz(mel: np.ndarray) -> np.ndarray:
        if scale == "htk":
            return 700.0 * (10.0 ** (mel / 2595.0) - 1)
        return np.where(mel < 15.0, mel * 200 / 3, 1000.0 * np.exp(np.log(6.4) / 27.0 * (mel - 15.0)))

    if not 0 <= fmin < fmax <= sample_rate / 2:
        raise ValueError(
            f"mel filters from {fmin:g} to {fmax:g} Hz do not fit under half the sample rate {sample_rate}: "
            "lower fmax or raise the sample rate"
        )
    ends = to_mel(np.array([fmin, fmax], dtype=np.float64))
    bins = np.linspace(0, sample_rate / 2, n_fft // 2 + 1)
    edges = np.linspace(ends[0], ends[1], n_mels + 2)
    if scale == "kaldi":
        bins = to_mel(bins)
    else:
        edges = to_hertz(edges)
    rise = (bins[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    fall = (edges[2:] - bins[:, None]) / np.diff(edges)[1:]
    filters = np.maximum(0.0, np.minimum(rise, fall))
    return filters * 2.0 / (edges[2:] - edges[:-2]) if unit_area else filters


def hann(length: int, *, periodic: bool = True) -> np.ndarray:
    """Hann window (length,); the symmetric one where not periodic."""
    return np.hanning(length + 1)[:-1] if periodic else np.hanning(length)


class MelPower(nn.Module):
    """Power in mel bands, sum_f |STFT|^2[t, f] M[f, m], of frames laid from the first sample on.

    remove_mean subtracts each frame's mean; preemphasis p turns x[n] into x[n] - p x[n-1] within the frame
    (Kaldi treats a frame's first sample apart, which never counts here: the window must be 0 there).
    """

    window: Tensor

    def __init__(
        self,
        *,
        window: np.ndarray,
        n_fft: int,
        hop: int,
        filters: np.ndarray,
        remove_mean: bool = False,
        preemphasis: float = 0.0,
        transform: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        if preemphasis and window[0] != 0:
            raise ValueError("preemphasis needs a window that starts at 0: take a symmetric Hann window")
        self.n_fft, self.hop, self.n_mels = n_fft, hop, filters.shape[1]
        self.remove_mean, self.preemphasis = remove_mean, preemphasis
        self.register_buffer("window", torch.from_numpy(window).to(transform), persistent=False)
        self.groups: list[tuple[int, int]] = []  # bins of each group of filters
        for group, first in enumerate(range(0, self.n_mels, GROUP)):
            columns = filters[:, first : first + GROUP]
            used = np.flatnonzero(columns.any(axis=1))
            low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
            self.groups.append((low, high))
            # Each row twice, for the squares of the real and of the imaginary part, which lie side by side.
            part = torch.from_numpy(np.repeat(columns[low:high], 2, axis=0)).to(transform)
            self.register_buffer(f"filters{group}", part, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MelPower:
        # Follow a model to its device, but not into bfloat16: rounded filters would change every feature.
        return super()._apply(lambda tensor: tensor.to(fn(tensor).device), recurse)

    def frames(self, n_samples: int) -> int:
        """Frames that lie wholly within `n_samples` samples."""
        return max(0, (n_samples - len(self.window)) // self.hop + 1)

    def one_by_one(self) -> bool:
        """On a CPU clip by clip is fastest, and a clip's numbers are bitwise the same in any batch."""
        return self.window.device.type == "cpu"

    @torch.no_grad()
    def forward(self, signals: Sequence[Tensor]) -> list[Tensor]:
        """Signals (N_i,) -> powers (T_i, F), float32, with T_i = frames(N_i)."""
        counts = [self.frames(len(signal)) for signal in signals]
        with torch.autocast(self.window.device.type, enabled=False):
            if self.one_by_one():
                return [self._stream(signal, count) for signal, count in zip(signals, counts)]
            # Elsewhere few large steps are fastest: lay the clips end to end on the grid of hops, transform
            # once, and drop the frames that straddle two clips.
            hops = [-(-len(signal) // self.hop) for signal in signals]
            laid = [F.pad(signal, (0, n * self.hop - len(signal))) for signal, n in zip(signals, hops)]
            power = self._stream(torch.cat([*laid, laid[0].new_zeros(len(self.window))]), sum(hops))
            starts = np.cumsum([0, *hops])
            return [power[start : start + count] for start, count in zip(starts, counts)]

    def _stream(self, signal: Tensor, count: int) -> Tensor:
        size, hop, device = len(self.window), self.hop, signal.device
        # On a CPU the spectra go on in float32; not on a GPU, where float32 products may run as TF32.
        dtype = torch.float32 if device.type == "cpu" else self.window.dtype
        filters = [getattr(self, f"filters{group}").to(dtype) for group in range(len(self.groups))]
        step = max(1, (CPU_BLOCK if device.type == "cpu" else GPU_BLOCK) // self.n_fft)
        power = torch.zeros(count, self.n_mels, dtype=dtype, device=device)
        frames = torch.zeros(min(step, count), self.n_fft, dtype=self.window.dtype, device=device)
        for first in range(0, count, step):
            block = frames[: min(step, count - first)]
            framed = block[:, :size]
            raw = signal[first * hop : (first + len(block) - 1) * hop + size].to(self.window.dtype)
            shaped = raw
            if self.preemphasis:
                shaped = raw.clone()
                shaped[1:].sub_(raw[:-1], alpha=self.preemphasis)
            if self.remove_mean:  # preemphasis turns a constant c into (1 - p) c
                mean = raw.unfold(0, size, hop).mean(1, keepdim=True).mul_(1 - self.preemphasis)
                torch.sub(shaped.unfold(0, size, hop), mean, out=framed).mul_(self.window)
            else:
                torch.mul(shaped.unfold(0, size, hop), self.window, out=framed)
            spectrum = torch.view_as_real(torch.fft.rfft(block)).flatten(1).to(dtype)
            squares = spectrum.square_()
            for group, ((low, high), part) in enumerate(zip(self.groups, filters)):
                bands = power[first : first + len(block), group * GROUP : (group + 1) * GROUP]
                torch.mm(squares[:, 2 * low : 2 * high], part, out=bands)
        return power.float()


def to_db(power: Tensor) -> Tensor:
    """10 log10(power), not below -100 dB; any shape."""
    return power.clamp(min=POWER_FLOOR).log10().mul(10.0)


def waveform_rows(
    waveforms: Waveforms,
    lengths: Sequence[int] | None,
    *,
    device: torch.device,
    items: Sequence[str] | None = None,
) -> list[Tensor]:
    """A list of (N_i,) waveforms, or a padded (B, N) with `lengths`, as float32 rows on `device`.

    `items` names them in errors. Raises ValueError for what is no waveform, is empty, or not finite.
    """
    for option, values in (("lengths", lengths), ("items", items)):
        if values is not None and len(values) != len(waveforms):
            raise ValueError(f"{len(values)} {option} for {len(waveforms)} waveforms: give one for each")
    rows = []
    for i in range(len(waveforms)):
        row, name = torch.as_tensor(waveforms[i]), name_of(items, i)
        if row.ndim != 1:
            raise ValueError(f"{name} has shape {tuple(row.shape)}: give mono audio (samples,)")
        if not row.is_floating_point():
            raise ValueError(f"{name} is {row.dtype}: give floats in [-1, 1] (int16 audio divided by 32768)")
        if lengths is not None:
            if not 0 <= lengths[i] <= len(row):
                raise ValueError(f"length {lengths[i]} of {name} is not within its {len(row)} samples")
            row = row[: lengths[i]]
        if len(row) == 0:
            raise ValueError(f"{name} is empty: drop it before the front end")
        rows.append(row.to(device, torch.float32))
    if not rows:
        raise ValueError("there are no waveforms: an empty batch has no features")
    _check_finite(rows, items)
    return rows


def name_of(items: Sequence[str] | None, place: int) -> str:
    """What errors call the waveform at `place`: its name in `items`, else its number."""
    return f"waveform {place}" if items is None else items[place]


def _check_finite(rows: Sequence[Tensor], items: Sequence[str] | None) -> None:
    # NaN and infinity show in a sum, which costs a fraction of looking at every sample; and one question a
    # batch, since a device answers only when it has done all before
    if bool(torch.stack([row.sum() for row in rows]).isfinite().all()):
        return
    if bad := [name_of(items, place) for place, row in enumerate(rows) if not bool(row.isfinite().all())]:
        more = ", ..." if len(bad) > SHOWN else ""
        raise ValueError(
            f"{', '.join(bad[:SHOWN])}{more}: NaN or infinite samples; find the step that made them, or drop "
            "the item"
        )


def centred(row: Tensor, total: int, *, n_fft: int, margin: Literal["reflect", "zero"] = "reflect") -> Tensor:
    """Row (N,) zero-padded to `total` samples, with a margin of half a window on both sides, so that frame t
    is centred on sample t * hop.

    Where more than a window of zeros follows the sound, all but a window is left off: frames beyond the
    returned signal have no power. A row shorter than half a window gets zeros before it is mirrored.
    """
    half = n_fft // 2
    if len(row) <= half:
        row = F.pad(row, (0, half + 1 - len(row)))
    if margin == "zero":
        return F.pad(row, (half, max(total - len(row), 0) + half))
    if len(row) + n_fft < total:
        return torch.cat([row[1 : half + 1].flip(0), row, row.new_zeros(n_fft)])
    row = F.pad(row, (0, total - len(row))) if total > len(row) else row
    return torch.cat([row[1 : half + 1].flip(0), row, row[-half - 1 : -1].flip(0)])


def stacked(powers: Sequence[Tensor], frames: int) -> Tensor:
    """Powers (T_i, F) -> (B, frames, F), cut or filled with zeros."""
    out = powers[0].new_zeros(len(powers), frames, powers[0].shape[1])
    for row, power in zip(out, powers):
        row[: len(power)] = power[:frames]
    return out

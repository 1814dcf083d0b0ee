"""Batch normalisation over the batches of all processes, on any device and backend.

`torch.nn.SyncBatchNorm` runs on GPUs only, and where no process has a row it makes the running statistics
decay to zero. The layers here do neither: processes may have different numbers of rows, or none.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from core.run.hardware import process_count


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose mean and variance in training are those of all processes' rows together.

    With gradients averaged over processes, as DistributedDataParallel does, it trains as one process on the
    whole batch. All processes must call it equally often, in training mode; one without rows calls it with
    (0, C, H, W). In one process, and in evaluation, it is `nn.BatchNorm2d`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W), in float32 inside."""
        if not self.training or process_count() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        x, dims = input.float(), (0, 2, 3)
        count = x.new_tensor([float(x.numel() // x.shape[1])])
        total = _Sum.apply(torch.cat([x.sum(dims), count]))
        count = total[-1:].detach()
        mean = total[:-1] / count.clamp(min=1.0)
        centred = x - mean[:, None, None]
        var = _Sum.apply(centred.square().sum(dims)) / count.clamp(min=1.0)
        self._remember(mean.detach(), var.detach(), count)
        scale = (var + self.eps).rsqrt() * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        # `sync_batch_norms` saw to these
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        rate = self.momentum * (count > 0)  # where no process has a row, there is nothing to remember
        unbiased = var * count / (count - 1).clamp(min=1.0)
        self.running_mean += rate * (mean - self.running_mean)
        self.running_var += rate * (unbiased - self.running_var)
        self.num_batches_tracked += 1


def sync_batch_norms(model: nn.Module) -> int:
    """Put a `SyncedBatchNorm2d` with the same weights and names in place of every `nn.BatchNorm2d`.

    Returns how many there were. Call it before the model is wrapped. Raises ValueError for a layer without
    weights or running statistics.
    """
    found = 0
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is not nn.BatchNorm2d:
                continue
            if layer.momentum is None or not (layer.affine and layer.track_running_stats):
                raise ValueError(f"{name}: only batch norms with weights, momentum and statistics are synced")
            with torch.device("meta"):  # its own weights are not needed
                synced = SyncedBatchNorm2d(layer.num_features, eps=layer.eps, momentum=layer.momentum)
            synced.weight, synced.bias = layer.weight, layer.bias
            for buffer, value in layer.named_buffers():
                setattr(synced, buffer, value)
            setattr(parent, name, synced.train(layer.training))
            found += 1
    return found


def rows_seen(norm: nn.Module, rows: int, *, device: torch.device) -> int:
    """The rows that `norm` normalises together: of all processes where it is synced, which all must ask."""
    if not isinstance(norm, SyncedBatchNorm2d) or not norm.training or process_count() == 1:
        return rows
    total = torch.tensor([rows], device=device)
    dist.all_reduce(total)
    return int(total)


class _Sum(torch.autograd.Function):
    """The sum over processes; gradients are summed over processes too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].contiguous().clone()
        dist.all_reduce(gradient)
        return gradient

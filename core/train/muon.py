"""Muon: the momentum of a matrix is made orthogonal before it is applied; all else is left to Adam.

K. Jordan et al., 2024; the size of updates after J. Liu et al., "Muon is scalable for LLM training", 2025, so
that both kinds of parameters share one learning rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # a quintic that brings singular values to about 1
ITERATIONS = 5
RMS = 0.2  # of an update's entries, as Adam's are


class Muon(torch.optim.Optimizer):
    """matrices: 2-D weights of layers. others: embeddings, norms, biases. weight_decay: decoupled, of all
    with two or more dimensions."""

    def __init__(
        self,
        matrices: Sequence[nn.Parameter],
        others: Sequence[nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        groups = [{"params": list(matrices), "muon": True}, {"params": list(others), "muon": False}]
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "momentum": momentum,
            "weight_decay": weight_decay,
        }
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update. A closure is not called."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                made = (_muon if group["muon"] else _adam)(p.grad, self.state[p], group)
                if p.ndim >= 2:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(made, alpha=-group["lr"])


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix of the same singular vectors whose singular values lie near 1 (0.7 to 1.2)."""
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def _muon(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    if not state:
        state["momentum"] = torch.zeros_like(gradient)
    state["momentum"].lerp_(gradient, 1 - group["momentum"])
    ahead = gradient.lerp(state["momentum"], group["momentum"])  # Nesterov's
    return orthogonal(ahead) * (RMS * max(gradient.shape) ** 0.5)


def _adam(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    if not state:
        state |= {"step": 0, "mean": torch.zeros_like(gradient), "square": torch.zeros_like(gradient)}
    state["step"] += 1
    one, two = group["betas"]
    state["mean"].lerp_(gradient, 1 - one)
    state["square"].lerp_(gradient.square(), 1 - two)
    mean, square = state["mean"] / (1 - one ** state["step"]), state["square"] / (1 - two ** state["step"])
    return mean / (square.sqrt() + group["eps"])

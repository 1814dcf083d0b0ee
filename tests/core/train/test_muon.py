from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.train.loop import fit
from core.train.muon import Muon, orthogonal
from core.train.optimisation import TrainingOptions, embeddings_of, make_optimizer


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (6, 6)])
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    found = orthogonal(matrix)
    values = torch.linalg.svdvals(found)
    assert 0.6 < values.min() <= values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.T @ found @ right.T
    torch.testing.assert_close(turned, torch.diag(torch.diag(turned)), atol=1e-4, rtol=0)


def test_what_is_no_matrix_is_updated_as_adam_does() -> None:
    ours, theirs = (nn.Parameter(torch.ones(3)) for _ in range(2))
    muon = Muon([], [ours], lr=0.1, betas=(0.8, 0.9))
    adam = torch.optim.AdamW([theirs], lr=0.1, betas=(0.8, 0.9), weight_decay=0.0)
    for step in range(4):
        for p, optimizer in ((ours, muon), (theirs, adam)):
            p.grad = torch.tensor([1.0, -2.0, 0.5]) * (step - 1.5)
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.layer = nn.Embedding(5, 4), nn.Linear(4, 5)

    def forward(self, ids: Tensor) -> Tensor:
        made: Tensor = self.layer(self.table(ids))
        return made


def test_embeddings_and_biases_are_left_to_adam_and_a_resume_changes_nothing(tmp_path: Path) -> None:
    options = TrainingOptions(steps=8, learning_rate=0.05, optimizer="muon", checkpoint_every=4, log_every=1)
    made = make_optimizer(list(Words().parameters()), options, embeddings=embeddings_of(Words()))
    assert [[tuple(p.shape) for p in group["params"]] for group in made.param_groups] == [
        [(5, 4), (5, 4)],
        [(5,)],
    ]
    model = Words()
    made = make_optimizer(list(model.parameters()), options, embeddings=embeddings_of(model))
    assert [[tuple(p.shape) for p in group["params"]] for group in made.param_groups] == [
        [(5, 4)],
        [(5, 4), (5,)],
    ]

    def batches(step: int) -> Iterator[Tensor]:
        while True:
            step += 1
            yield torch.arange(5)

    def loss(network: nn.Module, ids: Tensor) -> dict[str, Tensor]:
        return {"loss": nn.functional.cross_entropy(network(ids), (ids + 1) % 5)}

    whole = fit(Words(), loss=loss, batches=batches, options=options, folder=tmp_path / "whole")
    assert whole.losses[-1] < whole.losses[0]
    resumed = tmp_path / "resumed"
    fit(Words(), loss=loss, batches=batches, options=options, folder=resumed)
    for path in resumed.glob("step_*8"):
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    again = Words()
    assert fit(again, loss=loss, batches=batches, options=options, folder=resumed).losses == whole.losses

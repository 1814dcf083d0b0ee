"""Synced batch normalisation: in one process it is torch's; which layers it stands in for.

What two processes compute with it is in test_fusion.py, through `fit`.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from core.encoders.batch_norm import SyncedBatchNorm2d, rows_seen, sync_batch_norms


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, eps=1e-3, momentum=0.3), nn.Sequential(nn.BatchNorm2d(4))
    )


def test_one_process_has_the_numbers_and_names_of_torch() -> None:
    plain = network()
    synced = copy.deepcopy(plain)
    assert sync_batch_norms(synced) == 2
    assert sync_batch_norms(synced) == 0  # they are already
    assert isinstance(synced[1], SyncedBatchNorm2d)
    assert isinstance(synced[2][0], SyncedBatchNorm2d)
    for training in (True, False):
        x = torch.randn(5, 3, 2, 2)
        assert torch.equal(plain.train(training)(x), synced.train(training)(x))
    assert list(plain.state_dict()) == list(synced.state_dict())
    assert all(torch.equal(value, synced.state_dict()[name]) for name, value in plain.state_dict().items())
    assert rows_seen(synced[1].train(), 3, device=torch.device("cpu")) == 3


def test_weights_are_the_layers_own() -> None:
    model = network()
    weight, mean = model[1].weight, model[1].running_mean
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    sync_batch_norms(model.eval())
    assert model[1].weight is weight
    assert model[1].running_mean is mean
    assert not model[1].training
    assert model[1].weight.device.type == "cpu"
    assert any(p is model[1].weight for group in optimizer.param_groups for p in group["params"])


@pytest.mark.parametrize("options", [{"affine": False}, {"track_running_stats": False}, {"momentum": None}])
def test_layers_without_weights_or_statistics_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="0: only batch norms with weights"):
        sync_batch_norms(nn.Sequential(nn.BatchNorm2d(4, **options)))  # type: ignore[arg-type]

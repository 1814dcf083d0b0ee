"""Fusion against `transformers` bit for bit; one long clip, none, and two processes with any of them."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import ClapAudioModel

from core.encoders.batch_norm import sync_batch_norms
from core.encoders.clap import Clap, audio_config, build_clap
from core.encoders.fusion import FusedPatches, Fusion, make_fusion_trainable
from core.losses.contrastive import info_nce
from core.train.loop import fit
from core.train.optimisation import TrainingOptions
from tests.small_clap import AUDIO, FRAMES, TEXT, perturb
from tests.two_ranks import spawn

WORDS = replace(TEXT, num_layers=1, dropout_rate=0.0)
ROWS = 4  # of a process
# which of two processes' 8 clips are long
CASES = ("", "0", "6", "04", "0123", "014", "01234567")


def prepared(model: Any) -> Any:
    """Every weight and statistic a value of its own, and no dropout."""
    perturb(model)
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return model


@pytest.fixture
def pair() -> tuple[ClapAudioModel, ClapAudioModel]:
    """The tower of `transformers`, and ours with the same weights."""
    torch.manual_seed(0)
    theirs = prepared(ClapAudioModel(audio_config(AUDIO)))
    return theirs, make_fusion_trainable(copy.deepcopy(theirs))


def marks(long: str, rows: int = ROWS) -> Tensor:
    return torch.tensor([[str(row) in long] for row in range(rows)])


def step(model: nn.Module, long: str) -> Tensor:
    """Pooled output, with gradients in the parameters."""
    features = torch.randn(ROWS, 4, FRAMES, 16, generator=torch.Generator().manual_seed(1))
    pooled = model(input_features=features, is_longer=marks(long)).pooler_output
    (pooled * torch.linspace(-1, 1, pooled.numel()).view_as(pooled)).sum().backward()
    return pooled.detach()


def same(ours: nn.Module, theirs: nn.Module, *, apart: tuple[str, ...] = ()) -> None:
    """Weights and statistics are equal to the bit, gradients but for the order of sums."""
    wanted = theirs.state_dict()
    assert list(ours.state_dict()) == list(wanted)
    for name, value in ours.state_dict().items():
        assert torch.equal(value, wanted[name]) or name.endswith(apart), name
    other = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None, name
        grad = other[name].grad
        if grad is not None:
            torch.testing.assert_close(parameter.grad, grad, rtol=1e-5, atol=1e-6)
        else:
            assert not parameter.grad.any(), name


@pytest.mark.parametrize("long", ["01", "13", "0123"])
def test_with_long_clips_training_is_that_of_transformers(
    pair: tuple[ClapAudioModel, ClapAudioModel], long: str
) -> None:
    theirs, ours = pair
    assert isinstance(ours.audio_encoder.patch_embed, FusedPatches)
    assert torch.equal(step(ours.train(), long), step(theirs.train(), long))
    same(ours, theirs)


@pytest.mark.parametrize("long", ["", "2", "013"])
def test_evaluation_is_that_of_transformers(pair: tuple[ClapAudioModel, ClapAudioModel], long: str) -> None:
    theirs, ours = pair
    features = torch.randn(ROWS, 4, FRAMES, 16)
    with torch.no_grad():
        found, wanted = (
            model.eval()(input_features=features, is_longer=marks(long)).pooler_output
            for model in (ours, theirs)
        )
    assert torch.equal(found, wanted)


def test_without_long_clips_the_layers_get_a_gradient_of_zero_and_keep_their_statistics(
    pair: tuple[ClapAudioModel, ClapAudioModel],
) -> None:
    theirs, ours = pair
    assert torch.equal(step(ours.train(), ""), step(theirs.train(), ""))
    lacking = [name for name, p in theirs.named_parameters() if p.grad is None]
    assert len(lacking) == 18  # why several processes could not train it
    assert all("fusion_model" in name or "mel_conv2d" in name for name in lacking)
    # the count of batches alone goes on, which nothing reads where there is a momentum
    norms = ("local_att.1", "local_att.4", "global_att.2", "global_att.5")
    same(ours, theirs, apart=tuple(f"fusion_model.{norm}.num_batches_tracked" for norm in norms))


def released(block: nn.Module, x: Tensor, residual: Tensor) -> Tensor:
    """Attentional fusion with the guard for one row, as LAION-CLAP's release has it."""
    single = len(x) == 1
    both = x + residual
    if single:
        both = torch.cat([both, both], dim=0)
    weight = torch.sigmoid(block.local_att(both) + block.global_att(both))
    out = 2 * x * weight + 2 * residual * (1 - weight)
    return out[0].unsqueeze(0) if single else out


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_one_long_clip_is_fused_as_in_the_release(
    pair: tuple[ClapAudioModel, ClapAudioModel], rows: int
) -> None:
    block = pair[0].audio_encoder.patch_embed.fusion_model.train()
    ours = Fusion(copy.deepcopy(block))
    x, residual = torch.randn(2, rows, 8, 8, 8)
    if rows == 1:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            block(x, residual)
        block.load_state_dict(ours.state_dict())  # the local statistics were already updated
    inputs = [[each.clone().requires_grad_() for each in (x, residual)] for _ in range(2)]
    found, wanted = ours(*inputs[0]), released(block, *inputs[1])
    assert torch.equal(found, wanted)
    for result in (found, wanted):
        (result * torch.linspace(-1, 1, result.numel()).view_as(result)).sum().backward()
    same(ours, block)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(*inputs))


def test_a_single_long_clip_in_a_batch_trains(pair: tuple[ClapAudioModel, ClapAudioModel]) -> None:
    theirs, ours = pair
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        step(theirs.train(), "2")
    pooled = step(ours.train(), "2")
    assert pooled.isfinite().all()
    assert ours.audio_encoder.patch_embed.mel_conv2d.weight.grad.any()


def test_a_long_clip_without_crops_is_refused(pair: tuple[ClapAudioModel, ClapAudioModel]) -> None:
    ours = pair[1].train()
    alone = torch.randn(ROWS, 1, FRAMES, 16)
    assert ours(input_features=alone, is_longer=marks("")).pooler_output.isfinite().all()
    with pytest.raises(ValueError, match="1 clips are marked as longer but have 1 channels"):
        ours(input_features=alone, is_longer=marks("1"))


def test_a_tower_without_fusion_stays_the_class_of_transformers() -> None:
    torch.manual_seed(0)
    plain = replace(AUDIO, enable_fusion=False)
    theirs = ClapAudioModel(audio_config(plain))
    patches = theirs.audio_encoder.patch_embed
    assert make_fusion_trainable(theirs).audio_encoder.patch_embed is patches


# --- several processes


def clap(*, synced: bool) -> Clap:
    torch.manual_seed(3)
    model: Clap = prepared(build_clap(audio=AUDIO, text=WORDS, joint_dim=8))
    if synced:
        assert sync_batch_norms(model) == 5
    return model.train()


def batch(long: str, rows: slice) -> dict[str, Any]:
    """Rows of a batch of 8."""
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(2 * ROWS, 4, FRAMES, 16, generator=generator)
    ids = torch.randint(2, 40, (2 * ROWS, 7), generator=generator)
    whole = (features, ids, torch.ones_like(ids), marks(long, 2 * ROWS))
    return {"ids": [str(row) for row in range(2 * ROWS)][rows], "inputs": [each[rows] for each in whole]}


def contrast(model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
    audio, text, scale = model(*batch["inputs"])
    return {"loss": info_nce(audio, text, logit_scale=scale)}


def fit_once(folder: Path, long: str, *, synced: bool, rank: int) -> dict[str, Tensor]:
    """Gradients and statistics of one step of `fit`: Adam's first moment is a tenth of the gradient."""
    model = clap(synced=synced)
    names = [name for name, _ in model.named_parameters()]

    def batches(_: int) -> Iterator[dict[str, Any]]:
        return itertools.repeat(batch(long, slice(ROWS * rank, ROWS * (rank + 1))))

    options = TrainingOptions(steps=1, learning_rate=1e-9, optimizer="adam")
    fit(model, loss=contrast, batches=batches, options=options, folder=folder, progress=False)
    stored = torch.load(folder / "step_00000001" / "optimizer.pt", weights_only=True)["optimizer"]["state"]
    gradients = {name: stored[place]["exp_avg"] / 0.1 for place, name in enumerate(names)}
    return gradients | {name: x for name, x in model.named_buffers() if "running" in name}


def train_all(rank: int, folder: Path) -> None:
    for synced, long in itertools.product((False, True), CASES):
        name = f"{long}-{synced}"
        made = fit_once(folder / name, long, synced=synced, rank=rank)
        torch.save(made, folder / f"{name}-{rank}.pt")


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two processes that train a step of each case."""
    folder = tmp_path_factory.mktemp("fusion")
    spawn(train_all, folder)
    return folder


def reference(long: str, *, synced: bool) -> dict[str, Tensor]:
    """One process: on the whole batch, or each half normalised by itself and the gradients of one loss."""
    halves = [slice(None)] if synced else [slice(0, ROWS), slice(ROWS, 2 * ROWS)]
    models = [clap(synced=False) for _ in halves]
    made = [model(*batch(long, half)["inputs"]) for model, half in zip(models, halves, strict=True)]
    audio, text = (torch.cat([each[place] for each in made]) for place in (0, 1))
    info_nce(audio, text, logit_scale=made[0][2]).backward()
    found: dict[str, Tensor] = {}
    for name, parameter in models[0].named_parameters():
        grads = [dict(model.named_parameters())[name].grad for model in models]
        found[name] = sum((g for g in grads if g is not None), torch.zeros_like(parameter))
    buffers = [dict(model.named_buffers()) for model in models]
    names = [name for name in buffers[0] if "running" in name]
    return found | {name: torch.stack([each[name] for each in buffers]).mean(dim=0) for name in names}


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("synced", [False, True])
@pytest.mark.parametrize("long", CASES)
def test_two_processes_train_as_one(launched: Path, long: str, synced: bool, rank: int) -> None:
    found = torch.load(launched / f"{long}-{synced}-{rank}.pt", weights_only=True)
    wanted = reference(long, synced=synced)
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert torch.allclose(found[name], value, rtol=1e-4, atol=1e-5), name
    fusion = [name for name in wanted if "fusion_model" in name and "running" not in name]
    learns = ("global_att.5.bias", "local_att.4.bias")
    assert all(found[name].any() == bool(long) for name in fusion if name.endswith(learns))
    weights = load_file(launched / f"{long}-{synced}" / "step_00000001" / "model.safetensors")
    assert set(weights) <= set(clap(synced=False).state_dict())

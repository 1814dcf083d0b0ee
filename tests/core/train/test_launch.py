"""What accelerate is asked for in vain is told before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from core.train.launch import check_launch
from core.train.loop import fit
from core.train.optimisation import TrainingError, TrainingOptions

OPTIONS = TrainingOptions(steps=1, learning_rate=0.1, mixed_precision="bf16", accumulation=4)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        # what `accelerate launch` says where nobody asked for anything
        {
            "ACCELERATE_MIXED_PRECISION": "no",
            "ACCELERATE_DYNAMO_BACKEND": "NO",
            "ACCELERATE_DYNAMO_MODE": "default",
            "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "1",
            "ACCELERATE_USE_CPU": "true",
            "ACCELERATE_USE_FSDP": "false",
        },
        {"ACCELERATE_MIXED_PRECISION": "bf16", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"},
    ],
    ids=["nothing", "defaults", "the same"],
)
def test_what_agrees_passes(environment: dict[str, str]) -> None:
    check_launch(OPTIONS, environment)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "ACCELERATE_USE_FSDP",
            "true",
            r"asked for FSDP .*each holds the whole model.* gradient_checkpointing",
        ),
        ("ACCELERATE_USE_DEEPSPEED", "True", "asked for DeepSpeed"),
        ("ACCELERATE_USE_MEGATRON_LM", "1", "asked for Megatron-LM"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "true", "asked for a parallelism configuration"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", r"compile the model \(inductor\).*--dynamo_backend no"),
        (
            "ACCELERATE_MIXED_PRECISION",
            "fp16",
            "mixed_precision fp16 .* options say bf16: set mixed_precision",
        ),
        ("ACCELERATE_MIXED_PRECISION", "fp8", "mixed_precision fp8"),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "2", "accumulation 2 .* options say 4: set accumulation"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv(name, value)

    def unwanted(*_: Any) -> Any:
        raise AssertionError("trained")

    with pytest.raises(TrainingError, match=message):
        fit(nn.Linear(2, 2), loss=unwanted, batches=unwanted, options=OPTIONS, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()

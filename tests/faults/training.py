"""Faults of stages that train."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.tiny import Forks

if TYPE_CHECKING:
    from tests.faults.table import Scene

RESULTS = ["identity.json", "model.safetensors"]
EVERY = 5  # one moment in five is tried
_whole: list[tuple[bytes, int]] = []


def whole(scene: Scene) -> tuple[bytes, int]:
    """The weights of a run that nothing happened to, and how many file operations it took."""
    if not _whole:
        end = scene.forks.run(scene.folder / "whole")
        assert end.code == 0, end
        _whole.append(((scene.folder / "whole" / "model.safetensors").read_bytes(), end.operations))
    return _whole[0]


def check_end(scene: Scene, folder: Path) -> None:
    """The same command ends with the same weights, and nothing else is left."""
    end = scene.forks.run(folder)
    assert end.code == 0, end
    assert (folder / "model.safetensors").read_bytes() == whole(scene)[0], "other weights"
    assert sorted(path.name for path in folder.rglob("*")) == RESULTS
    assert scene.forks.run(folder).said == "complete\n"


def kills(scene: Scene) -> int:
    moments = range(1, whole(scene)[1] + 1, EVERY)
    for moment in moments:
        folder = scene.folder / f"at{moment}"
        assert scene.forks.run(folder, kill_at=moment).code == -signal.SIGKILL
        check_end(scene, folder)
    return len(moments)


def kills_at_the_end(scene: Scene) -> int:
    last = whole(scene)[1]
    moments = range(last - 19, last + 1)
    for moment in moments:
        folder = scene.folder / f"at{moment}"
        assert scene.forks.run(folder, kill_at=moment).code == -signal.SIGKILL
        check_end(scene, folder)
    return len(moments)


def second_kill(scene: Scene) -> int:
    for first, second in ((30, 5), (50, 20), (70, 33)):
        folder = scene.folder / f"at{first}"
        for moment in (first, second):
            assert scene.forks.run(folder, kill_at=moment).code == -signal.SIGKILL
        check_end(scene, folder)
    return 6


def terminated(scene: Scene) -> int:
    for step in (0, 3, 5):
        folder = scene.folder / f"at{step}"
        end = scene.forks.run(folder, signal_at=step, number=signal.SIGTERM)
        assert (end.code, list(folder.glob("run/step_*")) != []) == (143, True), end
        check_end(scene, folder)
    return 3


def interrupted(scene: Scene) -> int:
    folder = scene.folder / "seed0"
    end = scene.forks.run(folder, signal_at=3, number=signal.SIGINT)
    assert (end.code, "the same command resumes" in end.said) == (130, True), end
    check_end(scene, folder)
    return 1


def background(scene: Scene) -> int:
    folder = scene.folder / "seed0"
    end = scene.forks.run(folder, signal_at=3, number=signal.SIGINT, ignore_interrupts=True)
    assert end.code == 0, end
    check_end(scene, folder)
    return 1


def made_again(scene: Scene, change: str) -> int:
    folder = scene.folder / "seed0"
    assert scene.forks.run(folder).code == 0
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    weights.unlink()
    if change != "gone":
        content[-1] ^= 1
        weights.write_bytes(content if change == "altered" else content[:100])
    end = scene.forks.run(folder)
    assert (end.code, "finished files are not as they were written: model.safetensors" in end.said) == (
        0,
        True,
    )
    check_end(scene, folder)
    return 1


def deleted(scene: Scene) -> int:
    return made_again(scene, "gone")


def altered(scene: Scene) -> int:
    return made_again(scene, "altered")


def cut(scene: Scene) -> int:
    return made_again(scene, "cut")


def bad_marks(scene: Scene) -> int:
    folder = scene.folder / "seed0"
    marks = (
        b"",
        b'{"identity": "tiny", "fini',
        b"\xff\xfe",
        b"[]",
        b'{"identity": "tiny", "finished": true}',
    )
    for mark in marks:
        assert scene.forks.run(folder).code == 0
        (folder / "identity.json").write_bytes(mark)
        check_end(scene, folder)
    return len(marks)


def stopped(scene: Scene) -> Path:
    """A run that was stopped with two checkpoints."""
    folder = scene.folder / "seed0"
    assert scene.forks.run(folder, signal_at=4).code == 143
    assert len(list(folder.glob("run/step_*"))) == 2
    return folder


def bad_checkpoint(scene: Scene) -> int:
    folder = stopped(scene)
    newest = max(folder.glob("run/step_*"))
    (newest / "optimizer.pt").write_bytes(b"")
    end = scene.forks.run(folder)
    assert (end.code, f"{newest.name} is damaged" in end.said) == (0, True), end
    check_end(scene, folder)
    return 1


def all_bad(scene: Scene) -> int:
    folder = stopped(scene)
    for path in folder.glob("run/step_*/model.safetensors"):
        path.write_bytes(b"")
    before = sorted(folder.rglob("*"))
    end = scene.forks.run(folder)
    assert (end.code, str(folder) in end.said, "damaged" in end.said) == (2, True, True), end
    assert sorted(folder.rglob("*")) == before
    return 2


def bad_history(scene: Scene) -> int:
    junk = (
        b'{"kind": "train", "st',
        b"\xff\xff\n",
        b"[1]\n{}\n",
        b'{"kind": "x", "step": 1}\n{"kind": "train"}\n',
    )
    for content in junk:
        folder = stopped(scene)
        with (folder / "run" / "history.jsonl").open("ab") as file:
            file.write(content)
        check_end(scene, folder)
        for path in folder.iterdir():
            path.unlink()
    return len(junk)


def held(scene: Scene, other: Forks, folder: Path) -> threading.Thread:
    """Another run in `folder`, which waits in its middle until the file `go` is there."""
    (scene.folder / "go").unlink(missing_ok=True)
    (scene.folder / "waiting").unlink(missing_ok=True)
    thread = threading.Thread(target=other.run, args=(folder,), kwargs={"wait_at": 40})
    thread.start()
    deadline = time.monotonic() + 60
    while not (scene.folder / "waiting").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return thread


def two(scene: Scene) -> int:
    folder, other = scene.folder / "seed0", Forks()
    try:
        first = held(scene, other, folder)
        pid = int((folder / ".lock").read_text().split()[1])
        end = scene.forks.run(folder)
        assert (end.code, f"(process {pid})" in end.said) == (2, True), end
        (scene.folder / "go").touch()
        first.join(60)
        check_end(scene, folder)
        first = held(scene, other, scene.folder / "seed1")
        os.kill(int((scene.folder / "seed1" / ".lock").read_text().split()[1]), signal.SIGKILL)
        first.join(60)
        check_end(scene, scene.folder / "seed1")
    finally:
        other.close()
    return 2


def released(scene: Scene) -> int:
    folder = scene.folder / "seed0"
    assert scene.forks.run(folder, kill_at=20).code == -signal.SIGKILL
    assert (folder / ".lock").is_file(), "the file stays, the lock does not"
    check_end(scene, folder)
    return 1


def full_disk(scene: Scene) -> int:
    for size in (300, 900):  # bytes that a file may have: too few for a checkpoint
        folder = scene.folder / f"of{size}"
        end = scene.forks.run(folder, file_bytes=size)
        assert (end.code, "run the same command again" in end.said) == (2, True), end
        assert not list(folder.rglob("step_*")), "half a checkpoint"
        check_end(scene, folder)
    return 2


def no_folder(scene: Scene) -> int:
    place = scene.folder / "seed0"
    place.write_text("a file")
    end = scene.forks.run(place)
    assert (end.code, str(place) in end.said) == (2, True), end
    assert place.read_text() == "a file"
    return 1


def other_base(scene: Scene) -> int:
    folder = stopped(scene)
    end = scene.forks.run(folder, frozen=0.25)
    assert (end.code, "parameter 0.weight" in end.said) == (2, True), end
    check_end(scene, folder)
    return 1


def temporaries(scene: Scene) -> int:
    folder = stopped(scene)
    dead = 2**22 + 1  # no process has this number
    (folder / f".model.safetensors.{dead}.tmp").write_bytes(b"half")
    (folder / "run" / f".step_00000002.{dead}.tmp").mkdir()
    (folder / "run" / "step_00000009.tmp").mkdir()
    check_end(scene, folder)
    assert json.loads((folder / "identity.json").read_text())["finished"] is True
    return 3

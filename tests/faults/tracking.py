"""Faults of the tracking server, of its database, and of what waits to be sent."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from core.run import mlflow_store, outbox, tracking

if TYPE_CHECKING:
    from tests.faults.table import Scene

START, END = 0.5, 6.0  # seconds that tracking may hold a stage at its start and at its end


def switch_on(scene: Scene, uri: str | None) -> None:
    scene.patch.delenv("RESOUND_TRACKING", raising=False)
    scene.patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    scene.patch.setattr(mlflow_store, "SERVER_TIMEOUT", 0.5)
    if uri is not None:
        scene.patch.setenv("MLFLOW_TRACKING_URI", uri)


def goes_on(scene: Scene, uri: str | None) -> int:
    """Log a run; it starts at once, ends soon, and all of it waits to be sent."""
    switch_on(scene, uri)
    began = time.monotonic()
    tracker = tracking.open_run(root=scene.folder, experiment="x", name="y", params={"a": 1}, system_every=0)
    assert time.monotonic() - began < START
    for step in range(100):
        tracker.log_metrics({"loss": 1.0}, step)
    began = time.monotonic()
    tracker.end(timeout=2.0)
    assert time.monotonic() - began < END
    lines = (scene.folder / "mlflow-pending.jsonl").read_text().splitlines()
    waiting = [json.loads(line) for line in lines]
    assert {each["op"] for each in waiting} == {"start", "tags", "params", "metrics", "end"}
    steps = [metric[3] for each in waiting if each["op"] == "metrics" for metric in each["metrics"]]
    assert sorted(steps) == list(range(100))
    said = scene.said.readouterr().err
    assert said.count("python -m core.run.tracking resend") >= 1
    assert "Traceback" not in said
    return 1


def with_server(scene: Scene, talk: Callable[[socket.socket], None]) -> int:
    """`goes_on` with a server that does `talk` with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        return goes_on(scene, f"http://127.0.0.1:{listening.getsockname()[1]}")


def half_open(scene: Scene) -> int:
    kept: list[socket.socket] = []
    return with_server(scene, kept.append)


def dripping(scene: Scene) -> int:
    def talk(connection: socket.socket) -> None:
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            for number in range(200):
                connection.sendall(b"X-%d: drip\r\n" % number)
                time.sleep(0.1)
        except OSError:
            pass

    return with_server(scene, talk)


def away(scene: Scene) -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    return goes_on(scene, f"http://127.0.0.1:{port}")


def locked_database(scene: Scene) -> int:
    other = sqlite3.connect(scene.folder / "mlflow.db")
    other.execute("CREATE TABLE x (y)")
    other.execute("BEGIN EXCLUSIVE")
    try:
        return goes_on(scene, None)
    finally:
        other.close()


def damaged_database(scene: Scene) -> int:
    (scene.folder / "mlflow.db").write_bytes(b"no database at all" * 100)
    return goes_on(scene, None)


class Client:
    """Takes what MLflow's client takes, and refuses metrics that are called "refused"."""

    def __init__(self) -> None:
        self.metrics: list[str] = []
        self.artifacts: list[str] = []
        self.status = ""

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="1")

    def search_experiments(self) -> list[Any]:
        return [SimpleNamespace(experiment_id="1")]

    def search_runs(self, *_: Any, **__: Any) -> list[Any]:
        return []

    def create_run(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(info=SimpleNamespace(run_id="r", experiment_id="1"))

    def log_batch(self, run: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        from mlflow.exceptions import MlflowException

        if any(metric.key == "refused" for metric in metrics):
            raise MlflowException("Invalid value", error_code=1000)  # INVALID_PARAMETER_VALUE
        self.metrics += [metric.key for metric in metrics]

    def log_artifact(self, run: str, path: str, folder: str | None) -> None:
        self.artifacts.append(Path(path).read_text())

    def set_terminated(self, run: str, status: str, when: int) -> None:
        self.status = status


def connected(scene: Scene) -> Client:
    switch_on(scene, None)
    client = Client()
    scene.patch.setattr(mlflow_store.Store, "_connect", lambda self: client)
    return client


def operation(op: str, **values: Any) -> bytes:
    return json.dumps({"op": op, "run": "a", **values}).encode() + b"\n"


STARTED = operation("start", experiment="x", name="y", time=1, tags={})
LOGGED = operation("metrics", metrics=[["loss", 1.0, 1, 0]])
ENDED = operation("end", status="FINISHED", time=2)


def torn(scene: Scene) -> int:
    client = connected(scene)
    bad = (
        b'{"op": "metr',
        b"\xff\xfe\n",
        b"\0\0\0\n",
        b"[1]\n",
        b'{"op": "metrics"}\n',
        b"[" * 10**5 + b"\n",
    )
    pending = scene.folder / "mlflow-pending.jsonl"
    for junk in bad:
        pending.write_bytes(STARTED + LOGGED + junk)
        outbox.append_pending(pending, [json.loads(ENDED)])  # as a run that goes on does
        client.metrics, client.status = [], ""
        left = tracking.resend(scene.folder)[1]
        assert (client.metrics, client.status, left) == (["loss"], "FINISHED", 0), junk
        assert not pending.exists()
    return len(bad)


def foreign(scene: Scene) -> int:
    client = connected(scene)
    kept = scene.folder / "mine" / "thesis.txt"
    kept.parent.mkdir()
    kept.write_text("years of work")
    inside = scene.folder / "mlflow-pending" / "artifact-1"
    inside.mkdir(parents=True)
    (inside / "table.md").write_text("ours")
    (inside.with_name("artifact-2")).symlink_to(kept.parent, target_is_directory=True)
    paths = (
        str(kept),
        "../mine/thesis.txt",
        "artifact-2/thesis.txt",
        f"artifact-1/../../{kept.parent.name}/thesis.txt",
        "/etc/hostname",
        "artifact-1",
        "",
    )
    lines = [operation("artifact", path=path, folder="") for path in (*paths, "artifact-1/table.md")]
    (scene.folder / "mlflow-pending.jsonl").write_bytes(STARTED + b"".join(lines))
    assert tracking.resend(scene.folder)[1] == 0
    assert client.artifacts == ["ours"]
    assert kept.read_text() == "years of work"
    assert not inside.exists(), "what was sent is not kept"
    return len(paths)


def refused(scene: Scene) -> int:
    client = connected(scene)
    names = [f"m{number}" for number in range(7)]
    tracker = tracking.open_run(root=scene.folder, experiment="x", name="y", system_every=0)
    tracker.log_metrics(dict.fromkeys([*names[:3], "refused", *names[3:]], 1.0))
    tracker.end()
    assert client.metrics == names
    assert client.status == "FINISHED"
    assert "left out, since MLflow does not take it: metrics [['refused'" in scene.said.readouterr().err
    assert not (scene.folder / "mlflow-pending.jsonl").exists()
    return 1


def no_room(scene: Scene) -> int:
    client = connected(scene)
    table = scene.folder / "table.md"
    table.write_text("a table")

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for owner, name in ((shutil, "copyfile"), (tempfile, "mkdtemp")):
        with scene.patch.context() as patch:
            patch.setattr(owner, name, full)
            tracker = tracking.open_run(root=scene.folder, experiment="x", name="y", system_every=0)
            tracker.log_artifact(table)
            tracker.log_figure(SimpleNamespace(savefig=full), "plots/a.png")
            tracker.log_artifact(scene.folder / "absent")
            tracker.log_metrics({"loss": 1.0})
            tracker.end()
        said = scene.said.readouterr().err
        assert "table.md is not attached: [Errno 28] No space left on device" in said
        assert "absent is not attached" in said
    assert (client.metrics, client.artifacts) == (["loss", "loss"], [])
    assert not any((scene.folder / "mlflow-pending").glob("artifact-*"))
    return 2

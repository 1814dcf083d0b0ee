"""core.run.tracking against a real MLflow server on loopback, a dead one, a stuck one, SQLite, and a
browser."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from core.run import outbox, tracking
from core.run.mlflow_store import Store
from core.run.outbox import Operation, Outbox, merge_metrics
from core.run.provenance import data_hash
from core.run.tracking import open_run, resend
from core.run.tracking_names import Names, fit_name

ROOT = Path(__file__).resolve().parents[3]


class Server:
    """`mlflow server` with SQLite in a folder, on a free port that it keeps when started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [
            "-m",
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--workers",
            "1",
        ]
        command += ["--backend-store-uri", f"sqlite:///{self.folder / 'server.db'}"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
        environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # helpers that a test does not need
        with open(self.folder / "server.log", "a") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 90
        while True:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=2):
                    return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"mlflow server did not start:\n{(self.folder / 'server.log').read_text()}")
                time.sleep(0.1)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow SQLite file without runs: making one takes seconds, copying it nothing."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    client_of(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracking switched on with no server named, whatever the environment of the tests says."""
    monkeypatch.delenv("RESOUND_TRACKING", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def client_of(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def runs(uri: str, experiment: str) -> dict[str, Any]:
    client = client_of(uri)
    found = client.get_experiment_by_name(experiment)
    return {run.info.run_name: run for run in client.search_runs([found.experiment_id])} if found else {}


def pending(root: Path) -> list[dict[str, Any]]:
    path = root / "mlflow-pending.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.usefixtures("on")
def test_a_run_is_read_back_whole(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    params = {f"layer.{i}": i for i in range(150)} | {"long": "x" * 9000, "odd name!": None}
    tracker = open_run(
        root=tmp_path,
        experiment="whole",
        name="train@vanilla",
        params=params,
        tags={"profile": "mini", "git.dirty": "false"},
        system_every=0.2,
    )
    for step in range(2500):
        tracker.log_metrics({"loss": 1 / (step + 1), "rate": 2.0}, step)
    tracker.log_metrics({"bad": float("nan"), "R@1 (t2a)": 3.0}, 1)
    table = tmp_path / "tables" / "benchmark.md"
    table.parent.mkdir()
    table.write_text("first")
    tracker.log_artifact(table.parent, "paper")
    table.write_text("later")  # what is attached is the file as it was
    figure = Figure()
    figure.subplots().plot([1, 2])
    tracker.log_figure(figure, "plots/shuffle.png")
    with tracker.child("seed 0", params={"seed": 0}) as child:
        child.log_metrics({"loss": 0.5}, 9)
    with pytest.raises(RuntimeError), tracker.child("seed 1"):
        raise RuntimeError
    tracker.end()

    client, found = client_of(server.uri), runs(server.uri, "whole")
    run = found["train@vanilla"]
    key = run.info.run_id
    assert run.info.status == "FINISHED"
    assert run.data.params["layer.149"] == "149"
    assert run.data.params["odd name_"] == "None"
    assert len(run.data.params["long"]) == 6000
    assert run.data.params["long"].endswith("[cut: 9000 characters]")
    assert run.data.tags["profile"] == "mini"
    history = client.get_metric_history(key, "loss")
    assert sorted((each.step, each.value) for each in history) == [(i, 1 / (i + 1)) for i in range(2500)]
    assert run.data.metrics["R_1 _t2a_"] == 3.0
    assert run.data.metrics["system/process_memory_usage_megabytes"] > 1
    assert [each.path for each in client.list_artifacts(key, "plots")] == ["plots/shuffle.png"]
    local = client.download_artifacts(key, "paper/tables/benchmark.md", str(tmp_path))
    assert Path(local).read_text() == "first"
    assert found["seed 0"].data.tags["mlflow.parentRunId"] == key
    assert (found["seed 0"].info.status, found["seed 1"].info.status) == ("FINISHED", "FAILED")
    assert pending(tmp_path) == []
    assert list((tmp_path / "mlflow-pending").iterdir()) == []


@pytest.mark.usefixtures("on")
def test_a_page_in_a_browser_shows_the_run(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium here: apt-get install chromium")
    numpy = pytest.importorskip("numpy")
    from matplotlib.image import imread

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    tracker = open_run(root=tmp_path, experiment="browser", name="train@shown-in-browser")
    for step in range(20):
        tracker.log_metrics({"order_group": float(step)}, step)
    tracker.end()
    run = runs(server.uri, "browser")["train@shown-in-browser"]
    page = f"{server.uri}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--hide-scrollbars",
    ]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    flags += [f"--user-data-dir={tmp_path / 'browser'}", "--window-size=1400,1000", "--disable-dev-shm-usage"]
    picture = tmp_path / "page.png"
    # One start for both: the virtual clock stands still while requests are under way.
    flags += ["--virtual-time-budget=30000", "--dump-dom", f"--screenshot={picture}"]
    done = subprocess.run([chromium, *flags, page], capture_output=True, text=True, timeout=120)
    assert "train@shown-in-browser" in done.stdout, done.stderr[-2000:]
    assert "order_group" in done.stdout
    assert numpy.asarray(imread(picture))[..., :3].std() > 0.02  # a blank page is 0
    kept = os.environ.get("RESOUND_SCREENSHOTS")
    if kept:
        shutil.copy(picture, Path(kept) / "mlflow.png")


@pytest.mark.usefixtures("on")
def test_server_killed_in_mid_run(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    tracker = open_run(root=tmp_path, experiment="killed", name="train", system_every=0)
    tracker.log_metrics({"loss": 3.0}, 0)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        run = runs(server.uri, "killed").get("train")
        if run is not None and "loss" in run.data.metrics:
            break
        time.sleep(0.1)
    server.kill()
    try:
        for step in range(1, 3000):
            tracker.log_metrics({"loss": 3.0 - step}, step)
        artifact = tmp_path / "table.md"
        artifact.write_text("a table")
        tracker.log_artifact(artifact)
        with tracker.child("seed 0") as child:
            child.log_metrics({"loss": 1.0}, 1)
        tracker.end()
        artifact.unlink()
    finally:
        server.start()
    said = capsys.readouterr().err
    assert said.count("the run goes on") == 1
    assert "python -m core.run.tracking resend" in said
    assert runs(server.uri, "killed")["train"].info.status == "RUNNING"
    assert len(pending(tmp_path)) >= 5

    sent, left = resend(tmp_path)
    assert (sent >= 5, left) == (True, 0)
    found = runs(server.uri, "killed")
    assert set(found) == {"train", "seed 0"}
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    client, key = client_of(server.uri), found["train"].info.run_id
    assert sorted(each.step for each in client.get_metric_history(key, "loss")) == list(range(3000))
    assert [each.path for each in client.list_artifacts(key)] == ["table.md"]
    assert found["seed 0"].data.tags["mlflow.parentRunId"] == key
    assert not (tmp_path / "mlflow-pending").exists()
    assert resend(tmp_path) == (0, 0)


@pytest.mark.usefixtures("on")
def test_server_dead_from_the_start_then_sent_to_the_local_file(
    tmp_path: Path,
    empty_database: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(empty_database, tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    tracker = open_run(root=tmp_path, experiment="compa", name="score", params={"a": 1}, system_every=0)
    tracker.log_metrics({"loss": 1.0}, 1)
    tracker.end("FAILED")
    assert capsys.readouterr().err.count("tracking:") == 1
    with open(tmp_path / "mlflow-pending.jsonl", "a") as file:
        file.write('{"op": "metr')  # a line that a kill cut short

    assert resend(tmp_path)[1] > 0  # still dead: nothing is lost
    count = len(pending(tmp_path))
    assert resend(tmp_path, uri=f"sqlite:///{tmp_path / 'mlflow.db'}") == (count, 0)
    run = runs(f"sqlite:///{tmp_path / 'mlflow.db'}", "compa")["score"]
    assert (run.info.status, run.data.metrics, run.data.params) == ("FAILED", {"loss": 1.0}, {"a": "1"})


@pytest.mark.usefixtures("on")
def test_no_password_is_said_or_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = "http://ann:hunter22@127.0.0.1:9"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    params = {"endpoint.url": address, "endpoint.extra.api_key": "hunter22", "long": "x" * 5990 + address}
    tracker = open_run(root=tmp_path, experiment="x", name="y", params=params, system_every=0)
    tracker.set_tags({"from": address})
    tracker.end(timeout=5)
    resend(tmp_path)
    said = capsys.readouterr().err
    assert "127.0.0.1:9" in said
    assert "hunter" not in said
    assert "hunter" not in (tmp_path / "mlflow-pending.jsonl").read_text()


@pytest.mark.parametrize("error", [ConnectionError, ValueError])
def test_what_the_environment_holds_for_a_server_is_not_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: type[Exception],
) -> None:
    def refuse(self: Store, operation: Operation) -> None:
        raise error("401: no user ann with the password hunter22 or the token t0ken-of-ann")

    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter22")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken-of-ann")
    monkeypatch.setattr(Store, "_deliver", refuse)
    operation = {"op": "end", "run": "a", "status": "FINISHED", "time": 0}
    (tmp_path / "mlflow-pending.jsonl").write_text(json.dumps(operation) + "\n")
    assert resend(tmp_path, uri="http://127.0.0.1:9") == (0, 1)
    said = capsys.readouterr().err
    assert "401: no user ann" in said
    assert "hunter" not in said
    assert "t0ken" not in said


@pytest.mark.usefixtures("on")
def test_two_processes_share_a_new_sqlite_file(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from core.run.tracking import open_run\n"
        "t = open_run(root=Path(sys.argv[1]), experiment='compa', name=sys.argv[2], system_every=0)\n"
        "for i in range(3000): t.log_metrics({'loss': float(i)}, i)\n"
        "t.end()\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), name], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        for name in ("a", "b")
    ]
    said = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert "INFO" not in "".join(said)  # how MLflow makes the tables of a new file
    found = runs(f"sqlite:///{tmp_path / 'mlflow.db'}", "compa")
    assert set(found) == {"a", "b"}
    assert all(run.data.metrics["loss"] == 2999 for run in found.values())
    assert all(run.info.artifact_uri.startswith(f"{tmp_path}/mlartifacts/") for run in found.values())
    assert pending(tmp_path) == []


def test_switched_off_does_nothing_and_imports_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from core.run.tracking import open_run\n"
        "t = open_run(root=Path(sys.argv[1]), experiment='compa', name='x', params={'a': 1})\n"
        "t.log_metrics({'loss': 1.0}, 1); t.log_artifact(Path('absent')); t.log_figure(None, 'a.png')\n"
        "with t.child('seed 0') as c: c.log_params({'b': 2})\n"
        "t.end(); print('mlflow' in sys.modules)\n"
    )
    environment = {**os.environ, "RESOUND_TRACKING": "off"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
    assert list(tmp_path.iterdir()) == []


def test_stuck_receiver_never_blocks_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(outbox, "QUEUE_LENGTH", 50)
    monkeypatch.setattr(outbox, "LINGER", 0.0)
    stuck, release = threading.Event(), threading.Event()

    def deliver(operation: outbox.Operation) -> None:
        stuck.set()
        release.wait(60)

    box = Outbox(deliver, pending=tmp_path / "mlflow-pending.jsonl", receiver="a server")
    box.put({"op": "tags", "run": "r", "number": 0})
    stuck.wait(10)
    for number in range(1, 200):
        box.put({"op": "tags", "run": "r", "number": number})  # would wait for ever if it waited at all
    box.close(timeout=0.1)
    release.set()
    assert sorted(each["number"] for each in pending(tmp_path)) == list(range(200))
    assert capsys.readouterr().err.count("a server is too slow") == 1


def test_pending_file_that_cannot_be_written_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def deliver(operation: outbox.Operation) -> None:
        raise ConnectionError("refused")

    box = Outbox(deliver, pending=tmp_path / "absent" / "p.jsonl", receiver="a server")
    for number in range(3):
        box.put({"op": "tags", "run": "r", "number": number})
    box.close(timeout=10)
    assert capsys.readouterr().err.count("logged values are lost") == 1


def test_neighbouring_metrics_are_joined_in_order_up_to_the_limit() -> None:
    def metric(run: str, i: int) -> outbox.Operation:
        return {"op": "metrics", "run": run, "metrics": [["loss", float(i), 0, i]]}

    operations = [metric("a", i) for i in range(1500)]
    operations += [{"op": "tags", "run": "a"}, metric("a", 1500), metric("b", 0)]
    merged = merge_metrics(operations)
    assert [len(each.get("metrics", [])) for each in merged] == [1000, 500, 0, 1, 1]
    assert [m[3] for each in merged[:2] for m in each["metrics"]] == list(range(1500))


def test_stage_run_is_tracked_with_its_tags_and_status(tmp_path: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path)
    folder = tmp_path / "projects" / "demo"
    (folder / "conf").mkdir(parents=True)
    (tmp_path / "projects" / "__init__.py").write_text("")
    (folder / "__init__.py").write_text("")
    (tmp_path / "params.yaml").write_text("profile: mini\n")
    (folder / "conf" / "mini.yaml").write_text(
        "work:\n  common: {seed: 3}\n  good: {}\n  bad: {fail: true}\n  stop: {stop: true}\n"
    )
    (folder / "work.py").write_text(
        "import os, signal\n"
        "from dataclasses import dataclass\n"
        "from core.run.stage import run\n"
        "@dataclass(frozen=True)\n"
        "class Config:\n"
        "    seed: int\n    fail: bool = False\n    stop: bool = False\n"
        "def work(config, *, context):\n"
        "    context.tracker.log_metrics({'loss': 2.0}, 4)\n"
        "    if config.fail: raise ZeroDivisionError\n"
        "    if config.stop: os.kill(os.getpid(), signal.SIGTERM)\n"
        "if __name__ == '__main__': run(work, Config)\n"
    )
    (folder / "dvc.yaml").write_text(
        "stages:\n  work:\n    wdir: ../..\n    matrix: {v: [good]}\n"
        "    cmd: python -m projects.demo.work ${item.v}\n    deps: [projects/demo/work.py, clips.csv]\n"
    )
    lock = "stages: {make: {cmd: make, outs: [{path: clips.csv, md5: XX}]}}\n"
    (tmp_path / "dvc.lock").write_text(lock.replace("XX", "0a"))
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "DVC_STAGE": "work@good"}
    environment.pop("RESOUND_TRACKING", None)
    environment.pop("MLFLOW_TRACKING_URI", None)
    codes = {}
    for variant in ("good", "bad", "stop"):
        command = [sys.executable, "-m", "projects.demo.work", variant]
        codes[variant] = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True
        ).returncode
    assert codes == {"good": 0, "bad": 1, "stop": 143}
    assert resend(tmp_path)[1] == 0  # a run that is stopped at once does not wait until MLflow is imported
    found = runs(f"sqlite:///{tmp_path / 'mlflow.db'}", "demo")
    assert {name: run.info.status for name, run in found.items()} == {
        "work@good": "FINISHED",
        "work@bad": "FAILED",
        "work@stop": "KILLED",
    }
    run = found["work@good"]
    assert run.data.params == {"seed": "3", "fail": "False", "stop": "False"}
    assert run.data.metrics["loss"] == 2.0
    assert {"wall_seconds", "peak_memory_gib", "system/cpu_utilization_percentage"} <= set(run.data.metrics)
    tags = run.data.tags
    assert (tags["profile"], tags["seed"], tags["device"], tags["dvc.stage"]) == (
        "mini",
        "3",
        "cpu",
        "work@good",
    )
    assert tags["git.commit"] == "unknown"
    assert len(tags["data.hash"]) == 16
    assert found["work@bad"].data.tags["data.hash"] == ""  # no stage of dvc.yaml is that variant
    assert data_hash(tmp_path, deps=["clips.csv"]) == tags["data.hash"]
    (tmp_path / "dvc.lock").write_text(lock.replace("XX", "0b"))
    assert data_hash(tmp_path, deps=["clips.csv"]) not in ("", tags["data.hash"])


def test_command_line_says_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "resend", lambda root, uri: (3, 1))
    assert tracking.main(["resend", "--to", "http://127.0.0.1:9"]) == 1
    assert capsys.readouterr().out == "3 operations delivered, 1 left\n"


# --- names, starts, places


@pytest.mark.parametrize(
    ("name", "fitted"),
    [
        ("loss", "loss"),
        ("/loss", "loss"),
        ("//train//loss/", "train/loss"),
        ("..", "__"),
        ("../loss", "__/loss"),
        ("..loss", "__loss"),
        ("a/./b", "a/_/b"),
        ("...", "___"),
        ("", "_"),
        ("/", "_"),
        ("R@1 (%)", "R_1 ___"),
        ("größe", "größe"),
        ("a\nb", "a_b"),
        ("x" * 249 + "/y", "x" * 249),
        ("x" * 248 + "/..y", "x" * 248 + "/_"),
        ("x" * 248 + "/.", "x" * 248 + "/_"),
        ("x" * 247 + "/a.bc", "x" * 247 + "/a"),
    ],
)
def test_names_are_made_fit(name: str, fitted: str) -> None:
    from mlflow.utils.validation import _validate_metric

    assert fit_name(name) == fitted
    _validate_metric(fitted, 1.0, 0, 0)


def test_names_that_would_become_one_are_told_apart() -> None:
    names = Names()
    assert [names.fit(name) for name in ("R@1 (%)", "R@1 [%]", "R@1 (%)", "R_1 ___", "a/b", "a//b")] == [
        "R_1 ___",
        "R_1 ____2",
        "R_1 ___",
        "R_1 ____3",
        "a/b",
        "a/b_2",
    ]
    long = [names.fit("x" * 300 + str(number)) for number in range(12)]
    assert len(set(long)) == 12
    assert max(map(len, long)) == 250


@pytest.mark.usefixtures("on")
def test_a_stage_starts_before_mlflow_is_imported(tmp_path: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path)
    code = (
        "import sys, time; from pathlib import Path; from core.run.tracking import open_run\n"
        "began = time.monotonic()\n"
        "t = open_run(root=Path(sys.argv[1]), experiment='x', name='y', params={'a': 1}, system_every=0)\n"
        "t.set_tags_later(lambda: time.sleep(1) or {'git.commit': 'abc'})\n"
        "print(time.monotonic() - began, 'mlflow' in sys.modules)\n"
        "t.end()\n"
    )
    run = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, imported = done.stdout.split()
    assert (float(seconds) < 0.5, imported) == (True, "False")
    found = runs(f"sqlite:///{tmp_path / 'mlflow.db'}", "x")["y"]
    assert (found.info.status, found.data.tags["git.commit"]) == ("FINISHED", "abc")


@pytest.mark.usefixtures("on")
def test_a_database_is_never_half_made(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(tracking_uri: str) -> Any:
        Path(tracking_uri.removeprefix("sqlite:///")).write_bytes(empty_database.read_bytes()[:4096])
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("mlflow.tracking.MlflowClient", dies)
        open_run(root=tmp_path, experiment="x", name="y", system_every=0).end()
    assert len(pending(tmp_path)) >= 2
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.usefixtures("on")
def test_a_folder_whose_name_means_something_in_an_address(tmp_path: Path, empty_database: Path) -> None:
    root = tmp_path / "what? 100%25 #1"
    root.mkdir()
    shutil.copy(empty_database, root)
    table = root / "table.md"
    table.write_text("a table")
    tracker = open_run(root=root, experiment="odd", name="score", system_every=0)
    tracker.log_metrics({"loss": 1.0})
    tracker.log_artifact(table)
    tracker.end()
    assert pending(root) == []
    shutil.copy(root / "mlflow.db", tmp_path / "copy.db")
    run = runs(f"sqlite:///{tmp_path / 'copy.db'}", "odd")["score"]
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"loss": 1.0})
    assert [path.read_text() for path in (root / "mlartifacts").rglob("table.md")] == ["a table"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", root.name]


@pytest.mark.usefixtures("on")
def test_no_password_is_sent_or_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:hunter22@127.0.0.1:9")
    params = {"endpoint.url": "https://me:hunter22@models.example/v1", "api_key": "hunter22", "batch": 3}
    tracker = open_run(root=tmp_path, experiment="x", name="y", params=params, system_every=0)
    tracker.end()
    assert "hunter22" not in capsys.readouterr().err + json.dumps(pending(tmp_path))
    assert {"batch": "3"}.items() <= pending(tmp_path)[2]["params"].items()


def test_stages_of_one_run_share_a_sender_and_import_no_mlflow(tmp_path: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    code = (
        "import sys; from pathlib import Path; from core.run.tracking import open_run\n"
        "t = open_run(root=Path(sys.argv[1]), experiment='shared', name=sys.argv[2], params={'a': 1})\n"
        "t.log_metrics({'loss': 0.5}, 3); Path(sys.argv[1], 'table').write_text('x')\n"
        "t.log_artifact(Path(sys.argv[1], 'table')); t.end()\n"
        "sys.exit('mlflow was imported' if 'mlflow' in sys.modules else 0)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name in ("RESOUND_TRACKING", "MLFLOW_TRACKING_URI"):
        environment.pop(name, None)
    with subprocess.Popen(["sleep", "600"]) as run_of_stages:
        environment["RESOUND_RUN_PROCESS"] = str(run_of_stages.pid)
        for name in ("first", "second"):
            command = [sys.executable, "-c", code, str(tmp_path), name]
            subprocess.run(command, env=environment, cwd=ROOT, check=True, timeout=120)
            wait_for(lambda: (tmp_path / "mlflow-pending.sender").read_text() == str(run_of_stages.pid))
        assert len(senders(run_of_stages.pid)) == 1
        wait_for(lambda: {"first", "second"} <= runs(f"sqlite:///{tmp_path / 'mlflow.db'}", "shared").keys())
        run_of_stages.kill()
        wait_for(lambda: not senders(run_of_stages.pid))  # though nobody has waited for the killed one yet
    found = runs(f"sqlite:///{tmp_path / 'mlflow.db'}", "shared")
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    assert {run.data.metrics["loss"] for run in found.values()} == {0.5}
    assert pending(tmp_path) == []
    assert len(list((tmp_path / "mlartifacts").rglob("table"))) == 2


def senders(process: int) -> list[int]:
    """Ids of the processes that deliver for the stages of `process`."""
    import psutil

    wanted = ["resend", "--follow", str(process)]
    found = psutil.process_iter(["cmdline"])
    return [each.pid for each in found if (each.info["cmdline"] or [])[3:6] == wanted]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.parametrize("importing", [True, False])
def test_the_sampler_waits_for_the_import_of_torch(monkeypatch: pytest.MonkeyPatch, importing: bool) -> None:
    torch = ModuleType("torch")  # as while it is imported: known by name, without torch.cuda
    torch.__spec__ = ModuleSpec("torch", None)
    torch.__spec__._initializing = importing  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    if importing:
        assert tracking._load() == {}
    else:
        with pytest.raises(AttributeError, match="cuda"):
            tracking._load()

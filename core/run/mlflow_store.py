"""Delivers what a run logs to MLflow: the only module that imports it, in the thread of core.run.outbox.

Nothing here raises at a value that MLflow refuses; a server or a database that does not answer raises within
seconds, and the operation is kept by the outbox.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import sqlite3
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.run.files import remove_left_overs, temporary_of
from core.run.outbox import Operation, locked
from core.run.secrets import redact, redact_tracking, secrets_of

SERVER_TIMEOUT = 5.0  # seconds in which a server must say something, and another writer of SQLite must end
OPEN_TIMEOUT = 60.0  # seconds that a process waits while another one makes the tables of a new mlflow.db
REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "MALFORMED_REQUEST")  # MLflow's codes
FORK_WAIT = 20.0  # seconds that a fork waits for the import of MLflow


class Store:
    """Delivers operations to MLflow. Runs are known by our own ids, so one can begin without a server."""

    def __init__(self, root: Path, uri: str | None = None) -> None:
        self._root = root.resolve()
        local = f"sqlite:///{self._root / 'mlflow.db'}"
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or local
        self._is_local = self.uri == local
        self.shown = redact(self.uri)  # for messages
        self.say: Callable[[str, str], None] = lambda _kind, text: print(text, file=sys.stderr)
        self._staging = self._root / "mlflow-pending"
        self._client: Any = None
        self._tried = threading.Event()  # to deliver the first operation, with or without success
        self._runs: dict[str, tuple[str, str]] = {}  # our id -> MLflow's run and experiment ids

    def hide(self, text: str) -> str:
        """`text` without the passwords of this address and those that the environment holds for a server."""
        return redact_tracking(redact(text, *secrets_of(self.uri)))

    def stage(self) -> Path:
        """Return a new empty folder for a copy that waits to be delivered."""
        self._staging.mkdir(exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="artifact-", dir=self._staging))

    def deliver(self, operation: Operation) -> None:
        """Carry out one operation; raises whatever MLflow raises, without the passwords in it.

        What MLflow will never take, and what cannot be read, is left out with a word: a value alone, not the
        others that came with it.
        """
        try:
            self._deliver(operation)
            self._tried.set()
        except Exception as error:
            self._tried.set()
            said = self.hide(str(error))
            if not _is_refusal(error, operation):
                if said == str(error):
                    raise
                raise ConnectionError(said) from None
            halves = _halves(operation)
            if not halves:
                what = " ".join(f"{operation.get('op')} {_content(operation)}".split())[:120]
                self.say(what, f"tracking: left out, since MLflow does not take it: {what} ({said[:160]})")
            for half in halves:
                self.deliver(half)

    def _deliver(self, operation: Operation) -> None:
        _check_operation(operation)
        client = self._connect()
        from mlflow.entities import Metric, Param, RunTag

        op, key = operation["op"], operation["run"]
        if op == "start":
            self._start(operation)
            return
        run, _ = self.known(key)
        if op == "metrics":
            client.log_batch(run, metrics=[Metric(*each) for each in operation["metrics"]])
        elif op == "params":
            client.log_batch(run, params=[Param(*each) for each in operation["params"].items()])
        elif op == "tags":
            client.log_batch(run, tags=[RunTag(*each) for each in operation["tags"].items()])
        elif op == "artifact":
            path = self._staged(operation["path"])
            client.log_artifact(run, str(path), operation["folder"] or None)
            shutil.rmtree(path.parent, ignore_errors=True)
        elif op == "end":
            client.set_terminated(run, operation["status"], operation["time"])

    def _staged(self, name: str) -> Path:
        """The copy of an artefact. Nothing else is sent or deleted, whatever a pending file says."""
        path = self._staging.joinpath(*Path(name).parts[-2:]).resolve()
        inside = path.parent.parent == self._staging.resolve() and path.parent.name.startswith("artifact-")
        if not inside or not path.is_file():
            raise _Unusable(f"no such copy in {self._staging}")
        return path

    def _start(self, operation: Operation) -> None:
        client = self._connect()
        tags = {**operation["tags"], "resound.run": operation["run"]}
        if "parent" in operation:
            parent, experiment = self.known(operation["parent"])
            tags["mlflow.parentRunId"] = parent
        else:
            experiment = self._experiment(operation["experiment"])
        run = client.create_run(experiment, operation["time"], tags, run_name=operation["name"])
        self._runs[operation["run"]] = (run.info.run_id, experiment)

    def known(self, key: str) -> tuple[str, str]:
        """Return MLflow's ids of our run `key`; a run begun by another process is found by its tag."""
        if key not in self._runs:
            client = self._connect()
            experiments = [each.experiment_id for each in client.search_experiments()]
            found = client.search_runs(experiments, f"tags.`resound.run` = '{key}'", max_results=1)
            if not found:
                raise LookupError("the run has not begun there")
            self._runs[key] = (found[0].info.run_id, found[0].info.experiment_id)
        return self._runs[key]

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        client = self._connect()
        found = client.get_experiment_by_name(name)
        if found is None:
            # Without a place of its own, MLflow would put artefacts relative to the current folder.
            place: str | None = None
            if self._is_local:
                folder = self._root / "mlartifacts"
                place = folder.as_uri() if _is_odd(folder) else str(folder)
            with contextlib.suppress(MlflowException):  # another process was quicker
                tags = {"mlflow.experimentKind": "custom_model_development"}  # the view with run tables
                return str(client.create_experiment(name, artifact_location=place, tags=tags))
            found = client.get_experiment_by_name(name)
        return str(found.experiment_id)

    def wait_until_tried(self) -> None:
        """Wait while a database of our own is opened, which takes a busy machine long but does not hang."""
        if self._is_local:
            self._tried.wait(OPEN_TIMEOUT)

    def _connect(self) -> Any:
        if self._client is None:
            for name, value in {
                "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # the default, 7, is minutes of waiting
                "MLFLOW_HTTP_REQUEST_TIMEOUT": f"{SERVER_TIMEOUT:.0f}",
                "MLFLOW_DISABLE_TELEMETRY": "true",
            }.items():
                os.environ.setdefault(name, value)
            database = self._root / "mlflow.db"
            if self._is_local:
                _check_database(database)
            else:
                _check_server(self.uri)
            _import_mlflow()
            from mlflow.tracking import MlflowClient

            if not self._is_local:
                self._client = MlflowClient(tracking_uri=self.uri)
                return self._client
            plain = _plain_path(database)
            with locked(database, timeout=OPEN_TIMEOUT):  # two first runs would both make the tables
                if not database.exists():  # made beside: a process that ends meanwhile leaves no half of it
                    remove_left_overs(plain)
                    MlflowClient(tracking_uri=f"sqlite:///{temporary_of(plain)}").search_experiments()
                    os.replace(temporary_of(plain), plain)
                client = MlflowClient(tracking_uri=f"sqlite:///{plain}?timeout={SERVER_TIMEOUT:.0f}")
                client.search_experiments(max_results=1)
            self._client = client
        return self._client


class _Unusable(ValueError):
    """An operation of the pending file that cannot be carried out, now or later."""


def _check_operation(operation: Operation) -> None:
    """Raise _Unusable for what none of ours is: a line that somebody wrote, or half of one."""
    kinds: dict[str, dict[str, Any]] = {
        "start": {"name": str, "time": int, "tags": dict},
        "metrics": {"metrics": list},
        "params": {"params": dict},
        "tags": {"tags": dict},
        "artifact": {"path": str, "folder": str},
        "end": {"status": str, "time": int},
    }
    wanted = kinds.get(str(operation.get("op")))
    if wanted is None or not all(isinstance(operation.get(k), t) for k, t in {"run": str, **wanted}.items()):
        raise _Unusable("no operation of a run")
    for each in operation["metrics"] if operation["op"] == "metrics" else ():
        types = [type(value) for value in each] if isinstance(each, list) else []
        if types not in ([str, float, int, int], [str, int, int, int]):
            raise _Unusable("a metric is [name, value, time, step]")


def _is_refusal(error: Exception, operation: Operation) -> bool:
    """Whether MLflow, or the operation itself, says that another try would end the same."""
    if isinstance(error, _Unusable):
        return True
    return operation.get("op") != "start" and str(getattr(error, "error_code", "")) in REFUSALS


def _content(operation: Operation) -> Any:
    kind = operation.get("op")
    return operation.get(kind if kind in ("metrics", "params", "tags") else "path", "")


def _halves(operation: Operation) -> list[Operation]:
    """An operation of several values as two; none for one of a single value."""
    values = _content(operation)
    if not isinstance(values, dict | list) or len(values) < 2:
        return []
    items = list(values.items()) if isinstance(values, dict) else values
    middle = len(items) // 2
    parts = [items[:middle], items[middle:]]
    whole = isinstance(values, dict)
    return [{**operation, operation["op"]: dict(part) if whole else part} for part in parts]


_importing = threading.Lock()
_forking = threading.local()


def _import_mlflow() -> None:
    with _importing:
        import mlflow.entities
        import mlflow.exceptions
        import mlflow.store.tracking.sqlalchemy_store
        import mlflow.tracking  # noqa: F401


def _before_fork() -> None:
    _forking.held = _importing.acquire(timeout=FORK_WAIT)


def _after_fork() -> None:
    if _forking.held:
        _importing.release()


# A child forked in the middle of an import would wait for ever for a module that nobody imports any more.
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _check_server(uri: str) -> None:
    """Raise ConnectionError unless a server says anything at all: MLflow itself would wait for long."""
    if not uri.startswith(("http://", "https://")):
        return
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=SERVER_TIMEOUT).close()
    except urllib.error.HTTPError:
        return  # it does speak
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        if "CERTIFICATE" not in str(reason):  # MLflow has its own say on that
            raise ConnectionError(f"no answer: {reason}") from None


def _check_database(path: Path) -> None:
    """Raise sqlite3.OperationalError when another writer does not end: MLflow would try for minutes."""
    if not path.exists() and not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path.parent} is read-only")
    if path.exists():
        connection = sqlite3.connect(path, timeout=SERVER_TIMEOUT)
        try:
            connection.execute("BEGIN IMMEDIATE").connection.rollback()
        finally:
            connection.close()


def _is_odd(path: Path) -> bool:
    return bool(set("?%#") & set(str(path)))


def _plain_path(path: Path) -> Path:
    """`path`, or by way of a link where its folder has a name that is not taken literally in an address."""
    if not _is_odd(path):
        return path
    link = Path(tempfile.mkdtemp(prefix="resound-")) / "root"
    link.symlink_to(path.parent, target_is_directory=True)
    atexit.register(shutil.rmtree, link.parent, ignore_errors=True)
    return link / path.name
